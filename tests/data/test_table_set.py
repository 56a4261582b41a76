"""Data sets from tables: columns, targets, splits, and that test and validation rows decide nothing."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pynet
from pynet import data
from pynet.data.columns import Columns, places_among
from pynet.data.read_table import read_table
from pynet.data.table_model import of_model
from pynet.data.table_set import open_rows
from pynet.errors import DataError

N = 60
KINDS = ("low", "mid", "high")


def write(folder: Path, name: str = "t.csv", rows: int = N, **columns: Any) -> Path:
    """Writes a table; a column is a list, or a function of the row's index."""
    lists = {key: [some(i) for i in range(rows)] if callable(some) else list(some) for key, some in columns.items()}
    lines = [",".join(lists), *(",".join(map(str, row)) for row in zip(*lists.values(), strict=True))]
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def size(i: int) -> float:
    return i * 7 % 20 / 4


def kind(i: int) -> str:
    return KINDS[i * 7 % 20 // 7]


def table(folder: Path, target: str | int = "kind", options: dict[str, Any] | None = None, **columns: Any) -> Any:
    path = write(folder, **({"size": size, "kind": kind} | columns))
    return data.table(path, target, **options or {})


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


# ---- numbers in other notations, placeholders, codes ----


@pytest.mark.parametrize("every", [9, 2])
def test_mostly_numbers_are_a_column_of_numbers(tmp_path: Path, every: int) -> None:
    found = table(tmp_path, rows=200, a=lambda i: "unknown" if i % 81 == 80 else i / 3 if i % every else "-")
    assert found.features == ("size", "a", "a is missing")
    assert found.columns.inputs[1].placeholders == ("-", "unknown") and "'-' (" in found.warnings[1]
    assert json.loads(found.columns.note())["version"] == 2
    columns = Columns.from_note(found.columns.note())
    assert columns == found.columns
    one = read_table(write(tmp_path, "u.csv", 1, size=[1], a=["-"]))
    x, warning = columns.encoded(one, found.means)
    assert x.tolist() == [[1, found.means[1], 1]] and not warning


def test_categories_beside_numbers_stay_categories(tmp_path: Path) -> None:
    found = table(tmp_path, a=lambda i: "unknown" if i % 9 == 0 else i % 5)
    assert found.features == ("size", *(f"a={level}" for level in (0, 1, 2, 3, 4, "unknown")))


@pytest.mark.parametrize("text", ["4,507.29", "$4507.29", "-8.0%", "1,5", "1.234,50", "4 507", "(12)"])
def test_numbers_as_people_write_them_are_refused_and_named(tmp_path: Path, text: str) -> None:
    found = table(tmp_path)
    for rows in (1, 2, 9):
        path = tmp_path / "u.csv"
        path.write_text("size;more\n" + f"{text};x\n" + "2.5;x\n" * (rows - 1))
        wanted = rf"'{re.escape(text)}' in column 'size', line 2, is no number; accepted: numbers; .*(--dec|removed)"
        with pytest.raises(DataError, match=wanted):
            found.columns.encoded(read_table(path, separator=";", decimal="."), found.means)


@pytest.mark.parametrize("row", range(5))  # among them rows of the training and of the test set
def test_a_written_number_is_no_placeholder_in_any_row(tmp_path: Path, row: int) -> None:
    with pytest.raises(DataError, match=rf"'1,234\.50' in column 'a', line {row + 2}, is no number; .* removed"):
        table(tmp_path, rows=200, a=lambda i: '"1,234.50"' if i == row else i / 3)


def test_true_stays_a_placeholder_in_a_file_without_numbers(tmp_path: Path) -> None:
    found = table(tmp_path, rows=200, a=lambda i: "True" if i % 9 == 0 else i / 3)
    one = read_table(write(tmp_path, "u.csv", 1, size=[1], a=["True"]))
    assert found.columns.encoded(one, found.means)[0].tolist() == [[1, found.means[1], 1]]


def test_prices_as_texts_are_named_in_training(tmp_path: Path) -> None:
    lines = [f"{size(i)};{kind(i)};${i + 1},000.00" for i in range(N)]
    path = tmp_path / "t.csv"
    path.write_text("size;kind;price\n" + "\n".join(lines))
    hint = r"'\$.+'; thousands separators and signs such as \$ or % have to be removed first"
    assert any(re.search(f"left out: price: .*, as {hint}", note) for note in data.table(path, "kind").notes)
    with pytest.raises(DataError, match=r"thousands separators and signs such as \$ or % have to be removed"):
        data.table(path, "price")


def test_leading_zeros_make_codes(tmp_path: Path) -> None:
    few = table(tmp_path, zip=lambda i: f"{i % 3 * 1000:05}")
    assert few.features == ("size", "zip=00000", "zip=01000", "zip=02000")
    many = table(tmp_path, rows=200, zip=lambda i: f"{i * 331:05}")
    assert many.features == ("size", "zip") and "'zip' has leading zeros" in many.warnings[1]
    padded = table(tmp_path, zip=lambda i: f"0{i % 30}")  # of other lengths: numbers
    assert padded.features == ("size", "zip") and "leading zeros" not in str(padded.warnings)


@pytest.mark.parametrize(
    ("levels", "texts", "places"),
    [
        (("1", "2"), ("2.0", "02", "1", "3", "x"), [1, 1, 0, -1, -1]),
        (("1.0", "2.0"), ("2", "True"), [1, -1]),
        (("False", "True"), ("TRUE", "true", "1", "0.0", "no"), [1, 1, 1, 0, -1]),
        (("0", "1"), ("True", "false"), [1, 0]),
        (("01015", "02139"), ("1015", "02139"), [-1, 1]),
        (("1", "1.0"), ("1", "1.0", "01"), [0, 1, -1]),
        (("a", "b"), ("A", "b"), [-1, 1]),
        (("12345678901234567", "2"), ("12345678901234568", "12345678901234567"), [-1, 0]),  # one float64
    ],
)
def test_categories_are_compared_as_what_they_are(
    levels: tuple[str, ...], texts: tuple[str, ...], places: list[int]
) -> None:
    assert places_among(levels, texts, -1) == places


def test_a_column_without_a_known_value_gets_a_warning_of_its_own(tmp_path: Path) -> None:
    found = table(tmp_path, options={"categorical": ["z"]}, z=lambda i: f"{1 + i % 2}.0")
    rows = read_table(write(tmp_path, "u.csv", 3, size=[1, 2, 3], z=[3, 4, ""]))
    warning = found.columns.encoded(rows, found.means)[1]
    assert "NO value of a column is known, so that predictions do without it: '3' in column 'z', line 2" in warning
    assert "the model knows 1.0, 2.0" in warning and "a missing one in column 'z', line 4" in warning
    known = read_table(write(tmp_path, "u.csv", 3, size=[1, 2, 3], z=[2, 1, 2]))
    x, warning = found.columns.encoded(known, found.means)
    assert x[:, 1:].tolist() == [[0, 1], [1, 0], [0, 1]] and not warning


def test_texts_beyond_the_most_frequent_are_not_called_new(tmp_path: Path) -> None:
    found = table(tmp_path, rows=400, city=lambda i: f"c{i % 60}")
    assert "which is not among its 50 most frequent texts" in found.warnings[-1]
    assert "that the training rows did not have" not in found.warnings[-1]


def test_a_word_for_none_among_the_classes_is_named(tmp_path: Path) -> None:
    found = table(tmp_path, kind=lambda i: ("None", "low", "high")[i % 3])
    assert "20 rows without kind left out: 'None' there counts as missing" in found.notes


def test_whole_numbers_that_float64_cannot_tell_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="in all rows, in float64, which does not hold all whole numbers from 9,007"):
        table(tmp_path, kind=lambda i: 10**17 + i % 2)


# ---- the columns of a model, and other tables ----


def known(tmp_path: Path) -> tuple[Any, Columns]:
    found = table(tmp_path, age=lambda i: "" if i % 6 == 0 else i % 9, sex=lambda i: "fm"[i % 2])
    return found, Columns.from_note(found.columns.note())


def test_columns_in_any_order_among_others(tmp_path: Path) -> None:
    found, columns = known(tmp_path)
    path = write(tmp_path, "u.csv", 3, more=lambda i: "x", sex=["m", "f", "d"], size=[1, 2, 3], age=["", 7, "old"])
    x, warning = columns.encoded(read_table(path), found.means)
    mean = found.means[1]
    assert x.tolist() == [[1, mean, 1, 0, 1], [2, 7, 0, 1, 0], [3, mean, 1, 0, 0]]
    assert (
        "2 values that the training rows did not have count as none: 'old' in column 'age', line 4, which is no"
        in warning
    )
    assert "'d' in column 'sex', line 4" in warning
    alone = [columns.encoded(read_table(path).rows(np.array([i])), found.means)[0][0].tolist() for i in range(2)]
    assert alone == x.tolist()[:2]
    with pytest.raises(DataError, match="'old' in column 'age', line 4, is no number; accepted: numbers"):
        columns.encoded(read_table(path).rows(np.array([2])), found.means)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    found, columns = known(tmp_path)
    with pytest.raises(DataError, match="there is no column 'sex', which the model takes; columns: size, age"):
        columns.encoded(read_table(write(tmp_path, "u.csv", 3, size=size, age=size)), found.means)
    with pytest.raises(DataError, match=r"no column 'sex', which the model takes; did you mean 'Sex'\? columns: Sex"):
        columns.encoded(read_table(write(tmp_path, "u.csv", 3, Sex=size, size=size, age=size)), found.means)
    (tmp_path / "u.csv").write_text("1,2,3\n4,5,6\n")
    with pytest.raises(DataError, match="'size', which the model takes; has the file no header, a first line with the"):
        columns.encoded(read_table(tmp_path / "u.csv"), found.means)
    with pytest.raises(DataError, match="no column 'kind', the model's target"):
        columns.targets(read_table(write(tmp_path, "u.csv", 3, size=size, age=size)))
    with pytest.raises(DataError, match="3 values are no numbers, as 'a' in column 'size', line 2"):
        columns.encoded(
            read_table(write(tmp_path, "u.csv", 3, size=lambda i: "abc"[i], age=size, sex=size)), found.means
        )


def test_values_missing_where_training_had_all_are_reported(tmp_path: Path) -> None:
    found = table(tmp_path, sex=lambda i: "fm"[i % 2], age=lambda i: "" if i % 6 == 0 else i % 9)
    rows = read_table(write(tmp_path, "u.csv", 3, size=["", 2, 3], sex=["f", "", "NA"], age=["", 1, 2]))
    x, warning = found.columns.encoded(rows, found.means)
    assert x[0, 0] == found.means[0] and (x[1:, 1:3] == 0).all()
    assert warning.endswith(
        "3 values that the training rows did not have count as none: a missing one in column 'size', line 2; "
        "a missing one in column 'sex', line 3"
    )


def test_files_without_a_header_use_indices(tmp_path: Path) -> None:
    lines = [f"{size(i)},{kind(i)},{i % 3}" for i in range(N)]
    path = tmp_path / "t.data"
    path.write_text("\n".join(lines))
    found = data.table(path, 1)
    columns = Columns.from_note(found.columns.note())
    assert found.features == ("0", "2") and not columns.header
    without = tmp_path / "u.data"
    without.write_text("\n".join(f"{size(i)},{i % 3}" for i in range(5)))
    rows = [read_table(place, header=False) for place in (path, without)]
    whole, alone = (columns.encoded(one, found.means)[0] for one in rows)
    assert np.array_equal(whole[:5], alone)
    assert [columns.has_target(one) for one in rows] == [True, False]
    without.write_text("1\t2\t3\t4\n")
    with pytest.raises(DataError, match="has 4 columns; the model was trained on 3, or 2 without the target"):
        columns.encoded(read_table(without, header=False), found.means)


def test_classes_are_matched_by_value(tmp_path: Path) -> None:
    found = table(tmp_path, "c", c=lambda i: i % 3 + 1)
    other = write(tmp_path, "u.csv", 4, c=["3.0", "1", "", "2"], size=size, kind=kind)
    measured = of_model(read_table(other), found.columns, found.means, found.classes, "u")
    assert measured.y_test.tolist() == [2, 0, 1] and measured.notes == ("1 row without c left out",)
    assert measured.x_test[:, 0].tolist() == [size(0), size(1), size(3)]
    with pytest.raises(DataError, match="line 5, column 'c' holds '7', which is not among the classes 1, 2, 3"):
        found.columns.targets(read_table(write(tmp_path, "u.csv", 4, c=[1, 2, 3, 7], d=size)))


@pytest.mark.parametrize("target", ["y", "c"])
def test_targets_that_are_no_numbers_are_named(tmp_path: Path, target: str) -> None:
    """Rows with 1,5 among 2 and 3 would be left out, and the others measured as if they were the whole file."""
    good = {"size": size, "y": lambda i: i / 4, "c": lambda i: i % 2}
    found = data.table(write(tmp_path, **{**good, target: lambda i: "n.d." if i == 3 else good[target](i)}), target)
    assert f"1 row without {target} left out: 'n.d.' in column '{target}', line 5, is no number" in found.notes
    columns, means = found.columns, found.means
    few = read_table(write(tmp_path, "few.csv", 4, size=size, y=["a", 1, 0, 1], c=["a", 1, 0, 1]))
    measured = of_model(few, columns, means, found.classes, "few")
    assert measured.notes == (f"1 row without {target} left out: 'a' in column '{target}', line 2, is no number",)
    most = read_table(write(tmp_path, "most.csv", 4, size=size, y=['"1,5"', '"0,2"', '"2,5"', 1], c=["a", "b", "b", 1]))
    with pytest.raises(DataError, match=rf"3 values are no numbers, as '.*' in column '{target}', line 2; accepted"):
        of_model(most, columns, means, found.classes, "most")


def test_data_frames(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    path = write(tmp_path, size=size, age=lambda i: "" if i % 6 == 0 else i % 9, sex=lambda i: "fm"[i % 2], kind=kind)
    of_file, of_frame = data.table(path, "kind"), data.table(pandas.read_csv(path), target="kind")
    assert np.array_equal(of_file.x_train, of_frame.x_train) and np.array_equal(of_file.y_test, of_frame.y_test)
    assert of_frame.samples_sha256 == of_file.samples_sha256 and of_frame.columns.inputs == of_file.columns.inputs
    frame = pandas.DataFrame({"card": [12345678901234567, 12345678901234568] * 6, "y": list("aabb") * 3})
    of_frame = data.table(frame, "y", categorical=["card"], test_split=0)
    assert of_frame.features == ("card=12345678901234567", "card=12345678901234568")  # one float64


def test_class_names_of_scikit_learn_files(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("60,1,small,large\n" + "".join(f"{size(i)},{int(size(i) > 2)}\n" for i in range(N)))
    assert data.table(path, -1).classes == ("small", "large")
    assert data.table(path, 0).classes != ("small", "large")


def test_a_program_gets_the_inputs_of_a_model(tmp_path: Path) -> None:
    found = table(tmp_path, age=lambda i: "" if i % 6 == 0 else i % 9, sex=lambda i: "fm"[i % 2])
    net = pynet.Network(f"input({len(found.features)}) standardize dense(3) softmax")
    data.prepare(net, found)
    path = write(tmp_path, "u.csv", 2, sex=["m", "d"], size=[1, 2], age=["", 7])
    with pytest.warns(UserWarning, match="'d' in column 'sex', line 3"):
        x = data.encode(path, net)
    assert x.dtype == np.float32 and x.tolist() == [[1, found.means[1], 1, 0, 1], [2, 7, 0, 0, 0]]
    assert np.array_equal(net.predict_proba(x), pynet.predict_table(path, net).probabilities)
    with pytest.raises(ValueError, match="the model was not trained on a table"):
        data.encode(path, pynet.Network("input(2) dense(1)"))


# ---- the note ----


def test_a_note_is_complete_or_refused(tmp_path: Path) -> None:
    found, columns = known(tmp_path)
    assert columns == found.columns
    good = json.loads(found.columns.note())
    assert good["version"] == 1
    with pytest.raises(ValueError, match="of version 3; accepted: 2"):
        Columns.from_note(json.dumps(good | {"version": 3, "more": 1}))
    inputs: list[Any] = [
        good["inputs"][1] | change for change in ({"name": 1}, {"missing": 1}, {"name": "kind"}, {"x": 1})
    ]
    inputs += [good["inputs"][1] | {"levels": levels} for levels in (["a", "a"], [1], "a", {})]
    inputs += [good["inputs"][1] | {"levels": [], "missing": False}, None, 1, {}]
    inputs += [good["inputs"][0] | {"placeholders": some} for some in ("-", [1], None)]
    changes: list[dict[str, Any]] = [{"inputs": [one]} for one in inputs]
    changes += [{"inputs": good["inputs"] * 2}, {"inputs": []}, {"inputs": None}, {"target": {}}, {"target": None}]
    changes += [{"version": "1"}, {"more": 1}, {"header": 0}, {"header": False}, {"fields": 1.5}]
    changes += [{"decimal": ","}, {"decimal": 1}, {"separator": ",,"}, {"separator": 1}]
    bad: list[Any] = [None, 1, [], {}, "x", math.inf, *(good | change for change in changes)]
    for one in bad:
        with pytest.raises(ValueError, match="the model's note on its table is damaged"):
            Columns.from_note(json.dumps(one))
    with pytest.raises(ValueError, match="damaged"):
        Columns.from_note("[" * 100_000)
