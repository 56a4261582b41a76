"""Decodes picture files of the common formats, one or many at a time."""

from __future__ import annotations

import contextlib
import io
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from pynet.errors import DataError
from pynet.pictures.shrink import factors_for, png_strips, scale_to_bytes, shrunk, smaller_size
from pynet.pictures.shrink import flat as flat

# Pillow has more formats, some of which start other programs. By its suffix a file in a folder is a picture.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".pbm", ".pnm"}
)
LONGEST = 400  # pixels of the longer side, to which pictures are reduced before ink is sought
LONGEST_SIDE = 65_535  # pixels; no JPEG or GIF can be longer
CHANNELS = (1, 3, 4)  # of an array
ROUNDING = 1e-5  # floats may exceed 0..1 by this
LARGE = 10_000  # bytes; a file of that size takes a few milliseconds
ALWAYS = 48 << 20  # bytes of memory that decoding may take for any file, and in several threads at once
MOST_UNPACKED = 200  # bytes for each byte of a file: pictures are compressed 5 to 50 times, empty ones 1,000 times
SCALE = "scale"  # the key of how many pixels of the file one of the picture's is long
CUT_SHORT = "cut short"  # the key of the note on a file that lacks its end
END_OF_JPEG = b"\xff\xd9"
UNDECODED = 128  # what a JPEG decoder fills in
LEAST_ROWS = 0.75  # of a file that lacks its end
ORIENTATION = 0x0112  # the EXIF tag

T = TypeVar("T")
R = TypeVar("R")

_one_at_a_time = threading.RLock()  # for pictures that take more than ALWAYS


def read_picture(
    source: str | os.PathLike[str] | IO[bytes], least: int = LONGEST, *, partly: bool = False
) -> Image.Image:
    """A picture file, upright, without transparency, no larger than needed: mode L or RGB, or F with 0..255.

    source: a path or an open binary file. least: pixels that the longer side may be reduced to. Of an animation, the
    first picture. partly: of a JPEG file that lacks its end, the rows that are there, unless they are too few; a
    sentence on that is in the picture's info[CUT_SHORT].
    Raises DataError, one line, for whatever is wrong, also where Pillow's guard against decompression bombs would only
    warn, and where a file unpacks to far more than files of its size do.
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
            if max(image.size) > LONGEST_SIDE:
                raise DataError(
                    f"{name}: {image.width:,} x {image.height:,} pixels; accepted: sides of up to {LONGEST_SIDE:,}"
                )
            size = image.size
            try:
                return _with_scale(_small(image, least, name), size)
            except OSError as error:
                if not partly or image.format != "JPEG" or "truncated" not in str(error):
                    raise
                return _rows_that_are_there(_file(image), least, error)


def _rows_that_are_there(file: IO[bytes], least: int, error: OSError) -> Image.Image:
    """The upper rows of a JPEG file that lacks its end, as read_picture gives them; if they are few, the error."""
    file.seek(0)
    with Image.open(io.BytesIO(file.read() + END_OF_JPEG), formats=["JPEG"]) as image:
        size = image.size
        image.draft(None, (least, least))
        if image.mode not in ("L", "RGB"):
            raise error
        right = np.asarray(image)[:, -1].reshape(image.height, -1)
        rows = int(np.flatnonzero((right != UNDECODED).any(axis=1)).max(initial=-1)) + 1
        if rows < LEAST_ROWS * image.height:
            raise error
        there = image.crop((0, 0, image.width, rows))
        found = _reduced(flat(ImageOps.exif_transpose(there)), least)
        _with_scale(found, (size[0], size[1] * rows / image.height))
        missing = math.ceil(100 * (1 - rows / image.height))
        lost = f", {missing} % of the picture are missing" if missing else ""
        found.info[CUT_SHORT] = f"the file is cut short{lost}"
        return found


def opened_picture(image: Image.Image, least: int = LONGEST) -> Image.Image:
    """A Pillow image in the form of read_picture."""
    with _one_line("the picture"):
        upright = flat(ImageOps.exif_transpose(image))
        upright.info.pop(SCALE, None)
        return reduced(upright, least)


def array_picture(values: npt.NDArray[Any], least: int = LONGEST) -> Image.Image:
    """An array in the form of read_picture. DataError if it is not a picture.

    Shapes: (h, w), (h, w, channels) with 1, 3 or 4, or else (channels, h, w) with 1 or 3. bool is black and white;
    integers are 0 or more, and the largest of those wider than 8 bits decides whether they have 8, 12 or 16 bits, as in
    a file; floats are 0 to 1, up to rounding.
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
        values = values.astype(np.float32)
        values *= np.float32(scale_to_bytes(float(values.max()), "I"))
        if values.ndim == 2:
            return reduced(Image.fromarray(values), least)
        values = np.round(values)
    return opened_picture(Image.fromarray(np.ascontiguousarray(values, np.uint8)), least)


def _with_scale(image: Image.Image, size: tuple[float, float]) -> Image.Image:
    """The picture, with a note on how much larger it was: of this size, upright or not."""
    image.info[SCALE] = max(size) / max(image.size)
    return image


def reduced(image: Image.Image, longest: int) -> Image.Image:
    """The picture with its longer side at this length, if it is longer, and the note on its scale."""
    size = image.info.get(SCALE, 1) * image.width, image.info.get(SCALE, 1) * image.height
    return _with_scale(_reduced(image, longest), size)


def _reduced(image: Image.Image, least: int) -> Image.Image:
    """The picture with its longer side at `least`, if it is longer."""
    return _resized(image, smaller_size(image.size, least), image.size)


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


def _small(image: Image.Image, least: int, name: str) -> Image.Image:
    """The picture without transparency, upright, its longer side reduced to `least`."""
    needed = _coefficients(image)
    image.draft(None, (least, least))  # a JPEG can be decoded at a fraction of its size
    needed += image.width * image.height * (1 if image.mode in ("1", "L", "P") else 2 if image.mode == "I;16" else 4)
    file, factors, rows = _file(image), factors_for(image.size, least), None
    if needed > ALWAYS and image.format == "PNG" and factors != (1, 1):
        rows = png_strips(file, factors[1])
    if needed > ALWAYS and not rows:
        accepted = max(ALWAYS, MOST_UNPACKED * _length(file))
        if needed > accepted:
            raise DataError(
                f"{name}: {_length(file):,} bytes that unpack to {needed:,}; for a file of this size {accepted:,} are "
                f"accepted: save it with fewer pixels"
            )
    with _one_at_a_time if needed > ALWAYS and not rows else contextlib.nullcontext():
        if factors == (1, 1):
            return _reduced(flat(ImageOps.exif_transpose(image)), least)
        turned = None if rows else image.getexif().get(ORIENTATION, 1)  # before it is decoded, which may close the file
        return _of_strips(rows or iter([image]), image.size, factors, least, turned)


def _of_strips(
    strips: Iterator[Image.Image], size: tuple[int, int], factors: tuple[int, int], least: int, orientation: int | None
) -> Image.Image:
    """_small() of a picture of this size in strips, from top to bottom; orientation None: that of the first strip."""
    first = next(strips)
    reduced = shrunk(chain([first], strips), size, factors)
    small = _resized(reduced, smaller_size(size, least), (size[0] / factors[0], size[1] / factors[1]))
    turned = first.getexif().get(ORIENTATION, 1) if orientation is None else orientation
    small.getexif()[ORIENTATION] = turned
    return ImageOps.exif_transpose(small)


def _resized(image: Image.Image, size: tuple[int, int], part: tuple[float, float]) -> Image.Image:
    """The upper left part of this width and height in another size."""
    return image if size == part else image.resize(size, Image.Resampling.HAMMING, (0, 0, *part))


def _coefficients(image: Image.Image) -> int:
    """Bytes that a progressive JPEG needs besides: two for each number at full size, whatever size it is decoded at."""
    if not (isinstance(image, JpegImageFile) and image.info.get("progressive")):
        return 0
    numbers = [across * down for _, across, down, _ in image.layer]
    return 2 * image.width * image.height * sum(numbers) // max(numbers)


def _file(image: Image.Image) -> IO[bytes]:
    file: IO[bytes] = image.fp  # type: ignore[attr-defined]
    return file


def _length(file: IO[bytes]) -> int:
    at = file.tell()
    length = file.seek(0, os.SEEK_END)
    file.seek(at)
    return length


# ---- many pictures --------------------------------------------------------------------------------------------------


def picture_files(folder: Path) -> list[Path]:
    """The pictures in a folder and its sub-folders, by suffix, sorted, without hidden ones.

    OSError, with its filename: a folder cannot be listed.
    """
    found = []
    for root, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        pictures = (name for name in sorted(names) if not name.startswith("."))
        found += [Path(root, name) for name in pictures if Path(name).suffix.lower() in SUFFIXES]
    return found


def _raise(error: OSError) -> None:
    raise error


def in_parallel(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """work(item) for each item, in order.

    Large files are decoded in threads, as decoding and scaling release the interpreter's lock. Small ones are not: the
    threads would only wait for that lock. If no thread can be started, the work is done in this one.
    """
    rest, more = iter(items), True
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        while chunk := list(islice(rest, 8 * cores)):
            started: dict[int, Future[R]] = {}
            for i, item in enumerate(chunk):
                if more and _is_large(item):
                    try:
                        started[i] = pool.submit(work, item)
                    except RuntimeError:
                        more = False
            for i, item in enumerate(chunk):
                future = started.get(i)
                yield future.result() if future else work(item)


def _is_large(item: object) -> bool:
    try:
        return isinstance(item, Path) and item.stat().st_size > LARGE
    except OSError:
        return False
