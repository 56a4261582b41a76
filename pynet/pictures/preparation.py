"""How a picture becomes a network's input: set by the training set, stored in the model, repeated in prediction."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import NamedTuple

from pynet.text import parsed_json, reading_note, require

NOTE = "pictures"  # the key of the preparation among the notes of a model file


class Style(NamedTuple):
    """The layout of glyphs in a data set; lengths are fractions of the picture's side.

    box: height and width that the ink is scaled into. stretch: the height is always filled, and ink that would be too
    wide is narrowed. by_mass: the centre of mass is in the middle, otherwise that of the box. weight: the least and the
    largest width of strokes, which is changed only beyond these.
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


BACKGROUNDS = ("dark", "light")


@dataclass(frozen=True)
class Preparation:
    """Size, colour and layout of prepared pictures.

    style: one of STYLES, for glyphs: ink is found, cropped, scaled and centred. None: the whole picture is scaled, its
    longer side cropped to the proportions. background: "dark" or "light" if whole grey pictures show things on an even
    background; pictures with the other one are inverted.
    """

    height: int
    width: int
    color: bool = False
    style: str | None = "mnist"
    background: str | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a prepared picture: (height, width), in colour (3, height, width)."""
        return (3, self.height, self.width) if self.color else (self.height, self.width)

    def note(self) -> str:
        """The text stored in a model file."""
        return json.dumps({name: value for name, value in asdict(self).items() if name != "background" or value})

    @staticmethod
    def from_note(text: str) -> Preparation:
        """The preparation of a note(). ValueError: the text is not one."""
        with reading_note("how its pictures were prepared", text):
            found = Preparation(**parsed_json(text))
            require(all(type(side) is int and 0 < side < 1 << 14 for side in (found.height, found.width)))
            require(type(found.color) is bool and (found.style is None or found.style in STYLES))
            require(found.background in (None, *BACKGROUNDS))
        return found
