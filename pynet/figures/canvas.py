"""What all figures share: paper, colours, grids of small pictures, saving."""

from __future__ import annotations

import importlib.util
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pynet._ffi import Array
from pynet.files import replacing
from pynet.text import DRAWN, picture_shape, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pynet.network import Network

# Okabe and Ito 2008: colours that the colour-blind can tell apart. In grey, markers and line styles do.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
SIGNED = "cividis"  # grows lighter all the way, so that it says the same in grey; zero is in the middle
SUFFIXES = (".png", ".svg", ".pdf")


class MissingMatplotlib(ImportError, ValueError):
    """matplotlib is not installed; the message says how to get it."""


def require() -> None:
    """Raises MissingMatplotlib unless figures can be drawn."""
    if importlib.util.find_spec("matplotlib") is None:
        command = f"{sys.executable} -m pip install matplotlib"
        raise MissingMatplotlib(f"pictures need matplotlib, which is not installed; this installs it: {command}")


def paper(width: float, height: float, title: str) -> Figure:
    """An empty figure of this size in inches."""
    require()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(plain(title), fontsize=11)
    return figure


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Writes a figure as .png, .svg or .pdf, whole or not at all; returns the path. ValueError: another suffix."""
    place = Path(path)
    if place.suffix not in SUFFIXES:
        raise ValueError(f"picture file {str(place)!r}; accepted suffixes: {', '.join(SUFFIXES)}")
    says = {".png": {"Software": DRAWN}, ".svg": {"Creator": DRAWN, "Date": None}}
    undated = says.get(place.suffix, {"Creator": DRAWN, "CreationDate": None})
    with replacing(place) as partial:
        figure.savefig(partial, dpi=120, format=place.suffix[1:], metadata=undated)
    return place


def plain(text: str, width: int = 160) -> str:
    """Text as it stands: names come from files, and a $ would begin a formula."""
    text = printable(text).replace("$", r"\$")
    return text if len(text) <= width else text[: width - 3] + "..."


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


def draw_pictures(axes: Sequence[Axes], x: Array, titles: Sequence[str]) -> None:
    """Samples x (n, ...), each as a picture, or as bars where they are none; titles as plain() gives them."""
    for one, sample, title in zip(axes, x, titles, strict=True):
        shape = picture_shape(sample.shape)
        if shape:
            show_sample(one, as_picture(sample, shape))
        else:
            one.bar(range(sample.size), sample.ravel(), color=COLOURS[0])
        one.set_title(title, fontsize=8)
