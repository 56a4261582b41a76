"""The errors that pynet raises besides Python's own."""

from __future__ import annotations

from pynet.text import printable


class DataError(ValueError):
    """A data set that cannot be had, or a file that is damaged or not of an accepted form; the message is one line."""

    def __init__(self, message: str) -> None:
        # Names and fields out of a damaged file can hold line ends and terminal commands.
        super().__init__(printable(message))


class LossNotFiniteError(FloatingPointError):
    """The loss of a batch is infinite or NaN; its step was not taken."""
