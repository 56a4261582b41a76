"""A pseudo-terminal, and the text printed on it."""

from __future__ import annotations

import os
import pty
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from termios import TIOCSWINSZ


class Terminal:
    """A terminal of 80 x 24 characters; programs write to the descriptor `end`."""

    def __init__(self) -> None:
        self.ours, self.end = pty.openpty()
        ioctl(self.ours, TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))

    def printed(self) -> bytes:
        """The bytes that programs wrote; call it after they have ended."""
        os.write(self.end, b"\nend")
        seen = b""
        while not seen.endswith(b"end"):
            seen += os.read(self.ours, 4096)
        return seen


@contextmanager
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    try:
        yield made
    finally:
        os.close(made.ours)
        os.close(made.end)
