"""Finds the ink in the picture of something written, and what else is done to arrays of pixels.

Is the ink dark or light; what is ink under uneven light; what are lines of the paper, specks and the paper's edge?

A grey picture is (h, w) float32, 0 black to 1 white; ink is (h, w) float32, 0 none to 1 full.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from pynet._ffi import Array

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

SMALL = 48  # a picture with a shorter side is no photo: its paper is one shade
SHADE_SIDE = 128  # the light changes slowly: its map needs no more pixels
LEAST_CONTRAST = 0.1  # between ink and paper, of white
NOISE = 5.0  # ink stands out by as many standard deviations of the paper
PART = 0.04  # a piece of a glyph has this share of the largest piece's area


def find_ink(grey: Floats, invert: bool | None = None) -> Floats | None:
    """The ink of a grey picture; None where there is none.

    invert: True: dark ink on light paper, False: light on dark, None: decided from the picture.
    """
    if invert is None:
        invert = is_dark_on_light(grey)
    depth = darkness(grey) if invert else darkness(1 - grey)
    # Half of a tight picture may be ink: the lighter pixels tell of the paper, and of its noise by normal quantiles.
    light, paper, full = quantiles(depth, 0.1, 0.3, 1 - 1 / 400)
    noise = (paper - light) / 0.757
    depth, full = depth - paper, full - paper
    if full < max(LEAST_CONTRAST, NOISE * noise):
        return None
    mask = without_specks(without_lines(depth > max(0.4 * full, NOISE * noise)))
    if not mask.any():
        return None
    level = max(float(np.median(depth[mask])), 1e-3)
    return np.where(grown(mask), np.clip(depth / level, 0, 1), 0).astype(np.float32)


def is_dark_on_light(grey: Floats) -> bool:
    """Whether the ink is darker than the paper; ink is the smaller part, of the picture or of what is around it."""
    small = shrunk(grey, 64)
    black, middle, white = quantiles(small, 0.005, 0.5, 0.995)
    if abs(middle - (black + white) / 2) > 0.25 * (white - black):
        return middle > (black + white) / 2
    # In uneven light half the paper may be darker than the other half's ink is light.
    apart = small - box_mean(small, max(3, min(small.shape) // 2))
    return float((apart**3).sum()) < 0


def darkness(grey: Floats) -> Floats:
    """How much darker than the paper around it each pixel is, as a share of the paper's brightness: (h, w), about 0..1.

    The paper's brightness is the picture closed (dilated, then eroded) by a square that no stroke can hold.
    """
    light: Array = np.array(quantiles(grey, 0.9), np.float32) if min(grey.shape) < SMALL else paper_light(grey)
    return np.asarray((light - grey) / np.maximum(light, np.float32(0.1)))


def paper_light(grey: Floats) -> Floats:
    """The brightness that the paper has at each pixel, under uneven light and in shadows."""
    small = shrunk(grey, SHADE_SIDE)
    slope = plane(small)  # at a picture's edge a closing sees one side alone: no slope may be left there
    small = box_mean(small / slope, 3)
    side = max(3, min(small.shape) // 3 | 1)
    light = -sliding_max(-sliding_max(small, side), side)
    return resized(box_mean(light, 5) * slope, grey.shape)


def plane(grey: Floats) -> Floats:
    """The plane that is nearest to a picture in the least squares, but nowhere below a tenth of its mean."""
    y, x = (np.linspace(-1, 1, side, dtype=np.float32) for side in grey.shape)
    mean = grey.mean()
    down, across = grey.mean(axis=1) @ y / (y @ y), grey.mean(axis=0) @ x / (x @ x)
    return np.asarray(np.maximum(mean + down * y[:, None] + across * x, 0.1 * mean + 1e-3), np.float32)


def without_lines(mask: Mask) -> Mask:
    """The mask without the lines of ruled or squared paper: thin, straight, and from edge to edge."""
    if min(mask.shape) < SMALL:
        return mask
    found = lines(mask) | lines(mask.T).T
    rest = mask & ~found
    return rest if found.any() and rest.sum() > 0.1 * found.sum() else mask


def lines(mask: Mask) -> Mask:
    """The pixels of lines that run from the left edge to the right, up to 4 degrees off the level."""
    height, width = mask.shape
    y, x = np.nonzero(mask)
    best, row = np.zeros(height), y
    for slope in np.linspace(-0.07, 0.07, 15):
        level = (y - np.round(slope * (x - width / 2)).astype(np.intp)) % height
        share = np.bincount(level, minlength=height) / width
        if (share**2).sum() > (best**2).sum():
            best, row = share, level
    full = best > 0.8
    wide = full | np.roll(full, 1) | np.roll(full, -1)  # a line's soft edges
    if not full.any() or thickness(wide) > 3 + 0.02 * height:
        return np.zeros_like(mask)
    on_line = np.zeros_like(mask)
    on_line[y, x] = wide[row]
    # Where a stroke crosses a line there is ink above and below it: that stays.
    reach = 1 + thickness(wide)
    above, below = np.zeros_like(mask), np.zeros_like(mask)
    off = mask & ~on_line
    for step in range(1, reach + 1):
        above[step:] |= off[:-step]
        below[:-step] |= off[step:]
    return on_line & ~(above & below)


def thickness(rows: Mask) -> int:
    """The longest run of True in (n)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], rows, [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def without_specks(mask: Mask) -> Mask:
    """The mask without specks, and without what runs along the picture's edge, such as the desk beside the paper."""
    if not mask.any():
        return mask
    label, count = components(mask)
    area = np.bincount(label.ravel(), minlength=count + 1)
    area[0] = 0
    rim = np.concatenate([label[0], label[-1], label[:, 0], label[:, -1]])
    along = np.bincount(rim, minlength=count + 1) > 0.2 * len(rim)
    inside = np.where(along, 0, area)
    if inside.max() > 0.002 * mask.size:
        area = inside
    kept: Mask = np.asarray(area >= max(1, PART * area.max()))[label]
    return kept


def components(mask: Mask) -> tuple[npt.NDArray[np.intp], int]:
    """The pieces of a mask that hang together, corners too: their numbers (h, w), 0 for none, and how many there are.

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
    roots, number = np.unique(number, return_inverse=True)
    label = np.zeros(padded.shape, np.intp)
    label[row, start + 1] = number + 1
    label[row, stop + 1] -= number + 1
    return np.cumsum(label, axis=1)[1:-1, 1:-1], len(roots)


# ---- small tools ----


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
    for _ in range(2):  # down the columns, then, turned, along the rows
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


def quantiles(a: Array, *shares: float) -> list[float]:
    """The values below which these shares of the elements lie, to the nearest element."""
    places = [round(share * (a.size - 1)) for share in shares]
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
