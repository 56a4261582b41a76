"""A figure of the weights of a layer: a picture for each unit, and a histogram."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pynet._ffi import Array
from pynet.figures.canvas import (
    COLOURS,
    as_picture,
    escaped,
    grid,
    layer_index,
    new_figure,
    show_signed,
    stacked,
    styled,
)
from pynet.network import LayerView, Network
from pynet.text import picture_shape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLIP = 99.5  # percent of the weights within the colour scale: a few outliers would make all others grey


@styled
def weights(net: Network, *, layer: int | str | None = None, most: int = 40) -> Figure:
    """The weights of each unit of a dense layer, and their histogram.

    layer: its number, as in net.summary(); None: the first with weights W (n_in, units). The first `most` units are
    drawn, as pictures if the inputs are a picture (dark is negative, light positive, one scale for all), else as the
    rows of a heat map. ValueError: there is no such layer.
    """
    selected = _with_weights(net, layer)
    W: Array = np.asarray(selected.W)
    W = W.reshape(-1, W.shape[-1])
    shape = picture_shape(selected.in_shape)
    n = min(most, W.shape[1])
    shown = f"the first {n} of {W.shape[1]} units" if n < W.shape[1] else f"{n} unit{'s' * (n > 1)}"
    title = f"weights of layer {selected.path}, {selected.text}: {shown}"
    if shape and len(shape) == 3 and shape[0] not in (1, 3):
        title += f", the mean over {shape[0]} channels"
    pictures = [as_picture(W[:, unit], shape) for unit in range(n)] if shape else [W[:, :n].T]
    largest = float(np.percentile(np.abs(pictures), CLIP))
    columns = min(n, 10)
    rows = -(-n // columns) if shape else 4
    figure = new_figure(9, 2.6 + 0.95 * rows, title)
    above, below = stacked(figure, [0.95 * rows, 2.2])
    if shape:
        axes = grid(above, n, columns)
        for unit, (one, picture) in enumerate(zip(axes, pictures, strict=True)):
            image = show_signed(one, picture, largest)
            one.set_title(str(unit), fontsize=7, pad=2)
    else:
        one = above.subplots()
        image = show_signed(one, pictures[0], largest)
        one.set_aspect("auto")
        one.set(xlabel="input", ylabel="unit")
        for axis in (one.xaxis, one.yaxis):
            axis.get_major_locator().set_params(integer=True)
        axes = [one]
    above.colorbar(image, ax=axes, label="weight", shrink=0.9, extend="both")
    _histogram(below, selected, W)
    return figure


def _with_weights(net: Network, layer: int | str | None) -> LayerView:
    found = [one for one in net.layers if one.kind == "dense"]
    if layer is None:
        if not found:
            raise ValueError(f"{net.spec} has no dense layer")
        return found[0]
    selected = net.layers[layer_index(net, layer)]
    if selected not in found:
        accepted = ", ".join(one.path for one in found) or "none in this network"
        raise ValueError(f"layer {layer} is not a dense layer; accepted: {accepted}")
    return selected


def _histogram(figure: Any, layer: LayerView, W: Array) -> None:
    axes = figure.subplots()
    finite = W[np.isfinite(W)]
    axes.hist(finite, bins=min(80, max(10, int(2 * np.sqrt(finite.size)))), color=COLOURS[0])
    axes.ticklabel_format(axis="x", useOffset=False)
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.axvline(0, color="black", linewidth=0.8)
    mean, deviation = (float(finite.mean()), float(finite.std())) if finite.size else (0.0, 0.0)
    axes.set_title(f"all {W.size:,} weights: mean {mean:.3g}, standard deviation {deviation:.3g}", fontsize=9)
    axes.set(xlabel=escaped(f"weight in {layer.path}.W"), ylabel="weights")
