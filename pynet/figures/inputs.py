"""Samples as pictures, with what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pynet.figures.canvas import columns_for, draw_pictures, grid, paper, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def samples(
    x: npt.ArrayLike, y: npt.ArrayLike, classes: Sequence[str] | None = None, *, each: int = 8, title: str = ""
) -> Figure:
    """The first samples of each class, one class a row: x (n, ...), y (n) labels, `each` samples a row.

    classes: names of the labels, None is "0", "1", ... With more than 12 classes simply the first samples.
    ValueError: there are none.
    """
    pictures, labels = np.asarray(x), np.asarray(y)
    if not len(pictures):
        raise ValueError("there are no samples to draw")
    names = [str(i) for i in range(int(labels.max()) + 1)] if classes is None else list(classes)
    present = [c for c in range(len(names)) if (labels == c).any()]
    if len(present) > 12:
        chosen = np.arange(min(len(labels), 60))
        columns = columns_for(len(chosen))
    else:
        least = min(each, min(int((labels == c).sum()) for c in present))
        chosen = np.concatenate([np.flatnonzero(labels == c)[:least] for c in present])
        columns = least
    rows = -(-len(chosen) // columns)
    figure = paper(1.05 * columns + 0.6, 1.2 * rows + 0.5, title or "samples")
    draw_pictures(grid(figure, len(chosen), columns), pictures[chosen], [plain(names[labels[i]], 14) for i in chosen])
    return figure
