"""What becomes of a trained model, and of the one whose place it takes: nothing that was better gets lost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pynet.commands import data_options
from pynet.commands.train_task import Task
from pynet.inference import previous_of
from pynet.model.task import TaskKind
from pynet.network import Network, load
from pynet.text import percent


@dataclass(frozen=True)
class Kept:
    """A model from before, where it is now, its accuracy or R2 on the samples that the new one was measured on, and
    that of the new one. score None: it is for other data; new None: there are no figures."""

    place: Path
    score: float | None
    new: float | None
    task: TaskKind = "classes"

    def __str__(self) -> str:
        if self.new is None:
            return f"{self.place} keeps the model that was there before"
        if self.score is None:
            return f"{self.place} keeps the model that was there before, for other data"
        if self.task == "regression":
            figures = f"R2 {self.score:.4g} on the same samples against {self.new:.4g}"
        else:
            figures = f"{percent(self.score)} of the same samples against {percent(self.new)}"
        return f"{self.place} keeps a better model from before: {figures}"


def learnt_nothing(task: Task, trained: bool, learnt: float | None, test: float | None) -> str:
    """Why there is nothing that the network has learnt; "" if there is.

    trained: did the weights change at all? learnt: accuracy or R2 on the training samples after the last epoch; test:
    on the test set; None where there is none.
    """
    if not trained:
        return "no epoch was trained"
    found = []
    for kind, score, y in (("training", learnt, task.data.y_train), ("test", test, task.data.y_test)):
        if score is None or math.isnan(score):  # R2 of targets that are all the same
            continue
        guess = 0.0 if task.net.task == "regression" else float(np.bincount(y).max() / len(y))
        if score > guess:
            return ""
        if task.net.task == "regression":
            found.append(f"the {kind} R2 is {score:.4g}, the mean of the targets has 0")
        else:
            found.append(f"the {kind} accuracy is {percent(score)}, the largest class has {percent(guess)}")
    return "; ".join(found)


def keep_better(task: Task, target: Path, new: float | None) -> Kept | None:
    """Saves the model at target as NAME-previous, if it is better than the new one on the same samples, else None.

    So is one for other data, or any if new is None. What lies there from before gives way to a better one alone.
    """
    old, place = load(target), previous_of(target)
    score = before = None
    if new is not None and not math.isnan(new):
        score = _score(old, task)
        before = _score(load(place), task) if place.exists() else None
        if score is not None and score <= new:
            return None
        if before is not None and before > max(new, -math.inf if score is None else score):
            return Kept(place, before, new, task.net.task)
    old.save(place)
    return Kept(place, score, new, task.net.task)


def _score(net: Network, task: Task) -> float | None:
    """On the test set, or on the training samples where there is none; None: the model is for other data."""
    try:
        chosen = data_options.suited(net, task.data, "the model")
    except ValueError:
        return None
    return net.evaluate(*data_options.samples(chosen, "test" if len(chosen.x_test) else "train")).score
