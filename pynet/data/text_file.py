"""Text files as lines of bounded length: compressed by gzip or not, in UTF-8, UTF-16 or Windows-1252."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pynet.data.arrays import GZIP_MAGIC, read_up_to, reading, unpacked_limit
from pynet.errors import DataError

MAX_LINE = 2 << 20  # characters: a picture of 3 x 256 x 256 numbers of ten digits
BOMS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
WINDOWS = "cp1252"


def bounded_lines(stream: IO[str], path: Path) -> Generator[str, None, None]:
    """The lines of a stream with their ends. DataError: one is longer than MAX_LINE."""
    number = 1
    while line := stream.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise DataError(f"{path}: line {number} is longer than the {MAX_LINE:,} characters that are accepted")
        yield line
        number += 1


@dataclass(frozen=True)
class TextFile:
    """A file that can be read several times; content: its decompressed bytes, None if it is not compressed."""

    path: Path
    content: bytes | None
    encoding: str

    @staticmethod
    def open(path: Path) -> TextFile:
        """Detects compression and encoding: UTF-16 if the file starts with its mark or byte 1 is NUL, else UTF-8."""
        with reading(path), path.open("rb") as raw:
            start = raw.read(4)
            content = None
            if start.startswith(GZIP_MAGIC):
                raw.seek(0)
                content = _unpacked(raw, path)
                start = content[:4]
        encoding = next((name for mark, name in BOMS.items() if start.startswith(mark)), "utf-8")
        if encoding == "utf-8" and start[1:2] == b"\0":
            encoding = "utf-16-le"
        return TextFile(path, content, encoding)

    def lines(self) -> Generator[str, None, None]:
        """The lines with their ends. DataError: they cannot be read; UnicodeDecodeError: it is another encoding."""
        errors = "replace" if self.encoding == WINDOWS else "strict"
        with reading(self.path), self.path.open("rb") if self.content is None else io.BytesIO(self.content) as raw:
            stream = io.TextIOWrapper(raw, self.encoding, errors, newline="")
            for number, line in enumerate(bounded_lines(stream, self.path), 1):
                if "\0" in line:
                    raise DataError(f"{self.path}: line {number} holds a NUL character; accepted: text")
                yield line

    @property
    def note(self) -> str:
        """A remark for the user if the encoding is not UTF-8; else ""."""
        if self.encoding == WINDOWS:
            return "read as Windows-1252, as it is no UTF-8"
        return "read as UTF-16" if self.encoding.startswith("utf-16") else ""


def _unpacked(raw: IO[bytes], path: Path) -> bytes:
    limit = unpacked_limit(os.fstat(raw.fileno()).st_size)
    content, more = read_up_to(gzip.GzipFile(fileobj=raw), limit)  # type: ignore[arg-type]
    if more:
        raise DataError(f"{path}: unpacks to more than {limit:,} bytes, which are accepted for a file of its size")
    return content.tobytes()
