"""How a picture becomes the input of a network: settled by a data set, kept in the model, repeated in prediction."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import NamedTuple

from pynet.text import parsed_json

NOTE = "pictures"  # the key of the preparation among the notes of a model file


class Style(NamedTuple):
    """How a data set lays its glyphs into the picture; lengths are shares of the picture's side.

    box: height and width that the ink is fitted into. stretch: the height is always filled, and only what is too wide
    loses its proportions. by_mass: the centre of mass is in the middle, otherwise that of the box. weight: the
    thinnest and the thickest stroke; what lies between is left as it is.
    """

    box: tuple[float, float]
    stretch: bool
    by_mass: bool
    weight: tuple[float, float]


STYLES = {
    # A fifth of MNIST's strokes are thinner than 0.07, a twentieth thicker than 0.12.
    "mnist": Style((20 / 28, 20 / 28), stretch=False, by_mass=True, weight=(0.07, 0.12)),
    # Bitmaps of 32 x 32 that fill the height, reduced to 8 x 8 (E. Alpaydin and C. Kaynak 1998).
    "digits": Style((1, 20 / 32), stretch=True, by_mass=False, weight=(0.13, 0.18)),
}


@dataclass(frozen=True)
class Preparation:
    """The size of the pictures, whether in colour, and how what is in them is laid out.

    style: one of STYLES, for glyphs: what is written is found, cropped, fitted and centred. None: the whole picture is
    taken, cut to the proportions wanted.
    """

    height: int
    width: int
    color: bool = False
    style: str | None = "mnist"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a prepared picture: (height, width), in colour (3, height, width)."""
        return (3, self.height, self.width) if self.color else (self.height, self.width)

    def note(self) -> str:
        """The text that a model file carries."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_note(text: str) -> Preparation:
        """The preparation of a note(). Raises ValueError, which names the text, if it is none."""
        try:
            found = Preparation(**parsed_json(text))
            good = all(type(side) is int and 0 < side < 1 << 14 for side in (found.height, found.width))
            good = good and type(found.color) is bool and (found.style is None or found.style in STYLES)
        except (TypeError, ValueError):
            good = False
        if not good:
            raise ValueError(f"the model's note on how its pictures were prepared is damaged: {text!r:.80}")
        return found
