"""Gradient checking: is backward really the gradient of the loss?"""

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
    """What gradient_check found, by name of parameter: largest relative error, numbers checked, numbers on a kink."""

    errors: dict[str, float]
    checked: dict[str, int]
    skipped: dict[str, int]

    @property
    def worst(self) -> float:
        """The largest error of all; NaN if a gradient was NaN or a tensor could not be checked at all."""
        return float(np.max(list(self.errors.values())))

    def __str__(self) -> str:
        return "\n".join(f"{name:8} {error:.1e}  {self.checked[name]} checked" for name, error in self.errors.items())


def gradient_check(
    net: Any, x: ArrayLike, y: ArrayLike, *, eps: float = 3e-5, floor: float = 1e-5, samples: int = 100, seed: int = 0
) -> GradientCheck:
    """Compares backward with what the word gradient means: nudge one parameter, see how much the loss moves.

    net is a Network of pynet.reference, or of pynet, which goes through from_net; it is not changed. For each tensor up
    to `samples` parameters w, all of them if there are no more, otherwise drawn with seed, are put against the central
    difference (loss(w + eps) - loss(w - eps)) / (2 eps). Its error is of the order eps^2 (Bengio 2012, "Practical
    recommendations for gradient-based training of deep architectures"). The relative error is
    |a - b| / max(|a| + |b|, floor max(loss, 1)): right gradients stay under 1e-5.

    floor: both losses are rounded to some 16 digits, so b cannot be trusted beyond about 1e-16 loss / eps; against a
    gradient that happens to be nearly 0 that would look like a large relative error. eps is as small as that allows.

    Kinks: where a ReLU is on at w + eps and off at w - eps, or the other way round, the loss has no derivative to
    compare with. Such a w is skipped and another drawn. ValueError: the network has no parameters.
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
    """Slope of the loss along number i of parameter w; None if a kink lies between the two ends."""
    kept = w.flat[i]
    losses, sides = [], []
    for end in (kept + eps, kept - eps):
        w.flat[i] = end
        net.forward(x)
        losses.append(net.loss(y))
        sides.append(net.branches())
    w.flat[i] = kept
    if not all(np.array_equal(up, down) for up, down in zip(*sides, strict=True)):
        return None
    return (losses[0] - losses[1]) / (2 * eps)
