"""What a unit looks for: the input that makes it answer most, found by climbing its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pynet._ffi import Array
from pynet.figures.canvas import (
    as_picture,
    columns_for,
    draw_rows,
    grid,
    in_own_style,
    layer_index,
    paper,
    plain,
    tile,
)
from pynet.network import LayerView, Network
from pynet.text import picture_shape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Layers whose units are those below.
BENDS = {"relu", "leaky_relu", "gelu", "sigmoid", "tanh", "softmax", "dropout", "rescale"}


def ascend(
    net: Network, layer: int | str, units: Sequence[int], *, steps: int = 200, rate: float = 0.05, decay: float = 0.1
) -> Array:
    """Inputs (len(units), *in_shape), numbers from 0 to 1, that make these units of a layer answer strongly.

    Gradient ascent on the input (Erhan, Bengio, Courville and Vincent 2009): from black, each step adds the gradient of
    the unit's output, its root mean square made `rate`, and takes away the share `decay` of what is there, so that only
    what matters stays bright (Simonyan, Vedaldi and Zisserman 2014). Pictures are smoothed a little after each step
    (Yosinski et al. 2015): single pixels are noise to us, whatever they are to the network. Of an activation the input
    is climbed, since a ReLU that is off has no slope; of a layer of maps, a unit is a map, its output the sum over it.
    ValueError: no such layer or unit.
    """
    at = before_activation(net, layer_index(net, layer))
    shape = net.layers[at].out_shape
    for unit in units:
        if not 0 <= unit < shape[0]:
            raise ValueError(f"unit is {unit}; layer {net.layers[at].path} has 0 to {shape[0] - 1}")
    dy = np.zeros((len(units), *shape), np.float32)
    dy[np.arange(len(units)), list(units)] = 1
    picture = picture_shape(net.in_shape)
    x: Array = np.zeros((len(units), *net.in_shape), np.float32)
    for _ in range(steps):
        gradient = net.input_gradient(x, dy=dy, layer=at)
        size = np.sqrt((gradient.reshape(len(x), -1) ** 2).mean(axis=1)).reshape(-1, *[1] * (x.ndim - 1))
        x = (1 - decay) * x + rate * gradient / np.where(size > 0, size, 1)
        if picture:
            x = _smooth(x.reshape(len(x), *picture)).reshape(x.shape)
        x = x.clip(0, 1)
    return x


def before_activation(net: Network, layer: int) -> int:
    """The layer itself, or the one below it if it only bends each of its inputs."""
    found = net.layers[layer]
    row = [i for i, one in enumerate(net.layers) if _parent(one) == _parent(found)]  # nested ones stand among them
    at = row.index(layer)
    while at and net.layers[row[at]].kind in BENDS:
        at -= 1
    return row[at]


def scores_layer(net: Network) -> int:
    """The layer whose output is the scores of the classes, before a closing softmax or other activation."""
    return before_activation(net, max(i for i, one in enumerate(net.layers) if not _parent(one)))


def _parent(layer: LayerView) -> str:
    return layer.path.rpartition(".")[0]


def _smooth(x: Array, centre: float = 0.8) -> Array:
    """Each pixel of (..., height, width) mixed with the mean of its neighbours above, below, left and right."""
    padded = np.pad(x, [(0, 0)] * (x.ndim - 2) + [(1, 1), (1, 1)], mode="edge")
    around = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1] + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    return np.asarray(centre * x + (1 - centre) / 4 * around, dtype=x.dtype)


@in_own_style
def looks_for(
    net: Network, *, layer: int | str | None = None, units: Sequence[int] | None = None, most: int = 20
) -> Figure:
    """What each class, or each unit of a layer, looks for; see ascend.

    layer None: the outputs, before a closing softmax; units None: the first `most`. Where the inputs are no picture,
    the numbers are drawn as bars. The lightest place of a picture is white. ValueError: no such layer or unit.
    """
    last = scores_layer(net)
    index = last if layer is None else before_activation(net, layer_index(net, layer))
    chosen = list(range(min(most, net.layers[index].out_shape[0]))) if units is None else list(units)
    found = ascend(net, net.layers[index].path, chosen)
    outputs = index == last and len(net.classes) == net.layers[index].out_shape[0]
    names = [net.classes[unit] if outputs else f"unit {unit}" for unit in chosen]
    answers = _answers(net, found, index)[np.arange(len(chosen)), chosen]
    each = "each output" if net.task == "regression" else "each class"
    what = each if outputs else f"layer {net.layers[index].path}, {net.layers[index].text},"
    shape = picture_shape(net.in_shape)
    columns = columns_for(len(chosen), 5)
    rows = -(-len(chosen) // columns)
    width, height = tile(net.in_shape, 1.7)
    figure = paper(max(3.5, width * columns + 0.4), (height + 0.25) * rows + 0.6, f"what {what} looks for")
    axes = grid(figure, len(chosen), columns)
    if shape:
        for one, x in zip(axes, found, strict=True):
            one.imshow(as_picture(x, shape), cmap="gray", vmin=0, vmax=float(x.max()) or 1, interpolation="nearest")
    else:
        draw_rows(axes, found.reshape(len(found), -1))
    for one, name, answer in zip(axes, names, answers, strict=True):
        one.set_title(f"{plain(name, 24)}: output {answer:.1f}", fontsize=8)
    return figure


def _answers(net: Network, x: Array, layer: int) -> Array:
    """What the units of a layer say to x: (n, units); of maps, the sum."""
    net.forward(x, training=False)
    out = net.layers[layer].output
    return np.asarray(out.reshape(len(x), out.shape[1], -1).sum(axis=2))
