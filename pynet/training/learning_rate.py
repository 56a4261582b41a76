"""The learning-rate range test (Smith 2017): trains with growing rates to see where the loss falls."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pynet._ffi import plain
from pynet.data.dataset import Dataset
from pynet.data.splits import batches
from pynet.model.net import Net, OptimizerState
from pynet.optim import Optimizer
from pynet.training.arguments import optimizer_for, whole
from pynet.training.batches import accept_whole_numbers

SMOOTHING = 0.9  # decay of the running mean of the losses
DIVERGED = 4.0  # stop at this multiple of the lowest loss: larger rates would be worse still


@dataclass(frozen=True)
class RateSearch:
    """Learning rates in the order they were tried, the loss of the batch at each, and its running mean.

    suggestion: a tenth of the rate at which the mean was lowest, as a long training needs smaller steps than a short
    test (after Smith 2017), but at most the rate at which the mean had fallen half-way, and within the range tried.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]

    @property
    def suggestion(self) -> float:
        """The suggested rate, rounded to one digit and limited to the range tried."""
        lowest = int(np.argmin(self.smoothed))
        middle = (self.smoothed[0] + self.smoothed[lowest]) / 2
        above = [i for i in range(lowest) if self.smoothed[i] > middle]
        half = self.rates[above[-1] + 1] if above else self.rates[0]
        rounded = float(f"{min(self.rates[lowest] / 10, half):.0e}")
        return min(max(rounded, self.rates[0]), self.rates[-1])

    def __str__(self) -> str:
        rows = ["learning rate    loss"]
        step = max(1, len(self.rates) // 20)
        top = min(max(self.smoothed), 1.5 * self.smoothed[0])  # a longer bar would flatten all others
        for rate, loss in list(zip(self.rates, self.smoothed, strict=True))[::step]:
            rows.append(f"{rate:>13.2e}  {loss:>6.3f}  {'#' * min(round(40 * loss / top), 40)}{'>' * (loss > top)}")
        if min(self.smoothed) == self.smoothed[0]:
            rows.append("the loss fell at none of these rates: try others, or check the data and the network")
        return "\n".join([*rows, f"suggestion: {self.suggestion:g}"])


def find_lr(
    net: Net,
    data: Dataset | tuple[npt.ArrayLike, npt.ArrayLike] | list[npt.ArrayLike],
    *,
    optimizer: Optimizer | str | None = None,
    batch_size: int = 64,
    lowest: float = 1e-6,
    highest: float = 10.0,
    steps: int = 150,
    seed: int | None = None,
) -> RateSearch:
    """Tries `steps` learning rates from lowest to highest, one mini-batch each, on a copy of net.

    data: a Dataset, for its training samples, or (x, y). optimizer: None is SGD(). Stops early when the loss is far
    above its minimum. ValueError: rates that do not grow, fewer than 10 steps, no samples.
    """
    if not 0 < lowest < highest < math.inf or steps < 10:
        raise ValueError(
            f"{steps} rates from {lowest} to {highest}; accepted: 10 or more, from a rate above 0 to a larger one"
        )
    batch_size = whole(batch_size, "batch_size", 1)
    if isinstance(data, Dataset):
        x, y = data.x_train, data.y_train
    elif isinstance(data, (tuple, list)) and len(data) == 2:
        x, y = plain(data[0], "x"), plain(data[1], "y")
    else:
        raise TypeError(f"data is {data!r:.80}; accepted: (x, y) or a pynet.data.Dataset")
    copy = net.copy()
    accept_whole_numbers(copy, x)
    copy.optimizer_state = OptimizerState("sgd", 0, {})  # without the state of earlier training
    method = optimizer_for(optimizer)
    found = RateSearch([], [], [])
    mean, epoch = 0.0, 0
    rows: Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]] = iter(())
    order = net.seed if seed is None else seed
    for step in range(steps):
        rate = lowest * (highest / lowest) ** (step / (steps - 1))
        batch = next(rows, None)
        if batch is None:
            rows, epoch = batches(x, y, batch_size, order, epoch), epoch + 1
            batch = next(rows, None)
        if batch is None:
            raise ValueError("there are no samples to try learning rates on")
        try:
            loss = copy.train_step(batch[0], batch[1], replace(method, learning_rate=rate))
        except FloatingPointError:
            break
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        found.rates.append(rate)
        found.losses.append(loss)
        found.smoothed.append(mean / (1 - SMOOTHING ** (step + 1)))
        if step > 10 and found.smoothed[-1] > DIVERGED * min(found.smoothed):
            break
    if not found.rates:
        raise ValueError("the loss is not finite with the smallest rate")
    return found
