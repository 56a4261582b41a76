"""The Figure class of all figures. Imported with the first figure, as it needs matplotlib."""

from __future__ import annotations

import io
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure


def default_style() -> AbstractContextManager[None]:
    """A context with matplotlib's default settings, whatever a matplotlibrc sets; restores the settings at the end."""
    return style.context("default")


class StyledFigure(Figure):
    """A figure that is drawn with default settings, so that it looks the same everywhere.

    matplotlib lays out some texts only when drawing: with LaTeX set in a matplotlibrc, "%" would start a comment.
    Notebooks show the figure as PNG, without pyplot.
    """

    def draw(self, renderer: Any) -> None:
        """Draws the figure with default settings. The ticks of numbers near the largest float overflow: no warning."""
        with default_style(), np.errstate(over="ignore", invalid="ignore"):
            super().draw(renderer)

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        with default_style():
            self.savefig(content, format="png")
        return content.getvalue()
