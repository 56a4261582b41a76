"""Figures of convolutions: filters, and feature maps of a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pynet._ffi import Array
from pynet.figures.canvas import (
    as_picture,
    grid,
    grid_size,
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

    Each filter has its own scale, with its largest weight in the title. layer: its number; None: the first convolution.
    Filters with other than 1 or 3 input channels are averaged over the channels. ValueError: there is no such layer.
    """
    found = [one for one in net.layers if one.kind == "conv"]
    if not found:
        raise ValueError(f"{net.spec} has no convolution")
    chosen = found[0] if layer is None else net.layers[layer_index(net, layer)]
    if chosen not in found:
        raise ValueError(f"layer {layer} is not a convolution; accepted: {', '.join(one.path for one in found)}")
    W = np.moveaxis(np.asarray(chosen.W), (3, 2), (0, 1))  # (channels_out, channels_in, kernel, kernel)
    shown: list[Array] = [as_picture(one, one.shape) for one in W[:most]]
    columns, rows = grid_size(len(shown))
    title = f"filters of layer {chosen.path}, {chosen.text}: {len(shown)} of {len(W)}"
    channels = len(W[0])
    if channels > 1:
        title += ", zero is grey" if channels == 3 else f", the mean over {channels} channels"
    figure = new_figure(max(4.5, 0.95 * columns + 1.2), 1.25 * rows + 0.6, title)
    axes = grid(figure, len(shown), columns)
    for i, (one, picture) in enumerate(zip(axes, shown, strict=True)):
        largest = float(abs(picture).max()) or 1.0
        image = show_signed(one, picture / largest, 1.0)  # on a common scale, most would be grey
        one.set_title(f"{i}: ±{largest:.2g}", fontsize=7, pad=2)
    if shown[0].ndim == 2:
        figure.colorbar(image, ax=axes, label="relative to largest weight", shrink=0.9)
    return figure


@styled
def feature_maps(net: Network, x: npt.ArrayLike, *, layer: int | str | None = None, most: int = 40) -> Figure:
    """A sample x (*in_shape) and the feature maps (channels, height, width) of a layer, a picture for each channel.

    layer: its number; None: the first convolution with its activation, that is the last of the layers of the same shape
    after it. ValueError: the layer has no feature maps.
    """
    sample = np.asarray(x)
    images = [i for i, one in enumerate(net.layers) if len(one.out_shape) == 3]
    if layer is None and not images:
        raise ValueError(f"{net.spec} has no layer with feature maps")
    index = _first_maps(net, images) if layer is None else layer_index(net, layer)
    chosen = net.layers[index]
    if index not in images:
        accepted = ", ".join(net.layers[i].path for i in images)
        raise ValueError(f"layer {layer} outputs {chosen.out_shape}, not feature maps; accepted: {accepted or 'none'}")
    net.forward(one_sample(net._signature, sample), training=False)
    maps = chosen.output[0]
    n = min(most, len(maps))
    columns, rows = grid_size(n + 1)
    title = f"feature maps of layer {chosen.path}, {chosen.text}: {n} of {len(maps)}"
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
    """The index of the last layer after the first feature maps that keeps their shape."""
    last = images[0]
    while last + 1 in images and net.layers[last + 1].out_shape == net.layers[images[0]].out_shape:
        last += 1
    return last
