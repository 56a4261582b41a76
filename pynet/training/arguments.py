"""Checks the arguments of fit and find_lr, and converts their short forms."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from pynet.optim import SGD, Optimizer, as_optimizer
from pynet.training.callbacks import EarlyStopping

if TYPE_CHECKING:
    from pynet.schedules import Schedule

Metric = Callable[[npt.NDArray[Any], npt.NDArray[np.float32]], float]
Pair = tuple[npt.ArrayLike, npt.ArrayLike]
Weighted = tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike]  # with the weight of each sample


def whole(value: Any, name: str, least: int) -> int:
    """value as int. TypeError: it is not a whole number; ValueError: it is below least."""
    accepted = f"{name} is {value!r:.80}; accepted: a whole number, {least} or more"
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(accepted) from None
    if number < least:
        raise ValueError(accepted)
    return number


def one_of(value: Any, kind: type, name: str, example: str) -> None:
    """TypeError unless the value is of this type, or None. example: for the message."""
    if value is not None and not isinstance(value, kind):
        raise TypeError(f"{name} is {value!r:.80}; accepted: {example}")


def is_paths(x: Any) -> bool:
    """Whether x is a path, or a list of paths, of .npy files; other texts may be meant as labels."""
    paths = x if isinstance(x, (list, tuple)) else [x]
    named = (isinstance(path, os.PathLike) or (isinstance(path, str) and path.endswith(".npy")) for path in paths)
    return bool(paths) and all(named)


def optimizer_for(optimizer: Optimizer | str | None) -> Optimizer:
    """An optimizer, or that of a name; None is SGD()."""
    return SGD() if optimizer is None else as_optimizer(optimizer)


def schedule_for(schedule: Schedule | str | None) -> Schedule | None:
    """The schedule itself, or the one named by a text such as "cosine". Raises TypeError, ValueError."""
    if schedule is None:
        return None
    from pynet.schedules import Schedule, parse  # imported here: most programs do not need it

    if isinstance(schedule, str):
        return parse(schedule)
    one_of(schedule, Schedule, "schedule", "a pynet.schedules.Schedule, or a text such as 'cosine'")
    return schedule


def early_stopping_for(stopping: EarlyStopping | None) -> EarlyStopping | None:
    """TypeError unless it is an EarlyStopping or None, for example for a number."""
    patience = stopping if isinstance(stopping, int) and not isinstance(stopping, bool) else 5
    one_of(stopping, EarlyStopping, "early_stopping", f"pynet.EarlyStopping(patience={patience})")
    return stopping


def validation_for(validation: Any, fraction: Any) -> tuple[Pair | Weighted | None, float]:
    """(validation data (x, y) or (x, y, weights) or None, fraction of the samples to use for validation or 0)."""
    given = validation is not None
    if given and fraction:
        raise ValueError("validation and validation_split are both given; accepted: one of them")
    if given and isinstance(validation, (tuple, list)) and len(validation) in (2, 3):
        return cast(Pair | Weighted, tuple(validation)), 0.0
    share = validation if given else fraction
    accepted = (
        "(x, y), (x, y, sample_weight), or a fraction of the samples from 0 to below 1"
        if given
        else "a fraction from 0 to below 1"
    )
    text = f"validation{'' if given else '_split'} is {share!r:.80}; accepted: {accepted}"
    if isinstance(share, bool) or not isinstance(share, Real):
        raise TypeError(text)
    if not 0 <= float(share) < 1:
        raise ValueError(text)
    return None, float(share)


def metrics_for(metrics: Any) -> dict[str, Metric]:
    """The metrics by name; a function without a name gets its __name__."""
    if metrics is None:
        return {}
    functions = [metrics] if callable(metrics) else metrics
    if isinstance(functions, Iterable) and not isinstance(functions, (str, Mapping)):
        functions = {getattr(function, "__name__", str(function)): function for function in functions}
    if not isinstance(functions, Mapping) or not all(map(callable, functions.values())):
        raise TypeError(
            f"metrics is {metrics!r:.80}; accepted: {{'f1': f}} or [f], with functions f(y, p) that give a number; "
            "loss and accuracy are always measured"
        )
    return dict(functions)
