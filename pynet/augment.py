"""Data augmentation, as a description: the core transforms the pictures of each training step, and has the default
strengths that None stands for. pynet.data.augmented shows the transformed pictures.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

__all__ = ["Augment", "parse_augment"]

DEFAULT = ("", "default", "usual")  # texts of the default strengths; "usual" is in models of earlier versions


@dataclass(frozen=True)
class Augment:
    """Shifts, rotates, scales, shears and distorts each picture at random in each training step; the border is zero.

    shift: at most this many pixels on each axis (default: a 28th of the side); rotate: at most this many degrees (8);
    scale: largest relative change of each axis (0.08); shear: degrees (4); elastic: standard deviation in pixels of a
    smooth random displacement (a 40th of the side; Simard, Steinkraus and Platt 2003). 0 turns one off.

    The result does not depend on the number of threads, and training that is resumed or continued repeats no picture.
    """

    shift: float | None = None
    rotate: float | None = None
    scale: float | None = None
    shear: float | None = None
    elastic: float | None = None

    def __str__(self) -> str:
        return ",".join(f"{name}={value:g}" for name, value in vars(self).items() if value is not None) or "default"


def parse_augment(text: str) -> Augment:
    """The Augment of a text such as "shift=2,rotate=10"; "default" or "" means the default strengths. ValueError."""
    names, values = [field.name for field in fields(Augment)], {}
    for part in text.split(",") if text not in DEFAULT else []:
        name, _, value = (word.strip() for word in part.partition("="))
        try:
            values[name] = float(value)
        except ValueError:
            name = ""
        if name not in names:
            raise ValueError(f"{part!r}; accepted: {', '.join(f'{name}=NUMBER' for name in names)}")
    return Augment(**values)
