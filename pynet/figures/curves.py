"""Training curves: loss and accuracy over the epochs, of one run or several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pynet.figures.canvas import COLOURS, MARKERS, paper, plain
from pynet.training.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pynet.training.learning_rate import RateSearch

FEW_EPOCHS = 30  # up to here each epoch gets its mark


def curves(histories: History | Mapping[str, History]) -> Figure:
    """Loss and accuracy of each epoch: training in full lines, validation (of the command: test) in dashed ones.

    histories: one, or several by name. ValueError: there is none, or none has an epoch.
    """
    runs = {"": histories} if isinstance(histories, History) else dict(histories)
    if not any(history.loss for history in runs.values()):
        raise ValueError("no epoch to draw: the histories are empty")
    figure = paper(9, 3.8, "training")
    losses, accuracies = figure.subplots(1, 2)
    for i, (name, history) in enumerate(runs.items()):
        for axes, part, factor in ((losses, "loss", 1.0), (accuracies, "accuracy", 100.0)):
            _line(axes, getattr(history, part), i, factor, f"{name} training", "-")
            _line(axes, getattr(history, f"val_{part}"), i, factor, f"{name} validation", "--")
    for axes, label in ((losses, "mean loss of a sample"), (accuracies, "right answers, %")):
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    losses.set_ylim(bottom=0)
    losses.legend(fontsize=8)
    return figure


def learning_rates(found: RateSearch) -> Figure:
    """The loss at each learning rate that find_lr tried, its running mean, and the suggestion."""
    figure = paper(6, 3.8, "learning rates")
    axes = figure.subplots()
    axes.plot(found.rates, found.losses, ".", color=COLOURS[0], markersize=3, label="a mini-batch each")
    axes.plot(found.rates, found.smoothed, "-", color=COLOURS[0], label="running mean")
    axes.axvline(found.suggestion, color=COLOURS[1], linestyle="--", label=f"suggestion: {found.suggestion:g}")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("mean loss of a sample")
    axes.set_ylim(0, 1.1 * max(found.losses[0], max(found.smoothed)))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def _line(axes: Axes, values: list[float], run: int, factor: float, label: str, style: str) -> None:
    if not values:
        return
    marker = MARKERS[run % len(MARKERS)] if len(values) <= FEW_EPOCHS else None
    axes.plot(
        range(1, len(values) + 1),
        [factor * value for value in values],
        style,
        color=COLOURS[run % len(COLOURS)],
        marker=marker,
        markersize=4,
        markerfacecolor="white" if style == "--" else None,
        label=plain(label.strip(), 40),
    )
