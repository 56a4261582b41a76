"""Turns a picture into a network's input: the ink of a glyph is scaled and centred, other pictures are taken whole.

    x = prepare(read_picture("three.jpg"), Preparation(28, 28))    (28, 28) uint8, light ink on dark; None: no ink

MNIST's digits (Y. LeCun, C. Cortes, C. Burges 1998) were cropped to their ink, scaled into a square of 20 pixels with
their proportions kept, and placed in 28 x 28 pixels with the centre of mass in the middle: light ink, dark paper. The
same is done here to any picture: the ink is found, cropped, scaled, and its strokes get about the width of MNIST's.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from pynet.pictures.characters import Box, characters, height_of
from pynet.pictures.decode import LONGEST, SCALE, reduced
from pynet.pictures.ink import find_ink
from pynet.pictures.pixels import Floats, background, framed, grown, resized, stroke_width, taller
from pynet.pictures.preparation import STYLES, Preparation, Style

FINE = 4  # the width of a stroke is changed in steps of a fourth of a pixel
FINE_ENOUGH = 40  # pixels of a character's height
BLACK = 0.03  # the paper of a prepared picture is no lighter, but for the noise of a JPEG
NO_INK = "no ink in this picture, or too thin, faint or small"
OUTLINE = 0.3  # of full ink; a soft edge ends there


def prepare(image: Image.Image, wanted: Preparation, invert: bool | None = None) -> npt.NDArray[np.uint8] | None:
    """A network's input, uint8 of wanted.shape; None where a glyph is wanted and there is no ink.

    image: as read_picture gives it. invert: True: dark ink on light paper, which is inverted; False: light on dark;
    None: detected. A picture that is not a glyph is inverted by True, or if its background is not the one wanted; a
    glyph in colour keeps its colours.
    """
    if wanted.style is None:
        fitted = ImageOps.fit(image, (wanted.width, wanted.height), Image.Resampling.BICUBIC)
        values = _values(fitted, wanted.color)
        if invert is None and wanted.background and not wanted.color:
            invert = background(values.astype(np.float32) / np.float32(255)) not in (None, wanted.background)
        return 255 - values if invert else values
    small = reduced(image, max(LONGEST, wanted.height, wanted.width))
    grey = _grey(small)
    if _is_prepared(grey, wanted, invert):
        return np.round(255 * grey).astype(np.uint8)
    ink = find_ink(grey, invert)
    if ink is None:
        return None
    if not wanted.color:
        return _glyph(ink, wanted)
    frame = place(ink, wanted.height, wanted.width, STYLES[wanted.style])
    return _values(_framed(small.convert("RGB"), frame, wanted), True)


class Character(NamedTuple):
    """A network's input, and the part of the picture that it shows, in pixels of the file."""

    seen: npt.NDArray[np.uint8]
    box: Box


def prepare_lines(image: Image.Image, wanted: Preparation, invert: bool | None = None) -> list[list[Character]]:
    """The characters of a picture, each as prepare gives it: lines from top to bottom, each from left to right.

    [] where there is no ink. What is no glyph, or in colour, is taken as one.
    """
    small = reduced(image, max(LONGEST, wanted.height, wanted.width))
    grey = _grey(small)
    if wanted.style is None or wanted.color or _is_prepared(grey, wanted, invert):
        x = prepare(image, wanted, invert)
        return [] if x is None else [[Character(x, whole(image))]]
    ink = find_ink(grey, invert)
    lines = [] if ink is None else characters(ink)
    if sum(map(len, lines)) > 1 and height_of(lines) < FINE_ENOUGH and small.size != image.size:
        small = reduced(image, math.ceil(LONGEST * FINE_ENOUGH / height_of(lines)))
        ink = find_ink(_grey(small), invert)
        lines = [] if ink is None else characters(ink)
    if ink is not None and sum(map(len, lines)) == 1:
        lines = [[lines[0][0]._replace(ink=ink)]]  # with its smaller parts, however far they are
    scale = small.info[SCALE]
    found = []
    for line in lines:
        glyphs = [(_glyph(part.ink, wanted), part.box) for part in line]
        found.append([Character(x, _enlarged(box, scale)) for x, box in glyphs if x is not None])
    return [line for line in found if line]


def whole(image: Image.Image) -> Box:
    """The box of the whole picture, in pixels of its file."""
    return _enlarged((0, 0, image.width, image.height), image.info.get(SCALE, 1))


def _enlarged(box: Box, scale: float) -> Box:
    left, top, right, bottom = (round(scale * side) for side in box)
    return left, top, right, bottom


def _is_prepared(grey: Floats, wanted: Preparation, invert: bool | None) -> bool:
    """Whether the picture is a glyph as the network takes it."""
    if wanted.style is None or wanted.color or invert:
        return False
    return is_set(grey, wanted.height, wanted.width, STYLES[wanted.style])


def _grey(image: Image.Image) -> Floats:
    return np.asarray(image if image.mode == "F" else image.convert("L"), np.float32) / np.float32(255)


def _glyph(ink: Floats, wanted: Preparation) -> npt.NDArray[np.uint8] | None:
    """The ink as the network takes it; None where specks far apart leave nothing in so few pixels."""
    glyph = set_glyph(ink, wanted.height, wanted.width, STYLES[wanted.style or ""])
    return glyph if glyph.any() else None


def _values(image: Image.Image, color: bool) -> npt.NDArray[np.uint8]:
    """(h, w) or (3, h, w)."""
    if color:
        return np.ascontiguousarray(np.asarray(image.convert("RGB")).transpose(2, 0, 1))
    return np.asarray(image.convert("L"))


def _framed(image: Image.Image, frame: tuple[float, float, float, float], size: Preparation) -> Image.Image:
    """The part of a picture in the frame (left, top, right, bottom), on the colour of its paper where it ends."""
    paper = np.median(np.asarray(image).reshape(-1, 3), axis=0)
    left, top = (math.floor(side) for side in frame[:2])
    right, bottom = (math.ceil(side) for side in frame[2:])
    sheet = Image.new("RGB", (right - left, bottom - top), tuple(int(c) for c in paper))
    sheet.paste(image, (-left, -top))
    inner = (frame[0] - left, frame[1] - top, frame[2] - left, frame[3] - top)
    return sheet.resize((size.width, size.height), Image.Resampling.BICUBIC, box=inner)


# ---- glyphs ----


def set_glyph(ink: Floats, height: int, width: int, style: Style) -> npt.NDArray[np.uint8]:
    """The ink, cropped, its strokes weighted, scaled and centred: (height, width) uint8, light on dark."""
    box = max(1, round(height * style.box[0])), max(1, round(width * style.box[1]))
    glyph = fit(weighted(crop(ink), box, style, min(height, width)), box, style.stretch)
    return np.round(255 * centred(glyph, height, width, style.by_mass)).astype(np.uint8)


def is_set(grey: Floats, height: int, width: int, style: Style) -> bool:
    """Whether a grey picture is a glyph of this size and style, to within a pixel: light on black, fitted, centred."""
    if grey.shape != (height, width) or grey.max() < 0.5:
        return False
    top, left, bottom, right = extent(grey)
    box = round(height * style.box[0]), round(width * style.box[1])
    fills = bottom - top == box[0] or (not style.stretch and right - left == box[1])
    fits = bottom - top <= box[0] and right - left <= box[1] + (2 if style.stretch else 0)
    if not fills or not fits:
        return False
    at = corner(grey[top:bottom, left:right], height, width, style.by_mass)
    outside = np.ones(grey.shape, bool)
    outside[top:bottom, left:right] = False
    black = not outside.any() or np.median(grey[outside]) <= BLACK
    return bool(black and abs(at[0] - top) <= 1 and abs(at[1] - left) <= 1)


def place(ink: Floats, height: int, width: int, style: Style) -> tuple[float, float, float, float]:
    """The frame (left, top, right, bottom) that shows the ink as set_glyph does; it may reach beyond the picture."""
    top, left, bottom, right = extent(ink)
    scale = max((bottom - top) / (height * style.box[0]), (right - left) / (width * style.box[1]))
    total = float(ink.sum())
    y = float(ink.sum(1) @ (np.arange(ink.shape[0]) + 0.5)) / total if style.by_mass else (top + bottom) / 2
    x = float(ink.sum(0) @ (np.arange(ink.shape[1]) + 0.5)) / total if style.by_mass else (left + right) / 2
    return x - scale * width / 2, y - scale * height / 2, x + scale * width / 2, y + scale * height / 2


def extent(ink: Floats) -> Box:
    """(top, left, bottom, right) of the smallest rectangle with all the ink."""
    on = ink > OUTLINE * ink.max()
    rows, columns = np.flatnonzero(on.any(1)), np.flatnonzero(on.any(0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def crop(ink: Floats) -> Floats:
    """The ink's rectangle."""
    top, left, bottom, right = extent(ink)
    return ink[top:bottom, left:right]


def fit(ink: Floats, box: tuple[int, int], stretch: bool) -> Floats:
    """The ink, as large as the box (height, width) allows."""
    down, across = box[0] / ink.shape[0], box[1] / ink.shape[1]
    if stretch:
        across = min(down, across)
    else:
        down = across = min(down, across)
    return resized(ink, (max(1, round(down * ink.shape[0])), max(1, round(across * ink.shape[1]))))


def weighted(ink: Floats, box: tuple[int, int], style: Style, side: int) -> Floats:
    """The cropped ink, its strokes made thicker or thinner where their width after scaling is none of the style's."""
    fine = fit(ink, (FINE * box[0], FINE * box[1]), style.stretch)
    width = stroke_width(fine) / FINE / side
    wanted = min(max(width, style.weight[0]), style.weight[1])
    if wanted == width:
        return ink
    # Growing by r on each side also grows the box, which is scaled again: the width is (w + 2 r) / (1 + 2 r / box).
    change = FINE * side * (wanted - width) / 2 / (1 - wanted * side / max(box))
    if change > 0:
        return crop(dilated(framed(fine, math.ceil(change) + 1), change))
    thin = 1 - dilated(1 - framed(fine, 1), min(-change, 0.4 * FINE * side * width))  # some stroke is left
    return crop(thin) if thin.max() > OUTLINE else ink


def dilated(ink: Floats, radius: float) -> Floats:
    """The ink, dilated by an octagon of this radius, in steps of one pixel and a last one of a fraction."""
    for i in range(math.ceil(radius)):
        more = grown(ink) if i % 2 else np.maximum(taller(ink), taller(ink.T).T)
        part = min(1.0, radius - i)
        ink = more if part == 1 else ink + np.float32(part) * (more - ink)
    return ink


def centred(glyph: Floats, height: int, width: int, by_mass: bool) -> Floats:
    """The glyph in a picture (height, width), moved by whole pixels, all of it inside."""
    top, left = corner(glyph, height, width, by_mass)
    picture = np.zeros((height, width), np.float32)
    picture[top : top + glyph.shape[0], left : left + glyph.shape[1]] = glyph
    return picture


def corner(glyph: Floats, height: int, width: int, by_mass: bool) -> tuple[int, int]:
    """The pixel (row, column) where a centred glyph begins."""
    h, w = glyph.shape
    middle_y, middle_x = h / 2, w / 2
    if by_mass:
        total = max(float(glyph.sum()), 1e-6)
        middle_y = float(glyph.sum(1) @ np.arange(h)) / total  # MNIST's middle is pixel 14 of 0..27
        middle_x = float(glyph.sum(0) @ np.arange(w)) / total
    return min(max(round(height / 2 - middle_y), 0), height - h), min(max(round(width / 2 - middle_x), 0), width - w)
