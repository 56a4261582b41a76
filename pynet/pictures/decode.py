"""Picture files of the common formats, decoded, one or many at a time."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from pynet.errors import DataError

# Pillow knows more, some of which start other programs; the suffixes say which files of a folder are pictures.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".pbm", ".pnm"}
)
LONGEST = 400  # ink is sought in a picture no longer than this
CHANNELS = (1, 3, 4)  # of an array
ROUNDING = 1e-5  # by which floats may leave 0..1
LARGE = 10_000  # bytes of a picture that takes a few milliseconds

T = TypeVar("T")
R = TypeVar("R")


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
            return _upright(image, least)


def opened_picture(image: Image.Image, least: int = LONGEST) -> Image.Image:
    """A Pillow image as read_picture gives that of its file."""
    with _one_line("the picture"):
        return _upright(image, least)


def array_picture(values: npt.NDArray[Any], least: int = LONGEST) -> Image.Image:
    """An array as read_picture gives a file with its values. DataError if it is no picture.

    Shapes: (h, w), (h, w, channels) with 1, 3 or 4, or else (channels, h, w) with 1 or 3. bool is black and white;
    integers are not below 0, and those wider than 8 bits are taken as in a file: the largest tells whether they have 8,
    12 or 16 bits; floats are 0 to 1, to within rounding.
    """
    if values.ndim == 3 and values.shape[2] not in CHANNELS and values.shape[0] in (1, 3):
        values = np.moveaxis(values, 0, 2)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    fits = values.ndim == 2 or (values.ndim == 3 and values.shape[2] in CHANNELS)
    if not fits or values.size == 0 or values.dtype.kind not in "biuf":
        raise DataError(
            f"an array of {values.dtype} and shape {values.shape} is no picture; accepted: (h, w), (h, w, 1), "
            "(h, w, 3), (h, w, 4), (1, h, w) or (3, h, w) of uint8, uint16, or floats in 0..1"
        )
    if values.dtype.kind in "iu" and values.min() < 0:
        raise DataError(f"integers from {values.min()} to {values.max()} are no picture; accepted: 0 or more")
    if values.dtype.kind == "f":
        if not ((values >= -ROUNDING) & (values <= 1 + ROUNDING)).all():
            raise DataError(f"floats from {values.min():.9g} to {values.max():.9g} are no picture; accepted: 0..1")
        values = values.clip(0, 1)
    if values.dtype.kind in "bf":
        values = np.round(255 * values.astype(np.float32))
    elif values.dtype != np.uint8:
        values = _scaled(values.astype(np.float32), "I")
        if values.ndim == 2:
            return _smaller(Image.fromarray(values), least)
        values = np.round(values)
    return opened_picture(Image.fromarray(np.ascontiguousarray(values, np.uint8)), least)


def _upright(image: Image.Image, least: int) -> Image.Image:
    """As the camera was held, of a mode and size that are used here."""
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
