"""The history of a training: its lists, and its file."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from pynet.training.history import History

HISTORY = History(
    loss=[1.5, 0.25], accuracy=[0.5, 1.0], val_loss=[2.0, 1e-7], val_accuracy=[0.0, 1 / 3], seconds=[0.1, 0.2]
)


def test_history_as_csv(tmp_path: Path) -> None:
    HISTORY.save(tmp_path / "h.csv")
    with open(tmp_path / "h.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds"]
    assert [row.pop("epoch") for row in rows] == ["1", "2"]
    assert [{name: float(value) for name, value in row.items()} for row in rows] == HISTORY.rows()


def test_history_as_json(tmp_path: Path) -> None:
    HISTORY.save(str(tmp_path / "h.json"))
    assert json.loads((tmp_path / "h.json").read_text()) == HISTORY.rows()


def test_figures_that_are_not_finite(tmp_path: Path) -> None:
    """JSON has no NaN and no infinity: they are written as null and read as NaN."""
    history = History([1.0, 2.0], [0.5, 0.5], val_f1=[math.nan, 0.25], val_ratio=[0.5, math.inf])

    def refuse(word: str) -> None:
        raise AssertionError(word)

    assert json.loads(history.note(), parse_constant=refuse)["val_f1"] == [None, 0.25]
    history.save(tmp_path / "h.json")
    assert json.loads((tmp_path / "h.json").read_text(), parse_constant=refuse)[0]["val_f1"] is None
    history.save(tmp_path / "h.csv")
    for read in (History.from_note(history.note()), *(History.load(tmp_path / name) for name in ("h.json", "h.csv"))):
        assert read.loss == [1.0, 2.0]
        assert math.isnan(read.columns()["val_f1"][0])
        assert read.columns()["val_f1"][1] == 0.25
        assert not math.isfinite(read.columns()["val_ratio"][1])
    assert math.isnan(History.from_note('{"loss": [NaN], "accuracy": [0.5]}').loss[0])  # older notes contain NaN


def test_empty_history(tmp_path: Path) -> None:
    History().save(tmp_path / "h.csv")
    History().save(tmp_path / "h.json")
    assert (tmp_path / "h.csv").read_text() == "epoch\n"
    assert json.loads((tmp_path / "h.json").read_text()) == []


def test_history_of_another_suffix(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"history file '.*h\.txt'; accepted suffixes: \.csv, \.json"):
        HISTORY.save(tmp_path / "h.txt")
    assert list(tmp_path.iterdir()) == []
