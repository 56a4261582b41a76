"""Model files as bytes, for tests that inspect or damage them."""

from __future__ import annotations

import json
import os
import struct
import tempfile
from pathlib import Path

import numpy as np

import pynet

TEXT = "input(3) dense(2) relu dense(2) softmax"


SHAPES = {"0.W": (3, 2), "0.b": (2,), "2.W": (2, 2), "2.b": (2,)}


DATA = np.arange(14, dtype=np.float32).tobytes()


def make_net(text: str = TEXT, seed: int = 0) -> pynet.Network:
    return pynet.Network(text, seed=seed)


def bits(net: pynet.Network) -> dict[str, bytes]:
    return {name: view.tobytes() for name, view in net.tensors.items()}


def make_header() -> dict:
    """The header of a model file of the network TEXT, as a dictionary."""
    header: dict = {"__metadata__": {"pynet": TEXT, "pynet.seed": "7", "colour": "blue"}}
    at = 0
    for name, shape in SHAPES.items():
        end = at + 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, end]}
        at = end
    return header


def file_bytes(header: dict | str | bytes, data: bytes = DATA, length: int | None = None) -> bytes:
    text = json.dumps(header) if isinstance(header, dict) else header
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def load_bytes(content: bytes) -> pynet.Network:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.safetensors")
        path.write_bytes(content)
        return pynet.load(path)


def save_bytes(net: pynet.Network) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.safetensors")
        net.save(path)
        assert os.listdir(folder) == [path.name]
        return path.read_bytes()
