"""Reduces a picture of any size to a small one without transparency, in little memory.

Conversions take up to thirty bytes a pixel, so they are done tile by tile, and each tile is reduced at once. A large
PNG is also decoded in strips: 10 kB of it can hold 88 million pixels.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import IO

import numpy as np
import numpy.typing as npt
from PIL import Image

from pynet.errors import DataError

PAPERS = ("white", "black")
TILE = 1 << 18  # pixels, about; a tile is a multiple of the factors, so that it reduces as the whole would
GAP = 2.0  # as reducing_gap of Image.resize: the final filter has at least so many pixels for one, on each side

Factors = tuple[int, int]  # across and down: so many pixels are averaged to one


def factors_for(size: tuple[int, int], least: int) -> Factors:
    """The factors of the reduction before the longer side is resized to `least`, as Image.resize has it."""
    wanted = smaller_size(size, least)
    across, down = (int(was / will / GAP) or 1 for was, will in zip(size, wanted, strict=True))
    return across, down


def smaller_size(size: tuple[int, int], least: int) -> tuple[int, int]:
    """The size (width, height) with the longer side at `least`, if it is longer."""
    longest = max(size)
    if longest <= least:
        return size
    return max(1, round(size[0] * least / longest)), max(1, round(size[1] * least / longest))


def flat(image: Image.Image) -> Image.Image:
    """A picture of any mode as L, RGB or F (0..255); transparent pixels get a background.

    That is white for dark ink, black for light ink.
    """
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        plain = image.copy()
        plain.info = {}
        return plain
    return shrunk([image], image.size, (1, 1))


def shrunk(strips: Iterable[Image.Image], size: tuple[int, int], factors: Factors) -> Image.Image:
    """flat() of the picture of this size (width, height) that the strips make up, from top to bottom, reduced.

    All strips but the last have a height that is a multiple of the factor.
    """
    across, down = factors
    small = math.ceil(size[0] / across), math.ceil(size[1] / down)
    found: dict[str, Image.Image] = {}  # one for each background; the brightness of all strips decides between them
    shade, alpha, most, mode, top = 0, 0, 0.0, "", 0
    for strip in strips:
        for box in _tiles(strip.size, factors):
            tile = strip.crop(box)
            if tile.mode[0] in "IF":
                mode, values = tile.mode, np.asarray(tile, np.float32)
                if not np.isfinite(values).all():
                    raise DataError("the picture holds numbers that are not finite")
                most = max(most, float(values.max(initial=0)))
                pieces = {"": Image.fromarray(values)}
            elif tile.mode.upper() in ("RGBA", "LA", "PA") or "transparency" in tile.info:
                tile = tile.convert("RGBA")
                sums = _shade(np.asarray(tile))
                shade, alpha = shade + sums[0], alpha + sums[1]
                pieces = {paper: _laid_on(paper, tile) for paper in PAPERS}
            else:
                pieces = {"": tile.convert("L" if tile.mode in ("1", "L") else "RGB")}
            place = box[0] // across, (top + box[1]) // down
            for paper, piece in pieces.items():
                if paper not in found:
                    found[paper] = Image.new(piece.mode, small)
                found[paper].paste(piece.reduce(factors), place)
        top += strip.height
    if mode:
        return Image.fromarray(np.asarray(found[""]) * np.float32(scale_to_bytes(most, mode)))
    return found[""] if "" in found else found["white" if shade < 3 * 128 * max(alpha, 1) else "black"]


def _tiles(size: tuple[int, int], factors: Factors) -> Iterator[tuple[int, int, int, int]]:
    """The boxes that make up a strip of this size."""
    across, down = factors
    width = min(size[0], max(1, TILE // down // across) * across)
    height = max(1, TILE // width // down) * down
    for top in range(0, size[1], height):
        for left in range(0, size[0], width):
            yield left, top, min(left + width, size[0]), min(top + height, size[1])


def _shade(rgba: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """Sums over the pixels: of red, green and blue times alpha, and of alpha."""
    alpha = rgba[..., 3]
    return int(np.einsum("ijk,ij->", rgba[..., :3], alpha, dtype=np.int64)), int(alpha.sum(dtype=np.int64))


def _laid_on(paper: str, image: Image.Image) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", image.size, paper), image).convert("RGB")


def scale_to_bytes(most: float, mode: str) -> float:
    """The factor that scales values of 16 or 32 bits to 0..255; scanners may use 8 or 12 of 16 bits."""
    if mode == "F" and most <= 1:
        return 255
    return 255 / next((top for top in (255, 4095, 65535) if most <= top), most)


# ---- PNG, some rows at a time ----

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER = ">IIBBBBB"  # width, height, bits, colour type, compression, filter, interlace
KEPT = (b"PLTE", b"tRNS", b"eXIf")  # palette, transparency, orientation
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
PIECE = 1 << 20  # bytes unpacked at once
WIDEST = 8 << 20  # bytes of the rows that are averaged to one


def png_strips(file: IO[bytes], down: int) -> Iterator[Image.Image] | None:
    """A PNG as strips of rows, each but the last a multiple of `down` high.

    None: it is interlaced or has 16-bit colours. A row depends on the one above, so each strip is decoded together with
    the last row of the strip before.
    """
    file.seek(len(SIGNATURE))
    chunks: dict[bytes, bytes] = {}
    length, kind = _chunk(file)
    while kind != b"IDAT":
        if kind in (b"IHDR", *KEPT):
            chunks[kind] = file.read(length)
        else:
            file.seek(length, io.SEEK_CUR)
        file.seek(4, io.SEEK_CUR)  # its checksum, which Pillow has checked
        length, kind = _chunk(file)
    width, height, bits, colour, _, _, interlaced = struct.unpack(HEADER, chunks.pop(b"IHDR"))
    row, pixel = (width * bits * CHANNELS[colour] + 7) // 8, max(1, bits * CHANNELS[colour] // 8)  # bytes
    if interlaced or pixel > 4 or row * down > WIDEST:
        return None
    step = max(1, min(PIECE // row, 8 * TILE // width) // down) * down

    def strips() -> Iterator[Image.Image]:
        unpacked, above = _Unpacked(file, length), bytes(row)
        for top in range(0, height, step):
            rows = min(step, height - top)
            filtered = b"\0" + above + unpacked.read(rows * (row + 1))
            bytes_of = {1: 0, 2: 4, 3: 2, 4: 6}[pixel]  # a colour type with as many: filters know bytes alone
            plain = _open((row // pixel, rows + 1, 8, bytes_of, 0, 0, 0), {}, filtered).tobytes()[row:]
            above = plain[-row:]
            lines = np.zeros((rows, row + 1), np.uint8)
            lines[:, 1:] = np.frombuffer(plain, np.uint8).reshape(rows, row)
            yield _open((width, rows, bits, colour, 0, 0, 0), chunks, lines.tobytes())

    return strips()


def _chunk(file: IO[bytes]) -> tuple[int, bytes]:
    """Length and kind of the chunk at the file's position."""
    start = file.read(8)
    if len(start) < 8:
        raise OSError("image file is truncated")
    return int.from_bytes(start[:4], "big"), start[4:]


def _open(header: tuple[int, ...], chunks: dict[bytes, bytes], lines: bytes) -> Image.Image:
    """The PNG of these rows, each with its filter byte in front."""
    content = {b"IHDR": struct.pack(HEADER, *header), **chunks, b"IDAT": zlib.compress(lines, 0), b"IEND": b""}
    file = io.BytesIO()
    file.write(SIGNATURE)
    for kind, body in content.items():
        file.write(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)))
    image = Image.open(file, formats=("PNG",))
    image.load()
    return image


class _Unpacked:
    """Unpacks the IDAT chunks of a PNG as they are read; the length is that of the first one."""

    def __init__(self, file: IO[bytes], length: int) -> None:
        self._file, self._left = file, length
        self._stream, self._ready = zlib.decompressobj(), bytearray()

    def read(self, count: int) -> bytes:
        """The next `count` bytes. OSError: there are fewer."""
        while len(self._ready) < count:
            self._ready += self._stream.decompress(self._stream.unconsumed_tail or self._packed(), PIECE)
        found = bytes(self._ready[:count])
        del self._ready[:count]
        return found

    def _packed(self) -> bytes:
        while not self._left:
            self._file.seek(4, io.SEEK_CUR)
            self._left, kind = _chunk(self._file)
            if kind != b"IDAT":
                raise OSError("image file is truncated")
        piece = self._file.read(min(self._left, 1 << 16))
        if not piece or self._stream.eof:
            raise OSError("image file is truncated")
        self._left -= len(piece)
        return piece
