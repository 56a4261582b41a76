"""Learning-rate schedules: the factor for the optimizer's learning rate in each step.

>>> net.fit(x, y, epochs=10, optimizer=Adam(), schedule=Cosine(warmup=1))

Time is measured in epochs, with fractions for the steps within an epoch; per_epoch changes the rate only between
epochs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Constant", "Cosine", "Exponential", "OneCycle", "ReduceOnPlateau", "Schedule", "StepDecay", "parse"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Schedule:
    """Options of all schedules.

    warmup: epochs of linear warm-up (Goyal et al. 2017) before the schedule itself starts. per_epoch: keep the rate
    constant within an epoch.
    """

    name: ClassVar[str]
    _accepted: ClassVar[dict[str, tuple[float, float]]] = {}  # accepted range of each field
    warmup: float = field(default=0.0, kw_only=True)
    per_epoch: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        for name, (least, most) in {"warmup": (0, math.inf), **self._accepted}.items():
            value = getattr(self, name)
            if not least <= value <= most or math.isinf(value):
                numbers = f"a number from {least:g} to {most:g}" if most < math.inf else f"a number, {least:g} or more"
                raise ValueError(f"{name} of the schedule {self.name} is {value}; accepted: {numbers}")

    def factors(self, epoch: int, epochs: int, steps: int, losses: Sequence[float] = ()) -> Floats:
        """The factor of each step (steps,) of epoch number `epoch`, from 0; losses: of the epochs before it."""
        step = np.arange(steps)
        time = epoch + (np.zeros(steps) if self.per_epoch else step / steps)
        after = np.maximum(time - self.warmup, 0)
        factors = self.shape(after, max(epochs - self.warmup, 1e-9)) * self.plateau(losses)
        if self.warmup:
            factors = factors * np.minimum((epoch * steps + step + 1) / (self.warmup * steps), 1)
        return factors

    def shape(self, time: Floats, epochs: float) -> Floats:
        """The factor at these times, in epochs since the warm-up; epochs: those after the warm-up in all."""
        return np.ones_like(time)

    def plateau(self, losses: Sequence[float]) -> float:
        """The factor that depends on the losses so far."""
        return 1.0

    def __str__(self) -> str:
        given = [f for f in fields(self) if getattr(self, f.name) != f.default]
        arguments = ",".join(f"{f.name}={getattr(self, f.name):g}" for f in given)
        return f"{self.name}({arguments})" if arguments else self.name


@dataclass(frozen=True)
class Constant(Schedule):
    """A constant learning rate."""

    name = "constant"


@dataclass(frozen=True)
class StepDecay(Schedule):
    """Multiplied by factor once every `every` epochs."""

    name = "step"
    _accepted: ClassVar = {"every": (1e-6, math.inf), "factor": (0, 1)}
    every: float = 10.0
    factor: float = 0.1

    def shape(self, time: Floats, epochs: float) -> Floats:
        """factor^floor(time / every)."""
        return np.asarray(self.factor ** np.floor(time / self.every))


@dataclass(frozen=True)
class Exponential(Schedule):
    """Multiplied by factor in each epoch."""

    name = "exponential"
    _accepted: ClassVar = {"factor": (0, 1)}
    factor: float = 0.9

    def shape(self, time: Floats, epochs: float) -> Floats:
        """factor^time."""
        return np.asarray(self.factor**time)


def _cosine(fraction: Floats, begin: float, end: float) -> Floats:
    """From begin, where fraction is 0, to end, where it is 1, along half a cosine."""
    return np.asarray(end + (begin - end) * (1 + np.cos(np.pi * np.clip(fraction, 0, 1))) / 2)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Falls from 1 to `final` along half a cosine (Loshchilov and Hutter 2017)."""

    name = "cosine"
    _accepted: ClassVar = {"final": (0, 1)}
    final: float = 0.0

    def shape(self, time: Floats, epochs: float) -> Floats:
        """final + (1 - final) (1 + cos(pi time / epochs)) / 2."""
        return _cosine(time / epochs, 1, self.final)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Rises from `start` to 1 in the fraction `rise` of the time, then falls to `final` (Smith and Topin 2019).

    Both parts follow half a cosine.
    """

    name = "onecycle"
    _accepted: ClassVar = {"rise": (0, 1), "start": (0, 1), "final": (0, 1)}
    rise: float = 0.3
    start: float = 0.04
    final: float = 0.0

    def shape(self, time: Floats, epochs: float) -> Floats:
        """Half a cosine up, then half a cosine down."""
        fraction = time / epochs
        up = _cosine(fraction / max(self.rise, 1e-9), self.start, 1)
        return np.where(
            fraction < self.rise, up, _cosine((fraction - self.rise) / max(1 - self.rise, 1e-9), 1, self.final)
        )


@dataclass(frozen=True)
class ReduceOnPlateau(Schedule):
    """Multiplied by factor when the loss has not improved for more than `patience` epochs.

    The loss is that of the validation set if there is one; an improvement is a relative fall by more than `threshold`.
    """

    name = "plateau"
    _accepted: ClassVar = {"factor": (0, 1), "patience": (0, math.inf), "threshold": (0, 1)}
    factor: float = 0.1
    patience: int = 2
    threshold: float = 1e-4

    def plateau(self, losses: Sequence[float]) -> float:
        """factor^(number of plateaus so far)."""
        best, bad, factor = math.inf, 0, 1.0
        for loss in losses:
            if loss < best * (1 - self.threshold):
                best, bad = loss, 0
            else:
                bad += 1
            if bad > self.patience:
                factor, bad = factor * self.factor, 0
        return factor


SCHEDULES: dict[str, type[Schedule]] = {
    schedule.name: schedule for schedule in (Constant, StepDecay, Exponential, Cosine, OneCycle, ReduceOnPlateau)
}


def parse(text: str) -> Schedule:
    """The schedule of a text such as "cosine" or "step(every=5,factor=0.5)". ValueError: it is not a schedule."""
    found = re.fullmatch(r"\s*(\w+)\s*(?:\(([^()]*)\))?\s*", text)
    kind = SCHEDULES.get(found[1]) if found else None
    if not found or not kind:
        raise ValueError(f"unknown schedule {text!r:.80}; accepted: {', '.join(SCHEDULES)}, as in step(every=5)")
    known = {f.name: f for f in fields(kind)}
    values: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in (found[2] or "").split(","))):
        name, _, value = (side.strip() for side in part.partition("="))
        if name not in known:
            raise ValueError(f"schedule {found[1]} has no {part!r:.80}; accepted: {', '.join(f'{n}=' for n in known)}")
        try:
            values[name] = float(value)
        except ValueError:
            raise ValueError(f"{name} of the schedule {found[1]} is {value!r:.80}; accepted: a number") from None
    return kind(**values)  # type: ignore[arg-type]
