"""Augmentation, as a small description: the core changes the pictures on their way into training, and knows the usual
strengths, which None stands for. pynet.data.augmented shows what comes out.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

__all__ = ["Augment", "parse_augment"]


@dataclass(frozen=True)
class Augment:
    """Each sample of each step is a picture drawn anew: moved, turned, stretched and bent at random, with zeros around.

    shift: up to so many pixels on each axis (usually a 28th of the side); rotate: degrees either way (8); scale: the
    share by which each axis grows or shrinks (0.08); shear: degrees by which it leans (4); elastic: pixels by which its
    places are moved in waves, their standard deviation (a 40th of the side; Simard, Steinkraus and Platt 2003). 0 is
    none.

    The same for every number of threads; training that goes on from a file goes on with it.
    """

    shift: float | None = None
    rotate: float | None = None
    scale: float | None = None
    shear: float | None = None
    elastic: float | None = None

    def __str__(self) -> str:
        return ",".join(f"{name}={value:g}" for name, value in vars(self).items() if value is not None) or "usual"


def parse_augment(text: str) -> Augment:
    """What str() of an Augment gives, "shift=2,rotate=10"; "usual" or "" for the usual strengths. ValueError."""
    names, values = [field.name for field in fields(Augment)], {}
    for part in text.split(",") if text not in ("", "usual") else []:
        name, _, value = (word.strip() for word in part.partition("="))
        try:
            values[name] = float(value)
        except ValueError:
            name = ""
        if name not in names:
            raise ValueError(f"{part!r}; accepted: {', '.join(f'{name}=NUMBER' for name in names)}")
    return Augment(**values)
