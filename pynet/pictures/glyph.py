"""From a picture to what a network takes: the ink of a glyph is fitted and centred, other pictures are taken whole.

    x = prepare(read_picture("three.jpg"), Preparation(28, 28))    (28, 28) uint8, light ink on dark; None: no ink

MNIST's digits (Y. LeCun, C. Cortes, C. Burges 1998) were cropped to their ink, fitted into a square of 20 pixels with
their proportions kept, and laid into 28 x 28 pixels with the centre of mass in the middle: light ink, dark paper. Here
the same is done to any picture: the ink is found, cropped, fitted, and its stroke made about as wide as MNIST's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont, ImageOps

from pynet.pictures.ink import find_ink
from pynet.pictures.pixels import Floats, framed, grown, resized, stroke_width, taller
from pynet.pictures.preparation import STYLES, Preparation, Style

FINE = 4  # the weight of a stroke is changed in steps of a fourth of a pixel
BLACK = 0.03  # the paper of a prepared picture is no lighter, but for the noise of a JPEG
OUTLINE = 0.3  # where a soft edge ends, of full ink

LEAST_TILE, MARGIN, LINE = 112, 6, 13  # pixels of a sheet: of a picture, around it, of a line of text below it
PAPER, INK = "#dddddd", "#000000"  # of a sheet; pictures are black or white at their edges


def prepare(image: Image.Image, wanted: Preparation, invert: bool | None = None) -> npt.NDArray[np.uint8] | None:
    """A network's input, uint8 of wanted.shape; None where a glyph is wanted and there is no ink.

    image: as read_picture gives it. invert: True: dark ink on light paper, which is turned into light on dark;
    False: light on dark already; None: decided from the picture. A picture that is no glyph is inverted by True
    alone, a glyph in colour keeps its colours.
    """
    if wanted.style is None:
        fitted = ImageOps.fit(image, (wanted.width, wanted.height), Image.Resampling.BICUBIC)
        values = _values(fitted, wanted.color)
        return 255 - values if invert else values
    style = STYLES[wanted.style]
    grey = np.asarray(image if image.mode == "F" else image.convert("L"), np.float32) / np.float32(255)
    if not wanted.color and not invert and is_set(grey, wanted.height, wanted.width, style):
        return np.round(255 * grey).astype(np.uint8)
    ink = find_ink(grey, invert)
    if ink is None:
        return None
    if not wanted.color:
        glyph = set_glyph(ink, wanted.height, wanted.width, style)
        return glyph if glyph.any() else None  # specks far apart may leave nothing in so few pixels
    frame = place(ink, wanted.height, wanted.width, style)
    return _values(_framed(image.convert("RGB"), frame, wanted), True)


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


def sheet(prepared: Sequence[npt.NDArray[np.uint8]], names: Sequence[str]) -> Image.Image:
    """Prepared pictures of one shape in a grid on grey, row by row, about as many across as down, each over its name.

    Pictures of few pixels are enlarged, each pixel to a square. names: lines are cut to the width of a picture; what is
    not Latin is written as "?".
    """
    height, width = prepared[0].shape[-2:]
    zoom = max(1, -(-LEAST_TILE // max(height, width)))
    lines = 1 + max(name.count("\n") for name in names)
    down, wide = zoom * height + lines * LINE + 2 * MARGIN, max(zoom * width, LEAST_TILE) + 2 * MARGIN
    across = math.ceil(math.sqrt(len(prepared)))
    size = across * wide, -(-len(prepared) // across) * down
    image = Image.new("L" if prepared[0].ndim == 2 else "RGB", size, PAPER)
    brush, font = ImageDraw.Draw(image), ImageFont.load_default()
    for i, (picture, name) in enumerate(zip(prepared, names, strict=True)):
        tile = Image.fromarray(picture if picture.ndim == 2 else np.ascontiguousarray(picture.transpose(1, 2, 0)))
        left, top = i % across * wide + MARGIN, i // across * down + MARGIN
        image.paste(tile.resize((zoom * width, zoom * height), Image.Resampling.NEAREST), (left, top))
        for at, line in enumerate(name.split("\n")):
            text = _cut(line, lambda text: brush.textlength(text, font) <= wide - 2 * MARGIN)
            brush.text((left, top + zoom * height + at * LINE), text, fill=INK, font=font)
    return image


def _cut(line: str, fits: Callable[[str], bool]) -> str:
    """The line, or, where that does not fit, the end of it: the name of a file tells more than its folder."""
    line = line.encode("latin-1", "replace").decode("latin-1")
    cut = line
    while line and not fits(cut):
        line = line[1:]
        cut = "..." + line
    return cut


# ---- glyphs ----


def set_glyph(ink: Floats, height: int, width: int, style: Style) -> npt.NDArray[np.uint8]:
    """The ink, cropped, weighted, fitted and centred: (height, width) uint8, light on dark."""
    box = max(1, round(height * style.box[0])), max(1, round(width * style.box[1]))
    glyph = fit(weighted(crop(ink), box, style, min(height, width)), box, style.stretch)
    return np.round(255 * centred(glyph, height, width, style.by_mass)).astype(np.uint8)


def is_set(grey: Floats, height: int, width: int, style: Style) -> bool:
    """Whether a grey picture is a glyph of this size and style, to within a pixel: light on black, fitted, centred."""
    if grey.shape != (height, width) or grey.max() < 0.5:
        return False
    top, left, bottom, right = extent(grey)
    outside = np.ones(grey.shape, bool)
    outside[top:bottom, left:right] = False
    if outside.any() and np.median(grey[outside]) > BLACK:
        return False
    box = round(height * style.box[0]), round(width * style.box[1])
    fills = bottom - top == box[0] or (not style.stretch and right - left == box[1])
    fits = bottom - top <= box[0] and right - left <= box[1] + (2 if style.stretch else 0)
    at = corner(grey[top:bottom, left:right], height, width, style.by_mass)
    return fills and fits and abs(at[0] - top) <= 1 and abs(at[1] - left) <= 1


def place(ink: Floats, height: int, width: int, style: Style) -> tuple[float, float, float, float]:
    """The part (left, top, right, bottom) of the ink's picture that shows it as set_glyph does; may reach beyond it."""
    top, left, bottom, right = extent(ink)
    scale = max((bottom - top) / (height * style.box[0]), (right - left) / (width * style.box[1]))
    total = float(ink.sum())
    y = float(ink.sum(1) @ (np.arange(ink.shape[0]) + 0.5)) / total if style.by_mass else (top + bottom) / 2
    x = float(ink.sum(0) @ (np.arange(ink.shape[1]) + 0.5)) / total if style.by_mass else (left + right) / 2
    return x - scale * width / 2, y - scale * height / 2, x + scale * width / 2, y + scale * height / 2


def extent(ink: Floats) -> tuple[int, int, int, int]:
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
    """The cropped ink, its stroke made thicker or thinner where its width, once fitted, were none of the style's."""
    fine = fit(ink, (FINE * box[0], FINE * box[1]), style.stretch)
    width = stroke_width(fine) / FINE / side
    wanted = min(max(width, style.weight[0]), style.weight[1])
    if wanted == width:
        return ink
    # Growing by r on each side also grows the box, which is then fitted again: (w + 2 r) / (1 + 2 r / box) is wanted.
    change = FINE * side * (wanted - width) / 2 / (1 - wanted * side / max(box))
    if change > 0:
        return crop(dilated(framed(fine, math.ceil(change) + 1), change))
    thin = 1 - dilated(1 - framed(fine, 1), min(-change, 0.4 * FINE * side * width))  # some stroke is left
    return crop(thin) if thin.max() > OUTLINE else ink


def dilated(ink: Floats, radius: float) -> Floats:
    """The ink, grown by radius pixels: by an octagon, in steps of one pixel, the last a part of one."""
    for i in range(math.ceil(radius)):
        more = grown(ink) if i % 2 else np.maximum(taller(ink), taller(ink.T).T)
        part = min(1.0, radius - i)
        ink = more if part == 1 else ink + np.float32(part) * (more - ink)
    return ink


def centred(glyph: Floats, height: int, width: int, by_mass: bool) -> Floats:
    """The glyph in a picture (height, width), moved by whole pixels; none of it is lost."""
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
