"""What a network gets, drawn for people: prepared pictures with their names, and pages with their characters framed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from pynet.pictures.characters import Box

LEAST_TILE, MARGIN, LINE = 112, 6, 13  # pixels of a sheet: of a picture, around it, of a line of text below it
PAPER, INK = "#dddddd", "#000000"  # of a sheet; pictures are black or white at their edges
FRAME = "#d62728"  # of a character on a page


def marked(page: Image.Image, scale: float, characters: Sequence[tuple[Box, str]]) -> Image.Image:
    """A page in colour with a frame around each character and its name above.

    characters: boxes in pixels of a picture that is `scale` times as large, and names.
    """
    image = page.convert("RGB")
    brush = ImageDraw.Draw(image)
    for box, name in characters:
        left, top, right, bottom = (side / scale for side in box)
        size = max(10.0, 0.4 * (bottom - top))
        brush.rectangle([left - 2, top - 2, right + 1, bottom + 1], outline=FRAME)
        text = name.encode("latin-1", "replace").decode("latin-1")
        brush.text((left - 2, max(top - 2 - size, 0)), text, fill=FRAME, font=_font(size))
    return image


def _font(size: float) -> Any:
    try:
        return ImageFont.load_default(size)
    except TypeError:  # Pillow before 10.1 has one size
        return ImageFont.load_default()


def stacked(images: Sequence[Image.Image]) -> Image.Image:
    """The pictures below each other, on grey, in colour if one is."""
    if len(images) == 1:
        return images[0]
    size = max(image.width for image in images), sum(image.height for image in images)
    mode = "RGB" if any(image.mode == "RGB" for image in images) else "L"
    sheet, top = Image.new(mode, size, PAPER), 0
    for image in images:
        sheet.paste(image, (0, top))
        top += image.height
    return sheet


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
    """The line, or, where that does not fit, the end of it: a file's name is more useful than its folder."""
    line = line.encode("latin-1", "replace").decode("latin-1")
    cut = line
    while line and not fits(cut):
        line = line[1:]
        cut = "..." + line
    return cut
