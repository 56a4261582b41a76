"""Numbers, names and pictures as text."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

DRAWN = "drawn by pynet"  # metadata of our picture files; commands overwrite no picture without it
NO_BREAK = "\0"  # stands for a blank where no line shall end
SHADES = " .:-=+*#%@"
MIN_WHITE = 128  # integers in 0..255 with a smaller maximum are counts or flags, not pixels
MIN_SIDE = 5  # a sample of n*n numbers, n this or more, is treated as a square picture


def printable(text: object) -> str:
    """Untrusted text (names, notes, error messages) as one line that is safe to print on a terminal.

    Line ends, escape sequences, C1 controls and characters that change the writing direction are escaped as in a
    Python string, "\\x1b[31m"; so are bytes of a file name that are not text.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def parsed_json(text: str) -> Any:
    """What a JSON text holds. ValueError: it is not JSON, or nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None


@contextmanager
def reading_note(about: str, text: str) -> Iterator[None]:
    """What goes wrong while a model's note is read, as a ValueError that says that it is damaged."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError):
        raise ValueError(f"the model's note on {about} is damaged: {text!r:.80}") from None


def require(good: bool) -> None:
    """ValueError unless it is good."""
    if not good:
        raise ValueError


def json_text(value: Any, indent: int | None = None) -> str:
    """value as JSON text; NaN and infinity, which JSON does not have, become null."""
    return json.dumps(finite(value), indent=indent, allow_nan=False)


def finite(value: Any) -> Any:
    """A copy of a JSON value with None in place of numbers that are not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: finite(one) for name, one in value.items()}
    return [finite(one) for one in value] if isinstance(value, (list, tuple)) else value


def short(value: object) -> str:
    """A value in a few characters: arrays by type and shape, long lists by their ends, lists of objects by number."""
    if isinstance(value, np.ndarray):
        return f"<{value.dtype} {value.shape}>"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return f"{{{_ends([f'{name!r}: {short(one)}' for name, one in value.items()])}}}"
    if isinstance(value, (list, tuple)):
        plain = all(isinstance(one, (str, int, float)) for one in value)
        inner = _ends([short(one) for one in value]) if plain else f"{len(value)} {type(value[0]).__name__}"
        return f"[{inner}]" if isinstance(value, list) else f"({inner})"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:56]}...{text[-1]}"


def _ends(parts: Sequence[str]) -> str:
    return ", ".join(parts if len(parts) <= 5 else [*parts[:2], "...", *parts[-2:]])


def fields_text(name: str, fields: Mapping[str, object]) -> str:
    """The repr of an object: its fields that hold something, in a few lines."""
    known = [f"{field}={short(value)}" for field, value in fields.items() if not _is_empty(value)]
    unbroken = f"{name}({', '.join(text.replace(' ', NO_BREAK) for text in known)})"  # lines end between fields
    lines = textwrap.wrap(unbroken, 116, break_long_words=False, break_on_hyphens=False)
    return "\n    ".join(lines).replace(NO_BREAK, " ")


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, (str, list, tuple, dict)) and not value)


def times(shape: tuple[int, ...]) -> str:
    """A shape: "784", "28x28 = 784"."""
    product = math.prod(shape)
    return f"{'x'.join(map(str, shape))} = {product}" if len(shape) > 1 else str(product)


def percent(share: float) -> str:
    """A fraction from 0 to 1 as text: "97.72 %"."""
    return f"{100 * share:.2f} %"


def picture_shape(shape: Sequence[int]) -> tuple[int, ...] | None:
    """(height, width) or (channels, height, width) of samples of this shape; None if they are not pictures.

    A row of numbers is treated as a square picture if its length is a square number and large enough.
    """
    if len(shape) in (2, 3):
        return tuple(shape)
    side = math.isqrt(shape[0]) if len(shape) == 1 else 0
    return (side, side) if side >= MIN_SIDE and side * side == shape[0] else None


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
    """A picture as text, two characters for a pixel, denser ones for lighter pixels. seen: (h, w) or (3, h, w)."""
    grey = seen if seen.ndim == 2 else seen.mean(axis=0)
    shades = np.array(list(SHADES))[(grey.astype(np.intp) * len(SHADES)) // 256]
    return "\n".join("".join(np.repeat(row, 2)).rstrip() for row in shades)
