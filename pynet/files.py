"""Atomic writes: a file is written whole or not at all. csrc/file/disk.c does the same for model files.

The content goes to a temporary file, is synced to disk, gets the mode of the old file and is renamed to the target.
Only regular files are replaced, not folders, pipes or devices. A symbolic link stays, and the file it points to is
replaced. A write-protected file is refused, although a rename would need only permission for the folder.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple


def path_bytes(path: str | os.PathLike[str]) -> bytes:
    """The path as bytes for the operating system. ValueError: it contains NUL, which would end the name in C."""
    encoded = os.fsencode(path)
    if b"\0" in encoded:
        raise ValueError(f"embedded null byte in the path {os.fsdecode(encoded)!r:.200}; accepted: names without NUL")
    return encoded


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content. OSError: it cannot be read."""
    import hashlib  # imported here: most programs do not need it

    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A temporary binary file beside `path`, renamed to `path` when the block ends without an exception.

    OSError, with `path` in the message: it cannot be written.
    """
    with _naming_path(path), _target(path) as target:
        with _temporary(target) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            file.close()  # NFS may report a write error only now
            os.rename(os.path.basename(file.name), target.name, src_dir_fd=target.folder, dst_dir_fd=target.folder)
        with contextlib.suppress(OSError):  # not every file system can sync a folder
            os.fsync(target.folder)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raises the OSError that replacing(path) would raise later, except for a full disk."""
    with _naming_path(path), _target(path) as target, _temporary(target):
        pass


class _Target(NamedTuple):
    """folder: a file descriptor of `parent`; mode: of the existing file, None if there is none."""

    parent: str
    folder: int
    name: str
    mode: int | None


@contextmanager
def _naming_path(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"cannot write {os.fsdecode(path)}: {error.strerror or error}"
        raise (OSError(error.errno, message) if error.errno else OSError(message)) from None


@contextmanager
def _target(path: str | os.PathLike[str]) -> Iterator[_Target]:
    """The file to replace, checked as far as possible without writing."""
    place, mode = _resolved(os.fsdecode(path_bytes(path)))
    parent, name = os.path.split(place)
    parent = parent or os.curdir
    try:
        folder = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _folder_error(parent, error) from None
    try:
        effective = os.access in os.supports_effective_ids
        if mode is not None and not os.access(name, os.W_OK, dir_fd=folder, effective_ids=effective):
            raise OSError(errno.EACCES, "it is write-protected")
        yield _Target(parent, folder, name, mode)
    finally:
        os.close(folder)


def _resolved(path: str) -> tuple[str, int | None]:
    """The path with links resolved, and the mode of the file, None if it does not exist."""
    try:
        place = os.path.realpath(path, strict=True)
        mode = os.stat(place).st_mode
    except FileNotFoundError:
        if os.path.islink(path):
            raise OSError(errno.ENOENT, "it is a link to a file that does not exist") from None
        return path, None
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    return place, stat.S_IMODE(mode) & 0o777


@contextmanager
def _temporary(target: _Target) -> Iterator[BinaryIO]:
    """A new file with a random name, removed at the end unless it was renamed.

    The random name keeps others from placing a link there first, and leftovers of killed processes do not collide.
    """
    name = f".pynet-{os.getpid()}-{os.urandom(8).hex()}.tmp"
    mode = 0o666 if target.mode is None else target.mode
    try:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode, dir_fd=target.folder)
    except OSError as error:
        raise _folder_error(target.parent, error) from None
    try:
        with open(os.path.join(target.parent, name), "wb", opener=lambda *_: descriptor) as file:
            if target.mode is not None:
                with contextlib.suppress(OSError):  # undoes the umask; not every file system has modes
                    os.fchmod(descriptor, target.mode)
            yield file
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=target.folder)


def _folder_error(folder: str, error: OSError) -> OSError:
    return OSError(error.errno, f"folder {folder}: {error.strerror}")
