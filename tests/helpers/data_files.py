"""Small data files for the tests of pynet.data, and what every data set must satisfy."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from pynet._ffi import Array
from pynet.data import Dataset
from pynet.data.idx import IDX_PARTS

RNG = np.random.default_rng(2)
X_TRAIN = RNG.integers(0, 256, (12, 4, 3), dtype=np.uint8)
X_TRAIN[0, 0, :2] = 0, 255
Y_TRAIN = np.arange(12, dtype=np.uint8) % 3
X_TEST = RNG.integers(0, 256, (6, 4, 3), dtype=np.uint8)
Y_TEST = np.arange(6, dtype=np.uint8) % 3
ARRAYS = (X_TRAIN, Y_TRAIN, X_TEST, Y_TEST)


def idx_bytes(array: Array, magic: int | None = None, shape: tuple[int, ...] | None = None) -> bytes:
    """An IDX file; magic and shape may contradict the array."""
    shape = array.shape if shape is None else shape
    return struct.pack(f">{1 + len(shape)}I", magic or 0x800 + array.ndim, *shape) + array.tobytes()


def write_idx(folder: Path, *, packed: bool = False, dotted: bool = False, level: int = 9) -> Path:
    """A folder of four good IDX files."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, array in zip(IDX_PARTS, ARRAYS, strict=True):
        name = part.replace("-idx", ".idx") if dotted else part
        content = idx_bytes(array)
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content, level, mtime=0))
        else:
            (folder / name).write_bytes(content)
    return folder


def write_npz(path: Path, **changed: Array | None) -> Path:
    """An .npz in the Keras layout; changed replaces an array, None leaves it out."""
    arrays: dict[str, Array | None] = dict(zip(("x_train", "y_train", "x_test", "y_test"), ARRAYS, strict=True))
    arrays |= changed
    np.savez_compressed(path, **{name: array for name, array in arrays.items() if array is not None})  # type: ignore[arg-type]
    return path


def write_pictures(folder: Path, count: int) -> None:
    """Two classes, a and b, with this number of pictures each: a diagonal line, a black triangle."""
    for name, shape in (("a", np.eye(28)), ("b", np.tri(28))):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray((np.roll(shape, i) * 255).astype(np.uint8)).save(folder / name / f"{i}.png")


def assert_sound(data: Dataset) -> None:
    """Checks the properties of every Dataset."""
    assert data.x_train.dtype == data.x_test.dtype
    assert data.x_train.dtype in (np.uint8, np.float32)
    assert data.x_train.shape[1:] == data.x_test.shape[1:]
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert y.dtype == np.int32
        assert y.ndim == 1
        assert x.ndim in (2, 3, 4)
        assert len(x) == len(y) > 0
        assert x.size > 0
        assert np.isfinite(x).all()
        assert y.min() >= 0
        assert y.max() < len(data.classes)
    assert "\n" not in data.source


def assert_same(found: Dataset, arrays: tuple[Array, ...] = ARRAYS) -> None:
    """Checks these arrays of a Dataset, and those properties."""
    assert_sound(found)
    for got, expected in zip((found.x_train, found.y_train, found.x_test, found.y_test), arrays, strict=True):
        np.testing.assert_array_equal(got, expected)
        assert got.flags.c_contiguous
