"""The decision boundary of a network with two inputs, or the curve of one with one input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pynet._ffi import Array
from pynet.figures.canvas import COLOURS, MARKERS, class_names, escaped, new_figure, styled
from pynet.metrics import class_scores
from pynet.network import Network
from pynet.text import percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS = 200  # of the grid, along each side


@styled
def boundary(
    net: Network, x: npt.ArrayLike, y: npt.ArrayLike, *, title: str = "", features: Sequence[str] | None = None
) -> Figure:
    """Two inputs: the predicted class at each point, lighter for a lower confidence, and the samples on top.

    One input: the output as a curve, and the samples. x (n, 1 or 2); y (n) labels, or (n, 1) targets for one input.
    features: names of the inputs. ValueError: another number of inputs.
    """
    points, labels = np.asarray(x, dtype=np.float32), np.asarray(y)
    points = points.reshape(len(points), -1)
    if points.shape[1] == 2:
        figure = _plane(net, points, labels, title)
    elif points.shape[1] == 1:
        figure = _line(net, points, labels, title)
    else:
        raise ValueError(f"the samples have {points.shape[1]} inputs; accepted: 1 or 2")
    if features:
        figure.axes[0].set_xlabel(escaped(features[0], 40))
    if features and len(features) == 2:
        figure.axes[0].set_ylabel(escaped(features[1], 40))
    return figure


def _plane(net: Network, x: Array, y: Array, title: str) -> Figure:
    from matplotlib.colors import to_rgb

    if net.task == "regression":
        raise ValueError("this network gives numbers, no classes that a boundary could be drawn between")
    accuracy = net._evaluate(net._samples(x, y)).accuracy
    figure = new_figure(6, 5.2, title or f"decision boundary: accuracy {percent(accuracy)}")
    axes = figure.subplots()
    low, high = x.min(axis=0), x.max(axis=0)
    edge = 0.1 * np.maximum(high - low, 1e-6)
    x_axis, y_axis = (np.linspace(low[i] - edge[i], high[i] + edge[i], POINTS, dtype=np.float32) for i in (0, 1))
    places = np.stack(np.meshgrid(x_axis, y_axis), axis=2).reshape(-1, 2)
    scores = class_scores(net, places)
    winner = scores.argmax(axis=1)
    chance = 1 / scores.shape[1]
    confidence = ((scores.max(axis=1) - chance) / (1 - chance)).clip(0, 1)[:, None] if scores.shape[1] > 1 else 1.0
    colours = np.array([to_rgb(COLOURS[c % len(COLOURS)]) for c in range(scores.shape[1])])
    shades = 1 - 0.55 * confidence * (1 - colours[winner])
    extent = (x_axis[0], x_axis[-1], y_axis[0], y_axis[-1])
    axes.imshow(shades.reshape(POINTS, POINTS, 3), origin="lower", extent=extent, aspect="auto")
    for c in range(scores.shape[1] if len(np.unique(winner)) > 1 else 0):
        margin = scores[:, c] - np.delete(scores, c, axis=1).max(axis=1)
        if margin.min() < 0 < margin.max():
            axes.contour(x_axis, y_axis, margin.reshape(POINTS, POINTS), levels=[0], colors="black", linewidths=1)
    names = class_names(net, None, 24)
    for c, name in enumerate(names):
        mine = x[y == c]
        style: dict[str, Any] = {"color": COLOURS[c % len(COLOURS)], "marker": MARKERS[c % len(MARKERS)]}
        axes.scatter(mine[:, 0], mine[:, 1], s=22, edgecolors="white", linewidths=0.6, label=f"class {name}", **style)
    axes.set(xlabel="first input", ylabel="second input")
    figure.legend(loc="outside lower center", ncols=min(len(names), 5), fontsize=8)
    return figure


def _line(net: Network, x: Array, y: Array, title: str) -> Figure:
    loss = net.evaluate(x, y).loss
    figure = new_figure(6, 4.4, title or f"output of the network: loss {loss:.4g}")
    axes = figure.subplots()
    x_axis = np.linspace(x.min(), x.max(), POINTS, dtype=np.float32)[:, None]
    axes.scatter(x[:, 0], y.reshape(len(y), -1)[:, 0], s=18, color=COLOURS[5], marker="o", label="samples")
    predicted = net.predict_proba(x_axis).reshape(POINTS, -1)
    for unit in range(predicted.shape[1]):
        label = "network" if predicted.shape[1] == 1 else f"output {unit}"
        axes.plot(
            x_axis[:, 0], predicted[:, unit], color="black", linestyle=("-", "--", ":", "-.")[unit % 4], label=label
        )
    axes.set(xlabel="input", ylabel="output")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    return figure
