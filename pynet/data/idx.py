"""IDX files, the format of MNIST (Y. LeCun, C. Cortes, C. Burges 1998), raw or gz."""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO

from pynet._ffi import Array
from pynet.data.arrays import GZIP_MAGIC, Parts, checked, labels, read_up_to, reading, unpacked_limit
from pynet.data.roles import Source
from pynet.errors import DataError
from pynet.files import replacing

IDX_UINT8 = 0x0800  # the magic of an IDX file of bytes is this plus the number of its dimensions
IDX_PARTS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@contextmanager
def _opened(path: Path, rank: int) -> Iterator[tuple[IO[bytes], tuple[int, ...], bool]]:
    """The data of an IDX file behind its header, the shape that this declares, and whether the file is compressed."""
    with reading(path), path.open("rb") as raw:
        packed = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        stream: IO[bytes] = gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[assignment]
        yield stream, _idx_shape(stream.read(4 + 4 * rank), rank, path), packed


def read_idx(path: Path, rank: int) -> Array:
    """The uint8 array of `rank` dimensions in an IDX file, raw or gz: rank 3 is images, rank 1 labels."""
    with _opened(path, rank) as (stream, shape, packed):
        size, declared = os.fstat(stream.fileno()).st_size, math.prod(shape)
        available = unpacked_limit(size) if packed else size - 4 - 4 * rank
        text = f"{path}: the header declares {_shape_text(shape)} = {declared} bytes, but"
        if declared > available and packed:
            raise DataError(f"{text} the file of {size} bytes can hold at most {available}")
        if declared > available:
            raise DataError(f"{text} {available} follow (truncated?)")
        content, more = read_up_to(stream, declared)
    if len(content) != declared or more:
        raise DataError(f"{text} {'more follow' if more else f'{len(content)} follow (truncated?)'}")
    return content.reshape(shape)


def idx_header(array: Array) -> bytes:
    """The header of an IDX file for a uint8 array."""
    return struct.pack(f">{1 + array.ndim}I", IDX_UINT8 + array.ndim, *array.shape)


def read_idx_hashed(path: Path, rank: int) -> tuple[Array, str]:
    """read_idx, and the SHA-256 of the unpacked file."""
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
        raise DataError(f"{path}: the header says {_shape_text(shape)}, every size must be at least 1")
    return tuple(shape)


def _shape_text(shape: list[int] | tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def find_idx(folder: Path, part: str) -> Path | None:
    """The IDX file of this part in a folder: raw or .gz, `train-images-idx3-ubyte` or `train-images.idx3-ubyte`."""
    dotted = part.replace("-idx", ".idx")
    candidates = (folder / (name + suffix) for name in (part, dotted) for suffix in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)


def idx_source(path: Path, rank: int) -> Source:
    """The array of an IDX file, yet to be read."""
    with _opened(path, rank) as (_, shape, _):
        return Source(str(path), shape, partial(read_idx, path, rank))


def idx_parts(paths: list[Path], arrays: list[Array]) -> Parts:
    """Four arrays from four IDX files, checked against each other."""
    names = [str(path) for path in paths]
    return checked(Parts(arrays[0], labels(arrays[1], names[1]), arrays[2], labels(arrays[3], names[3])), names)


# ---- unpacked copies of the gz files of named sets, which save a third of a second on each run ----
#
# A copy is named <SHA-256 of the gz file>-<SHA-256 of the content>.idx. It is used only if its content has that hash,
# so a damaged copy is replaced, and a changed gz file gets a new one. Copies may be deleted at any time.


def find_unpacked(folder: Path, gz_sha256: str, rank: int) -> tuple[Array, str] | None:
    """The content of the gz file with this SHA-256, and its own SHA-256; None: there is no valid copy."""
    for path in folder.glob(f"{gz_sha256}-*.idx"):
        with suppress(DataError):
            array, content_sha256 = read_idx_hashed(path, rank)
            if path.stem == f"{gz_sha256}-{content_sha256}":
                return array, content_sha256
    return None


def store_unpacked(folder: Path, gz_sha256: str, array: Array, content_sha256: str) -> None:
    """Writes a copy into folder; if that fails, the next run unpacks again."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / f"{gz_sha256}-{content_sha256}.idx") as file:
            file.write(idx_header(array))
            file.write(array.data)
