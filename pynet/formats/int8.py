"""A network in integers of 8 bits, for CPUs without floating point: a number q stands for q * scale.

Each output of a dense or convolutional layer has a scale for its weights, each layer one for its activations, from the
largest among the samples for calibration (Jacob et al. 2018, "Quantization and Training of Neural Networks for
Efficient Integer-Arithmetic-Only Inference", here with zero point 0). Sums are int32; a multiplier and a shift take
them to the scale of the result. The results of the last of these layers, and all after it, are int16: in 8 bits, scores
of classes would often be equal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pynet._ffi import Array
from pynet.formats.c_float import suffix
from pynet.formats.c_program import Program, Value
from pynet.formats.int8_layers import Layer, folded, takes_images
from pynet.model.evaluation import measured
from pynet.model.net import Net
from pynet.model.samples import inputs_only

Ints = npt.NDArray[Any]
LARGEST = {"uint8": 255, "int8": 127, "int16": 32767}
HEADROOM = 4  # results may be so many times larger than those of the samples for calibration
MOST = (1 << 31) - 1  # of a sum
NUMBERS = 1 << 22  # in the windows of the samples computed at once, to bound memory


@dataclass(frozen=True, eq=False)
class Weights:
    """W int8 and b int32 of a layer; the multiplier int32 and the shift uint8 of each output."""

    W: Ints
    b: Ints
    multiplier: Ints
    shift: Ints


@dataclass(frozen=True, eq=False)
class Step:
    """A layer on integers, its result an array of `dtype`."""

    layer: Layer
    dtype: str
    weights: Weights | None = None

    @property
    def low(self) -> int:
        """The least result."""
        return 0 if self.layer.relu else -LARGEST[self.dtype]

    def __call__(self, x: Ints) -> Ints:
        """What the C function computes, for images (n, height, width, channels)."""
        if self.weights:
            w = self.weights
            product = self.layer.sums(x, w.W, w.b).astype(np.int64) * w.multiplier
            shift = w.shift.astype(np.int64)
            y = np.sign(product) * ((abs(product) + (np.int64(1) << (shift - 1))) >> shift)
            return np.asarray(np.clip(y, self.low, LARGEST[self.dtype]).astype(self.dtype))
        if self.layer.kind != "avgpool":
            return self.layer(x).astype(self.dtype)
        sums, n = self.layer.pooled(x).astype(np.int64), self.layer.window_size
        return np.asarray((np.sign(sums) * ((abs(sums) + n // 2) // n)).astype(self.dtype))


@dataclass(frozen=True, eq=False)
class Int8Network:
    """The NumPy model of a C file in integers: `integers` gives what its function gives.

    given: the dtype of the network's inputs, "uint8" or "float32", which become int8. closing: the kind of the last
    layer, softmax or sigmoid, that is left out.
    """

    net: Net
    given: str
    input_scale: float
    output_scale: float
    closing: str
    steps: tuple[Step, ...]

    def integers(self, x: Ints) -> Ints:
        """int16 (n, *out_shape) for integers (n, *in_shape) as the C function takes them: uint8, or int8."""
        parts = []
        for part in _parts(_images(self.net, x), [step.layer for step in self.steps]):
            for step in self.steps:
                part = step(part)
            parts.append(np.moveaxis(part, 3, 1).reshape(len(part), *self.net.out_shape))
        return np.concatenate(parts)

    def predict_proba(self, x: npt.ArrayLike) -> Array:
        """The outputs (n, *out_shape) float32 for inputs as the network takes them."""
        taken = _checked(self.net, x)
        if taken.dtype != self.given:
            raise ValueError(f"x is {taken.dtype}; the samples for calibration were {self.given}")
        if self.given == "float32":
            taken = np.clip(np.rint(taken / np.float32(self.input_scale)), -127, 127).astype(np.int8)
        y: Array = self.integers(taken) * np.float32(self.output_scale)
        if self.closing == "sigmoid":
            return np.asarray(1 / (1 + np.exp(-y)))
        if self.closing == "softmax":
            flat = y.reshape(len(y), -1)
            p = np.exp(flat - flat.max(axis=1, keepdims=True))
            return np.asarray(p / p.sum(axis=1, keepdims=True)).reshape(y.shape)
        return y

    def score(self, x: npt.ArrayLike, y: Array) -> float:
        """The fraction of samples that are right or, of a regression, the RMSE: as Network.evaluate counts."""
        outputs = self.predict_proba(x)
        if self.net.task == "regression":
            return measured(math.nan, y.reshape(outputs.shape), outputs).rmse
        right = self.net._labels_of(outputs, self.net.task) == y
        return float(right.reshape(len(y), -1).all(axis=1).mean())

    def program(self) -> Program:
        """The calls of the C functions in c_layers_int8.c and c_layers_any.c."""
        shape, out = self.net.in_shape, self.net.out_shape
        given = Value(math.prod(shape), "uint8" if self.given == "uint8" else "int8")
        program = Program(given, given)
        x = given
        if takes_images(self.net) and shape[0] > 1 < math.prod(shape[1:]):
            x = program.call("pixels_IN", Value(x.size, x.dtype), [x], shape[0], math.prod(shape[1:]))
        for step in self.steps:
            x = _call(program, x, step)
        channels, *sides = self.steps[-1].layer.shape
        if channels > 1 < math.prod(sides):
            program.call("planes_IN", Value(x.size, x.dtype), [x], channels, math.prod(sides))
        assert program.output.size == math.prod(out)
        return program


def quantised(net: Net, x: npt.ArrayLike) -> Int8Network:
    """A network in integers, calibrated on inputs x (n, ...) as the network takes them.

    ValueError: a layer that has no form in integers, by name; no samples, only zeros, or such as do not fit.
    """
    layers, closing = folded(net)
    samples = _checked(net, x)
    if not len(samples):
        raise ValueError("there are no samples for calibration; accepted: at least one, better some hundred")
    if not samples.any():
        raise ValueError("the samples for calibration are all 0; accepted: samples like those of the training")
    as_bytes = samples.dtype == np.uint8
    images = _images(net, samples / np.float64(255) if as_bytes else samples)
    largest = np.zeros(len(layers) + 1)
    for part in _parts(images, layers):
        for i, layer in enumerate([None, *layers]):
            part = layer(part) if layer else part
            largest[i] = max(largest[i], abs(part).max(initial=0))
    dtype = "uint8" if as_bytes else "int8"
    first = scale = 1 / 255 if as_bytes else _scale(largest[0], dtype)
    last = max(i for i, layer in enumerate(layers) if layer.kind == "conv")
    steps = []
    for i, layer in enumerate(layers):
        if layer.kind == "conv":
            before, taken = scale, dtype
            dtype = "int16" if i == last else "uint8" if layer.relu else "int8"
            scale = _scale(largest[i + 1] * (HEADROOM if i == last else 1), dtype)
            steps.append(Step(layer, dtype, _weights(layer, before, scale, LARGEST[taken])))
        elif layer.kind == "avgpool" and layer.window_size * LARGEST[dtype] > MOST:
            raise ValueError(f"layer {layer.view.path}, {layer.view.text}, adds up more than 31 bits")
        elif layer.kind != "relu" or dtype != "uint8":
            steps.append(Step(layer, dtype))
    return Int8Network(net, samples.dtype.name, first, scale, closing, tuple(steps))


def _scale(largest: float, dtype: str) -> float:
    """What 1 stands for, so that the largest number fits; 1 if all are 0."""
    return float(largest) / LARGEST[dtype] or 1.0


def _weights(layer: Layer, scale: float, result: float, most: int) -> Weights:
    """The weights for inputs in `scale`, whose numbers are at most `most`, and outputs in the scale `result`."""
    assert layer.W is not None and layer.b is not None
    axes = (0, 1, 2)
    of_weights = np.maximum(abs(layer.W).max(axis=axes) / LARGEST["int8"], abs(layer.b) / (scale * (1 << 30)))
    of_weights[of_weights == 0] = 1
    W = np.rint(layer.W / of_weights)
    b = np.rint(layer.b / (scale * of_weights))
    if (abs(W).sum(axis=axes) * most + abs(b) > MOST).any():
        raise ValueError(f"layer {layer.view.path}, {layer.view.text}, adds up more than 31 bits")
    fraction, exponent = np.frexp(scale * of_weights / result)
    multiplier, shift = np.rint(fraction * (1 << 31)), 31 - exponent
    multiplier, shift = np.minimum(np.where(shift > 62, 0, multiplier), MOST), np.clip(shift, 1, 62)
    return Weights(W.astype(np.int8), b.astype(np.int32), multiplier.astype(np.int32), shift.astype(np.uint8))


def _checked(net: Net, x: npt.ArrayLike) -> Array:
    """Inputs (n, *in_shape), uint8 or float32. ValueError: they do not fit the network, or are not finite."""
    samples = inputs_only(net._signature, x)
    found = samples.arrays[0]
    if not isinstance(found, np.ndarray):
        raise ValueError("x is sparse; accepted: an array")
    if not np.isfinite(found).all():
        raise ValueError(f"x holds {found[~np.isfinite(found)][0]}; accepted: finite numbers")
    return found.reshape(samples.n, *net.in_shape)


def _images(net: Net, x: Ints) -> Ints:
    """Inputs (n, *in_shape) as (n, height, width, channels), or (n, 1, 1, numbers) for a first dense layer."""
    return np.moveaxis(x, 1, 3) if takes_images(net) else x.reshape(len(x), 1, 1, -1)


def _parts(images: Ints, layers: Sequence[Layer]) -> Iterator[Ints]:
    """The images in parts of which all windows together are not too large."""
    rows = max(1, NUMBERS // max(layer.window_numbers for layer in layers))
    yield from (images[i : i + rows] for i in range(0, len(images), rows))


def _call(program: Program, x: Value, step: Step) -> Value:
    layer, end = step.layer, suffix(step.layer.view)
    if layer.kind == "relu":
        return program.call("relu_IN", Value(x.size, step.dtype), [x], x.size, in_place=True)
    program.windows[f"windows_{end}"] = layer.windows
    to = Value(math.prod(layer.shape), step.dtype)
    if not step.weights:
        return program.call(f"{layer.kind}_IN", to, [x], f"&windows_{end}", in_place=True)
    names = {f"{short}_{end}": array for short, array in vars(step.weights).items()}
    program.arrays.update(names)
    arguments = *names, f"&windows_{end}", layer.shape[0], step.low, LARGEST[step.dtype]
    return program.call("conv_IN_OUT", to, [x], *arguments)
