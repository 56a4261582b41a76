"""A cache of unpacked gz files of named sets, which saves a third of a second on each run.

A copy in the cache folder is named <SHA-256 of the gz file>-<SHA-256 of the content>.idx. It is used only if its
content has that hash, so a damaged copy is replaced, and a changed gz file gets a new one. Copies may be deleted at any
time.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pynet._ffi import Array
from pynet.data.idx import idx_header, read_idx_hashed
from pynet.errors import DataError
from pynet.files import replacing


def find(folder: Path, gz_sha256: str, rank: int) -> tuple[Array, str] | None:
    """The content of the gz file with this SHA-256, and its own SHA-256; None: there is no valid copy."""
    for path in folder.glob(f"{gz_sha256}-*.idx"):
        with suppress(DataError):
            array, content_sha256 = read_idx_hashed(path, rank)
            if path.stem == f"{gz_sha256}-{content_sha256}":
                return array, content_sha256
    return None


def store(folder: Path, gz_sha256: str, array: Array, content_sha256: str) -> None:
    """Writes a copy into folder; if that fails, the next run unpacks again."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / f"{gz_sha256}-{content_sha256}.idx") as file:
            file.write(idx_header(array))
            file.write(array.data)
