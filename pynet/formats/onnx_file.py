"""An ONNX file as nodes in an order of computation, and constants as arrays. Nothing in it is trusted.

Sizes are checked against the bytes that there are, before memory is allocated; weight files lie in the folder of the
model, and of them only the bytes of a tensor are read.
"""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from pynet._ffi import Array
from pynet.errors import DataError

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

MAX_BYTES = 1 << 28  # of the model, and of all tensors together
MAX_STRUCTURE = 1 << 22  # bytes that are not the data of tensors
MAX_INPUTS = 1 << 20  # numbers in a sample: a few arrays of that size are made before tensors are checked
MAX_NODES = 2000
MAX_RANK = 8
# Element types by their number in onnx.proto: the field that has the values if raw_data has not, and NumPy's dtype.
ELEMENTS = {
    1: ("float_data", "<f4"),
    2: ("int32_data", "u1"),
    3: ("int32_data", "i1"),
    6: ("int32_data", "<i4"),
    7: ("int64_data", "<i8"),
    9: ("int32_data", "?"),
    10: ("int32_data", "<f2"),
    11: ("double_data", "<f8"),
}
FLOATS, UINT8 = (1, 10, 11), 2
VALUE = {"value_float": "f", "value_int": "i", "value_floats": "floats", "value_ints": "ints"}


def described(node: NodeProto) -> str:
    """A node in messages: its name, or that of its output, and its op."""
    name = node.name or (node.output[0] if node.output else "")
    return f"node {name[:80]!r} ({node.op_type[:40]})"


def attributes(node: NodeProto) -> dict[str, Any]:
    """The attributes of a node by name: numbers, texts as bytes, lists, tensors."""
    from onnx import helper

    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


@dataclass
class OnnxFile:
    """A model of one input and one output.

    nodes: each after those it depends on; shape: of the input without the batch, which is batch, 0 if it may vary.
    """

    path: Path
    nodes: list[NodeProto]
    tensors: dict[str, TensorProto]
    input: str
    shape: tuple[int, ...]
    batch: int
    is_bytes: bool
    output: str
    opset: int
    metadata: dict[str, str]
    producer: str

    def tensor(self, tensor: TensorProto) -> Array:
        """The values of a tensor of the file. DataError: damaged, or of an element type that is not accepted."""
        name, shape = f"{self.path}: tensor {tensor.name[:80]!r}", tuple(tensor.dims)
        if tensor.data_type not in ELEMENTS:
            raise DataError(f"{name} has element type {tensor.data_type}; accepted: {', '.join(map(str, ELEMENTS))}")
        field, dtype = ELEMENTS[tensor.data_type]
        if len(shape) > MAX_RANK or min(shape, default=0) < 0:
            raise DataError(f"{name} has shape {shape!s:.80}")
        count, size = math.prod(shape), np.dtype(dtype).itemsize
        if tensor.data_location == tensor.EXTERNAL:
            return np.frombuffer(self._beside(tensor, name, count * size), dtype).reshape(shape)
        if tensor.HasField("raw_data"):
            if len(tensor.raw_data) != count * size:
                raise DataError(f"{name} has shape {shape} and {len(tensor.raw_data)} bytes; accepted: {count * size}")
            return np.frombuffer(tensor.raw_data, dtype).reshape(shape)
        values = getattr(tensor, field)
        if len(values) != count:
            raise DataError(f"{name} has shape {shape} and {len(values)} values; accepted: {count}")
        array = np.array(values)
        found: Array = array.astype("<u2").view("<f2") if dtype == "<f2" else array.astype(dtype)
        return found.reshape(shape)

    def _beside(self, tensor: TensorProto, name: str, size: int) -> bytes:
        """The bytes of a tensor in a weight file."""
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location, offset, length = (entries.get(key, default) for key, default in _EXTERNAL)
        if not (offset.isdecimal() and len(offset) < 16) or length not in ("", str(size)) or size > MAX_BYTES:
            raise DataError(
                f"{name} has {length or size!s:.40} bytes from {offset:.40} of {location!r:.80}; it takes {size}"
            )
        folder = os.path.realpath(self.path.parent)
        place = os.path.realpath(os.path.join(folder, location))
        if "\0" in location or not location or os.path.commonpath([folder, place]) != folder:
            raise DataError(f"{name} is in {location!r:.80}; accepted: a file in the folder of the model")
        try:
            if not os.path.isfile(place):
                raise DataError(f"{name} is in {location!r:.80}, which is not there")
            with open(place, "rb") as file:
                file.seek(int(offset))
                content = file.read(size)
        except OSError as error:
            raise DataError(f"{name} is in {location!r:.80}: {error.strerror}") from None
        if len(content) != size:
            raise DataError(f"{name} takes {size} bytes from {offset} of {location!r:.80}, which is shorter")
        return content


_EXTERNAL = (("location", ""), ("offset", "0"), ("length", ""))


# Where large data may be: fields of protobuf messages by number, and the messages in them. See onnx.proto.
_DATA = 0
_TENSOR = {4: _DATA, 9: _DATA, 10: _DATA}  # float_data, raw_data, double_data
_NODE = {5: {5: _TENSOR}}  # attribute, t
_MODEL = {7: {1: _NODE, 5: _TENSOR}}  # graph, node, initializer


def _structure(content: memoryview, fields: Any, limit: int) -> int:
    """The number of bytes of a message that are not the data of tensors, or about limit if there are more.

    A parser may need a hundred times the memory of such bytes. What is no message counts as a whole.
    """
    counted = place = 0
    while place < len(content) and counted <= limit:
        start = place
        key, place = _varint(content, place)
        kind, inside = key & 7, fields.get(key >> 3)
        if kind != 2:  # a number: of any length, 8 or 4 bytes
            place = _varint(content, place)[1] if kind == 0 else place + (8 if kind == 1 else 4)
            counted += place - start
            continue
        length, place = _varint(content, place)
        counted += place - start
        if inside is None:
            counted += length
        elif inside != _DATA:
            counted += _structure(content[place : place + length], inside, limit - counted)
        place += length
    return counted


def _varint(content: memoryview, place: int) -> tuple[int, int]:
    """A number in as many bytes as have their highest bit set, and one more; and the place behind it."""
    value = shift = 0
    while place < len(content) and shift < 64:
        byte = content[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            break
    return value, place


def read_onnx(path: Path) -> OnnxFile:
    """The model in a file. DataError: damaged, too large, of several inputs or outputs. OSError: it cannot be read."""
    onnx = onnx_package()
    if (size := path.stat().st_size) > MAX_BYTES:
        raise DataError(f"{path}: has {size} bytes; accepted: up to {MAX_BYTES}")
    model, content = onnx.ModelProto(), path.read_bytes()
    if _structure(memoryview(content), _MODEL, MAX_STRUCTURE) > MAX_STRUCTURE:
        raise DataError(
            f"{path}: not an ONNX file, or damaged: more than {MAX_STRUCTURE} bytes are not data of tensors"
        )
    try:
        model.ParseFromString(content)
    except Exception as error:  # DecodeError, or what else a version of protobuf raises
        if isinstance(error, OSError):
            raise
        raise DataError(f"{path}: not an ONNX file, or damaged: {error}") from None
    graph = model.graph
    if not graph.node or len(graph.node) > MAX_NODES:
        raise DataError(
            f"{path}: not an ONNX model, or damaged: it has {len(graph.node)} nodes; accepted: 1 to {MAX_NODES}"
        )
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    names = [one.name for one in (*graph.initializer, *graph.input, *graph.output, *graph.node)]
    names += [name for node in graph.node for name in (node.op_type, *node.input, *node.output)]
    if not all(isinstance(text, str) for text in (*names, *metadata, *metadata.values())):  # protobuf: bytes
        raise DataError(f"{path}: damaged: it has names or metadata that are not UTF-8")
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in tensors]
    for which, values in (("inputs", inputs), ("outputs", graph.output)):
        if len(values) != 1:
            shown = ", ".join(value.name[:40] for value in values[:5])
            raise DataError(f"{path}: has {len(values)} {which}: {shown}; accepted: one")
    kind, batch, shape = _input(inputs[0], path)
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    return OnnxFile(
        path,
        _ordered(list(graph.node), {*tensors, inputs[0].name, ""}, path),
        tensors,
        inputs[0].name,
        shape,
        batch,
        kind == UINT8,
        graph.output[0].name,
        versions[0] if versions else 1,
        metadata,
        model.producer_name,
    )


def _input(value: Any, path: Path) -> tuple[int, int, tuple[int, ...]]:
    """Element type, batch (0: any) and shape of the input."""
    kind, dims = value.type.tensor_type.elem_type, value.type.tensor_type.shape.dim
    sizes = [dim.dim_value if dim.HasField("dim_value") else 0 for dim in dims]
    name = f"{path}: input {value.name[:40]!r}"
    if kind not in (*FLOATS, UINT8):
        raise DataError(f"{name} has element type {kind}; accepted: floats and uint8")
    if len(sizes) not in (2, 3, 4) or min(sizes[1:]) < 1:
        shown = ", ".join(str(size or "?") for size in sizes[:8])
        raise DataError(f"{name} has shape ({shown}); accepted: (n, features) or (n, channels, height, width)")
    if math.prod(sizes[1:]) > MAX_INPUTS:
        raise DataError(f"{name} has shape {tuple(sizes)}; accepted: up to {MAX_INPUTS:,} numbers for a sample")
    shape = tuple(sizes[1:])
    return kind, max(sizes[0], 0), (1, *shape) if len(shape) == 2 else shape


def _ordered(nodes: list[NodeProto], known: set[str], path: Path) -> list[NodeProto]:
    """The nodes, each after those whose outputs it takes. DataError: there is a circle, or something is missing."""
    given = [name for node in nodes for name in node.output if name]
    if len(set(given)) != len(given) or known & set(given):
        twice = next(name for name in given if given.count(name) > 1 or name in known)
        raise DataError(f"{path}: two nodes give {twice[:80]!r}")
    for node in nodes:
        if missing := set(node.input) - known - set(given):
            raise DataError(f"{path}: {described(node)} takes {min(missing)[:80]!r}, which nothing gives")
    found, left, known = [], nodes, set(known)
    while left:
        later = []
        for node in left:
            if known.issuperset(node.input):
                found.append(node)
                known.update(node.output)
            else:
                later.append(node)
        if len(later) == len(left):
            raise DataError(f"{path}: {described(left[0])} is in a circle, or depends on one")
        left = later
    return found


class MissingOnnx(ImportError, ValueError):
    """The onnx package is not installed."""


def onnx_package() -> ModuleType:
    """The package. MissingOnnx: it is not installed, with the command that installs it."""
    try:
        import onnx
        import onnx.checker
        import onnx.external_data_helper
        import onnx.numpy_helper
    except ImportError:
        raise MissingOnnx(
            f"ONNX files need the onnx package; this installs it: {sys.executable} -m pip install onnx"
        ) from None
    return onnx
