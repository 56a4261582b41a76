"""Arrays in .npz files, and data sets in those of the Keras layout: x_train, y_train, x_test, y_test."""

from __future__ import annotations

import math
import os
import zipfile
from pathlib import Path

import numpy as np

from pynet._ffi import Array
from pynet.data.arrays import Parts, are_pixels, checked, labels, pixels, read_at_most, reading, unpacked_limit
from pynet.errors import DataError

NPZ_PARTS = ("x_train", "y_train", "x_test", "y_test")


def read_npz(path: Path) -> Parts:
    """The four arrays of an .npz file in the Keras layout."""
    arrays = npz_arrays(path, NPZ_PARTS)
    x_train, y_train, x_test, y_test = (arrays[name] for name in NPZ_PARTS)
    names = [f"{path}: {name}" for name in NPZ_PARTS]
    as_bytes = are_pixels(x_train, x_test)
    x_train, x_test = pixels(x_train, names[0], as_bytes), pixels(x_test, names[2], as_bytes)
    return checked(Parts(x_train, labels(y_train, names[1]), x_test, labels(y_test, names[3])), names)


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
        content = read_at_most(member, promised + 1)
    if len(content) != promised:
        found = "more follow" if len(content) > promised else f"{len(content)} follow (truncated?)"
        raise DataError(f"{path}: {name} promises shape {shape} of {dtype} = {promised} bytes, but {found}")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
