"""Checks of data files, common to all formats: nothing that a file declares is trusted.

Readers return pixels, uint8 (0..255) or finite float32, and labels, int32 in 0..65535. Anything else in a file raises a
DataError of one line that names the file, the offending value and what is accepted.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from pynet._ffi import Array
from pynet.errors import DataError
from pynet.model.samples import is_one_hot
from pynet.text import MIN_WHITE, times

MAX_LABELS = 1 << 16
TASKS = ("classes", "number")  # what a target can be
MAX_CLASSES = 100  # different whole numbers among floats that are taken for classes
CHANNELS = (1, 3)  # of pictures
GZIP_MAGIC = b"\x1f\x8b"
PIECE = 1 << 20  # bytes in one read


class Parts(NamedTuple):
    """x (n, h, w), (n, 3, h, w) or (n, features), uint8 or float32; y: labels (n) int32, or targets (n) or (n, outputs)
    float32; the same for testing."""

    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array


@dataclass(frozen=True)
class PictureLayout:
    """How the pictures of a file lie in it, where its arrays do not say.

    shape: of the pictures that rows of numbers are: (height, width), (channels, height, width) or, pixel after pixel,
    (height, width, channels), with 1 or 3 channels. transpose: whether rows and columns are exchanged; None: as the
    file's name says, see pynet.data.array_files. whole: they show no glyphs that are to be found in other pictures.
    """

    shape: tuple[int, ...] | None = None
    transpose: bool | None = None
    whole: bool = False

    def applied(self, x: Array, name: str) -> Array:
        """Samples x (n, ...) as (n, height, width) or (n, 3, height, width), if this says anything. DataError."""
        if self.shape:
            if math.prod(self.shape) != math.prod(x.shape[1:]):
                raise DataError(f"{name}: samples of {times(x.shape[1:])} are no pictures of {times(self.shape)}")
            if x.ndim == 2:
                x = x.reshape(len(x), *self.shape)
                x = channels_first(x) if x.ndim == 4 else x
        if self.transpose:
            if x.ndim < 3:
                raise DataError(f"{name}: rows of {x.shape[1]} numbers cannot be transposed; --shape says how they lie")
            x = np.swapaxes(x, -1, -2)
        return np.ascontiguousarray(x)


def checked(parts: Parts, names: list[str] | tuple[str, ...]) -> Parts:
    """parts, if the four arrays are consistent. names (4): of the arrays, for messages. Raises DataError."""
    for x, y, x_name, y_name in ((*parts[:2], *names[:2]), (*parts[2:], *names[2:])):
        check_shapes(x.shape, y.shape, x_name, y_name)
    train, test = parts.x_train, parts.x_test
    if (train.shape[1:], train.dtype) != (test.shape[1:], test.dtype):
        raise DataError(
            f"{names[2]} holds {test.dtype} samples of shape {test.shape[1:]}, "
            f"{names[0]} holds {train.dtype} samples of shape {train.shape[1:]}: these must be the same"
        )
    if parts.y_train.dtype != np.int32:
        if parts.y_train.shape[1:] != parts.y_test.shape[1:]:
            shapes = f"{names[3]} has shape {parts.y_test.shape}, {names[1]} has {parts.y_train.shape}"
            raise DataError(f"{shapes}: these must be the same")
        return parts
    known, highest = int(parts.y_train.max()), int(parts.y_test.max())
    if highest > known:
        raise DataError(f"{names[3]}: label {highest} at index {int(parts.y_test.argmax())}, {names[1]} has 0..{known}")
    return parts


def check_shapes(x: tuple[int, ...], y: tuple[int, ...], x_name: str, y_name: str) -> None:
    """DataError if pictures of shape x cannot have labels of shape y."""
    check_pictures(x, x_name)
    if y and x[0] != y[0]:
        raise DataError(f"{x_name} holds {x[0]} images, {y_name} holds {y[0]} labels: these numbers must be equal")
    if 0 in x:
        raise DataError(f"{x_name} has shape {x}, at least one sample with one feature is needed")


def check_pictures(shape: tuple[int, ...], name: str) -> None:
    """DataError unless this is the shape of pictures or rows of features."""
    if len(shape) not in (2, 3) and not (len(shape) == 4 and (shape[3] in CHANNELS or shape[1] in CHANNELS)):
        raise DataError(
            f"{name}: shape {shape}, accepted are (n, height, width) and (n, features), and of pictures with 1 or 3 "
            f"channels (n, height, width, channels) and (n, channels, height, width)"
        )


def are_targets(*parts: Array) -> bool:
    """Whether y, (n) or (n, outputs), holds numbers to predict: floats that are no classes. The parts are of one file.

    Classes are integers, one-hot rows, and floats that are whole numbers from 0 or 1 on, not too many different ones.
    """
    floats = [y.reshape(len(y), -1) for y in parts if y.dtype.kind == "f" and y.ndim]
    if any(y.shape[1] > 1 and not is_one_hot(y) for y in floats):
        return True
    values = [np.unique(y) for y in floats if y.shape[1] == 1 and y.size]
    if not values:
        return False
    different = np.unique(np.concatenate(values)).astype(np.float64)  # MAX_LABELS is more than a float16 holds
    as_labels = different[0] in (0, 1) and len(different) <= MAX_CLASSES and different[-1] < MAX_LABELS
    return not (as_labels and np.array_equal(different, np.floor(different)))


def targets(y: Array, name: str) -> Array:
    """y, numbers of shape (n), (n, 1) or (n, outputs), as float32: (n) or (n, outputs)."""
    if y.ndim not in (1, 2) or y.dtype.kind not in "iuf" or 0 in y.shape:
        raise DataError(f"{name}: {y.dtype} of shape {y.shape}, targets are numbers of shape (n,) or (n, outputs)")
    with np.errstate(over="ignore"):
        found = np.ascontiguousarray(y[:, 0] if y.shape[1:] == (1,) else y, np.float32)
    good = np.isfinite(found)
    if not good.all():
        raise DataError(
            f"{name}: target {_first_bad(y.reshape(found.shape), good)}, accepted are finite float32 numbers"
        )
    return found


def labels(y: Array, name: str) -> Array:
    """y as (n) int32 labels. y: (n) or (n, 1), integers or floats that are whole numbers, 0..65535; or one-hot rows."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2 and y.dtype.kind in "iuf" and y.size and is_one_hot(y):
        y = y.argmax(axis=1)
    if y.ndim != 1 or y.dtype.kind not in "iuf":
        raise DataError(f"{name}: {y.dtype} of shape {y.shape}, labels are whole numbers of shape (n,)")
    good = (y >= 0) & (y < np.float64(MAX_LABELS))
    if y.dtype.kind == "f":
        good &= np.floor(y) == y
    if not good.all():
        i = int(np.argmin(good))
        accepted = f"labels are whole numbers in 0..{MAX_LABELS - 1}, task number takes any"
        raise DataError(f"{name}: label {y[i]} at index {i}, {accepted}")
    return y.astype(np.int32)


def are_pixels(*parts: Array) -> bool:
    """Whether the integers of a file are pixels: some part is uint8, or has a number of 128 or more."""
    whole = [x for x in parts if x.dtype.kind in "iu"]
    return any(x.dtype == np.uint8 or x.max(initial=0) >= MIN_WHITE for x in whole)


def pixels(x: Array, name: str, as_bytes: bool) -> Array:
    """x (n, h, w), (n, 3, h, w) or (n, features) as uint8 or float32, C order.

    x: one of these shapes, or with one channel, or with the channels last; integers or floats.

    as_bytes (see are_pixels): integers, which must be in 0..255, become uint8, meaning x/255; else float32 with the
    same values. Floats must be finite.
    """
    check_pictures(x.shape, name)
    if x.ndim == 4:
        x = channels_first(x)
    if x.dtype == np.uint8:
        return np.ascontiguousarray(x)
    if x.dtype.kind in "iu":
        good = (x >= 0) & (x <= 255)
        if not good.all():
            raise DataError(f"{name}: integer pixel {_first_bad(x, good)}, integers are accepted in 0..255")
        return np.ascontiguousarray(x, np.uint8 if as_bytes else np.float32)
    with np.errstate(over="ignore"):
        floats = np.ascontiguousarray(x, np.float32)
    good = np.isfinite(floats)
    if not good.all():
        raise DataError(f"{name}: pixel {_first_bad(x, good)}, accepted are finite float32 numbers")
    return floats


def channels_first(x: Array) -> Array:
    """A view (n, h, w) or (n, 3, h, w) of pictures (n, h, w, channels) or (n, channels, h, w), 1 or 3 of them."""
    if x.shape[3] in CHANNELS:
        x = np.moveaxis(x, 3, 1)
    return x[:, 0] if x.shape[1] == 1 else x


def _first_bad(x: Array, good: Array) -> str:
    index = np.unravel_index(int(np.argmin(good)), x.shape)
    return f"{x[index]} at index {tuple(map(int, index))}"


# ---- files ----


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Converts errors of the operating system and of decompression to a DataError that names path."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged gz data: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def unpacked_limit(packed: int) -> int:
    """The accepted unpacked size in bytes of a compressed file of this size: 16 MB, or 200 times its size if larger.

    Pictures compress by factors of 5 to 50. deflate can reach 1,000, but only in a file made to exhaust memory.
    """
    return max(16 << 20, 200 * packed)


def read_up_to(stream: IO[bytes], size: int) -> tuple[Array, bool]:
    """Up to `size` bytes of a stream as (n) uint8, and whether more follow.

    Memory pages are used only as bytes arrive, even if size is much too large.
    """
    content, n = np.empty(size, np.uint8), 0
    while piece := stream.read(min(PIECE, size - n)):
        content[n : n + len(piece)] = np.frombuffer(piece, np.uint8)
        n += len(piece)
    return content[:n], n == size and bool(stream.read(1))
