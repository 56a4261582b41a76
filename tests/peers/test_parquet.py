"""Columns of Parquet files as samples: the same training as from arrays; files and columns that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pynet import Network, data
from pynet.errors import DataError

pa = pytest.importorskip("pyarrow", reason="needs pyarrow: .ci/run and `make test-peers` have it")
parquet = pytest.importorskip("pyarrow.parquet")

N = 500
RNG = np.random.default_rng(1)
COLUMNS: dict[str, Any] = {
    "size": RNG.normal(size=N),
    "count": RNG.integers(0, 9, N, np.int32),
    "new": RNG.random(N) < 0.5,
    "place": RNG.normal(size=N).astype(np.float32),
    "kind": RNG.integers(0, 3, N),
}
X = np.stack([np.asarray(COLUMNS[name], np.float32) for name in ("size", "count", "new", "place")], axis=1)


def write(path: Path, rows: slice = slice(None), **changed: Any) -> str:
    columns = {name: values[rows] for name, values in COLUMNS.items()} | changed
    parquet.write_table(
        pa.table({k: v for k, v in columns.items() if v is not None}), path, row_group_size=70, compression="snappy"
    )
    return str(path)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    return [
        write(tmp_path / f"{i}.parquet", rows) for i, rows in enumerate([slice(210), slice(210, 210), slice(210, N)])
    ]


def trained(x: Any, y: Any, window: int | None) -> str:
    net = Network("input(4) standardize dense(8) relu dense(3) softmax")
    net.adapt(X, COLUMNS["kind"])
    net.fit(x, y, epochs=2, window=window, verbose=0)
    return net.weights_sha256()


def test_rows_are_those_of_the_columns(files: list[str]) -> None:
    x, y = data.parquet(files, "kind")
    assert (x.shape, x.dtype, y.dtype) == ((N, 4), np.float32, np.int64)
    np.testing.assert_array_equal(y, COLUMNS["kind"])
    for part in (slice(None), slice(0, 1), slice(69, 71), slice(205, 300), slice(-3, None), slice(9, 9)):
        np.testing.assert_array_equal(x[part], X[part])
    chosen, _ = data.parquet(files, "kind", ["new", "size"])
    np.testing.assert_array_equal(chosen[100:400], X[100:400][:, [2, 0]])
    numbers = data.parquet(files[0], "size", ["count"])[1]
    np.testing.assert_array_equal(numbers, COLUMNS["size"][:210])


@pytest.mark.parametrize("later", [np.array([1.5, 2.75]), np.array([300, 70_000]), np.array([7e40, 1.0])])
@pytest.mark.parametrize("first", [np.int8, np.int64, np.float32])
def test_the_target_has_a_type_that_holds_the_numbers_of_all_files(tmp_path: Path, first: Any, later: Any) -> None:
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for path, numbers in zip(paths, (np.array([1, 2], first), later), strict=True):
        parquet.write_table(pa.table({"x": [0.0, 0.0], "y": numbers}), path)
    np.testing.assert_array_equal(data.parquet(paths, "y")[1], [1, 2, *later])


@pytest.mark.parametrize("window", [None, 128])
def test_training_is_that_on_arrays(files: list[str], window: int | None) -> None:
    assert trained(*data.parquet(files, "kind"), window) == trained(X, COLUMNS["kind"], window)


@pytest.mark.parametrize(
    ("changed", "columns", "message"),
    [
        ({"place": ["a"] * N}, None, "column 'place' holds string; accepted: numbers"),
        ({}, ["size", "width"], "no columns 'width'; it has size, count, new, place, kind"),
        ({}, ["size", "kind"], "column 'kind' is the target"),
        ({}, [], "no columns are left for x"),
        ({"kind": None}, None, "no columns 'kind'; it has size, count, new, place"),
        ({"kind": ["a"] * N}, None, "column 'kind' holds string; accepted: numbers"),
        ({"kind": [None, *[1] * (N - 1)]}, None, "column 'kind' has no value in row 0; accepted: numbers"),
    ],
)
def test_columns_that_are_refused(tmp_path: Path, changed: Any, columns: Any, message: str) -> None:
    path = write(tmp_path / "a.parquet", **changed)
    with pytest.raises(DataError, match=rf"a\.parquet: {message}|{message}"):
        data.parquet(path, "kind", columns)


def test_a_missing_value_is_named_when_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", place=[*[1.0] * 333, None, *[1.0] * (N - 334)])
    x, y = data.parquet(path, "kind")
    with pytest.raises(DataError, match="column 'place' has no value in row 333; accepted: numbers"):
        trained(x, y, 128)


def test_files_that_are_refused(tmp_path: Path, files: list[str]) -> None:
    wide = write(tmp_path / "wide.parquet", more=np.zeros(N))
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(Path(files[0]).read_bytes()[:-200])
    for paths, message in (
        ([], "no files are given"),
        ([files[0], wide], r"wide\.parquet: column 'more' is in only one of it and .*0\.parquet"),
        ([str(damaged)], r"damaged\.parquet: "),
        ([str(tmp_path / "none.parquet")], r"none\.parquet: "),
    ):
        with pytest.raises(DataError, match=message) as caught:
            data.parquet(paths, "kind")
        assert "\n" not in str(caught.value)
