"""Learning-rate schedules, as small descriptions: what the optimizer's learning rate is multiplied by, step by step.

>>> net.fit(x, y, epochs=10, optimizer=Adam(), schedule=Cosine(warmup=1))

Time is counted in epochs and runs on within them; per_epoch holds the rate still until the next one begins.
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
    """What all schedules take.

    warmup: epochs in which the rate first grows in a line (Goyal et al. 2017), before the schedule itself begins.
    """

    name: ClassVar[str]
    _accepted: ClassVar[dict[str, tuple[float, float]]] = {}  # the least and the most of each field
    warmup: float = field(default=0.0, kw_only=True)
    per_epoch: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        for name, (least, most) in {"warmup": (0, math.inf), **self._accepted}.items():
            value = getattr(self, name)
            if not least <= value <= most or math.isinf(value):
                numbers = f"a number from {least:g} to {most:g}" if most < math.inf else f"a number, {least:g} or more"
                raise ValueError(f"{name} of the schedule {self.name} is {value}; accepted: {numbers}")

    def factors(self, epoch: int, epochs: int, steps: int, losses: Sequence[float] = ()) -> Floats:
        """The factor of each step (steps,) of an epoch, counted from 0, of so many; losses of the epochs before it."""
        step = np.arange(steps)
        time = epoch + (np.zeros(steps) if self.per_epoch else step / steps)
        after = np.maximum(time - self.warmup, 0)
        factors = self.shape(after, max(epochs - self.warmup, 1e-9)) * self.plateau(losses)
        if self.warmup:
            factors = factors * np.minimum((epoch * steps + step + 1) / (self.warmup * steps), 1)
        return factors

    def shape(self, time: Floats, epochs: float) -> Floats:
        """The factor at these times, in epochs since the warm-up, of so many."""
        return np.ones_like(time)

    def plateau(self, losses: Sequence[float]) -> float:
        """The factor that the losses so far call for."""
        return 1.0

    def __str__(self) -> str:
        given = [f for f in fields(self) if getattr(self, f.name) != f.default]
        arguments = ",".join(f"{f.name}={getattr(self, f.name):g}" for f in given)
        return f"{self.name}({arguments})" if arguments else self.name


@dataclass(frozen=True)
class Constant(Schedule):
    """The learning rate as it is."""

    name = "constant"


@dataclass(frozen=True)
class StepDecay(Schedule):
    """Multiplied by factor every so many epochs."""

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
    """From begin, where share is 0, to end, where it is 1, along half a cosine."""
    return np.asarray(end + (begin - end) * (1 + np.cos(np.pi * np.clip(fraction, 0, 1))) / 2)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Down to the share `final` along half a cosine (Loshchilov and Hutter 2017)."""

    name = "cosine"
    _accepted: ClassVar = {"final": (0, 1)}
    final: float = 0.0

    def shape(self, time: Floats, epochs: float) -> Floats:
        """final + (1 - final) (1 + cos(pi time / epochs)) / 2."""
        return _cosine(time / epochs, 1, self.final)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up from the share `start` in the first `rise` of the time, then down to the share `final` (Smith and Topin 2019).

    Both along half a cosine.
    """

    name = "onecycle"
    _accepted: ClassVar = {"rise": (0, 1), "start": (0, 1), "final": (0, 1)}
    rise: float = 0.3
    start: float = 0.04
    final: float = 0.0

    def shape(self, time: Floats, epochs: float) -> Floats:
        """Two halves of a cosine."""
        fraction = time / epochs
        up = _cosine(fraction / max(self.rise, 1e-9), self.start, 1)
        return np.where(
            fraction < self.rise, up, _cosine((fraction - self.rise) / max(1 - self.rise, 1e-9), 1, self.final)
        )


@dataclass(frozen=True)
class ReduceOnPlateau(Schedule):
    """Multiplied by factor whenever the loss, on the validation data if there are any, has not fallen for more than
    `patience` epochs: by `threshold` of itself or more."""

    name = "plateau"
    _accepted: ClassVar = {"factor": (0, 1), "patience": (0, math.inf), "threshold": (0, 1)}
    factor: float = 0.1
    patience: int = 2
    threshold: float = 1e-4

    def plateau(self, losses: Sequence[float]) -> float:
        """factor^(how often the losses stopped falling)."""
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
    """The schedule of a text such as "cosine" or "step(every=5,factor=0.5)". ValueError: it is none."""
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
