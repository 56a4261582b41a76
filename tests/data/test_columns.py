"""The columns of tables: numbers in other notations, placeholders, codes; those that a model takes, and their note."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.tables import N, kind, size, table, write

import pynet
from pynet import data
from pynet.data.columns import Columns, places_among
from pynet.data.read_table import read_table
from pynet.data.table_model import of_model
from pynet.errors import DataError

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


WITH_POINTS = [(".", text) for text in ("4,507.29", "$4507.29", "-8.0%", "1,5", "1.234,50", "4 507", "(12)", "1,5e3")]
WITH_COMMAS = [(",", text) for text in ("1.234", "1.5", "4,507.29", "1.234,50", "-8,0%", "4 507", "1.5e3", ".5")]


@pytest.mark.parametrize(("decimal", "text"), WITH_POINTS + WITH_COMMAS)
def test_numbers_as_people_write_them_are_refused_and_named(tmp_path: Path, decimal: str, text: str) -> None:
    found = table(tmp_path)
    for rows in (1, 2, 9):
        path = tmp_path / "u.csv"
        path.write_text("size;more\n" + f"{text};x\n" + f"2{decimal}5;x\n" * (rows - 1))
        wanted = rf"'{re.escape(text)}' in column 'size', line 2, is no number; accepted: numbers; .*(--dec|removed)"
        with pytest.raises(DataError, match=wanted):
            found.columns.encoded(read_table(path, separator=";", decimal=decimal), found.means)


@pytest.mark.parametrize("row", range(5))  # among them rows of the training and of the test set
def test_a_written_number_is_no_placeholder_in_any_row(tmp_path: Path, row: int) -> None:
    with pytest.raises(DataError, match=rf"'1,234\.50' in column 'a', line {row + 2}, is no number; .* removed"):
        table(tmp_path, rows=200, a=lambda i: '"1,234.50"' if i == row else i / 3)


@pytest.mark.parametrize(("decimal", "other", "name"), [(".", ",", "comma"), (",", ".", "point")])
def test_the_other_decimal_mark_may_separate_thousands(tmp_path: Path, decimal: str, other: str, name: str) -> None:
    path = tmp_path / "t.csv"
    rows = [f"{'1' + other + '234' if i == 5 else f'{i}{decimal}25'};{i % 7}{other}5;{kind(i)}" for i in range(N)]
    path.write_text("size;a;kind\n" + "\n".join(rows))
    message = f"'1{other}234' in column 'size', line 7, is no number; accepted: numbers; thousands separators"
    hint = f"--decimal {other} takes a {name} in numbers"
    with pytest.raises(DataError, match=re.escape(message) + rf".* as in 1234\{decimal}5, or {re.escape(hint)}$"):
        data.table(path, "kind", decimal=decimal)
    found = data.table(path, "kind", decimal=decimal, ignore=["size"])
    assert found.features[0] == f"a=0{other}5" and f"column 'a' holds texts, as '0{other}5'; {hint}" in found.warnings


def test_categories_with_fractions_are_equal_in_either_notation(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("size;a;kind\n" + "\n".join(f"{i % 9},25;{i % 3},5;{kind(i)}" for i in range(N)))
    found = data.table(path, "kind", categorical=["a"])
    for decimal, text in ((",", "1,50"), (".", "1.5")):
        path.write_text(f"size;a\n2{decimal}5;{text}\n")
        x, warning = found.columns.encoded(read_table(path, decimal=decimal, texts=["a"]), found.means)
        assert x.tolist() == [[2.5, 0, 1, 0]] and not warning


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
