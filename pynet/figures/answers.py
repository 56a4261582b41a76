"""What a network answers, rightly and wrongly, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pynet._ffi import Array
from pynet.figures.canvas import COLOURS, columns_for, draw_pictures, grid, paper, plain, stacked
from pynet.metrics import class_scores
from pynet.network import Network
from pynet.text import percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_NUMBERS = 20  # a confusion matrix of more classes shows its colours alone
MOST_NAMES = 40  # and one of more than this names only some of them
HATCHES = ("", "//", "..", "xx", "\\\\", "oo", "--", "++")


def confusion(matrix: npt.ArrayLike, classes: Sequence[str] | None = None, *, title: str = "") -> Figure:
    """A confusion matrix (classes, classes) as a map: the darker, the larger the share of its row, the true class.

    Right answers, on the diagonal, would outshine all: the mistakes are drawn on a scale of their own.
    """
    counts = np.asarray(matrix)
    n = len(counts)
    names = [str(i) for i in range(n)] if classes is None else [plain(name, 12) for name in classes]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    wrong = np.ma.masked_array(100 * shares, mask=np.eye(n, dtype=bool))
    right = int(counts.diagonal().sum())
    side = min(9.0, max(4.0, 1.6 + 0.55 * n))
    figure = paper(side + 1.2, side, title or f"{right:,} of {counts.sum():,} right")
    from matplotlib import colormaps

    axes = figure.subplots()
    largest = float(wrong.max()) if n > 1 else 0.0
    blues = colormaps["Blues"].with_extremes(bad="#eeeeee")
    image = axes.imshow(wrong, cmap=blues, vmin=0, vmax=largest or 1.0, interpolation="nearest")
    if n <= MOST_NUMBERS:
        for i, j in np.argwhere(counts):
            dark = i != j and 100 * shares[i, j] > 0.6 * largest
            weight, colour = ("bold" if i == j else "normal"), ("white" if dark else "black")
            axes.text(j, i, f"{counts[i, j]:,}", ha="center", va="center", fontsize=8, color=colour, weight=weight)
    ticks = range(0, n, max(1, -(-n // MOST_NAMES)))
    turned = 90 if max(map(len, names)) > 3 else 0
    axes.set_xticks(ticks, [names[i] for i in ticks], rotation=turned, fontsize=8)
    axes.set_yticks(ticks, [names[i] for i in ticks], fontsize=8)
    axes.set_xlabel("the network says")
    axes.set_ylabel("it is")
    figure.colorbar(image, ax=axes, label="mistakes: % of the true class", shrink=0.8)
    return figure


def mistakes(
    net: Network, x: npt.ArrayLike, y: npt.ArrayLike, classes: Sequence[str] | None = None, *, most: int = 20
) -> Figure:
    """The worst mistakes on samples x (n, ...) with labels y (n): where the network is wrong and surest of it."""
    pictures, labels = np.asarray(x), np.asarray(y)
    names = _names(net, classes)
    scores = class_scores(net, pictures)
    said = scores.argmax(axis=1)
    wrong = np.flatnonzero(said != labels)
    worst = wrong[np.argsort(-scores[wrong, said[wrong]], kind="stable")][:most]
    title = f"the {len(worst)} worst of {len(wrong):,} mistakes in {len(labels):,} samples"
    if not len(worst):
        figure = paper(6, 1.6, "the worst mistakes")
        figure.text(0.5, 0.4, f"there is none in {len(labels):,} samples", ha="center")
        return figure
    columns = columns_for(len(worst), 5)
    rows = -(-len(worst) // columns)
    figure = paper(1.75 * columns + 0.3, 2.05 * rows + 0.6, title)
    titles = [f"{_taken(names[labels[i]], names[said[i]])}\n{_score(scores[i, said[i]])}, sample {i:,}" for i in worst]
    draw_pictures(grid(figure, len(worst), columns), pictures[worst], titles)
    return figure


def noise(net: Network, *, n: int = 1000, shown: int = 10, seed: int = 0) -> Figure:
    """What the network says to noise: `shown` pictures of random bytes, and how sure it is of n of them.

    A softmax has no word for "none of these": confident nonsense (Nguyen, Yosinski and Clune 2015).
    """
    x = np.random.default_rng(seed).integers(0, 256, (n, *net.in_shape), np.uint8)
    scores = class_scores(net, x)
    said, surest = scores.argmax(axis=1), scores.max(axis=1)
    names = _names(net, None)
    shown = min(shown, n)
    columns = columns_for(shown, 5)
    rows = -(-shown // columns)
    often = int(np.bincount(said).argmax())
    title = (
        f"{n:,} inputs of noise: {percent(float(surest.mean()))} sure on average, "
        f"{percent(float((surest > 0.9).mean()))} of them more than 90 %; "
        f"most often {names[often]} ({percent(float((said == often).mean()))})"
    )
    figure = paper(max(8.5, 1.6 * columns), 1.95 * rows + 2.6, title)
    above, below = stacked(figure, [1.95 * rows, 2.2])
    titles = [f"{names[said[i]]}: {_score(surest[i])}" for i in range(shown)]
    draw_pictures(grid(above, shown, columns), x[:shown], titles)
    axes = below.subplots()
    axes.hist(100 * surest, bins=40, color=COLOURS[0])
    axes.set_xlabel("confidence in the answer, %")
    axes.set_ylabel("inputs")
    return figure


def temperatures(
    net: Network,
    x: npt.ArrayLike,
    *,
    at: Sequence[float] = (0.5, 1.0, 2.0, 5.0),
    classes: Sequence[str] | None = None,
    truth: int | None = None,
) -> Figure:
    """One sample x (*in_shape) and its probabilities at several temperatures (Hinton, Vinyals and Dean 2015).

    truth: its label, for the title. ValueError: the network does not end in softmax.
    """
    if net.layers[-1].kind != "softmax":
        raise ValueError(f"{net.spec} does not end in softmax: its outputs have no temperature")
    sample = np.asarray(x)
    names = _names(net, classes)
    figure = paper(9, 3.8, "softmax at several temperatures: low sharpens, high evens out")
    picture, axes = figure.subplots(1, 2, width_ratios=[1, 3])
    picture.set_axis_off()
    draw_pictures([picture], sample[None], ["the sample" if truth is None else f"it is {names[truth]}"])
    width = 0.8 / len(at)
    for i, temperature in enumerate(at):
        p = class_scores(net, sample[None], temperature)[0]
        places = np.arange(len(p)) + (i - (len(at) - 1) / 2) * width
        style = {"color": COLOURS[i % len(COLOURS)], "hatch": HATCHES[i % len(HATCHES)]}
        axes.bar(places, 100 * p, width, label=f"temperature {temperature:g}", edgecolor="white", **style)
    if len(names) <= MOST_NAMES:
        turned = 90 if max(map(len, names)) > 3 else 0
        axes.set_xticks(range(len(names)), names, rotation=turned)
    axes.set_xlabel("class")
    axes.set_ylabel("probability, %")
    axes.legend(fontsize=8)
    return figure


def _names(net: Network, classes: Sequence[str] | None) -> list[str]:
    """Names of what class_scores gives, fit for a title."""
    single = len(net.classes) == 1 and net.loss_name == "mse"
    return [plain(name, 14) for name in (classes or (["0", "1"] if single else net.classes))]


def _taken(truth: str, said: str) -> str:
    """On two lines, if one would be wider than a picture."""
    return f"{truth} taken for{' ' if len(truth + said) < 14 else chr(10)}{said}"


def _score(value: float | Array) -> str:
    """An output as a confidence, if it can be one."""
    return percent(float(value)) if 0 <= value <= 1 else f"{float(value):.3g}"
