"""Model files made to exhaust memory are refused with little memory."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.memory import MB, REFUSED, taken

import pynet

LONGEST = 32 << 20  # bytes of a header
LOAD = """
import pynet

def load(path):
    try:
        print(pynet.load(path).spec)
    except (OSError, ValueError) as error:
        print(error)

load("/dev/null")
"""


def repeated(piece: str, size: int) -> Iterator[bytes]:
    """The numbered piece again and again, up to this many bytes."""
    number, pieces, left = 0, "", size
    while left > 0:
        pieces = "".join(piece % i for i in range(number, number + 10_000))[:left]
        number, left = number + 10_000, left - len(pieces)
        yield pieces.encode()


@pytest.mark.parametrize(
    ("piece", "message"),
    [
        ('"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},', "more than 131072 tensors"),
        ('"":{"data_offsets":[0,%d]},', "lacks dtype, shape or data_offsets"),
        ("%7d      ", "expected '\"'"),
    ],
)
def test_the_longest_header(tmp_path: Path, piece: str, message: str) -> None:
    path = tmp_path / "m.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", LONGEST) + b"{")
        file.writelines(repeated(piece, LONGEST - 1))
    printed, memory = taken(LOAD, f"load({str(path)!r})")
    assert message in printed.rpartition("\n")[2]
    assert memory < REFUSED


def test_a_longer_header_is_not_read(tmp_path: Path) -> None:
    path, size = tmp_path / "m.safetensors", 99 * MB
    with path.open("wb") as file:
        file.write(struct.pack("<Q", size) + b"{")
        file.truncate(8 + size)
    printed, memory = taken(LOAD, f"load({str(path)!r})")
    assert "at most 33554432 are allowed" in printed.rpartition("\n")[2]
    assert memory < REFUSED


def test_a_long_header_of_notes(tmp_path: Path) -> None:
    path, notes = tmp_path / "m.safetensors", ",".join(f'"{i}":"{"x" * 7000}"' for i in range(4090))
    header = f'{{"__metadata__":{{"pynet":"input(3) dense(2)",{notes}}}}}'.encode()
    assert 0.8 * LONGEST < len(header) < LONGEST
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    printed, memory = taken(LOAD, f"load({str(path)!r})")
    assert printed.endswith("tensor 0.W is missing")
    assert memory < REFUSED


def test_the_longest_text_and_notes_are_saved_and_loaded(tmp_path: Path) -> None:
    net = pynet.Network("input(1) " + "batchnorm " * 6500 + "dense(1)")
    net.meta["history"] = "x" * (24 * 1024 * 1024 - 100)
    net.save(tmp_path / "m.safetensors")
    loaded = pynet.load(tmp_path / "m.safetensors")
    assert loaded.weights_sha256() == net.weights_sha256()
    assert dict(loaded.meta) == dict(net.meta)
    with pytest.raises(ValueError, match="notes"):
        net.meta["more"] = "x" * 1000


@pytest.mark.parametrize("layer", ["batchnorm", "dense(1)", "layernorm", "residual(dense(1))"])
def test_a_checkpoint_has_fewer_tensors_than_are_accepted(tmp_path: Path, layer: str) -> None:
    """At most two tensors for each byte of the text, with the shortest words and the largest optimizer state."""
    words, path = "input(1) " + f"{layer} " * 200 + "dense(1)", tmp_path / "c.safetensors"
    stopping = pynet.EarlyStopping(monitor="loss", restore_best=True)
    net = pynet.Network(words)
    net.fit(
        np.eye(2)[:, :1],
        [[1.0], [0.0]],
        epochs=1,
        optimizer=pynet.Adam(1e-9),
        early_stopping=stopping,
        checkpoint=pynet.Checkpoint(path),
    )
    assert 4 * 200 < path.read_bytes().count(b'"dtype"') < 2 * len(words)
