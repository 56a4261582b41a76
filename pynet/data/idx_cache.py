"""Unpacked copies of the gz files of named sets, so that a second run does not gunzip.

A copy lies in the cache folder and is called <SHA-256 of the gz file>-<SHA-256 of the content>.idx. It is used only if
its content still has that hash, so a damaged one counts as missing and is replaced, and a gz file that changes gets
another copy. Deleting them costs the next run a third of a second.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pynet._ffi import Array
from pynet.data.idx import idx_header, read_idx_hashed
from pynet.errors import DataError
from pynet.files import replacing


def find(folder: Path, gz_sha256: str, rank: int) -> tuple[Array, str] | None:
    """The content of the gz file whose SHA-256 is packed, and its hash; None: no sound copy."""
    for path in folder.glob(f"{gz_sha256}-*.idx"):
        with suppress(DataError):
            array, content_sha256 = read_idx_hashed(path, rank)
            if path.stem == f"{gz_sha256}-{content_sha256}":
                return array, content_sha256
    return None


def store(folder: Path, gz_sha256: str, array: Array, content_sha256: str) -> None:
    """Puts a copy into folder; where that cannot be written, the next run unpacks again."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / f"{gz_sha256}-{content_sha256}.idx") as file:
            file.write(idx_header(array))
            file.write(array.data)
