"""Figures of predictions: confusion matrix, mistakes, confidence on noise, softmax temperatures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pynet._ffi import Array
from pynet.figures.canvas import (
    COLOURS,
    class_names,
    draw_pictures,
    escaped,
    grid,
    grid_size,
    new_figure,
    score_text,
    stacked,
    styled,
    tile,
)
from pynet.figures.samples import input_range
from pynet.metrics import class_scores
from pynet.network import Network
from pynet.text import percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_NUMBERS = 20  # classes of a confusion matrix; with more, no numbers are written
MAX_NAMES = 40  # classes of a confusion matrix; with more, only some are named
MAX_BARS = 12  # classes in a bar chart; with more, only the LIKELIEST are drawn
LIKELIEST = 10


@styled
def confusion(matrix: npt.ArrayLike, classes: Sequence[str] | None = None, *, title: str = "") -> Figure:
    """A confusion matrix (classes, classes) as a heat map: darker for a larger fraction of the row, the true class.

    The diagonal, the correct predictions, is left out of the colour scale, or the mistakes would be too light to see.
    """
    counts = np.asarray(matrix)
    n = len(counts)
    names = [str(i) for i in range(n)] if classes is None else [escaped(name, 12) for name in classes]
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    wrong = np.ma.masked_array(100 * fractions, mask=np.eye(n, dtype=bool))
    right = int(counts.diagonal().sum())
    side = min(9.0, max(4.0, 1.6 + 0.55 * n))
    figure = new_figure(side + 1.2, side, title or f"{right:,} of {counts.sum():,} correct")
    from matplotlib import colormaps

    axes = figure.subplots()
    largest = float(wrong.max()) if n > 1 else 0.0
    blues = colormaps["Blues"].with_extremes(bad="#eeeeee")
    image = axes.imshow(wrong, cmap=blues, vmin=0, vmax=largest or 1.0, interpolation="nearest")
    if n <= MAX_NUMBERS:
        for i, j in np.argwhere(counts):
            dark = i != j and 100 * fractions[i, j] > 0.6 * largest
            weight, colour = ("bold" if i == j else "normal"), ("white" if dark else "black")
            axes.text(j, i, f"{counts[i, j]:,}", ha="center", va="center", fontsize=8, color=colour, weight=weight)
    ticks = range(0, n, max(1, -(-n // MAX_NAMES)))
    rotation = 90 if max(map(len, names)) > 3 else 0
    axes.set_xticks(ticks, [names[i] for i in ticks], rotation=rotation, fontsize=8)
    axes.set_yticks(ticks, [names[i] for i in ticks], fontsize=8)
    axes.set(xlabel="predicted class", ylabel="true class")
    figure.colorbar(image, ax=axes, label="mistakes: % of the true class", shrink=0.8)
    return figure


@styled
def mistakes(
    net: Network,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    classes: Sequence[str] | None = None,
    *,
    most: int = 20,
    features: Sequence[str] | None = None,
) -> Figure:
    """The most confident mistakes on samples x (n, ...) with labels y (n).

    Without mistakes, the figure has only a title and no axes. features: names of the inputs, if samples are not
    pictures.
    """
    pictures, labels = np.asarray(x), np.asarray(y)
    names = class_names(net, classes)
    scores = class_scores(net, pictures)
    predicted = scores.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    if not len(wrong):
        return new_figure(5, 0.5, f"no mistake in {len(labels):,} samples")
    worst = wrong[np.argsort(-scores[wrong, predicted[wrong]], kind="stable")][:most]
    title = f"{len(wrong):,} mistake{'s' * (len(wrong) > 1)} in {len(labels):,} samples"
    if len(worst) < len(wrong):
        title = f"the {len(worst)} most confident of {title}"
    elif len(wrong) > 1:
        title += ", the most confident first"
    columns, rows = grid_size(len(worst), 5)
    width, height = tile(pictures.shape[1:], 1.75)
    figure = new_figure(max(3.5, width * columns + 0.3), (height + 0.3) * rows + 0.6, title)
    titles = [
        f"{_mistake_text(names[labels[i]], names[predicted[i]])}\n{score_text(scores[i, predicted[i]])}, sample {i:,}"
        for i in worst
    ]
    draw_pictures(grid(figure, len(worst), columns), pictures[worst], titles, features)
    return figure


@styled
def noise(
    net: Network, *, n: int = 1000, shown: int = 10, seed: int = 0, features: Sequence[str] | None = None
) -> Figure:
    """Predictions for noise: `shown` random inputs, and a histogram of the confidence on n of them.

    They are random bytes, or where the network standardizes rows, up to 2 standard deviations from the mean.

    A softmax has no class for "none of these", so it is often confident on noise (Nguyen, Yosinski and Clune 2015).
    features: names of the inputs, if samples are not pictures.
    """
    rng = np.random.default_rng(seed)
    middle, unit, low, high = input_range(net)
    x: Array = rng.integers(0, 256, (n, *net.in_shape), np.uint8)
    if low < 0:
        x = (middle + unit * rng.uniform(low, high, x.shape)).astype(np.float32)
    scores = class_scores(net, x)
    predicted, confidence = scores.argmax(axis=1), scores.max(axis=1)
    names = class_names(net, None)
    shown = min(shown, n)
    columns, rows = grid_size(shown, 5)
    most_frequent = int(np.bincount(predicted).argmax())
    fractions = bool((scores >= 0).all() and (scores <= 1).all())
    confidence_text = f"the largest output is {float(confidence.mean()):.3g} on average"
    if fractions:
        above_90 = percent(float((confidence > 0.9).mean()))
        confidence_text = f"mean confidence {percent(float(confidence.mean()))}, above 90 % for {above_90}"
    frequency = percent(float((predicted == most_frequent).mean()))
    title = f"{n:,} random inputs: {confidence_text}; most often predicted: {names[most_frequent]} ({frequency})"
    width, height = tile(net.in_shape, 1.6)
    figure = new_figure(max(8.5, width * columns), (height + 0.35) * rows + 2.6, title)
    above, below = stacked(figure, [(height + 0.35) * rows, 2.2])
    titles = [f"{names[predicted[i]]}: {score_text(confidence[i])}" for i in range(shown)]
    draw_pictures(grid(above, shown, columns), x[:shown], titles, features)
    _confidences(below, confidence, scores.shape[1], fractions)
    return figure


def _confidences(figure: Any, confidence: Array, classes: int, fractions: bool) -> None:
    """A histogram of the largest outputs (n), from 0 to 100 % if they are fractions."""
    axes = figure.subplots()
    axes.set_ylabel("inputs")
    axes.yaxis.get_major_locator().set_params(integer=True)
    if not fractions:
        axes.hist(confidence, bins=40, color=COLOURS[0])
        axes.ticklabel_format(axis="x", useOffset=False)
        axes.set_xlabel("largest output")
        return
    axes.hist(100 * confidence, bins=40, range=(0, 100), color=COLOURS[0])
    axes.set_xlim(0, 100)
    axes.set_xlabel("confidence, %")
    if classes > 1:
        axes.axvline(100 / classes, color="black", linestyle="--", label="equal probabilities")
        axes.legend(fontsize=8)


@styled
def temperatures(
    net: Network,
    x: npt.ArrayLike,
    *,
    at: Sequence[float] = (0.5, 1.0, 2.0, 5.0),
    classes: Sequence[str] | None = None,
    truth: int | None = None,
    features: Sequence[str] | None = None,
) -> Figure:
    """One sample x (*in_shape) and its probabilities at several temperatures (Hinton, Vinyals and Dean 2015).

    Of more than MAX_BARS classes, the likeliest are drawn. truth: its label, for the title. features: names of the
    inputs, if the sample is not a picture. ValueError: the network does not end in softmax.
    """
    if net.layers[-1].kind != "softmax":
        raise ValueError(f"{net.spec} does not end in softmax: there is no temperature")
    sample = np.asarray(x)
    names = class_names(net, classes, 24)
    p = [100 * class_scores(net, sample[None], temperature)[0] for temperature in at]
    shown = np.arange(len(names))
    title = "softmax at several temperatures: low sharpens, high flattens"
    if len(names) > MAX_BARS:
        shown = np.argsort(-p[0], kind="stable")[:LIKELIEST]
        title += f" (the {LIKELIEST} likeliest of {len(names)} classes)"
    figure = new_figure(2.4 + 1.7 * len(at), max(2.8, 0.24 * len(shown) + 1.2), title)
    left, right = np.ravel(np.asarray(figure.subfigures(1, 2, width_ratios=[2.2, 1.7 * len(at)]), dtype=object))
    predicted = names[int(p[0].argmax())]
    caption = f"predicted: {predicted}" if truth is None else f"label: {names[truth]}\npredicted: {predicted}"
    draw_pictures(grid(left, 1, 1), sample[None], [caption], features)
    largest = max(float(fractions.max()) for fractions in p)
    step = next(step for step in (50, 20, 10, 5, 2, 1) if step <= max(largest / 2, 1))
    panels = right.subplots(1, len(at), sharey=True, squeeze=False)[0]
    for axes, temperature, fractions in zip(panels, at, p, strict=True):
        axes.barh(range(len(shown)), fractions[shown], color=COLOURS[0])
        for place, fraction in enumerate(fractions[shown]):
            axes.text(fraction, place, f" {fraction:.1f}", va="center", fontsize=8)
        axes.set_title(f"temperature {temperature:g}", fontsize=9)
        axes.set(xlim=(0, 1.35 * largest), xticks=range(0, int(largest) + 1, step))
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set(ylim=(len(shown) - 0.4, -0.6))
    panels[0].set_yticks(range(len(shown)), [names[c] for c in shown])
    right.supxlabel("probability, %", fontsize=9)
    panels[0].set_ylabel("class", fontsize=9)
    return figure


def _mistake_text(truth: str, predicted: str) -> str:
    """The title of a mistake, on two lines if it is wider than a picture."""
    return f"{truth} predicted as{' ' if len(truth + predicted) < 12 else chr(10)}{predicted}"
