"""Saving a trained model without losing a better one: the model that it replaces may be kept as NAME-previous."""

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
class PreviousModel:
    """The model that was replaced: its new path, its accuracy or R2, and that of the new model on the same samples.

    score None: it was trained for other data. new None: the new model was not measured, after a second Ctrl-C.
    """

    place: Path
    score: float | None
    new: float | None
    task: TaskKind = "classes"

    def __str__(self) -> str:
        if self.new is None:
            return f"the previous model is kept as {self.place}"
        if self.score is None:
            return f"the previous model, for other data, is kept as {self.place}"
        if self.task == "regression":
            figures = f"R2 {self.score:.4g} against {self.new:.4g}"
        else:
            figures = f"accuracy {percent(self.score)} against {percent(self.new)}"
        return f"the previous model was better and is kept as {self.place}: {figures} on the same samples"


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
            return PreviousModel(place, before, new, task.net.task)
    old.save(place)
    return PreviousModel(place, score, new, task.net.task)


def _score(net: Network, task: Task) -> float | None:
    """Accuracy on the test set, or on the training samples if there is none; None: the model is for other data."""
    try:
        dataset = data_options.adapted(net, task.data, "the model")
    except ValueError:
        return None
    return net.evaluate(*data_options.samples(dataset, "test" if len(dataset.x_test) else "train")).score
