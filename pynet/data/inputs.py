"""What the samples of a training were, bytes or numbers, and other samples given to the model in the same scale.

A file does not always say: whole numbers are taken for pixels if one of them is 128 or more, which a few dark samples
may lack. So a model keeps what its training had, and that decides.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass

import numpy as np

from pynet._ffi import Array
from pynet.data.arrays import MIN_WHITE
from pynet.errors import DataError

NOTE = "inputs"  # the key among the notes of a model file
FEW_LEVELS = 16  # pixels of 17 levels, 0..16, are usual, too; as bytes they would be nearly black
OUTLIER = 4  # times the largest number of the training: more is another scale
ROWS = 4096  # samples that are looked at together, to save memory


@dataclass(frozen=True)
class Inputs:
    """Samples in short: bytes, which mean x/255, or numbers taken as they are; the range; whether all are whole."""

    bytes: bool
    lowest: float
    highest: float
    whole: bool

    @staticmethod
    def of(*parts: Array) -> Inputs:
        """Those of samples x (n, ...), uint8 or float32, in one part or several, of which one at least has samples."""
        filled = [x for x in parts if x.size]
        as_bytes = filled[0].dtype == np.uint8
        lowest, highest = min(float(x.min()) for x in filled), max(float(x.max()) for x in filled)
        return Inputs(as_bytes, lowest, highest, as_bytes or all(map(_are_whole, filled)))

    @staticmethod
    def from_note(text: str) -> Inputs:
        """The inputs of a note(). Raises ValueError, which names the text, if it is none."""
        try:
            found = Inputs(**json.loads(text))
            good = type(found.bytes) is bool and type(found.whole) is bool
            good = good and -math.inf < float(found.lowest) <= float(found.highest) < math.inf
        except (TypeError, ValueError):
            good = False
        if not good:
            raise ValueError(f"the model's note on what its inputs were is damaged: {text!r:.80}")
        return found

    def note(self) -> str:
        """The text that a model file carries."""
        return json.dumps(asdict(self))

    def __str__(self) -> str:
        kind = "bytes" if self.bytes else "whole numbers" if self.whole else "numbers"
        return f"{kind} from {self.lowest:g} to {self.highest:g}"

    @property
    def fractions(self) -> bool:
        """Whether all lay within 0..1 for the network."""
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
        """Samples x (n, ...), uint8 or float32, as the network knows such numbers; one decision for all parts.

        name: what to call them in an error. Raises DataError: they are of another scale.
        """
        found = Inputs.of(*parts)
        dtype = self._dtype_for_fractions(found) if self.fractions else self._dtype_for_numbers(found)
        if dtype is None:
            divided = ", which were divided by 255" if self.bytes else ""
            raise DataError(f"{name} has {found}; the model was trained on {self}{divided}: scale them alike")
        return [x.astype(dtype, copy=False) for x in parts]

    def _dtype_for_fractions(self, found: Inputs) -> type | None:
        """The dtype in which a network that got 0..1 takes such samples; None: there is none."""
        if self.few_levels:  # bytes that were nearly black
            return np.uint8 if found.whole and found.lowest >= 0 and found.highest < MIN_WHITE else None
        if found.fractions and found.highest <= 1:
            return np.float32 if not (found.bytes and self.bytes and found.highest > 0) else None
        if found.whole and found.lowest >= 0 and FEW_LEVELS < found.highest <= 255:
            return np.uint8
        table = not (self.bytes or found.bytes)
        return np.float32 if table and max(-found.lowest, found.highest) <= OUTLIER else None

    def _dtype_for_numbers(self, found: Inputs) -> type | None:
        """The same for a network that got other numbers: float32, as they are, if they can be meant so."""
        levels = (self.few_levels and found.all_levels) or (self.all_levels and found.few_levels)
        if found.bytes:
            compatible = found.highest <= OUTLIER * self.highest
        else:
            compatible = found.whole or not (self.whole and self.lowest >= 0 and found.fractions)
        return np.float32 if compatible and not levels else None

    def pictures(self, x: Array) -> Array:
        """Pictures x (n, ...) uint8, whose white is 255, as the network knows such. DataError: it knows none."""
        if self.few_levels:
            return x * np.float32(self.highest / 255 / (255 if self.bytes else 1))
        if self.fractions:
            return x
        if self.all_levels:
            return x.astype(np.float32)
        raise DataError(f"the model was trained on {self}, which are not the pixels of pictures: 0..1, 0..16 or 0..255")


def _are_whole(x: Array) -> bool:
    return all(np.array_equal(part, np.floor(part)) for part in (x[i : i + ROWS] for i in range(0, len(x), ROWS)))
