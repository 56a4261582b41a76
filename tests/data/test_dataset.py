"""Data sets: the built-in digits, idx, npz and csv files, MNIST. Files that are refused: test_damaged.py."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.data_files import ARRAYS, X_TEST, X_TRAIN, Y_TRAIN, assert_same, assert_sound, write_idx, write_npz

from pynet import data
from pynet.data import DataError, Dataset

ROOT = Path(data.__file__).parent.parent


# ---- the built-in digits ---------------------------------------------------------------------------------------------


def test_digits() -> None:
    digits = data.load("digits")
    assert_sound(digits)
    assert digits.x_train.shape == (1442, 8, 8)
    assert digits.x_test.shape == (355, 8, 8)
    assert digits.x_train.dtype == np.uint8
    # the counts of the original data, however they are split
    counts = np.bincount(np.concatenate([digits.y_train, digits.y_test]))
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.bincount(digits.y_test).tolist() == [35, 36, 35, 36, 36, 36, 36, 35, 34, 36]
    levels = np.unique(digits.x_train)
    assert levels.tolist() == [round(v * 255 / 16) for v in range(17)]
    # The sum of load_digits().data is 561718; the 17 levels go back to 0..16 exactly.
    both = np.concatenate([digits.x_train, digits.x_test])
    assert int(np.searchsorted(levels, both).sum()) == 561_718
    assert "CC BY 4.0" in digits.source


def test_digits_are_small_and_attributed() -> None:
    files = list((ROOT / "datasets").glob("digits-*.gz"))
    assert len(files) == 4
    assert sum(file.stat().st_size for file in files) < 80_000
    readme = (ROOT / "datasets/README.txt").read_text()
    for word in ("Alpaydin", "Kaynak", "10.24432/C50P49", "CC BY 4.0", "scikit-learn"):
        assert word in readme


def test_digits_can_be_learnt_past_96_percent() -> None:
    """Bounds the accuracy to expect, in NumPy and without the core: one nearest neighbour."""
    digits = data.load("digits")
    train = digits.x_train.reshape(-1, 64).astype(np.float64)
    test = digits.x_test.reshape(-1, 64).astype(np.float64)
    distance = (train**2).sum(1) - 2 * test @ train.T
    assert (digits.y_train[distance.argmin(1)] == digits.y_test).mean() > 0.97


# ---- MNIST -----------------------------------------------------------------------------------------------------------


@pytest.mark.mnist
def test_mnist(mnist: Dataset) -> None:
    assert_sound(mnist)
    assert mnist.x_train.shape == (60_000, 28, 28)
    assert mnist.x_test.shape == (10_000, 28, 28)
    assert mnist.x_train.dtype == np.uint8
    assert mnist.y_train[:5].tolist() == [5, 0, 4, 1, 9]
    assert mnist.y_test[:3].tolist() == [7, 2, 1]
    assert np.bincount(mnist.y_train).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(mnist.y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert mnist.x_train.mean() == pytest.approx(33.318, abs=1e-3)  # 0.1307 of 255, as tutorials quote it
    assert mnist.classes == tuple("0123456789")
    assert mnist.source.startswith("MNIST from ")


@pytest.mark.mnist
def test_default_is_mnist_if_its_files_are_there(mnist_root: Path) -> None:
    found = data.default(timeout=0)
    assert found.name == "mnist"
    assert "digits" in found.source


@pytest.mark.mnist
def test_mnist_as_a_plain_folder(mnist_root: Path) -> None:
    found = data.load(mnist_root)
    assert found.x_test.shape == (10_000, 28, 28)
    assert found.y_test[:3].tolist() == [7, 2, 1]
    assert found.source == f"files in {mnist_root}"


# ---- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dotted", [False, True])
def test_idx_folder(tmp_path: Path, packed: bool, dotted: bool) -> None:
    found = data.load(write_idx(tmp_path / "mine", packed=packed, dotted=dotted))
    assert_same(found)
    assert found.name == "mine"
    assert found.classes == ("0", "1", "2")
    assert str(tmp_path / "mine") in found.source


def test_gz_is_known_by_its_content(tmp_path: Path) -> None:
    folder = write_idx(tmp_path, packed=True)
    for path in folder.iterdir():
        path.rename(path.with_suffix(""))
    assert_same(data.load(str(folder)))


def test_gz_of_several_members(tmp_path: Path) -> None:
    folder = write_idx(tmp_path)
    path = folder / "train-images-idx3-ubyte"
    content = path.read_bytes()
    path.write_bytes(gzip.compress(content[:50]) + gzip.compress(b"") + gzip.compress(content[50:]))
    assert_same(data.load(folder))


def test_npz(tmp_path: Path) -> None:
    found = data.load(write_npz(tmp_path / "mine.npz"))
    assert_same(found)
    assert found.name == "mine"
    assert found.x_train.dtype == np.uint8


@pytest.mark.parametrize(
    ("x_dtype", "y_dtype", "expected"),
    [
        (np.int64, np.int64, np.uint8),
        (">u2", ">i4", np.uint8),
        (np.float64, np.float32, np.float32),
        (np.float16, np.uint8, np.float32),
        (">f4", np.int8, np.float32),
    ],
)
def test_npz_dtypes(tmp_path: Path, x_dtype: str, y_dtype: str, expected: type) -> None:
    path = write_npz(
        tmp_path / "a.npz",
        x_train=np.asfortranarray(X_TRAIN.astype(x_dtype)),
        x_test=X_TEST.astype(x_dtype),
        y_train=Y_TRAIN.astype(y_dtype)[:, None],
    )
    found = data.load(path)
    assert_same(found)
    assert found.x_train.dtype == expected
    assert found.x_train.flags.c_contiguous


def test_npz_is_bytes_or_numbers_in_both_parts(tmp_path: Path) -> None:
    dark, light = X_TEST // np.uint8(3), X_TRAIN
    for train, test in ((light, dark), (np.resize(dark, (12, 4, 3)), light[:6])):
        found = data.load(write_npz(tmp_path / "a.npz", x_train=train.astype(int), x_test=test.astype(int)))
        assert (found.x_train.dtype, found.x_test.dtype) == (np.uint8, np.uint8)
        np.testing.assert_array_equal(found.x_test, test)
    found = data.load(write_npz(tmp_path / "a.npz", x_train=light // 2, x_test=dark.astype(int)))
    assert found.x_test.dtype == np.uint8
    found = data.load(write_npz(tmp_path / "a.npz", x_train=(light // 3).astype(int), x_test=dark.astype(int)))
    assert (found.x_train.dtype, found.x_test.dtype) == (np.float32, np.float32)


def test_npz_single_channel_is_squeezed(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", x_train=X_TRAIN[..., None], x_test=X_TEST.reshape(6, 4, 3, 1))
    assert_same(data.load(path))


def csv_text(*, header: str = "", end: str = "\n") -> str:
    rows = [f"{y},{','.join(map(str, x.ravel()))}" for x, y in zip(X_TRAIN, Y_TRAIN, strict=True)]
    return end.join([header] * bool(header) + rows) + end


@pytest.mark.parametrize(
    "header", ["", "label," + ",".join(f"pixel{i}" for i in range(12)), "label," + "1," * 11 + "1"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("start", ["", "\ufeff", "\n"])
def test_csv(tmp_path: Path, header: str, end: str, start: str) -> None:
    path = tmp_path / "Train.CSV"
    path.write_bytes((start + csv_text(header=header, end=end)).encode())
    found = data.load(path)
    assert_sound(found)
    assert found.name == "Train"
    assert found.x_train.dtype == np.uint8
    assert (found.x_train.shape, found.x_test.shape) == ((9, 12), (3, 12))
    assert sorted(found.y_test) == [0, 1, 2]
    rows = {x.tobytes(): y for x, y in zip(X_TRAIN, Y_TRAIN, strict=True)}
    for x, y in zip((*found.x_train, *found.x_test), (*found.y_train, *found.y_test), strict=True):
        assert rows.pop(x.tobytes()) == y
    assert "of each class for testing" in found.source


@pytest.mark.parametrize(
    "header",
    ["label,a,b", "a,x,y", "label,0,1", '"Label","1x1","1x2"', " target ,0x0,0x1", "y,1,2", "größe,a,b", "digit,x,y"],
)
def test_headers_of_csv(tmp_path: Path, header: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{header}\n1,2,200\n0,1,3\n1,3,3\n0,2,2\n")
    found = data.load(path)
    assert len(found.y_train) + len(found.y_test) == 4


@pytest.mark.parametrize(
    "rows",
    [
        [
            (i % 2, i % 3, i % 4) for i in range(12)
        ],  # 0, 1, ... in the first column are labels, whatever the last column holds
        [(3 + 2 * (i % 2), i, i % 2) for i in range(12)],  # as few values in the last column as in the first
        [(i % 3 * 2, i, 7) for i in range(12)],  # a single value in the last column
        [(i % 3 * 2, i, 5 * (i % 2)) for i in range(12)],  # labels with gaps
    ],
)
def test_labels_of_csv_in_the_first_column(tmp_path: Path, rows: list[tuple[int, ...]]) -> None:
    path = tmp_path / "a.csv"
    np.savetxt(path, rows, "%d", ",")
    found = data.load(path)
    assert sorted([*found.y_train, *found.y_test]) == sorted(row[0] for row in rows)
    assert "labels in the first column" in found.source


def test_a_header_names_the_column_of_the_label(tmp_path: Path) -> None:
    rows = "".join(f"{3 * (i % 3)},{i},{i % 2}\n" for i in range(12))
    (tmp_path / "a.csv").write_text(rows)
    with pytest.raises(DataError, match="which are the labels"):
        data.load(tmp_path / "a.csv")
    assert len(data.load(tmp_path / "a.csv", divide=False).y_test) == 12  # a file for evaluation may hold any labels
    (tmp_path / "a.csv").write_text(f"label,a,b\n{rows}")
    assert set(data.load(tmp_path / "a.csv").y_train) == {0, 3, 6}


@pytest.mark.parametrize("odd", ["-1", "256", "0.5", "1e-3"])
def test_csv_of_floats(tmp_path: Path, odd: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"0,1,{odd}\n0,3,4\n1,5,6\n1.0, 7 ,8\n")
    found = data.load(path)
    assert_sound(found)
    assert found.x_train.dtype == np.float32
    assert np.float32(odd) in np.concatenate([found.x_train, found.x_test])


def test_csv_split_is_fixed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("".join(f"{i % 2},{i}\n" for i in range(40)))
    found = data.load(path)
    assert found.x_test.ravel().tolist() == data.load(path).x_test.ravel().tolist()
    assert np.bincount(found.y_test).tolist() == [4, 4]
    assert found.x_train.ravel().tolist() == sorted(found.x_train.ravel())


@pytest.mark.parametrize("name", ["mnisst", "no/such/folder", "Fashon-mnist"])
def test_unknown_name(name: str) -> None:
    with pytest.raises(DataError, match=r"accepted are mnist, fashion-mnist, digits, a folder") as caught:
        data.load(name)
    assert repr(name) in str(caught.value)
    assert ("did you mean" in str(caught.value)) == (not name.startswith("no/"))


def test_a_name_can_be_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_idx(tmp_path / "digits")
    assert data.load("./digits").x_train.shape == (12, 4, 3)
    assert data.load(Path("digits")).x_train.shape == (12, 4, 3)
    assert data.load("digits").x_train.shape == (1442, 8, 8)
    assert data.load("DIGITS").name == "digits"


# ---- Dataset ---------------------------------------------------------------------------------------------------------


def fashion() -> Dataset:
    names = ("Bag", "Coat", "1")
    x_train, y_train, x_test, y_test = (a if a.ndim > 1 else a.astype(np.int32) for a in ARRAYS)
    return Dataset("small", x_train, y_train, x_test, y_test, classes=names, source="here")


def test_only() -> None:
    found = fashion().only(["1", "Bag"])
    assert_sound(found)
    assert found.classes == ("1", "Bag")
    np.testing.assert_array_equal(found.x_train[found.y_train == 0], X_TRAIN[Y_TRAIN == 2])
    np.testing.assert_array_equal(found.x_train[found.y_train == 1], X_TRAIN[Y_TRAIN == 0])
    assert (len(found.y_train), len(found.y_test)) == (8, 4)
    assert fashion().only(["0"]).classes == ("Bag",)  # by number, as no class has the name "0"


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["3"], r"class '3': small has the classes Bag, Coat, 1"),
        (["-1"], r"class '-1'"),
        (["bag"], r"class 'bag'"),
        (["²"], r"class '²'"),
        ([], r"at least one class"),
        (["Bag", "0"], r"each only once"),
    ],
)
def test_only_refuses(classes: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        fashion().only(classes)


def test_only_of_an_absent_class(tmp_path: Path) -> None:
    found = data.load(write_npz(tmp_path / "a.npz", y_train=Y_TRAIN * 2, y_test=np.zeros(6, int)))
    assert found.classes == ("0", "1", "2", "3", "4")
    with pytest.raises(DataError, match=r"classes \['2'\]: a has no samples of them"):
        found.only(["2"])


def test_limit() -> None:
    assert fashion().limit(5).y_train.tolist() == [0, 1, 2, 0, 1]
    assert len(fashion().limit(5).y_test) == 6
    assert len(fashion().limit(1000).y_train) == 12
    with pytest.raises(DataError, match="limit 0"):
        fashion().limit(0)


def test_limit_of_sorted_labels_takes_every_class() -> None:
    y = np.repeat(np.arange(10), 40).astype(np.int32)
    sorted_set = Dataset("s", np.arange(400.0)[:, None], y, ARRAYS[2], y[:6], tuple("0123456789"), "here")
    for n in (10, 11, 100, 370, 399):
        found = sorted_set.limit(n)
        counts = np.bincount(found.y_train, minlength=10)
        assert (counts.sum(), counts.min() >= n // 10, counts.max() <= -(-n // 10)) == (n, True, True)
        np.testing.assert_array_equal(y[found.x_train[:, 0].astype(int)], found.y_train)
        assert (np.diff(found.x_train[:, 0]) > 0).all()
    assert len(np.unique(sorted_set.limit(3).y_train)) == 3
    rare = Dataset("r", ARRAYS[0], np.array([1] * 11 + [0], np.int32), ARRAYS[2], y[:6], ("a", "b"), "here")
    assert sorted(rare.limit(4).y_train) == [0, 1, 1, 1]
    mixed = np.random.default_rng(0).permutation(y)
    found = Dataset("m", np.arange(400.0)[:, None], mixed, ARRAYS[2], y[:6], tuple("0123456789"), "here").limit(100)
    np.testing.assert_array_equal(found.y_train, mixed[:100])  # the first ones, if they have all classes


def test_with_classes() -> None:
    found = fashion().with_classes(["Coat", "Sock", "1", "Bag"])
    assert found.classes == ("Coat", "Sock", "1", "Bag")
    assert [found.classes[i] for i in found.y_train] == [fashion().classes[i] for i in fashion().y_train]
    same = fashion()
    assert same.with_classes(["Bag", "Coat", "1"]) is same
    for names in (["Bag", "Coat", "Sock"], ["0", "1", "2"], ["Bag", "Coat", "1", "1"]):
        with pytest.raises(DataError, match=r"small has the classes .*which are not among"):
            fashion().with_classes(names)


def test_labels_without_names_are_named_by_number(tmp_path: Path) -> None:
    found = data.load(write_npz(tmp_path / "a.npz"))
    assert found.with_classes(["cat", "dog", "cow", "hen"]).y_train.tolist() == Y_TRAIN.tolist()
    assert found.with_classes(["2", "1", "0"]).y_train.tolist() == (2 - Y_TRAIN).tolist()
    for names in (["cat", "dog"], ["1", "2", "3"], ["cat", "1", "2"]):
        with pytest.raises(DataError, match="a has the classes"):
            found.with_classes(names)
    digits = data.load("digits")  # these numbers are names
    with pytest.raises(DataError, match="digits has the classes 0, 1"):
        digits.with_classes([f"number {i}" for i in range(10)])


def test_without_a_test_set(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(csv_text())
    whole, found = data.load(path, divide=False), data.load(path)
    assert (len(whole.x_train), len(whole.x_test)) == (0, 12)
    assert_same(whole.with_test_set(), (found.x_train, found.y_train, found.x_test, found.y_test))
    assert whole.samples_sha256 == found.samples_sha256 != ""
    assert whole.with_test_set().source == found.source
    path.write_text(csv_text().replace("255", "254", 1))
    assert data.load(path, divide=False).samples_sha256 != whole.samples_sha256
    path.write_text("0,1\n1,200\n")  # no class with two samples
    assert len(data.load(path, divide=False).y_test) == 2
    assert data.load(write_npz(tmp_path / "b.npz"), divide=False).samples_sha256 == ""


# ---- split, one_hot, batches -----------------------------------------------------------------------------------------


def test_import_is_light() -> None:
    """Modules that only a download needs are imported by the first download."""
    code = "import sys, pynet.data; print(sorted({'tqdm', 'platformdirs', 'urllib.request', 'ssl'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT.parent, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_small_whole_numbers_are_not_pixels(tmp_path: Path) -> None:
    lines = [f"{i % 2},{i % 2},1,0,3" for i in range(20)]
    (tmp_path / "flags.csv").write_text("\n".join(lines) + "\n")
    found = data.load(tmp_path / "flags.csv")
    assert found.x_train.dtype == np.float32
    assert found.x_train.max() == 3
