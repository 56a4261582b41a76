"""What becomes of a trained model, and of the one whose place it takes: nothing that was better gets lost."""

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
    """A model from before, where it is now, its accuracy on the samples that the new one was measured on, and that of
    the new one. accuracy None: it is for other data; new None: nobody waited for the figures."""

    place: Path
    accuracy: float | None
    new: float | None

    def __str__(self) -> str:
        if self.new is None:
            return f"{self.place} keeps the model that was there before"
        if self.accuracy is None:
            return f"{self.place} keeps the model that was there before, for other data"
        figures = f"{percent(self.accuracy)} of the same samples against {percent(self.new)}"
        return f"{self.place} keeps a better model from before: {figures}"


def learnt_nothing(task: Task, trained: bool, accuracy: float | None, test: float | None) -> str:
    """Why there is nothing that the network has learnt; "" if there is.

    trained: did the weights change at all? accuracy: that on the training samples in the last epoch; test: that on the
    test set; None where there is none.
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
    """Saves the model at target as NAME-previous, if it is better than the new one on the same samples, else None.

    So is one for other data, or any if new is None. What lies there from before gives way to a better one alone.
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
    """On the test set, or on the training samples where there is none; None: the model is for other data."""
    try:
        dataset = data_options.adapted(net, task.data, "the model")
    except ValueError:
        return None
    return net.evaluate(*data_options.samples(dataset, "test" if len(dataset.x_test) else "train")).accuracy
