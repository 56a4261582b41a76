"""Numbers and names in words, as the commands print them."""

from __future__ import annotations

import math

__all__ = ["percent", "printable", "times"]


def printable(text: str) -> str:
    """Text from a file, fit for a terminal: no line breaks, no escapes."""
    return "".join(c if c.isprintable() else "?" for c in text)


def times(shape: tuple[int, ...]) -> str:
    """A shape: "784", "28x28 = 784"."""
    product = math.prod(shape)
    return f"{'x'.join(map(str, shape))} = {product}" if len(shape) > 1 else str(product)


def percent(share: float) -> str:
    """A share from 0 to 1: "97.72 %"."""
    return f"{100 * share:.2f} %"
