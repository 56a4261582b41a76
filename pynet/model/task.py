"""What a network is for: to tell classes apart, to say yes or no to several labels, or to give numbers.

The text of a network says it in part: what ends in softmax or sigmoid tells classes, other outputs are numbers. The
targets that it learns from decide, see task_of_targets, and the model notes what the text does not say. All that
differs between the tasks, predict and evaluate, the figures of a history, reports and pictures, asks Net.task.
"""

from __future__ import annotations

from typing import Literal

from pynet._ffi import Array
from pynet.model.samples import Samples, is_one_hot

TaskKind = Literal["classes", "multi-label", "regression"]

NOTE = "task"  # its key among the notes of a model


def possible_tasks(loss_name: str, outputs: int, closing: str) -> tuple[TaskKind, ...]:
    """The tasks that a network can learn; closing: the kind of its last layer."""
    if closing == "rescale":
        return ("regression",)
    if loss_name == "bce" and outputs > 1:
        return "classes", "multi-label"
    return ("classes",) if loss_name in ("cross_entropy", "bce") or closing == "softmax" else ("regression", "classes")


def task_of_text(loss_name: str, outputs: int, closing: str, named: bool) -> TaskKind:
    """The task of a network that has seen no targets; named: its classes have names.

    For bce with several outputs that is to tell classes; it becomes "multi-label" by the targets it learns from.
    """
    return "classes" if named or closing == "sigmoid" else possible_tasks(loss_name, outputs, closing)[0]


def task_of_targets(choices: tuple[TaskKind, ...], noted: TaskKind | None, samples: Samples) -> TaskKind:
    """The one of the possible tasks that labels or targets stand for; noted: the network's, if it has learnt before.

    Labels stand for classes. So do one-hot rows, and 0 and 1 for a single output, unless something else is noted: a few
    targets of a regression may look so by chance. Other targets are several labels for bce, else numbers.
    """
    _, labels, targets, _ = samples.arrays
    if len(choices) == 1:
        return choices[0]
    if labels is not None or targets is None:
        return "classes"
    if _may_be_classes(targets):
        return noted or "classes"
    return "multi-label" if "multi-label" in choices else "regression"


def _may_be_classes(targets: Array) -> bool:
    """Whether targets (n, outputs) are one-hot rows or, of a single output, 0 and 1."""
    return bool(((targets == 0) | (targets == 1)).all()) if targets.shape[1] == 1 else is_one_hot(targets)
