"""Reads .npz files, and data sets in the Keras layout: x_train, y_train, x_test, y_test."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from pynet._ffi import Array
from pynet.data.arrays import (
    Parts,
    are_pixels,
    check_shapes,
    checked,
    labels,
    pixels,
    read_up_to,
    reading,
    unpacked_limit,
)
from pynet.errors import DataError

NPZ_PARTS = ("x_train", "y_train", "x_test", "y_test")
MAX_DIRECTORY = 1 << 20  # bytes, for about ten thousand arrays
DIRECTORY_SIZE = 5  # index of that size in zipfile's end record


class Header(NamedTuple):
    """The header of an .npy file, and the offset of its data in bytes."""

    name: str
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    begin: int

    @property
    def bytes(self) -> int:
        """The size of the array."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.name} declares shape {self.shape} of {self.dtype}"


def read_npz(path: Path) -> Parts:
    """The four arrays of an .npz file in the Keras layout."""

    def check(found: dict[str, Header]) -> None:
        for x, y in (NPZ_PARTS[:2], NPZ_PARTS[2:]):
            check_shapes(found[x].shape, found[y].shape, f"{path}: {x}", f"{path}: {y}")

    arrays = npz_arrays(path, NPZ_PARTS, check=check)
    x_train, y_train, x_test, y_test = (arrays[name] for name in NPZ_PARTS)
    names = [f"{path}: {name}" for name in NPZ_PARTS]
    as_bytes = are_pixels(x_train, x_test)
    y_train, y_test = labels(y_train, names[1]), labels(y_test, names[3])
    x_train, x_test = pixels(x_train, names[0], as_bytes), pixels(x_test, names[2], as_bytes)
    return checked(Parts(x_train, y_train, x_test, y_test), names)


def npz_arrays(
    path: Path,
    names: tuple[str, ...] | None = None,
    kinds: str = "iuf",
    check: Callable[[dict[str, Header]], None] | None = None,
) -> dict[str, Array]:
    """Arrays of an .npz file by name; all of them if names is None. Pickled objects are never loaded.

    kinds: accepted dtypes, as NumPy's letters. check: called with the headers before the arrays are read; raises
    DataError if they are not acceptable.
    """
    with reading(path), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            _check_directory(file, path)
            with zipfile.ZipFile(file) as archive:
                selected = names or tuple(entry.removesuffix(".npy") for entry in archive.namelist())
                members = {name: _member(archive, name, path) for name in selected}
                _check_size(members, size, path)
                headers = {name: _header(archive, info, name, kinds, path) for name, info in members.items()}
                if check:
                    check(headers)
                return {name: _content(archive, members[name], header, path) for name, header in headers.items()}
        except DataError:
            raise
        except Exception as error:  # damaged bytes raise many kinds of errors in zipfile and numpy
            raise DataError(f"{path}: not an .npz file, or damaged: {error or type(error).__name__}") from None


def _check_directory(file: IO[bytes], path: Path) -> None:
    """DataError if the zip directory is large: zipfile needs a kilobyte of memory for an entry of fifty bytes."""
    found = zipfile._EndRecData(file)  # type: ignore[attr-defined]  # private, but unchanged since Python 2
    if found and found[DIRECTORY_SIZE] > MAX_DIRECTORY:
        raise DataError(
            f"{path}: the list of its arrays takes {found[DIRECTORY_SIZE]} bytes, at most {MAX_DIRECTORY} are accepted"
        )


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> zipfile.ZipInfo:
    try:
        return archive.getinfo(name + ".npy")
    except KeyError:
        found = ", ".join(entry.removesuffix(".npy")[:40] for entry in archive.namelist()[:8]) or "nothing"
        raise DataError(f"{path}: no {name} in the file, which holds {found}; needed: {', '.join(NPZ_PARTS)}") from None


def _check_size(members: dict[str, zipfile.ZipInfo], size: int, path: Path) -> None:
    """DataError if the total unpacked size is too large; zipfile never unpacks more than file_size of a member."""
    total, limit = 0, unpacked_limit(size)
    for name, info in members.items():
        total += info.file_size
        if total > limit:
            others = " with those before it" if total > info.file_size else ""
            raise DataError(
                f"{path}: {name}{others} unpacks to {total} bytes, "
                f"at most {limit} are accepted for a file of {size} bytes"
            )


def _header(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, kinds: str, path: Path) -> Header:
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        if version not in ((1, 0), (2, 0)):
            raise DataError(f"{path}: {name} has .npy version {version[0]}.{version[1]}, accepted are 1.0 and 2.0")
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        found = Header(name, *read_header(member), member.tell())
    if found.dtype.kind not in kinds:
        raise DataError(f"{path}: {name} has dtype {found.dtype}, accepted are integers and floats")
    if min(found.shape, default=0) < 0 or found.bytes > info.file_size:
        raise DataError(f"{path}: {found}, but unpacks to {info.file_size} bytes")
    return found


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, header: Header, path: Path) -> Array:
    with archive.open(info) as member:
        member.read(header.begin)
        content, more = read_up_to(member, header.bytes)
    if len(content) != header.bytes or more:
        found = "more follow" if more else f"{len(content)} follow (truncated?)"
        raise DataError(f"{path}: {header} = {header.bytes} bytes, but {found}")
    return np.frombuffer(content, header.dtype).reshape(header.shape, order="F" if header.fortran else "C")
