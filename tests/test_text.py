"""Numbers and names as text (pynet.text)."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from pynet.text import json_text, percent, printable, times


@pytest.mark.parametrize(("shape", "text"), [((784,), "784"), ((28, 28), "28x28 = 784"), ((3, 4, 5), "3x4x5 = 60")])
def test_times(shape: tuple[int, ...], text: str) -> None:
    assert times(shape) == text


@pytest.mark.parametrize(("fraction", "text"), [(0, "0.00 %"), (0.97716, "97.72 %"), (1, "100.00 %")])
def test_percent(fraction: float, text: str) -> None:
    assert percent(fraction) == text


def test_printable() -> None:
    assert printable("naïve 数 \N{SNOWMAN}") == "naïve 数 \N{SNOWMAN}"
    assert printable("a\x1b[31m\nb\x07\u202e") == r"a\x1b[31m\nb\x07\u202e"


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (math.nan, None),
        ([1, -math.inf, "nan", True, None], [1, None, "nan", True, None]),
        ({"a": (math.inf, 2.5), "b": {"c": [[math.nan]]}}, {"a": [None, 2.5], "b": {"c": [[None]]}}),
        ({"a": np.float64("nan"), "b": np.float64(0.5)}, {"a": None, "b": 0.5}),
    ],
)
def test_json_without_numbers_that_are_not_finite(value: Any, read: Any) -> None:
    assert json.loads(json_text(value)) == read
    assert json.loads(json_text(value, indent=1)) == read
