"""Convolutions: the filters of a layer, and the maps that they make of a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pynet._ffi import Array
from pynet.figures.canvas import (
    as_picture,
    columns_for,
    grid,
    layer_index,
    new_figure,
    show_sample,
    show_signed,
    styled,
)
from pynet.model.samples import one_sample
from pynet.network import Network
from pynet.text import picture_shape

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def filters(net: Network, *, layer: int | str | None = None, most: int = 40) -> Figure:
    """The filters of a convolution, W (kernel, kernel, channels_in, channels_out): dark is negative, light positive.

    Each has a scale of its own, and its largest weight in the title. layer: its number, None is the first convolution.
    Of filters over other than 1 or 3 channels the mean over the channels is drawn. ValueError: there is no such layer.
    """
    found = [one for one in net.layers if one.kind == "conv"]
    if not found:
        raise ValueError(f"{net.spec} has no convolution whose filters could be drawn")
    chosen = found[0] if layer is None else net.layers[layer_index(net, layer)]
    if chosen not in found:
        raise ValueError(f"layer {layer} is no convolution; accepted: {', '.join(one.path for one in found)}")
    W = np.moveaxis(np.asarray(chosen.W), (3, 2), (0, 1))  # (channels_out, channels_in, kernel, kernel)
    shown: list[Array] = [as_picture(one, one.shape) for one in W[:most]]
    columns = columns_for(len(shown))
    rows = -(-len(shown) // columns)
    title = f"filters of layer {chosen.path}, {chosen.text}: {len(shown)} of {len(W)}"
    channels = len(W[0])
    if channels > 1:
        title += ", zero is grey" if channels == 3 else f", the mean over {channels} channels"
    figure = new_figure(max(4.5, 0.95 * columns + 1.2), 1.25 * rows + 0.6, title)
    axes = grid(figure, len(shown), columns)
    for i, (one, picture) in enumerate(zip(axes, shown, strict=True)):
        largest = float(abs(picture).max()) or 1.0
        image = show_signed(one, picture / largest, 1.0)  # one scale for all would leave most of them grey
        one.set_title(f"{i}: ±{largest:.2g}", fontsize=7, pad=2)
    if shown[0].ndim == 2:
        figure.colorbar(image, ax=axes, label="share of the filter's largest weight", shrink=0.9)
    return figure


@styled
def feature_maps(net: Network, x: npt.ArrayLike, *, layer: int | str | None = None, most: int = 40) -> Figure:
    """A sample x (*in_shape) and what a layer makes of it, (channels, height, width): one picture a channel.

    layer: its number, None is the last in a row of one convolution and what follows it with the same shape, which is
    its activation. ValueError: that layer puts out no pictures.
    """
    sample = np.asarray(x)
    images = [i for i, one in enumerate(net.layers) if len(one.out_shape) == 3]
    if layer is None and not images:
        raise ValueError(f"{net.spec} has no layer that puts out pictures")
    index = _first_maps(net, images) if layer is None else layer_index(net, layer)
    chosen = net.layers[index]
    if index not in images:
        accepted = ", ".join(net.layers[i].path for i in images)
        raise ValueError(f"layer {layer} puts out {chosen.out_shape}, no pictures; accepted: {accepted or 'none'}")
    net.forward(one_sample(net._signature, sample), training=False)
    maps = chosen.output[0]
    n = min(most, len(maps))
    columns = columns_for(n + 1)
    rows = -(-(n + 1) // columns)
    title = f"what layer {chosen.path}, {chosen.text}, makes of it: {n} of {len(maps)} maps"
    figure = new_figure(max(4.5, 1.15 * columns + 1.2), 1.35 * rows + 0.6, title)
    axes = grid(figure, n + 1, columns)
    shape = picture_shape(sample.shape) or net.in_shape
    show_sample(axes[0], as_picture(sample, shape))
    axes[0].set_title("input", fontsize=7, pad=2)
    low, high = float(maps.min()), float(maps.max())
    for i, one in enumerate(axes[1:]):
        image = one.imshow(maps[i], cmap="gray", vmin=low, vmax=max(high, low + 1e-6), interpolation="nearest")
        one.set_title(str(i), fontsize=7, pad=2)
    figure.colorbar(image, ax=axes, label="output", shrink=0.9)
    return figure


def _first_maps(net: Network, images: list[int]) -> int:
    """The first layer of maps, and on to the last one of the same shape."""
    last = images[0]
    while last + 1 in images and net.layers[last + 1].out_shape == net.layers[images[0]].out_shape:
        last += 1
    return last
