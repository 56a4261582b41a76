"""Normalisation and dropout: layers that can differ between training and inference."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pynet.reference.arrays import Array, floats, rows, same
from pynet.reference.layers import Layer

Bits = NDArray[np.uint64]


def normalise(x: ArrayLike, mean: ArrayLike, variance: ArrayLike, epsilon: float) -> Array:
    """(x - mean) / sqrt(variance + epsilon)."""
    return np.asarray((floats(x) - floats(mean)) / np.sqrt(floats(variance) + epsilon))


def normalise_grad(dn: ArrayLike, x: ArrayLike, axes: tuple[int, ...], epsilon: float) -> Array:
    """dx for the gradient dn with respect to n, x normalised by its own mean and variance along axes.

    n does not change if all x are shifted or scaled together, so these two components of dn are subtracted.
    """
    x, dn = floats(x), floats(dn)
    variance = x.var(axis=axes, keepdims=True)
    n = normalise(x, x.mean(axis=axes, keepdims=True), variance, epsilon)
    along = (dn * n).mean(axis=axes, keepdims=True)
    return np.asarray((dn - dn.mean(axis=axes, keepdims=True) - n * along) / np.sqrt(variance + epsilon))


class BatchNorm(Layer):
    """y = gamma n + beta, n each channel of x (m, channels, ...) normalised (Ioffe & Szegedy 2015).

    Training uses mean and variance of the batch, inference their running means; the running variance is the unbiased
    estimate, divided by count - 1.
    """

    def __init__(
        self,
        gamma: ArrayLike,
        beta: ArrayLike,
        running_mean: ArrayLike,
        running_var: ArrayLike,
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        self.params = {"gamma": np.array(gamma, np.float64), "beta": np.array(beta, np.float64)}
        self.running_mean, self.running_var = np.array(running_mean, np.float64), np.array(running_var, np.float64)
        self.eps, self.momentum = eps, momentum

    def forward(self, x: Array) -> Array:
        """y = gamma n + beta."""
        self.x, self.axes = x, (0, *range(2, x.ndim))
        if self.training:
            if x.size // x.shape[1] < 2:
                raise ValueError(f"batchnorm trains on at least 2 samples, x has shape {x.shape}")
            self.mean, self.variance = x.mean(axis=self.axes), x.var(axis=self.axes)
            return self._normalised(self.mean, self.variance)
        return self._normalised(self.running_mean, self.running_var)

    def _normalised(self, mean: Array, variance: Array) -> Array:
        self.n = normalise(self.x, self._per_channel(mean), self._per_channel(variance), self.eps)
        return self._per_channel(self.params["gamma"]) * self.n + self._per_channel(self.params["beta"])

    def _per_channel(self, channels: Array) -> Array:
        """One number for each channel, in a shape that broadcasts with x."""
        return channels.reshape(1, -1, *[1] * (self.x.ndim - 2))

    def backward(self, dy: Array) -> Array:
        """dgamma = sums of dy n, dbeta = sums of dy; dx through n, mean and variance."""
        self.grads = {"gamma": (dy * self.n).sum(axis=self.axes), "beta": dy.sum(axis=self.axes)}
        dn = dy * self._per_channel(self.params["gamma"])
        if self.training:
            return normalise_grad(dn, self.x, self.axes, self.eps)
        return np.asarray(dn / np.sqrt(self._per_channel(self.running_var) + self.eps))

    def after_step(self) -> None:
        """Updates the running statistics: running += momentum (batch - running)."""
        count = self.x.size // self.x.shape[1]
        self.running_mean += self.momentum * (self.mean - self.running_mean)
        self.running_var += self.momentum * (self.variance * count / (count - 1) - self.running_var)


class LayerNorm(Layer):
    """y = gamma n + beta, n each sample normalised to mean 0 and variance 1 (Ba, Kiros & Hinton 2016)."""

    def __init__(self, gamma: ArrayLike, beta: ArrayLike, eps: float = 1e-5) -> None:
        super().__init__()
        self.params = {"gamma": np.array(gamma, np.float64), "beta": np.array(beta, np.float64)}
        same("shape of beta", self.params["beta"].shape, self.params["gamma"].shape)
        self.eps = eps

    def forward(self, x: Array) -> Array:
        """y = gamma n + beta."""
        self.shape, self.x = x.shape, rows(x)
        self.n = normalise(self.x, self.x.mean(axis=1, keepdims=True), self.x.var(axis=1, keepdims=True), self.eps)
        return (self.params["gamma"] * self.n + self.params["beta"]).reshape(x.shape)

    def backward(self, dy: Array) -> Array:
        """dgamma = column sums of dy n, dbeta = column sums of dy, with n = the normalised x; returns dx."""
        dy = rows(dy)
        self.grads = {"gamma": (dy * self.n).sum(axis=0), "beta": dy.sum(axis=0)}
        return normalise_grad(dy * self.params["gamma"], self.x, (1,), self.eps).reshape(self.shape)


class Dropout(Layer):
    """In training each number is 0 with probability p, the others x / (1 - p) (Srivastava et al. 2014); else y = x.

    layer: index of the layer in the pynet.Network with the same masks.
    """

    def __init__(self, p: float, layer: int = 0) -> None:
        super().__init__()
        self.p, self.layer = p, layer

    def forward(self, x: Array) -> Array:
        """y = x times the mask."""
        m, n = rows(x).shape
        self.mask = np.ones(x.shape)
        if self.training:
            self.mask = dropout_mask(m, n, self.p, self.seed, self.layer, self.step).reshape(x.shape) / (1 - self.p)
        return x * self.mask

    def backward(self, dy: Array) -> Array:
        """dx = dy times the mask."""
        return dy * self.mask


def dropout(x: ArrayLike, p: float, seed: int, layer: int = 0, step: int = 0) -> Array:
    """y (m,n) = x / (1 - p) where the mask is True, else 0."""
    x = floats(x)
    m, n = x.shape
    return x * dropout_mask(m, n, p, seed, layer, step) / (1 - p)


def dropout_mask(m: int, n: int, p: float, seed: int, layer: int = 0, step: int = 0) -> NDArray[np.bool_]:
    """(m,n): False with probability p, with the core's random numbers: a key for each row, 32 bits for each number."""
    if not 0 <= p < 1:
        raise ValueError(f"p is {p}, accepted are numbers from 0 to below 1")
    keys = random_bits(seed, 0x64726F706F7574 + layer, (step << 32) + np.arange(m, dtype=np.uint64))[:, None]
    low, high = (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32), (keys >> np.uint64(32)).astype(np.uint32)
    h = np.arange(n, dtype=np.uint32) * np.uint32(0x9E3779B1) + low
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B) ^ high
    h = (h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return np.asarray((h ^ (h >> np.uint32(16))) >= math.floor(p * 2**32))


def random_bits(seed: int, stream: int, counter: Bits) -> Bits:
    """64 random bits for each counter: SplitMix64 (Steele, Lea & Flood 2014) with a key from seed and stream."""
    golden, modulus = 0x9E3779B97F4A7C15, 2**64
    first = _mix(np.array([(seed + golden) % modulus], np.uint64))
    key = _mix(first + np.uint64(golden * (stream + 1) % modulus))
    return _mix(key + np.uint64(golden) * (counter + np.uint64(1)))


def _mix(x: Bits) -> Bits:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
