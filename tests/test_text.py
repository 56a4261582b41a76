"""Numbers and names in words (pynet.words)."""

from __future__ import annotations

import pytest

from pynet.text import percent, printable, times


@pytest.mark.parametrize(("shape", "text"), [((784,), "784"), ((28, 28), "28x28 = 784"), ((3, 4, 5), "3x4x5 = 60")])
def test_times(shape: tuple[int, ...], text: str) -> None:
    assert times(shape) == text


@pytest.mark.parametrize(("share", "text"), [(0, "0.00 %"), (0.97716, "97.72 %"), (1, "100.00 %")])
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text


def test_printable() -> None:
    assert printable("naïve 数 \N{SNOWMAN}") == "naïve 数 \N{SNOWMAN}"
    assert printable("a\x1b[31m\nb\x07\u202e") == "a?[31m?b??"
