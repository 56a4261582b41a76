"""Reading data files: IDX, .npz and .csv into NumPy arrays. Nothing a file says about itself is trusted.

A reader answers with pixels, uint8 (0..255) or finite float32, and labels, int32 in 0..65535; anything else in a file
is a DataError of one line that names the file, the offending value and what is accepted.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pynet.text import printable

Array = npt.NDArray[Any]

GZIP_MAGIC = b"\x1f\x8b"
IDX_UINT8 = 0x0800  # the magic of an IDX file of bytes is this plus the number of its dimensions
IDX_PARTS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
NPZ_PARTS = ("x_train", "y_train", "x_test", "y_test")
MOST_LABELS = 1 << 16
DARKEST_WHITE = 128  # whole numbers that all stay below are counts or flags, not pixels


class DataError(ValueError):
    """A data set that cannot be had, or a file that is damaged or not of an accepted form; the message is one line."""

    def __init__(self, message: str) -> None:
        # Names and fields out of a damaged file can hold line ends and terminal commands.
        super().__init__(printable(message))


class Parts(NamedTuple):
    """x (n, h, w) or (n, features), uint8 or float32; y (n) int32; the same for testing."""

    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what the operating system and the decompressor raise into a DataError about path."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged gz data: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def unpacked_limit(packed: int) -> int:
    """How many bytes a compressed file of this size may unpack to: 64 MB, or 200 times its size if that is more.

    Pictures shrink 5 to 50 times; deflate can reach 1,000 times, but only on a file made to fill the memory.
    """
    return max(64 << 20, 200 * packed)


# ---- IDX (the format of MNIST; Y. LeCun, C. Cortes, C. Burges 1998) --------------------------------------------------


def read_idx(path: Path, rank: int) -> Array:
    """The uint8 array of `rank` dimensions in an IDX file, raw or gz: rank 3 is images, rank 1 labels."""
    with reading(path), path.open("rb") as raw:
        size = os.fstat(raw.fileno()).st_size
        packed = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        stream: IO[bytes] = gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[assignment]
        shape = _idx_shape(stream.read(4 + 4 * rank), rank, path)
        promised = math.prod(shape)
        most = unpacked_limit(size) if packed else size - 4 - 4 * rank
        if promised > most:
            found = f"the file of {size} bytes can hold at most {most}" if packed else f"{most} follow (truncated?)"
            raise DataError(f"{path}: the header promises {_by(shape)} = {promised} bytes, but {found}")
        content = _read_at_most(stream, promised + 1)
    if len(content) != promised:
        found = "more follow" if len(content) > promised else f"{len(content)} follow (truncated?)"
        raise DataError(f"{path}: the header promises {_by(shape)} = {promised} bytes, but {found}")
    return np.frombuffer(content, np.uint8).reshape(shape)


def idx_header(array: Array) -> bytes:
    """The bytes that go before a uint8 array in an IDX file."""
    return struct.pack(f">{1 + array.ndim}I", IDX_UINT8 + array.ndim, *array.shape)


def read_idx_hashed(path: Path, rank: int) -> tuple[Array, str]:
    """read_idx, and the SHA-256 of the file unpacked."""
    array = read_idx(path, rank)
    digest = hashlib.sha256(idx_header(array))
    digest.update(array.data)
    return array, digest.hexdigest()


def _idx_shape(header: bytes, rank: int, path: Path) -> tuple[int, ...]:
    if len(header) < 4 + 4 * rank:
        raise DataError(f"{path}: {len(header)} bytes long, the header of an IDX{rank} file alone is {4 + 4 * rank}")
    magic, *shape = struct.unpack(f">{1 + rank}I", header)
    if magic != IDX_UINT8 + rank:
        raise DataError(f"{path}: magic 0x{magic:08x}, an IDX{rank} file of bytes begins with 0x{IDX_UINT8 + rank:08x}")
    if 0 in shape:
        raise DataError(f"{path}: the header says {_by(shape)}, every size must be at least 1")
    return tuple(shape)


def _read_at_most(stream: IO[bytes], limit: int) -> bytearray:
    """Up to limit bytes, a piece at a time: the memory grows with what is really there."""
    content = bytearray()
    while piece := stream.read(min(1 << 20, limit - len(content))):
        content += piece
    return content


def _by(shape: list[int] | tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def find_idx(folder: Path, part: str) -> Path | None:
    """The IDX file of this part in a folder: raw or .gz, `train-images-idx3-ubyte` or `train-images.idx3-ubyte`."""
    dotted = part.replace("-idx", ".idx")
    candidates = (folder / (name + suffix) for name in (part, dotted) for suffix in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)


def read_idx_folder(folder: Path) -> Parts:
    """The four IDX files of a folder."""
    paths = []
    for part in IDX_PARTS:
        path = find_idx(folder, part)
        if path is None:
            raise DataError(
                f"{folder}: no {part}[.gz] in this folder; a data set is {', '.join(p + '[.gz]' for p in IDX_PARTS)}"
            )
        paths.append(path)
    return idx_parts(paths, [read_idx(path, rank) for path, rank in zip(paths, (3, 1, 3, 1), strict=True)])


def idx_parts(paths: list[Path], arrays: list[Array]) -> Parts:
    """Four arrays from four IDX files, checked against each other."""
    names = [str(path) for path in paths]
    return checked(Parts(arrays[0], labels(arrays[1], names[1]), arrays[2], labels(arrays[3], names[3])), names)


# ---- what holds for every format -------------------------------------------------------------------------------------


def checked(parts: Parts, names: list[str] | tuple[str, ...]) -> Parts:
    """parts, if the four arrays go together; names (4) says what to call them in an error."""
    for x, y, x_name, y_name in ((*parts[:2], *names[:2]), (*parts[2:], *names[2:])):
        if len(x) != len(y):
            raise DataError(f"{x_name} holds {len(x)} images, {y_name} holds {len(y)} labels: they must be as many")
        if x.size == 0:
            raise DataError(f"{x_name} has shape {x.shape}, at least one sample with one feature is needed")
    train, test = parts.x_train, parts.x_test
    if (train.shape[1:], train.dtype) != (test.shape[1:], test.dtype):
        raise DataError(
            f"{names[2]} holds {test.dtype} samples of shape {test.shape[1:]}, "
            f"{names[0]} holds {train.dtype} samples of shape {train.shape[1:]}: they must be alike"
        )
    known, highest = int(parts.y_train.max()), int(parts.y_test.max())
    if highest > known:
        raise DataError(f"{names[3]}: label {highest} at index {int(parts.y_test.argmax())}, {names[1]} has 0..{known}")
    return parts


def labels(y: Array, name: str) -> Array:
    """y as (n) int32 labels. y: (n) or (n, 1), integers or floats that are whole numbers, 0..65535."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or y.dtype.kind not in "iuf":
        raise DataError(f"{name}: {y.dtype} of shape {y.shape}, labels are whole numbers of shape (n,)")
    good = (y >= 0) & (y < MOST_LABELS)
    if y.dtype.kind == "f":
        good &= np.floor(y) == y
    if not good.all():
        i = int(np.argmin(good))
        raise DataError(f"{name}: label {y[i]} at index {i}, labels are whole numbers in 0..{MOST_LABELS - 1}")
    return y.astype(np.int32)


def pixels(x: Array, name: str) -> Array:
    """x as uint8 or float32, C order. x: (n, h, w), (n, h, w, 1) or (n, features), integers or floats.

    uint8, and other integers in 0..255 if one is 128 or more, become uint8, which means x/255; smaller integers and
    floats, which must be finite, are taken as they are.
    """
    if x.ndim == 4 and x.shape[3] == 1:
        x = x[..., 0]
    if x.ndim not in (2, 3):
        raise DataError(f"{name}: shape {x.shape}, accepted are (n, height, width) and (n, features)")
    if x.dtype == np.uint8:
        return np.ascontiguousarray(x)
    if x.dtype.kind in "iu":
        good = (x >= 0) & (x <= 255)
        if not good.all():
            raise DataError(f"{name}: integer pixel {_first_bad(x, good)}, integers are accepted in 0..255")
        return np.ascontiguousarray(x, np.uint8 if x.max(initial=0) >= DARKEST_WHITE else np.float32)
    with np.errstate(over="ignore"):
        floats = np.ascontiguousarray(x, np.float32)
    good = np.isfinite(floats)
    if not good.all():
        raise DataError(f"{name}: pixel {_first_bad(x, good)}, accepted are finite float32 numbers")
    return floats


def _first_bad(x: Array, good: Array) -> str:
    index = np.unravel_index(int(np.argmin(good)), x.shape)
    return f"{x[index]} at index {tuple(map(int, index))}"


# ---- .npz (Keras layout: x_train, y_train, x_test, y_test) -----------------------------------------------------------


def read_npz(path: Path) -> Parts:
    """The four arrays of an .npz file in the Keras layout."""
    arrays = npz_arrays(path, NPZ_PARTS)
    x_train, y_train, x_test, y_test = (arrays[name] for name in NPZ_PARTS)
    names = [f"{path}: {name}" for name in NPZ_PARTS]
    return checked(
        Parts(pixels(x_train, names[0]), labels(y_train, names[1]), pixels(x_test, names[2]), labels(y_test, names[3])),
        names,
    )


def npz_arrays(path: Path, names: tuple[str, ...] | None = None, kinds: str = "iuf") -> dict[str, Array]:
    """Arrays of an .npz file by name; all of them if names is None. Pickled objects are never loaded.

    kinds: NumPy's letters of the dtypes that are accepted.
    """
    with reading(path), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            with zipfile.ZipFile(file) as archive:
                wanted = names or tuple(entry.removesuffix(".npy") for entry in archive.namelist())
                return {name: _npz_member(archive, name, size, kinds, path) for name in wanted}
        except DataError:
            raise
        except Exception as error:  # zipfile and numpy raise a dozen kinds on damaged bytes, not all documented
            raise DataError(f"{path}: not an .npz file, or damaged: {error or type(error).__name__}") from None


def _npz_member(archive: zipfile.ZipFile, name: str, size: int, kinds: str, path: Path) -> Array:
    """One array of an .npz; zipfile itself never unpacks more than the directory's file_size."""
    try:
        info = archive.getinfo(name + ".npy")
    except KeyError:
        found = ", ".join(entry.removesuffix(".npy")[:40] for entry in archive.namelist()[:8]) or "nothing"
        raise DataError(f"{path}: no {name} in the file, which holds {found}; needed: {', '.join(NPZ_PARTS)}") from None
    if info.file_size > unpacked_limit(size):
        limit = unpacked_limit(size)
        raise DataError(
            f"{path}: {name} unpacks to {info.file_size} bytes, at most {limit} are accepted for a file of {size} bytes"
        )
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        if version not in ((1, 0), (2, 0)):
            raise DataError(f"{path}: {name} has .npy version {version[0]}.{version[1]}, accepted are 1.0 and 2.0")
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read_header(member)
        if dtype.kind not in kinds:
            raise DataError(f"{path}: {name} has dtype {dtype}, accepted are integers and floats")
        promised = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or promised > info.file_size:
            raise DataError(f"{path}: {name} promises shape {shape} of {dtype}, but unpacks to {info.file_size} bytes")
        content = _read_at_most(member, promised + 1)
    if len(content) != promised:
        found = "more follow" if len(content) > promised else f"{len(content)} follow (truncated?)"
        raise DataError(f"{path}: {name} promises shape {shape} of {dtype} = {promised} bytes, but {found}")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


# ---- .csv (Kaggle layout: label first, header optional) --------------------------------------------------------------


def read_csv(path: Path) -> tuple[Array, Array]:
    """(x, y) from a .csv: a line is a label, then the features, separated by commas.

    A first line whose first field is not a number is a header. If every feature is a whole number in 0..255, and one is
    128 or more, they are pixels, x (n, features) is uint8 and means x/255; otherwise x is float32, taken as it is.
    """
    with reading(path):
        header = _csv_header(path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of an empty file, which is an error below
                table = np.loadtxt(
                    str(path.resolve()),
                    dtype=np.float32,
                    delimiter=",",
                    comments=None,
                    skiprows=header,
                    ndmin=2,
                    encoding="utf-8-sig",
                )
        except ValueError as error:
            raise DataError(_csv_fault(path, header) or f"{path}: {error}") from None
        if table.size == 0:
            raise DataError(f"{path}: no line with numbers; a line is a label, then the features")
        y = table[:, 0]
        if table.shape[1] < 2 or not (np.isfinite(table).all() and _are_labels(y)):
            raise DataError(_csv_fault(path, header) or f"{path}: a number that float32 cannot hold")
    x: Array = table[:, 1:]
    if x.min() >= 0 and DARKEST_WHITE <= x.max() <= 255:
        small = x.astype(np.uint8)
        x = small if np.array_equal(small, x) else x
    return np.ascontiguousarray(x), y.astype(np.int32)


def _are_labels(y: Array) -> bool:
    return bool(((y >= 0) & (y < MOST_LABELS) & (np.floor(y) == y)).all())


def _csv_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(number of the line from 1, its fields) for each line that is not blank."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line.rstrip("\r\n").split(",")


def _csv_header(path: Path) -> int:
    """How many lines to skip: up to the header, or none."""
    number, fields = next(_csv_lines(path), (0, [""]))
    return number if _number(fields[0]) is None else 0


def _number(field: str) -> float | None:
    try:
        return None if "_" in field else float(field)
    except ValueError:
        return None


def _csv_fault(path: Path, header: int) -> str | None:
    """What is wrong with the first bad line; slow, and only called when something is."""
    width, largest = 0, float(np.finfo(np.float32).max)
    for line, fields in _csv_lines(path):
        if line <= header:
            continue
        width = width or len(fields)
        if len(fields) < 2:
            return f"{path}: line {line} has {len(fields)} field, a line is a label, then at least one feature"
        if len(fields) != width:
            return f"{path}: line {line} has {len(fields)} fields, the lines before have {width}"
        for column, field in enumerate(fields, 1):
            value = _number(field)
            if value is None or not abs(value) <= largest:
                return f"{path}: line {line}, field {column}: {field[:40]!r}, accepted are finite float32 numbers"
        label = float(fields[0])
        if not (0 <= label < MOST_LABELS and label == int(label)):
            return f"{path}: line {line}: label {fields[0][:40]}, labels are whole numbers in 0..{MOST_LABELS - 1}"
    return None
