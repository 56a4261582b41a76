"""The steps of an ONNX model as layers of pynet.

An ONNX model may reshape and transpose between its layers; pynet flattens images channel by channel and no other way.
So `order` has, for each number of a value of the model, its place in the flat output of pynet's layer. Reshape and
Transpose act on it alone, and a dense layer then sorts the rows of its weights by it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from pynet._ffi import Array
from pynet.errors import DataError
from pynet.formats import onnx_padding
from pynet.formats.onnx_file import FLOATS, attributes
from pynet.formats.onnx_padding import Padding
from pynet.formats.onnx_steps import Gelu, Residual, Step, Steps, axes_of, reshaped

if TYPE_CHECKING:
    from onnx import NodeProto

MAX_FEATURES = 1 << 24  # of a value
AFFINE = ("Add", "Sub", "Mul", "Div", "Sum")
PADDED = ("Conv", "MaxPool", "AveragePool")
ACTIVATIONS = {"Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh"}


@dataclass
class Layer:
    """A word with its tensors; a residual has layers inside and perhaps a projection.

    stride: of a conv; eps: of a batchnorm; copies: whether a conv only pads.
    """

    word: str
    tensors: dict[str, Array] = field(default_factory=dict)
    inside: list[Layer] = field(default_factory=list)
    skip: Layer | None = None
    stride: int = 1
    eps: float = 0.0
    copies: bool = False

    def scale(self, a: Array | float, b: Array) -> None:
        """Changes the weights so that the output y, of a dense or conv, becomes a y + b."""
        if "b" not in self.tensors and b.any():
            self.word = self.word.replace(",bias=no", "")
            self.tensors["b"] = np.zeros_like(b, np.float64)
        self.tensors["W"] = self.tensors["W"] * a
        if "b" in self.tensors:
            self.tensors["b"] = self.tensors["b"] * a + b


def text_of(layers: Sequence[Layer]) -> str:
    """The text of these layers."""
    return " ".join(f"residual({text_of(one.inside)})" if one.inside else one.word for one in layers)


def natural(shape: tuple[int, ...]) -> Array:
    """The order of a value that is as pynet has it."""
    return np.arange(math.prod(shape), dtype=np.int32).reshape(shape)


class Translation:
    """The layers so far; shape: of the last one's output in pynet; order: see above."""

    def __init__(self, steps: Steps, shape: tuple[int, ...], order: Array, nested: bool) -> None:
        self.steps, self.nested = steps, nested
        self.input = self.shape = shape
        self.order = order
        self.layers: list[Layer] = []
        self.padding = Padding()  # of the value
        self.padded_by: NodeProto | None = None
        self.factor, self.offset = np.ones(order.size), np.zeros(order.size)  # of the input, before the first layer

    @classmethod
    def of_input(cls, steps: Steps) -> Translation:
        """The whole model."""
        file, found = steps.file, steps.all()
        first = next((one for one in found if not _is(one, *AFFINE, "Cast", "Identity")), None)
        shape, order = file.shape, natural(file.shape)
        if _is(first, "Transpose") and attributes(first).get("perm") == [0, 3, 1, 2]:
            shape = (file.shape[2], *file.shape[:2])
            order = natural(shape).transpose(1, 2, 0)
        self = cls(steps, shape, order, nested=False)
        if file.is_bytes:
            self.factor *= 255  # bytes mean x / 255 in pynet
        self._run(found)
        self._flush()
        self._in_order(found[-1].node if isinstance(found[-1], (Residual, Gelu)) else found[-1])
        return self

    def _run(self, steps: list[Step]) -> None:
        last = len(steps)
        while not self.nested and last and _is(steps[last - 1], *AFFINE):
            last -= 1
        scaled = next((i for i in range(last, len(steps)) if _is(steps[i], "Mul", "Div")), len(steps))
        for i, step in enumerate(steps):
            node = step.node if isinstance(step, (Residual, Gelu)) else step
            self._check_padding(_is(step, *PADDED, "Pad", "Identity"))
            if isinstance(step, Residual):
                self._residual(step)
            elif isinstance(step, Gelu):
                self._elementwise("gelu")
            elif i >= scaled and self._rescale([one for one in steps[i:] if _is(one, *AFFINE)]):
                return
            else:
                self._translate(node)
            self.steps.shapes[node.output[0]] = self.padding.padded(self.order.shape)
        self._check_padding(False)

    def _check_padding(self, accepted_next: bool) -> None:
        if self.padded_by is not None and any(self.padding) and not accepted_next:
            raise self.steps.unsupported(self.padded_by, "accepted right before Conv, MaxPool or AveragePool")

    def _translate(self, node: NodeProto) -> None:
        if node.domain not in ("", "ai.onnx"):
            raise self.steps.unsupported(node, f"an operation of {node.domain[:40]!r}")
        op, given = node.op_type, attributes(node)
        if op in ACTIVATIONS:
            self._elementwise(ACTIVATIONS[op])
        elif op in AFFINE:
            self._affine(node)
        elif op in OPS:
            OPS[op](self, node, given)
        else:
            raise self.steps.unsupported(node)

    def _is_flat_image(self) -> bool:
        """Whether pynet needs a flatten here; _in_order adds it."""
        return self.order.ndim == 1 and len(self.shape) == 3

    # ---- layers ----

    def _add(self, layer: Layer, shape: tuple[int, ...]) -> None:
        """A layer whose output is in pynet's order."""
        if math.prod(shape) > MAX_FEATURES:
            path = self.steps.file.path
            raise DataError(f"{path}: {layer.word} gives {shape}; accepted: at most {MAX_FEATURES} numbers a sample")
        self._flush()
        self.layers.append(layer)
        self.shape, self.order = shape, natural(shape)

    def _elementwise(self, word: str, **tensors: Array) -> None:
        """A layer that leaves shape and order as they are."""
        order = self.order
        self._add(Layer(word, tensors), self.shape)
        self.order = order

    def _image(self, node: NodeProto) -> tuple[int, int, int]:
        """The shape (channels, height, width) of the value; error: it is no image, or not in pynet's order."""
        self._in_order(node)
        if self.order.ndim != 3:
            raise self.steps.unsupported(node, f"its input has shape {self.order.shape} a sample")
        if self.order.shape != self.shape:
            if self.layers or self.nested:
                raise self.steps.unsupported(node, f"{self.shape} was reshaped to {self.order.shape}")
            self.input = self.shape = self.order.shape
        channels, height, width = self.shape
        return channels, height, width

    def _in_order(self, node: NodeProto) -> None:
        """Makes pynet's shape that of the value if it is flat; error: it is in another order, or shape."""
        if not np.array_equal(self.order.ravel(), natural((self.order.size,))):
            raise self.steps.unsupported(node, "its input was transposed")
        if self._is_flat_image():
            self._add(Layer("flatten"), self.order.shape)
        elif self.order.shape != self.shape and (self.layers or self.nested):
            raise self.steps.unsupported(node, f"{self.shape} was reshaped to {self.order.shape}")

    def _conv(self, node: NodeProto, given: dict[str, Any]) -> None:
        channels, height, width = self._image(node)
        W = self.steps.constant(node.input[1])
        if W.ndim != 4 or W.shape[2] != W.shape[3] or W.shape[1] != channels or given.get("group", 1) != 1:
            raise self.steps.unsupported(node, f"weights {W.shape}, group {given.get('group', 1)}, {channels} channels")
        kernel, stride = W.shape[2], self._one(node, given, "strides", 1)
        before, own = self._padding(node, given, kernel, stride)
        pads = before.plus(own)
        pad = onnx_padding.argument(self.steps, node, pads, (height, width), kernel, stride)
        b = self.steps.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
        extra = {} if b is None else {"b": b.astype(np.float64)}
        word = f"conv({len(W)},{kernel},stride={stride},pad={pad}{',bias=no' if b is None else ''})"
        sides = [(side - kernel) // stride + 1 for side in pads.padded(self.shape)[1:]]
        if min(sides) < 1:
            raise self.steps.unsupported(node, f"a kernel of {kernel} on an image of {height}x{width}")
        tensors = {"W": W.transpose(2, 3, 1, 0).astype(np.float64), **extra}
        self._add(Layer(word, tensors, stride=stride), (len(W), *sides))

    def _one(self, node: NodeProto, given: dict[str, Any], name: str, default: int) -> int:
        """The number that all of this attribute are; dilations must be 1."""
        values = set(given.get(name, [default]))
        if len(values) != 1 or min(values) < 1 or set(given.get("dilations", [1])) != {1}:
            raise self.steps.unsupported(node, f"{name} {given.get(name)}, dilations {given.get('dilations', [1])}")
        return int(values.pop())

    def _padding(self, node: NodeProto, given: dict[str, Any], kernel: int, stride: int) -> tuple[Padding, Padding]:
        """The zeros of Pad nodes before a convolution or a pool, and its own; the former are done with."""
        before, self.padding = self.padding, Padding()
        sides = before.padded(self.shape)[1:]
        return before, onnx_padding.of_window(self.steps, node, given, sides, kernel, stride)

    def _pad(self, node: NodeProto, given: dict[str, Any]) -> None:
        self._image(node)
        self.padding = self.padding.plus(onnx_padding.of_pad(self.steps, node, self.order.ndim))
        self.padded_by = node

    def _pool(self, node: NodeProto, given: dict[str, Any]) -> None:
        channels, height, width = self._image(node)
        size, stride = self._one(node, given, "kernel_shape", 0), self._one(node, given, "strides", 1)
        before, own = self._padding(node, given, size, stride)
        if any(before) or any(own):
            self._pad_pool(node, given, before, own)
            channels, height, width = self.shape
        sides = [(side - size) // stride + 1 for side in (height, width)]
        crosses = given.get("ceil_mode", 0) and any((side - size) % stride for side in (height, width))
        if crosses or len(node.output) > 1:
            raise self.steps.unsupported(node, "windows that cross the border")
        if min(sides) < 1:
            raise self.steps.unsupported(node, f"a window of {size} on an image of {height}x{width}")
        word = "maxpool" if node.op_type == "MaxPool" else "avgpool"
        self._add(Layer(f"{word}({size}{'' if stride == size else f',stride={stride}'})"), (channels, *sides))

    def _pad_pool(self, node: NodeProto, given: dict[str, Any], before: Padding, own: Padding) -> None:
        """A convolution that only pads, for a pool. Its zeros are those of Pad nodes, or do not count in a maximum."""
        if node.op_type == "MaxPool":
            counts = onnx_padding.is_not_below_zero([layer.word for layer in self.layers if not layer.copies])
            accepted = "after relu, sigmoid or softmax"
        else:
            counts, accepted = bool(given.get("count_include_pad", 0)), "with count_include_pad"
        pads, channels = before.plus(own), self.shape[0]
        if (any(own) and not counts) or len(set(pads)) > 1:
            raise self.steps.unsupported(node, f"pads {list(pads)}; accepted: none or, {accepted}, equal ones")
        self.steps.count(8 * channels * channels)
        word = f"conv({channels},1,pad={pads.top},bias=no)"
        self._add(Layer(word, {"W": onnx_padding.copying(channels)}, copies=True), pads.padded(self.shape))

    def _global_pool(self, node: NodeProto, given: dict[str, Any]) -> None:
        shape = self._image(node)
        if node.op_type == "ReduceMean":
            axes = axes_of(self.steps, node, given)
            if sorted(axis % 4 for axis in axes) != [2, 3]:
                raise self.steps.unsupported(node, f"axes {axes}; accepted: 2, 3")
        self._add(Layer("globalavgpool"), (shape[0], 1, 1))
        if given.get("keepdims", 1) == 0:
            self.order = self.order.ravel()

    def _dense(self, node: NodeProto, given: dict[str, Any]) -> None:
        is_plain = self.order.ndim == 1 and not given.get("transA", 0) and len(node.input) > 1
        if not is_plain or node.input[1] in self.steps.computed(node):
            raise self.steps.unsupported(node, f"its input has shape {self.order.shape} a sample")
        W = self.steps.constant(node.input[1]).astype(np.float64)
        W = W.T if given.get("transB", 0) else W
        if W.ndim != 2 or len(W) != self.order.size:
            raise self.steps.unsupported(node, f"weights {W.shape} for {self.order.size} features")
        sorted_rows = np.empty_like(W)
        sorted_rows[self.order] = W * given.get("alpha", 1.0)
        tensors = {"W": sorted_rows}
        if len(node.input) > 2 and node.input[2]:
            b = self.steps.constant(node.input[2]).astype(np.float64) * given.get("beta", 1.0)
            if b.size != 1 and b.shape not in (W.shape[1:], (1, W.shape[1])):  # (n, 1) is one number a sample
                raise self.steps.unsupported(node, f"a bias {b.shape} for {W.shape[1]} features")
            tensors["b"] = np.broadcast_to(b.reshape(-1), W.shape[1:]).copy()
        bias = "" if "b" in tensors else ",bias=no"
        self._add(Layer(f"dense({W.shape[1]}{bias})", tensors), (W.shape[1],))

    def _batchnorm(self, node: NodeProto, given: dict[str, Any]) -> None:
        if self.order.ndim == 3:
            self._image(node)
        else:
            self._in_order(node)
        if given.get("training_mode", 0) or (self.steps.file.opset < 7 and not given.get("is_test", 0)):
            raise self.steps.unsupported(node, "training_mode")
        names = ("gamma", "beta", "running_mean", "running_var")
        tensors = {name: self.steps.constant(value) for name, value in zip(names, node.input[1:], strict=True)}
        momentum, eps = round(1 - given.get("momentum", 0.9), 6), given.get("epsilon", 1e-5)
        self._elementwise(f"batchnorm(eps={_real(eps)},momentum={_real(momentum)})", **tensors)
        self.layers[-1].eps = eps

    def _layernorm(self, node: NodeProto, given: dict[str, Any]) -> None:
        axis = given.get("axis", -1)
        if axis not in (1, -self.order.ndim) or given.get("stash_type", 1) != 1 or len(node.output) > 1:
            raise self.steps.unsupported(node, f"axis {axis}; accepted: 1, all features of a sample")
        tensors = {"gamma": np.ones(self.order.size), "beta": np.zeros(self.order.size)}
        for name, value in zip(tensors, node.input[1:], strict=False):
            if value:
                tensors[name] = self._full(node, self.steps.constant(value))
        self._elementwise(f"layernorm(eps={_real(given.get('epsilon', 1e-5))})", **tensors)

    def _softmax(self, node: NodeProto, given: dict[str, Any]) -> None:
        old = self.steps.file.opset < 13  # all axes from this one on, together
        axis, rank = given.get("axis", 1 if old else -1), self.order.ndim + 1
        if axis not in (1, 1 - rank) or not (old or self.order.ndim == 1):
            raise self.steps.unsupported(node, f"over axis {axis} of {rank}; accepted: all features of a sample")
        if node.op_type == "LogSoftmax" and node.output[0] != self.steps.file.output:
            raise self.steps.unsupported(node, "accepted as the last node")
        self._elementwise("softmax")

    def _leaky_relu(self, node: NodeProto, given: dict[str, Any]) -> None:
        self._elementwise(f"leaky_relu({_real(given.get('alpha', 0.01))})")

    def _gelu(self, node: NodeProto, given: dict[str, Any]) -> None:
        if given.get("approximate", b"none") != b"none":
            raise self.steps.unsupported(node, "the approximation by tanh")
        self._elementwise("gelu")

    def _dropout(self, node: NodeProto, given: dict[str, Any]) -> None:
        ratio = given.get("ratio", 0.5)
        if len(node.input) > 1 and node.input[1]:
            ratio = self.steps.constant(node.input[1]).item()
        if len(node.input) > 2 and node.input[2] and self.steps.constant(node.input[2]).any():
            raise self.steps.unsupported(node, "training_mode")
        self._elementwise(f"dropout({_real(ratio)})")

    # ---- shapes and orders ----

    def _unchanged(self, node: NodeProto, given: dict[str, Any]) -> None:
        if node.op_type == "Cast" and given.get("to") not in FLOATS:
            raise self.steps.unsupported(node, f"to element type {given.get('to')}; accepted: floats")

    def _transpose(self, node: NodeProto, given: dict[str, Any]) -> None:
        perm = given.get("perm", [])
        if sorted(perm) != list(range(self.order.ndim + 1)) or perm[0] != 0:
            raise self.steps.unsupported(node, f"perm {perm} of (batch, {self.order.shape})")
        self.order = self.order.transpose([axis - 1 for axis in perm[1:]])

    def _reshape(self, node: NodeProto, given: dict[str, Any]) -> None:
        shape = reshaped(self.steps, node, given, self.order.shape)
        if shape is None or math.prod(shape) != self.order.size or len(shape) > 4:
            raise self.steps.unsupported(node, f"from (batch, {self.order.shape}) to {shape}")
        self.order = self.order.reshape(shape)

    # ---- products and sums with constants ----

    def _full(self, node: NodeProto, constant: Array) -> Array:
        """A constant for each number of the value, in pynet's order, (features)."""
        full = np.empty(self.order.size)
        try:
            full[self.order.ravel()] = np.broadcast_to(constant, (1, *self.order.shape)).ravel()
        except ValueError:
            raise self.steps.unsupported(node, f"a constant {constant.shape} for {self.order.shape}") from None
        return full

    def _per_channel(self, node: NodeProto, full: Array) -> Array:
        """One number for each feature or, of an image, for each channel."""
        rows = full.reshape(self.shape[0], -1)
        if (rows != rows[:, :1]).any():
            raise self.steps.unsupported(node, "a constant that differs within a channel")
        return rows[:, 0]

    def _of_affine(self, node: NodeProto) -> tuple[Array, Array]:
        """a and b of y = a x + b, (features)."""
        at = [name in self.steps.computed(node) for name in node.input]
        if sorted(at) != [False, True]:
            raise self.steps.unsupported(node)
        c = self._full(node, self.steps.constant(node.input[at.index(False)]))
        zero, one = np.zeros_like(c), np.ones_like(c)
        if node.op_type == "Div" and at[0] and c.all():
            return 1 / c, zero
        if node.op_type == "Sub":
            return (one, -c) if at[0] else (-one, c)
        if node.op_type == "Div":
            raise self.steps.unsupported(node, "a division by zero, or by what the input gives")
        return (c, zero) if node.op_type == "Mul" else (one, c)

    def _affine(self, node: NodeProto) -> None:
        a, b = self._of_affine(node)
        if not self.layers and not self.nested:
            self.factor, self.offset = a * self.factor, a * self.offset + b
            return
        last = self.layers[-1] if self.layers else Layer("")
        if "W" not in last.tensors:
            raise self.steps.unsupported(
                node, "accepted: right after the input, or after a dense or convolutional layer"
            )
        last.scale(self._per_channel(node, a), self._per_channel(node, b))

    def _flush(self) -> None:
        """What is done to the input so far, as a standardize layer."""
        factor, offset, self.factor, self.offset = self.factor, self.offset, np.ones(1), np.zeros(1)
        unchanged = bool((abs(factor - 1) < 1e-9).all()) and not offset.any()  # 255 / 255 may be off by a rounding
        if self.layers or self.nested or unchanged:
            return
        rows_a, rows_b = factor.reshape(self.shape[0], -1), offset.reshape(self.shape[0], -1)
        if not (factor > 0).all() or (rows_a != rows_a[:, :1]).any() or (rows_b != rows_b[:, :1]).any():
            why = "inputs that are not scaled by positive numbers, one for each feature or channel"
            raise self.steps.unsupported(self.steps.file.nodes[0], why)
        a, b = rows_a[:, 0], rows_b[:, 0]
        self.layers.append(Layer("standardize", {"mean": -b / a, "scale": 1 / a}))

    def _rescale(self, steps: list[NodeProto]) -> bool:
        """The products and sums at the end as a rescale layer; False if they are none, or scale the input itself."""
        if not self.layers and not self._is_flat_image():
            return False
        a, b = np.ones(self.order.size), np.zeros(self.order.size)
        for node in steps:
            by, plus = self._of_affine(node)
            a, b = by * a, by * b + plus
        if not (a > 0).all():
            return False
        self._in_order(steps[-1])
        tensors = {"mean": self._per_channel(steps[-1], b), "scale": self._per_channel(steps[-1], a)}
        self._add(Layer("rescale", tensors), self.shape)
        return True

    # ---- residuals ----

    def _residual(self, step: Residual) -> None:
        self._flush()
        node = step.node
        if not self.layers and not self.nested:
            self.input = self.shape = self.order.shape
        self._in_order(node)
        found = []
        for branch in step.branches:
            one = Translation(self.steps, self.shape, self.order, nested=True)
            one._run(branch)
            one._in_order(node)
            found.append(one)
        if found[0].shape != found[1].shape:
            raise self.steps.unsupported(node, f"a sum of {found[0].shape} and {found[1].shape}")
        shortcut = next((one for one in reversed(found) if not one.layers), None)
        shortcut = shortcut or next((one for one in reversed(found) if one._projects()), None)
        inside = next((one for one in found if one is not shortcut), None)
        if shortcut is None or inside is None or not inside.layers:
            raise self.steps.unsupported(node, "no branch is the input of the other, or a projection of it")
        skip = shortcut.layers[0] if shortcut.layers else None
        if skip and shortcut.shape == self.shape:
            raise self.steps.unsupported(node, "a projection that does not change the shape")
        if skip and "b" in skip.tensors:
            inside._shift(node, skip.tensors.pop("b"))
        self._add(Layer("", {}, inside.layers, skip), inside.shape)

    def _projects(self) -> bool:
        """Whether this is one dense layer, or a convolution by a kernel of 1; merges it with a batchnorm after it."""
        W = self.layers[0].tensors.get("W") if self.layers else None
        if W is None or not (W.ndim == 2 or (W.shape[0] == 1 and "pad=0" in self.layers[0].word)):
            return False
        if len(self.layers) == 2 and "running_var" in self.layers[1].tensors:
            norm = self.layers.pop()
            gamma, beta, mean, variance = norm.tensors.values()
            a = gamma / np.sqrt(variance.astype(np.float64) + norm.eps)
            self.layers[0].scale(a, beta - mean * a)
        return len(self.layers) == 1

    def _shift(self, node: NodeProto, b: Array) -> None:
        """Adds the bias of a projection to that of the last layer."""
        last = self.layers[-1]
        if "beta" in last.tensors and "running_mean" in last.tensors:
            last.tensors["beta"] = last.tensors["beta"] + b
        elif "W" in last.tensors:
            last.scale(1.0, b)
        else:
            raise self.steps.unsupported(node, "a projection with a bias, beside a branch without one at its end")


def _is(step: Step | None, *ops: str) -> TypeGuard[NodeProto]:
    return getattr(step, "op_type", "") in ops


def _real(value: float) -> str:
    """A number of a float32 attribute, as the text of a network has it."""
    return str(np.float32(value))


OPS: dict[str, Callable[[Translation, Any, dict[str, Any]], None]] = {
    "AveragePool": Translation._pool,
    "BatchNormalization": Translation._batchnorm,
    "Cast": Translation._unchanged,
    "Conv": Translation._conv,
    "Dropout": Translation._dropout,
    "Flatten": Translation._reshape,
    "Gelu": Translation._gelu,
    "Gemm": Translation._dense,
    "GlobalAveragePool": Translation._global_pool,
    "Identity": Translation._unchanged,
    "LayerNormalization": Translation._layernorm,
    "LeakyRelu": Translation._leaky_relu,
    "LogSoftmax": Translation._softmax,
    "MatMul": Translation._dense,
    "MaxPool": Translation._pool,
    "Pad": Translation._pad,
    "ReduceMean": Translation._global_pool,
    "Reshape": Translation._reshape,
    "Softmax": Translation._softmax,
    "Squeeze": Translation._reshape,
    "Transpose": Translation._transpose,
    "Unsqueeze": Translation._reshape,
}
