"""ONNX models without a peer: round trips, graphs as other programs write them, and what is refused.

That onnxruntime computes the same: tests/peers/test_onnx.py.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.random_networks import SPECS, filled, inputs, texts
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import pynet

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402  # where it is not, these tests are skipped

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(0)


def back(net: pynet.Network, place: Path, **options: Any) -> pynet.Network:
    pynet.export_onnx(net, place, **options)
    return pynet.import_onnx(place)


@pytest.mark.parametrize("spec", SPECS)
def test_export_and_import_give_the_same_network(spec: str, tmp_path: Path) -> None:
    net = filled(spec)
    net.meta["note"] = "kept"
    net.classes = [f"class {i}" for i in range(net.out_shape[0] * int(np.prod(net.out_shape[1:])))]
    again = back(net, tmp_path / "net.onnx")
    assert_allclose(again.predict_proba(inputs(net)), net.predict_proba(inputs(net)), rtol=1e-6, atol=1e-6)
    assert (again.classes, again.meta["note"], again.loss_name) == (net.classes, "kept", net.loss_name)
    pixels = RNG.integers(0, 256, (3, *net.in_shape), np.uint8)
    again = back(net, tmp_path / "pixels.onnx", input="uint8")
    assert_allclose(again.predict_proba(pixels), net.predict_proba(pixels), rtol=1e-6, atol=1e-6)


@given(text=texts())
@example(text="input(2,4,5) flatten rescale")
@example(text="input(2,4,5) standardize flatten rescale")
def test_any_network_comes_back(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    net = filled(text)
    again = back(net, tmp_path_factory.getbasetemp() / "any.onnx")
    assert_allclose(again.predict_proba(inputs(net)), net.predict_proba(inputs(net)), rtol=1e-5, atol=1e-6)


def test_the_file(tmp_path: Path) -> None:
    net = filled("input(2,3,4) dense(3) softmax")
    pynet.export_onnx(net, tmp_path / "net.onnx", input="uint8", logits=True)
    model = onnx.load(tmp_path / "net.onnx")
    assert (model.ir_version, model.opset_import[0].version) == (10, 17)
    assert [node.op_type for node in model.graph.node] == ["Cast", "Div", "Flatten", "Gemm"]
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    found = {entry.key: entry.value for entry in model.metadata_props}
    assert (found["net"], json.loads(found["classes"])) == (net.spec, ["0", "1", "2"])
    with pytest.raises(ValueError, match="input is 'int8'; accepted: float32, uint8"):
        pynet.export_onnx(net, tmp_path / "no.onnx", input="int8")  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


# ---- graphs of other programs ---------------------------------------------------------------------------------------

Node = tuple[Any, ...]  # op, inputs, output, and attributes


def saved(
    place: Path, nodes: Sequence[Node], tensors: dict[str, Any], shape: Sequence[Any], kind: int = 1, opset: int = 17
) -> Path:
    """A model of these nodes, from "x" to "y"."""
    made = [
        helper.make_node(op, taken.split(), [given], name=f"the {given}", **(attributes[0] if attributes else {}))
        for op, taken, given, *attributes in nodes
    ]
    arrays = [
        numpy_helper.from_array(np.asarray(value, np.int64 if isinstance(value, list) else np.float32), name)
        for name, value in tensors.items()
    ]
    x = helper.make_tensor_value_info("x", kind, shape)
    y = helper.make_tensor_value_info("y", 1, None)
    model = helper.make_model(
        helper.make_graph(made, "g", [x], [y], arrays), opset_imports=[helper.make_opsetid("", opset)]
    )
    place.write_bytes(model.SerializeToString())
    return place


W = RNG.normal(size=(12, 3))


def test_features_in_another_order(tmp_path: Path) -> None:
    """Channels-last images, flattened so: the rows of W are sorted."""
    nodes = [
        ("Transpose", "x", "t", {"perm": [0, 2, 3, 1]}),
        ("Reshape", "t s", "f"),
        ("MatMul", "f W", "m"),
        ("Add", "m b", "y"),
    ]
    b = RNG.normal(size=3)
    net = pynet.import_onnx(saved(tmp_path / "a.onnx", nodes, {"W": W, "b": b, "s": [-1, 12]}, ["n", 3, 2, 2]))
    x = RNG.normal(size=(5, 3, 2, 2)).astype(np.float32)
    assert net.spec == "input(3,2,2) dense(3)"
    assert_allclose(net.predict_proba(x), x.transpose(0, 2, 3, 1).reshape(5, 12) @ W + b, atol=1e-5)


def test_channels_last_at_the_input(tmp_path: Path) -> None:
    nodes: list[Node] = [("Cast", "x", "c", {"to": 1}), ("Div", "c q", "d"), ("Sub", "d m", "e"), ("Div", "e v", "z")]
    nodes += [("Transpose", "z", "t", {"perm": [0, 3, 1, 2]}), ("Conv", "t K", "k"), ("Add", "k b", "y")]
    K, b, m, v = RNG.normal(size=(2, 3, 1, 1)), RNG.normal(size=(2, 1, 1)), [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
    tensors = {"K": K, "b": b, "q": 255.0, "m": np.array(m), "v": np.array(v)}
    net = pynet.import_onnx(saved(tmp_path / "a.onnx", nodes, tensors, ["n", 4, 5, 3], TensorProto.UINT8))
    assert net.spec == "input(3,4,5) standardize conv(2,1)"
    assert_allclose(net.tensors["0.mean"], m, rtol=1e-6)
    x = RNG.integers(0, 256, (2, 4, 5, 3), np.uint8)
    expected = np.einsum("nhwc,oc->nohw", (x / 255 - m) / v, K[:, :, 0, 0]) + b
    assert_allclose(net.predict_proba(np.moveaxis(x, 3, 1)), expected, atol=1e-5)


def test_shapes_that_are_computed(tmp_path: Path) -> None:
    """As PyTorch writes x.view(x.size(0), -1)."""
    nodes: list[Node] = [("Relu", "x", "r"), ("Shape", "r", "s"), ("Gather", "s zero", "n", {"axis": 0})]
    nodes += [("Unsqueeze", "n axes", "u"), ("Concat", "u rest", "to", {"axis": 0}), ("Reshape", "r to", "f")]
    nodes += [("Gemm", "f T", "y", {"transB": 1, "alpha": 2.0})]
    zero = [0]
    tensors = {"zero": zero, "axes": zero, "rest": [-1], "T": W.T}
    nodes[3] = ("Reshape", "n one", "u")
    tensors["one"] = [1]
    net = pynet.import_onnx(saved(tmp_path / "a.onnx", nodes, tensors, ["n", 3, 2, 2]))
    x = RNG.normal(size=(2, 3, 2, 2)).astype(np.float32)
    assert_allclose(net.predict_proba(x), 2 * np.maximum(x, 0).reshape(2, 12) @ W, atol=1e-5)


def test_residuals(tmp_path: Path) -> None:
    nodes: list[Node] = [("MatMul", "x A", "a"), ("Relu", "a", "r"), ("MatMul", "r B", "b"), ("Add", "x b", "s")]
    nodes += [
        ("MatMul", "s P", "p"),
        ("Add", "p c", "q"),
        ("MatMul", "s P", "i"),
        ("Tanh", "s", "t"),
        ("Gemm", "t P c", "g"),
        ("Add", "g q", "y"),
    ]
    A, B, P, c = (RNG.normal(size=shape) for shape in ((4, 5), (5, 4), (4, 3), (3,)))
    net = pynet.import_onnx(saved(tmp_path / "a.onnx", nodes, {"A": A, "B": B, "P": P, "c": c}, [1, 4]))
    assert net.spec == "input(4) residual(dense(5,bias=no) relu dense(4,bias=no)) residual(tanh dense(3))"
    x = RNG.normal(size=(6, 4)).astype(np.float32)
    s = x + np.maximum(x @ A, 0) @ B
    assert_allclose(net.predict_proba(x), np.tanh(s) @ P + c + s @ P + c, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("normed", [True, False])
def test_a_projection_with_a_norm(normed: bool, tmp_path: Path) -> None:
    """As in ResNet: the norm becomes part of the projection, its shift goes to the other branch."""
    nodes: list[Node] = [("Conv", "x P", "p", {"strides": [2, 2]}), ("BatchNormalization", "p g b m v", "q")]
    nodes += [("Conv", "x K", "k", {"pads": [1, 1, 1, 1], "strides": [2, 2]})]
    nodes += [("BatchNormalization", "k m v g v", "n")] if normed else [("Identity", "k", "n")]
    nodes += [("Add", "n q", "y")]
    P, K = RNG.normal(size=(4, 2, 1, 1)), RNG.normal(size=(4, 2, 3, 3))
    g, b, m, v = RNG.uniform(0.5, 2, (4, 4, 1, 1))
    tensors = {"P": P, "K": K, "g": g.ravel(), "b": b.ravel(), "m": m.ravel(), "v": v.ravel()}
    net = pynet.import_onnx(saved(tmp_path / "a.onnx", nodes, tensors, ["n", 2, 5, 5]))
    inside = "conv(4,3,stride=2,pad=1,bias=no) batchnorm" if normed else "conv(4,3,stride=2,pad=1)"
    assert net.spec == f"input(2,5,5) residual({inside})"
    x = RNG.normal(size=(3, 2, 5, 5)).astype(np.float32)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))[:, :, ::2, ::2]
    k = np.einsum("ncyxij,ocij->noyx", windows, K)
    if normed:
        k = m * (k - g) / np.sqrt(v + 1e-5) + v
    p = np.einsum("ncyx,oc->noyx", x[:, :, ::2, ::2], P[:, :, 0, 0])
    assert_allclose(net.predict_proba(x), k + g * (p - m) / np.sqrt(v + 1e-5) + b, rtol=1e-4, atol=1e-4)


def test_weights_beside_the_model(tmp_path: Path) -> None:
    place = saved(tmp_path / "a.onnx", [("MatMul", "x W", "y")], {"W": W}, ["n", 12])
    model = onnx.load(place)
    onnx.save(model, place, save_as_external_data=True, location="a.weights", size_threshold=0)
    assert_allclose(pynet.import_onnx(place).tensors["0.W"], W, rtol=1e-6)
    content = (tmp_path / "a.weights").read_bytes()
    (tmp_path / "a.weights").write_bytes(content[:-1])
    with pytest.raises(ValueError, match=r"'W' takes 144 bytes from 0 of 'a\.weights', which is shorter"):
        pynet.import_onnx(place)
    (tmp_path / "a.weights").unlink()
    with pytest.raises(ValueError, match=r"'W' is in 'a\.weights', which is not there"):
        pynet.import_onnx(place)


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "", "a\0b", "link"])
def test_weights_elsewhere_are_not_read(location: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_bytes(bytes(144))
    (tmp_path / "in/link").symlink_to(tmp_path / "secret")
    place = saved(tmp_path / "in/a.onnx", [("MatMul", "x W", "y")], {"W": W}, ["n", 12])
    model = onnx.load(place)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    place.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match=r"accepted: a file in the folder of the model|embedded null"):
        pynet.import_onnx(place)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([("Selu", "x", "y")], r"node 'the y' \(Selu\) is not supported"),
        ([("Relu", "x", "r"), ("Mul", "r x", "y")], r"node 'the y' \(Mul\) is not supported"),
        ([("Relu", "x", "r"), ("Add", "r x", "a"), ("Add", "a a", "y")], "no branch is the input"),
        ([("Relu", "q", "y")], r"node 'the y' \(Relu\) takes 'q', which nothing gives"),
        ([("Relu", "y", "q"), ("Relu", "q", "y")], r"node 'the q' \(Relu\) is in a circle"),
        ([("Relu", "y", "y")], "is in a circle"),
        ([("Relu", "x", "y"), ("Tanh", "x", "y")], "two nodes give 'y'"),
        ([("Relu", "x", "q")], "the output 'y' does not depend on the input"),
        ([("Conv", "x K", "y", {"dilations": [2, 2]})], "dilations"),
        ([("Conv", "x K", "y", {"group": 3})], r"node 'the y' \(Conv\) .*group 3"),
        ([("Conv", "x K", "y", {"pads": [0, 1, 0, 0]})], r"pads \[0, 1, 0, 0\]; accepted"),
        ([("Conv", "x K", "y", {"strides": [1, 2]})], r"strides \[1, 2\]"),
        ([("MaxPool", "x", "y", {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1]})], "pads"),
        ([("MaxPool", "x", "y", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1})], "cross the border"),
        ([("MaxPool", "x", "y", {"kernel_shape": [9, 9]})], "a window of 9 on an image of 4x4"),
        ([("Softmax", "x", "y", {"axis": 1})], r"node 'the y' \(Softmax\)"),
        ([("Reshape", "x far", "y")], "Reshape"),
        ([("Transpose", "x", "y", {"perm": [1, 0, 2, 3]})], r"perm \[1, 0, 2, 3\]"),
        ([("Transpose", "x", "y", {"perm": [0, 2, 1, 3]})], "transposed"),
        ([("Neg", "x", "y")], "Neg"),
        ([("Mul", "x minus", "m"), ("Relu", "m", "y")], "not scaled by positive numbers"),
        ([("Relu", "x", "r"), ("Sub", "r minus", "s"), ("Relu", "s", "y")], "accepted: right after the input"),
        ([("Relu", "x", "y", {"domain": "other"})], "an operation of 'other'"),
        ([("Conv", "x bad", "y")], "W holds nan"),
        ([("Flatten", "x", "f"), ("Gemm", "f M M", "y")], r"a bias \(48, 1\) for 1 features"),
        ([("Flatten", "x", "f"), ("Gemm", "f R column", "y")], r"a bias \(3, 1\) for 3 features"),
        ([("Cast", "K", "k", {"to": 7}), ("Conv", "x k", "y")], r"node 'the k' \(Cast\) is not supported"),
    ],
)
def test_what_is_not_supported_is_named(nodes: list[Node], message: str, tmp_path: Path) -> None:
    bad = np.full((2, 3, 1, 1), np.nan)
    tensors = {"K": np.ones((2, 3, 3, 3)), "far": [1 << 40, 1 << 40], "minus": np.float32(-1), "bad": bad}
    tensors |= {"M": np.ones((48, 1)), "R": np.ones((48, 3)), "column": np.ones((3, 1))}
    with pytest.raises(ValueError, match=message):
        pynet.import_onnx(saved(tmp_path / "a.onnx", nodes, tensors, ["n", 3, 4, 4]))


def test_a_norm_that_is_trained_is_refused(tmp_path: Path) -> None:
    """Before opset 7 that was the default."""
    tensors = dict.fromkeys("gbmv", np.ones(3))
    for mode in ({}, {"is_test": 0}):
        with pytest.raises(ValueError, match="training_mode"):
            nodes = [("BatchNormalization", "x g b m v", "y", mode)]
            pynet.import_onnx(saved(tmp_path / "a.onnx", nodes, tensors, ["n", 3], opset=6))
    nodes = [("BatchNormalization", "x g b m v", "y", {"is_test": 1})]
    assert pynet.import_onnx(saved(tmp_path / "a.onnx", nodes, tensors, ["n", 3], opset=6)).spec == "input(3) batchnorm"


@pytest.mark.parametrize(
    "shape", [["n"], ["n", "m"], [1, 1 << 20, 1 << 20], ["n", (1 << 20) + 1], ["n", 0], ["n", 1, 1, 1, 1]]
)
def test_inputs_that_are_not_accepted(shape: list[Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"input 'x' has shape .*; accepted: "):
        pynet.import_onnx(saved(tmp_path / "a.onnx", [("Relu", "x", "y")], {}, shape))


def test_tensors_larger_than_their_bytes(tmp_path: Path) -> None:
    place = saved(tmp_path / "a.onnx", [("MatMul", "x W", "y")], {"W": W}, ["n", 12])
    for dims in ([12, 1 << 40], [12, -3], [1 << 62, 1 << 62]):
        model = onnx.load(place)
        model.graph.initializer[0].dims[:] = dims
        (tmp_path / "b.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(ValueError, match="tensor 'W' has shape"):
            pynet.import_onnx(tmp_path / "b.onnx")


def test_files_that_would_take_much_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is all structure, and one that uses a tensor many times."""
    monkeypatch.setattr("pynet.formats.onnx_file.MAX_STRUCTURE", 1 << 12)
    (tmp_path / "nodes.onnx").write_bytes(b"\x3a\x80\x80\x01" + b"\x0a\x00" * (1 << 13))  # nodes of two bytes
    with pytest.raises(ValueError, match="more than 4096 bytes are not data of tensors"):
        pynet.import_onnx(tmp_path / "nodes.onnx")
    names = ["x", *(f"h{i}" for i in range(9)), "y"]
    nodes = [("MatMul", f"{a} E", b) for a, b in itertools.pairwise(names)]
    place = saved(tmp_path / "a.onnx", nodes, {"E": np.eye(8)}, ["n", 8])
    assert len(pynet.import_onnx(place).layers) == 10
    monkeypatch.setattr("pynet.formats.onnx_steps.MAX_BYTES", 9 * 256)
    with pytest.raises(ValueError, match="take more than 2304 bytes of tensors"):
        pynet.import_onnx(place)


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    for call in (pynet.import_onnx, lambda place: pynet.export_onnx(filled("input(2) dense(1)"), place)):
        with pytest.raises(ImportError, match="pip install"):
            call(tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_large_files_are_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.onnx").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ValueError, match="has 1099511627776 bytes; accepted: up to"):
        pynet.import_onnx(tmp_path / "a.onnx")


@pytest.mark.parametrize("content", [b"", b"\x89PNG", b"\xff" * 99, b"\x08\x0a", b"PK\x03\x04text"])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.onnx: not an ONNX"):
        pynet.import_onnx(tmp_path / "a.onnx")


@pytest.mark.parametrize("text", [b"marked", b"Softmax"], ids=["metadata", "operation"])
def test_texts_that_are_not_utf8_are_refused(text: bytes, tmp_path: Path) -> None:
    """protobuf gives them as bytes."""
    net = filled("input(3) dense(2) softmax")
    net.meta["a note"] = "marked"
    pynet.export_onnx(net, tmp_path / "a.onnx")
    content = (tmp_path / "a.onnx").read_bytes()
    assert text in content
    (tmp_path / "a.onnx").write_bytes(content.replace(text, b"\xff" * len(text)))
    with pytest.raises(ValueError, match=r"a\.onnx: damaged: it has names or metadata that are not UTF-8"):
        pynet.import_onnx(tmp_path / "a.onnx")


@given(data=st.data())
def test_damaged_files_raise_nothing_else(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.getbasetemp() / "damaged.onnx"
    pynet.export_onnx(filled(data.draw(st.sampled_from(SPECS))), place)
    content = bytearray(place.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    place.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    try:
        net = pynet.import_onnx(place)
    except ValueError as error:
        assert str(error)
    else:
        assert all(np.isfinite(tensor).all() for tensor in net.tensors.values())


def test_an_exported_model_is_what_it_was(tmp_path: Path) -> None:
    """The same bytes each time, so that an export can be compared with another."""
    net = filled(SPECS[1])
    for name in ("a.onnx", "b.onnx"):
        pynet.export_onnx(net, tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert_array_equal(pynet.import_onnx(tmp_path / "a.onnx").tensors["0.mean"], net.tensors["0.mean"])
