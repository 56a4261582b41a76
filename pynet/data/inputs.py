"""The scale of a model's inputs, bytes or numbers, and conversion of other samples to it.

A file does not always show the scale: integers are treated as pixels if one is 128 or more, which a few dark samples
may lack. So a model stores the scale of its training data, and other data are converted to that.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass

import numpy as np

from pynet._ffi import Array
from pynet.errors import DataError
from pynet.text import MIN_WHITE, parsed_json, reading_note, require

NOTE = "inputs"  # key of the note in a model file
FEW_LEVELS = 16  # some data sets have pixels in 0..16; divided by 255 they would be nearly 0
OUTLIER = 4  # numbers larger than this multiple of the training maximum are of another scale
ROWS = 4096  # samples checked at once, to save memory


@dataclass(frozen=True)
class Inputs:
    """The scale of samples: bytes (x/255) or numbers used unchanged; their range; whether all are integers."""

    bytes: bool
    lowest: float
    highest: float
    whole: bool

    @staticmethod
    def of(*parts: Array) -> Inputs:
        """The scale of samples x (n, ...), uint8 or float32, in one or more parts, at least one of them not empty."""
        filled = [x for x in parts if x.size]
        as_bytes = filled[0].dtype == np.uint8
        lowest, highest = min(float(x.min()) for x in filled), max(float(x.max()) for x in filled)
        return Inputs(as_bytes, lowest, highest, as_bytes or all(map(_are_whole, filled)))

    @staticmethod
    def from_note(text: str) -> Inputs:
        """The inputs of a note(). ValueError: the text is not one."""
        with reading_note("its inputs", text):
            found = Inputs(**parsed_json(text))
            require(type(found.bytes) is bool and type(found.whole) is bool)
            require(-math.inf < float(found.lowest) <= float(found.highest) < math.inf)
        return found

    def note(self) -> str:
        """The text for a note in a model file."""
        return json.dumps(asdict(self))

    def __str__(self) -> str:
        kind = "bytes" if self.bytes else "whole numbers" if self.whole else "numbers"
        return f"{kind} from {self.lowest:g} to {self.highest:g}"

    @property
    def fractions(self) -> bool:
        """Whether all were within 0..1 as inputs of the network."""
        return self.bytes or (self.lowest >= 0 and self.highest <= 1)

    @property
    def few_levels(self) -> bool:
        """Whether these may be pixels of 0..16."""
        return self.whole and self.lowest >= 0 and (0 if self.bytes else 1) < self.highest <= FEW_LEVELS

    @property
    def all_levels(self) -> bool:
        """Whether these may be pixels of 0..255, some of them light."""
        return self.whole and self.lowest >= 0 and MIN_WHITE <= self.highest <= 255

    def rescaled(self, name: str, *parts: Array) -> list[Array]:
        """Samples x (n, ...), uint8 or float32, converted to the scale of the network; all parts in the same way.

        name: of the data, for the message. DataError: their scale does not fit.
        """
        found = Inputs.of(*parts)
        dtype = self._dtype_for_fractions(found) if self.fractions else self._dtype_for_numbers(found)
        if dtype is None:
            divided = ", which were divided by 255" if self.bytes else ""
            raise DataError(f"{name} has {found}; the model was trained on {self}{divided}; scale both in the same way")
        return [x.astype(dtype, copy=False) for x in parts]

    def _dtype_for_fractions(self, found: Inputs) -> type | None:
        """The dtype of the samples for a network trained on 0..1; None: they do not fit."""
        if self.few_levels:  # trained on bytes in 0..16
            return np.uint8 if found.whole and found.lowest >= 0 and found.highest < MIN_WHITE else None
        if found.fractions and found.highest <= 1:
            return np.float32 if not (found.bytes and self.bytes and found.highest > 0) else None
        if found.whole and found.lowest >= 0 and FEW_LEVELS < found.highest <= 255:
            return np.uint8
        table = not (self.bytes or found.bytes)
        return np.float32 if table and max(-found.lowest, found.highest) <= OUTLIER else None

    def _dtype_for_numbers(self, found: Inputs) -> type | None:
        """The dtype for a network trained on other numbers: float32, unchanged, if they are compatible; else None."""
        levels = (self.few_levels and found.all_levels) or (self.all_levels and found.few_levels)
        if found.bytes:
            compatible = found.highest <= OUTLIER * self.highest
        else:
            compatible = found.whole or not (self.whole and self.lowest >= 0 and found.fractions)
        return np.float32 if compatible and not levels else None

    def pictures(self, x: Array) -> Array:
        """Pictures x (n, ...), uint8 with white 255, in the network's scale. DataError: not trained on pixels."""
        if self.few_levels:
            return x * np.float32(self.highest / 255 / (255 if self.bytes else 1))
        if self.fractions:
            return x
        if self.all_levels:
            return x.astype(np.float32)
        raise DataError(f"the model was trained on {self}, which are not pixels; accepted: 0..1, 0..16 or 0..255")


def _are_whole(x: Array) -> bool:
    return all(np.array_equal(part, np.floor(part)) for part in (x[i : i + ROWS] for i in range(0, len(x), ROWS)))
