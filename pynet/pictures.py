"""Pictures as a network takes them: files of the common formats, decoded and prepared.

    x = prepare(read_picture("three.jpg"), Preparation(28, 28))    (28, 28) uint8, light ink on dark; None: no ink

What is a glyph (a digit, a letter) is found, fitted and centred, see pynet.glyph; other pictures are taken whole.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from pynet.datafiles import DataError
from pynet.glyph import find_ink, is_set, place, set_glyph
from pynet.preparation import STYLES, Preparation

__all__ = ["SUFFIXES", "flat", "in_parallel", "picture_files", "prepare", "read_picture"]

# Pillow knows more, some of which start other programs; the suffixes say which files of a folder are pictures.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".pbm", ".pnm"}
)
LONGEST = 400  # ink is sought in a picture no longer than this
LARGE = 10_000  # bytes of a picture that takes a few milliseconds

T = TypeVar("T")
R = TypeVar("R")


def prepare(image: Image.Image, wanted: Preparation, invert: bool | None = None) -> npt.NDArray[np.uint8] | None:
    """A network's input, uint8 of wanted.shape; None where a glyph is wanted and no ink is left.

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


# ---- decoding -------------------------------------------------------------------------------------------------------


def read_picture(source: str | os.PathLike[str] | IO[bytes], least: int = LONGEST) -> Image.Image:
    """A picture file, upright, without transparency, no larger than needed: mode L or RGB, or F with 0..255.

    source: a path or an open binary file. least: pixels that the longer side may be reduced to. Of an animation, the
    first picture. Raises DataError, one line, for whatever is wrong; Pillow's guard against decompression bombs is on.
    """
    name = str(getattr(source, "name", None) or "the picture") if hasattr(source, "read") else os.fspath(source)
    with _one_line(name):
        if not hasattr(source, "read"):
            path = Path(source)
            if path.is_dir():
                raise DataError(f"{name}: is a folder")
            if not path.stat().st_size:
                raise DataError(f"{name}: an empty file")
        with Image.open(source, formats=FORMATS) as image:
            if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
                raise Image.DecompressionBombError
            image.draft(None, (least, least))  # a JPEG can be decoded at a fraction of its size
            return _smaller(flat(ImageOps.exif_transpose(image)), least)


@contextmanager
def _one_line(name: str) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        most = Image.MAX_IMAGE_PIXELS or 0
        raise DataError(f"{name}: too large; pictures of up to {most / 1e6:.0f} million pixels are accepted") from None
    except UnidentifiedImageError:
        raise DataError(f"{name}: no picture that is known here; accepted: {', '.join(FORMATS)}") from None
    except MemoryError:
        raise DataError(f"{name}: not enough memory for this picture") from None
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror or error}") from None
    except Exception as error:  # Pillow raises a dozen kinds on damaged bytes, not all documented
        raise DataError(f"{name}: damaged: {error or type(error).__name__}") from None


def flat(image: Image.Image) -> Image.Image:
    """A picture of any mode as L, RGB or F (0..255), laid on paper where it is transparent.

    The paper is white below dark ink, black below light ink.
    """
    if image.mode[0] in "IF":
        return Image.fromarray(_scaled(np.asarray(image, np.float32), image.mode))
    if image.mode.upper() in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        values = np.asarray(image)
        alpha = values[..., 3].astype(np.float32)
        shade = float((values[..., :3].mean(axis=2) * alpha).sum()) / max(float(alpha.sum()), 1.0)
        paper = Image.new("RGBA", image.size, "white" if shade < 128 else "black")
        return Image.alpha_composite(paper, image).convert("RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _scaled(values: npt.NDArray[np.float32], mode: str) -> npt.NDArray[np.float32]:
    """Values of 16 or 32 bits as 0..255; scanners leave 8 or 12 bits in 16, too."""
    if not np.isfinite(values).all():
        raise DataError("the picture holds numbers that are not finite")
    most = float(values.max(initial=0))
    if mode == "F" and most <= 1:
        return values * 255
    return values * np.float32(255 / next((top for top in (255, 4095, 65535) if most <= top), most))


def _smaller(image: Image.Image, least: int) -> Image.Image:
    """The picture with its longer side at `least`, if it is longer."""
    longest = max(image.size)
    if longest <= least:
        return image
    size = max(1, round(image.width * least / longest)), max(1, round(image.height * least / longest))
    return image.resize(size, Image.Resampling.HAMMING, reducing_gap=2.0)


# ---- many pictures --------------------------------------------------------------------------------------------------


def picture_files(folder: Path) -> list[Path]:
    """The pictures in a folder and below it, by their suffix, sorted; hidden ones are left out."""
    found = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        pictures = (name for name in sorted(names) if not name.startswith("."))
        found += [Path(root, name) for name in pictures if Path(name).suffix.lower() in SUFFIXES]
    return found


def in_parallel(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """work(item) for each item, in order; what Pillow warns about pictures is not shown.

    Large files go to threads: decoding and scaling release the interpreter's lock. With small ones, threads would only
    hand the lock to and fro.
    """
    rest = iter(items)
    cores = os.cpu_count() or 1
    with warnings.catch_warnings(), ThreadPoolExecutor(cores) as pool:
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        while chunk := list(islice(rest, 8 * cores)):
            started = [pool.submit(work, item) if _is_large(item) else None for item in chunk]
            for item, future in zip(chunk, started, strict=True):
                yield future.result() if future else work(item)


def _is_large(item: object) -> bool:
    try:
        return isinstance(item, Path) and item.stat().st_size > LARGE
    except OSError:
        return False
