"""The layers that have a form in integers: dense and convolutions with what can be computed with them, pools, relu."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pynet.formats.c_float import windows_of
from pynet.model.net import Net
from pynet.model.views import LayerView, layers_inside

Floats = npt.NDArray[np.float64]
POOLS = {"maxpool": "maxpool", "avgpool": "avgpool", "globalavgpool": "avgpool"}
SKIPPED = {"flatten", "dropout"}
ACCEPTED = (
    "accepted: dense, conv, maxpool, avgpool, globalavgpool, relu, flatten, dropout, batchnorm right after dense "
)
ACCEPTED += "or conv, and a last softmax or sigmoid"


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer on images (n, height, width, channels); vectors are images of one pixel.

    kind: "conv", also for dense, whose window is the image, "maxpool", "avgpool" or "relu". windows: as in Program.
    W (window_height, window_width, channels, n) and b (n), of conv: those of the network, and of a batchnorm after it.
    relu: whether one follows. shape: (channels, height, width) of the result.
    """

    view: LayerView
    kind: str
    shape: tuple[int, ...]
    windows: tuple[int, ...] = ()
    W: Floats | None = None
    b: Floats | None = None
    relu: bool = False

    @property
    def window_size(self) -> int:
        """Positions in a window."""
        return self.windows[3] * self.windows[4]

    @property
    def window_numbers(self) -> int:
        """Numbers in all windows of an image."""
        return self.window_size * self.windows[2] * self.windows[8] * self.windows[9] if self.windows else 1

    def sums(self, x: npt.NDArray[Any], W: npt.NDArray[Any], b: npt.NDArray[Any]) -> Floats:
        """The products of the windows with W, and b: exact for integers whose sums are below 2^53."""
        taken = _windows(x, self.windows)
        rows = taken.reshape(*taken.shape[:3], -1).astype(np.float64)
        sums: Floats = rows @ W.reshape(-1, W.shape[-1]).astype(np.float64) + b
        return sums

    def pooled(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The largest of each window or, of an avgpool, the sum."""
        taken = _windows(x, self.windows)
        if self.kind == "maxpool":
            return np.asarray(taken.max(axis=(3, 4)))
        return np.asarray(taken.sum(axis=(3, 4), dtype=np.float64))

    def __call__(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The result in floats, of the layer's own weights."""
        if self.W is not None and self.b is not None:
            y = self.sums(x, self.W, self.b)
            return np.asarray(np.maximum(y, 0)) if self.relu else y
        if self.kind == "relu":
            return np.asarray(np.maximum(x, 0))
        pooled = self.pooled(x)
        return np.asarray(pooled / self.window_size) if self.kind == "avgpool" else pooled


def _windows(x: npt.NDArray[Any], windows: tuple[int, ...]) -> npt.NDArray[Any]:
    """(n, out_height, out_width, window_height, window_width, channels)"""
    height, width, _, window_height, window_width, stride, top, left, out_height, out_width = windows
    bottom = max((out_height - 1) * stride + window_height - height - top, 0)
    right = max((out_width - 1) * stride + window_width - width - left, 0)
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    found = np.lib.stride_tricks.sliding_window_view(padded, (window_height, window_width), axis=(1, 2))
    return np.asarray(found[:, ::stride, ::stride][:, :out_height, :out_width].transpose(0, 1, 2, 4, 5, 3))


def takes_images(net: Net) -> bool:
    """Whether the first layers work on images: not if the first that counts is dense, which takes any input flat."""
    kinds = [view.kind for view in layers_inside(net.layers, "") if view.kind not in {*SKIPPED, "relu"}]
    return len(net.in_shape) == 3 and bool(kinds) and (kinds[0] in POOLS or kinds[0] == "conv")


def folded(net: Net) -> tuple[list[Layer], str]:
    """The layers, with batchnorm and relu in those before them, and the kind of a closing softmax or sigmoid, which is
    left out. ValueError: a layer that has no form in integers, by name."""
    found: list[Layer] = []
    views, closing = layers_inside(net.layers, ""), ""
    shape = net.in_shape if takes_images(net) else (math.prod(net.in_shape), 1, 1)
    if views and views[-1].kind in ("softmax", "sigmoid"):
        closing = views.pop().kind
    for view in (one for one in views if one.kind not in SKIPPED):
        last = found[-1] if found else None
        if view.kind in ("dense", "conv"):
            found.append(_weighted(view, shape))
        elif view.kind in POOLS:
            found.append(Layer(view, POOLS[view.kind], view.out_shape, windows_of(view)))
        elif view.kind == "relu" and last and last.kind == "conv":
            found[-1] = replace(last, relu=True)
        elif view.kind == "relu":
            found.append(Layer(view, "relu", shape))
        elif view.kind == "batchnorm" and last and _takes_norm(last, view):
            found[-1] = _normed(last, view)
        else:
            raise ValueError(f"layer {view.path}, {view.text}, is not written in integers; {ACCEPTED}")
        shape = found[-1].shape
    if not any(layer.kind == "conv" for layer in found):
        raise ValueError(f"{net.spec} has neither dense nor conv, nothing to write in integers; {ACCEPTED}")
    return found, closing


def _weighted(view: LayerView, shape: tuple[int, ...]) -> Layer:
    W = view.tensors["W"].astype(np.float64)
    b = view.tensors["b"].astype(np.float64) if "b" in view.tensors else np.zeros(W.shape[-1])
    if not (np.isfinite(W).all() and np.isfinite(b).all()):
        raise ValueError(f"layer {view.path}, {view.text}, has weights that are not finite")
    if view.kind == "conv":
        return Layer(view, "conv", view.out_shape, windows_of(view), W, b)
    channels, height, width = shape
    windows = (height, width, channels, height, width, 1, 0, 0, 1, 1)
    W = W.reshape(channels, height, width, len(b)).transpose(1, 2, 0, 3)
    return Layer(view, "conv", (len(b), 1, 1), windows, np.ascontiguousarray(W), b)


def _takes_norm(last: Layer, view: LayerView) -> bool:
    """Whether a batchnorm has one mean for each output of the layer before it."""
    return last.b is not None and not last.relu and len(view.tensors["gamma"]) == len(last.b)


def _normed(layer: Layer, view: LayerView) -> Layer:
    t = {name: tensor.astype(np.float64) for name, tensor in view.tensors.items()}
    assert layer.W is not None and layer.b is not None
    if not all(np.isfinite(tensor).all() for tensor in t.values()):
        raise ValueError(f"layer {view.path}, {view.text}, has parameters that are not finite")
    scale = t["gamma"] / np.sqrt(t["running_var"] + view.options["eps"])
    return replace(layer, W=layer.W * scale, b=(layer.b - t["running_mean"]) * scale + t["beta"])
