"""A figure of samples with their classes, and the range in which samples are made up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pynet._ffi import Array
from pynet.figures.canvas import draw_pictures, escaped, grid, grid_size, new_figure, styled, tile
from pynet.network import Network
from pynet.text import picture_shape

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def input_range(net: Network) -> tuple[Array, Array, float, float]:
    """(middle, unit, low, high) of inputs that are made up for a network: middle + unit z, with z from low to high.

    middle and unit have the shape in_shape. Where the network standardizes rows of numbers they are mean and scale, and
    z is from -2 to 2; else the inputs are numbers from 0 to 1.
    """
    if net.layers[0].kind == "standardize" and not picture_shape(net.in_shape):
        return net.tensors["0.mean"].copy(), net.tensors["0.scale"].copy(), -2.0, 2.0
    zeros = np.zeros(net.in_shape, np.float32)
    return zeros, zeros + 1, 0.0, 1.0


@styled
def samples(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    classes: Sequence[str] | None = None,
    *,
    each: int = 8,
    title: str = "",
    features: Sequence[str] | None = None,
) -> Figure:
    """The first samples of each class, a row for each class: x (n, ...), y (n) labels, `each` samples in a row.

    classes: names of the labels, None is "0", "1", ... With more than 12 classes, the first samples of the
    data set are drawn. features: names of the inputs, if samples are not pictures. ValueError: there are no samples.
    """
    pictures, labels = np.asarray(x), np.asarray(y)
    if not len(pictures):
        raise ValueError("there are no samples to draw")
    names = [str(i) for i in range(int(labels.max()) + 1)] if classes is None else list(classes)
    present = [c for c in range(len(names)) if (labels == c).any()]
    if len(present) > 12:
        shown = np.arange(min(len(labels), 60))
        columns, _ = grid_size(len(shown))
        what = f"the first {len(shown)}"
    else:
        least = min(each, min(int((labels == c).sum()) for c in present))
        shown = np.concatenate([np.flatnonzero(labels == c)[:least] for c in present])
        columns = least
        what = f"the first {least} of each class"
    rows = -(-len(shown) // columns)
    width, height = tile(pictures.shape[1:], 1.05)
    figure = new_figure(max(3.5, width * columns + 0.6), (height + 0.15) * rows + 0.5, f"{title or 'samples'}: {what}")
    titles = [escaped(names[labels[i]], 14) for i in shown]
    draw_pictures(grid(figure, len(shown), columns), pictures[shown], titles, features)
    return figure
