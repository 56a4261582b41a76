"""Tensors of safetensors files of other programs. Model files of pynet itself are read and written by the core.

The format: the header's length in 8 bytes, little-endian; the header, a JSON object with dtype, shape and place of
each tensor, and texts under "__metadata__"; the bytes of the tensors. https://github.com/huggingface/safetensors
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pynet._ffi import Array
from pynet.errors import DataError
from pynet.files import replacing
from pynet.text import parsed_json

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "U8": "u1"}
MAX_HEADER = 1 << 24  # bytes
LENGTH = 8  # bytes of the header's length
METADATA = "__metadata__"


def read_tensors(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """The tensors of a file by name, and the texts of its metadata.

    Sizes are checked before memory is allocated. DataError: the file is damaged, or has a tensor of another dtype.
    OSError: it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH), "little")
        if not 2 <= length <= min(MAX_HEADER, size - LENGTH):
            raise DataError(f"{path}: not a safetensors file: its header would take {length} of {size} bytes")
        header = _header(file.read(length), path)
        found = header.pop(METADATA, {})
        metadata = {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}
        tensors = {}
        used = 0
        for name, entry in header.items():
            dtype, shape, begin, end = _entry(name, entry, size - LENGTH - length, path)
            used += end - begin
            if used > size:
                raise DataError(f"{path}: its tensors overlap")
            file.seek(LENGTH + length + begin)
            values = np.frombuffer(file.read(end - begin), DTYPES[dtype]).reshape(shape)
            tensors[name] = (values.astype("<u4") << 16).view("<f4") if dtype == "BF16" else values
    return tensors, metadata


def _header(content: bytes, path: Path) -> dict[str, Any]:
    try:
        header = parsed_json(content.decode())
    except ValueError as error:
        raise DataError(f"{path}: not a safetensors file, or damaged: {error}") from None
    if not isinstance(header, dict):
        raise DataError(f"{path}: not a safetensors file: its header is no JSON object")
    return header


def _entry(name: str, entry: Any, size: int, path: Path) -> tuple[str, tuple[int, ...], int, int]:
    """dtype, shape, begin and end of a tensor, checked against the `size` bytes that the tensors have together."""
    try:
        dtype, shape = str(entry["dtype"]), tuple(entry["shape"])
        begin, end = entry["data_offsets"]
    except (KeyError, TypeError, ValueError):
        raise DataError(f"{path}: {name!r:.80} has no dtype, shape and data_offsets") from None
    if dtype not in DTYPES:
        raise DataError(f"{path}: {name!r:.80} has dtype {dtype:.20}; accepted: {', '.join(DTYPES)}")
    numbers = (*shape, begin, end)
    if len(shape) > 8 or not all(type(number) is int and 0 <= number <= size for number in numbers):
        raise DataError(f"{path}: {name!r:.80} has shape {shape!s:.80} at bytes {begin!s:.20} to {end!s:.20} of {size}")
    if end - begin != math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize:
        raise DataError(f"{path}: {name!r:.80} of {dtype} and shape {shape} has {end - begin} bytes")
    return dtype, shape, begin, end


def write_tensors(path: str | os.PathLike[str], tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Writes float32 tensors and texts to a file, whole or not at all. OSError: it cannot be written."""
    header: dict[str, Any] = {METADATA: dict(metadata)}
    place = 0
    for name, tensor in tensors.items():
        end = place + 4 * tensor.size
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [place, end]}
        place = end
    content = json.dumps(header).encode()
    content += b" " * (-len(content) % 8)  # tensors are aligned
    with replacing(path) as file:
        file.write(len(content).to_bytes(LENGTH, "little") + content)
        for tensor in tensors.values():
            file.write(np.ascontiguousarray(tensor, "<f4").tobytes())
