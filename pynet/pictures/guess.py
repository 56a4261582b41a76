"""What kind of pictures are these: glyphs on paper or pictures to be taken whole, in colour or grey, of which size?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from pynet.pictures.glyph import OUTLINE, crop, extent
from pynet.pictures.ink import find_ink
from pynet.pictures.pixels import Floats, Mask, background, framed, grown, quantiles, sliding_max, stroke_width
from pynet.pictures.preparation import BACKGROUNDS, Preparation
from pynet.pictures.shrink import flat

LONGEST = 96  # pixels of the longer side: enough to recognise the kind of picture
THICK = 0.24  # a stroke is no wider, of the longer side of what is written
GAP = 0.08  # of that side, too: what is closer is one
UNEVEN = 0.17  # standard deviation of paper around its light, of white
INK_AT_EDGE = 0.25  # of the pixels at the picture's edge
ON_BACKGROUND = 0.7  # of the pictures
MOST_WRITTEN = 0.7  # of the pictures: more, and all are glyphs
GLYPH_SIDE, WHOLE_SIDE = 28, 32  # pixels
FEW = 200  # pictures that are looked at
NATIVE = 40  # pictures that are no larger keep their size
COLOURED = 0.03  # standard deviation of the colours around grey, of white
SEPARATED_BY_COLOUR = 0.5  # of the variance of the colours of ink: as much is between the classes


class Look(NamedTuple):
    """What one picture looks like. hue (2): mean of red and blue against green; spread: of the colours around grey.

    background: see pynet.pictures.pixels.
    """

    side: int
    written: bool
    paper: bool
    hue: npt.NDArray[np.float32]
    spread: float
    background: str | None


def look(image: Image.Image) -> Look:
    """The look of a picture as read_picture gives it."""
    side = min(image.size)
    small = flat(image.copy()) if image.mode not in ("L", "RGB", "F") else image.copy()
    small.thumbnail((LONGEST, LONGEST), Image.Resampling.BOX)
    grey = np.asarray(small if small.mode == "F" else small.convert("L"), np.float32) / np.float32(255)
    ink = find_ink(grey)
    hue, spread = np.zeros(2, np.float32), 0.0
    if small.mode == "RGB":
        rgb = np.asarray(small, np.float32) / np.float32(255)
        chroma = np.stack([rgb[..., 0] - rgb[..., 1], rgb[..., 2] - rgb[..., 1]], -1)
        weight = np.ones(grey.shape, np.float32) if ink is None else ink + np.float32(1e-6)
        hue = (chroma * weight[..., None]).sum((0, 1)) / weight.sum()
        spread = float(np.sqrt((chroma**2).mean()))
    written = ink is not None and is_written(grey, ink)
    paper = ink is not None and is_on_paper(grey, ink > OUTLINE * ink.max())
    return Look(side, written, paper, hue, spread, background(grey))


def is_written(grey: Floats, ink: Floats) -> bool:
    """Whether the ink of a picture is made of strokes, and lies on paper."""
    mask = ink > OUTLINE * ink.max()
    top, left, bottom, right = extent(ink)
    longer = max(bottom - top, right - left)
    if stroke_width(_closed(crop(mask.astype(np.float32)), longer)) > THICK * longer + 1:
        return False
    return is_on_paper(grey, mask)


def is_on_paper(grey: Floats, mask: Mask) -> bool:
    """Whether what is ink by the mask (h, w) lies on even paper, with some of it around."""
    edge = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    if edge.mean() > INK_AT_EDGE:
        return False
    paper = ~grown(grown(mask))
    if paper.sum() < 0.1 * paper.size:
        paper = ~mask
    return unevenness(grey, paper) < UNEVEN


def _closed(mask: Floats, longer: int) -> Floats:
    """The mask without holes and gaps that are narrow, as between the stripes of a shirt."""
    side = max(3, round(GAP * longer) | 1)
    wide = framed(mask, side)
    return np.asarray(1 - sliding_max(1 - sliding_max(wide, side), side), np.float32)


def unevenness(grey: Floats, paper: npt.NDArray[np.bool_]) -> float:
    """Standard deviation of the paper's pixels around a light that changes evenly over it."""
    rows, columns = np.nonzero(paper)
    terms = np.stack([np.ones(len(rows)), rows, columns, rows * columns, rows**2, columns**2], 1) / grey.size
    values = grey[rows, columns].astype(np.float64)
    found = np.linalg.lstsq(terms, values, rcond=None)[0]
    return quantiles(np.abs(values - terms @ found), 0.8)[0] / 1.28  # of normal numbers: lines on paper count little


def guess(looks: Sequence[Look], labels: Sequence[int]) -> Preparation:
    """How pictures of these looks and classes are best prepared, by a majority of them."""
    written = np.mean([one.written for one in looks]) > MOST_WRITTEN
    side = int(np.median([one.side for one in looks]))
    if written:
        return Preparation(GLYPH_SIDE, GLYPH_SIDE, color=_hue_tells(looks, labels))
    side = max(side, 8) if side <= NATIVE else WHOLE_SIDE
    color = float(np.median([one.spread for one in looks])) > COLOURED
    return Preparation(side, side, color, None, None if color else common([one.background for one in looks]))


def common(found: Sequence[str | None]) -> str | None:
    """The background that most pictures have, if nearly all are on a dark or a light one."""
    even = [one for one in found if one]
    return max(BACKGROUNDS, key=even.count) if len(even) > ON_BACKGROUND * len(found) else None


def other_kind(image: Image.Image, wanted: Preparation) -> str | None:
    """Why a picture is of another kind than those that are prepared so, in words; None: it may be of theirs."""
    found = look(image)
    if wanted.style and not found.paper:
        return "no glyph on even paper, as the training pictures are"
    if not wanted.style and not wanted.background and found.written:
        return "it looks like a glyph on paper, the training pictures do not"
    if not wanted.style and wanted.color and found.spread < COLOURED / 3:
        return "a grey picture, the training pictures are coloured"
    return None


def _hue_tells(looks: Sequence[Look], labels: Sequence[int]) -> bool:
    """Whether the classes differ in the colour of their ink: by most of its variance, and more than pens do."""
    hues, classes = np.stack([one.hue for one in looks]), np.asarray(labels)
    total = float(((hues - hues.mean(0)) ** 2).sum())
    within = sum(float(((hues[classes == c] - hues[classes == c].mean(0)) ** 2).sum()) for c in np.unique(classes))
    few = len(hues) < 3 * len(np.unique(classes))
    return not few and total > len(hues) * COLOURED**2 and total - within > SEPARATED_BY_COLOUR * total


def background_of(x: npt.NDArray[Any]) -> str | None:
    """The common background of grey pictures x (n, h, w), uint8 or floats in 0..1."""
    some = x[:: -(-len(x) // FEW)].astype(np.float32) / np.float32(255 if x.dtype == np.uint8 else 1)
    return common([background(one) for one in some])
