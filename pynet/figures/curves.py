"""Training curves: loss and accuracy, or RMSE, over the epochs, of one run or several."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pynet.figures.canvas import COLOURS, MARKERS, escaped, new_figure, styled
from pynet.text import percent
from pynet.training.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pynet.training.learning_rate import RateSearch

FEW_EPOCHS = 30  # up to this number, each epoch has a marker


@styled
def curves(histories: History | Mapping[str, History], *, name: str = "") -> Figure:
    """Loss and accuracy of each epoch: training in full lines, validation (of the command: test) in dashed ones. Runs
    that learnt numbers have their RMSE beside the loss.

    histories: one, or several by name. name: of the model, for the title. The legends give the values of the last
    epoch; a star marks the best validation epoch. ValueError: there are no epochs.
    """
    runs = {"": histories} if isinstance(histories, History) else dict(histories)
    if not any(history.loss for history in runs.values()):
        raise ValueError("no epoch to draw: the histories are empty")
    lines = sum(bool(history.loss) + bool(history.val_loss) for history in runs.values())
    longest = max(len(history.loss) for history in runs.values())
    parts = {"loss": "mean loss of a sample", **_second_part(runs)}
    figure = new_figure(9, 3.8 + 0.2 * lines, _title(runs, name))
    panels = figure.subplots(1, 2)
    for i, (run, history) in enumerate(runs.items()):
        for axes, part in zip(panels, parts, strict=True):
            _line(axes, history.columns().get(part, []), i, run, part)
            _line(axes, history.columns().get(f"val_{part}", []), i, run, part, validation=True)
    for axes, label in zip(panels, parts.values(), strict=True):
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlim(0.5, longest + 0.5)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), borderaxespad=0)
    for axes, part in zip(panels, parts, strict=True):
        if part != "accuracy":
            axes.set_ylim(bottom=0)
    return figure


def _second_part(runs: Mapping[str, History]) -> dict[str, str]:
    """What is drawn beside the loss, and the label of its axis: the RMSE, where no run has an accuracy."""
    numbers = any(history.columns().get(name) for history in runs.values() for name in ("rmse", "val_rmse"))
    if numbers and not any(history.accuracy for history in runs.values()):
        return {"rmse": "RMSE, in the unit of the targets"}
    return {"accuracy": "accuracy, %"}


def _title(runs: Mapping[str, History], name: str) -> str:
    if len(runs) > 1:
        return f"training of {', '.join(runs)}"
    [history] = runs.values()
    title = f"{name or 'training'}: {len(history.loss)} epoch{'s' * (len(history.loss) > 1)}"
    best = _best(history.val_loss, "loss")
    return title if best is None else f"{title}, validation loss lowest in epoch {best + 1}"


def _best(values: list[float], part: str) -> int | None:
    """The first index of the lowest loss or RMSE, or the highest accuracy; None of none."""
    finite = [i for i, value in enumerate(values) if math.isfinite(value)]
    best_of = max if part == "accuracy" else min
    return best_of(finite, key=values.__getitem__) if finite else None


@styled
def learning_rates(found: RateSearch) -> Figure:
    """The loss at each learning rate that find_lr tried, its running mean, and the suggestion."""
    figure = new_figure(6, 3.8, "learning rates")
    axes = figure.subplots()
    axes.plot(found.rates, found.losses, ".", color=COLOURS[0], markersize=3, label="one mini-batch")
    axes.plot(found.rates, found.smoothed, "-", color=COLOURS[0], label="running mean")
    axes.axvline(found.suggestion, color=COLOURS[1], linestyle="--", label=f"suggestion: {found.suggestion:g}")
    axes.set_xscale("log")
    axes.set(xlabel="learning rate", ylabel="mean loss of a sample")
    axes.set_ylim(0, 1.1 * max(found.losses[0], max(found.smoothed)))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def _line(axes: Axes, values: list[float], run: int, name: str, part: str, *, validation: bool = False) -> None:
    """Draws a line of values; for validation dashed, with a star at the best epoch."""
    if not values:
        return
    factor = 100.0 if part == "accuracy" else 1.0

    def text(value: float) -> str:
        return percent(value) if part == "accuracy" else f"{value:.4g}"

    kind = "validation" if validation else "training"
    label = f"{escaped(f'{name} {kind}'.strip(), 40)}: {text(values[-1])} at the end"
    colour = COLOURS[run % len(COLOURS)]
    best = _best(values, part) if validation else None
    if best is not None:
        label += f", {'highest' if part == 'accuracy' else 'lowest'} {text(values[best])} in epoch {best + 1}"
        axes.plot(
            [best + 1], [factor * values[best]], "*", color=colour, markersize=12, markeredgecolor="white", zorder=3
        )
    axes.plot(
        range(1, len(values) + 1),
        [factor * value for value in values],
        "--" if validation else "-",
        color=colour,
        marker=MARKERS[run % len(MARKERS)] if len(values) <= FEW_EPOCHS else None,
        markersize=4,
        markerfacecolor="white" if validation else None,
        label=label,
    )
