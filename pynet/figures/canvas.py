"""What all figures share: paper, colours, grids of small pictures, saving."""

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

from pynet._ffi import Array
from pynet.files import replacing
from pynet.text import DRAWN, percent, picture_shape, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pynet.network import Network

# Okabe and Ito 2008: colours that the colour-blind can tell apart. In grey, markers and line styles do.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
SIGNED = "cividis"  # grows lighter all the way, so that it says the same in grey; zero is in the middle
SUFFIXES = (".png", ".svg", ".pdf")
FEW_NUMBERS = 12  # a row of up to so many is drawn with names and values

P = ParamSpec("P")


class MissingMatplotlib(ImportError, ValueError):
    """matplotlib is not installed; the message says how to get it."""


def require() -> None:
    """Raises MissingMatplotlib unless figures can be drawn."""
    if importlib.util.find_spec("matplotlib") is None:
        command = f"{sys.executable} -m pip install matplotlib"
        raise MissingMatplotlib(f"pictures need matplotlib, which is not installed; this installs it: {command}")
    if "matplotlib" not in sys.modules:
        _import_without_backend()


def _import_without_backend() -> None:
    """Imports matplotlib, and takes $MPLBACKEND over only if there is such a backend.

    The import fails if there is none, and a notebook sets one of its own, which `!pynet visualize` may not have.
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


def in_own_style(function: Callable[P, Figure]) -> Callable[P, Figure]:
    """A function that draws in matplotlib's default style and leaves the user's settings as they were."""

    @functools.wraps(function)
    def draw(*args: P.args, **kwargs: P.kwargs) -> Figure:
        require()
        from pynet.figures.styled_figure import own_style

        with own_style():
            return function(*args, **kwargs)

    return draw


def paper(width: float, height: float, title: str) -> Figure:
    """An empty figure of this size in inches."""
    from pynet.figures.styled_figure import Page

    figure = Page(figsize=(width, height), layout="constrained")
    figure.suptitle(plain(title), fontsize=11, wrap=True)
    return figure


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Writes a figure as .png, .svg or .pdf, whole or not at all; returns the path. ValueError: another suffix."""
    place = Path(path)
    if place.suffix not in SUFFIXES:
        raise ValueError(f"picture file {str(place)!r}; accepted suffixes: {', '.join(SUFFIXES)}")
    from pynet.figures.styled_figure import own_style

    says = {".png": {"Software": DRAWN}, ".svg": {"Creator": DRAWN, "Date": None}}
    undated = says.get(place.suffix, {"Creator": DRAWN, "CreationDate": None})
    with replacing(place) as file, own_style():
        figure.savefig(file, dpi=120, format=place.suffix[1:], metadata=undated)
    return place


def plain(text: str, width: int = 160) -> str:
    """Text as it stands: names come from files, and a $ would begin a formula."""
    text = printable(text).replace("$", r"\$")
    return text if len(text) <= width else text[: width - 3] + "..."


def class_names(net: Network, classes: Sequence[str] | None, width: int = 14) -> list[str]:
    """Names of what class_scores gives, of up to `width` characters."""
    single = len(net.classes) == 1 and net.loss_name != "cross_entropy"
    return [plain(name, width) for name in (classes or (["0", "1"] if single else net.classes))]


def score_text(value: float | Array) -> str:
    """An output as a confidence, if it can be one."""
    return percent(float(value)) if 0 <= value <= 1 else f"{float(value):.3g}"


def layer_index(net: Network, layer: int | str) -> int:
    """Which of net.layers has this number, "1", or, within another, "1.0". ValueError: none has."""
    paths = [one.path for one in net.layers]
    if str(layer) not in paths:
        raise ValueError(f"layer is {layer}; this network has {', '.join(paths)}")
    return paths.index(str(layer))


# ---- small pictures in a grid ---------------------------------------------------------------------------------------


def as_picture(values: Array, shape: tuple[int, ...]) -> Array:
    """Numbers in the order of a sample as (height, width), of three channels as (height, width, 3); others' mean."""
    picture = values.reshape(shape)
    if picture.ndim == 2:
        return picture
    return np.moveaxis(picture, 0, 2) if len(picture) == 3 else np.asarray(picture.mean(axis=0))


def stacked(figure: Figure, heights: Sequence[float]) -> list[Any]:
    """Parts of a figure, one below the other."""
    return list(np.ravel(np.asarray(figure.subfigures(len(heights), 1, height_ratios=heights), dtype=object)))


def columns_for(n: int, most: int = 10) -> int:
    """How many of n pictures go side by side: about twice as many as go one below the other."""
    return max(1, min(most, n, math.ceil(math.sqrt(2 * n))))


def grid(figure: Figure | Any, n: int, columns: int) -> list[Axes]:
    """Axes for n pictures, row by row, without ticks; what is left of the last row stays empty."""
    rows = -(-n // columns)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for one in axes[n:]:
        one.remove()
    for one in axes[:n]:
        one.set_xticks([])
        one.set_yticks([])
    return axes[:n]


def show_signed(axes: Axes, picture: Array, largest: float) -> Any:
    """Draws numbers around zero: -largest dark, zero in the middle, largest light."""
    largest = largest if largest > 0 else 1.0
    if picture.ndim == 3:  # three channels: red, green and blue, zero a middle grey
        return axes.imshow(((picture / largest + 1) / 2).clip(0, 1), interpolation="nearest")
    return axes.imshow(picture, cmap=SIGNED, vmin=-largest, vmax=largest, interpolation="nearest")


def show_sample(axes: Axes, picture: Array) -> Any:
    """Draws a sample: bytes from black to white, other numbers from the least to the largest."""
    if picture.dtype == np.uint8:
        return axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    if picture.ndim == 3:
        return axes.imshow(picture.clip(0, 1), interpolation="nearest")
    return axes.imshow(picture, cmap="gray", interpolation="nearest")


def tile(shape: tuple[int, ...], side: float) -> tuple[float, float]:
    """(width, height) in inches of one sample of this shape in a grid: a picture of this side, or a row of numbers."""
    if picture_shape(shape):
        return side, side
    n = math.prod(shape)
    return max(side, 1.3), max(side, 0.16 * n if n <= FEW_NUMBERS else 1.3)


def draw_pictures(axes: Sequence[Axes], x: Array, titles: Sequence[str], features: Sequence[str] | None = None) -> None:
    """Samples x (n, ...), each as a picture, or as bars where they are none; titles as plain() gives them.

    features: names of the numbers of a row. Bars are on one scale for all; bytes mean x/255.
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
    """Rows of numbers (n, k), each as bars from zero, all on one scale; a few lie on their side, with names and values.

    The names stand beside the first of each row of axes, the scale below the last of each column.
    """
    from matplotlib.ticker import MaxNLocator

    k = rows.shape[1]
    few = k <= FEW_NUMBERS
    low, high = min(0.0, float(rows.min())), max(0.0, float(rows.max()))
    reach = (high - low) or 1.0
    room = (0.6 if low < 0 else 0.45) * reach if few else 0.05 * reach  # for the values
    limits = (low - room if low < 0 else 0, high + room if high > 0 else 0.05 * reach)
    known = features if features and len(features) == k else [f"input {i}" for i in range(k)]
    names = [plain(name, 20) for name in known]
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
