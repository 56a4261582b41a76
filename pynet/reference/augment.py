"""Augmentation: pictures changed at random before a network trains on them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pynet.reference.arrays import Array, floats
from pynet.reference.norms import random_bits

MARGIN = 3  # nodes of the elastic grid beyond each edge


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
    """x (m, channels, height, width), each picture with a map of its own; the random numbers are the core's.

    shift and elastic in pixels, rotate and shear in degrees, scale a share; see pynet.Augment.
    """
    x = floats(x)
    m, _, height, width = x.shape
    nodes = grid(height, height + width).shape[1], grid(width, height + width).shape[1]
    y = np.empty_like(x)
    for row in range(m):
        u = uniform(6 + 2 * nodes[0] * nodes[1], seed, step, row)
        ys, xs = places(height, width, shift, np.radians(rotate), scale, np.radians(shear), u)
        waves = u[6:].reshape(2, *nodes)
        xs = xs + bend(waves[0], height, width, elastic)
        ys = ys + bend(waves[1], height, width, elastic)
        y[row] = looked_up(x[row], ys, xs)
    return y


def uniform(n: int, seed: int, step: int, row: int) -> Array:
    """n numbers from -1 to below 1: 24 random bits each, whose key is that of seed, step and row."""
    key = int(random_bits(seed, 0x6175676D656E74, np.array([(step << 32) + row], np.uint64))[0])
    bits = random_bits(key, 0x6175676D656E74, np.arange(n, dtype=np.uint64)) >> np.uint64(40)
    return np.asarray(bits / 2.0**23 - 1)


def places(
    height: int, width: int, shift: float, rotate: float, scale: float, shear: float, u: Array
) -> tuple[Array, Array]:
    """(y, x) (height, width): which place of the old picture each place of the new one shows; angles in radians."""
    turn, lean = rotate * u[2], np.tan(shear * u[5])
    R = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    S = np.array([[1, lean], [0, 1]])
    Z = np.diag([1 / (1 + scale * u[3]), 1 / (1 + scale * u[4])])
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    rows, columns = np.mgrid[:height, :width]
    xs, ys = np.moveaxis((np.stack([columns, rows], axis=-1) - middle) @ (R @ S @ Z).T + middle + shift * u[:2], -1, 0)
    return ys, xs


def grid(size: int, sides: int) -> Array:
    """(size, nodes): what each node weighs at each place of a side, a bell curve as wide as nodes are apart.

    The squares of each row sum up to 1: where the nodes have variance 1, so have the places.
    """
    apart = sides / 14
    nodes = int(np.ceil((size - 1) / apart)) + 1 + 2 * MARGIN
    far = np.arange(size)[:, None] / apart - (np.arange(nodes) - MARGIN)
    weights = np.exp(-(far**2) / 2)
    return np.asarray(weights / np.sqrt((weights**2).sum(axis=1, keepdims=True)))


def bend(nodes: Array, height: int, width: int, deviation: float) -> Array:
    """(height, width): noise at the nodes, smoothed: how far each place moves (Simard, Steinkraus and Platt 2003)."""
    field = grid(height, height + width) @ nodes @ grid(width, height + width).T
    return np.asarray(deviation * np.sqrt(3) * field)  # numbers from -1 to 1 times sqrt(3) have deviation 1


def looked_up(x: Array, ys: Array, xs: Array) -> Array:
    """x (channels, height, width) at the places (ys, xs): between the four pixels around, with zeros outside."""
    height, width = x.shape[1:]
    framed = np.pad(x, ((0, 0), (1, 2), (1, 2)))
    ys, xs = np.clip(ys, -1, height) + 1, np.clip(xs, -1, width) + 1
    top, left = ys.astype(int), xs.astype(int)
    down, right = ys - top, xs - left
    above = framed[:, top, left] * (1 - right) + framed[:, top, left + 1] * right
    below = framed[:, top + 1, left] * (1 - right) + framed[:, top + 1, left + 1] * right
    return np.asarray(above * (1 - down) + below * down)
