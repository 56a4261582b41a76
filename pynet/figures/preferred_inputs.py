"""The input that maximises the output of a unit, found by gradient ascent (activation maximisation)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pynet._ffi import Array
from pynet.figures.canvas import (
    as_picture,
    draw_rows,
    escaped,
    grid,
    grid_size,
    layer_index,
    new_figure,
    styled,
    tile,
)
from pynet.figures.samples import input_range
from pynet.network import LayerView, Network
from pynet.text import picture_shape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# layers that compute each output from one input, so that their units are those of the layer below
ELEMENTWISE = {"relu", "leaky_relu", "gelu", "sigmoid", "tanh", "softmax", "dropout", "rescale"}


def gradient_ascent(
    net: Network, layer: int | str, units: Sequence[int], *, steps: int = 200, rate: float = 0.05, decay: float = 0.1
) -> Array:
    """Inputs (len(units), *in_shape) for which these units of a layer have a large output.

    They are numbers from 0 to 1, or where the network standardizes rows, up to 2 standard deviations from the mean.
    Gradient ascent on the input (Erhan, Bengio, Courville and Vincent 2009), starting from zeros, or from the mean:
    each step adds the gradient of the unit's output, scaled to a root mean square of `rate`, and multiplies the input
    by 1 - decay, which removes what does not matter (Simonyan, Vedaldi and Zisserman 2014). Pictures are smoothed a
    little after each step (Yosinski et al. 2015), as the result would otherwise look like noise. For an activation
    function its input is maximised, since the gradient of an inactive ReLU is 0. In a layer of feature maps a unit is a
    channel, its output the sum over the map. ValueError: no such layer or unit.
    """
    index = activation_input(net, layer_index(net, layer))
    shape = net.layers[index].out_shape
    for number in units:
        if not 0 <= number < shape[0]:
            raise ValueError(f"unit is {number}; layer {net.layers[index].path} has 0 to {shape[0] - 1}")
    dy = np.zeros((len(units), *shape), np.float32)
    dy[np.arange(len(units)), list(units)] = 1
    picture = picture_shape(net.in_shape)
    middle, unit, low, high = input_range(net)
    z: Array = np.zeros((len(units), *net.in_shape), np.float32)
    for _ in range(steps):
        gradient = unit * net.input_gradient(middle + unit * z, dy=dy, layer=index)
        size = np.sqrt((gradient.reshape(len(z), -1) ** 2).mean(axis=1)).reshape(-1, *[1] * (z.ndim - 1))
        z = (1 - decay) * z + rate * gradient / np.where(size > 0, size, 1)
        if picture:
            z = _smooth(z.reshape(len(z), *picture)).reshape(z.shape)
        z = z.clip(low, high)
    return np.asarray(middle + unit * z)


def activation_input(net: Network, layer: int) -> int:
    """The layer itself, or the nearest layer below that is not elementwise."""
    first = net.layers[layer]
    row = [i for i, one in enumerate(net.layers) if _parent(one) == _parent(first)]  # nested ones stand among them
    index = row.index(layer)
    while index and net.layers[row[index]].kind in ELEMENTWISE:
        index -= 1
    return row[index]


def scores_layer(net: Network) -> int:
    """The layer whose outputs are the scores of the classes, before a final softmax or other activation."""
    return activation_input(net, max(i for i, one in enumerate(net.layers) if not _parent(one)))


def _parent(layer: LayerView) -> str:
    return layer.path.rpartition(".")[0]


def _smooth(x: Array) -> Array:
    """Each pixel of (..., height, width) mixed with the mean of its neighbours above, below, left and right."""
    padded = np.pad(x, [(0, 0)] * (x.ndim - 2) + [(1, 1), (1, 1)], mode="edge")
    around = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1] + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    return np.asarray(0.8 * x + 0.05 * around, dtype=x.dtype)


@styled
def preferred_inputs(
    net: Network,
    *,
    layer: int | str | None = None,
    units: Sequence[int] | None = None,
    most: int = 20,
    features: Sequence[str] | None = None,
) -> Figure:
    """The input that maximises each class, or each unit of a layer; see gradient_ascent.

    layer None: the outputs, before a final softmax; units None: the first `most`. Inputs that are not pictures are
    drawn as bars; features: their names. The largest value of a picture is white. ValueError: no such layer or unit.
    """
    last = scores_layer(net)
    index = last if layer is None else activation_input(net, layer_index(net, layer))
    shown = list(range(min(most, net.layers[index].out_shape[0]))) if units is None else list(units)
    inputs = gradient_ascent(net, net.layers[index].path, shown)
    outputs = index == last and len(net.classes) == net.layers[index].out_shape[0]
    names = [net.classes[unit] if outputs else f"unit {unit}" for unit in shown]
    activations = _outputs(net, inputs, index)[np.arange(len(shown)), shown]
    each = "each output" if net.task == "regression" else "each class"
    plural, what = ("", each) if outputs else ("s", f"layer {net.layers[index].path}, {net.layers[index].text}")
    shape = picture_shape(net.in_shape)
    columns, rows = grid_size(len(shown), 5)
    width, height = tile(net.in_shape, 1.7)
    figure = new_figure(
        max(3.5, width * columns + 0.4), (height + 0.4) * rows + 0.6, f"preferred input{plural} of {what}"
    )
    axes = grid(figure, len(shown), columns)
    if shape:
        for one, x in zip(axes, inputs, strict=True):
            one.imshow(as_picture(x, shape), cmap="gray", vmin=0, vmax=float(x.max()) or 1, interpolation="nearest")
    else:
        draw_rows(axes, inputs.reshape(len(inputs), -1), features)
    for one, name, output, x in zip(axes, names, activations, inputs, strict=True):
        scale = f"\nwhite is {x.max():.2f}" if shape else ""
        one.set_title(f"{escaped(name, 24)}: output {output:.1f}{scale}", fontsize=8)
    return figure


def _outputs(net: Network, x: Array, layer: int) -> Array:
    """The outputs of a layer's units for x, (n, units); for feature maps, their sums."""
    net.forward(x, training=False)
    out = net.layers[layer].output
    return np.asarray(out.reshape(len(x), out.shape[1], -1).sum(axis=2))
