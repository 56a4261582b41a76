"""The task of a network: to classify, to predict several labels at once (multi-label), or to predict numbers.

The text of a network gives a default: a last softmax or sigmoid classifies, other outputs are numbers. The training
targets decide, see task_of_targets, and a note in the model file stores a task that differs from the default. All code
that depends on the task reads Net.task: predict, evaluate, histories, reports and figures.
"""

from __future__ import annotations

from typing import Literal

from pynet._ffi import Array
from pynet.model.samples import Samples, is_one_hot

TaskKind = Literal["classes", "multi-label", "regression"]

NOTE = "task"  # key of the note in a model file


def possible_tasks(loss_name: str, outputs: int, closing: str) -> tuple[TaskKind, ...]:
    """The tasks that a network can be trained for; closing: the kind of its last layer."""
    if closing == "rescale":
        return ("regression",)
    if loss_name == "bce" and outputs > 1:
        return "classes", "multi-label"
    return ("classes",) if loss_name in ("cross_entropy", "bce") or closing == "softmax" else ("regression", "classes")


def task_of_text(loss_name: str, outputs: int, closing: str, named: bool) -> TaskKind:
    """The task of a network before training; named: its classes have names.

    For bce with several outputs that is "classes"; training targets can make it "multi-label".
    """
    return "classes" if named or closing == "sigmoid" else possible_tasks(loss_name, outputs, closing)[0]


def task_of_targets(choices: tuple[TaskKind, ...], noted: TaskKind | None, samples: Samples) -> TaskKind:
    """The task that labels or targets imply, one of choices; noted: the task of earlier training, or None.

    Labels imply classes. So do one-hot rows, and 0 and 1 for a single output, unless another task is noted: a few
    targets of a regression may look like that by chance. Other targets imply several labels for bce, else numbers.
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
    """Whether targets (n, outputs) are one-hot rows, or all 0 or 1 for a single output."""
    return bool(((targets == 0) | (targets == 1)).all()) if targets.shape[1] == 1 else is_one_hot(targets)
