"""Converts the layers of a pynet.Network to layers of this package, with copies of their parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pynet.reference.layers import (
    GELU,
    AvgPool,
    Conv,
    Dense,
    Flatten,
    Layer,
    LeakyReLU,
    MaxPool,
    ReLU,
    Residual,
    Sigmoid,
    Softmax,
    Tanh,
)
from pynet.reference.norms import BatchNorm, Dropout, LayerNorm
from pynet.reference.scaling import Rescale, Standardize

KINDS: dict[str, Callable[[Any], Layer]] = {
    "avgpool": lambda layer: AvgPool(int(layer.options["size"]), int(layer.options["stride"]) or None),
    "conv": lambda layer: Conv(**layer.tensors, stride=int(layer.options["stride"]), pad=_pad(layer)),
    "dense": lambda layer: Dense(**layer.tensors),
    "batchnorm": lambda layer: BatchNorm(**layer.tensors, **layer.options),
    "dropout": lambda layer: Dropout(layer.options["p"], layer.index),
    "flatten": lambda _: Flatten(),
    "gelu": lambda _: GELU(),
    "layernorm": lambda layer: LayerNorm(**layer.tensors, **layer.options),
    "globalavgpool": lambda _: AvgPool(None),
    "leaky_relu": lambda layer: LeakyReLU(layer.options["slope"]),
    "maxpool": lambda layer: MaxPool(int(layer.options["size"]), int(layer.options["stride"]) or None),
    "relu": lambda _: ReLU(),
    "rescale": lambda layer: Rescale(**layer.tensors),
    "sigmoid": lambda _: Sigmoid(),
    "softmax": lambda _: Softmax(),
    "standardize": lambda layer: Standardize(**layer.tensors),
    "tanh": lambda _: Tanh(),
}


def _pad(layer: Any) -> int | str:
    return "same" if layer.options["pad"] < 0 else int(layer.options["pad"])


def converted(layers: Sequence[Any], path: str = "") -> list[Layer]:
    """The converted layers at this path of the network: "" for the top level, else those inside a residual."""
    return [
        _converted(layer, layers)
        for layer in layers
        if layer.path.rpartition(".")[0] == path and not layer.path.endswith(".skip")
    ]


def _converted(layer: Any, layers: Sequence[Any]) -> Layer:
    if layer.kind == "residual":
        skip = [KINDS[other.kind](other) for other in layers if other.path == f"{layer.path}.skip"]
        return Residual(converted(layers, layer.path), *skip)
    if layer.kind not in KINDS:
        raise ValueError(f"unknown layer {layer.kind!r}, accepted are residual, {', '.join(KINDS)}")
    return KINDS[layer.kind](layer)
