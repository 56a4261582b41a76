"""Why a network gives its answer on one sample: which numbers of the input matter, and which way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pynet._ffi import Array
from pynet.figures.canvas import (
    COLOURS,
    as_picture,
    class_names,
    draw_pictures,
    draw_rows,
    in_own_style,
    paper,
    score_text,
    show_signed,
    tile,
)
from pynet.figures.preferred_inputs import scores_layer
from pynet.metrics import class_scores
from pynet.network import Network
from pynet.text import picture_shape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDE = 2.5  # inches of a picture


@in_own_style
def saliency(
    net: Network,
    x: npt.ArrayLike,
    *,
    classes: Sequence[str] | None = None,
    truth: int | None = None,
    features: Sequence[str] | None = None,
) -> Figure:
    """One sample x (*in_shape), and the gradient of its class's score at it: why this answer?

    With S_c the score of class c before a closing softmax, w = dS_c/dx at x. A picture shows the saliency map
    M_ij = |w_ij|, of several channels the largest |w| of a pixel (Simonyan, Vedaldi and Zisserman 2014), and w itself:
    yellow where more light raises the score, blue where it lowers it, both with the outline of a sample in grey. Where
    the inputs are no picture, w is drawn as bars. For bytes w is the gradient with respect to x/255.

    truth: the sample's label; where the network says something else, the gradient for the right class is drawn below.
    features: names of the numbers of a sample that is no picture.
    """
    sample = np.asarray(x)
    names = class_names(net, classes)
    scores = class_scores(net, sample[None])[0]
    said = int(scores.argmax())
    told = [said] if truth is None or truth == said else [said, truth]
    gradients = [_score_gradient(net, sample, c) for c in told]
    title = f"why {names[said]} ({score_text(scores[said])})? "
    title += f"It is {names[told[1]]} ({score_text(scores[told[1]])}). " if len(told) > 1 else ""
    title += "The gradient of the score S at the sample x"
    shape = picture_shape(sample.shape)
    width, height = tile(sample.shape, SIDE)
    columns = 3 if shape else 2
    figure = paper(max(6.0, columns * width + 1.2), (height + 0.4) * len(told) + 0.5, title)
    grid = figure.add_gridspec(len(told), columns)
    one = figure.add_subplot(grid[:, 0])
    if shape:
        one.set(xticks=[], yticks=[])
    draw_pictures([one], sample[None], ["the sample"], features)
    for row, (c, w) in enumerate(zip(told, gradients, strict=True)):
        if shape:
            pair = [figure.add_subplot(grid[row, column]) for column in (1, 2)]
            _maps(pair, w.reshape(shape), as_picture(sample, shape), names[c])
        else:
            bars = figure.add_subplot(grid[row, 1])
            draw_rows([bars], w.reshape(1, -1), features)
            bars.tick_params(labelleft=True)
            bars.set_title(f"what raises or lowers {names[c]}: dS/dx", fontsize=8)
    return figure


def _score_gradient(net: Network, sample: Array, c: int) -> Array:
    """dS_c/dx (*in_shape): S_c is the output of class c before a closing activation.

    A single output speaks for class 1 and against class 0.
    """
    layer = scores_layer(net)
    dy = np.zeros((1, *net.layers[layer].out_shape), np.float32)
    if dy.size == 1:
        dy[...] = 1 if c == 1 or net.loss_name == "cross_entropy" else -1
    else:
        dy.reshape(-1)[c] = 1
    return np.asarray(net.input_gradient(sample[None], dy=dy, layer=layer)[0])


def _maps(pair: Sequence[Axes], w: Array, picture: Array, name: str) -> None:
    """How much and which way each pixel matters; w (height, width) or (channels, height, width)."""
    matters, way = pair
    for axes in pair:
        axes.set(xticks=[], yticks=[])
    magnitude = abs(w) if w.ndim == 2 else abs(w).max(axis=0)
    matters.imshow(magnitude, cmap="gray", vmin=0, vmax=float(magnitude.max()) or 1.0, interpolation="nearest")
    matters.set_title(f"what matters for {name}: |dS/dx|", fontsize=8)
    signed = w if w.ndim == 2 else w.mean(axis=0)
    image = show_signed(way, signed, float(abs(signed).max()))
    way.set_title(f"what raises or lowers {name}: dS/dx", fontsize=8)
    figure = way.get_figure()
    assert figure
    figure.colorbar(image, ax=way, shrink=0.8).set_label("more light raises (+) or lowers (-)", fontsize=8)
    if picture.ndim == 2:
        _outline(matters, picture, COLOURS[4])
        _outline(way, picture, "white")


def _outline(axes: Axes, picture: Array, colour: str) -> None:
    """Where a picture (height, width) passes the middle of its range; closed where it touches the edge."""
    grey = picture.astype(np.float64)
    middle = (grey.min() + grey.max()) / 2
    if not grey.min() < middle < grey.max():
        return
    limits = axes.get_xlim(), axes.get_ylim()
    framed = np.pad(grey, 1, constant_values=np.median(grey))
    across, down = np.arange(-1, grey.shape[1] + 1), np.arange(-1, grey.shape[0] + 1)
    axes.contour(across, down, framed, levels=[middle], colors=colour, linewidths=0.8)
    axes.set(xlim=limits[0], ylim=limits[1])
