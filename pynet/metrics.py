"""Metrics: accuracy, confusion matrix, ROC AUC, and precision, recall and F1 of each class or label; for regressions
RMSE, MAE and R2."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pynet._ffi import Array, numbers, plain
from pynet.model.evaluation import mae, r2, rmse
from pynet.model.net import Net
from pynet.text import fields_text, percent, printable

__all__ = ["ClassRow", "Report", "accuracy", "calibration_error", "class_report", "class_scores", "confusion_matrix"]
__all__ += ["LabelReport", "format_confusion", "format_report", "label_report", "mae", "measure", "measure_labels"]
__all__ += ["permutation_importance"]
__all__ += ["r2", "rmse", "roc_auc"]

Ints = NDArray[np.int64]

UNEVEN = 0.8  # fraction of the samples in one class, above which an accuracy needs another figure beside it
NAME_WIDTH = 12  # characters of a class name at the start of a row: "Ankle boot" and "T-shirt/top" fit
MOST_PRINTED = 30  # classes of a confusion matrix that commands print
HEAD_WIDTH = 8  # characters of a class name above a column: a table of ten classes fits into 120 characters


def accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """The fraction of correct predictions, 0 to 1, for true and predicted labels (n).

    ValueError: no samples, arrays of different lengths, or labels that are not whole numbers from 0.
    """
    labels, predicted = _pair(y_true, y_pred, None)
    return float((labels == predicted).mean())


def calibration_error(y_true: ArrayLike, probabilities: ArrayLike, bins: int = 15) -> float:
    """The expected calibration error, 0 to 1 (Guo et al. 2017): the mean gap between confidence and accuracy.

    The confidence of a sample is its largest probability. Samples are grouped into `bins` equal intervals of
    confidence; the error is the mean over the samples of |accuracy - mean confidence| of their interval. It is 0 if,
    for example, 8 of 10 predictions with a confidence of 80 % are correct. y_true (n) labels; probabilities (n,
    classes).

    ValueError: no samples, labels out of range, numbers that are not within 0 to 1, or fewer than one bin.
    """
    p = numbers(probabilities, "probabilities").astype(np.float64)
    if p.ndim != 2 or not p.size:
        raise ValueError(f"probabilities have shape {p.shape}, expected (n, classes) with n from 1")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"probabilities run from {p.min():g} to {p.max():g}, accepted are 0 to 1")
    if bins < 1:
        raise ValueError(f"bins is {bins}, accepted are whole numbers from 1")
    labels, predicted = _pair(y_true, p.argmax(axis=1), p.shape[1])
    confidence = p.max(axis=1)
    interval = np.ceil(confidence * bins).astype(np.int64).clip(1, bins) - 1  # (0, 1/bins], (1/bins, 2/bins], ...
    gaps = np.bincount(interval, (labels == predicted) - confidence, minlength=bins)
    return float(abs(gaps).sum() / len(p))


def confusion_matrix(y_true: ArrayLike, y_pred: ArrayLike, classes: int) -> Ints:
    """int64 (classes, classes): entry [i, j] counts the samples of class i that were predicted as j.

    Rows are true classes, columns predictions; the diagonal counts the correct ones. y_true, y_pred (n) labels in [0,
    classes). ValueError: no samples, different numbers of them, or labels out of range.
    """
    if classes < 1:
        raise ValueError(f"classes is {classes}, accepted are whole numbers from 1")
    labels, predicted = _pair(y_true, y_pred, classes)
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


@dataclass(frozen=True)
class ClassRow:
    """The metrics of one class, 0 to 1; NaN where undefined (0 / 0).

    precision: fraction of the samples predicted as this class that belong to it; NaN if there are none.
    recall: fraction of the samples of this class that were predicted as it; NaN if there are none.
    f1: harmonic mean of the two, 2 correct / (support + predicted) (van Rijsbergen 1979); NaN if both are NaN.
    support, predicted: number of samples of this class, and number predicted as it.
    """

    name: str
    precision: float
    recall: float
    f1: float
    support: int
    predicted: int


def class_report(matrix: ArrayLike, names: Sequence[str] | None = None) -> list[ClassRow]:
    """A row for each class of a confusion matrix. names None is "0", "1", ...

    ValueError: a matrix that is not square, or not one name for each class.
    """
    counts, names = _checked(matrix, names)
    return _rows(names, counts.diagonal(), counts.sum(1), counts.sum(0))


def label_report(y_true: ArrayLike, y_pred: ArrayLike, names: Sequence[str] | None = None) -> list[ClassRow]:
    """A row for each label of samples that can have several at once; y_true, y_pred: (n, labels), 0 or 1.

    names None is "0", "1", ... ValueError: no samples, other numbers, or not one name for each label.
    """
    labels, found = _yes_or_no("y_true", y_true), _yes_or_no("y_pred", y_pred)
    if labels.shape != found.shape:
        raise ValueError(f"y_true has shape {labels.shape}, y_pred has {found.shape}: they must be alike")
    names = [str(i) for i in range(labels.shape[1])] if names is None else names
    if len(names) != labels.shape[1]:
        raise ValueError(f"{len(names)} names for {labels.shape[1]} labels")
    return _rows(names, (labels & found).sum(axis=0), labels.sum(axis=0), found.sum(axis=0))


def _rows(names: Sequence[str], correct: Array, support: Array, predicted: Array) -> list[ClassRow]:
    """The rows from three counts of each class: correct predictions, samples, predictions."""
    rows = []
    for name, hits, there, taken in zip(names, correct, support, predicted, strict=True):
        precision, recall, f1 = _ratio(hits, taken), _ratio(hits, there), _ratio(2 * hits, there + taken)
        rows.append(ClassRow(name, precision, recall, f1, int(there), int(taken)))
    return rows


def format_report(rows: Sequence[ClassRow]) -> str:
    """class_report as a table for the terminal; "-" is undefined."""
    names = [_cut(row.name, NAME_WIDTH) for row in rows]
    width = max([len("class"), *map(len, names)])
    lines = [f"{'class':>{width}}  precision  recall     F1  samples"]
    for name, row in zip(names, rows, strict=True):
        precision, recall, f1 = map(_percent, (row.precision, row.recall, row.f1))
        lines.append(f"{name:>{width}}  {precision:>9}  {recall:>6}  {f1:>5}  {row.support:>7}")
    return "\n".join(lines)


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.1f}%"


def absent(labels: Array, classes: Sequence[str]) -> str:
    """Which of the classes no label (n,) names, as text to follow an accuracy; "" if none, or without labels."""
    found = np.setdiff1d(np.arange(len(classes)), labels) if len(labels) else ()
    named = ", ".join(classes[i] for i in found[:5]) + (", ..." if len(found) > 5 else "")
    return f"; none of these samples is of class {named}" if named else ""


def uneven(confusion: Array, classes: Sequence[str]) -> str:
    """What an accuracy hides if a class has no sample, or most, as text to follow it. confusion (classes, classes)."""
    counts = confusion.sum(axis=1)
    text, total = absent(np.flatnonzero(counts), classes), counts.sum()
    if text or counts.max() <= UNEVEN * total:
        return text
    balanced = float((confusion.diagonal() / counts).mean())
    largest = f"{percent(float(counts.max() / total))} are of class {classes[int(counts.argmax())]}"
    return f"; {largest}, balanced accuracy {percent(balanced)}"


def format_confusion(matrix: ArrayLike, names: Sequence[str] | None = None, *, width: int = 120) -> str:
    """A confusion matrix as a table for the terminal: rows are true classes, columns predictions, "." is 0.

    Long names are shortened; a table wider than `width` characters is split into several, one below the other.
    names None is "0", "1", ... ValueError: a matrix that is not square, or not one name for each class.
    """
    counts, names = _checked(matrix, names)
    sides = [_cut(name, NAME_WIDTH) for name in names]
    heads = [_cut(name, HEAD_WIDTH) for name in names]
    cells = [["." if count == 0 else str(count) for count in row] for row in counts]
    corner = "true \\ pred"
    side = max(map(len, [corner, *sides]))
    cell = 2 + max(len(text) for row in [heads, *cells] for text in row)
    parts, most = [], max(1, (width - side) // cell)
    for start in range(0, len(names), most):
        columns = slice(start, start + most)
        table = zip([corner, *sides], [heads, *cells], strict=True)
        lines = [f"{name:>{side}}" + "".join(f"{text:>{cell}}" for text in row[columns]) for name, row in table]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def roc_auc(y_true: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve: the probability that a sample of class 1 has a higher score than one of class 0.

    y_true (n): 0 or 1; scores (n): higher numbers for class 1. Equal scores count half (Mann and Whitney
    1947). ValueError: different numbers of labels and scores, or a class without a sample.
    """
    labels, found = _labels("y_true", y_true, 2), numbers(scores, "scores")
    if found.shape != labels.shape or not np.isfinite(found).all():
        raise ValueError(f"scores have shape {found.shape}, y_true {labels.shape}; accepted: a finite number a label")
    ones = int(labels.sum())
    if not 0 < ones < len(labels):
        raise ValueError(f"y_true holds {ones} ones in {len(labels)} labels; accepted: both classes")
    _, places, counts = np.unique(found, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]  # from 1; equal scores get the mean of their ranks
    return float((ranks[labels == 1].sum() - ones * (ones + 1) / 2) / (ones * (len(labels) - ones)))


# ---- a network on a data set ----


def class_scores(net: Net, x: Array, temperature: float = 1.0) -> Array:
    """The score of each class, (n, classes) float32: the outputs; for a single output p, the columns 1 - p and p."""
    return _by_class(net, net.predict_proba(x, temperature))


def score_names(net: Net) -> list[str]:
    """The names of the columns of class_scores."""
    single = len(net.classes) == 1 and net.loss_name != "cross_entropy"
    return ["0", "1"] if single else net.classes


def _by_class(net: Net, outputs: Array) -> Array:
    scores = outputs.reshape(len(outputs), -1)
    if scores.shape[1] == 1 and net.loss_name != "cross_entropy":
        scores = np.concatenate([1 - scores, scores], axis=1)
    return scores


@dataclass(frozen=True)
class Report:
    """The metrics of a network on a set of samples, 0 to 1; None is undefined."""

    samples: int
    correct: int
    accuracy: float
    loss: float
    confidence: float | None  # mean of the largest outputs, if all outputs are within 0 to 1
    calibration_error: float | None
    roc_auc: float | None  # of two classes
    classes: list[ClassRow]
    confusion: Ints  # (classes, classes): rows are true classes

    def __repr__(self) -> str:
        return fields_text("Report", vars(self))

    def _repr_html_(self) -> str:
        """The classes, and the confusion matrix, shaded by the share of each row."""
        from pynet import html  # imported here: notebooks alone need it

        names = [printable(row.name) for row in self.classes]
        rows = [
            [name, *map(_percent, (row.precision, row.recall, row.f1)), f"{row.support:,}"]
            for name, row in zip(names, self.classes, strict=True)
        ]
        shares = self.confusion / np.maximum(self.confusion.sum(axis=1, keepdims=True), 1)
        counts = [[name, *map(str, row)] for name, row in zip(names, self.confusion, strict=True)]
        shaded = np.concatenate([np.zeros((len(names), 1)), shares], axis=1)
        words = f"accuracy {percent(self.accuracy)} ({self.correct:,}/{self.samples:,}), loss {self.loss:.4f}"
        tables = html.table(["class", "precision", "recall", "F1", "samples"], rows)
        return html.line(words) + html.side_by_side(tables, html.table(["true \\ predicted", *names], counts, shaded))


def measure(net: Net, x: Any, y: Any, classes: Sequence[str] | None = None) -> Report:
    """All figures of a network on samples x (n, ...) with labels y (n); classes: their names, None is net.classes.

    ValueError: no samples, or they do not fit the network.
    """
    names = list(net.classes if classes is None else classes)
    labels = plain(y, "y")
    if labels.ndim != 1 or not len(labels):
        raise ValueError(f"y has shape {labels.shape}; accepted: (n,) labels, n from 1")
    figures, outputs = net._evaluate(net._samples(x, labels)), net.predict_proba(x)
    scores = _by_class(net, outputs)
    matrix = confusion_matrix(labels, net._labels_of(outputs, "classes"), len(names))
    are_probabilities = bool(((scores >= 0) & (scores <= 1)).all())
    return Report(
        samples=figures.samples,
        correct=figures.correct,
        accuracy=figures.accuracy,
        loss=figures.loss,
        confidence=float(scores.max(axis=1).mean(dtype=np.float64)) if are_probabilities else None,
        calibration_error=calibration_error(labels, scores) if are_probabilities else None,
        roc_auc=roc_auc(labels, scores[:, 1]) if len(names) == 2 and 0 < labels.sum() < len(labels) else None,
        classes=class_report(matrix, names),
        confusion=matrix,
    )


@dataclass(frozen=True)
class LabelReport:
    """The metrics of a network that predicts several labels at once, 0 to 1.

    exact: fraction of the samples with all labels correct, which Evaluation calls accuracy; accuracy: fraction of all
    single labels that are correct (1 minus the Hamming loss). f1: mean over the labels whose F1 is defined; NaN if none
    is.
    """

    samples: int
    exact: float
    accuracy: float
    f1: float
    loss: float
    labels: list[ClassRow]


def measure_labels(net: Net, x: Any, y: Any, names: Sequence[str] | None = None) -> LabelReport:
    """All figures of a network on samples x (n, ...) with y (n, labels) of 0 and 1; names None is net.classes.

    ValueError: no samples, or they do not fit the network.
    """
    labels, figures = _yes_or_no("y", y), net._evaluate(net._samples(x, y))
    found = net._labels_of(net.predict_proba(x), "multi-label")
    rows = label_report(labels, found, net.classes if names is None else names)
    known = [row.f1 for row in rows if not math.isnan(row.f1)]
    exact = float((labels == found).all(axis=1).mean())
    f1 = sum(known) / len(known) if known else math.nan
    return LabelReport(len(labels), exact, float((labels == found).mean()), f1, figures.loss, rows)


def permutation_importance(
    net: Net, x: ArrayLike, y: ArrayLike, groups: Sequence[slice], repeats: int = 5, seed: int = 0
) -> NDArray[np.float64]:
    """How much worse a network gets when the values of some inputs are shuffled among the samples (Breiman 2001).

    x (n, features), y (n): samples; groups: slices of inputs that are shuffled together, such as those of one column.
    Returns (groups, repeats): the decrease of accuracy or R2, about 0 for inputs that the network does not use.
    ValueError: fewer than two samples, or they do not fit the network.
    """
    samples = np.array(plain(x, "x"))
    if samples.ndim != 2 or len(samples) < 2 or repeats < 1:
        raise ValueError(f"x has shape {samples.shape}, repeats is {repeats}; accepted: (n, features), n from 2, and 1")
    random = np.random.RandomState(np.random.MT19937(seed))
    score, falls = net.evaluate(samples, y).score, np.empty((len(groups), repeats))
    for i, group in enumerate(groups):
        kept = samples[:, group].copy()
        for k in range(repeats):
            samples[:, group] = kept[random.permutation(len(samples))]
            falls[i, k] = score - net.evaluate(samples, y).score
        samples[:, group] = kept
    return falls


# ---- checks ----


def _ratio(part: int, whole: int) -> float:
    return float(part / whole) if whole else math.nan


def _cut(name: str, width: int) -> str:
    """name, shortened to width printable characters with ".." at the end."""
    name = printable(name)
    return name if len(name) <= width else name[: width - 2] + ".."


def _pair(y_true: ArrayLike, y_pred: ArrayLike, classes: int | None) -> tuple[Ints, Ints]:
    labels, predicted = _labels("y_true", y_true, classes), _labels("y_pred", y_pred, classes)
    if len(labels) != len(predicted):
        raise ValueError(f"y_true has {len(labels)} labels, y_pred has {len(predicted)}")
    if not len(labels):
        raise ValueError("y_true and y_pred are empty: there is nothing to measure")
    return labels, predicted


def _labels(what: str, labels: ArrayLike, classes: int | None) -> Ints:
    array = plain(labels, what)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(f"{what} has shape {array.shape} and type {array.dtype}, expected (n,) whole-number labels")
    wrong = array[(array < 0) | (array >= (math.inf if classes is None else classes))]
    if wrong.size:
        accepted = "from 0" if classes is None else f"0 to {classes - 1}"
        raise ValueError(f"{what} has label {wrong[0]}, accepted are {accepted}")
    return array.astype(np.int64)


def _yes_or_no(what: str, labels: ArrayLike) -> Ints:
    """(n, labels) of 0 and 1."""
    array = numbers(labels, what)
    if array.ndim != 2 or not array.size or not ((array == 0) | (array == 1)).all():
        found = "" if array.ndim != 2 or not array.size else f" and numbers from {array.min():g} to {array.max():g}"
        raise ValueError(f"{what} has shape {array.shape}{found}; accepted: (n, labels) of 0 and 1, n from 1")
    return array.astype(np.int64)


def _checked(matrix: ArrayLike, names: Sequence[str] | None) -> tuple[Ints, Sequence[str]]:
    counts = numbers(matrix, "the matrix")
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise ValueError(f"the matrix has shape {counts.shape}, expected (classes, classes)")
    names = [str(i) for i in range(len(counts))] if names is None else names
    if len(names) != len(counts):
        raise ValueError(f"{len(names)} names for {len(counts)} classes")
    return counts, names
