"""Data sets in the layouts of other programs: channels, names of arrays, a file for each array, order of pixels."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from helpers.data_files import ARRAYS, X_TEST, X_TRAIN, Y_TEST, Y_TRAIN, assert_same, assert_sound, idx_bytes, write_npz

from pynet import data
from pynet._ffi import Array
from pynet.data import DataError, Dataset
from pynet.data.roles import Role, role_of

RNG = np.random.default_rng(3)
COLOR = RNG.integers(0, 256, (12, 5, 4, 3), dtype=np.uint8)


def rows(found: Dataset) -> list[bytes]:
    """The samples as sorted bytes."""
    return sorted(x.tobytes() for x in (*found.x_train, *found.x_test))


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("x_train", ("", "train", "x")),
        ("Y-Test", ("", "test", "y")),
        ("Xtrain", ("", "train", "x")),
        ("valY", ("", "val", "y")),
        ("X", ("", "", "x")),
        ("labels", ("", "", "y")),
        ("train_data", ("", "train", "x")),
        ("train_data_y", ("", "train", "y")),
        ("val_images", ("", "val", "x")),
        ("kmnist-train-imgs", ("kmnist", "train", "x")),
        ("k49-test-labels", ("k49", "test", "y")),
        ("emnist-letters-train-images-idx3-ubyte", ("emnist-letters", "train", "x")),
        ("t10k-labels.idx1-ubyte", ("", "test", "y")),
        ("label_names", ("names", "", "y")),
        ("arr_0", None),
        ("train", None),
        ("images_labels", None),
        ("train_test_x", None),
        ("", None),
    ],
)
def test_names_of_arrays(name: str, role: tuple[str, str, str] | None) -> None:
    assert role_of(name) == (role and Role(*role))


# ---- .npz ------------------------------------------------------------------------------------------------------------


def test_colours_of_keras(tmp_path: Path) -> None:
    """The layout of keras.datasets.cifar10: channels last, labels in a column."""
    first = np.moveaxis(COLOR, 3, 1)
    expected = (first, Y_TRAIN, first[:6], Y_TEST)
    column = {"y_train": Y_TRAIN[:, None], "y_test": Y_TEST[:, None]}
    assert_same(data.load(write_npz(tmp_path / "a.npz", x_train=COLOR, x_test=COLOR[:6], **column)), expected)
    found = data.load(write_npz(tmp_path / "b.npz", x_train=first, x_test=first[:6]))
    assert_same(found, expected)
    floats = write_npz(tmp_path / "c.npz", x_train=COLOR / 255, x_test=COLOR[:6] / 255)
    np.testing.assert_allclose(data.load(floats).x_train, first / np.float32(255), rtol=1e-6)


def test_three_parts_of_medmnist(tmp_path: Path) -> None:
    parts = {
        f"{part}_{kind}": array[:n, None] if kind == "labels" else array[:n]
        for part, n, arrays in (("train", 12, ARRAYS[:2]), ("val", 5, ARRAYS[2:]), ("test", 6, ARRAYS[2:]))
        for kind, array in zip(("images", "labels"), arrays, strict=True)
    }
    np.savez(tmp_path / "bloodmnist.npz", **parts)
    found = data.load(tmp_path / "bloodmnist.npz")
    assert_same(found, (np.concatenate([X_TRAIN, X_TEST[:5]]), np.concatenate([Y_TRAIN, Y_TEST[:5]]), X_TEST, Y_TEST))
    assert found.source.endswith("bloodmnist.npz, val_images for training, too")
    del parts["test_images"], parts["test_labels"]
    np.savez(tmp_path / "two.npz", **parts)
    found = data.load(tmp_path / "two.npz")
    assert_same(found, (X_TRAIN, Y_TRAIN, X_TEST[:5], Y_TEST[:5]))
    assert found.source.endswith("two.npz, val_images for testing")


@pytest.mark.parametrize("names", [("X", "y"), ("images", "labels"), ("data", "target"), ("x_test", "y_test")])
def test_without_a_test_set(tmp_path: Path, names: tuple[str, str]) -> None:
    np.savez(tmp_path / "a.npz", **dict(zip(names, ARRAYS, strict=False)))
    found = data.load(tmp_path / "a.npz")
    assert_sound(found)
    assert (len(found.x_train), len(found.x_test)) == (9, 3)
    assert rows(found) == sorted(x.tobytes() for x in X_TRAIN)
    assert found.source.endswith("a.npz, a fifth of each class for testing")
    assert len(data.load(tmp_path / "a.npz", divide=False).x_test) == 12


def test_two_arrays_without_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X_TRAIN, Y_TRAIN)
    assert rows(data.load(tmp_path / "a.npz")) == sorted(x.tobytes() for x in X_TRAIN)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": X_TRAIN, "images": X_TRAIN, "y_train": Y_TRAIN, "y": Y_TRAIN}, "its arrays are for , train"),
        ({"x_train": X_TRAIN, "train_images": X_TRAIN, "y_train": Y_TRAIN}, "train_images are both for the same"),
        ({"a_x": X_TRAIN, "a_y": Y_TRAIN, "b_x": X_TRAIN}, "holds several sets, a, b; accepted: one"),
        ({"x_val": X_TRAIN, "y_val": Y_TRAIN, "x_test": X_TEST, "y_test": Y_TEST}, "its arrays are for test, val"),
        ({"x": X_TRAIN}, r"x: samples without labels, as there are x alone; accepted: x and y"),
        ({"weights": X_TRAIN, "bias": X_TRAIN}, "holds weights, bias; accepted: x and y"),
        (
            dict(zip(("x_train", "y_train", "x_val", "y_val", "x_test", "y_test"), (*ARRAYS, *ARRAYS[2:]), strict=True))
            | {"x_val": X_TEST[:, :2]},
            r"x_val holds uint8 samples of shape \(2, 3\), .*x_train holds uint8 samples of shape \(4, 3\)",
        ),
    ],
)
def test_npz_with_unknown_names(tmp_path: Path, arrays: dict[str, Array], message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=message):
        data.load(tmp_path / "a.npz")


# ---- a file for each array -------------------------------------------------------------------------------------------

KMNIST = ("kmnist-train-imgs", "kmnist-train-labels", "kmnist-test-imgs", "kmnist-test-labels")


def test_kmnist(tmp_path: Path) -> None:
    folder = tmp_path / "japanese"
    folder.mkdir()
    for name, array in zip(KMNIST, ARRAYS, strict=True):
        np.savez_compressed(folder / f"{name}.npz", array)
    assert_same(data.load(folder))
    assert data.load(folder).name == "japanese"
    for name in KMNIST:
        found = data.load(folder / f"{name}.npz")
        assert_same(found)
        assert found.name == "kmnist"
    np.savez_compressed(folder / "k49-train-imgs.npz", X_TRAIN)
    np.savez_compressed(folder / "k49-train-labels.npz", Y_TRAIN)
    with pytest.raises(DataError, match="holds several sets, k49, kmnist; accepted: one, or the name of one's file"):
        data.load(folder)
    assert_same(data.load(folder / f"{KMNIST[2]}.npz"))
    assert len(data.load(folder / "k49-train-imgs.npz").x_train) == 9
    np.savez(folder / "kmnist-test-imgs.npz", X_TEST, X_TEST)
    with pytest.raises(DataError, match=r"test-imgs\.npz: holds arr_0, arr_1; accepted beside files of one array"):
        data.load(folder / "kmnist-train-imgs.npz")


def test_npy(tmp_path: Path) -> None:
    names = ("x_train", "y_train", "x_test", "y_test")
    for name, array in zip(names, ARRAYS, strict=True):
        np.save(tmp_path / f"{name}.npy", np.asfortranarray(array))
    assert_same(data.load(tmp_path))
    found = data.load(tmp_path / "x_train.npy")
    assert_same(found)
    assert found.name == tmp_path.name
    for path in tmp_path.glob("*_test.npy"):
        path.unlink()
    (tmp_path / "x_train.npy").rename(tmp_path / "X.npy")
    (tmp_path / "y_train.npy").rename(tmp_path / "Y.npy")
    assert rows(data.load(tmp_path)) == sorted(x.tobytes() for x in X_TRAIN)


@pytest.mark.parametrize(("extra", "dtype"), [(0, np.int32), (0.5, np.float32)])
def test_half_precision(tmp_path: Path, extra: float, dtype: type) -> None:
    """The largest label is more than a float16 holds: NumPy would warn of the comparison."""
    y = np.arange(12, dtype=np.float16) % 3 + np.float16(extra)
    np.savez(tmp_path / "a.npz", x=np.ones((12, 4), np.float16), y=y)
    found = data.load(tmp_path / "a.npz")
    assert found.y_train.dtype == dtype
    assert sorted({*found.y_train, *found.y_test}) == [0 + extra, 1 + extra, 2 + extra]


def test_damaged_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X_TRAIN)
    np.save(tmp_path / "y.npy", Y_TRAIN)
    good = (tmp_path / "x.npy").read_bytes()
    for content, message in (
        (good[:-1], r"= 144 bytes, but 143 follow \(truncated\?\)"),
        (good + b"\0", "= 144 bytes, but more follow"),
        (b"", "not an .npy file, or damaged"),
        (b"no array", "not an .npy file, or damaged"),
    ):
        (tmp_path / "x.npy").write_bytes(content)
        with pytest.raises(DataError, match=rf"x\.npy: .*{message}"):
            data.load(tmp_path)
    np.save(tmp_path / "x.npy", np.array([print] * 12, object), allow_pickle=True)
    with pytest.raises(DataError, match="has dtype object, accepted are integers and floats"):
        data.load(tmp_path)


def test_a_file_alone(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X_TRAIN)
    np.save(tmp_path / "table.npy", X_TRAIN[:, 0])
    with pytest.raises(DataError, match=r"x\.npy: no file beside it goes with this one; accepted: x and y, or"):
        data.load(tmp_path / "x.npy")
    with pytest.raises(DataError, match=r"table\.npy: no \.csv, nor a .npz, .npy or IDX file with a name that"):
        data.load(tmp_path / "table.npy")
    assert data.is_picture_folder(tmp_path)  # a table of features beside pictures makes no data set of arrays


# ---- IDX -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("part", "n"), [("train", 12), ("t10k", 6)])
def test_a_single_idx_part_is_split(tmp_path: Path, part: str, n: int) -> None:
    x, y = (X_TRAIN, Y_TRAIN) if part == "train" else (X_TEST, Y_TEST)
    (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(x)))
    (tmp_path / f"{part}-labels.idx1-ubyte").write_bytes(idx_bytes(y))
    found = data.load(tmp_path)
    assert_sound(found)
    assert len(found.x_train) + len(found.x_test) == n
    assert rows(found) == sorted(picture.tobytes() for picture in x)
    assert found.samples_sha256 and "a fifth of each class for testing" in found.source
    assert data.load(tmp_path / f"{part}-labels.idx1-ubyte").classes == ("0", "1", "2")


def test_emnist_is_transposed_by_its_name(tmp_path: Path) -> None:
    arrays = (X_TRAIN, Y_TRAIN + np.uint8(1), X_TEST, Y_TEST + np.uint8(1))
    for subset in ("letters", "digits"):
        for i, array in enumerate(arrays):
            part, kind = ("train", "test")[i // 2], ("images-idx3", "labels-idx1")[i % 2]
            path = tmp_path / f"emnist-{subset}-{part}-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(idx_bytes(array if subset == "letters" or i % 2 else 255 - array)))
    with pytest.raises(DataError, match="holds several sets, emnist-digits, emnist-letters"):
        data.load(tmp_path)
    found = data.load(tmp_path / "emnist-letters-train-images-idx3-ubyte.gz")
    assert_same(found, (X_TRAIN.swapaxes(1, 2), Y_TRAIN, X_TEST.swapaxes(1, 2), Y_TEST))
    assert (found.name, found.classes) == ("emnist-letters", ("1", "2", "3"))
    assert found.source == f"files in {tmp_path}, transposed, as the pictures of EMNIST lie"
    as_it_lies = data.load(tmp_path / "emnist-letters-train-images-idx3-ubyte.gz", transpose=False)
    np.testing.assert_array_equal(as_it_lies.x_train, X_TRAIN)


# ---- order of the pixels ---------------------------------------------------------------------------------------------


def test_rows_that_are_pictures(tmp_path: Path) -> None:
    flat = write_npz(tmp_path / "a.npz", x_train=X_TRAIN.reshape(12, 12), x_test=X_TEST.reshape(6, 12))
    assert_same(data.load(flat, shape=(4, 3)))
    transposed = (X_TRAIN.reshape(12, 3, 4).swapaxes(1, 2), Y_TRAIN, X_TEST.reshape(6, 3, 4).swapaxes(1, 2), Y_TEST)
    assert_same(data.load(flat, shape=(3, 4), transpose=True), transposed)
    assert data.load(flat, shape=(3, 2, 2)).x_train.shape == (12, 3, 2, 2)
    with pytest.raises(DataError, match="a: samples of 12 are no pictures of 5x3 = 15"):
        data.load(flat, shape=(5, 3))
    with pytest.raises(DataError, match="a: rows of 12 numbers cannot be transposed"):
        data.load(flat, transpose=True)
    (tmp_path / "rows.csv").write_text("".join(f"{i % 2},{i},200,0,1\n" for i in range(10)))
    assert data.load(tmp_path / "rows.csv", shape=(2, 2)).x_train.shape == (8, 2, 2)


@pytest.mark.parametrize("last", [False, True])
def test_rows_that_are_pictures_in_colour(tmp_path: Path, last: bool) -> None:
    """CIFAR-10's own files store one channel after the other; other files store the channels of each pixel together."""
    first = np.ascontiguousarray(np.moveaxis(COLOR, 3, 1))
    x = (COLOR if last else first).reshape(12, -1)
    path = write_npz(tmp_path / "a.npz", x_train=x, x_test=x[:6])
    assert_same(data.load(path, shape=(5, 4, 3) if last else (3, 5, 4)), (first, Y_TRAIN, first[:6], Y_TEST))
