"""The optimizers: updates of parameters by their gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pynet.reference.arrays import Array, floats


def sgd(w: NDArray[Any], dw: ArrayLike, learning_rate: float) -> None:
    """w -= learning_rate dw, in place: stochastic gradient descent (Robbins & Monro 1951)."""
    w -= learning_rate * floats(dw)


def momentum(
    w: NDArray[Any],
    velocity: NDArray[Any],
    dw: ArrayLike,
    learning_rate: float,
    momentum: float = 0.9,
    nesterov: bool = False,
) -> None:
    """Momentum, the heavy ball method (Polyak 1964).

    velocity = momentum velocity + dw, w -= learning_rate velocity, in place.

    nesterov: the step is momentum velocity + dw, which looks one step ahead (Nesterov 1983; in this form Sutskever et
    al. 2013).
    """
    dw = floats(dw)
    velocity[...] = momentum * velocity + dw
    w -= learning_rate * (momentum * velocity + dw if nesterov else velocity)


def rmsprop(
    w: NDArray[Any],
    square: NDArray[Any],
    dw: ArrayLike,
    learning_rate: float,
    beta2: float = 0.99,
    epsilon: float = 1e-8,
) -> None:
    """Divides the gradient by the root of a running mean of its square (Tieleman & Hinton 2012).

    square = beta2 square + (1 - beta2) dw^2, w -= learning_rate dw / (sqrt(square) + epsilon), in place.
    """
    dw = floats(dw)
    square[...] = beta2 * square + (1 - beta2) * dw**2
    w -= learning_rate * dw / (np.sqrt(square) + epsilon)


def adam(
    w: NDArray[Any],
    mean: NDArray[Any],
    square: NDArray[Any],
    dw: ArrayLike,
    step: int,
    learning_rate: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
) -> None:
    """A running mean of the gradient, divided by the root of a running mean of its square, in place (Kingma & Ba 2015).

    Both means start at 0, a bias that division by 1 - beta^step corrects, with step from 1. weight_decay is decoupled
    from the means (AdamW, Loshchilov & Hutter 2019).
    """
    dw = floats(dw)
    mean[...] = beta1 * mean + (1 - beta1) * dw
    square[...] = beta2 * square + (1 - beta2) * dw**2
    m, s = mean / (1 - beta1**step), square / (1 - beta2**step)
    w -= learning_rate * (m / (np.sqrt(s) + epsilon) + weight_decay * w)


class Optimizer:
    """One of "sgd", "momentum", "nesterov", "rmsprop", "adam" for all parameters of a network, with its state.

    Gradients are clipped first: each element to [-clip_value, clip_value], or all scaled by one factor so that their
    norm is at most clip_norm (Pascanu, Mikolov & Bengio 2013). l2 adds l2 w to a gradient; weight_decay subtracts
    learning_rate weight_decay w from w. Both apply to tensors of two axes or more, unless decay_all.
    """

    def __init__(
        self,
        kind: str,
        learning_rate: float,
        *,
        momentum: float = 0.9,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        l2: float = 0.0,
        weight_decay: float = 0.0,
        decay_all: bool = False,
        clip_value: float = math.inf,
        clip_norm: float = math.inf,
    ) -> None:
        if kind not in ("sgd", "momentum", "nesterov", "rmsprop", "adam"):
            raise ValueError(f"unknown optimizer {kind!r}, accepted are sgd, momentum, nesterov, rmsprop, adam")
        if not 0 < learning_rate < math.inf:
            raise ValueError(f"learning_rate is {learning_rate}, accepted are finite numbers above 0")
        self.kind, self.learning_rate, self.momentum = kind, learning_rate, momentum
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.l2, self.weight_decay, self.decay_all = l2, weight_decay, decay_all
        self.clip_value, self.clip_norm = clip_value, clip_norm
        self.steps = 0
        self.state: dict[str, tuple[Array, Array]] = {}

    def step(self, parameters: dict[str, Array], gradients: dict[str, Array]) -> None:
        """One step for all parameters, in place."""
        self.steps += 1
        norm = math.sqrt(sum(float((g**2).sum()) for g in gradients.values()))
        scale = min(1.0, self.clip_norm / norm) if norm else 1.0
        for name, w in parameters.items():
            decays = self.decay_all or w.ndim > 1
            g = np.clip(gradients[name] * scale, -self.clip_value, self.clip_value) + (self.l2 * w if decays else 0)
            if decays:
                w *= 1 - self.learning_rate * self.weight_decay
            self._update(w, g, *self.state.setdefault(name, (np.zeros_like(w), np.zeros_like(w))))

    def _update(self, w: Array, g: Array, a: Array, b: Array) -> None:
        if self.kind == "sgd":
            sgd(w, g, self.learning_rate)
        elif self.kind == "rmsprop":
            rmsprop(w, a, g, self.learning_rate, self.beta2, self.epsilon)
        elif self.kind == "adam":
            adam(w, a, b, g, self.steps, self.learning_rate, self.beta1, self.beta2, self.epsilon)
        else:
            momentum(w, a, g, self.learning_rate, self.momentum, self.kind == "nesterov")
