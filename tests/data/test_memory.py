"""Files made to exhaust memory are refused with little memory, whatever their size and their headers."""

from __future__ import annotations

import gzip
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.data_files import write_idx
from helpers.memory import MB, REFUSED, taken

from pynet import data
from pynet._ffi import Array
from pynet.data.text_file import MAX_LINE

LOAD = """
import sys, tempfile
from pathlib import Path
import numpy as np
from pynet import data
from pynet.data import DataError

def load(path):
    try:
        print(data.load(path).x_train.shape)
    except DataError as error:
        print(error)

with tempfile.TemporaryDirectory() as folder:
    for name in ("a.csv", "a.npz"):
        (Path(folder) / name).write_text("0,1\\n0,2\\n1,3\\n1,4\\n")
        load(Path(folder, name))
"""


def refused(path: Path, message: str, most: int = REFUSED) -> None:
    printed, memory = taken(LOAD, f"load(Path({str(path)!r}))")
    assert message in printed.rpartition("\n")[2]
    assert memory < most


# ---- .csv ----


@pytest.mark.parametrize(
    ("start", "piece", "times", "message"),
    [
        ("", "1", 100 * MB, "line 1 is longer than the 2,097,152 characters that are accepted"),
        ("", ",", 100 * MB, "line 1 is longer than"),
        ("1,2\n1", ",2", 50 * MB, "line 2 is longer than"),
        ("", " ", 100 * MB, "line 1 is longer than"),
        ("", "\0", 100 * MB, "line 1 is longer than"),
        ("", "1,\U0001f600", 10 * MB, "line 1 is longer than"),
        ("1,2\n", ",", MAX_LINE, "line 2 has 2097153 fields, the lines before have 2"),
        ("", "1,", MAX_LINE // 2, "line 1, field 1048577: ''"),
        ("1", ",2", MAX_LINE // 2 - 1, "the first column holds 1 alone"),
        ("x", ",x", MAX_LINE // 2 - 1, "no line with numbers"),
        ("", "1,255\n", MB, "line 1000002, field 1: 'x'"),
    ],
)
def test_csv(tmp_path: Path, start: str, piece: str, times: int, message: str) -> None:
    path = tmp_path / "a.csv"
    with path.open("w") as file:
        file.write(start)
        for _ in range(10):
            file.write(piece * (times // 10))
        file.write(piece * (times % 10))
        file.write("\nx,y\n" if piece.endswith("\n") else "")
    refused(path, message)


def test_a_long_line_is_read(tmp_path: Path) -> None:
    line = ",".join(["255"] * (MAX_LINE // 4 - 1))
    (tmp_path / "a.csv").write_text(f"0,{line}\n" * 2 + f"1,{line}\n" * 2)
    assert data.load(tmp_path / "a.csv").x_train.shape == (2, MAX_LINE // 4 - 1)


@pytest.mark.parametrize("last", ["0.5", "256", "-1", "3"])
def test_pieces_of_a_csv_have_one_dtype(tmp_path: Path, last: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether numbers are pixels is decided at the end of the file."""
    monkeypatch.setattr("pynet.data.csv.PIECE", 1)  # a line
    (tmp_path / "a.csv").write_text(f"0,200,7\n0,255,8\n1,0,9\n1,0,{last}\n")
    found = data.load(tmp_path / "a.csv")
    values = np.concatenate([found.x_train, found.x_test])
    assert values.dtype == (np.uint8 if last == "3" else np.float32)
    assert sorted(values[:, 1]) == sorted([7, 8, 9, float(last)])


@pytest.mark.parametrize(("text", "line"), [("1,2\n1,2\n1,2,3\n", 3), ("1,2,3\n1,2\n", 2)])
def test_pieces_of_a_csv_have_one_width(tmp_path: Path, text: str, line: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pynet.data.csv.PIECE", 1)
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(data.DataError, match=f"line {line} has . fields, the lines before have"):
        data.load(tmp_path / "a.csv")


# ---- .npz ----


def write(path: Path, **arrays: Array) -> Path:
    """A compressed .npz; arrays that are not given are small and zero."""
    small = {"x_train": np.zeros((9, 2)), "y_train": np.zeros(9), "x_test": np.zeros((9, 2)), "y_test": np.zeros(9)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in (small | arrays).items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array)
    return path


def zeros(count: int, dtype: str, last: float = 0) -> Array:
    x = np.zeros((count, 2), dtype)
    x[-1] = last
    return x


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": zeros(32 * MB, "u1")}, "x_train unpacks to 64000128 bytes, at most 16777216"),
        (
            {"x_train": zeros(8 * MB - 100, "u1"), "x_test": zeros(8 * MB - 100, "u1")},
            "x_test with those before it unpacks to",
        ),
        ({"x_train": zeros(8 * MB - 100, "u1")}, "x_train holds 7999900 images"),
        ({"x_train": zeros(900_000, "f8", np.nan), "y_train": np.zeros(900_000, "u1")}, "x_train: pixel nan at index"),
        ({"x_train": zeros(900_000, "i8", -1), "y_train": np.zeros(900_000, "u1")}, "x_train: integer pixel -1"),
        ({"x_train": zeros(1, "u1"), "y_train": np.zeros(2 * MB)}, "x_train holds 1 images"),
        ({"y_train": np.zeros((2, MB))}, "x_train holds 9 images"),
    ],
)
def test_npz(tmp_path: Path, arrays: dict[str, Array], message: str) -> None:
    path = write(tmp_path / "a.npz", **arrays)
    assert path.stat().st_size < 70_000
    refused(path, message)


def test_large_arrays_without_labels_are_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x_train=zeros(50 * MB, "u1"), y_train=[0], x_test=[[0]], y_test=[0])
    refused(tmp_path / "a.npz", "x_train holds 50000000 images, ")


def test_an_npz_of_many_arrays(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for i in range(60_000):
            archive.writestr(f"{i:040d}", b"")
    refused(tmp_path / "a.npz", "the list of its arrays takes 5160000 bytes, at most 1048576 are accepted", 20 * MB)


# ---- IDX ----


def test_idx_longer_than_its_header_says(tmp_path: Path) -> None:
    path = write_idx(tmp_path) / "train-images-idx3-ubyte"
    with path.open("wb") as file:
        file.write(struct.pack(">4I", 0x803, 12, 4, 3))
        for _ in range(100):
            file.write(bytes(MB))
    refused(tmp_path, "declares 12 x 4 x 3 = 144 bytes, but more follow", 20 * MB)


def test_idx_that_declares_a_large_size(tmp_path: Path) -> None:
    path = write_idx(tmp_path) / "train-images-idx3-ubyte"
    path.write_bytes(gzip.compress(struct.pack(">4I", 0x803, 16 << 10, 32, 32) + bytes(1000)))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, 16 << 10) + bytes(16 << 10))
    refused(tmp_path, "= 16777216 bytes, but 1000 follow (truncated?)", 20 * MB)
