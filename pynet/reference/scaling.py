"""Scaling: inputs brought to mean 0 and deviation 1, and outputs back to the unit of their targets."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pynet.reference.arrays import Array, floats, same
from pynet.reference.layers import Layer


def standardize(x: ArrayLike, mean: ArrayLike, scale: ArrayLike) -> Array:
    """y (m,n) = (x - mean) / scale; mean and scale (n)."""
    return np.asarray((floats(x) - floats(mean)) / floats(scale))


def standardize_grad(dy: ArrayLike, scale: ArrayLike) -> Array:
    """dx (m,n) = dy / scale."""
    return np.asarray(floats(dy) / floats(scale))


def rescale(x: ArrayLike, mean: ArrayLike, scale: ArrayLike) -> Array:
    """y (m,n) = x scale + mean; mean and scale (n)."""
    return np.asarray(floats(x) * floats(scale) + floats(mean))


def rescale_grad(dy: ArrayLike, scale: ArrayLike) -> Array:
    """dx (m,n) = dy scale."""
    return np.asarray(floats(dy) * floats(scale))


class Scaling(Layer):
    """A mean and a scale for each feature, or channel of images (m, channels, ...), which no step changes."""

    def __init__(self, mean: ArrayLike, scale: ArrayLike) -> None:
        super().__init__()
        self.mean, self.scale = np.array(mean, np.float64), np.array(scale, np.float64)
        same("shape of scale", self.scale.shape, self.mean.shape)

    def for_samples(self, x: Array) -> tuple[Array, Array]:
        """mean and scale in the shape that goes with x (m, ...)."""
        shape = (-1, *[1] * (x.ndim - 2))
        return self.mean.reshape(shape), self.scale.reshape(shape)


class Standardize(Scaling):
    """y = (x - mean) / scale, the first layer."""

    def forward(self, x: Array) -> Array:
        """y = (x - mean) / scale."""
        return standardize(x, *self.for_samples(x))

    def backward(self, dy: Array) -> Array:
        """dx = dy / scale."""
        return standardize_grad(dy, self.for_samples(dy)[1])


class Rescale(Scaling):
    """y = x scale + mean, the last layer. The loss compares its x with targets standardised alike."""

    def forward(self, x: Array) -> Array:
        """y = x scale + mean."""
        return rescale(x, *self.for_samples(x))

    def backward(self, dy: Array) -> Array:
        """dx = dy scale."""
        return rescale_grad(dy, self.for_samples(dy)[1])
