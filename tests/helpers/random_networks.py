"""Networks of all layers, drawn by hypothesis, and values for all their tensors, biases and statistics too."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from pynet import Network

Array = np.ndarray[Any, Any]

ACTIVATIONS = ("relu", "leaky_relu(0.2)", "gelu", "sigmoid", "tanh", "softmax")
NORMS = ("batchnorm", "batchnorm(eps=0.001,momentum=0.3)", "layernorm", "layernorm(eps=0.01)", "dropout(0.25)")

# Every layer once, in places that differ from what hypothesis is likely to draw.
SPECS = (
    "input(6) standardize dense(5,bias=no) batchnorm relu dropout(0.2) dense(3) tanh rescale",
    "input(2,7,6) standardize conv(3,3,pad=same) batchnorm gelu conv(2,2,stride=2,pad=same,bias=no) softmax dense(4)",
    "input(1,9,8) conv(4,3,stride=2,pad=1) leaky_relu(0.3) residual(conv(4,3,pad=1) relu) globalavgpool dense(3)",
    "input(3,8,8) conv(2,4,stride=3,pad=same) residual(conv(5,3,stride=2,pad=1) residual(layernorm)) flatten dense(2)",
    "input(2,6,5) residual(dense(7) sigmoid) layernorm residual(dense(3) residual(dense(2))) relu sigmoid loss(bce)",
    "input(2,6,6) maxpool(3,stride=2) layernorm avgpool(2,stride=1) softmax residual(flatten dense(4)) softmax",
    "input(2,5,5) conv(3,3) rescale",
)


@st.composite
def texts(draw: Any) -> str:
    """The text of a network."""
    shape: tuple[int, ...] = (draw(st.integers(1, 9)),)
    if draw(st.booleans()):
        shape = tuple(draw(st.integers(low, 8)) for low in (1, 4, 4))
    words = [f"input({','.join(map(str, shape))})"]
    words += draw(st.sampled_from([[], ["standardize"]]))
    inside, shape = draw(_words(shape, 0))
    words += inside
    if draw(st.booleans()):
        words.append(f"dense({draw(st.integers(1, 5))})")
    return " ".join([*words, draw(st.sampled_from(["softmax", "sigmoid", "rescale", "tanh"]))])


@st.composite
def _words(draw: Any, shape: tuple[int, ...], depth: int) -> tuple[list[str], tuple[int, ...]]:
    words: list[str] = []
    for _ in range(draw(st.integers(1, 4))):
        kinds = ["activation", "dense", "norm", *(["residual"] if depth < 2 else [])]
        if len(shape) == 3:
            kinds += ["conv", "conv", "pool", "globalavgpool", "flatten"]
        kind = draw(st.sampled_from(kinds))
        if kind == "activation":
            words.append(draw(st.sampled_from(ACTIVATIONS)))
        elif kind == "norm":
            words.append(draw(st.sampled_from(NORMS)))
        elif kind == "dense":
            shape = (draw(st.integers(1, 6)),)
            words.append(f"dense({shape[0]}{draw(st.sampled_from(['', ',bias=no']))})")
        elif kind == "residual":
            inside, after = draw(_words(shape, depth + 1))
            text = f"residual({' '.join(inside)})"
            try:
                Network(f"input({','.join(map(str, shape))}) {text}")
            except ValueError:  # there is no projection between these shapes
                continue
            shape = after
            words.append(text)
        else:
            word = draw(_of_images(kind, shape))
            shape = Network(f"input({','.join(map(str, shape))}) {word}").out_shape
            words.append(word)
    return words or ["relu"], shape


@st.composite
def _of_images(draw: Any, kind: str, shape: tuple[int, ...]) -> str:
    if kind == "conv":
        kernel, stride = draw(st.integers(1, min(4, *shape[1:]))), draw(st.integers(1, 3))
        pad = draw(st.sampled_from(["same", *map(str, range(kernel))]))
        channels, bias = draw(st.integers(1, 4)), draw(st.sampled_from(["", ",bias=no"]))
        return f"conv({channels},{kernel},stride={stride},pad={pad}{bias})"
    if kind == "pool":
        size = draw(st.integers(1, min(3, *shape[1:])))
        return f"{draw(st.sampled_from(['maxpool', 'avgpool']))}({size},stride={draw(st.integers(1, 3))})"
    return kind


def filled(text: str, seed: int = 1) -> Network:
    """A network in which no tensor is as it was at the start."""
    net, rng = Network(text, seed=seed), np.random.default_rng(seed)
    for name, tensor in net.tensors.items():
        if name.endswith((".scale", ".running_var", ".gamma")):
            tensor[...] = rng.uniform(0.5, 2, tensor.shape)
        elif not name.endswith(".W"):
            tensor[...] = rng.uniform(-1, 1, tensor.shape)
    return net


def inputs(net: Network, n: int = 3) -> Array:
    """Numbers about 0, (n, *in_shape)."""
    return np.random.default_rng(n).normal(size=(n, *net.in_shape)).astype(np.float32)
