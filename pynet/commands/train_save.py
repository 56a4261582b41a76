"""Saving a trained model without losing a better one: the model that it replaces may be kept as NAME-previous."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pynet.commands import data_options
from pynet.commands.train_task import Task
from pynet.inference import previous_of
from pynet.network import Network, load
from pynet.text import percent


@dataclass(frozen=True)
class PreviousModel:
    """The model that was replaced: its new path, its accuracy, and the new model's accuracy on the same samples.

    accuracy None: it was trained for other data. new None: the new model was not measured, after a second Ctrl-C.
    """

    place: Path
    accuracy: float | None
    new: float | None

    def __str__(self) -> str:
        if self.new is None:
            return f"the previous model is kept as {self.place}"
        if self.accuracy is None:
            return f"the previous model, for other data, is kept as {self.place}"
        figures = f"accuracy {percent(self.accuracy)} against {percent(self.new)} on the same samples"
        return f"the previous model was better and is kept as {self.place}: {figures}"


def learnt_nothing(task: Task, trained: bool, accuracy: float | None, test: float | None) -> str:
    """Why the network counts as untrained, or "" if it has learnt something.

    trained: whether the weights changed. accuracy: on the training samples in the last epoch. test: accuracy on the
    test set. None: not measured.
    """
    if not trained:
        return "no epoch was trained"
    reasons = []
    for kind, accuracy_of, labels in (("training", accuracy, task.data.y_train), ("test", test, task.data.y_test)):
        if accuracy_of is not None:
            largest = float(np.bincount(labels).max() / len(labels))
            if accuracy_of > largest:
                return ""
            reasons.append(f"the {kind} accuracy is {percent(accuracy_of)}, the largest class has {percent(largest)}")
    return "; ".join(reasons)


def keep_better_model(task: Task, target: Path, new: float | None) -> PreviousModel | None:
    """Saves the model at target as NAME-previous if it is better than the new one on the same samples; else None.

    A model for other data is saved too, and any model if new is None. An existing NAME-previous is replaced only by a
    better model.
    """
    old, place = load(target), previous_of(target)
    accuracy = before = None
    if new is not None:
        accuracy = _accuracy(old, task)
        before = _accuracy(load(place), task) if place.exists() else None
        if accuracy is not None and accuracy <= new:
            return None
        if before is not None and before > max(new, accuracy or 0.0):
            return PreviousModel(place, before, new)
    old.save(place)
    return PreviousModel(place, accuracy, new)


def _accuracy(net: Network, task: Task) -> float | None:
    """Accuracy on the test set, or on the training samples if there is none; None: the model is for other data."""
    try:
        dataset = data_options.adapted(net, task.data, "the model")
    except ValueError:
        return None
    return net.evaluate(*data_options.samples(dataset, "test" if len(dataset.x_test) else "train")).accuracy
