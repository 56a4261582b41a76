"""Tables from text files and data frames: separators, headers, numbers, texts, missing values, errors."""

from __future__ import annotations

import csv
import gzip
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.memory import REFUSED, taken
from hypothesis import example, given
from hypothesis import strategies as st

from pynet.data import read_table as module
from pynet.data.layout import MISSING
from pynet.data.read_table import is_table_file, read_table
from pynet.data.tables import Column, Table, of_frame
from pynet.errors import DataError


def values(column: Column) -> list[Any]:
    """The values of a column, None where one is missing."""
    if column.numbers is not None:
        return [None if math.isnan(value) else value for value in column.numbers.tolist()]
    return [column.levels[code] if code >= 0 else None for code in column.values]


def content(table: Table) -> dict[str, list[Any]]:
    return {column.name: values(column) for column in table.columns}


def read(folder: Path, text: str | bytes, name: str = "t.csv", **options: Any) -> Table:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(folder / name, **options)


def refused(folder: Path, text: str | bytes, message: str, name: str = "t.csv", **options: Any) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(folder, text, name, **options)
    assert str(folder / name) in str(caught.value)


TWO = {"size": [1.5, 2.0], "name": ["a b", "ü,x"]}


@pytest.mark.parametrize(
    "text",
    [
        'size,name\n1.5,a b\n2,"ü,x"\n',
        "size;name\r\n1.5;a b\r\n2;ü,x\r\n",
        '"size"\t"name"\r1.5\ta b\r2\tü,x',
        "size|name\n\n1.5 | a b \n  \n 2|ü,x",
        'size name\n  1.5   "a b"\n2\t ü,x  \n',
        'size;name\n1,5;a b\n2;"ü,x"\n',
        ' size, "name"\n 1.5 ,a b\n 2, "ü,x"\n',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("packed", [False, True])
def test_separators_encodings_and_compression(tmp_path: Path, text: str, encoding: str, packed: bool) -> None:
    encoded = text.encode(encoding)
    found = read(tmp_path, gzip.compress(encoded) if packed else encoded)
    assert content(found) == TWO
    names = {"utf-8": "", "utf-8-sig": "", "utf-16": "read as UTF-16", "cp1252": "read as Windows-1252"}
    assert (
        (names[encoding] in found.notes[0]) if names[encoding] else all("read as" not in note for note in found.notes)
    )


def test_blanks_and_tabs(tmp_path: Path) -> None:
    """Numbers separated by blanks, and a text after a tab, as in a file of the UCI repository."""
    found = read(tmp_path, '18.0   8   3504.\t"chevrolet malibu"\n15.0   8   ?\t"buick 320"\n')
    assert content(found) == {"0": [18, 15], "1": [8, 8], "2": [3504, None], "3": ["chevrolet malibu", "buick 320"]}
    found = read(tmp_path, "Ann Lee\t1\tred hat\nBob Ray\t2\tred cap\n")
    assert content(found) == {"0": ["Ann Lee", "Bob Ray"], "1": [1, 2], "2": ["red hat", "red cap"]}


def test_detected_layout_is_noted(tmp_path: Path) -> None:
    assert read(tmp_path, "a,b\n1,2\n").notes == ()
    assert read(tmp_path, "a\tb\n1,5\t2\n").notes == ("fields separated by tab", "decimal comma")
    assert read(tmp_path, b"\xff\xfea\0,\0b\0\n\x001\0,\x002\0\n\0").notes == ("read as UTF-16",)
    assert content(read(tmp_path, b"a\0,\0b\0\n\x001\0,\x002\0\n\0")) == {
        "a": [1],
        "b": [2],
    }  # UTF-16 without a byte order mark


@pytest.mark.parametrize("name", ["t.csv", "T.CSV", "t.csv.gz", "t.tsv", "t.data", "t.txt", "t.tab"])
def test_names_of_tables(name: str) -> None:
    assert is_table_file(Path(name))
    assert not is_table_file(Path(name + ".png"))


def test_quotes(tmp_path: Path) -> None:
    """RFC 4180: separators, line ends and doubled quotes within quotes."""
    found = read(tmp_path, 'a,b\n"x\r\ny","say ""hi"""\n"1, 2",5" pipe\n')
    assert content(found) == {"a": ["x\r\ny", "1, 2"], "b": ['say "hi"', '5" pipe']}
    assert found.lines is not None and found.lines.tolist() == [2, 4]
    refused(tmp_path, 'a,b\n1,2\n3,"x\n', "line 3: unexpected end of data")
    refused(tmp_path, 'a,b\n1,"x"y\n', "line 2: ',' expected after '\"'")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a,b\n1,2\n", ["a", "b"]),
        ("a,b\nx,2\ny,3\n", ["a", "b"]),
        ("colour,shape\nred,round\nblue,square\n", ["colour", "shape"]),
        ("0,1,2\n5,6,7\n8,9,1\n", ["0", "1", "2"]),  # the names that pandas writes
        (",0,1\na,6,7\nb,9,1\n", ["column 0", "0", "1"]),
        (",a,b\n0,1,2\n1,2,3\n", ["column 0", "a", "b"]),
        ("2019,name\n1,x\n", None),
        ("1,2\n3,4\n", None),
        ("5.1,setosa\n4.9,setosa\n", None),
        ("39, State-gov,x\n50, Private,x\n", None),
        ("p,x\np,y\ne,x\n", None),  # the texts of the first line occur again below
        ("1,?\n2,5\n", None),
        ("-,5.1\n3,5.2\n4,5.3\n", None),
    ],
)
def test_headers(tmp_path: Path, text: str, names: list[str] | None) -> None:
    found = read(tmp_path, text)
    rows = text.count("\n") - (names is not None)
    assert (list(found.names), len(found)) == (names or [str(i) for i in range(len(found.names))], rows)


def test_a_name_that_is_known_makes_a_header(tmp_path: Path) -> None:
    text = "2019,2020,x\n1,2,3\n"
    assert len(read(tmp_path, text)) == 2
    assert content(read(tmp_path, text, known=("2020",))) == {"2019": [1], "2020": [2], "x": [3]}
    assert len(read(tmp_path, "a,b\n1,2\n", header=False)) == 2
    assert len(read(tmp_path, "1,2\n1,2\n", header=True)) == 1


def test_the_header_of_sorted_lines_is_found(tmp_path: Path) -> None:
    rows = [f"{i},{i / 2},{'xy'[i % 2]}" for i in range(40)]
    found = read(tmp_path, "\n".join([*rows[:30], "size,weight,kind", *rows[30:]]) + "\n")
    assert found.names == ("size", "weight", "kind")
    assert found.columns[0].values.tolist() == list(range(40))
    assert found.notes == ("the header is line 31",)
    assert found.lines is not None and found.lines[30] == 32
    two = read(
        tmp_path, "\n".join([*rows, "size,weight,kind", "size,weight,kind"])
    )  # two such rows are no header, but odd values
    assert two.names == ("0", "1", "2") and two.columns[0].odd == ((40, "size"), (41, "size"))


def test_the_first_line_of_scikit_learn(tmp_path: Path) -> None:
    found = read(tmp_path, "3,2,red,blue\n1,2,0\n3,4,1\n5,6,1\n")
    assert content(found) == {"0": [1, 3, 5], "1": [2, 4, 6], "2": [0, 1, 1]}
    assert found.layout and found.layout.class_names == ("red", "blue")
    found = read(tmp_path, '3,2,,\n"a","b","c"\n1,2,0\n3,4,1\n5,6,1\n')
    assert found.names == ("a", "b", "c") and len(found) == 3


@pytest.mark.parametrize("word", sorted(MISSING))
def test_missing(tmp_path: Path, word: str) -> None:
    found = read(tmp_path, f"a,b,c\n1, {word} ,x\n{word},2,{word}\n3,4,y\n")
    assert content(found) == {"a": [1, None, 3], "b": [None, 2, 4], "c": ["x", None, "y"]}


def test_texts_and_numbers(tmp_path: Path) -> None:
    lines = [f"{i},0{i % 3},{'3+' if i % 4 == 0 else i % 4},{'oops' if i == 7 else i}" for i in range(40)]
    text = "a,zip,many,few\n" + "\n".join(lines) + "\n"
    found = read(tmp_path, text, texts=("zip", "not there"))
    assert found.columns[0].values.tolist() == list(range(40))
    assert found.columns[1].levels == ("00", "01", "02")
    assert set(found.columns[2].levels) == {"3+", "1", "2", "3"}  # a quarter of the values is not a number
    assert found.columns[3].odd == ((7, "oops"),) and math.isnan(found.columns[3].values[7])
    assert read(tmp_path, text).columns[1].values.tolist() == [i % 3 for i in range(40)]
    assert read(tmp_path, text, texts=(1,)).columns[1].levels == ("00", "01", "02")


@pytest.mark.parametrize("text", ["1_0", "٣", "0x10", "1,5", "1e", "--1", "1 2", "½"])
def test_texts_that_are_not_numbers(tmp_path: Path, text: str) -> None:
    found = read(tmp_path, f'a,b\n"{text}",1\n', header=True)
    assert values(found.columns[0]) == [text]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no line with text"),
        ("\n \n", "no line with text"),
        ("a,b\n", "no row of values"),
        ('"', "line 1: a quote that is not closed"),
        ("a,b\n1,2\n1,2,3\n", "line 3 has 3 fields, the header has 2"),
        ("a,b,c\n1,2,3\n\n4,5\n", "line 4 has 2 fields, the header has 3"),
        ("1,2\n3,4\n5\n", "line 3 has 1 fields, most lines have 2"),
        ("a,b,a\n1,2,3\n", "columns 0 and 2 .* are both called 'a'"),
        ("a,b\n1,\0\n", "line 2 holds a NUL character"),
        (b"\x1f\x8bzz", "damaged gz data|cannot be read"),
    ],
)
def test_errors(tmp_path: Path, text: str | bytes, message: str) -> None:
    refused(tmp_path, text, message)


def test_a_point_is_in_no_number_with_a_decimal_comma(tmp_path: Path) -> None:
    rows = [f"{i},5;{i}e-1" for i in range(40)]
    text = "a;b\n" + "\n".join(rows)
    assert content(read(tmp_path, text, decimal=","))["a"] == [i + 0.5 for i in range(40)]
    [a, b] = read(tmp_path, f"{text}\n1.234;?\n", decimal=",").columns
    assert a.odd == ((40, "1.234"),) and values(a)[39:] == [39.5, None]
    assert b.odd == () and values(b)[39:] == [3.9, None]


@pytest.mark.parametrize("row", [0, 20])
def test_a_row_of_numbers_with_points_is_no_header(tmp_path: Path, row: int) -> None:
    lines = [f"{i},5;-{i},25" for i in range(40)]
    lines[row] = "1.234;-2.345"
    table = read(tmp_path, "\n".join(lines), decimal=",")
    assert len(table) == 40
    assert [column.odd for column in table.columns] == [((row, "1.234"),), ((row, "-2.345"),)]


def test_a_single_column(tmp_path: Path) -> None:
    assert content(read(tmp_path, "a\n1\n\n2\n")) == {"a": [1, 2]}


def test_options_that_do_not_fit(tmp_path: Path) -> None:
    refused(tmp_path, "a,b\n1,2\n", "';' separates nothing", separator=";")
    refused(tmp_path, "a,b\n1,2\n", "both ','; --decimal names another mark", separator=",", decimal=",")
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_table(tmp_path / "nowhere.csv")


@pytest.mark.parametrize(
    ("start", "piece", "times", "message"),
    [
        ("a,b\\n1", ",2", 1 << 24, "line 2 is longer than the 2,097,152 characters"),
        ("", ",", 1 << 20, "a line has 1,048,577 fields, accepted are 65,536"),
        ("a,b\\n" + "1,2\\n" * 99_999, ",", 1 << 20, "line 100001 has 1048577 fields, the header has 2"),
        ('a,b\\n1,\\"', "x\\n", 1 << 22, "line 2: field larger than field limit"),
    ],
)
def test_hostile_files_take_little_memory(tmp_path: Path, start: str, piece: str, times: int, message: str) -> None:
    path = tmp_path / "t.csv"
    imports = "from pathlib import Path\nfrom pynet.data.read_table import read_table\n"
    write = f'with open({str(path)!r}, "w") as file:\n    file.write("{start}")\n'
    write += f'    for _ in range(16):\n        file.write("{piece}" * {times // 16})\n'
    path.write_text("a,b\n1,2\n")
    exec(write)
    call = f"try:\n    read_table(Path({str(path)!r}))\nexcept ValueError as error:\n    print(error)"
    printed, memory = taken(imports, call)
    assert message in printed
    assert memory < REFUSED


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    refused(tmp_path, gzip.compress(b"1,2\n" * (5 << 20)), "unpacks to more than 16,777,216 bytes", "t.csv.gz")


# ---- pieces of a file, and both readers ----


@pytest.mark.parametrize("size", [1, 12, 1 << 20])
def test_pieces(tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first text of a column may be at the end of the file."""
    monkeypatch.setattr(module, "PIECE", size)
    rows = [("1", "", "x", "7"), ("2", "", "", "8"), ("3", "NA", "1", "9"), ("4", "5", "2", "z"), ("5", "y", "3", "w")]
    found = read(tmp_path, "a,b,c,d\n" + "".join(",".join(row) + "\n" for row in rows))
    expected = {"a": [1, 2, 3, 4, 5], "b": [None] * 3 + ["5", "y"], "c": ["x", None, "1", "2", "3"]}
    assert content(found) == expected | {"d": ["7", "8", "9", "z", "w"]}
    assert found.lines is not None and found.lines.tolist() == [2, 3, 4, 5, 6]


def test_numbers_alone_are_read_by_numpy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's csv, four times as slow, sees none of their rows, also where a comma is the decimal mark."""
    monkeypatch.setattr(module, "PIECE", 50)
    calls = []
    monkeypatch.setattr(module, "_records", lambda file, layout, source, at: iter(calls.append(list(source)) or ()))
    rows = "".join(f"{i};{i / 7:.2f}\n" for i in range(99))
    for text in ("a;b\n" + rows, "a;b\n" + rows.replace(".", ","), "a\tb\n" + rows.replace(";", "\t")):
        found = read(tmp_path, text)
        assert found.columns[1].values[98] == 14.0 and len(found) == 99
        assert found.lines is not None and found.lines[98] == 100
    assert calls == [[], [], []]


FIELD = st.one_of(
    st.integers(-999, 999).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["", "NA", "x", "y z", 'q"q', "a,b", "c\nd", "true", "1;2", " 7 ", "Ä", "1_0"]),
)


@given(st.integers(2, 4).flatmap(lambda n: st.lists(st.tuples(*[FIELD] * n), min_size=1, max_size=8)), st.data())
def test_what_csv_writes_is_read(tmp_path_factory: Any, rows: list[tuple[str, ...]], data: st.DataObject) -> None:
    """Both readers give the trimmed fields, for pieces of any size."""
    separator = data.draw(st.sampled_from(",;\t|"))
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows([[f"n{i}" for i in range(len(rows[0]))], *rows])
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_text(text.getvalue(), newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIECE", data.draw(st.sampled_from([1, 30, 1 << 20])))
        kept = [range(len(rows[0])), ()]
        as_texts, as_found = (read_table(path, separator=separator, decimal=".", texts=texts) for texts in kept)
    for i, (texts, found) in enumerate(zip(as_texts.columns, as_found.columns, strict=True)):
        fields = [row[i].strip() for row in rows]
        assert values(texts) == [None if field in MISSING else field for field in fields]
        if found.numbers is None:
            assert values(found) == values(texts)
        else:
            assert [v for v in values(found) if v is not None] == values(texts.as_numbers().rows(~found.missing))
            assert found.odd == texts.as_numbers().odd


@given(st.text(alphabet='01a.,;\t| "\n\r-e?\u2028\x00ü', max_size=60))
@example("a,b\r1,2\r")
def test_any_text_is_a_table_or_refused(tmp_path_factory: Any, text: str) -> None:
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_text(text, encoding="utf-8", newline="")
    try:
        found = read_table(path)
    except DataError as error:
        assert "\n" not in str(error) and str(path) in str(error)
    else:
        assert len({len(column.values) for column in found.columns} | {len(found.lines)}) == 1  # type: ignore[arg-type]


# ---- data frames ----


def test_a_data_frame_gives_the_table_of_its_file(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "whole": [1, 2, 3],
            "real": [0.5, math.nan, 2.0],
            "text": ["a", None, "b c"],
            "flag": [True, False, True],
            "maybe": pandas.array([1, None, 3], "Int64"),
            "mixed": [1, "x", 2.0],
            "digits": ["1", "2", "3"],
            "kind": pandas.Categorical(["u", "v", "u"]),
            "day": pandas.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03"]),
        }
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    found, written = of_frame(frame), read_table(tmp_path / "t.csv")
    assert found.names == tuple(frame.columns)
    expected = content(written)
    assert content(found) | {"mixed": 0, "day": 0} == expected | {"mixed": 0, "day": 0}
    assert values(found.columns[5]) == ["1", "x", "2"]
    assert found.columns[8].is_date


def test_frames_that_are_refused() -> None:
    pandas = pytest.importorskip("pandas")
    with pytest.raises(DataError, match=r"1 names twice, 'a' among them"):
        of_frame(pandas.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(DataError, match=r"shape \(0, 1\)"):
        of_frame(pandas.DataFrame({"a": []}))
    declared = of_frame(pandas.DataFrame({"a": pandas.Categorical([3, 1, 3]), "b": np.zeros(3)}))
    assert values(declared.columns[0]) == ["3", "1", "3"]  # its dtype is category


def test_rows_of_a_table(tmp_path: Path) -> None:
    lines = [f"{'x' if i in (3, 7) else i},{'ab'[i % 2]}" for i in range(60)]
    found = read(tmp_path, "n,c\n" + "\n".join(lines)).rows(np.array([9, 7, 1]))
    assert found.columns[0].odd == ((1, "x"),) and values(found.columns[0]) == [9, None, 1]
    assert values(found.columns[1]) == ["b", "b", "b"] and found.where(1) == "line 9"


def test_columns_by_name_and_place(tmp_path: Path) -> None:
    found = read(tmp_path, "a,1,b\n7,8,x\n")
    assert [found.place(name) for name in ("b", "1", 0, "0", -1, "-3")] == [2, 1, 0, 0, 2, 0]
    for name in ("c", "3", "-4", ""):
        with pytest.raises(DataError, match=r"there is no column .*; columns: a, 1, b"):
            found.place(name)


@pytest.mark.parametrize("header", ["a;b\n", ""])
@pytest.mark.parametrize("first", ["sep=;\n", '"sep=;"\r\n', "SEP=;\n"])
def test_the_separator_that_excel_declares_is_used(tmp_path: Path, first: str, header: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"{first}{header}1,5;2\n3,5;4\n")
    found = read_table(path)
    assert found.names == (("a", "b") if header else ("0", "1"))
    assert [column.values.tolist() for column in found.columns] == [[1.5, 3.5], [2, 4]]
    assert found.lines is not None and found.lines.tolist() == ([3, 4] if header else [2, 3])


@pytest.mark.parametrize("text", ["# made today\na,b,c\n1,2,3\n4,5,6\n", "a,b,c\n1,2,3\n# bad from here\n4,5,6\n"])
def test_comments_are_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=r"fields, the header has .*; comments, lines that begin with #, are not"):
        read_table(path)
