"""Pictures of handwritten digits that owe nothing to MNIST: strokes on paper, as a hand and a phone leave them.

python tests/helpers/handwriting.py FOLDER [SEED]     writes the pictures; contact.png, all on a sheet; and seen.png,
                                                      one of each scene, and below it what a network for MNIST sees

A digit is written as people write it: each has several ways of running the pen, as control points set down by hand,
which a seed bends, slants, widens and tilts. Scenes say with what pen, on which paper, in what light, and in which
file format; each scene has every digit once. The same seed draws the same pictures.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

Floats = npt.NDArray[np.float64]

# One line a way of writing: curves split by "/", "," where the pen goes on with a corner, points as x y in percent of
# the digit's box, y downwards.
WAYS = {
    0: [
        "62 8  30 12  12 45  20 82  50 95  80 75  85 40  68 12  50 6",
        "55 3  30 25  25 65  45 95  68 75  72 35  55 8  38 10",
        "72 15  40 5  8 35  10 75  45 95  85 80  93 40  76 12",
    ],
    1: [
        "50 3  50 97",
        "30 25  55 4, 55 4  53 97",
        "28 27  52 4, 52 4  51 96 / 28 97  75 95",
        "58 3  50 50  45 97",
    ],
    2: [
        "15 25  35 5  70 8  80 30  55 60  12 95, 12 95  50 91  90 93",
        "15 20  45 3  78 20  65 50  32 84  14 92  14 76  35 77  60 92  92 88",
        "10 15  50 2  85 18  75 42  40 72  8 95, 8 95  88 97",
    ],
    3: [
        "15 12  50 3  80 20  66 42  40 48, 40 48  75 55  88 75  60 95  15 90",
        "15 6  80 6, 80 6  45 42, 45 42  80 52  85 80  50 97  12 86",
        "20 10  60 3  75 25  52 44  42 48  56 50  82 65  70 92  35 97  12 85",
    ],
    4: [
        "22 5  12 40  17 54  50 56  88 51 / 68 12  65 97",
        "62 4  8 65, 8 65  92 64 / 64 5  62 97",
        "20 10  17 48  38 57  82 50 / 82 5  72 95",
    ],
    5: [
        "80 6  25 7, 25 7  20 45, 20 45  50 38  85 55  78 85  45 97  12 88",
        "82 5  42 8  25 30  45 44  80 62  70 90  35 97  15 88",
        "28 8  22 45, 22 45  60 40  85 65  60 93  15 92 / 27 7  85 3",
    ],
    6: [
        "70 4  35 25  15 65  30 93  65 93  82 70  60 52  30 60  17 75",
        "55 2  30 40  25 80  50 97  75 80  65 58  40 60  27 75",
        "85 10  55 5  20 40  12 75  40 97  75 85  72 60  45 55  18 70",
    ],
    7: [
        "10 8  88 6, 88 6  55 50  40 97",
        "12 7  86 7, 86 7  56 48  42 96 / 30 52  76 48",
        "12 20  12 7, 12 7  85 8, 85 8  60 45  48 96",
    ],
    8: [
        "75 15  50 3  22 15  30 38  65 58  82 80  50 97  18 82  35 57  68 37  78 18",
        "50 45  25 28  48 4  75 25  50 46 / 50 46  15 70  48 97  85 72  50 46",
        "70 10  42 4  28 22  50 45  70 70  50 96  28 75  48 48  72 22  68 7",
    ],
    9: [
        "80 20  50 4  20 25  40 48  75 35  82 14, 82 12  78 55  70 97",
        "78 25  50 3  18 25  40 50  75 35  80 15, 80 15  80 60  60 93  25 93",
        "82 10  45 5  18 30  42 50  72 38  80 12  76 55  55 97",
    ],
}


class Pen(NamedTuple):
    """width: of the stroke, as a fraction of the digit's height; ink: its colour, and its opacity."""

    width: float
    ink: tuple[int, int, int]
    cover: float = 1.0
    pressure: float = 0.1  # how much the width varies along a stroke
    nib: float = 0.0  # a broad nib: thin along its own direction
    grain: float = 0.0  # how much of the paper's roughness shows through


BALLPOINT = Pen(0.045, (25, 35, 110), 0.9, pressure=0.15)
FINELINER = Pen(0.03, (15, 15, 20))
FOUNTAIN = Pen(0.07, (20, 20, 60), 0.95, nib=0.5)
PENCIL = Pen(0.05, (70, 70, 75), 0.75, pressure=0.25, grain=0.6)
MARKER = Pen(0.13, (20, 20, 20), 0.97, pressure=0.05)
FAT = Pen(0.19, (10, 10, 10), pressure=0.05)
RED = Pen(0.08, (190, 30, 40), 0.95)
MOUSE = Pen(0.08, (0, 0, 0), pressure=0.0)


@dataclass(frozen=True)
class Scene:
    """The paper that a digit is written on, and how it is photographed; sizes are fractions of the shorter side."""

    pen: Pen
    size: tuple[int, int] = (300, 300)  # width, height of the picture
    height: float = 0.55  # of the digit
    paper: tuple[int, int, int] = (250, 250, 248)
    lines: tuple[int, int, int] | None = None  # colour of ruled lines
    squared: bool = False
    light: float = 0.0  # how much darker the dark corner is
    shadow: float = 0.0  # how much darker it is in the shadow of a hand
    noise: float = 0.0  # standard deviation, grey levels
    rough: float = 0.0  # unevenness of the paper
    tilt: float = 0.0  # rotation of the paper in degrees
    blur: float = 0.0
    desk: bool = False  # the paper's edge and a dark desk are in the picture
    cut: bool = False  # the digit runs over the edge of the picture
    negative: bool = False
    specks: int = 0
    form: str = "png"
    mode: str = "RGB"
    quality: int = 85
    orientation: int = 1


BLUE, GREY = (150, 175, 220), (120, 120, 125)
PHOTO = {"form": "jpg", "noise": 4.0, "blur": 0.8, "rough": 3.0}

SCENES: dict[str, Scene] = {
    "mouse": Scene(MOUSE, (280, 280), 0.7, paper=(255, 255, 255)),
    "mouse, white on black": Scene(MOUSE, (200, 200), 0.6, paper=(255, 255, 255), negative=True, form="bmp"),
    "small drawing": Scene(MOUSE, (64, 64), 0.8, mode="L", form="gif"),
    "tiny": Scene(MARKER, (28, 28), 0.75, paper=(255, 255, 255), negative=True, mode="L"),
    "fat brush": Scene(FAT, (256, 256), 0.8, paper=(255, 255, 255), negative=True),
    "transparent": Scene(MARKER, (320, 240), 0.6, mode="RGBA"),
    "transparent, white ink": Scene(MARKER, (240, 320), 0.5, mode="RGBA", negative=True, form="webp"),
    "fine pen, scan": Scene(FINELINER, (400, 400), 0.35, noise=2, specks=6, form="tif", mode="L"),
    "16-bit scan of pencil": Scene(PENCIL, (350, 350), 0.5, noise=2, rough=4, mode="I;16"),
    "fax": Scene(BALLPOINT, (200, 260), 0.6, mode="1", form="tif", specks=3),
    "off centre": Scene(BALLPOINT, (500, 300), 0.3, paper=(245, 240, 225), form="jpg"),
    "red pen": Scene(RED, (300, 300), 0.5, mode="P"),
    "cut edges": Scene(MARKER, (180, 180), 1.04, cut=True),
    "ruled": Scene(BALLPOINT, (400, 300), 0.55, lines=BLUE, noise=2),
    "ruled, dark lines": Scene(MARKER, (400, 300), 0.55, lines=GREY, form="webp"),
    "squared": Scene(FOUNTAIN, (320, 320), 0.55, lines=BLUE, squared=True, noise=2, form="jpg"),
    "photo": Scene(MARKER, (640, 480), 0.4, light=0.45, **PHOTO),
    "photo, pencil": Scene(PENCIL, (480, 640), 0.4, light=0.3, **PHOTO),
    "photo, shadow": Scene(BALLPOINT, (640, 480), 0.4, light=0.2, shadow=0.4, **PHOTO),
    "photo, ruled": Scene(FOUNTAIN, (600, 600), 0.4, lines=BLUE, light=0.35, tilt=3, **PHOTO),
    "photo, squared": Scene(MARKER, (600, 450), 0.5, lines=BLUE, squared=True, light=0.3, tilt=2, **PHOTO),
    "photo, turned camera": Scene(MARKER, (480, 640), 0.35, light=0.4, orientation=6, **PHOTO),
    "photo, desk": Scene(MARKER, (640, 480), 0.4, light=0.2, desk=True, tilt=4, **PHOTO),
    "photo, bad light": Scene(BALLPOINT, (400, 400), 0.5, light=0.7, **(PHOTO | {"noise": 9.0, "quality": 40})),
    "blackboard": Scene(RED._replace(ink=(30, 30, 30), grain=0.5), (500, 400), 0.5, negative=True, light=0.4, **PHOTO),
}


class Picture(NamedTuple):
    scene: str
    digit: int
    name: str  # of the file, with the suffix of its format
    content: bytes


def pictures(seed: int = 0, scenes: Collection[str] = SCENES) -> Iterator[Picture]:
    """A picture of each digit in each of the scenes."""
    for number, (title, scene) in enumerate(SCENES.items()):
        for digit in range(10) if title in scenes else ():
            random = np.random.default_rng([seed, number, digit])
            name = f"{title.replace(', ', '-').replace(' ', '-')}-{digit}.{scene.form}"
            yield Picture(title, digit, name, encoded(draw(digit, scene, random), scene))


# ---- the hand -------------------------------------------------------------------------------------------------------


def strokes(digit: int, random: np.random.Generator) -> list[Floats]:
    """A way of writing a digit, bent and slanted: curves of shape (n, 2) around the origin, of height 1."""
    way = WAYS[digit][random.integers(len(WAYS[digit]))]
    curves = [np.array(part.split(), float).reshape(-1, 2) / 100 for part in way.replace("/", ",").split(",")]
    corners: dict[bytes, Floats] = {}  # curves that meet also meet after the distortion
    shift = [[corners.setdefault(p.tobytes(), random.normal(0, 0.03, 2)) for p in curve] for curve in curves]
    width, slant = random.uniform(0.5, 0.85), random.normal(0.12, 0.15)
    turn = np.deg2rad(random.normal(0, 5))
    shape = np.array([[width, 0], [-slant, 1]]) @ [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
    bent = [(curve + np.array(moved) - 0.5) @ shape for curve, moved in zip(curves, shift, strict=True)]
    points = np.concatenate(bent)
    middle, tall = (points.max(0) + points.min(0)) / 2, np.ptp(points[:, 1])
    return [smooth((curve - middle) / tall) for curve in bent]


def smooth(points: Floats, steps: int = 24) -> Floats:
    """A Catmull-Rom spline through the points (1974), with mirrored ends."""
    p = np.concatenate([[2 * points[0] - points[1]], points, [2 * points[-1] - points[-2]]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = [
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        for a, b, c, d in zip(p, p[1:], p[2:], p[3:], strict=False)
    ]
    return np.concatenate([*pieces, points[-1:]])


def cover(curves: list[Floats], pen: Pen, scene: Scene, random: np.random.Generator) -> Floats:
    """(height, width) in 0..1: where the ink is, anywhere on the picture."""
    size = np.array(scene.size)
    tall = scene.height * min(scene.size)
    room = size / 2 - np.abs(np.concatenate(curves)).max(0) * tall - pen.width * tall
    centre = size / 2 + random.uniform(-0.8, 0.8, 2) * np.maximum(room, 0)
    return inked(curves, pen, scene.size, centre, tall, random)


def inked(
    curves: list[Floats], pen: Pen, size: tuple[int, int], centre: Floats, tall: float, random: np.random.Generator
) -> Floats:
    """(height, width) in 0..1: the ink of a digit of this height, centred at (x, y)."""
    fine = max(1, round(600 / max(size)))  # drawn at a higher resolution, then reduced
    width, height = (side * fine for side in size)
    centre, tall = fine * centre, fine * tall
    sheet = Image.new("L", (width, height))
    brush = ImageDraw.Draw(sheet)
    nib = random.uniform(0.4, 1.0)
    for curve in curves:
        path = centre + tall * curve
        along = np.linspace(0, 1, len(path))
        way = np.gradient(path, axis=0)
        across = np.abs(np.sin(np.arctan2(way[:, 1], way[:, 0]) + nib))
        wave = np.sin(2 * np.pi * (along * random.uniform(0.5, 1.5) + random.random()))
        thick = pen.width * tall * (1 + pen.pressure * wave) * (1 - pen.nib * (1 - across))
        for (x0, y0), (x1, y1), w in zip(path, path[1:], np.maximum(thick, 1), strict=False):
            brush.line([x0, y0, x1, y1], 255, round(w))
            brush.ellipse([x1 - w / 2, y1 - w / 2, x1 + w / 2, y1 + w / 2], 255)
        (x, y), w = path[0], thick[0]
        brush.ellipse([x - w / 2, y - w / 2, x + w / 2, y + w / 2], 255)
    return np.asarray(sheet.reduce(fine), float) / 255


# ---- the paper and the light ----------------------------------------------------------------------------------------


def cloudy(shape: tuple[int, int], cells: int, random: np.random.Generator) -> Floats:
    """Smooth noise of unit size, (height, width)."""
    coarse = Image.fromarray(random.normal(0, 1, (cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((shape[1], shape[0]), Image.Resampling.BICUBIC), float)


def ruled(scene: Scene, random: np.random.Generator) -> Image.Image:
    """(height, width), 255 on the ruled lines: rotated by the tilt, each line a little uneven."""
    width, height = scene.size
    sheet = Image.new("L", (2 * width, 2 * height))
    brush = ImageDraw.Draw(sheet)
    step = min(width, height) * (0.125 if scene.squared else 0.21) * random.uniform(0.9, 1.1)
    thick = max(1, round(min(width, height) / 200))
    for y in np.arange(random.uniform(0, step), 2 * height, step):
        brush.line([0, y, 2 * width, y], int(random.uniform(200, 255)), thick)
    for x in np.arange(random.uniform(0, step), 2 * width, step) if scene.squared else ():
        brush.line([x, 0, x, 2 * height], int(random.uniform(200, 255)), thick)
    rotated = sheet.rotate(scene.tilt * random.uniform(-1, 1), Image.Resampling.BILINEAR)
    return rotated.crop((width // 2, height // 2, width // 2 + width, height // 2 + height))


def draw(digit: int, scene: Scene, random: np.random.Generator) -> Floats:
    """The picture (height, width, 3 or 4) in 0..255, before it is coded."""
    curves, pen = strokes(digit, random), scene.pen
    ink = cover(curves, pen, scene, random)
    if scene.mode == "RGBA":
        shade = 255 - np.array(pen.ink, float) if scene.negative else np.array(pen.ink, float)
        return np.dstack([np.broadcast_to(shade, (*ink.shape, 3)), 255 * ink * pen.cover])
    sheet = np.ones((*ink.shape, 3)) * np.array(scene.paper, float)
    if scene.rough:
        sheet += scene.rough * cloudy(ink.shape, 40, random)[..., None]
    if scene.lines:
        drawn = np.asarray(ruled(scene, random), float)[..., None] / 255
        sheet += drawn * (np.array(scene.lines) - sheet)
    if pen.grain:
        ink = ink * np.clip(1 - pen.grain * np.abs(random.normal(0, 0.7, ink.shape)), 0, 1)
    sheet += (ink * pen.cover)[..., None] * (np.array(pen.ink) - sheet)
    for _ in range(scene.specks):
        y, x = (int(random.integers(2, side - 2)) for side in ink.shape)
        sheet[y : y + 2, x : x + 2] *= random.uniform(0.2, 0.6)
    sheet = 255 - sheet if scene.negative else sheet
    if scene.desk:
        sheet = on_a_desk(sheet, scene, random)
    return seen(sheet, scene, random)


def on_a_desk(sheet: Floats, scene: Scene, random: np.random.Generator) -> Floats:
    """The sheet, rotated and smaller than the picture, on dark wood."""
    width, height = scene.size
    paper = Image.fromarray(sheet.clip(0, 255).astype(np.uint8)).convert("RGBA")
    rotated = paper.rotate(scene.tilt * random.uniform(-1, 1), Image.Resampling.BICUBIC, expand=True)
    scale = random.uniform(0.78, 0.88)
    rotated = rotated.resize((round(rotated.width * scale), round(rotated.height * scale)), Image.Resampling.BOX)
    wood = np.array([90, 65, 45]) + 8 * cloudy((height, width), 12, random)[..., None]
    desk = Image.fromarray(wood.clip(0, 255).astype(np.uint8))
    desk.paste(rotated, ((width - rotated.width) // 2, (height - rotated.height) // 2), rotated)
    return np.asarray(desk, float)


def seen(sheet: Floats, scene: Scene, random: np.random.Generator) -> Floats:
    """Adds the effects of light, shadow, lens and sensor."""
    height, width = sheet.shape[:2]
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    angle = random.uniform(0, 2 * np.pi)
    slope = x * np.cos(angle) + y * np.sin(angle)
    lamp = 1 - scene.light * (slope - slope.min()) / np.ptp(slope)
    if scene.shadow:
        angle = random.uniform(0, 2 * np.pi)
        edge = (x - x.mean()) * np.cos(angle) + (y - y.mean()) * np.sin(angle) + 0.05 * np.sin(9 * x + 7 * y)
        lamp = lamp * (1 - scene.shadow / (1 + np.exp(-(edge - random.uniform(-0.1, 0.1)) / 0.03)))
    lit = Image.fromarray((sheet * lamp[..., None]).clip(0, 255).astype(np.uint8))
    blurred = np.asarray(lit.filter(ImageFilter.GaussianBlur(scene.blur)) if scene.blur else lit, float)
    return blurred + random.normal(0, scene.noise, sheet.shape) if scene.noise else blurred


# ---- the file -------------------------------------------------------------------------------------------------------


def encoded(pixels: Floats, scene: Scene) -> bytes:
    """The file's content."""
    if scene.mode == "I;16":
        image = Image.fromarray((257 * pixels.mean(2).clip(0, 255)).astype(np.uint16))
    else:
        image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert(scene.mode)
    options: dict[str, Any] = {"quality": scene.quality} if scene.form in ("jpg", "webp") else {}
    if scene.orientation != 1:
        back = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270, 3: Image.Transpose.ROTATE_180}
        image = image.transpose(back[scene.orientation])
        exif = Image.Exif()
        exif[0x0112] = scene.orientation
        options["exif"] = exif
    file = io.BytesIO()
    image.save(file, {"jpg": "JPEG", "tif": "TIFF"}.get(scene.form, scene.form.upper()), **options)
    return file.getvalue()


def contact(tiles: list[list[Image.Image]], side: int = 72) -> Image.Image:
    """A sheet of pictures, one row a list."""
    sheet = Image.new("RGB", (max(map(len, tiles)) * side, len(tiles) * side), (170, 190, 210))
    for j, row in enumerate(tiles):
        for i, tile in enumerate(row):
            small = tile.convert("RGBA")
            small.thumbnail((side - 4, side - 4))
            sheet.paste(small, (i * side + 2, j * side + 2), small)
    return sheet


def main(folder: Path, seed: int = 0) -> None:
    from PIL import ImageOps

    from pynet.pictures.decode import flat, read_picture
    from pynet.pictures.glyph import prepare
    from pynet.pictures.preparation import Preparation

    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[Image.Image]] = {}
    pairs: list[tuple[Image.Image, Image.Image]] = []
    for picture in pictures(seed):
        (folder / picture.name).write_bytes(picture.content)
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(picture.content)))
        assert image is not None
        image = flat(image).convert("RGB")
        rows.setdefault(picture.scene, []).append(image)
        if picture.digit == (len(rows) - 1) % 10:
            seen = prepare(read_picture(io.BytesIO(picture.content)), Preparation(28, 28))
            pairs.append((image, Image.fromarray(np.zeros((28, 28), np.uint8) if seen is None else seen)))
    contact(list(rows.values())).save(folder / "contact.png")
    large = [(image, seen.resize((84, 84), Image.Resampling.NEAREST)) for image, seen in pairs]
    contact([[pair[i] for pair in large[j : j + 9]] for j in range(0, len(large), 9) for i in (0, 1)], 88).quantize(
        64
    ).save(folder / "seen.png")
    print(f"{sum(map(len, rows.values()))} pictures, contact.png and seen.png in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
