"""Gradient checking: compares backward with finite differences of the loss."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pynet.reference import Array, Network


@dataclass(frozen=True)
class GradientCheck:
    """By name of parameter: the largest relative error, and how many elements were checked, and skipped at a kink."""

    errors: dict[str, float]
    checked: dict[str, int]
    skipped: dict[str, int]

    @property
    def worst(self) -> float:
        """The largest error; NaN if a gradient was NaN or no element of a tensor could be checked."""
        return float(np.max(list(self.errors.values())))

    def __str__(self) -> str:
        return "\n".join(f"{name:8} {error:.1e}  {self.checked[name]} checked" for name, error in self.errors.items())


def gradient_check(
    net: Any, x: ArrayLike, y: ArrayLike, *, eps: float = 3e-5, floor: float = 1e-5, samples: int = 100, seed: int = 0
) -> GradientCheck:
    """Compares the gradients of backward with central differences of the loss.

    net: a Network of pynet.reference, or of pynet, which is converted by from_net; it is not changed. In each parameter
    tensor, up to `samples` elements w, drawn at random with seed, are compared with (loss(w + eps) - loss(w - eps)) /
    (2 eps), whose error is of the order eps^2 (Bengio 2012, "Practical recommendations for gradient-based training of
    deep architectures"). The relative error is |a - b| / max(|a| + |b|, floor max(loss, 1)); it stays below 1e-5 for
    correct gradients.

    floor: losses are rounded to about 16 digits, so b has an absolute error of about 1e-16 loss / eps, which would be a
    large relative error of a gradient near 0. eps is as small as that rounding allows.

    Kinks: if a ReLU is active at w + eps and inactive at w - eps, or vice versa, the loss may have no derivative there;
    such a w is skipped and another one drawn. ValueError: the network has no parameters.
    """
    net = copy.deepcopy(net) if isinstance(net, Network) else Network.from_net(net)
    outputs = net.forward(x)
    if outputs[0].size == 1 == np.ndim(y) and net.loss_name != "cross_entropy":
        y = np.reshape(np.asarray(y, np.float64), (-1, 1))  # as pynet takes the targets of a single output
    floor *= max(1.0, net.loss(y))
    net.backward()
    gradients = net.gradients()
    if not gradients:
        raise ValueError("this network has no parameters to check")
    result = GradientCheck({}, {}, {})
    for name, w in net.parameters().items():
        errors: list[float] = []
        skipped = 0
        for i in np.random.default_rng(seed).permutation(w.size):
            if len(errors) == samples:
                break
            numeric = _central_difference(net, w, int(i), x, y, eps)
            if numeric is None:
                skipped += 1
                continue
            exact = float(gradients[name].flat[i])
            errors.append(abs(exact - numeric) / max(abs(exact) + abs(numeric), floor))
        result.errors[name] = float(np.max(errors)) if errors else math.nan
        result.checked[name], result.skipped[name] = len(errors), skipped
    return result


def _central_difference(net: Network, w: Array, i: int, x: ArrayLike, y: ArrayLike, eps: float) -> float | None:
    """The slope of the loss along element i of parameter w; None if there is a kink between the two points."""
    original = w.flat[i]
    losses, branches = [], []
    for end in (original + eps, original - eps):
        w.flat[i] = end
        net.forward(x)
        losses.append(net.loss(y))
        branches.append(net.branches())
    w.flat[i] = original
    if not all(np.array_equal(up, down) for up, down in zip(*branches, strict=True)):
        return None
    return (losses[0] - losses[1]) / (2 * eps)
