"""Helpers of all figures: style, colours, grids of small pictures, saving."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from pynet import html
from pynet._ffi import Array
from pynet.files import replacing
from pynet.metrics import score_names
from pynet.text import DRAWN, percent, picture_shape, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pynet.network import Network

COLOURS = (*html.COLOURS, "#000000", "#F0E442")  # in grey, markers and line styles differ
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
SIGNED = "cividis"  # its lightness increases steadily, so that it is readable in grey; zero is in the middle
SUFFIXES = (".png", ".svg", ".pdf")
FEW_NUMBERS = 12  # rows of up to this many numbers are drawn with names and values

P = ParamSpec("P")


class MissingMatplotlib(ImportError, ValueError):
    """matplotlib is not installed; the message shows the command that installs it."""


def require() -> None:
    """Raises MissingMatplotlib unless figures can be drawn."""
    if importlib.util.find_spec("matplotlib") is None:
        command = f"{sys.executable} -m pip install matplotlib"
        raise MissingMatplotlib(f"figures need matplotlib, which is not installed; this installs it: {command}")
    if "matplotlib" not in sys.modules:
        _import_without_backend()


def _import_without_backend() -> None:
    """Imports matplotlib, and uses $MPLBACKEND only if that backend exists.

    With an unknown backend the import would fail: a notebook sets its own, which may be missing for `!pynet visualize`.
    """
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if backend:
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = backend


def styled(function: Callable[P, Figure]) -> Callable[P, Figure]:
    """A decorator: draws in matplotlib's default style, without changing the user's settings."""

    @functools.wraps(function)
    def draw(*args: P.args, **kwargs: P.kwargs) -> Figure:
        require()
        from pynet.figures.styled_figure import default_style

        with default_style():
            return function(*args, **kwargs)

    return draw


def new_figure(width: float, height: float, title: str) -> Figure:
    """An empty figure of this size in inches."""
    from pynet.figures.styled_figure import StyledFigure

    figure = StyledFigure(figsize=(width, height), layout="constrained")
    figure.suptitle(escaped(title), fontsize=11, wrap=True)
    return figure


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Writes a figure as .png, .svg or .pdf, whole or not at all; returns the path. ValueError: another suffix."""
    place = Path(path)
    if place.suffix not in SUFFIXES:
        raise ValueError(f"picture file {str(place)!r}; accepted suffixes: {', '.join(SUFFIXES)}")
    from pynet.figures.styled_figure import default_style

    metadata = {".png": {"Software": DRAWN}, ".svg": {"Creator": DRAWN, "Date": None}}
    metadata_ = metadata.get(place.suffix, {"Creator": DRAWN, "CreationDate": None})
    with replacing(place) as file, default_style():
        figure.savefig(file, dpi=120, format=place.suffix[1:], metadata=metadata_)
    return place


def escaped(text: str, width: int = 160) -> str:
    """Text that is safe in a figure: printable, at most width characters, $ escaped, which would start a formula."""
    text = printable(text).replace("$", r"\$")
    return text if len(text) <= width else text[: width - 3] + "..."


def class_names(net: Network, classes: Sequence[str] | None, width: int = 14) -> list[str]:
    """Names for the columns of class_scores, of up to `width` characters."""
    return [escaped(name, width) for name in classes or score_names(net)]


def score_text(value: float | Array) -> str:
    """An output as text: in percent if it is within 0 to 1."""
    return percent(float(value)) if 0 <= value <= 1 else f"{float(value):.3g}"


def layer_index(net: Network, layer: int | str) -> int:
    """The index in net.layers of the layer with this number, "1" or, nested, "1.0". ValueError: there is none."""
    paths = [one.path for one in net.layers]
    if str(layer) not in paths:
        raise ValueError(f"layer is {layer}; this network has {', '.join(paths)}")
    return paths.index(str(layer))


# ---- small pictures in a grid ---------------------------------------------------------------------------------------


def as_picture(values: Array, shape: tuple[int, ...]) -> Array:
    """A sample as (height, width); three channels as (height, width, 3), other numbers of channels as their mean."""
    picture = values.reshape(shape)
    if picture.ndim == 2:
        return picture
    return np.moveaxis(picture, 0, 2) if len(picture) == 3 else np.asarray(picture.mean(axis=0))


def stacked(figure: Figure, heights: Sequence[float]) -> list[Any]:
    """Sub-figures with these heights, one below the other."""
    return list(np.ravel(np.asarray(figure.subfigures(len(heights), 1, height_ratios=heights), dtype=object)))


def grid_size(n: int, most: int = 10) -> tuple[int, int]:
    """(columns, rows) of a grid of n pictures: about twice as many columns as rows, up to `most`."""
    columns = max(1, min(most, n, math.ceil(math.sqrt(2 * n))))
    return columns, -(-n // columns)


def grid(figure: Figure | Any, n: int, columns: int) -> list[Axes]:
    """Axes for n pictures, row by row, without ticks; the rest of the last row stays empty."""
    rows = -(-n // columns)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for one in axes[n:]:
        one.remove()
    for one in axes[:n]:
        one.set_xticks([])
        one.set_yticks([])
    return axes[:n]


def show_signed(axes: Axes, picture: Array, largest: float) -> Any:
    """Draws signed numbers: -largest dark, zero in the middle of the scale, largest light."""
    largest = largest if largest > 0 else 1.0
    if picture.ndim == 3:  # three channels: red, green and blue, zero a middle grey
        return axes.imshow(((picture / largest + 1) / 2).clip(0, 1), interpolation="nearest")
    return axes.imshow(picture, cmap=SIGNED, vmin=-largest, vmax=largest, interpolation="nearest")


def show_sample(axes: Axes, picture: Array) -> Any:
    """Draws a sample: bytes 0 to 255 from black to white, other numbers from their minimum to their maximum."""
    if picture.dtype == np.uint8:
        return axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    if picture.ndim == 3:
        return axes.imshow(picture.clip(0, 1), interpolation="nearest")
    return axes.imshow(picture, cmap="gray", interpolation="nearest")


def tile(shape: tuple[int, ...], side: float) -> tuple[float, float]:
    """(width, height) in inches of a sample of this shape in a grid; side: of a picture."""
    if picture_shape(shape):
        return side, side
    n = math.prod(shape)
    return max(side, 1.3), max(side, 0.16 * n if n <= FEW_NUMBERS else 1.3)


def draw_pictures(axes: Sequence[Axes], x: Array, titles: Sequence[str], features: Sequence[str] | None = None) -> None:
    """Draws samples x (n, ...) as pictures, or as bars if they are not pictures; titles: already escaped().

    features: names of the inputs. All bars have the same scale; bytes are drawn as x/255.
    """
    shape = picture_shape(x.shape[1:])
    if shape:
        for one, sample in zip(axes, x, strict=True):
            show_sample(one, as_picture(sample, shape))
    else:
        rows = x.reshape(len(x), -1)
        draw_rows(axes, rows / 255 if x.dtype == np.uint8 else rows, features)
    for one, title in zip(axes, titles, strict=True):
        one.set_title(title, fontsize=8)


def draw_rows(axes: Sequence[Axes], rows: Array, features: Sequence[str] | None = None) -> None:
    """Draws rows of numbers (n, k) as bars, on one common scale; up to FEW_NUMBERS horizontally, with names and values.

    The names are beside the first axes of each row of the grid, the scale is below the last of each column.
    """
    from matplotlib.ticker import MaxNLocator

    k = rows.shape[1]
    few = k <= FEW_NUMBERS
    low, high = min(0.0, float(rows.min())), max(0.0, float(rows.max()))
    extent_ = (high - low) or 1.0
    margin = (0.6 if low < 0 else 0.45) * extent_ if few else 0.05 * extent_  # for the values
    limits = (low - margin if low < 0 else 0, high + margin if high > 0 else 0.05 * extent_)
    known = features if features and len(features) == k else [f"input {i}" for i in range(k)]
    names = [escaped(name, 20) for name in known]
    for i, (one, row) in enumerate(zip(axes, rows, strict=True)):
        spec = one.get_subplotspec()
        assert spec is not None
        columns = spec.get_gridspec().ncols
        lowest = spec.is_last_row() or i + columns >= len(rows)
        if few:
            one.barh(range(k), row, color=COLOURS[0])
            for at, value in enumerate(row):
                side = "right" if value < 0 else "left"
                one.text(value, at, f" {value:.3g} ", ha=side, va="center", fontsize=7)
            one.set(xlim=limits, ylim=(k - 0.4, -0.6))
            one.set_yticks(range(k), names)
            one.axvline(0, color="black", linewidth=0.8)
        else:
            one.bar(range(k), row, width=1.0, color=COLOURS[0])
            one.set(ylim=limits, xlim=(-0.5, k - 0.5))
            one.set_xticks([0, k - 1], [names[0], names[-1]])
            one.axhline(0, color="black", linewidth=0.8)
        (one.xaxis if few else one.yaxis).set_major_locator(MaxNLocator(3))
        one.tick_params(labelsize=7, labelbottom=lowest, labelleft=spec.is_first_col())
