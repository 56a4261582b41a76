"""Large pictures: decoded in little memory, one at a time; files made to exhaust memory are refused."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import threading
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers.memory import GUARD, MB, REFUSED, taken
from PIL import Image, ImageDraw

from pynet.errors import DataError
from pynet.pictures import decode, shrink
from pynet.pictures.decode import flat, in_parallel, read_picture
from pynet.pictures.glyph import prepare
from pynet.pictures.preparation import Preparation

MAX_SIDE = 9400  # squared it is 88 million: as many pixels as are accepted
SIDE = 7300  # squared it is more than decode.ALWAYS
READ = """
import io, sys
from PIL import Image
from pynet.errors import DataError
from pynet.pictures.decode import read_picture

def read(source):
    try:
        print(read_picture(source).size)
    except DataError as error:
        print(error)

small = io.BytesIO()
Image.new("LA", (9, 9)).save(small, "png")
read(small)
"""


def seven(side: int) -> Image.Image:
    """Black on white."""
    image = Image.new("L", (side, side), 255)
    line = [(int(x * side), int(y * side)) for x, y in ((0.3, 0.2), (0.7, 0.2), (0.5, 0.8))]
    ImageDraw.Draw(image).line(line, 0, side // 14, joint="curve")
    return image


def glyph(image: Image.Image) -> np.ndarray:
    found = prepare(image, Preparation(28, 28))
    assert found is not None
    return found.astype(float)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def bomb(bits: int, colour: int, width: int = SIDE, height: int = SIDE, interlaced: int = 0) -> bytes:
    """A PNG of zeros, compressed in pieces; its palette, if it has one, is transparent."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    left, stream, packed = height * (1 + (width * bits * channels + 7) // 8), zlib.compressobj(9), b""
    while left > 0:
        packed += stream.compress(bytes(min(left, MB)))
        left -= MB
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced))
    palette = chunk(b"PLTE", bytes(6)) + chunk(b"tRNS", b"\0") if colour == 3 else b""
    return b"\x89PNG\r\n\x1a\n" + head + palette + chunk(b"IDAT", packed + stream.flush()) + chunk(b"IEND", b"")


# ---- memory ----


@pytest.mark.parametrize(("bits", "colour"), [(1, 3), (8, 0), (16, 0), (8, 2), (8, 4)])
def test_a_png_of_a_few_kilobytes_takes_little_memory(tmp_path: Path, bits: int, colour: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(bits, colour))
    assert path.stat().st_size < SIDE * SIDE // 200
    printed, memory = taken(READ, f"read({str(path)!r})")
    assert printed.endswith("(400, 400)")
    assert memory < REFUSED


@pytest.mark.parametrize("name", ["interlaced.png", "colours.png", "a.gif", "a.webp", "a.tif", "progressive.jpg"])
def test_what_cannot_be_decoded_in_little_memory_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "interlaced.png":
        path.write_bytes(bomb(8, 0, interlaced=1))
    elif name == "colours.png":
        path.write_bytes(bomb(16, 6))
    else:
        options = {"a.tif": {"compression": "tiff_deflate"}, "progressive.jpg": {"progressive": True}}.get(name, {})
        Image.new("L", (SIDE, SIDE)).save(path, **options)
    printed, memory = taken(READ, f"read({str(path)!r})")
    assert f"{path}: {path.stat().st_size:,} bytes that unpack to" in printed
    assert "accepted: save it with fewer pixels" in printed
    assert memory < REFUSED


@pytest.mark.parametrize("size", [(decode.LONGEST_SIDE + 1, 1), (1, decode.LONGEST_SIDE + 1)])
def test_a_side_that_is_too_long(size: tuple[int, int]) -> None:
    with pytest.raises(DataError, match="accepted: sides of up to 65,535"):
        read_picture(io.BytesIO(bomb(1, 0, *size)))


@pytest.mark.parametrize("size", [(decode.LONGEST_SIDE, 1300), (1300, decode.LONGEST_SIDE)])
def test_a_long_side_takes_little_memory(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "long.png").write_bytes(bomb(1, 3, *size))
    printed, memory = taken(READ, f"read({str(tmp_path / 'long.png')!r})")
    assert "(400, 8)" in printed or "(8, 400)" in printed
    assert memory < REFUSED


@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_a_photograph_of_88_million_pixels(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"photo.{form}"
    seven(MAX_SIDE).save(path, **({"compress_level": 1} if form == "png" else {}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = glyph(read_picture(path))
    assert np.abs(found - glyph(seven(400))).mean() < 4  # an empty picture is 29 away
    printed, memory = taken(READ, f"read({str(path)!r})")
    assert printed.endswith("(400, 400)")
    assert memory < REFUSED


def test_large_pictures_are_decoded_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "ALWAYS", 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    paths = [tmp_path / f"{i}.bmp" for i in range(8)]
    for path in paths:
        Image.effect_noise((1700, 20), 60).save(path)
    running, most, gate = 0, 0, threading.Lock()

    def counted(*args: object) -> Image.Image:
        nonlocal running, most
        with gate:
            running += 1
            most = max(most, running)
        time.sleep(0.02)  # for the others to come
        with gate:
            running -= 1
        return shrink.shrunk(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(decode, "shrunk", counted)
    assert [image.size for image in in_parallel(read_picture, paths)] == [(400, 5)] * 8
    assert most == 1


# ---- the same picture ----


def noise(mode: str, width: int = 1999, height: int = 701) -> Image.Image:
    """Shades that differ from pixel to pixel, so that a PNG filters its rows in all ways."""
    rng = np.random.default_rng(0)
    values = (rng.integers(0, 40, (height, width, 4)).cumsum(axis=rng.integers(2)) % 256).astype(np.uint8)
    if mode == "I;16":
        return Image.fromarray(values[..., 0].astype(np.uint16) * 200)
    if mode == "F":
        return Image.fromarray(values[..., 0].astype(np.float32) * 3)
    if mode == "P":
        image = Image.fromarray(values[..., 0] % 77)
        image.putpalette(rng.integers(0, 256, 231, np.uint8).tobytes())
        return image
    return Image.fromarray(values).convert(mode)


@pytest.mark.parametrize("mode", ["1", "L", "P", "P transparent", "RGB", "RGB transparent", "RGBA", "LA", "I;16"])
def test_rows_of_a_png_are_what_pillow_makes_of_the_whole(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setattr(shrink, "PIECE", 50_000)
    kind, _, transparent = mode.partition(" ")
    colour = {"P": 5, "RGB": (3, 7, 9)}[kind] if transparent else None
    file = io.BytesIO()
    noise(kind).save(file, "png", **({} if colour is None else {"transparency": colour}))
    whole = Image.open(file)
    strips = shrink.png_strips(file, 7)
    assert strips is not None
    found = [np.asarray(strip if kind == "I;16" else strip.convert("RGBA")) for strip in strips]
    assert len(found) > 1
    assert np.array_equal(np.concatenate(found), np.asarray(whole if kind == "I;16" else whole.convert("RGBA")))


@pytest.mark.parametrize("bits", [2, 4])
def test_rows_of_a_png_of_few_bits(bits: int) -> None:
    file = io.BytesIO()
    image = Image.fromarray(np.arange(9009, dtype=np.uint8).reshape(9, 1001) % 2**bits)
    image.putpalette(np.random.default_rng(0).integers(0, 256, 3 * 2**bits, np.uint8).tobytes())
    image.save(file, "png", bits=bits)
    whole = np.asarray(Image.open(file).convert("RGB"))
    strips = shrink.png_strips(file, 4)
    assert strips is not None
    assert np.array_equal(np.concatenate([np.asarray(strip.convert("RGB")) for strip in strips]), whole)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16", "F"])
@pytest.mark.parametrize("size", [(1999, 701), (1700, 13), (13, 1700)])
def test_tiles_reduce_as_the_whole_does(mode: str, size: tuple[int, int]) -> None:
    file = io.BytesIO()
    noise(mode, *size).save(file, "tiff")
    wanted = flat(Image.open(file))
    wanted = wanted.resize(shrink.smaller_size(size, 400), Image.Resampling.HAMMING, reducing_gap=2.0)
    found = read_picture(file)
    assert found.size == wanted.size
    if mode in ("I;16", "F"):  # scaled before or after the mean: a rounding
        assert np.allclose(np.asarray(found), np.asarray(wanted), rtol=1e-6)
    else:
        assert np.array_equal(np.asarray(found), np.asarray(wanted))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("always", [decode.ALWAYS, 0])
def test_large_pictures_are_upright(monkeypatch: pytest.MonkeyPatch, orientation: int, always: int) -> None:
    monkeypatch.setattr(decode, "ALWAYS", always)
    T = Image.Transpose
    back = [T.FLIP_LEFT_RIGHT, T.ROTATE_180, T.FLIP_TOP_BOTTOM, T.TRANSPOSE, T.ROTATE_90, T.TRANSVERSE, T.ROTATE_270]
    image, exif, file = seven(1700), Image.Exif(), io.BytesIO()
    exif[decode.ORIENTATION] = orientation
    stored = image.transpose(back[orientation - 2]) if orientation > 1 else image
    stored.save(file, "png", exif=exif)
    assert np.abs(glyph(read_picture(file)) - glyph(image)).mean() < 2


@pytest.mark.parametrize("shade", ["black", "white"])
@pytest.mark.parametrize("always", [decode.ALWAYS, 0])
def test_large_transparent_pictures(monkeypatch: pytest.MonkeyPatch, shade: str, always: int) -> None:
    monkeypatch.setattr(decode, "ALWAYS", always)
    ink, file = Image.eval(seven(1700), lambda v: 255 - v), io.BytesIO()
    image = Image.new("RGBA", ink.size, "red")
    image.paste(Image.new("RGBA", ink.size, shade), mask=ink)
    image.putalpha(ink)
    image.save(file, "png")
    assert np.abs(glyph(read_picture(file)) - glyph(seven(1700))).mean() < 5


@pytest.mark.parametrize("kept", [0.02, 0.1, 0.5, 0.99])
def test_a_large_png_that_was_cut_short(monkeypatch: pytest.MonkeyPatch, kept: float) -> None:
    monkeypatch.setattr(decode, "ALWAYS", 0)
    file = io.BytesIO()
    noise("RGB").save(file, "png", compress_level=1)
    with pytest.raises(DataError, match=r"^the picture: (cannot be read|damaged): "):
        read_picture(io.BytesIO(file.getvalue()[: int(kept * len(file.getvalue()))]))


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
def test_a_large_png_with_damaged_rows(monkeypatch: pytest.MonkeyPatch, at: float) -> None:
    monkeypatch.setattr(decode, "ALWAYS", 0)
    file = io.BytesIO()
    noise("RGB", 1700, 300).save(file, "png", compress_level=1)
    content = bytearray(file.getvalue())
    middle = int(at * len(content))
    content[middle : middle + 300] = bytes(300)
    with pytest.raises(DataError, match=r"^the picture: (cannot be read|damaged): "):
        read_picture(io.BytesIO(content))


def test_a_png_in_several_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "ALWAYS", 0)
    whole = io.BytesIO()
    seven(1700).save(whole, "png")
    content, start = whole.getvalue(), whole.getvalue().index(b"IDAT") + 4
    [length] = struct.unpack(">I", content[start - 8 : start - 4])
    pieces = [content[start + i : start + min(i + 700, length)] for i in range(0, length, 700)]
    assert len(pieces) > 1
    parts = content[: start - 8] + b"".join(chunk(b"IDAT", piece) for piece in pieces) + chunk(b"IEND", b"")
    assert np.array_equal(np.asarray(read_picture(io.BytesIO(parts))), np.asarray(read_picture(whole)))


# ---- nothing else changes ----

WARNING = """
import sys, warnings
from pathlib import Path
from pynet.pictures.decode import in_parallel, read_picture
before = list(warnings.filters), warnings.showwarning
started = in_parallel(read_picture, [Path(sys.argv[1])] * 9)
next(started)
assert (warnings.filters, warnings.showwarning) == before, "changed while pictures are read"
other = in_parallel(read_picture, [Path(sys.argv[1])] * 3)
next(other)
list(started)
list(other)
assert (warnings.filters, warnings.showwarning) == before, "changed afterwards"
"""


def test_the_filters_of_warnings_stay_as_they_are(tmp_path: Path) -> None:
    """Two that read at the same time would each put back what the other had set."""
    seven(60).save(tmp_path / "a.png")
    done = subprocess.run(
        [sys.executable, "-c", WARNING, tmp_path / "a.png"], capture_output=True, text=True, timeout=GUARD
    )
    assert done.returncode == 0, done.stderr
