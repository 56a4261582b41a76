"""Optimizers, as descriptions: the core does the arithmetic, and has the defaults that None stands for.

The state (velocities, means of gradients, the number of steps) belongs to the network: see Network.optimizer_state.
"""

from __future__ import annotations

import difflib
from dataclasses import InitVar, dataclass, field
from typing import ClassVar

__all__ = ["OPTIMIZERS", "SGD", "Adam", "AdamW", "Momentum", "Nesterov", "Optimizer", "RMSProp", "as_optimizer"]


@dataclass(frozen=True)
class Optimizer:
    """Options of all optimizers. w is a parameter and g its gradient.

    Applied in this order: clip_value clips each element of g to [-clip_value, clip_value], or clip_norm scales all
    gradients together so that their global L2 norm is at most clip_norm (Pascanu, Mikolov and Bengio 2013); l2 adds l2
    * w to g; weight_decay subtracts learning_rate * weight_decay * w from w, decoupled from the optimizer (Loshchilov
    and Hutter 2019). l2 and weight_decay apply to weights only; with decay_all also to biases and the parameters of
    normalisation. PyTorch's weight_decay is l2 here, except in its AdamW. lr is another name for learning_rate.
    """

    kind: ClassVar[str]
    learning_rate: float | None = None
    l2: float | None = field(default=None, kw_only=True)
    weight_decay: float | None = field(default=None, kw_only=True)
    decay_all: bool | None = field(default=None, kw_only=True)
    clip_value: float | None = field(default=None, kw_only=True)
    clip_norm: float | None = field(default=None, kw_only=True)
    lr: InitVar[float | None] = field(default=None, kw_only=True)

    def __post_init__(self, lr: float | None) -> None:
        if lr is not None and self.learning_rate is not None:
            raise TypeError(f"learning_rate {self.learning_rate} and lr {lr} are the same thing; accepted: one of them")
        if lr is not None:
            object.__setattr__(self, "learning_rate", lr)


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent: w -= learning_rate * g (Robbins and Monro 1951).

    Defaults: learning rate 0.1.
    """

    kind = "sgd"


@dataclass(frozen=True)
class Momentum(Optimizer):
    """velocity = momentum * velocity + g; w -= learning_rate * velocity (Polyak 1964).

    Defaults: learning rate 0.01, momentum 0.9.
    """

    kind = "momentum"
    momentum: float | None = None


@dataclass(frozen=True)
class Nesterov(Momentum):
    """As Momentum, but w -= learning_rate * (momentum * velocity + g) (Nesterov 1983; Sutskever et al. 2013)."""

    kind = "nesterov"


@dataclass(frozen=True)
class RMSProp(Optimizer):
    """square = beta2 * square + (1 - beta2) * g^2; w -= learning_rate * g / (sqrt(square) + epsilon).

    Tieleman and Hinton 2012. Defaults: learning rate 0.001, beta2 0.99, epsilon 1e-8.
    """

    kind = "rmsprop"
    beta2: float | None = None
    epsilon: float | None = None


@dataclass(frozen=True)
class Adam(Optimizer):
    """w -= learning_rate * mean / (sqrt(square) + epsilon), with running means of g and g^2 (Kingma and Ba 2015).

    mean = beta1 * mean + (1 - beta1) * g; square = beta2 * square + (1 - beta2) * g^2; both start at
    zero, which step t corrects by dividing them by 1 - beta^t. Defaults: learning rate 0.001, beta1 0.9, beta2 0.999,
    epsilon 1e-8.
    """

    kind = "adam"
    beta1: float | None = None
    beta2: float | None = None
    epsilon: float | None = None


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with a default weight_decay of 0.01 (Loshchilov and Hutter 2019)."""

    kind = "adamw"


OPTIMIZERS: dict[str, type[Optimizer]] = {
    optimizer.kind: optimizer for optimizer in (SGD, Momentum, Nesterov, RMSProp, Adam, AdamW)
}


def as_optimizer(optimizer: Optimizer | str) -> Optimizer:
    """An optimizer unchanged, or that of a name: "adam" is Adam(). TypeError, ValueError: it is neither."""
    if isinstance(optimizer, str):
        name = optimizer.lower()
        if name not in OPTIMIZERS:
            near = difflib.get_close_matches(name, OPTIMIZERS, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"optimizer is {optimizer!r:.80}; {hint}accepted: {', '.join(OPTIMIZERS)}")
        return OPTIMIZERS[name]()
    if not isinstance(optimizer, Optimizer) or type(optimizer) is Optimizer:
        kinds = ", ".join(f"{kind.__name__}()" for kind in OPTIMIZERS.values())
        raise TypeError(f"optimizer is {optimizer!r:.80}; accepted: {kinds}, or a name such as 'adam'")
    return optimizer
