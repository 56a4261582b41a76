"""Figures for regressions and tables: predictions against targets, their errors, and the importance of columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pynet._ffi import Array
from pynet.figures.canvas import COLOURS, escaped, new_figure, styled
from pynet.metrics import r2, rmse

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_BARS = 30  # columns that are drawn: the most important ones


@styled
def predicted(y: npt.ArrayLike, predictions: npt.ArrayLike, *, name: str = "") -> Figure:
    """Predictions (n) against true numbers y (n), with the line on which both are equal. name: of the target."""
    truth, found = _pair(y, predictions)
    figure = new_figure(5.5, 5.5, f"{name or 'predictions'}: R2 {r2(truth, found):.4g}, {len(truth):,} samples")
    axes = figure.subplots()
    ends = [min(truth.min(), found.min()), max(truth.max(), found.max())]
    axes.plot(ends, ends, "--", color="black", linewidth=1, label="perfect prediction")
    axes.plot(truth, found, ".", color=COLOURS[0], alpha=0.6, label="a sample")
    axes.set(xlabel="true value", ylabel="prediction")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


@styled
def residuals(y: npt.ArrayLike, predictions: npt.ArrayLike, *, name: str = "") -> Figure:
    """The errors, predictions (n) minus true numbers y (n), against the predictions and as a histogram."""
    truth, found = _pair(y, predictions)
    errors = found - truth
    title = f"{name or 'predictions'}: RMSE {rmse(truth, found):.4g}, mean error {errors.mean():.4g}"
    figure = new_figure(9, 3.8, title)
    places, counts = figure.subplots(1, 2, sharey=True)
    places.axhline(0, color="black", linestyle="--", linewidth=1)
    places.plot(found, errors, ".", color=COLOURS[0], alpha=0.6)
    places.set(xlabel="prediction", ylabel="error: prediction - true value")
    counts.hist(errors, bins=min(40, max(5, len(errors) // 5)), orientation="horizontal", color=COLOURS[0])
    counts.axhline(0, color="black", linestyle="--", linewidth=1)
    counts.set_xlabel("samples")
    for axes in (places, counts):
        axes.grid(alpha=0.3)
    return figure


@styled
def importance(falls: npt.ArrayLike, names: Sequence[str], *, score: str = "accuracy") -> Figure:
    """The result of pynet.metrics.permutation_importance for each column: the mean as a bar, each repeat as a dot.

    falls (columns, repeats): decrease of the score; names: of the columns; score: "accuracy" or "R2".
    """
    found = np.asarray(falls, np.float64)
    order = np.argsort(-found.mean(axis=1), kind="stable")[:MAX_BARS]
    few = "" if len(order) == len(found) else f": the first {len(order)} of {len(found)}"
    figure = new_figure(7, 1.4 + 0.28 * len(order), f"how much the {score} falls if a column is permuted{few}")
    axes = figure.subplots()
    places = np.arange(len(order))
    axes.barh(places, found[order].mean(axis=1), color=COLOURS[5])
    for place, i in enumerate(order):
        axes.plot(found[i], np.full(found.shape[1], place), ".", color="black", markersize=4)
    axes.set_yticks(places, [escaped(names[i], 24) for i in order], fontsize=8)
    axes.invert_yaxis()
    axes.axvline(0, color="black", linewidth=1)
    axes.set_xlabel(f"fall of the {score}")
    axes.grid(alpha=0.3, axis="x")
    return figure


def _pair(y: npt.ArrayLike, predictions: npt.ArrayLike) -> tuple[Array, Array]:
    truth, found = np.asarray(y, np.float64), np.asarray(predictions, np.float64)
    if truth.ndim != 1 or truth.shape != found.shape or not len(truth):
        raise ValueError(
            f"y has shape {truth.shape}, the predictions {found.shape}; accepted: (n,), n from 1, for both"
        )
    return truth, found
