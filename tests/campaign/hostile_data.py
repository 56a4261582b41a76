"""Hostile data sets: well-formed IDX, npz and csv files with wrong values, types, sizes and shapes."""

from __future__ import annotations

import bz2
import gzip
import io
import math
import random
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from damage import TEXTS, damaged_text, whole

from pynet.data.idx import IDX_PARTS

SIDES = (1, 2, 3, 4, 28)

# ---- IDX ------------------------------------------------------------------------------------------------------------


def idx_folder(draw: random.Random, folder: Path) -> Path:
    """The four IDX files of a data set, one or two of them damaged."""
    height, width, counts = draw.choice(SIDES), draw.choice(SIDES), (draw.randint(2, 20), draw.randint(2, 9))
    hurt = draw.sample(range(4), draw.choice((0, 1, 1, 2)))
    for i, part in enumerate(IDX_PARTS):
        n = counts[i // 2]
        shape = [n, height, width] if i % 2 == 0 else [n]
        content = draw.randbytes(math.prod(shape)) if i % 2 == 0 else bytes(k % 3 for k in range(n))
        file = damaged_idx(draw, shape, content) if i in hurt else idx(0x800 + len(shape), shape, content)
        packed = draw.random() < 0.4
        file = packed_gz(draw, file, i in hurt) if packed else file
        (folder / (part + draw.choice((".gz", ".gz", "")) if packed else part)).write_bytes(file)
    return folder


def idx(magic: int, shape: list[int], content: bytes) -> bytes:
    return struct.pack(f">{1 + len(shape)}I", magic % 2**32, *(size % 2**32 for size in shape)) + content


def damaged_idx(draw: random.Random, shape: list[int], content: bytes) -> bytes:
    magic, kind = 0x800 + len(shape), draw.randrange(7)
    if kind == 0:
        magic = draw.choice((0x801, 0x802, 0x803, 0x804, 0x8FF, 0x900 + len(shape), 0xD00 + len(shape), 0, whole(draw)))
    elif kind == 1:
        shape[draw.randrange(len(shape))] = whole(draw)
    elif kind == 2:
        draw.shuffle(shape)
    elif kind == 3:  # sizes with the same product, or one that overflows to it
        shape[:] = draw.choice(([len(content), 1, 1], [1, 1, len(content)], [2**31, 2, len(content)], [1] * len(shape)))
        shape[:] = shape[: 3 if len(shape) == 3 else 1]
    elif kind == 4:
        content = content[: draw.randint(0, len(content))] if draw.random() < 0.5 else content + draw.randbytes(7)
    elif kind == 5:
        content = bytes([draw.choice((0, 9, 255))]) * len(content)
    else:  # many zeros, which compress well
        n = draw.choice((*[1] * 25, 5, 30, 100)) << 20
        shape[:] = [n // 784, 28, 28][: len(shape)] if len(shape) == 3 else [n]
        content = bytes(math.prod(shape))
    return idx(magic, shape, content)


def packed_gz(draw: random.Random, content: bytes, hurt: bool) -> bytes:
    file = gzip.compress(content, draw.choice((1, 9)), mtime=0)
    if not hurt:
        return file
    kind = draw.randrange(7)
    if kind == 0:
        return file[: draw.randint(0, len(file))]
    if kind == 1:
        return file + draw.choice(
            (b"\0" * 9, draw.randbytes(20), gzip.compress(b"more"), gzip.compress(bytes(1 << 24)))
        )
    if kind == 2:
        return file[:-8] + struct.pack("<2I", whole(draw) % 2**32, whole(draw) % 2**32)
    if kind == 3:
        at = draw.randrange(len(file))
        return file[:at] + bytes([file[at] ^ 1 << draw.randrange(8)]) + file[at + 1 :]
    if kind == 4:
        half = len(content) // 2
        return gzip.compress(content[:half]) + gzip.compress(content[half:])
    return file if kind == 5 else draw.choice((gzip.compress(file), bz2.compress(content), zlib.compress(content)))


# ---- npz ------------------------------------------------------------------------------------------------------------

DTYPES = (
    "<f8",
    "<f4",
    ">f4",
    "<f2",
    "|u1",
    "|i1",
    "<i8",
    ">i8",
    "<u8",
    "|b1",
    "<c16",
    "|O",
    "<U5",
    "|S3",
    "|V8",
    "<M8[s]",
    "<f16",
)
DTYPES += ("<U0", "|S0", "<U100000000", "f8", "", "x", "<i4,<i4", "[('a', '<i4')]", "[]", "(3,)<f4", "<f4" * 9)
SHAPES = (
    "()",
    "(0,)",
    "(1,)",
    "(6,)",
    "(6, 1)",
    "(6, 16)",
    "(16, 6)",
    "(6, 4, 4)",
    "(6, 4, 4, 1)",
    "(6, 4, 4, 3)",
    "(-1, 16)",
)
SHAPES += (
    "(-6, -16)",
    "(2**63, 2)",
    "(9223372036854775807, 2)",
    "(4294967296, 4294967296)",
    "(1000000000,)",
    "(True, 96)",
)
SHAPES += (
    "(6.0, 16)",
    "(6, 16",
    "[6, 16]",
    "6",
    "None",
    "('6', 16)",
    f"({'1, ' * 70})",
    "(0, 10000000000000)",
    f"({'9' * 5000},)",
)


def npz_file(draw: random.Random, folder: Path) -> Path:
    """The four arrays of a data set, or the arrays of a network, in a zip file."""
    path = folder / "data.npz"
    names = ("x_train", "y_train", "x_test", "y_test")
    hurt = draw.sample(names, draw.choice((0, 1, 1, 1, 2)))
    members = {f"{name}.npy": member(draw, name, name in hurt) for name in names}
    if draw.random() < 0.3:
        spec = np.array("input(16) dense(3) softmax")
        arrays = {"net": spec, "0.W": np.zeros((16, 3), np.float32), "0.b": np.zeros(3)}
        members = {f"{name}.npy": npy(array) for name, array in arrays.items()}
        name = draw.choice(list(members))
        members[name] = damaged_npy(draw, members[name])
    if draw.random() < 0.3:
        name = draw.choice(list(members))
        kind = draw.randrange(4)
        members[draw.choice((*TEXTS[:12], name.upper(), f"../{name}", f"{name}/", "x.npy", ".npy"))] = members[name]
        if kind == 0:
            del members[name]
        elif kind == 1:
            members[name] = draw.choice((b"", draw.randbytes(200), bytes(draw.choice((*[1] * 20, 60, 150)) << 20)))
    path.write_bytes(damaged_zip(draw, zipped(draw, members)))
    return path


def member(draw: random.Random, name: str, hurt: bool) -> bytes:
    n = 6
    array: Any = (
        np.arange(n) % 3 if name[0] == "y" else np.random.default_rng(draw.randrange(99)).integers(0, 256, (n, 16))
    )
    kind = draw.randrange(6) if hurt else 5
    if kind == 0:
        values = (np.nan, np.inf, 1e300, -1.0, 0.5, 1e-320, 70000.0)
        array = array.astype(draw.choice((np.float64, np.float32)), copy=True)
        with np.errstate(over="ignore"):
            array.flat[draw.randrange(array.size)] = draw.choice(values)
    elif kind == 1:
        dtype = draw.choice((np.uint64, np.int64))
        array = array.astype(dtype)
        array.flat[draw.randrange(array.size)] = draw.choice((2**62, 65535, 65536, 2**31))
    elif kind == 2:
        array = array.astype(np.uint8)
    elif kind == 3:
        shapes = ((-1,), (array.size, 1), (1, -1), (2, -1), (-1, 1, 1), (0,))
        shape = draw.choice(shapes)
        array = np.asfortranarray(array.reshape(shape)) if 0 not in shape else array[:0]
    elif kind == 4:
        array = array.astype(draw.choice((np.float16, np.int8, bool, np.complex128, ">i4", "U5", "S3", "M8[s]")))
    found = npy(array)
    return damaged_npy(draw, found) if hurt and draw.random() < 0.5 else found


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def damaged_npy(draw: random.Random, file: bytes) -> bytes:
    """Another header before the same numbers, usually with the right length."""
    length = struct.unpack("<H", file[8:10])[0]
    header, content = file[10 : 10 + length].decode("latin-1"), file[10 + length :]
    fields = eval(header)
    descr, shape, fortran = (
        repr(fields["descr"]),
        repr(fields["shape"]),
        draw.choice(("False", "False", "True", "1", "None")),
    )
    kind = draw.randrange(6)
    if kind == 0:
        descr = draw.choice(DTYPES)
        descr = descr if descr.startswith(("[", "(")) else repr(descr)
    elif kind == 1:
        shape = draw.choice(SHAPES)
    elif kind == 2:
        content = content[: draw.randint(0, len(content))] if draw.random() < 0.5 else content + bytes(9)
    header = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"
    if kind == 3:
        header = damaged_text(draw, header)
    elif kind == 4:
        header = draw.choice(
            (
                "{}",
                "[]",
                "(" * 300,
                "{" * 90,
                "1",
                "'a'",
                "__import__('os')",
                header[:-2] + "'x': 1}",
                header + "#" * 20000,
            )
        )
    data = header.encode("utf-8", "surrogatepass")[:60000] + b"\n"
    version = draw.choice(((1, 0), (1, 0), (1, 0), (2, 0), (3, 0), (9, 9)))
    size = len(data) if kind != 5 else whole(draw)
    lead = struct.pack("<H", size % 2**16) if version == (1, 0) else struct.pack("<I", size % 2**32)
    return b"\x93NUMPY" + bytes(version) + lead + data + content


def zipped(draw: random.Random, members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    compression = draw.choice(
        (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    )
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name.replace("\ud800", "?") or "x"), content, compression)
    return file.getvalue()


def damaged_zip(draw: random.Random, file: bytes) -> bytes:
    """A zip file with changed sizes, offsets, flags and methods in its directory."""
    if draw.random() < 0.6:
        return file
    content = bytearray(file)
    signature = draw.choice((b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"))
    places = [i for i in range(len(content)) if content[i : i + 4] == signature]
    at = draw.choice(places) + draw.choice((4, 6, 8, 10, 16, 20, 24, 28, 30, 32, 42))
    width = draw.choice((1, 2, 4))
    if at + width <= len(content):
        content[at : at + width] = (whole(draw) % 256**width).to_bytes(width, "little")
    return bytes(content[: draw.randint(0, len(content))] if draw.random() < 0.1 else content)


# ---- csv ------------------------------------------------------------------------------------------------------------

FIELDS = (
    "",
    " ",
    "nan",
    "NaN",
    "inf",
    "-inf",
    "1e39",
    "1e400",
    "-0",
    "1_0",
    "0x10",
    "٣",
    "３",
    "1.5",
    "65535",
    "65536",
    "-1",
    "1e5",
)
FIELDS += (
    '"1"',
    '"',
    "'1'",
    "1;2",
    "1 2",
    "#",
    "\0",
    "\x1b[31m",
    "\u202e",
    "x" * 300,
    "1" * 5000,
    "True",
    "None",
    "1+2j",
    "é",
    "\ufeff1",
)
ENDS = ("\r\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\n\n", "")


def csv_file(draw: random.Random, folder: Path) -> Path:
    """A table with the label first, and some fields, lines or line ends changed."""
    path = folder / "data.csv"
    width, rows = draw.choice((1, 2, 5, 64)), draw.choice((1, 6, draw.randint(1, 30)))
    table = [[str(i % 3), *(str(draw.randrange(256)) for _ in range(width))] for i in range(rows)]
    if draw.random() < 0.3:
        table.insert(0, ["label", *(f"pixel{i}" for i in range(width))])
    for _ in range(draw.choice((0, 0, 1, 1, 2, 5))):
        row, kind = draw.choice(table), draw.randrange(5)
        if kind <= 2 and row:
            row[draw.randrange(len(row))] = draw.choice((*FIELDS, str(whole(draw))))
        elif kind == 3:
            row.extend([draw.choice(FIELDS)] * draw.choice((1, 3, 1000)))
        else:
            del row[draw.randrange(len(row) + 1) :]
    separator = "," if draw.random() < 0.8 else draw.choice((";", "\t", ", ", ",,"))
    end = "\n" if draw.random() < 0.7 else draw.choice(ENDS)
    text = end.join(separator.join(row) for row in table) + draw.choice(("\n", "", "\n\n", "\x1a"))
    kind = draw.randrange(40)
    if kind == 0:  # a line without an end
        text += draw.choice((",", "1", "1,", "a", " ")) * draw.choice((10**5, 10**6, 8 * 10**6))
    elif kind == 1:
        text = draw.choice(("\n", " \n", ",\n", "#\n")) * 10**5 + text
    elif kind == 2:
        text = damaged_text(draw, text)
    encoding = "utf-8" if draw.random() < 0.8 else draw.choice(("utf-8-sig", "utf-16", "latin-1", "utf-32"))
    path.write_bytes(text.encode(encoding, "replace"))
    return path
