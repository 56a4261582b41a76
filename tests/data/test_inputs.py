"""The scale of inputs that a model stores, and the conversion of other samples to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pynet._ffi import Array
from pynet.data import DataError
from pynet.data.inputs import Inputs

BYTES = Inputs(True, 0, 255, True)
DARK_BYTES = Inputs(True, 0, 16, True)
FRACTIONS = Inputs(False, 0, 1, False)
FLAGS = Inputs(False, 0, 1, True)
SIXTEEN = Inputs(False, 0, 16, True)
COUNTS = Inputs(False, 0, 100, True)
RAW_PIXELS = Inputs(False, 0, 255, True)
STANDARDISED = Inputs(False, -0.42, 2.8, False)
PRICES = Inputs(False, 0.5, 300.0, False)


def numbers(*values: float) -> Array:
    return np.array([values], np.float32)


def as_bytes(*values: int) -> Array:
    return np.array([values], np.uint8)


TAKEN: list[tuple[Inputs, Array, type]] = [
    (BYTES, as_bytes(0, 255), np.uint8),
    (BYTES, as_bytes(0, 85), np.uint8),
    (BYTES, as_bytes(0, 0), np.float32),  # all black is 0 in any scale
    (BYTES, numbers(3, 127), np.uint8),
    (BYTES, numbers(0, 255), np.uint8),
    (BYTES, numbers(0, 0.5), np.float32),
    (BYTES, numbers(0, 1), np.float32),
    (DARK_BYTES, as_bytes(0, 15), np.uint8),
    (DARK_BYTES, numbers(0, 1), np.uint8),
    (FRACTIONS, as_bytes(0, 200), np.uint8),
    (FRACTIONS, numbers(0, 200), np.uint8),
    (FRACTIONS, numbers(0, 90), np.uint8),
    (FRACTIONS, numbers(0.2, 0.4), np.float32),
    (FRACTIONS, numbers(-0.1, 1.2), np.float32),  # a table scaled by its training set
    (FLAGS, as_bytes(0, 1), np.float32),
    (FLAGS, as_bytes(0, 255), np.uint8),
    (FLAGS, numbers(0, 2), np.float32),
    (SIXTEEN, as_bytes(0, 16), np.float32),
    (SIXTEEN, numbers(0, 12), np.float32),
    (SIXTEEN, numbers(0, 1), np.float32),
    (COUNTS, as_bytes(0, 140), np.float32),
    (COUNTS, numbers(0, 1000), np.float32),
    (COUNTS, numbers(0.5, 7), np.float32),
    (RAW_PIXELS, as_bytes(0, 255), np.float32),
    (RAW_PIXELS, numbers(0, 60), np.float32),
    (STANDARDISED, numbers(-1, 3), np.float32),
    (STANDARDISED, as_bytes(1, 2), np.float32),
    (PRICES, as_bytes(10, 200), np.float32),
    (PRICES, numbers(10, 2000), np.float32),
]


@pytest.mark.parametrize(("inputs", "x", "dtype"), TAKEN)
def test_taken(inputs: Inputs, x: Array, dtype: type) -> None:
    [found] = inputs.rescaled("new", x)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, x)


REFUSED: list[tuple[Inputs, Array]] = [
    (BYTES, as_bytes(0, 16)),
    (BYTES, as_bytes(0, 1)),
    (BYTES, numbers(0, 16)),
    (BYTES, numbers(0, 256)),
    (BYTES, numbers(-1, 255)),
    (BYTES, numbers(0, 1.5)),
    (BYTES, numbers(-0.4, 2.8)),
    (DARK_BYTES, as_bytes(0, 255)),
    (DARK_BYTES, numbers(0, 0.5)),
    (FRACTIONS, as_bytes(0, 16)),
    (FRACTIONS, numbers(0, 16)),
    (FRACTIONS, numbers(0, 99.5)),
    (FLAGS, as_bytes(0, 16)),
    (SIXTEEN, as_bytes(0, 255)),
    (SIXTEEN, numbers(0, 255)),
    (SIXTEEN, numbers(0, 0.5)),
    (COUNTS, numbers(0, 0.5)),
    (RAW_PIXELS, numbers(0, 0.5)),
    (RAW_PIXELS, numbers(0, 16)),
    (RAW_PIXELS, as_bytes(0, 16)),
    (STANDARDISED, as_bytes(0, 255)),
]


@pytest.mark.parametrize(("inputs", "x"), REFUSED)
def test_refused(inputs: Inputs, x: Array) -> None:
    with pytest.raises(
        DataError, match=f"^new has .*; the model was trained on {inputs}.*; scale both in the same way$"
    ):
        inputs.rescaled("new", x)


def test_one_decision_for_all_parts() -> None:
    for parts in ((as_bytes(0, 9), as_bytes(0, 200)), (numbers(0, 200), numbers(0, 9))):
        assert {part.dtype for part in BYTES.rescaled("new", *parts)} == {np.dtype(np.uint8)}
    empty, full = BYTES.rescaled("new", numbers(1, 2)[:0], numbers(0, 90))
    assert (empty.dtype, empty.shape, full.dtype) == (np.uint8, (0, 2), np.uint8)


def test_pictures() -> None:
    x = as_bytes(0, 51, 255)
    seen = {
        BYTES: [0, 0.2, 1],
        FRACTIONS: [0, 0.2, 1],
        FLAGS: [0, 0.2, 1],
        SIXTEEN: [0, 3.2, 16],
        DARK_BYTES: [0, 3.2 / 255, 16 / 255],
        RAW_PIXELS: [0, 51, 255],
    }
    for inputs, values in seen.items():
        found = inputs.pictures(x)
        np.testing.assert_allclose(found / 255 if found.dtype == np.uint8 else found, [values], rtol=1e-6)
    for inputs in (COUNTS, STANDARDISED, PRICES):
        with pytest.raises(DataError, match="which are not pixels"):
            inputs.pictures(x)


def test_of_samples_and_notes() -> None:
    found = [
        Inputs.of(as_bytes(3, 200)),
        Inputs.of(numbers(-1, 2)),
        Inputs.of(numbers(0, 0.5)),
        Inputs.of(np.append(np.zeros(9999, np.float32), np.float32(0.5))[:, None]),
        Inputs.of(as_bytes(1, 2)[:0], as_bytes(3, 4)),
    ]
    assert found == [
        Inputs(True, 3, 200, True),
        Inputs(False, -1, 2, True),
        Inputs(False, 0, 0.5, False),
        Inputs(False, 0, 0.5, False),
        Inputs(True, 3, 4, True),
    ]
    for inputs in found:
        assert Inputs.from_note(inputs.note()) == inputs


GOOD: dict[str, Any] = {"bytes": False, "lowest": 0.0, "highest": 1.0, "whole": True}


@pytest.mark.parametrize(
    "note",
    ["", "[]", "bytes", "{}"]
    + [repr(GOOD | change) for change in ({"bytes": 1}, {"lowest": 2.0}, {"highest": "x"}, {"more": 1})]
    + ['{"bytes": false, "lowest": 0, "highest": Infinity, "whole": true}']
    + [repr(GOOD | {"highest": 10**400}), "[" * 99_999],
    ids=lambda note: note[:60],
)
def test_damaged_notes(note: str) -> None:
    text = note.replace("'", '"').replace("False", "false").replace("True", "true")
    with pytest.raises(ValueError, match="the model's note on its inputs is damaged"):
        Inputs.from_note(text)
