"""What the REPL and notebooks show of pynet's objects."""

from __future__ import annotations

import math
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from helpers.clusters import SPEC, X, Y

import pynet
from pynet import data, html, metrics
from pynet.inference import Prediction
from pynet.text import short
from pynet.training.history import History


def parsed(text: str) -> ElementTree.Element:
    """HTML of ours is XML, too."""
    return ElementTree.fromstring(f"<div>{text}</div>")


def texts(root: ElementTree.Element, tag: str) -> list[str]:
    return [element.text or "" for element in root.iter() if element.tag.rpartition("}")[2] == tag]


@pytest.fixture(scope="module")
def net() -> pynet.Network:
    return pynet.Network(SPEC)


@pytest.fixture(scope="module")
def history(net: pynet.Network) -> History:
    return net.fit(X, Y, epochs=12, validation=(X, Y))


# ---- the REPL ----


def test_reprs_are_a_few_lines(net: pynet.Network, history: History) -> None:
    digits = data.load("digits")
    seen = np.zeros((28, 28), np.uint8)
    names = {f"class {i}": i / 100 for i in range(50)}
    objects: list[tuple[Any, int]] = [
        (digits, 6),
        (history, 5),
        (pynet.explain(net, X[0], Y[0]), 11),
        (net.evaluate(X, Y), 1),
        (metrics.measure(net, X, Y), 3),
        (Prediction("a.png", "3", 0.5, names, "doubtful", seen), 4),
        (Prediction("a.png", warning="it cannot be read", readable=False), 1),
    ]
    for thing, most in objects:
        lines = repr(thing).splitlines()
        assert len(lines) <= most, repr(thing)
        assert max(map(len, lines)) <= 120
        assert lines[0].startswith(f"{type(thing).__name__}(")
    assert "x_train=<uint8 (1442, 8, 8)>" in repr(digits)
    assert f"loss=[{history.loss[0]:.4g}, {history.loss[1]:.4g}, ..., " in repr(history)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.zeros((3, 4), np.float32), "<float32 (3, 4)>"),
        ([1.0, 2.0, 3.0], "[1, 2, 3]"),
        (list(range(9)), "[0, 1, ..., 7, 8]"),
        (("a", "b"), "('a', 'b')"),
        ([], "[]"),
        ({"a": 0.12345, "b": None}, "{'a': 0.1235, 'b': None}"),
        ([{}, {}], "[2 dict]"),
        ("x" * 100, f"'{'x' * 55}...'"),
        (math.nan, "nan"),
    ],
)
def test_values_in_a_few_characters(value: object, text: str) -> None:
    assert short(value) == text


# ---- notebooks ----


def test_a_network_is_a_table(net: pynet.Network) -> None:
    rows = [row.split() for row in net.summary().splitlines()]
    root = parsed(net._repr_html_())
    assert len(root.findall(".//tr")) == len(rows)
    assert "".join(root.itertext()).count(f"{net.parameters:,}") >= 1
    assert texts(root, "p") == [repr(net)]


def test_a_history_is_curves_and_a_table(history: History) -> None:
    root = parsed(history._repr_html_())
    assert texts(root, "th") == ["epoch", "loss", "accuracy", "val loss", "val accuracy", "seconds"]
    assert [row[0].text for row in root.findall(".//table/tr")[1:]] == ["1", "2", "3", "...", *map(str, range(7, 13))]
    lines = [line.get("points", "").split() for line in root.iter() if line.tag.endswith("polyline")]
    assert [len(points) for points in lines] == [12, 12, 12, 12]
    heights = [float(point.split(",")[1]) for point in lines[0]]
    assert heights == sorted(heights)  # the loss falls, and y grows downwards
    words = texts(root, "text")
    assert [word for word in words if word.isalpha()] == [
        *("loss", "training", "validation"),
        *("accuracy", "training", "validation"),
    ]


def test_what_has_no_curve() -> None:
    assert parsed(History()._repr_html_()).findall(".//svg") == []
    one = parsed(History(loss=[0.5])._repr_html_())
    assert texts(one, "td") == ["1", "0.5000"]
    gap = parsed(html.curves({"a": [1.0, math.nan, 2.0, 3.0], "b": [2.0] * 4}, "both"))
    lines = [line.get("points", "").split() for line in gap.iter() if line.tag.endswith("polyline")]
    assert [len(points) for points in lines] == [1, 2, 4]
    assert html.curves({"a": [math.nan, math.inf]}, "") == ""


def test_a_report_is_classes_and_a_shaded_confusion(net: pynet.Network) -> None:
    report = metrics.measure(net, X, Y, classes=["<b>", "b&c", "\x1b[31m"])
    root = parsed(report._repr_html_())
    tables = root.findall(".//table")
    assert [row[0].text for row in tables[0][1:]] == ["<b>", "b&c", "\\x1b[31m"]
    counts = [[int(cell.text or "") for cell in row[1:]] for row in tables[1][1:]]
    assert counts == report.confusion.tolist()
    shaded = [["style" in cell.attrib for cell in row[1:]] for row in tables[1][1:]]
    assert shaded == (report.confusion > 0).tolist()


@pytest.mark.parametrize("shape", [(8, 8), (3, 20, 30)])
def test_a_prediction_is_a_picture_and_bars(shape: tuple[int, ...]) -> None:
    seen = np.arange(math.prod(shape)).reshape(shape).astype(np.uint8)
    chances = {str(i): share for i, share in enumerate((0.1, 0.7, 0.2))}
    root = parsed(Prediction("<a>.png", "1", 0.7, chances, "doubtful", seen)._repr_html_())
    assert texts(root, "p") == ["<a>.png: 1", "doubtful"]
    assert [row[0].text for row in root.findall(".//tr")] == ["1", "2", "0"]
    [image] = root.findall(".//img")
    assert image.get("src", "").startswith("data:image/png;base64,iVBOR")
    assert int(image.get("width", "")) % shape[-1] == 0
    assert texts(parsed(Prediction("b.png", warning="no ink")._repr_html_()), "p") == ["b.png: no prediction", "no ink"]
