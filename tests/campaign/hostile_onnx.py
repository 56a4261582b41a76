"""Hostile ONNX models: exported networks, of which a node, a name, a size, an attribute or some bytes are damaged."""

from __future__ import annotations

import random
from pathlib import Path

import onnx
from damage import TEXTS, whole
from networks import random_network

import pynet

SIZES = (0, 1, -1, 2, 2**31, 2**62, -(2**63), 2**63 - 1)
OPS = ("Gemm", "Conv", "Relu", "Add", "Reshape", "Softmax", "MaxPool", "Identity", "Loop", "If", "Constant", "")


def onnx_file(draw: random.Random, folder: Path) -> Path:
    """The file of a random network that can be exported, sometimes undamaged."""
    path = folder / "data.onnx"
    while True:
        net = pynet.Network(random_network(draw)[0], seed=1)
        try:
            pynet.export_onnx(net, path)
            break
        except ValueError:
            continue
    model = onnx.load(path)
    for _ in range(draw.choice((0, 1, 1, 2, 5))):
        _damage(draw, model)
    content = model.SerializeToString()
    if draw.random() < 0.2:
        content = _damaged_bytes(draw, content)
    path.write_bytes(content)
    return path


def _damage(draw: random.Random, model: onnx.ModelProto) -> None:
    graph, kind = model.graph, draw.randrange(8)
    node = draw.choice(graph.node) if graph.node else onnx.NodeProto()
    constant = draw.choice(graph.initializer) if graph.initializer else onnx.TensorProto()
    names = [name for one in graph.node for name in (*one.input, *one.output)] or [""]
    if kind == 0:  # other wires, cycles among them
        wires = draw.choice((node.input, node.output))
        if wires:
            wires[draw.randrange(len(wires))] = draw.choice((*names, *TEXTS)).encode("utf-8", "ignore").decode()
    elif kind == 1:
        node.op_type = draw.choice(OPS)
    elif kind == 2 and node.attribute:
        _damage_attribute(draw, draw.choice(node.attribute))
    elif kind == 3 and constant.dims:
        constant.dims[draw.randrange(len(constant.dims))] = _size(draw)
    elif kind == 4:
        constant.data_type = draw.randrange(18)
    elif kind == 5:
        constant.raw_data = draw.choice((b"", constant.raw_data[:-1], b"\xff" * len(constant.raw_data), bytes(10)))
    elif kind == 6:
        graph.node.add().CopyFrom(node)
    else:
        for one in (*graph.input, *graph.output):
            for axis in one.type.tensor_type.shape.dim:
                if draw.random() < 0.3:
                    axis.dim_value = _size(draw)


def _damage_attribute(draw: random.Random, attribute: onnx.AttributeProto) -> None:
    if attribute.ints:
        attribute.ints[draw.randrange(len(attribute.ints))] = _size(draw)
    elif draw.random() < 0.3:
        attribute.type = draw.randrange(1, 11)
    else:
        attribute.i, attribute.f = _size(draw), draw.choice((0.0, -1.0, 1e38, float("nan"), float("inf")))


def _size(draw: random.Random) -> int:
    return max(min(draw.choice((*SIZES, whole(draw))), 2**63 - 1), -(2**63))


def _damaged_bytes(draw: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 3, 20))):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed[: draw.randint(0, len(changed))] if draw.random() < 0.2 else changed)
