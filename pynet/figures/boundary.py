"""Where a network with one or two inputs changes its mind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pynet._ffi import Array
from pynet.figures.canvas import COLOURS, MARKERS, in_own_style, paper, plain
from pynet.metrics import class_scores
from pynet.network import Network
from pynet.text import percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS = 200  # of the map, along each side


@in_own_style
def boundary(
    net: Network, x: npt.ArrayLike, y: npt.ArrayLike, *, title: str = "", features: Sequence[str] | None = None
) -> Figure:
    """Two inputs: the class a network gives each place, lighter where it is less sure, and the samples on top.

    One input: its output as a line through the samples. x (n, 1 or 2); y (n) labels, or (n, 1) targets for one input.
    features: names of the inputs. ValueError: another number of inputs.
    """
    points, answers = np.asarray(x, dtype=np.float32), np.asarray(y)
    points = points.reshape(len(points), -1)
    if points.shape[1] == 2:
        figure = _plane(net, points, answers, title)
    elif points.shape[1] == 1:
        figure = _line(net, points, answers, title)
    else:
        raise ValueError(f"the samples have {points.shape[1]} numbers; a map can be drawn of 1 or 2")
    if features:
        figure.axes[0].set_xlabel(plain(features[0], 40))
    if features and len(features) == 2:
        figure.axes[0].set_ylabel(plain(features[1], 40))
    return figure


def _plane(net: Network, x: Array, y: Array, title: str) -> Figure:
    from matplotlib.colors import to_rgb

    if net.task == "regression":
        raise ValueError("this network gives numbers, no classes that a boundary could be drawn between")
    accuracy = net._evaluate(net._samples(x, y)).accuracy
    figure = paper(6, 5.2, title or f"where the network changes its mind: {percent(accuracy)} right")
    axes = figure.subplots()
    low, high = x.min(axis=0), x.max(axis=0)
    edge = 0.1 * np.maximum(high - low, 1e-6)
    across, up = (np.linspace(low[i] - edge[i], high[i] + edge[i], POINTS, dtype=np.float32) for i in (0, 1))
    places = np.stack(np.meshgrid(across, up), axis=2).reshape(-1, 2)
    scores = class_scores(net, places)
    winner = scores.argmax(axis=1)
    chance = 1 / scores.shape[1]
    sure = ((scores.max(axis=1) - chance) / (1 - chance)).clip(0, 1)[:, None] if scores.shape[1] > 1 else 1.0
    colours = np.array([to_rgb(COLOURS[c % len(COLOURS)]) for c in range(scores.shape[1])])
    shades = 1 - 0.55 * sure * (1 - colours[winner])
    extent = (across[0], across[-1], up[0], up[-1])
    axes.imshow(shades.reshape(POINTS, POINTS, 3), origin="lower", extent=extent, aspect="auto")
    for c in range(scores.shape[1] if len(np.unique(winner)) > 1 else 0):
        lead = scores[:, c] - np.delete(scores, c, axis=1).max(axis=1)
        if lead.min() < 0 < lead.max():
            axes.contour(across, up, lead.reshape(POINTS, POINTS), levels=[0], colors="black", linewidths=1)
    names = net.classes if len(net.classes) == scores.shape[1] else [str(c) for c in range(scores.shape[1])]
    for c, name in enumerate(names):
        mine = x[y == c]
        style: dict[str, Any] = {"color": COLOURS[c % len(COLOURS)], "marker": MARKERS[c % len(MARKERS)]}
        axes.scatter(
            mine[:, 0], mine[:, 1], s=22, edgecolors="white", linewidths=0.6, label=f"class {plain(name, 24)}", **style
        )
    axes.set_xlabel("first input")
    axes.set_ylabel("second input")
    figure.legend(loc="outside lower center", ncols=min(len(names), 5), fontsize=8)
    return figure


def _line(net: Network, x: Array, y: Array, title: str) -> Figure:
    loss = net.evaluate(x, y).loss
    figure = paper(6, 4.4, title or f"what the network says: loss {loss:.4g}")
    axes = figure.subplots()
    across = np.linspace(x.min(), x.max(), POINTS, dtype=np.float32)[:, None]
    axes.scatter(x[:, 0], y.reshape(len(y), -1)[:, 0], s=18, color=COLOURS[5], marker="o", label="samples")
    said = net.predict_proba(across).reshape(POINTS, -1)
    for unit in range(said.shape[1]):
        label = "network" if said.shape[1] == 1 else f"output {unit}"
        axes.plot(across[:, 0], said[:, unit], color="black", linestyle=("-", "--", ":", "-.")[unit % 4], label=label)
    axes.set_xlabel("input")
    axes.set_ylabel("output")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    return figure
