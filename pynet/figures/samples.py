"""A figure of samples with their classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pynet.figures.canvas import columns_for, draw_pictures, escaped, grid, new_figure, styled, tile

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
        columns = columns_for(len(shown))
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
