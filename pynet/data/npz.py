"""Arrays in .npz and .npy files, and data sets in .npz files: see pynet.data.roles for how their arrays are called."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from pynet._ffi import Array
from pynet.data.arrays import read_up_to, reading, unpacked_limit
from pynet.data.roles import ACCEPTED, Found, Role, Source, one_set, read_parts, role_of
from pynet.errors import DataError

POSITIONAL = {"arr_0": Role("", "", "x"), "arr_1": Role("", "", "y")}  # of np.savez(path, x, y)
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


def read_npz(path: Path, task: str | None = None) -> Found:
    """The data set in an .npz file; task: see read_parts.

    Raises DataError: its names are none that are known, or its arrays do not suit.
    """
    with _opened(path) as archive:
        names = _names(archive)
        roles = POSITIONAL if set(names) == POSITIONAL.keys() else {name: role_of(name) for name in names}
        selected = one_set(filter(None, roles.values()), path)
        used = {name: role for name, role in roles.items() if role and role.set == selected}
        if not used:
            raise DataError(f"{path}: holds {_listed(archive)}; accepted: {ACCEPTED}")
        headers = _headers(archive, tuple(used), "iuf", path)
        sources: dict[Role, Source] = {}
        for name, role in used.items():
            source = Source(f"{path}: {name}", headers[name].shape, partial(_content, archive, headers[name], path))
            if role in sources:
                raise DataError(f"{sources[role].name} and {name} are both for the same; accepted: one of them")
            sources[role] = source
        return read_parts(sources, path, task)


def npz_arrays(path: Path, names: tuple[str, ...] | None = None, kinds: str = "iuf") -> dict[str, Array]:
    """Arrays of an .npz file by name; all of them if names is None. Pickled objects are never loaded.

    kinds: NumPy's letters of the dtypes that are accepted.
    """
    with _opened(path) as archive:
        headers = _headers(archive, names or _names(archive), kinds, path)
        return {name: _content(archive, header, path) for name, header in headers.items()}


def only_array(path: Path) -> Source:
    """The array of an .npy file, or the only one of an .npz file, yet to be read. Raises DataError."""
    if path.suffix.lower() == ".npy":
        with reading(path), path.open("rb") as file, _damaged(path, "an .npy"):
            header = _header(file, path.name, os.fstat(file.fileno()).st_size, "iuf", path)
        return Source(str(path), header.shape, partial(_npy_content, header, path))
    with _opened(path) as archive:
        names = _names(archive)
        if len(names) != 1:
            raise DataError(f"{path}: holds {_listed(archive)}; accepted beside files of one array: one array")
        shape = _headers(archive, names, "iuf", path)[names[0]].shape
    return Source(str(path), shape, lambda: npz_arrays(path)[names[0]])


def holds_one(path: Path) -> bool:
    """Whether this is an .npz file of one array, which has to be found together with those of other files."""
    with _opened(path) as archive:
        return len(_names(archive)) == 1


def _npy_content(header: Header, path: Path) -> Array:
    with reading(path), path.open("rb") as file:
        return _array(file, header, path)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    with reading(path), path.open("rb") as file, _damaged(path, "an .npz"):
        _check_directory(file, path)
        with zipfile.ZipFile(file) as archive:
            yield archive


@contextmanager
def _damaged(path: Path, kind: str) -> Iterator[None]:
    """Whatever is raised, as a DataError."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # damaged bytes raise many kinds of errors in zipfile and numpy
        raise DataError(f"{path}: not {kind} file, or damaged: {error or type(error).__name__}") from None


def _check_directory(file: IO[bytes], path: Path) -> None:
    """DataError if the zip directory is large: zipfile needs a kilobyte of memory for an entry of fifty bytes."""
    found = zipfile._EndRecData(file)  # type: ignore[attr-defined]  # private, but unchanged since Python 2
    if found and found[DIRECTORY_SIZE] > MAX_DIRECTORY:
        raise DataError(
            f"{path}: the list of its arrays takes {found[DIRECTORY_SIZE]} bytes, at most {MAX_DIRECTORY} are accepted"
        )


def _names(archive: zipfile.ZipFile) -> tuple[str, ...]:
    return tuple(entry.removesuffix(".npy") for entry in archive.namelist())


def _listed(archive: zipfile.ZipFile) -> str:
    return ", ".join(name[:40] for name in _names(archive)[:8]) or "nothing"


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> zipfile.ZipInfo:
    try:
        return archive.getinfo(name + ".npy")
    except KeyError:
        raise DataError(f"{path}: no {name} in the file, which holds {_listed(archive)}") from None


def _headers(archive: zipfile.ZipFile, names: tuple[str, ...], kinds: str, path: Path) -> dict[str, Header]:
    """Of these arrays. DataError: they are too large together, or not of these kinds."""
    members = {name: _member(archive, name, path) for name in names}
    _check_size(members, path.stat().st_size, path)
    found = {}
    for name, info in members.items():
        with archive.open(info) as member:
            found[name] = _header(member, name, info.file_size, kinds, path)
    return found


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


def _header(member: IO[bytes], name: str, size: int, kinds: str, path: Path) -> Header:
    """What the first bytes of an .npy file of this size say."""
    version = np.lib.format.read_magic(member)
    if version not in ((1, 0), (2, 0)):
        raise DataError(f"{path}: {name} has .npy version {version[0]}.{version[1]}, accepted are 1.0 and 2.0")
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    found = Header(name, *read_header(member), member.tell())
    if found.dtype.kind not in kinds:
        raise DataError(f"{path}: {name} has dtype {found.dtype}, accepted are integers and floats")
    if min(found.shape, default=0) < 0 or found.bytes > size:
        raise DataError(f"{path}: {found}, but unpacks to {size} bytes")
    return found


def _content(archive: zipfile.ZipFile, header: Header, path: Path) -> Array:
    with archive.open(header.name + ".npy") as member:
        return _array(member, header, path)


def _array(member: IO[bytes], header: Header, path: Path) -> Array:
    member.read(header.begin)
    content, more = read_up_to(member, header.bytes)
    if len(content) != header.bytes or more:
        found = "more follow" if more else f"{len(content)} follow (truncated?)"
        raise DataError(f"{path}: {header} = {header.bytes} bytes, but {found}")
    return np.frombuffer(content, header.dtype).reshape(header.shape, order="F" if header.fortran else "C")
