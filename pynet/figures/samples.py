"""Samples as pictures, with what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pynet.figures.canvas import columns_for, draw_pictures, grid, in_own_style, paper, plain, tile

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@in_own_style
def samples(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    classes: Sequence[str] | None = None,
    *,
    each: int = 8,
    title: str = "",
    features: Sequence[str] | None = None,
) -> Figure:
    """The first samples of each class, one class a row: x (n, ...), y (n) labels, `each` samples a row.

    classes: names of the labels, None is "0", "1", ... With more than 12 classes simply the first samples.
    features: names of the numbers of a sample that is no picture. ValueError: there are none.
    """
    pictures, labels = np.asarray(x), np.asarray(y)
    if not len(pictures):
        raise ValueError("there are no samples to draw")
    names = [str(i) for i in range(int(labels.max()) + 1)] if classes is None else list(classes)
    present = [c for c in range(len(names)) if (labels == c).any()]
    if len(present) > 12:
        chosen = np.arange(min(len(labels), 60))
        columns = columns_for(len(chosen))
        what = f"the first {len(chosen)}"
    else:
        least = min(each, min(int((labels == c).sum()) for c in present))
        chosen = np.concatenate([np.flatnonzero(labels == c)[:least] for c in present])
        columns = least
        what = f"the first {least} of each class"
    rows = -(-len(chosen) // columns)
    width, height = tile(pictures.shape[1:], 1.05)
    figure = paper(max(3.5, width * columns + 0.6), (height + 0.15) * rows + 0.5, f"{title or 'samples'}: {what}")
    titles = [plain(names[labels[i]], 14) for i in chosen]
    draw_pictures(grid(figure, len(chosen), columns), pictures[chosen], titles, features)
    return figure
