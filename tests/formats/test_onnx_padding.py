"""Padding in ONNX models, of convolutions, pools and Pad nodes, as the reference of the onnx package computes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import pynet

onnx = pytest.importorskip("onnx")
from onnx import helper, numpy_helper  # noqa: E402  # where it is not, these tests are skipped
from onnx.reference import ReferenceEvaluator  # noqa: E402

RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(4, 2, 3, 3)).astype(np.float32)

Node = tuple[Any, ...]  # op, inputs, output, and attributes


def saved(place: Path, nodes: Sequence[Node], opset: int = 17, **lists: Sequence[float]) -> Path:
    """A model from "x" (n, 2, 7, 6) to "y"; `lists` of whole numbers are int64."""
    made = [
        helper.make_node(op, taken.split(), [to], name=f"the {to}", **dict(*more)) for op, taken, to, *more in nodes
    ]
    arrays: dict[str, Any] = {"K": KERNEL, "zero": np.float32(0), "one": np.float32(1)}
    arrays |= {name: np.array(values, np.int64) for name, values in lists.items()}
    values = [helper.make_tensor_value_info(name, 1, shape) for name, shape in (("x", ["n", 2, 7, 6]), ("y", None))]
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    model = helper.make_model(
        helper.make_graph(made, "g", values[:1], values[1:], tensors), opset_imports=[helper.make_opsetid("", opset)]
    )
    place.write_bytes(model.SerializeToString())
    return place


BOTH = [0, 0, 1, 1, 0, 0, 1, 1]
POOL = {"kernel_shape": [3, 3], "strides": [2, 2]}


@pytest.mark.parametrize(
    ("nodes", "lists", "text"),
    [
        ([("Pad", "x p", "a"), ("Conv", "a K", "y")], {"p": BOTH}, "conv(4,3,pad=1,bias=no)"),
        (
            [("Pad", "x p zero", "a"), ("Identity", "a", "b"), ("Conv", "b K", "y", {"pads": [1, 1, 1, 1]})],
            {"p": BOTH},
            "conv(4,3,pad=2,bias=no)",
        ),
        (
            [("Pad", "x p", "a"), ("Conv", "a K", "y", {"strides": [2, 2]})],
            {"p": [0, 0, 1, 0, 0, 0, 1, 1]},
            "conv(4,3,stride=2,pad=same,bias=no)",
        ),
        (
            [("Pad", "x p", "a"), ("Conv", "a K", "y", {"auto_pad": "SAME_UPPER"})],
            {"p": [0] * 8},
            "conv(4,3,pad=1,bias=no)",
        ),
        (
            [("Pad", "x p", "a"), ("MaxPool", "a", "y", POOL)],
            {"p": BOTH},
            "conv(2,1,pad=1,bias=no) maxpool(3,stride=2)",
        ),
        (
            [("Relu", "x", "r"), ("MaxPool", "r", "y", {**POOL, "pads": [1, 1, 1, 1]})],
            {},
            "relu conv(2,1,pad=1,bias=no) maxpool(3,stride=2)",
        ),
        (
            [("Sigmoid", "x", "s"), ("Pad", "s p", "a"), ("MaxPool", "a", "y", {**POOL, "pads": [1, 1, 1, 1]})],
            {"p": BOTH},
            "sigmoid conv(2,1,pad=2,bias=no) maxpool(3,stride=2)",
        ),
        (
            [("AveragePool", "x", "y", {**POOL, "pads": [1, 1, 1, 1], "count_include_pad": 1})],
            {},
            "conv(2,1,pad=1,bias=no) avgpool(3,stride=2)",
        ),
        (
            [("Relu", "x", "r"), ("MaxPool", "r", "y", {"kernel_shape": [3, 3], "auto_pad": "SAME_LOWER"})],
            {},
            "relu conv(2,1,pad=1,bias=no) maxpool(3,stride=1)",
        ),
    ],
)
def test_it_becomes_that_of_convolutions(nodes: list[Node], lists: Any, text: str, tmp_path: Path) -> None:
    place = saved(tmp_path / "a.onnx", nodes, **lists)
    net = pynet.import_onnx(place)
    assert net.spec == f"input(2,7,6) {text}"
    x = RNG.normal(size=(3, 2, 7, 6)).astype(np.float32)
    [expected] = ReferenceEvaluator(str(place)).run(None, {"x": x})
    assert_allclose(net.predict_proba(x), expected, rtol=1e-5, atol=1e-5)


def test_pads_of_other_opsets(tmp_path: Path) -> None:
    """An attribute before 11, with axes since 18."""
    before = [("Pad", "x", "a", {"pads": BOTH}), ("Conv", "a K", "y")]
    since = [("Pad", "x p zero axes", "a"), ("Conv", "a K", "y")]
    for nodes, opset, lists in ((before, 10, {}), (since, 18, {"p": [1, 1, 1, 1], "axes": [-1, 2]})):
        net = pynet.import_onnx(saved(tmp_path / "a.onnx", nodes, opset, **lists))
        assert net.spec == "input(2,7,6) conv(4,3,pad=1,bias=no)"


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([("Pad", "x p", "a", {"mode": "reflect"}), ("Conv", "a K", "y")], r"\(Pad\) is not supported: mode reflect"),
        ([("Pad", "x p one", "a"), ("Conv", "a K", "y")], "value 1.0; accepted: zeros"),
        ([("Pad", "x channels", "a"), ("Conv", "a K", "y")], "of the height and width of images"),
        ([("Pad", "x cut", "a"), ("Conv", "a K", "y")], "of the height and width of images"),
        ([("Pad", "x short", "a"), ("Conv", "a K", "y")], "damaged"),
        ([("Pad", "x long", "a"), ("Conv", "a K", "y")], "of the height and width of images"),
        ([("Flatten", "x", "f"), ("Pad", "f p", "y")], r"its input has shape \(84,\) a sample"),
        ([("Pad", "x p", "a"), ("Relu", "a", "y")], r"'the a' \(Pad\) is not supported: accepted right before Conv"),
        ([("Pad", "x p", "y")], "accepted right before Conv"),
        ([("Pad", "x p", "a"), ("Mul", "a one", "y")], "accepted right before Conv"),
        ([("Pad", "x p", "a"), ("Relu", "a", "b"), ("Add", "a b", "y")], "accepted right before Conv"),
        (
            [("Pad", "x odd", "a"), ("Conv", "a K", "y")],
            r"pads \[2, 0, 0, 0\]; accepted: equal ones, or \[1, ",
        ),
        ([("Pad", "x odd", "a"), ("MaxPool", "a", "y", POOL)], r"pads \[2, 0, 0, 0\]; accepted: none or, after relu"),
        ([("MaxPool", "x", "y", {**POOL, "pads": [1, 1, 1, 1]})], "accepted: none or, after relu, sigmoid or softmax"),
        (
            [("AveragePool", "x", "y", {**POOL, "pads": [1] * 4})],
            "accepted: none or, with count_include_pad",
        ),
        ([("Pad", "x huge", "a"), ("Conv", "a K", "y")], "accepted: at most 16777216 numbers a sample"),
    ],
)
def test_other_padding_is_refused_by_name(nodes: list[Node], message: str, tmp_path: Path) -> None:
    lists = {"p": BOTH, "channels": [0, 1, 0, 0, 0, 0, 0, 0], "cut": [0, 0, -1, 0, 0, 0, 0, 0], "short": [0, 0, 1]}
    lists |= {"long": [0, 0, 1, 1] * 3, "odd": [0, 0, 2, 0, 0, 0, 0, 0], "huge": [0, 0, *[1 << 40] * 2] * 2}
    with pytest.raises(ValueError, match=message):
        pynet.import_onnx(saved(tmp_path / "a.onnx", nodes, **lists))


def test_many_padded_pools_take_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [("Relu", "x", "h0")]
    nodes += [("MaxPool", f"h{i}", f"h{i + 1}", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}) for i in range(9)]
    place = saved(tmp_path / "a.onnx", [*nodes, ("Relu", "h9", "y")])
    assert len(pynet.import_onnx(place).layers) == 1 + 18 + 1
    monkeypatch.setattr("pynet.formats.onnx_steps.MAX_BYTES", 9 * 32 - 1)
    with pytest.raises(ValueError, match="take more than 287 bytes of tensors"):
        pynet.import_onnx(place)
