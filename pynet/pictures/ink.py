"""Finds the ink in a picture of handwriting, under uneven light, without printed lines, specks and the paper's edge.

A grey picture is (h, w) float32, 0 black to 1 white; ink is (h, w) float32, 0 none to 1 full. Depth, (h, w) float32, is
by how much a pixel is darker than the paper, as a fraction of the paper's brightness.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from pynet._ffi import Array
from pynet.pictures.lines import Lines, pixels, printed_lines, without_lines
from pynet.pictures.pixels import (
    Boxes,
    Floats,
    Mask,
    box_mean,
    boxes,
    components,
    grown,
    quantiles,
    resized,
    shrunk,
    sliding_max,
    stroke_width,
)

SMALL = 48  # pixels; a picture with a shorter side is no photo: its paper has one brightness
LIGHT_SIDE = 128  # pixels of the map of the light, which changes slowly
LEAST_CONTRAST = 0.1  # the least depth of ink
LINE, FAINT, FULL = 0.1, 0.2, 0.4  # of the darkest ink's depth: lines, what is ink beside ink, and what is in any case
NOISE = 5.0  # the least depth of ink in standard deviations of the paper
SHALLOW = 0.12  # of the picture's shorter side; a component that reaches no farther from the edge is no glyph
USUAL, FEW = 1 / 400, 1 / 5000  # of the pixels are ink; few where it is thin or small, and then, for it is not noise:
FEW_CONTRAST = 0.2  # the least depth
STROKE = 8, 0.05  # pixels, and of the picture's longer side: as far reaches the largest component
PART = 0.04  # of the largest component's area; smaller ones are specks


def find_ink(grey: Floats, invert: bool | None = None) -> Floats | None:
    """The ink of a grey picture; None where there is none.

    invert: True: dark ink on light paper, False: light on dark, None: decided from the picture.
    """
    if invert is None:
        invert = is_dark_on_light(grey)
    depth = darkness(grey) if invert else darkness(1 - grey)
    usual = contrast(depth, USUAL)
    found = usual or contrast(depth, FEW, FEW_CONTRAST)
    if found is None:
        return None
    mask = sure = depth > found.least(FULL)
    lines: Lines = [], []
    if min(depth.shape) >= SMALL:
        found, mask, lines = _fainter(depth, found)
        sure = depth > found.least(FULL)
        mask = touched(mask, sure)
    mask = without_specks(mask, lines)
    if not mask.any() or (usual is None and _longest(mask) < max(STROKE[0], STROKE[1] * max(mask.shape))):
        return None
    depth = depth - found.paper
    level = max(float(np.median(depth[mask & sure])), 1e-3)
    return np.where(grown(mask), np.clip(depth / level, 0, 1), 0).astype(np.float32)


def _fainter(depth: Floats, found: Contrast) -> tuple[Contrast, Mask, Lines]:
    """The contrast without printed lines; what may be ink then, with the faint parts of strokes; and the lines."""
    # The smallest depth beside a stroke: a faint one stands out from it, the soft edge of a shadow does not.
    reach = 2 * math.ceil(stroke_width((depth > found.least(FULL)).astype(np.float32))) + 5
    beside = -sliding_max(-box_mean(depth, 3), reach)
    lines = printed_lines(found.mask(LINE, depth, beside))
    if any(lines):
        # Print may be darker than the pencil: the rest decides what is ink.
        rest = contrast(depth[~pixels(lines, depth.shape)], USUAL)
        if rest is None:
            lines = [], []
        else:
            found, lines = rest, printed_lines(rest.mask(LINE, depth, beside))
    return found, without_lines(found.mask(FAINT, depth, beside), lines), lines


class Contrast(NamedTuple):
    """How dark the paper is, how much darker the darkest ink, and how much more than noise may make it."""

    paper: float
    full: float
    noise: float

    def least(self, part: float) -> float:
        """The depth from where on something is ink of at least this part of the darkest."""
        return self.paper + max(part * self.full, self.noise)

    def mask(self, part: float, depth: Floats, beside: Floats) -> Mask:
        """Where there is ink: of FULL depth, or of at least that part if it stands out from what is beside it."""
        least = self.least(part)
        return np.asarray((depth > self.least(FULL)) | (depth > least) & (depth - beside > least - self.paper))


def contrast(depth: Floats, inked: float, least: float = LEAST_CONTRAST) -> Contrast | None:
    """That of these pixels, from how dark they are; None: nothing stands out from the paper.

    inked: the fraction of them that is ink, at least; least: its least depth.
    """
    # Half of a tight picture may be ink. The lighter pixels give the paper and, by normal quantiles, its noise.
    light, paper, full = quantiles(depth, 0.1, 0.3, 1 - inked)
    found = Contrast(paper, full - paper, NOISE * (paper - light) / 0.757)
    return found if found.full >= max(least, found.noise) else None


def _longest(mask: Mask) -> int:
    """The longer side, in pixels, of the component that reaches farthest and is no line along or between the edges."""
    box = boxes(*components(mask))
    size = box[:, 2:] - box[:, :2]
    lines = _shallow(box, mask.shape) | (size >= np.array(mask.shape)).any(axis=1)
    return int(np.where(lines, 0, size.max(axis=1)).max())


def touched(mask: Mask, sure: Mask) -> Mask:
    """The components of a mask that have a pixel of the other."""
    label, count = components(mask)
    kept = np.zeros(count + 1, bool)
    kept[label[mask & sure]] = True
    return np.asarray(kept[label])


def is_dark_on_light(grey: Floats) -> bool:
    """Whether the ink is darker than the paper; ink is the smaller part, of the picture or of what is around it."""
    small = shrunk(grey, 64)
    black, middle, white = quantiles(small, 0.005, 0.5, 0.995)
    if abs(middle - (black + white) / 2) > 0.25 * (white - black):
        return middle > (black + white) / 2
    # In uneven light half the paper may be darker than the other half's ink is light.
    contrasts = small - box_mean(small, max(3, min(small.shape) // 2))
    return float((contrasts**3).sum()) < 0


def darkness(grey: Floats) -> Floats:
    """The depth of each pixel, (h, w), about 0..1.

    The paper's brightness is the picture closed (dilated, then eroded) by a square that no stroke can hold.
    """
    light: Array = np.array(quantiles(grey, 0.9), np.float32) if min(grey.shape) < SMALL else paper_light(grey)
    return np.asarray((light - grey) / np.maximum(light, np.float32(0.1)))


def paper_light(grey: Floats) -> Floats:
    """The brightness that the paper has at each pixel, under uneven light and in shadows."""
    small = shrunk(grey, LIGHT_SIDE)
    slope = plane(small)  # removed first: at the picture's edge the closing below has pixels on one side only
    small = box_mean(small / slope, 3)
    side = max(3, min(small.shape) // 3 | 1)
    light = -sliding_max(-sliding_max(small, side), side)
    return resized(box_mean(light, 5) * slope, grey.shape)


def plane(grey: Floats) -> Floats:
    """The least-squares plane through a picture, at least a tenth of its mean everywhere."""
    y, x = (np.linspace(-1, 1, side, dtype=np.float32) for side in grey.shape)
    mean = grey.mean()
    down, across = grey.mean(axis=1) @ y / (y @ y), grey.mean(axis=0) @ x / (x @ x)
    return np.asarray(np.maximum(mean + down * y[:, None] + across * x, 0.1 * mean + 1e-3), np.float32)


def without_specks(mask: Mask, lines: Lines = ([], [])) -> Mask:
    """The mask without specks and, if other ink is left, without what the picture's edge cuts off.

    The latter are components along the edge, such as the desk beside the paper or the rest of a line, and components
    at the edge and beyond a printed line, such as parts of the digits in the next cells of a form.
    """
    label, count = components(mask)
    if count <= 1:
        return mask
    box = boxes(label, count)
    area = np.bincount(label.ravel(), minlength=count + 1)[1:]
    rim = np.concatenate([label[0], label[-1], label[:, 0], label[:, -1]])
    along = np.bincount(rim, minlength=count + 1)[1:] > 0.2 * len(rim)
    least = 0.002 * mask.size
    inside = np.where(along | _shallow(box, mask.shape), 0, area)
    if inside.max() > least:
        area = inside
        middle = (box[:, :2] + box[:, 2:]) / 2
        main = middle[area.argmax()]
        for i in np.flatnonzero(_cut(box, mask.shape)):
            beyond = any(line.between(main, middle[i]) for line in lines[0])
            beyond = beyond or any(line.between(main[::-1], middle[i][::-1]) for line in lines[1])
            area[i] = 0 if beyond else area[i]
    kept = np.r_[False, area >= max(1, PART * area.max())]
    return np.asarray(kept[label])


def _cut(box: Boxes, shape: tuple[int, ...]) -> Mask:
    """(n) which of the boxes (n, 4) reach the picture's edge, to within the softness of an edge."""
    return np.asarray((box[:, :2] <= 2).any(axis=1) | (box[:, 2:] >= np.array(shape) - 2).any(axis=1))


def _shallow(box: Boxes, shape: tuple[int, ...]) -> Mask:
    """(n) which of the boxes (n, 4) lie along an edge of the picture."""
    deep = SHALLOW * min(shape)
    first = (box[:, :2] == 0) & (box[:, 2:] <= deep)
    last = (box[:, 2:] == shape) & (box[:, :2] >= np.array(shape) - deep)
    return np.asarray((first | last).any(axis=1))
