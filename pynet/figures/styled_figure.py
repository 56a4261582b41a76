"""What every figure is drawn on. Imported when the first one is drawn: this needs matplotlib."""

from __future__ import annotations

import io
from contextlib import AbstractContextManager
from typing import Any

from matplotlib import style
from matplotlib.figure import Figure


def default_style() -> AbstractContextManager[None]:
    """matplotlib's defaults for a while, whatever a matplotlibrc says; then the settings are again what they were."""
    return style.context("default")


class StyledFigure(Figure):
    """A figure that looks the same everywhere, though matplotlib makes some of its texts only as it draws.

    LaTeX, say, may be asked for in a matplotlibrc and not be there, and would take a "%" for a comment. Notebooks show
    a page as a picture without pyplot.
    """

    def draw(self, renderer: Any) -> None:
        """Draws all of it."""
        with default_style():
            super().draw(renderer)

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        with default_style():
            self.savefig(content, format="png")
        return content.getvalue()
