"""`pynet train` on a table: defaults, the validation set for early stopping, and --folds."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import NamedTuple

import numpy as np

from pynet._ffi import Array
from pynet.commands import cli
from pynet.commands.cli import UsageError
from pynet.data.dataset import TEST_FRACTION, first_rows
from pynet.data.table_set import Parts, Rows
from pynet.metrics import confusion_matrix
from pynet.model.evaluation import Evaluation, RegressionEvaluation, measured
from pynet.network import Network
from pynet.optim import Optimizer
from pynet.text import figure_text, figure_words

# Chosen on validation splits, never test sets, of eleven tables of 150 to 1,600 rows, among them those of scikit-learn
# and seaborn. The fewer rows, the more weight decay.
NETWORK = {"--hidden": "64,32"}
OPTIMIZER = {"--optimizer": "adamw", "--lr": "0.003"}
BATCHES = {"--batch-size": "32"}
DECAY, MIN_DECAY, MAX_DECAY = 500, 0.01, 3.0  # weight decay: 500 / training rows, clipped to [0.01, 3]
PATIENCE, MAX_EPOCHS = 15, 200
EPOCHS = 40  # without early stopping
MIN_VALIDATION = 50  # rows; the loss of fewer is too noisy for early stopping
MIN_ROWS_TO_STOP = 400  # training rows for early stopping; of fewer, 50 for validation are too many


def defaults(given: Sequence[str], options: argparse.Namespace) -> list[str]:
    """The default options for a table, without those that are given or replaced by a given option."""
    named = cli.named(given)
    found = BATCHES | ({} if options.net else NETWORK) | ({} if "--optimizer" in named else OPTIMIZER)
    return [f"{name}={value}" for name, value in found.items() if name not in named]


def decays_by_rows(given: Sequence[str]) -> bool:
    """Whether the number of rows sets the weight decay: neither --optimizer nor --weight-decay is given."""
    return not cli.named(given) & {"--optimizer", "--weight-decay"}


def decayed(optimizer: Optimizer, rows: int) -> Optimizer:
    """The optimizer with a weight decay for so many training rows."""
    return replace(optimizer, weight_decay=round(min(max(DECAY / rows, MIN_DECAY), MAX_DECAY), 4))


class Stopping(NamedTuple):
    """validation: fraction of the training rows for the validation set; patience: None without early stopping."""

    validation: float
    patience: int | None
    epochs: int | None


def stopping(options: argparse.Namespace, rows: int) -> Stopping:
    """When a training on this many rows ends: the options decide, or else the number of rows."""
    share = options.val_split
    if options.patience or options.preset or options.epochs is not None:
        if options.patience and not share:
            share = min(max(MIN_VALIDATION / rows, 0.1), 0.5)
        return Stopping(share, options.patience, options.epochs)
    if share or rows >= MIN_ROWS_TO_STOP:
        return Stopping(share or max(MIN_VALIDATION / rows, 0.1), PATIENCE, MAX_EPOCHS)
    return Stopping(0.0, None, EPOCHS)


def parts(options: argparse.Namespace, rows: Rows, seed: int) -> tuple[Parts, Stopping]:
    """The rows split as the options say, and when the training ends. Sets the weight decay by the number of rows."""
    share = TEST_FRACTION if options.test_split is None else options.test_split
    train, test = rows.divided(np.arange(len(rows.y)), 0.0 if options.folds else share)
    if options.limit:
        train = train[first_rows(rows.y[train], options.limit)]
    if options.decays_by_rows:
        options.optimizer = decayed(options.optimizer, len(train))
    plan = stopping(options, len(train))
    train, aside = rows.divided(train, plan.validation, seed)
    return rows.encoded(train, aside, test, len(test) and share), plan


# ---- --folds ----


@dataclass(frozen=True)
class Folds:
    """The results of cross-validation: each network was tested on one fold and trained on the others.

    test: over the predictions of all folds; confusion: their matrix (classes, classes), None for a regression; scores:
    of each fold; epochs: median over the folds.
    """

    test: Evaluation | RegressionEvaluation
    confusion: Array | None
    scores: list[float]
    epochs: int


def cross_validated(
    options: argparse.Namespace, rows: Rows, seed: int, learn: Callable[[Parts, Stopping], tuple[Network, int]]
) -> Folds:
    """Trains and tests a network for each of --folds, and keeps only their results.

    learn: trains a network, and returns it with the number of its best epoch. UsageError: fewer rows than folds.
    """
    if options.folds > len(rows.y):
        raise UsageError(f"argument --folds: {options.folds} of {len(rows.y)} rows; accepted: at most one for each row")
    outputs, targets, scores, epochs, losses = list[Array](), list[Array](), list[float](), list[int](), list[float]()
    for number, (train, test) in enumerate(rows.folds(options.folds), 1):
        plan = stopping(options, len(train))
        train, aside = rows.divided(train, plan.validation, seed)
        fold = rows.encoded(train, aside, test)
        net, taken = learn(fold, plan)
        figures = net.evaluate(fold.data.x_test, fold.data.y_test)
        scores.append(figures.score)
        losses.append(figures.loss * figures.samples)
        epochs.append(taken)
        outputs.append(net.predict_proba(fold.data.x_test))
        targets.append(fold.data.y_test)
        if not options.terse:
            name = "accuracy" if isinstance(figures, Evaluation) else "r2"
            score = f"{figure_words(name)} {figure_text(name, figures.score)}"
            cli.print_stdout(
                f"fold {number}/{options.folds}  {score} of {figures.samples:,} rows, after {taken} epochs"
            )
    predicted, y, loss = np.concatenate(outputs), np.concatenate(targets), sum(losses) / len(rows.y)
    typical = max(1, round(median(epochs)))
    if not rows.classes:
        return Folds(measured(loss, y[:, None], predicted), None, scores, typical)
    matrix = confusion_matrix(y, net._labels_of(predicted, "classes"), len(rows.classes))
    correct = int(matrix.trace())
    return Folds(Evaluation(loss, correct / len(y), correct, len(y)), matrix, scores, typical)
