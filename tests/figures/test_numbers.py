"""Figures of regressions and of the importance of columns show the right numbers."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from pynet import figures

Y = np.array([1.0, 2, 3, 4])
P = np.array([1.5, 2, 2, 5])


def test_predictions_against_targets() -> None:
    figure = figures.predicted(Y, P, name="price $")
    diagonal, dots = figure.axes[0].lines
    assert_allclose(dots.get_xydata(), np.c_[Y, P])
    assert_allclose(diagonal.get_xydata(), [[1, 1], [5, 5]])
    assert figure.get_suptitle() == r"price \$: R2 0.55, 4 samples"


def test_residuals_are_predictions_minus_targets() -> None:
    figure = figures.residuals(Y, P)
    places, counts = figure.axes
    assert_allclose(places.lines[1].get_xydata(), np.c_[P, P - Y])
    assert sum(bar.get_width() for bar in counts.patches) == 4
    assert figure.get_suptitle() == "predictions: RMSE 0.75, mean error 0.125"


def test_importance_is_sorted() -> None:
    falls = [[0.1, 0.2], [0.5, 0.3], [0.0, -0.1]]
    axes = figures.importance(falls, ["a", "b", "c"], score="R2").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "a", "c"]
    assert_allclose([bar.get_width() for bar in axes.patches], [0.4, 0.15, -0.05])
    assert_allclose(axes.lines[0].get_xdata(), [0.5, 0.3])
    many = figures.importance(np.arange(40.0)[:, None], [str(i) for i in range(40)])
    assert many.get_suptitle() == "how much the accuracy falls if a column is permuted: the first 30 of 40"


@pytest.mark.parametrize("pair", [(Y, P[:3]), (Y[:0], P[:0]), (Y[:, None], P[:, None])])
def test_pairs_that_do_not_fit(pair: tuple[np.ndarray, np.ndarray]) -> None:  # type: ignore[type-arg]
    for draw in (figures.predicted, figures.residuals):
        with pytest.raises(ValueError, match="y has shape"):
            draw(*pair)
