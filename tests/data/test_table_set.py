"""Data sets from tables: columns, targets, splits, and that test and validation rows decide nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.tables import KINDS, N, kind, size, table, write

from pynet import data
from pynet.data.table_set import open_rows
from pynet.errors import DataError

# ---- columns ----


def test_numbers_and_texts_become_inputs(tmp_path: Path) -> None:
    found = table(
        tmp_path,
        age=lambda i: "" if i % 6 == 0 else i % 9,
        sex=lambda i: ("f", "m", "NA")[i % 3],
        flag=lambda i: i % 4 == 0,
    )
    names = ("size", "age", "age is missing", "sex=f", "sex=m", "sex is missing", "flag=False", "flag=True")
    assert found.features == found.columns.names == names
    x = np.concatenate([found.x_train, found.x_test])
    assert x.shape == (N, 8) and x.dtype == np.float32
    assert (x[:, 3:6].sum(axis=1) == 1).all() and (x[:, 6:].sum(axis=1) == 1).all()
    gone = found.x_train[:, 2] == 1
    mean = np.float32(found.x_train[~gone, 1].mean(dtype=np.float64))
    assert found.means.tolist() == pytest.approx([found.x_train[:, 0].mean(), mean, *[0] * 6])
    assert (x[x[:, 2] == 1, 1] == found.means[1]).all()
    assert found.classes == ("high", "low", "mid")
    assert found.columns.are_numbers.tolist() == [True, True, *[False] * 6]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (lambda i: 3.5, "c: constant, 3.5"),
        (lambda i: "x", "c: constant, x"),
        (lambda i: "", "c: no value"),
        (lambda i: i + 17, "c: it counts the rows"),
        (lambda i: 100 - i, "c: it counts the rows"),
        (lambda i: f"2020-01-{1 + i % 28:02}", "c: dates"),
        (lambda i: f"{1 + i % 28}.1.2020", "c: dates"),
        (lambda i: f"2020-01-{1 + i % 28:02}T10:00:00Z", "c: dates"),
        (lambda i: f"{1 + i % 28} March 2021", "c: dates"),
        (lambda i: f"10:{i:02}", "c: dates"),
        (lambda i: f"name {i}", r"c: 48 different texts in 48 rows"),
    ],
)
def test_columns_that_are_left_out(tmp_path: Path, values: Any, reason: str) -> None:
    found = table(tmp_path, c=values)
    assert found.features == ("size",)
    assert f"left out: {reason}" in found.notes


@pytest.mark.parametrize("name", ["id", "ID", "PassengerId", "customer_id", "index", "Unnamed: 0", ""])
def test_numbers_of_rows_are_left_out_by_their_name(tmp_path: Path, name: str) -> None:
    columns = {name: lambda i: 1000 + 37 * i % 997}
    assert table(tmp_path, **columns).features == ("size",)
    assert table(tmp_path, c=columns[name]).features == ("size", "c")
    grid = {name: lambda i: i % 5}
    assert len(table(tmp_path, **grid).features) == 2  # its numbers are not all different


def test_a_row_counter_is_one_of_the_whole_file(tmp_path: Path) -> None:
    """This also holds if rows are left out because their target is missing."""
    found = table(tmp_path, n=lambda i: i, kind=lambda i: "" if i % 5 == 0 else kind(i))
    assert found.features == ("size",)
    assert "12 rows without kind left out" in found.notes
    assert len(found.y_train) + len(found.y_test) == 48


def test_the_most_frequent_texts_have_an_input(tmp_path: Path) -> None:
    found = table(tmp_path, rows=400, city=lambda i: f"c{min(i % 100, 70)}")
    assert len(found.features) == 51 and "city=c70" in found.features
    assert any("city: all but the 50 most frequent of 71 texts" in note for note in found.notes)


def test_options(tmp_path: Path) -> None:
    zip_code = lambda i: 10 + i % 4  # noqa: E731
    assert table(tmp_path, zip=zip_code).features == ("size", "zip")
    names = ("size", *(f"zip=1{i}" for i in range(4)))
    assert table(tmp_path, options={"categorical": ["zip"]}, zip=zip_code).features == names
    assert table(tmp_path, options={"ignore": ["zip"]}, zip=zip_code).features == ("size",)
    assert table(tmp_path, options={"ignore": [-1], "test_split": 0.5}, zip=zip_code).x_test.shape == (29, 1)
    for name in ("ignore", "categorical"):
        with pytest.raises(DataError, match=r"no column 'zap'; did you mean 'zip'\? columns: size, kind, zip"):
            table(tmp_path, options={name: ["zap"]}, zip=zip_code)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"size": lambda i: i}, "no column to learn 'kind' from: size: it counts the rows"),
        ({"size": lambda i: "inf" if i == 9 else i % 5}, "line 11, column 'size' holds inf"),
        ({"size": lambda i: "-1e300" if i == 9 else i % 5}, r"line 11, column 'size' holds -1e\+300"),
        ({"kind": lambda i: "a"}, "the target 'kind' is 'a' in all rows"),
        ({"kind": lambda i: 2}, "the target 'kind' is '2' in all rows"),
        ({"kind": lambda i: ""}, "the target 'kind' has no value"),
        ({"kind": lambda i: f"k{i}"}, "'kind' has 60 classes in 60 rows"),
        ({"kind": lambda i: f"2020-01-{1 + i % 9}"}, None),
    ],
)
def test_what_is_refused(tmp_path: Path, columns: dict[str, Any], message: str | None) -> None:
    if message is None:
        assert len(table(tmp_path, **columns).classes) == 9
        return
    with pytest.raises(DataError, match=message):
        table(tmp_path, **columns)


def test_a_warning_for_a_column_that_decides_the_target(tmp_path: Path) -> None:
    warning = "column 'alive' alone decides 'kind': is it made from it? --ignore leaves it out"
    assert table(tmp_path, alive=lambda i: kind(i).upper()).warnings == (warning,)
    assert table(tmp_path, alive=lambda i: kind(i).upper() if i else "LOW").warnings != ()
    assert table(tmp_path, alive=lambda i: KINDS.index(kind(i)) + i % 2 * 3).warnings == (warning,)
    assert table(tmp_path, alive=lambda i: kind(i + i % 2)).warnings == ()
    double = table(tmp_path, "size", {"task": "number"}, alive=lambda i: 3 - 2 * size(i))
    assert double.warnings == ("column 'alive' alone decides 'size': is it made from it? --ignore leaves it out",)


def test_texts_beyond_the_most_frequent_are_not_called_new(tmp_path: Path) -> None:
    found = table(tmp_path, rows=400, city=lambda i: f"c{i % 60}")
    assert "which is not among its 50 most frequent texts" in found.warnings[-1]
    assert "that the training rows did not have" not in found.warnings[-1]


def test_data_frames(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    path = write(tmp_path, size=size, age=lambda i: "" if i % 6 == 0 else i % 9, sex=lambda i: "fm"[i % 2], kind=kind)
    of_file, of_frame = data.table(path, "kind"), data.table(pandas.read_csv(path), target="kind")
    assert np.array_equal(of_file.x_train, of_frame.x_train) and np.array_equal(of_file.y_test, of_frame.y_test)
    assert of_frame.samples_sha256 == of_file.samples_sha256 and of_frame.columns.inputs == of_file.columns.inputs
    frame = pandas.DataFrame({"card": [12345678901234567, 12345678901234568] * 6, "y": list("aabb") * 3})
    of_frame = data.table(frame, "y", categorical=["card"], test_split=0)
    assert of_frame.features == ("card=12345678901234567", "card=12345678901234568")  # one float64


# ---- the target ----


@pytest.mark.parametrize(
    ("values", "task", "classes", "note"),
    [
        (kind, None, ("high", "low", "mid"), "learns c, 3 classes"),
        (lambda i: i % 3, None, ("0", "1", "2"), "learns c, 3 classes; --task number learns it as a number"),
        (lambda i: f"{i % 11}.0", None, tuple(map(str, range(11))), "learns c, 11 classes; --task number"),
        (lambda i: i % 3, "number", (), "learns c, a number"),
        (lambda i: i % 25 * 2, None, (), "learns c, a number; --task classes makes each value a class"),
        (lambda i: i % 3 / 2, None, (), "learns c, a number; --task classes"),
        (lambda i: i % 3 / 2, "classes", ("0", "0.5", "1"), "learns c, 3 classes"),
        (lambda i: i % 2 == 0, None, ("False", "True"), "learns c, 2 classes"),
        (lambda i: "oops" if i == 5 else i / 7, None, (), "learns c, a number"),
    ],
)
def test_kinds_of_targets(tmp_path: Path, values: Any, task: str | None, classes: tuple[str, ...], note: str) -> None:
    found = table(tmp_path, "c", {"task": task}, c=values)
    assert found.classes == classes
    assert any(one.startswith(note) for one in found.notes)
    assert found.columns.target.task == ("classes" if classes else "number")
    assert found.y_train.dtype == (np.int32 if classes else np.float32)
    if not classes:
        given = [values(i) for i in range(N) if values(i) != "oops"]
        assert sorted([*found.y_train, *found.y_test]) == pytest.approx(sorted(given))


def test_targets_by_name_and_place(tmp_path: Path) -> None:
    path = write(tmp_path, **{"1": size, "size": kind, "kind": lambda i: i % 2})
    expected = {"1": "1", 0: "1", "0": "1", "size": "size", -1: "kind", "2": "kind", "-3": "1"}
    for target, name in expected.items():
        assert data.table(path, target).columns.target.name == name
    with pytest.raises(DataError, match=r"there is no column 'species'; columns: 1, size, kind"):
        data.table(path, "species")
    with pytest.raises(DataError, match="task is 'guess'; accepted: classes, number"):
        data.table(path, "kind", task="guess")
    with pytest.raises(DataError, match="line 2: the target 'size' holds 'low'; accepted: numbers"):
        data.table(path, "size", task="number")


def test_splits_are_stratified(tmp_path: Path) -> None:
    found = table(tmp_path, "c", rows=200, c=lambda i: ("rare", "often", "often", "often")[i % 4])
    assert np.bincount(found.y_test).tolist() == [30, 10]
    again = table(tmp_path, "c", rows=200, c=lambda i: ("rare", "often", "often", "often")[i % 4])
    assert np.array_equal(found.x_test, again.x_test) and found.samples_sha256 == again.samples_sha256
    numbers = table(tmp_path, "size", {"task": "number"}, size=lambda i: i % 30)
    assert (len(numbers.y_train), len(numbers.y_test)) == (48, 12)


def test_folds(tmp_path: Path) -> None:
    rows = open_rows(write(tmp_path, size=size, c=lambda i: "ab"[i % 5 == 0]), "c")
    folds = rows.folds(5)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(N))
    for train, test in folds:
        assert not set(train) & set(test) and len(train) + len(test) == N
        assert abs(len(test) - 12) <= 1 and 2 <= rows.y[test].sum() <= 3


def test_a_word_for_none_among_the_classes_is_named(tmp_path: Path) -> None:
    found = table(tmp_path, kind=lambda i: ("None", "low", "high")[i % 3])
    assert "20 rows without kind left out: 'None' there counts as missing" in found.notes


def test_whole_numbers_that_float64_cannot_tell_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="in all rows, in float64, which does not hold all whole numbers from 9,007"):
        table(tmp_path, kind=lambda i: 10**17 + i % 2)


def test_class_names_of_scikit_learn_files(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("60,1,small,large\n" + "".join(f"{size(i)},{int(size(i) > 2)}\n" for i in range(N)))
    assert data.table(path, -1).classes == ("small", "large")
    assert data.table(path, 0).classes != ("small", "large")


# ---- test and validation rows decide nothing ----


def test_nothing_is_learnt_from_test_rows(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {
        "size": [size(i) for i in range(N)],
        "age": [i % 9 for i in range(N)],
        "city": [f"c{i % 4}" for i in range(N)],
        "kind": [kind(i) for i in range(N)],
    }
    rows = open_rows(write(tmp_path, **columns), "kind")
    train, test = rows.divided(np.arange(N), 0.2)
    before = rows.encoded(train, test[:0], test).data
    for i in test:
        columns["size"][i] = 1e6
        columns["age"][i] = "?"
        columns["city"][i] = "elsewhere"
    after = data.table(write(tmp_path, **columns), "kind")
    assert after.columns == before.columns
    assert np.array_equal(after.x_train, before.x_train) and np.array_equal(after.means, before.means)
    assert len(train) == 48 and (after.x_test[:, 2:] == 0).all()
    text = "24 values that the training rows did not have count as none: a missing one in column 'age', line 7; "
    assert f"{text}'elsewhere' in column 'city', line 7" in after.warnings[0]


def test_values_that_are_not_numbers_are_missing_and_reported(tmp_path: Path) -> None:
    age = {"age": lambda i: "" if i % 9 == 0 else "old" if i == 58 else i % 7}
    found = table(tmp_path, kind=lambda i: "" if i < 5 else kind(i), **age)
    assert "'age' holds numbers; other texts count as missing: 'old' (1); --categorical keeps" in found.warnings[0]
    assert found.columns.inputs[1].placeholders == ("old",) and not found.warnings[1:]
    assert found.x_train[:, 2].sum() + found.x_test[:, 2].sum() == 7


def test_blank_lines_and_infinity_in_a_counter(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["n,kind", *(f"{i},{'xy'[i % 2]}" for i in range(9)), "inf,x", "\n" * 99]))
    with pytest.raises(DataError, match="line 11, column 'n' holds inf"):
        data.table(path, "kind")


def test_validation_rows_are_not_learnt_from(tmp_path: Path) -> None:
    path = write(tmp_path, size=size, kind=kind)
    rows = open_rows(path, "kind")
    train, test = rows.divided(np.arange(N), 0.2)
    parts = rows.encoded(*rows.divided(train, 0.25, seed=3), test)
    assert parts.validation is not None
    assert (len(parts.data.y_train), len(parts.validation[1]), len(parts.data.y_test)) == (36, 12, 12)
    assert parts.data.means[0] == np.float32(parts.data.x_train.mean(dtype=np.float64))  # type: ignore[index]
    assert np.array_equal(parts.data.x_test, data.table(path, "kind").x_test)


def test_large_offsets_that_float32_cannot_hold_are_reported(tmp_path: Path) -> None:
    """Targets of 1.7e9 and more would all be equal, and every prediction right."""
    seconds = {"t": lambda i: 1.7e9 + i * 7 % N, "y": lambda i: i * 7 % N / 4, "size": size}
    found = data.table(write(tmp_path, **seconds), "y")
    rounds = r"float32 rounds numbers like 1700000000 to multiples of 128, and their differences are lost"
    assert f"left out: t: {rounds}; subtract a constant first" in found.notes and found.features == ("size",)
    with pytest.raises(DataError, match=f"the target 't': {rounds}"):
        data.table(write(tmp_path, **seconds), "t")
    minutes = seconds | {"t": lambda i: 1.7e9 + i * 7 % N * 16}
    assert f"column 't': {rounds}" in data.table(write(tmp_path, **minutes), "y").warnings[0]
    assert f"the target 't': {rounds}" in data.table(write(tmp_path, **minutes), "t").warnings[0]
    days = seconds | {"t": lambda i: 1.7e9 + i * 7 % N * 86_400, "flat": lambda i: "" if i % 2 else 0.1}
    assert not data.table(write(tmp_path, **days), "y", ignore=["size"]).warnings[1:]
