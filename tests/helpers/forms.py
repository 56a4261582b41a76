"""Pictures of digits in printed boxes, across ruled lines, on skewed pages, and several on a page.

python tests/helpers/forms.py FOLDER [SEED]     writes the pictures, and contact.png: all on a sheet

The hand and the pens are those of helpers/handwriting.py. Each kind has every digit once; the same seed draws the same
pictures.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np
from helpers.handwriting import (
    BALLPOINT,
    BLUE,
    FINELINER,
    FOUNTAIN,
    GREY,
    MARKER,
    MOUSE,
    PENCIL,
    Floats,
    Pen,
    Picture,
    cloudy,
    contact,
    inked,
    strokes,
)
from PIL import Image, ImageDraw

Random = np.random.Generator

SOFT = Pen(0.07, (85, 85, 88), 0.9, pressure=0.25, grain=0.25)  # a soft pencil on a form
DARK = Pen(0.08, (45, 45, 48), 0.95, pressure=0.15, grain=0.15)


def written(
    sheet: Floats, digit: int, pen: Pen, centre: tuple[float, float], tall: float, random: Random, part: float = 1.0
) -> Floats:
    """The sheet (h, w) in 0..255 with a digit on it; part: fraction of the ink left at the end of each stroke."""
    half = int(tall) + 2
    left, top = int(centre[0]) - half, int(centre[1]) - half
    near = inked(strokes(digit, random), pen, (2 * half, 2 * half), np.array(centre) - (left, top), tall, random)
    wide = np.zeros((sheet.shape[0] + 4 * half, sheet.shape[1] + 4 * half))
    wide[2 * half + top :, 2 * half + left :][: 2 * half, : 2 * half] = near
    ink = wide[2 * half : -2 * half, 2 * half : -2 * half]
    if part < 1:
        fade = np.linspace(1, part, sheet.shape[1]) if random.random() < 0.5 else np.linspace(part, 1, sheet.shape[1])
        on = np.flatnonzero(ink.any(axis=0))
        ink = ink * np.interp(np.arange(sheet.shape[1]), np.linspace(on[0], on[-1], len(fade)), fade)
    if pen.grain:
        ink = ink * np.clip(1 - pen.grain * np.abs(random.normal(0, 0.7, ink.shape)), 0, 1)
    return sheet + ink * pen.cover * (np.mean(pen.ink) - sheet)


def printed(size: tuple[int, int], lines: list[tuple[float, float, float, float, float]], tilt: float) -> Floats:
    """(h, w) in 0..1: lines (x0, y0, x1, y1, width), rotated by tilt degrees around the centre."""
    sheet = Image.new("L", (3 * size[0], 3 * size[1]))
    brush = ImageDraw.Draw(sheet)
    for x0, y0, x1, y1, width in lines:
        brush.line([3 * x0, 3 * y0, 3 * x1, 3 * y1], 255, max(1, round(3 * width)))
    return np.asarray(sheet.rotate(tilt, Image.Resampling.BILINEAR).reduce(3), float) / 255


def boxed(digit: int, random: Random) -> Floats:
    """A cell of a scanned form: black lines on all sides, some of them longer, and ends of neighbouring digits."""
    wide = random.uniform(130, 230)
    tall = wide / random.uniform(1.0, 1.45)
    left, top, right, bottom = random.uniform(3, 28, 4)
    size = round(wide + left + right), round(tall + top + bottom)
    sheet = np.full((size[1], size[0]), 252.0)
    pen = [SOFT, DARK, BALLPOINT, PENCIL][random.integers(4)]
    height = tall * random.uniform(0.5, 0.85)
    room = (tall - height) / 2 + 0.04 * tall  # it may touch the line
    centre = left + wide / 2 + random.uniform(-0.12, 0.12) * wide, top + tall / 2 + random.uniform(-1, 1) * room
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    beyond = {(0, -1): y < top, (0, 1): y > top + tall, (-1, 0): x < left, (1, 0): x > left + wide}
    for (dx, dy), there in beyond.items():
        if random.random() < 0.5:  # the neighbour's digit is too large for its cell, too
            other = centre[0] + 0.8 * dx * wide, centre[1] + dy * (tall - 0.25 * height)
            sheet = np.where(there, written(sheet, int(random.integers(10)), pen, other, height, random), sheet)
    sheet = written(sheet, digit, pen, centre, height, random)
    far = [0 if random.random() < 0.7 else edge for edge in (left, top)]
    ends = [end if random.random() < 0.7 else end - edge for end, edge in zip(size, (right, bottom), strict=True)]
    thick = random.uniform(2, 5) * random.uniform(0.8, 1.25, 4)
    lines = [
        (far[0], top, ends[0], top, thick[0]),
        (far[0], top + tall, ends[0], top + tall, thick[1]),
        (left, far[1], left, ends[1], thick[2]),
        (left + wide, far[1], left + wide, ends[1], thick[3]),
    ]
    frame = printed(size, lines, random.uniform(-1, 1))
    frame *= np.clip(1 + 0.1 * random.normal(0, 1, frame.shape), 0, 1)
    sheet += frame * (random.uniform(5, 60) - sheet)
    return sheet + random.normal(0, 2, sheet.shape)


def edged(digit: int, random: Random) -> Floats:
    """A cell cut out carelessly: the rest of its lines is at one or two edges."""
    size = int(random.integers(130, 200)), int(random.integers(110, 150))
    sheet = np.full((size[1], size[0]), 252.0)
    height = size[1] * random.uniform(0.6, 0.85)
    sheet = written(sheet, digit, [SOFT, DARK][random.integers(2)], (size[0] / 2, size[1] / 2), height, random)
    slope = random.uniform(-0.012, 0.012)
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    for side in random.permutation(4)[: random.integers(1, 3)]:
        along, away = [(x, y), (x, size[1] - 1 - y), (y, x), (y, size[0] - 1 - x)][side]
        shade = random.uniform(0, 60)
        sheet = np.where(away + slope * along < random.uniform(1, 5), shade, sheet)
    return sheet + random.normal(0, 2, sheet.shape)


def narrow(digit: int, random: Random) -> Floats:
    """A digit taller than the distance of the ruled lines that it crosses."""
    size = 400, 300
    sheet = np.full((size[1], size[0]), 250.0)
    step, first = random.uniform(34, 50), random.uniform(0, 40)
    width = random.uniform(1.5, 4)
    lines = [(-100, y, 500, y, width) for y in np.arange(first - 80, 400, step)]
    ruled = printed(size, lines, random.uniform(-3, 3))
    sheet += ruled * ([np.mean(BLUE), np.mean(GREY), 30][random.integers(3)] - sheet)
    centre = random.uniform(100, 300), random.uniform(90, 210)
    pen = [MARKER, FOUNTAIN, BALLPOINT, DARK][random.integers(4)]
    sheet = written(sheet, digit, pen, centre, random.uniform(60, 95), random)
    return sheet + random.normal(0, 2, sheet.shape)


def askew(digit: int, random: Random) -> Floats:
    """A white page, rotated by about a degree, on a grey desk."""
    side = int(random.integers(200, 420))
    page = np.full((side, side), 250.0)
    tall = side * random.uniform(0.4, 0.7)
    page = written(page, digit, [MOUSE, MARKER, BALLPOINT][random.integers(3)], (side / 2, side / 2), tall, random)
    rotated = Image.fromarray(page.astype(np.float32)).rotate(
        random.uniform(0.5, 3) * random.choice([-1, 1]), Image.Resampling.BILINEAR, fillcolor=random.uniform(60, 190)
    )
    sheet = np.array(rotated, float)
    return sheet + random.normal(0, random.choice([0, 2]), sheet.shape)


def faint(digit: int, random: Random) -> Floats:
    """The pen runs dry: one side of the digit is much lighter than the other; blurred, small."""
    size = int(random.integers(60, 160)), int(random.integers(80, 180))
    sheet = np.full((size[1], size[0]), 190.0) + 3 * cloudy((size[1], size[0]), 8, random)
    tall = 0.8 * min(size)
    sheet = written(
        sheet, digit, [BALLPOINT, MARKER][random.integers(2)], (size[0] / 2, size[1] / 2), tall, random, 0.3
    )
    return sheet + random.normal(0, 1.5, sheet.shape)


def small(digit: int, random: Random) -> Floats:
    """28 x 28 pixels as MNIST has them, but on paper that is not black."""
    sheet = np.full((280, 280), random.uniform(20, 90))
    pen = Pen(0.1, (250, 250, 250))
    sheet = written(sheet, digit, pen, (140, 140), 190, random)
    image = Image.fromarray(sheet.astype(np.float32)).resize((28, 28), Image.Resampling.BOX)
    return np.array(image, float) + random.normal(0, 2, (28, 28))


KINDS: dict[str, Callable[[int, Random], Floats]] = {
    "box": boxed,
    "edge of a box": edged,
    "narrow lines": narrow,
    "askew on a desk": askew,
    "faint on one side": faint,
    "28 x 28 on grey": small,
}


def encoded(pixels: Floats, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, form)
    return file.getvalue()


def forms(seed: int = 0, kinds: Collection[str] = KINDS) -> Iterator[Picture]:
    """A picture of each digit in each of the kinds."""
    for number, (kind, draw) in enumerate(KINDS.items()):
        for digit in range(10) if kind in kinds else ():
            random = np.random.default_rng([seed, 1000 + number, digit])
            yield Picture(kind, digit, f"{kind.replace(' ', '-')}-{digit}.png", encoded(draw(digit, random)))


def pages(seed: int = 0, count: int = 10) -> Iterator[tuple[str, bytes]]:
    """Pages with several digits: the text, its lines joined by " / ", and the file."""
    for number in range(count):
        random = np.random.default_rng([seed, 2000, number])
        rows, columns = int(random.integers(1, 5)), int(random.integers(2, 8))
        cell = random.uniform(60, 110)
        size = round(cell * (columns + 0.8)), round(cell * (rows + 0.8) * 1.3)
        sheet = np.full((size[1], size[0]), 245.0)
        pen = [MARKER, FOUNTAIN, BALLPOINT, FINELINER, DARK, MOUSE][random.integers(6)]
        if number % 3 == 2:
            step = cell * 0.5
            lines = [(-100, y, size[0] + 100, y, 1.5) for y in np.arange(-50, size[1] + 50, step)]
            sheet += printed(size, lines, random.uniform(-2, 2)) * (np.mean(BLUE) - sheet)
        text = []
        for j in range(rows):
            digits = random.integers(0, 10, columns - int(random.integers(0, 2)))
            text.append("".join(map(str, digits)))
            slope = random.uniform(-0.03, 0.03)
            for i, digit in enumerate(digits):
                x = cell * (0.9 + i) + random.uniform(-0.08, 0.08) * cell
                y = 1.3 * cell * (0.9 + j) + slope * x + random.uniform(-0.06, 0.06) * cell
                tall = cell * random.uniform(0.6, 0.8)
                sheet = written(sheet, int(digit), pen, (x, y), tall, random)
        if number % 2:
            lamp = 1 - 0.35 * np.linspace(0, 1, size[0])
            sheet = sheet * lamp
        yield " / ".join(text), encoded(sheet + random.normal(0, 2, sheet.shape))


def main(folder: Path, seed: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[Image.Image]] = {}
    for picture in forms(seed):
        (folder / picture.name).write_bytes(picture.content)
        rows.setdefault(picture.scene, []).append(Image.open(io.BytesIO(picture.content)))
    for i, (text, content) in enumerate(pages(seed)):
        (folder / f"page-{i}-{text.replace(' / ', '-')}.png").write_bytes(content)
        rows.setdefault("pages", []).append(Image.open(io.BytesIO(content)))
    contact(list(rows.values()), 140).save(folder / "contact.png")
    print(f"{sum(map(len, rows.values()))} pictures and contact.png in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
