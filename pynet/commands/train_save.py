"""Saving a trained model without losing a better one: the model that it replaces may be kept as NAME-previous."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pynet._ffi import Array
from pynet.commands import data_options
from pynet.commands.train_task import Task
from pynet.inference import previous_of
from pynet.model.task import TaskKind
from pynet.network import Network, load
from pynet.text import percent

SURELY = 0.05  # of the accuracy: so much more than by guessing counts as learnt, however few samples there are


@dataclass(frozen=True)
class PreviousModel:
    """A model kept as NAME-previous: its path, its accuracy or R2, and that of the new model on the same samples.

    score None: it was trained for other data. new None: the new model was not measured, after a second Ctrl-C.
    stayed: it was there already, and is better than the model that was replaced now, which had the score replaced, or
    None.
    """

    place: Path
    score: float | None
    new: float | None
    task: TaskKind = "classes"
    stayed: bool = False
    replaced: float | None = None

    def __str__(self) -> str:
        if self.new is None:
            return f"the previous model is kept as {self.place}"
        if self.score is None:
            return f"the previous model, for other data, is kept as {self.place}"
        name = "R2" if self.task == "regression" else "accuracy"
        figures = f"{name} {self._figure(self.score)} against {self._figure(self.new)} on the same samples"
        if not self.stayed:
            return f"the previous model was better and is kept as {self.place}: {figures}"
        gone = "was for other data" if self.replaced is None else f"had {self._figure(self.replaced)}"
        return f"an earlier model is the best and stays {self.place}: {figures}; the model replaced now {gone}"

    def _figure(self, score: float) -> str:
        return f"{score:.4g}" if self.task == "regression" else percent(score)


def learnt_nothing(task: Task, trained: bool) -> str:
    """Why there is nothing that the network has learnt; "" if there is. trained: did the weights change at all?"""
    if not trained:
        return "no epoch was trained"
    found = []
    for kind, x, y in (
        ("test", task.data.x_test, task.data.y_test),
        ("training", task.data.x_train, task.data.y_train),
    ):
        if not len(y):
            continue
        score = task.net.evaluate(x, y).score
        if math.isnan(score):  # R2 of targets that are all the same
            continue
        if task.net.task == "regression":
            if score > 0:
                return ""
            found.append(f"the {kind} R2 is {score:.4g}, the mean of the targets has 0")
        else:
            guess, deviation = _by_chance(y, task.net.predict(x))
            if score > guess + min(2 * deviation, SURELY) or (score == 1 and guess < 1):
                return ""
            found.append(f"the {kind} accuracy is {percent(score)}, guessing gives {percent(guess)}")
    return "; ".join(reversed(found))


def _by_chance(y: Array, predictions: Array) -> tuple[float, float]:
    """The mean and the standard deviation of the accuracy that as many predictions of each class have, assigned to
    samples at random (J. Fleiss, J. Cohen, B. Everitt 1969)."""
    classes = 1 + int(max(y.max(), predictions.max()))
    p, q = (np.bincount(labels, minlength=classes) / len(y) for labels in (y, predictions))
    mean = float(p @ q)
    return mean, math.sqrt(max(mean + mean**2 - float((p * q) @ (p + q)), 0) / len(y))


def keep_better_model(task: Task, target: Path, new: float | None) -> PreviousModel | None:
    """Saves the model at target as NAME-previous if it is better than the new one on the same samples; else None.

    A model for other data is saved too, and any model if new is None. An existing NAME-previous is replaced only by a
    better model.
    """
    old, place = load(target), previous_of(target)
    score = before = None
    if new is not None and not math.isnan(new):
        score = _score(old, task)
        before = _score(load(place), task) if place.exists() else None
        if score is not None and score <= new:
            return None
        if before is not None and before > max(new, -math.inf if score is None else score):
            return PreviousModel(place, before, new, task.net.task, stayed=True, replaced=score)
    old.save(place)
    return PreviousModel(place, score, new, task.net.task)


def _score(net: Network, task: Task) -> float | None:
    """Accuracy on the test set, or on the training samples if there is none; None: the model is for other data."""
    try:
        dataset = data_options.adapted(net, task.data, "the model")
    except ValueError:
        return None
    return net.evaluate(*data_options.samples(dataset, "test" if len(dataset.x_test) else "train")).score
