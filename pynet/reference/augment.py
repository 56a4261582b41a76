"""Augmentation: random transformations of training pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pynet.reference.arrays import Array, floats
from pynet.reference.norms import random_bits

MARGIN = 3  # nodes of the elastic grid outside each edge


def augmented(
    x: ArrayLike,
    shift: float = 0,
    rotate: float = 0,
    scale: float = 0,
    shear: float = 0,
    elastic: float = 0,
    seed: int = 0,
    step: int = 0,
) -> Array:
    """x (m, channels, height, width), each picture transformed at random, with the random numbers of the core.

    shift and elastic in pixels, rotate and shear in degrees, scale a fraction; see pynet.Augment.
    """
    x = floats(x)
    m, _, height, width = x.shape
    nodes = grid(height, height + width).shape[1], grid(width, height + width).shape[1]
    y = np.empty_like(x)
    for row in range(m):
        u = uniform(6 + 2 * nodes[0] * nodes[1], seed, step, row)
        ys, xs = places(height, width, shift, np.radians(rotate), scale, np.radians(shear), u)
        waves = u[6:].reshape(2, *nodes)
        xs = xs + displacement(waves[0], height, width, elastic)
        ys = ys + displacement(waves[1], height, width, elastic)
        y[row] = interpolated(x[row], ys, xs)
    return y


def uniform(n: int, seed: int, step: int, row: int) -> Array:
    """n random numbers from -1 to below 1, of 24 bits each, with a key derived from seed, step and row."""
    key = int(random_bits(seed, 0x6175676D656E74, np.array([(step << 32) + row], np.uint64))[0])
    bits = random_bits(key, 0x6175676D656E74, np.arange(n, dtype=np.uint64)) >> np.uint64(40)
    return np.asarray(bits / 2.0**23 - 1)


def places(
    height: int, width: int, shift: float, rotate: float, scale: float, shear: float, u: Array
) -> tuple[Array, Array]:
    """(y, x), each (height, width): the source coordinates of each pixel of the new picture; angles in radians."""
    angle, slant = rotate * u[2], np.tan(shear * u[5])
    R = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    S = np.array([[1, slant], [0, 1]])
    Z = np.diag([1 / (1 + scale * u[3]), 1 / (1 + scale * u[4])])
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    rows, columns = np.mgrid[:height, :width]
    xs, ys = np.moveaxis((np.stack([columns, rows], axis=-1) - middle) @ (R @ S @ Z).T + middle + shift * u[:2], -1, 0)
    return ys, xs


def grid(size: int, sides: int) -> Array:
    """(size, nodes): the Gaussian weight of each node at each pixel along a side; sigma is the node spacing.

    The squares of each row sum to 1, so that nodes of variance 1 give displacements of variance 1.
    """
    spacing = sides / 14
    nodes = int(np.ceil((size - 1) / spacing)) + 1 + 2 * MARGIN
    distance = np.arange(size)[:, None] / spacing - (np.arange(nodes) - MARGIN)
    weights = np.exp(-(distance**2) / 2)
    return np.asarray(weights / np.sqrt((weights**2).sum(axis=1, keepdims=True)))


def displacement(nodes: Array, height: int, width: int, deviation: float) -> Array:
    """(height, width): smooth random displacements from noise at the nodes (Simard, Steinkraus and Platt 2003)."""
    field = grid(height, height + width) @ nodes @ grid(width, height + width).T
    return np.asarray(deviation * np.sqrt(3) * field)  # uniform on (-1, 1): their standard deviation is 1 / sqrt(3)


def interpolated(x: Array, ys: Array, xs: Array) -> Array:
    """x (channels, height, width) at the coordinates (ys, xs), by bilinear interpolation, with zeros outside."""
    height, width = x.shape[1:]
    framed = np.pad(x, ((0, 0), (1, 2), (1, 2)))
    ys, xs = np.clip(ys, -1, height) + 1, np.clip(xs, -1, width) + 1
    top, left = ys.astype(int), xs.astype(int)
    down, right = ys - top, xs - left
    above = framed[:, top, left] * (1 - right) + framed[:, top, left + 1] * right
    below = framed[:, top + 1, left] * (1 - right) + framed[:, top + 1, left + 1] * right
    return np.asarray(above * (1 - down) + below * down)
