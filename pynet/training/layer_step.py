"""One layer in one training step on one sample, forward and backward; the backward pass as text with its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pynet._ffi import Array
from pynet.model.net import Net
from pynet.reference import Network as Twin
from pynet.reference.layers import Layer
from pynet.text import fields_text, percent

WHOLE = 8  # rows and columns; arrays up to this size are printed whole
TERMS = 2  # of a sum, the largest

FORMULAS = {
    "dense": "y = x W + b",
    "conv": "y = x * W + b, at each place",
    "relu": "y = max(x, 0)",
    "leaky_relu": "y = x, or a x below 0",
    "sigmoid": "y = 1 / (1 + exp(-x))",
    "tanh": "y = tanh(x)",
    "softmax": "p = exp(z) / sum of exp(z)",
    "maxpool": "the largest of each patch",
    "avgpool": "the mean of each patch",
    "gelu": "y = x P(x), P the normal distribution function",
    "batchnorm": "each unit to mean 0, variance 1 over the batch",
    "layernorm": "each sample to mean 0, variance 1",
    "dropout": "some set to 0 at random",
    "globalavgpool": "the mean of each channel",
    "flatten": "the same numbers as one row",
    "residual": "y = x + f(x), f the layers inside",
    "standardize": "y = (x - mean) / scale",
    "rescale": "y = x scale + mean",
}

GRADIENTS = {
    "dense": "dW[i,j] = x[i] dy[j], db = dy, dx = dy W^T",
    "conv": "dW and db are sums over all places, dx = dy spread over the patches by W",
    "relu": "dx = dy where y > 0, else 0",
    "leaky_relu": "dx = dy where y > 0, else a dy",
    "sigmoid": "dx = dy y (1 - y)",
    "tanh": "dx = dy (1 - y^2)",
    "softmax": "dx = y (dy - s), s the sum of dy y",
    "maxpool": "dx = dy at the largest of each patch, else 0",
    "avgpool": "dx = dy, divided evenly over the patch",
    "gelu": "dx = dy (P(x) + x p(x)), p the density of P",
    "layernorm": "dx = dy without the parts that change mean and variance, by the deviation",
    "dropout": "dx = dy where y was kept, with the same factor, else 0",
    "globalavgpool": "dx = dy, divided evenly over the channel",
    "flatten": "dx = dy, in the shape of x",
    "residual": "dx = dy + the gradient through the layers inside",
    "standardize": "dx = dy / scale",
    "rescale": "dx = dy scale",
}


@dataclass(frozen=True)
class LayerStep:
    """A layer's number, text and kind; for the sample its input, its output (*out_shape), and their gradients.

    d_input and d_output are those of the loss, from the float64 reference; None of a closing softmax, sigmoid or
    rescale that the loss contains: the gradient begins before it.
    """

    path: str
    text: str
    kind: str
    output: Array
    input: Array
    d_input: Array | None
    d_output: Array | None

    def __repr__(self) -> str:
        return fields_text("LayerStep", vars(self))

    def backward(self, parameters: Mapping[str, Array], gradients: Mapping[str, Array], first: bool) -> list[str]:
        """Lines with the formula and the numbers. parameters, gradients: of this layer, by short name ("W")."""
        if self.d_output is None or self.d_input is None or (first and not gradients):
            return []
        x, y, dx, dy = self.input, self.output.ravel(), self.d_input, self.d_output
        formula = GRADIENTS.get(self.kind, "")
        lines = [f"{self.path} {self.text}: {formula}".rstrip(": ")]
        if self.kind == "dense":
            lines += _dense(x.ravel(), parameters["W"], dy.ravel(), dx.ravel(), gradients["W"], first)
        else:
            for name, gradient in gradients.items():
                lines.append(f"   d{_entry(name, gradient)}, the largest")
            lines += [] if first else self._elementwise(y, dx, dy) or [f"   d{_entry('x', dx)}, the largest"]
        if max(x.size, y.size) <= WHOLE:
            lines += _whole("x", x) + _whole("y", self.output) + _whole("dy", dy)
            lines += [line for name, value in parameters.items() for line in _whole(name, value)]
            lines += [line for name, value in gradients.items() for line in _whole(f"d{name}", value)]
            return lines if first else lines + _whole("dx", dx)
        for name, gradient in gradients.items():
            shape = "x".join(map(str, gradient.shape))
            size = float(np.sqrt((gradient.astype(np.float64) ** 2).sum()))
            zeros = percent(float((gradient == 0).mean()))
            lines.append(f"   d{name} as a whole: {shape}, norm {size:.4g}, {zeros} are zero")
        return lines

    def _elementwise(self, y: Array, dx: Array, dy: Array) -> list[str]:
        """One or two entries of dx: dy times the derivative."""
        dy, dx = dy.ravel(), dx.ravel()
        total = float(dy @ y) if self.kind == "softmax" else 0.0
        lines = []
        for k in _two(dy, y > 0 if "relu" in self.kind else None):
            start, value = f"   dx[{k}] = {dy[k]:.4g} *", _factor(y[k])
            if self.kind == "relu":
                lines.append(f"{start} {int(y[k] > 0)} = {dx[k]:.4g}, as y[{k}] is {y[k]:.4g}")
            elif self.kind == "leaky_relu":
                lines.append(f"{start} {dx[k] / dy[k]:.4g} = {dx[k]:.4g}, as y[{k}] is {y[k]:.4g}")
            elif self.kind == "sigmoid":
                lines.append(f"{start} {value} * (1 - {value}) = {dx[k]:.4g}")
            elif self.kind == "tanh":
                lines.append(f"{start} (1 - {value}^2) = {dx[k]:.4g}")
            elif self.kind == "softmax":
                lines.append(f"   dx[{k}] = {value} * ({dy[k]:.4g} - {_factor(total)}) = {dx[k]:.4g}")
        return lines


def layer_steps(net: Net, outputs: list[Array], sample: Array, targets: Array) -> list[LayerStep]:
    """The steps of all layers. outputs: of each, (*out_shape); sample (1, ...); targets (outputs)."""
    twin = Twin.from_net(net)
    seen: dict[str, dict[str, Array]] = {path: _recorded(layer) for path, layer in twin.named_layers.items()}
    twin.forward(sample)
    twin.loss(targets[None])
    twin.backward()
    return [
        LayerStep(
            layer.path,
            layer.text,
            layer.kind,
            output,
            seen[layer.path]["x"],
            seen[layer.path].get("dx"),
            seen[layer.path].get("dy"),
        )
        for layer, output in zip(net.layers, outputs, strict=True)
    ]


def _recorded(layer: Layer) -> dict[str, Array]:
    """x, dy and dx of the layer's one sample, after its next forward and backward."""
    seen: dict[str, Array] = {}
    forward, backward = layer.forward, layer.backward

    def recorded_forward(x: Array) -> Array:
        seen["x"] = x[0]
        return forward(x)

    def recorded_backward(dy: Array) -> Array:
        dx = backward(dy)
        seen["dy"], seen["dx"] = dy[0], dx[0]
        return dx

    layer.forward, layer.backward = recorded_forward, recorded_backward  # type: ignore[method-assign]
    return seen


def _dense(x: Array, W: Array, dy: Array, dx: Array, dW: Array, first: bool) -> list[str]:
    """One entry of dW and one of dx: the largest."""
    i, j = (int(k) for k in np.unravel_index(abs(dW).argmax(), dW.shape))
    lines = [f"   dW[{i},{j}] = x[{i}] dy[{j}] = {x[i]:.4g} * {_factor(dy[j])} = {dW[i, j]:.4g}"]
    if first:
        return [*lines, "   dx is not needed: nothing before this layer learns"]
    i = int(abs(dx).argmax())
    terms = dy * W[i]
    order = np.argsort(-abs(terms), kind="stable")
    if len(order) > TERMS + 1:
        shown, rest = order[:TERMS], f" + {_factor(terms[order[TERMS:]].sum())} ({len(order) - TERMS} others)"
    else:
        shown, rest = order, ""
    products = " + ".join(f"{_factor(dy[j])} * {_factor(W[i, j])}" for j in sorted(shown))
    return [*lines, f"   dx[{i}] = sum of dy[j] W[{i},j] = {products}{rest} = {dx[i]:.4g}"]


def _two(dy: Array, active: Array | None) -> list[int]:
    """The largest two of dy, or, if active is given, the largest where it is True and where it is not."""
    order = [int(k) for k in np.argsort(-abs(dy), kind="stable")]
    if active is None:
        return order[:2]
    return [k for state in (True, False) for k in [k for k in order if active[k] == state][:1]]


def _entry(name: str, values: Array) -> str:
    """The largest number: W[0,3] = 0.25."""
    place = np.unravel_index(abs(values).argmax(), values.shape)
    return f"{name}[{','.join(map(str, place))}] = {values[place]:.4g}"


def _factor(value: float) -> str:
    return f"({value:.4g})" if value < 0 else f"{value:.4g}"


def _whole(name: str, values: Array) -> list[str]:
    """A small array, a line for each row."""
    if values.ndim != 2:
        return [f"   {name:<6}{numbers(values)}"]
    return [f"   {f'{name}[{i}]':<6}{numbers(row)}" for i, row in enumerate(values)]


def numbers(values: Array) -> str:
    """A few numbers in columns."""
    return " ".join(f"{value:>9.4f}" for value in values.ravel())
