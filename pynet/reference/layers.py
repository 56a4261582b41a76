"""The layers, with their forward and backward passes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pynet.reference import images
from pynet.reference.arrays import Array, rows, same
from pynet.reference.functions import (
    bias,
    bias_grad,
    gelu,
    gelu_grad,
    gemm,
    leaky_relu,
    leaky_relu_grad,
    relu,
    relu_grad,
    sigmoid,
    sigmoid_grad,
    softmax,
    softmax_grad,
    tanh,
    tanh_grad,
)


class Layer:
    """A layer. `backward` uses values of the last `forward`; params and grads have the same keys.

    training: False for inference. seed, step: the network's seed and number of updates, for dropout.
    """

    training, seed, step = True, 0, 0

    def __init__(self) -> None:
        self.params: dict[str, Array] = {}
        self.grads: dict[str, Array] = {}
        self.inside: dict[str, Layer] = {}  # nested layers by name

    def forward(self, x: Array) -> Array:
        """The output y for x; stores what backward needs."""
        raise NotImplementedError

    def backward(self, dy: Array) -> Array:
        """dx for dy; sets grads if there are parameters."""
        raise NotImplementedError

    def after_step(self) -> None:
        """Called after an update, for state that is not trained."""

    def branch(self) -> NDArray[Any] | None:
        """Which linear piece of the layer each number of the last forward was in; None for a smooth layer."""
        return None


class Dense(Layer):
    """y (m,n_out) = x (m,n_in) W (n_in,n_out) + b (n_out). Takes any shape of sample and flattens it; b may be None."""

    def __init__(self, W: ArrayLike, b: ArrayLike | None = None) -> None:
        super().__init__()
        self.params = {"W": np.array(W, dtype=np.float64)}
        if b is not None:
            self.params["b"] = np.array(b, dtype=np.float64)
            same("shape of b", self.params["b"].shape, self.params["W"].shape[1:])

    def forward(self, x: Array) -> Array:
        """y = x W + b."""
        W, b = self.params["W"], self.params.get("b", 0.0)
        self.shape, self.x = x.shape, rows(x)
        if self.x.shape[1] != len(W):
            raise ValueError(f"x has shape {x.shape}, this dense layer takes (n, {len(W)})")
        return bias(gemm(self.x, W), b)

    def backward(self, dy: Array) -> Array:
        """dW = x^T dy, db = column sums of dy, dx = dy W^T."""
        # W[p,j] multiplies x[i,p] in y[i,j] for every row i, so dW[p,j] = sum over i of x[i,p] dy[i,j]
        self.grads["W"] = gemm(self.x, dy, trans_a=True)
        if "b" in self.params:
            self.grads["b"] = bias_grad(dy)
        # x[i,p] is multiplied by W[p,j] in every y[i,j], so dx[i,p] = sum over j of dy[i,j] W[p,j]
        return gemm(dy, self.params["W"], trans_b=True).reshape(self.shape)


class Conv(Layer):
    """y (m,n,out_height,out_width) = x (m,c,height,width) * W (kernel,kernel,c,n) + b (n); see images.conv."""

    def __init__(self, W: ArrayLike, b: ArrayLike | None = None, stride: int = 1, pad: int | str = 0) -> None:
        super().__init__()
        self.params = {"W": np.array(W, dtype=np.float64)}
        if b is not None:
            self.params["b"] = np.array(b, dtype=np.float64)
        self.stride, self.pad = stride, pad

    def forward(self, x: Array) -> Array:
        """y = x * W + b."""
        self.x = x
        return images.conv(x, self.params["W"], self.params.get("b", 0), self.stride, self.pad)

    def backward(self, dy: Array) -> Array:
        """dW and db, and dx."""
        dx, dW, db = images.conv_grad(dy, self.x, self.params["W"], self.stride, self.pad)
        self.grads = {name: grad for name, grad in (("W", dW), ("b", db)) if name in self.params}
        return dx


class MaxPool(Layer):
    """The largest number of each window (size, size); stride None: size, windows without overlap."""

    def __init__(self, size: int, stride: int | None = None) -> None:
        super().__init__()
        self.size, self.stride = size, stride

    def forward(self, x: Array) -> Array:
        """y = maxpool(x)."""
        self.x = x
        return images.maxpool(x, self.size, self.stride)

    def backward(self, dy: Array) -> Array:
        """Passes dy to the largest number of its window, the first one if several are equal."""
        return images.maxpool_grad(dy, self.x, self.size, self.stride)

    def branch(self) -> NDArray[Any]:
        """Which number of each window is the largest."""
        return images.largest(self.x, self.size, self.stride)


class AvgPool(Layer):
    """The mean of each window (size, size); stride None: size, without overlap; size None: of the whole image."""

    def __init__(self, size: int | None, stride: int | None = None) -> None:
        super().__init__()
        self.size, self.stride = size, stride

    def forward(self, x: Array) -> Array:
        """y = avgpool(x)."""
        self.shape = x.shape
        return images.avgpool(x, self.size or x.shape[2:], self.stride)

    def backward(self, dy: Array) -> Array:
        """Divides dy evenly over its window."""
        return images.avgpool_grad(dy, self.shape, self.size or self.shape[2:], self.stride)


class Activation(Layer):
    """y = f(x) elementwise, for an f whose derivative is a function of y."""

    f: Callable[[Array], Array]
    f_grad: Callable[[Array, Array], Array]

    def forward(self, x: Array) -> Array:
        """y = f(x)."""
        self.y = self.f(x)
        return self.y

    def backward(self, dy: Array) -> Array:
        """dx = dy f'(x)."""
        return self.f_grad(dy, self.y)


class ReLU(Activation):
    """y = max(x, 0)."""

    f, f_grad = staticmethod(relu), staticmethod(relu_grad)

    def branch(self) -> NDArray[np.bool_]:
        """Where the unit is active."""
        return self.y > 0


class LeakyReLU(ReLU):
    """y = x where x > 0, else slope x."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.f, self.f_grad = partial(leaky_relu, slope=slope), partial(leaky_relu_grad, slope=slope)


class GELU(Layer):
    """y = x P(x)."""

    def forward(self, x: Array) -> Array:
        """y = x P(x)."""
        self.x = x
        return gelu(x)

    def backward(self, dy: Array) -> Array:
        """dx = dy f'(x)."""
        return gelu_grad(dy, self.x)


class Sigmoid(Activation):
    """y = 1 / (1 + exp(-x))."""

    f, f_grad = staticmethod(sigmoid), staticmethod(sigmoid_grad)


class Tanh(Activation):
    """y = tanh(x)."""

    f, f_grad = staticmethod(tanh), staticmethod(tanh_grad)


class Softmax(Layer):
    """p = exp(x), every sample divided by its sum. Cross-entropy after a final softmax does not use its backward."""

    def forward(self, x: Array) -> Array:
        """p = softmax(x)."""
        self.p = softmax(rows(x)).reshape(x.shape)
        return self.p

    def backward(self, dy: Array) -> Array:
        """dx = p (dy - sum of dy p)."""
        return softmax_grad(rows(dy), rows(self.p)).reshape(dy.shape)


class Flatten(Layer):
    """(channels, height, width) as (features)."""

    def forward(self, x: Array) -> Array:
        """x as rows."""
        self.shape = x.shape
        return rows(x)

    def backward(self, dy: Array) -> Array:
        """dy in the shape of x."""
        return dy.reshape(self.shape)


class Residual(Layer):
    """y = x + f(x), f the layers inside, one after another; y = x P + f(x) with a projection (He et al. 2016).

    The gradient also passes through the identity unchanged, so that deep networks can be trained.
    """

    def __init__(self, layers: list[Layer], skip: Layer | None = None) -> None:
        super().__init__()
        self.layers, self.skip = layers, skip
        self.inside = {str(i): layer for i, layer in enumerate(layers)} | ({"skip": skip} if skip else {})

    def forward(self, x: Array) -> Array:
        """y = x + f(x)."""
        y = x
        for layer in self.layers:
            y = layer.forward(y)
        return y + (self.skip.forward(x) if self.skip else x)

    def backward(self, dy: Array) -> Array:
        """dx = dy + the gradient through f."""
        dx = dy
        for layer in reversed(self.layers):
            dx = layer.backward(dx)
        return dx + (self.skip.backward(dy) if self.skip else dy)


def init(n_in: int, n_out: int, scheme: str, rng: np.random.Generator) -> tuple[Array, Array]:
    """Initial parameters of a dense layer: W (n_in,n_out) normal with mean zero, b (n_out) zero.

    "he": standard deviation sqrt(2 / n_in), which preserves the variance of activations after ReLU (He et al. 2015);
    "xavier": sqrt(2 / (n_in + n_out)), for other activations (Glorot & Bengio 2010); "normal": 1.
    """
    deviations = {"he": math.sqrt(2 / n_in), "xavier": math.sqrt(2 / (n_in + n_out)), "normal": 1.0}
    if scheme not in deviations:
        raise ValueError(f"unknown initialisation {scheme!r}, accepted are {', '.join(deviations)}")
    return rng.normal(0, deviations[scheme], (n_in, n_out)), np.zeros(n_out)
