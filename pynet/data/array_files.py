"""Data sets with a file for each array: IDX, .npy, or .npz with a single array, as KMNIST has them."""

from __future__ import annotations

import re
from pathlib import Path

from pynet.data.idx import idx_source
from pynet.data.npz import only_array
from pynet.data.roles import ACCEPTED, Found, Role, Source, one_set, read_parts, role_of
from pynet.errors import DataError

_IDX = re.compile(r"(.+)[-.]idx[13]-ubyte(\.gz)?")


def array_files(folder: Path) -> dict[Role, Path]:
    """The files of a folder that hold one array each, by the roles that their names give.

    IDX files have precedence over others, and uncompressed over compressed ones. Files that are not IDX are used only
    if both samples and labels are there.
    """
    found: dict[Role, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda path: (not _IDX.fullmatch(path.name), path.suffix, path.name)):
        role = role_of_file(path)
        if role and path.is_file():
            found.setdefault(role, path)
    pairs = {(role.set, role.part) for role in found if role.kind == "x"}
    pairs &= {(role.set, role.part) for role in found if role.kind == "y"}
    return {role: path for role, path in found.items() if _IDX.fullmatch(path.name) or role[:2] in pairs}


def role_of_file(path: Path) -> Role | None:
    """The role of a file with a single array; None: its name gives none, or it is another kind of file."""
    idx = _IDX.fullmatch(path.name)
    if not idx and path.suffix.lower() not in (".npy", ".npz"):
        return None
    return role_of(idx[1] if idx else path.stem)


def read_array_files(place: Path, task: str | None = None) -> tuple[str, Found]:
    """(name, data set) of a folder of such files, or of the files that belong together with this one.

    The name is empty if the names of the files give none; task: see read_parts. Raises DataError.
    """
    folder = place if place.is_dir() else place.parent
    files = array_files(folder)
    own = None if place.is_dir() else role_of_file(place)
    if own and own not in files:
        raise DataError(f"{place}: no file beside it goes with this one; accepted: {ACCEPTED}")
    name = own.set if own else one_set(files, folder)
    used = {role: path for role, path in files.items() if role.set == name}
    return name, read_parts({role: _source(path, role) for role, path in used.items()}, folder, task)


def _source(path: Path, role: Role) -> Source:
    return idx_source(path, 3 if role.kind == "x" else 1) if _IDX.fullmatch(path.name) else only_array(path)
