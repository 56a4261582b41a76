"""Arithmetic on arrays of pixels: resized, smoothed, dilated, divided into connected components.

A grey picture is (h, w) float32, 0 black to 1 white; a mask is (h, w) bool.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from pynet._ffi import Array

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.intp]  # (h, w): the number of the component that each pixel belongs to, 0 for none
Boxes = npt.NDArray[np.intp]  # (n, 4): top, left, bottom, right; the last two are exclusive

EVEN = 0.2  # of white: as much may the edge of a picture differ from black or white, and within itself


def components(mask: Mask) -> tuple[Labels, int]:
    """The connected components of a mask, corners included: their numbers (h, w) from 1 on, 0 for none; their count.

    Works on runs of pixels in a row: runs that touch in neighbouring rows take the smaller number until none changes.
    """
    padded = framed(mask.astype(np.int8), 1)
    step = np.diff(padded, axis=1)
    row, start = np.nonzero(step == 1)
    stop = np.nonzero(step == -1)[1]  # (runs) as many, in the same order
    width = padded.shape[1] + 1
    # A run touches the runs of the row above that end at its start or later and begin at its stop or before.
    first = np.searchsorted(row * width + stop, (row - 1) * width + start)
    last = np.searchsorted(row * width + start, (row - 1) * width + stop, side="right")
    touching = np.maximum(last - first, 0)
    below = np.repeat(np.arange(len(row)), touching)
    above = np.arange(len(below)) - np.repeat(np.cumsum(touching) - touching, touching) + np.repeat(first, touching)
    number = np.arange(len(row))
    while True:
        least = np.minimum(number[below], number[above])
        new = number.copy()
        for end in (below, above):
            np.minimum.at(new, number[end], least)
            np.minimum.at(new, end, least)
        new = new[new]
        if np.array_equal(new, number):
            break
        number = new
    counted = np.cumsum(number == np.arange(len(row)))  # a component has the number of its first run
    label = np.zeros(padded.shape, np.intp)
    label[row, start + 1] = counted[number]
    label[row, stop + 1] -= counted[number]
    return np.cumsum(label, axis=1)[1:-1, 1:-1], int(counted[-1]) if len(counted) else 0


def boxes(label: Array, count: int) -> Boxes:
    """(count, 4): the smallest rectangle with each component, in the order of their numbers."""
    y, x = np.nonzero(label)
    number = label[y, x] - 1
    found = np.zeros((count, 4), np.intp)
    found[:, :2] = max(label.shape)
    for k, (place, extreme) in enumerate(((y, np.minimum), (x, np.minimum), (y + 1, np.maximum), (x + 1, np.maximum))):
        extreme.at(found[:, k], number, place)
    return found


def shrunk(grey: Floats, longest: int) -> Floats:
    """A picture no longer than that on either side."""
    scale = longest / max(grey.shape)
    if scale >= 1:
        return grey
    return resized(grey, (max(1, round(scale * grey.shape[0])), max(1, round(scale * grey.shape[1]))))


def resized(grey: Floats, shape: tuple[int, ...]) -> Floats:
    """A picture of another size: pixels averaged where it shrinks, interpolated where it grows."""
    if grey.shape == shape:
        return grey
    filter_ = Image.Resampling.HAMMING if shape[0] < grey.shape[0] else Image.Resampling.BILINEAR
    image = Image.fromarray(np.ascontiguousarray(grey, np.float32))
    return np.asarray(image.resize((shape[1], shape[0]), filter_))


def grown(a: Array) -> Array:
    """The maximum of each pixel and its eight neighbours."""
    return taller(taller(a).T).T


def taller(a: Array) -> Array:
    """The maximum of each pixel and those above and below it."""
    most = a.copy()
    np.maximum(most[1:], a[:-1], out=most[1:])
    np.maximum(most[:-1], a[1:], out=most[:-1])
    return most


def sliding_max(a: Array, side: int) -> Array:
    """The maximum over a square of that (odd) side around each pixel."""
    for _ in range(2):  # along the columns, then, transposed, along the rows
        most = np.pad(a, [(side // 2, side // 2), (0, 0)], mode="edge")
        reach = 1  # most[i] is the maximum over i .. i + reach - 1
        while len(most) > len(a):
            step = min(reach, len(most) - len(a))
            most = np.maximum(most[:-step], most[step:])
            reach += step
        a = most.T
    return a


def framed(a: Array, edge: int) -> Array:
    """The array with that many zeros on each side."""
    wide = np.zeros((a.shape[0] + 2 * edge, a.shape[1] + 2 * edge), a.dtype)
    wide[edge:-edge, edge:-edge] = a
    return wide


def quantiles(a: Array, *fractions: float) -> list[float]:
    """The values below which these fractions of the elements lie, to the nearest element."""
    places = [round(fraction * (a.size - 1)) for fraction in fractions]
    ordered: list[float] = np.partition(a, places, axis=None)[places].tolist()
    return ordered


def box_mean(grey: Floats, side: int) -> Floats:
    """The mean over a square of that (odd) side around each pixel, the edge pixels repeated."""
    half = side // 2
    mean: Array = grey
    for axis in (0, 1):
        pad = np.pad(np.moveaxis(mean, axis, -1), [(0, 0), (half + 1, half)], mode="edge")
        total = np.cumsum(pad, axis=-1, dtype=np.float64)
        mean = np.moveaxis((total[..., 2 * half + 1 :] - total[..., : -2 * half - 1]) / (2 * half + 1), -1, axis)
    return mean.astype(np.float32)


def background(grey: Floats) -> str | None:
    """ "dark" or "light" where nearly all pixels at the edge of a picture are so, and alike; None: neither."""
    low, middle, high = quantiles(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]]), 0.25, 0.5, 0.75)
    if high - low > EVEN or EVEN < middle < 1 - EVEN:
        return None
    return "light" if middle > 0.5 else "dark"


def stroke_width(ink: Floats) -> float:
    """The mean width of a stroke in pixels: twice the area over the length of its outline."""
    padded = framed(ink, 1)
    down, across = np.diff(padded, axis=0)[:, :-1], np.diff(padded, axis=1)[:-1]
    return 2 * float(ink.sum()) / max(float(np.sqrt(down**2 + across**2).sum()), 1e-6)
