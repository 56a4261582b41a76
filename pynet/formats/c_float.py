"""A network as calls of the C functions in c_layers.c and c_layers_any.c, in the order of the core's sums."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partialmethod

import numpy as np

from pynet._ffi import Array
from pynet.formats.c_program import Program, Value, c_float
from pynet.formats.torch_module import same_padding
from pynet.model.net import Net
from pynet.model.views import LayerView, layers_inside, projection_of

# A network that has one of these keeps images channels-last, (height, width, channels), like the core.
OF_IMAGES = {"conv", "maxpool", "avgpool", "globalavgpool", "batchnorm"}
FUNCTIONS = {"relu": "relu_IN", "leaky_relu": "leaky_relu", "gelu": "gelu", "sigmoid": "sigmoid", "tanh": "tanh_of"}
TINY = np.finfo(np.float32).tiny


@dataclass(frozen=True)
class _View:
    """An array and its shape as the network sees it; pixels: (channels, positions) if it lies pixel by pixel."""

    value: Value
    shape: tuple[int, ...]
    pixels: tuple[int, int] | None = None

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def float_program(net: Net, input: str) -> Program:
    """The calls for a network, from `input` numbers, float32 or uint8. ValueError: a parameter is not finite."""
    return _Float(net, input).program


def windows_of(layer: LayerView) -> tuple[int, ...]:
    """Program.windows for a convolution or a pool."""
    (channels, height, width), out = layer.in_shape, layer.out_shape[1:]
    if layer.kind == "globalavgpool":
        return (height, width, channels, height, width, 1, 0, 0, *out)
    size = int(layer.options["kernel" if layer.kind == "conv" else "size"])
    top = left = pad = int(layer.options.get("pad", 0))
    if pad < 0:
        top, _, left, _ = same_padding(layer)
    return (height, width, channels, size, size, int(layer.options["stride"]) or size, top, left, *out)


def suffix(layer: LayerView) -> str:
    """The end of the names of a layer's constants: "3_0" for 3.0."""
    return layer.path.replace(".", "_")


class _Float:
    def __init__(self, net: Net, input: str) -> None:
        self.net = net
        self.channels_last = any(layer.kind in OF_IMAGES for layer in net.layers)
        given = Value(math.prod(net.in_shape), input)
        self.program = Program(given, given)
        self.loaded: dict[tuple[int, int] | None, Value] = {}
        last = self.chain(_View(given, net.in_shape), "")
        if last.pixels:
            self.planes(last)
        elif last.value is given and self.settled(last).value is given:  # a copy
            self.call("pixels_IN", [last], 1, last.size)

    def call(self, function: str, reads: list[_View], *arguments: object, in_place: bool = False) -> Value:
        to = Value(reads[0].size)
        return self.program.call(function, to, [view.value for view in reads], *arguments, in_place=in_place)

    def constant(self, layer: LayerView, short: str, value: Array | None = None) -> str:
        """The name of a tensor of a layer, or 0 if it has none."""
        found = layer.tensors.get(short) if value is None else value
        if found is None:
            return "0"
        if not np.isfinite(found).all():
            bad = found[~np.isfinite(found)][0]
            raise ValueError(f"parameter {layer.path}.{short} holds {bad}; accepted: finite numbers")
        name = f"{short}_{suffix(layer)}"
        self.program.arrays[name] = np.where(abs(found) < TINY, np.float32(0), found)
        return name

    def windows(self, layer: LayerView) -> str:
        name = f"windows_{suffix(layer)}"
        self.program.windows[name] = windows_of(layer)
        return f"&{name}"

    # ---- the order of images in memory ----

    def order(self, shape: tuple[int, ...]) -> tuple[int, int] | None:
        """(channels, positions) of images that lie pixel by pixel; None if their order makes no difference."""
        channels, positions = shape[0], math.prod(shape[1:])
        return (channels, positions) if self.channels_last and channels > 1 and positions > 1 else None

    def planes(self, x: _View) -> _View:
        """Channel by channel."""
        assert x.pixels
        return _View(self.call("planes_IN", [x], *x.pixels), x.shape)

    def settled(self, x: _View) -> _View:
        """As floats in the network's order: pixel by pixel in images, unless they are flat."""
        if x.value is not self.program.input:
            return self.planes(x) if x.pixels and len(x.shape) == 1 else x
        pixels, as_bytes = self.order(x.shape), x.value.dtype == "uint8"
        if not pixels and not as_bytes:
            return x
        if pixels not in self.loaded:
            function = "pixels_of_bytes" if as_bytes else "pixels_IN"
            self.loaded[pixels] = self.call(function, [x], *(pixels or (1, x.size)))
        return replace(x, value=self.loaded[pixels], pixels=pixels)

    # ---- the layers ----

    def chain(self, x: _View, parent: str) -> _View:
        for layer in layers_inside(self.net.layers, parent):
            x = self.residual(x, layer) if layer.kind == "residual" else self.layer(x, layer)
        return x

    def residual(self, x: _View, layer: LayerView) -> _View:
        skip = projection_of(self.net.layers, layer.path)
        inside = self.settled(self.chain(x, layer.path))
        around = self.settled(self.layer(x, skip) if skip else x)
        return replace(inside, value=self.call("add", [inside, around], inside.size, in_place=True))

    def layer(self, x: _View, layer: LayerView) -> _View:
        if layer.kind == "dropout":
            return x
        if layer.kind == "flatten":
            return replace(x, shape=(x.size,))
        if layer.kind == "dense":
            return self.dense(x, layer)
        x = self.settled(x)
        if layer.kind in FUNCTIONS:
            slope = [c_float(layer.options["slope"])] if layer.kind == "leaky_relu" else []
            return replace(x, value=self.call(FUNCTIONS[layer.kind], [x], x.size, *slope, in_place=True))
        found: _View = getattr(self, layer.kind)(x, layer)
        return found

    def dense(self, x: _View, layer: LayerView) -> _View:
        k, n = layer.tensors["W"].shape
        W, b = self.constant(layer, "W"), self.constant(layer, "b")
        if x.value.dtype == "uint8":
            function, sizes = "dense_of_bytes", (k, n)
        else:
            function, sizes = "dense", (*(x.pixels or (1, k)), n)
        return _View(self.program.call(function, Value(n), [x.value], W, b, *sizes), (n,))

    def conv(self, x: _View, layer: LayerView) -> _View:
        W, b, n = self.constant(layer, "W"), self.constant(layer, "b"), layer.out_shape[0]
        to = Value(math.prod(layer.out_shape))
        value = self.program.call("conv", to, [x.value], W, b, self.windows(layer), n)
        return _View(value, layer.out_shape, self.order(layer.out_shape))

    def _pool(self, function: str, x: _View, layer: LayerView) -> _View:
        to = Value(math.prod(layer.out_shape))
        value = self.program.call(function, to, [x.value], self.windows(layer), in_place=True)
        return _View(value, layer.out_shape, self.order(layer.out_shape))

    maxpool = partialmethod(_pool, "maxpool")
    avgpool = globalavgpool = partialmethod(_pool, "avgpool")

    def softmax(self, x: _View, layer: LayerView) -> _View:
        return replace(x, value=self.call("softmax", [x], x.size, in_place=True))

    def batchnorm(self, x: _View, layer: LayerView) -> _View:
        t, one = layer.tensors, np.float32(1)
        with np.errstate(invalid="ignore", divide="ignore"):  # constant refuses what is not finite
            scale = t["gamma"] * (one / np.sqrt(t["running_var"] + np.float32(layer.options["eps"])))
        names = self.constant(layer, "running_mean"), self.constant(layer, "scale", scale), self.constant(layer, "beta")
        return replace(x, value=self.call("batchnorm", [x], *names, x.size, x.shape[0], in_place=True))

    def layernorm(self, x: _View, layer: LayerView) -> _View:
        names = []
        for short in ("gamma", "beta"):
            value = layer.tensors[short]
            names.append(self.constant(layer, short, value.reshape(x.pixels).T.ravel() if x.pixels else value))
        epsilon = c_float(layer.options["eps"])
        return replace(x, value=self.call("layernorm", [x], *names, x.size, epsilon, in_place=True))

    def _scaling(self, function: str, x: _View, layer: LayerView) -> _View:
        run = 1 if x.pixels else math.prod(x.shape[1:])
        names = self.constant(layer, "mean"), self.constant(layer, "scale")
        return replace(x, value=self.call(function, [x], *names, x.size, run, x.shape[0], in_place=True))

    standardize = partialmethod(_scaling, "standardize")
    rescale = partialmethod(_scaling, "rescale")
