"""The errors that pynet raises besides Python's own."""

from __future__ import annotations

from pynet.text import printable


class DataError(ValueError):
    """A data set is not available, or a file is damaged or not of an accepted format; the message is one line."""

    def __init__(self, message: str) -> None:
        # Text from a damaged file may contain line ends and terminal escapes.
        super().__init__(printable(message))


class LossNotFiniteError(FloatingPointError):
    """The loss of a batch is infinite or NaN; the parameters were not updated by it."""
