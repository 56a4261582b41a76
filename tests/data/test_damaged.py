"""Bad idx, npz and csv files: each is a DataError of one line that names file, value and what is accepted."""

from __future__ import annotations

import functools
import gzip
import io
import re
import struct
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from helpers.data_files import ARRAYS, X_TEST, X_TRAIN, Y_TEST, Y_TRAIN, assert_sound, idx_bytes, write_idx, write_npz
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pynet import data
from pynet._ffi import Array
from pynet.data import DataError

IMAGES = "train-images-idx3-ubyte"
LABELS = "train-labels-idx1-ubyte"


def refused(path: Path, message: str) -> None:
    """Loading path is a one-line DataError that matches message."""
    with pytest.raises(DataError, match=message) as caught:
        data.load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


# ---- IDX -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (IMAGES, b"", "0 bytes long, the header of an IDX3 file alone is 16"),
        (IMAGES, idx_bytes(X_TRAIN)[:15], "15 bytes long"),
        (LABELS, idx_bytes(Y_TRAIN)[:7], "7 bytes long, the header of an IDX1 file alone is 8"),
        (IMAGES, idx_bytes(X_TRAIN, magic=0x801), "magic 0x00000801, an IDX3 file of bytes begins with 0x00000803"),
        (LABELS, idx_bytes(Y_TRAIN, magic=0xD01), "magic 0x00000d01, an IDX1 file of bytes begins with 0x00000801"),
        (IMAGES, idx_bytes(X_TRAIN)[:-1], r"declares 12 x 4 x 3 = 144 bytes, but 143 follow \(truncated\?\)"),
        (IMAGES, idx_bytes(X_TRAIN)[:16], r"declares 12 x 4 x 3 = 144 bytes, but 0 follow"),
        (IMAGES, idx_bytes(X_TRAIN) + b"\0", "declares 12 x 4 x 3 = 144 bytes, but more follow"),
        (LABELS, idx_bytes(Y_TRAIN) + b"\0", "declares 12 = 12 bytes, but more follow"),
        (IMAGES, idx_bytes(X_TRAIN, shape=(0, 4, 3)), "says 0 x 4 x 3, every size must be at least 1"),
        (IMAGES, idx_bytes(X_TRAIN, shape=(12, *[2**32 - 1] * 2)), "declares 12 x 4294967295 x 4294967295 = 2213609"),
        (IMAGES, idx_bytes(X_TRAIN[:11]), f"{IMAGES} holds 11 images, .*{LABELS} holds 12 labels"),
        ("t10k-labels-idx1-ubyte", idx_bytes(Y_TEST + np.uint8(1)), r"label 3 at index 2, .*idx1-ubyte has 0\.\.2"),
        (
            "t10k-images-idx3-ubyte",
            idx_bytes(X_TEST.reshape(6, 3, 4)),
            r"samples of shape \(3, 4\), .*must be the same",
        ),
    ],
)
def test_bad_idx(tmp_path: Path, pack: Callable[[bytes], bytes], name: str, content: bytes, message: str) -> None:
    write_idx(tmp_path)
    (tmp_path / name).write_bytes(pack(content))
    refused(tmp_path, message)


@pytest.mark.parametrize("missing", ["train-images", "train-labels", "t10k-images", "t10k-labels"])
def test_missing_idx(tmp_path: Path, missing: str) -> None:
    write_idx(tmp_path)
    next(tmp_path.glob(f"{missing}*")).unlink()
    lonely = "labels without samples" if "images" in missing else "samples without labels"
    refused(tmp_path, rf"{missing[:5].rstrip('-')}-.*: {lonely}, as there are .* alone; accepted: x and y, or x_train")


def test_damaged_gz(tmp_path: Path) -> None:
    path = write_idx(tmp_path, packed=True) / f"{IMAGES}.gz"
    good = path.read_bytes()
    path.write_bytes(good[:-9])
    refused(tmp_path, f"{IMAGES}.gz: damaged gz data")
    path.write_bytes(good[:-8] + b"\0\0\0\0" + good[-4:])
    refused(tmp_path, f"{IMAGES}.gz: damaged gz data: CRC check failed")
    path.write_bytes(good + b"rubbish")
    refused(tmp_path, f"{IMAGES}.gz: damaged gz data: Not a gzipped file")
    path.write_bytes(good[:10] + b"\xff" * 20)
    refused(tmp_path, f"{IMAGES}.gz: damaged gz data: Error -3")


@functools.cache
def bomb(header: bytes) -> bytes:
    """A gz of the header and 80 MB of zeros, about 400 kB."""
    return gzip.compress(header + bytes(80 << 20), 1)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((12, 4, 3), "declares 12 x 4 x 3 = 144 bytes, but more follow"),
        (
            (80 << 10, 32, 32),
            r"declares 81920 x 32 x 32 = 83886080 bytes, but the file of \d+ bytes can hold at most",
        ),
    ],
)
def test_gz_bomb(tmp_path: Path, shape: tuple[int, ...], message: str) -> None:
    """Whether or not the header is true, far less than 80 MB is unpacked."""
    path = write_idx(tmp_path) / IMAGES
    path.write_bytes(bomb(struct.pack(">4I", 0x803, *shape)))
    (tmp_path / LABELS).write_bytes(idx_bytes(np.zeros(shape[0], np.uint8)))
    with limited_memory(4 << 20):
        refused(tmp_path, message)


@contextmanager
def limited_memory(most: int) -> Iterator[None]:
    """Fails if Python and NumPy allocate more than this many bytes beyond what they hold now."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_idx(tmp_path)

    def denied(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", denied)
    refused(tmp_path, "idx3-ubyte: cannot be read: Permission denied")


# ---- .npz ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"x_test": None},
            "y_test: labels without samples, as there are x_train, y_train, y_test alone; accepted: x and y, or x_tr",
        ),
        ({"x_train": X_TRAIN[:5]}, "x_train holds 5 images, .*y_train holds 12 labels"),
        ({"x_train": X_TRAIN[0, 0]}, r"x_train: shape \(3,\), accepted are \(n, height, width\) and \(n, features\)"),
        ({"x_train": np.zeros((12, 4, 3, 2), np.uint8)}, r"x_train: shape \(12, 4, 3, 2\), .* with 1 or 3 channels"),
        ({"x_train": X_TRAIN[:0], "y_train": Y_TRAIN[:0]}, r"x_train has shape \(0, 4, 3\), at least one sample"),
        ({"x_train": X_TRAIN.astype(np.int16) - 1}, r"x_train: integer pixel -1 at index \(0, 0, 0\), .* 0\.\.255"),
        ({"x_train": X_TRAIN.astype(np.int64) + 1}, r"x_train: integer pixel 256 at index"),
        (
            {"x_train": np.where(X_TRAIN == 255, np.nan, 0.5)},
            r"x_train: pixel nan at index \(0, 0, 1\)",
        ),
        ({"x_train": np.full((12, 4, 3), np.inf, np.float32)}, r"x_train: pixel inf at index \(0, 0, 0\)"),
        ({"x_train": np.full((12, 4, 3), 1e39)}, r"x_train: pixel 1e\+39 at index \(0, 0, 0\), .* finite float32"),
        ({"x_train": X_TRAIN > 5}, "x_train has dtype bool, accepted are integers and floats"),
        ({"x_train": X_TRAIN.astype(complex)}, "x_train has dtype complex128"),
        ({"x_train": X_TRAIN.astype(np.float32)}, r"x_test holds uint8 .*x_train holds float32 .*must be the same"),
        ({"y_train": Y_TRAIN.astype(int) - 1}, r"y_train: label -1 at index 0, labels are whole numbers in 0\.\.65535"),
        ({"y_train": Y_TRAIN.astype(int) + (1 << 40)}, r"y_train: label 1099511627776 at index 0"),
        ({"y_train": Y_TRAIN * np.nan}, r"y_train: target nan at index \(0,\), accepted are finite float32 numbers"),
        ({"y_train": Y_TRAIN + 1e39}, r"y_train: target 1e\+39 at index \(0,\), accepted are finite float32 numbers"),
        ({"y_train": np.ones((12, 2, 2))}, r"y_train: float64 of shape \(12, 2, 2\), targets are numbers of shape"),
        ({"y_train": np.ones((12, 2), int)}, r"y_train: int64 of shape \(12, 2\), labels are whole numbers of shape"),
        ({"y_train": np.ones((12, 2))}, r"y_test has shape \(6,\), .*y_train has \(12, 2\): these must be the same"),
        ({"y_train": Y_TRAIN.astype(str)}, r"y_train has dtype <U3"),
        ({"y_test": Y_TEST + 1}, r"y_test: label 3 at index 2, .*y_train has 0\.\.2"),
        ({"y_train": np.array([print] * 12, object)}, "y_train has dtype object, accepted are integers and floats"),
    ],
)
def test_bad_npz(tmp_path: Path, changed: dict[str, Array | None], message: str) -> None:
    refused(write_npz(tmp_path / "bad.npz", **changed), message)


def npy(header: str, content: bytes, version: bytes = b"\1\0") -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + content


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (npy("{'descr': '|u1', 'fortran_order': False, 'shape': (10**9,)}", b""), "damaged"),
        (
            npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000, 4, 3)}", b"abc"),
            "but unpacks to 131 bytes",
        ),
        (npy("{'descr': '|u1', 'fortran_order': False, 'shape': (-12, 4, -3)}", bytes(144)), r"shape \(-12, 4, -3\)"),
        (
            npy("{'descr': '|u1', 'fortran_order': False, 'shape': (12, 4, 2)}", bytes(144)),
            "96 bytes, but more follow",
        ),
        (
            npy("{'descr': '|u1', 'fortran_order': False, 'shape': (12, 4, 3)}", bytes(140)),
            r"144 bytes, but 140 follow",
        ),
        (npy("{'descr': '|O', 'fortran_order': False, 'shape': (12,)}", b"cos\nsystem\n"), "dtype object"),
        (npy("{'descr': '|u1'}", bytes(144)), "damaged"),
        (npy("(" * 110, bytes(144)), "damaged"),
        (npy("{}", b"", version=b"\3\0"), r"version 3\.0, accepted are 1\.0 and 2\.0"),
        (b"", "damaged"),
        (b"no array", "damaged"),
    ],
)
def test_bad_npy(tmp_path: Path, member: bytes, message: str) -> None:
    path = write_npz(tmp_path / "bad.npz", x_train=None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x_train.npy", member)
    refused(path, message)


def test_names_in_a_zip_cannot_reach_the_terminal(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "bad.npz", **{"x_train": None, "x_tr\n\x1b[2J": X_TRAIN})
    refused(path, r"y_train: labels without samples")
    np.savez(path, **{"one\n\x1b[2J": X_TRAIN, "two": X_TEST})
    refused(path, r"holds one\\n\\x1b\[2J, two; accepted: x and y, or")


def test_not_a_zip(tmp_path: Path) -> None:
    path = tmp_path / "bad.npz"
    path.write_bytes(b"x_train")
    refused(path, "not an .npz file, or damaged: File is not a zip file")


def test_npz_bomb(tmp_path: Path) -> None:
    """80 MB of zeros in 80 kB, as the directory of the zip states."""
    path = write_npz(tmp_path / "bad.npz", x_train=None)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("x_train.npy", "w") as member:
        np.lib.format.write_array(member, np.zeros((80 << 10, 32, 32), np.uint8))
    with limited_memory(4 << 20):
        refused(path, r"x_train with those before it unpacks to \d+ bytes, at most 16777216 are accepted for a file of")


def test_npz_pickle_is_never_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
            return (pytest.fail, ("unpickled",))

    refused(write_npz(tmp_path / "bad.npz", x_train=np.array([Evil()] * 12, object)), "dtype object")


# ---- .csv ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no line with numbers"),
        ("\n\n", "no line with numbers"),
        ("label,pixel0\n", "no line with numbers"),
        ("O,1,2\n1,2,3\n", r"line 1, field 1: 'O', accepted are finite float32 numbers; accepted: the label, a whole"),
        ("?,1,2\n1,2,3\n", r"line 1, field 1: '\?'"),
        ("0x1,1,2\n1,2,3\n", "line 1, field 1: '0x1'"),
        ("0x1,0x2\n1,2\n", "line 1, field 1: '0x1'"),
        ("?,?\n1,2\n", r"line 1, field 1: '\?'"),
        (",a,b\n0,1,2\n", "line 1, field 1: ''"),
        ("NA,na\n1,2\n", "line 1, field 1: 'NA'"),
        ("cat,1,2\ndog,2,3\n", "line 1, field 1: 'cat'"),
        ("label,pixel0\n1,2\n1,2,3\n", "line 3 has 3 fields, the lines before have 2"),
        ("1,2\n\n1\n", "line 3 has 1 field, a line is a label, then at least one feature"),
        ("1\n2\n", "line 1 has 1 field"),
        ("1,2\n1,x\n", "line 2, field 2: 'x', accepted are finite float32 numbers"),
        ("1,2\nx,3\n", "line 2, field 1: 'x'"),
        ("1,2\n1,\n", "line 2, field 2: ''"),
        ("1,2\n\n1,nan\n", "line 3, field 2: 'nan'"),
        ("1,2\n1,-inf\n", "line 2, field 2: '-inf'"),
        ("1,2\n1,1e39\n", "line 2, field 2: '1e39'"),
        ("1,2\n1,1_0\n", "line 2, field 2: '1_0'"),
        ('1,2\n1,"3"\n', "line 2, field 2: '\"3\"'"),
        ("1,2\n1,\x00\n", "line 2, field 2"),
        ("1;2\n1;3\n", "line 1 has 1 field"),
        ("1,2\n-1,3\n", r"line 2: label -1, labels are whole numbers in 0\.\.65535"),
        ("1,2\n1.5,3\n", "line 2: label 1.5"),
        ("1,2\n65536,3\n", "line 2: label 65536"),
        ("nan,2\n1,3\n", "line 1, field 1: 'nan'"),
        ("0,2\n1,3\n", "no test set can be split off: 2 samples, no class has two of them"),
        (
            "a,b,Label\n1,2,0\n2,3,1\n",
            "according to the header, the label is in column 3, 'label'; accepted: the label, a whole",
        ),
        ('"x1","x2","y"\n1,2,0\n', "according to the header, the label is in column 3, 'y'"),
        ("0,1,2,target\n1,2,3,0\n", "according to the header, the label is in column 4, 'target'"),
        ("5.1,3.5,0\n4.9,3,1\n", "line 1: label 5.1, labels are whole numbers in 0..65535, in the first column"),
        ("5,3,setosa\n4,3,virginica\n", r"line 1, field 3: 'setosa', accepted .*; accepted: the label, a whole number"),
        ("0,3,0\n0,4,1\n0,5,1\n", "the first column holds 0 alone, the last one 2 from 0 to 1: which are the labels"),
        (
            "7,3,0\n9,4,1\n5,5,1\n",
            r"the first column holds 3 different numbers from 5 to 9, the last one 2 from 0 to 1",
        ),
        ("1,2\n1," + "9" * 500 + "\n", f"line 2, field 2: '{'9' * 40}', accepted"),
    ],
)
def test_bad_csv(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    refused(path, message)


def test_csv_of_other_bytes(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(b"1,2\n1,\xff\xfe\n")
    refused(path, "line 2, field 2: '\ufffd\ufffd'")


def test_other_suffix(tmp_path: Path) -> None:
    path = write_idx(tmp_path) / "readme.txt"
    path.write_text("about it")
    refused(path, "no .csv, nor a .npz, .npy or IDX file with a name that says what it holds, as x_train.npy does")


# ---- random damage ---------------------------------------------------------------------------------------------------

CSV = "".join(f"{y},{','.join(map(str, x[0]))}\n" for x, y in zip(X_TRAIN, Y_TRAIN, strict=True)).encode()


@functools.cache
def good_file(kind: str) -> bytes:
    if kind == "csv":
        return CSV
    if kind in ("npz", "stored npz"):
        buffer = io.BytesIO()
        save = np.savez_compressed if kind == "npz" else np.savez
        save(buffer, x_train=ARRAYS[0], y_train=ARRAYS[1], x_test=ARRAYS[2], y_test=ARRAYS[3])
        return buffer.getvalue()
    content = idx_bytes(X_TRAIN if "images" in kind else Y_TRAIN)
    return gzip.compress(content, mtime=0) if kind.startswith("gz") else content


def load_or_refuse(kind: str, content: bytes) -> None:
    """Loads a file with this content: a sound data set, or a DataError of one line."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if kind.endswith(("npz", "csv")):
            path = folder / f"a.{kind[-3:]}"
            path.write_bytes(content)
        else:
            path = write_idx(folder)
            (folder / (IMAGES if "images" in kind else LABELS)).write_bytes(content)
        try:
            found = data.load(path)
        except DataError as error:
            assert "\n" not in str(error)
            assert str(folder) in str(error)
        else:
            assert_sound(found)


KINDS = ["images", "labels", "gz images", "gz labels", "npz", "stored npz", "csv"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_good_file_is_good(kind: str, tmp_path: Path) -> None:
    """The undamaged files load; otherwise the tests below would prove nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "DataError", RuntimeError)
        load_or_refuse(kind, good_file(kind))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150)
@given(draw=st.data())
def test_damaged_bytes(kind: str, draw: st.DataObject) -> None:
    content = bytearray(good_file(kind))
    for _ in range(draw.draw(st.integers(1, 3))):
        change = draw.draw(st.sampled_from(["flip", "set", "truncate", "extend", "insert", "remove"]))
        i = draw.draw(st.integers(0, max(len(content) - 1, 0)))
        if change == "flip" and content:
            content[i] ^= 1 << draw.draw(st.integers(0, 7))
        elif change == "set" and content:
            content[i] = draw.draw(st.sampled_from([0, 1, 10, 13, 34, 44, 45, 46, 48, 57, 127, 128, 255]))
        elif change == "truncate":
            del content[i:]
        elif change == "extend":
            content += draw.draw(st.binary(min_size=1, max_size=20))
        elif change == "insert":
            content[i:i] = draw.draw(st.binary(min_size=1, max_size=4))
        elif change == "remove":
            del content[i : i + 4]
    load_or_refuse(kind, bytes(content))


@settings(max_examples=150)
@given(text=st.text(alphabet="0123456789,,,\n\n\r.-+eEinfa \"'#_;\t\x00\u00b2\u2028", max_size=60))
@example("1,2\r1,3\r")
@example("1,2\u20281,3")
def test_any_csv(text: str) -> None:
    load_or_refuse("csv", text.encode())


def test_every_byte_of_a_header(tmp_path: Path) -> None:
    """Flipping any bit of the IDX header is detected."""
    folder = write_idx(tmp_path)
    good = (folder / IMAGES).read_bytes()
    for bit in range(16 * 8):
        content = bytearray(good)
        content[bit // 8] ^= 1 << bit % 8
        (folder / IMAGES).write_bytes(content)
        refused(folder, re.escape(IMAGES))


def test_a_small_file_of_many_labels_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    """30 MB of labels in 30 kB: the size in the header is compared with the images before unpacking."""
    images = np.zeros((3, 4, 4), np.uint8)
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        content = idx_bytes(np.zeros(30_000_000, np.uint8))
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(content, 1))
    with limited_memory(4 << 20):
        refused(tmp_path, r"holds 3 images, .* holds 30000000 labels: these numbers must be equal")
