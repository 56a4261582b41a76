"""Numbers, names and pictures as text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

DRAWN = "drawn by pynet"  # what picture files say of themselves: commands overwrite no others
SHADES = " .:-=+*#%@"
LEAST_SIDE = 5  # a row of 25 numbers or more, a square number of them, is taken for a picture


def printable(text: object) -> str:
    """What others wrote, as one line that cannot steer a terminal: names, notes, the messages of errors.

    Line ends, escape sequences, C1 controls and marks that turn the direction of writing are shown as Python writes
    them in a string, "\\x1b[31m"; so are bytes of a file name that are no text.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def parsed_json(text: str) -> Any:
    """What a JSON text holds. ValueError: it is none, or is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None


def json_text(value: Any, indent: int | None = None) -> str:
    """value as JSON, which has no word for NaN and infinity: they become null."""
    return json.dumps(finite(value), indent=indent, allow_nan=False)


def finite(value: Any) -> Any:
    """value, made of what JSON has, with None for each number that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: finite(one) for name, one in value.items()}
    return [finite(one) for one in value] if isinstance(value, (list, tuple)) else value


def times(shape: tuple[int, ...]) -> str:
    """A shape: "784", "28x28 = 784"."""
    product = math.prod(shape)
    return f"{'x'.join(map(str, shape))} = {product}" if len(shape) > 1 else str(product)


def percent(share: float) -> str:
    """A share from 0 to 1: "97.72 %"."""
    return f"{100 * share:.2f} %"


def picture_shape(shape: Sequence[int]) -> tuple[int, ...] | None:
    """The picture that samples of this shape are: (height, width) or (channels, height, width); None if they are none.

    A row of numbers is taken for a square picture if it is long enough and their number is a square.
    """
    if len(shape) in (2, 3):
        return tuple(shape)
    side = math.isqrt(shape[0]) if len(shape) == 1 else 0
    return (side, side) if side >= LEAST_SIDE and side * side == shape[0] else None


def figure_text(name: str, value: float) -> str:
    """A figure of a training: "97.72 %" of an accuracy, "0.2931" of a loss, "56.07" of an RMSE or R2, "undefined"."""
    if math.isnan(value):
        return "undefined"
    if name.endswith("accuracy"):
        return percent(value)
    return f"{value:.4g}" if name.endswith(("rmse", "mae", "r2")) else f"{value:.4f}"


def figure_words(name: str) -> str:
    """The name of a figure as one writes it: "RMSE", "accuracy"."""
    return name.upper() if name in ("rmse", "mae", "r2") else name


def drawn(seen: npt.NDArray[np.uint8]) -> str:
    """A picture as characters, two a pixel: the denser, the lighter. seen: (h, w) or (3, h, w)."""
    grey = seen if seen.ndim == 2 else seen.mean(axis=0)
    shades = np.array(list(SHADES))[(grey.astype(np.intp) * len(SHADES)) // 256]
    return "\n".join("".join(np.repeat(row, 2)).rstrip() for row in shades)
