"""Saliency maps: the gradient of a class score with respect to the input."""

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
    new_figure,
    score_text,
    show_signed,
    styled,
    tile,
)
from pynet.figures.preferred_inputs import scores_layer
from pynet.metrics import class_scores
from pynet.network import Network
from pynet.text import picture_shape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDE = 2.5  # inches, of a picture


@styled
def saliency(
    net: Network,
    x: npt.ArrayLike,
    *,
    classes: Sequence[str] | None = None,
    truth: int | None = None,
    features: Sequence[str] | None = None,
) -> Figure:
    """A sample x (*in_shape) and the gradient of the score of its predicted class.

    With S_c the score of class c before a final softmax, w = dS_c/dx at x. For a picture, the saliency map M_ij =
    |w_ij| is drawn, with several channels the largest |w| of a pixel (Simonyan, Vedaldi and Zisserman 2014), and w
    itself: yellow where a lighter pixel raises the score, blue where it lowers it, both with the outline of a grey
    sample. Other inputs are drawn as bars of w. For bytes w is the gradient with respect to x/255.

    truth: the sample's label; if the prediction differs, the gradient for the true class is drawn below. features:
    names of the inputs, if the sample is not a picture.
    """
    sample = np.asarray(x)
    names = class_names(net, classes)
    scores = class_scores(net, sample[None])[0]
    predicted = int(scores.argmax())
    shown_classes = [predicted] if truth is None or truth == predicted else [predicted, truth]
    gradients = [_score_gradient(net, sample, c) for c in shown_classes]
    title = f"predicted {names[predicted]} ({score_text(scores[predicted])}); "
    if len(shown_classes) > 1:
        title += f"label {names[shown_classes[1]]} ({score_text(scores[shown_classes[1]])}); "
    title += "gradient of the score S at the sample x"
    shape = picture_shape(sample.shape)
    width, height = tile(sample.shape, SIDE)
    columns = 3 if shape else 2
    figure = new_figure(max(6.0, columns * width + 1.2), (height + 0.4) * len(shown_classes) + 0.5, title)
    grid = figure.add_gridspec(len(shown_classes), columns)
    one = figure.add_subplot(grid[:, 0])
    if shape:
        one.set(xticks=[], yticks=[])
    draw_pictures([one], sample[None], ["the sample"], features)
    for row, (c, w) in enumerate(zip(shown_classes, gradients, strict=True)):
        if shape:
            pair = [figure.add_subplot(grid[row, column]) for column in (1, 2)]
            _maps(pair, w.reshape(shape), as_picture(sample, shape), names[c])
        else:
            bars = figure.add_subplot(grid[row, 1])
            draw_rows([bars], w.reshape(1, -1), features)
            bars.tick_params(labelleft=True)
            bars.set_title(f"gradient for {names[c]}: dS/dx", fontsize=8)
    return figure


def _score_gradient(net: Network, sample: Array, c: int) -> Array:
    """dS_c/dx (*in_shape): S_c is the output of class c before a final activation.

    A single output is the score of class 1; its negative is that of class 0.
    """
    layer = scores_layer(net)
    dy = np.zeros((1, *net.layers[layer].out_shape), np.float32)
    if dy.size == 1:
        dy[...] = 1 if c == 1 or net.loss_name == "cross_entropy" else -1
    else:
        dy.reshape(-1)[c] = 1
    return np.asarray(net.input_gradient(sample[None], dy=dy, layer=layer)[0])


def _maps(pair: Sequence[Axes], w: Array, picture: Array, name: str) -> None:
    """Draws |w| and w; w (height, width) or (channels, height, width)."""
    matters, way = pair
    for axes in pair:
        axes.set(xticks=[], yticks=[])
    magnitude = abs(w) if w.ndim == 2 else abs(w).max(axis=0)
    matters.imshow(magnitude, cmap="gray", vmin=0, vmax=float(magnitude.max()) or 1.0, interpolation="nearest")
    matters.set_title(f"saliency for {name}: |dS/dx|", fontsize=8)
    signed = w if w.ndim == 2 else w.mean(axis=0)
    image = show_signed(way, signed, float(abs(signed).max()))
    way.set_title(f"gradient for {name}: dS/dx", fontsize=8)
    figure = way.get_figure()
    assert figure
    figure.colorbar(image, ax=way, shrink=0.8).set_label("a lighter pixel raises (+) or lowers (-) S", fontsize=8)
    if picture.ndim == 2:
        for axes, colour in ((matters, COLOURS[4]), (way, "white")):
            _outline(axes, picture, colour)
            axes.set_xlabel("line: outline of the sample", fontsize=7)


def _outline(axes: Axes, picture: Array, colour: str) -> None:
    """Draws the contour at the middle of the range of a picture (height, width), closed at the edges."""
    grey = picture.astype(np.float64)
    middle = (grey.min() + grey.max()) / 2
    if not grey.min() < middle < grey.max():
        return
    limits = axes.get_xlim(), axes.get_ylim()
    framed = np.pad(grey, 1, constant_values=np.median(grey))
    across, down = np.arange(-1, grey.shape[1] + 1), np.arange(-1, grey.shape[0] + 1)
    axes.contour(across, down, framed, levels=[middle], colors=colour, linewidths=0.8)
    axes.set(xlim=limits[0], ylim=limits[1])
