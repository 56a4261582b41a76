"""The layers that an ONNX model becomes: words of a network's text, with their tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pynet._ffi import Array


@dataclass
class Layer:
    """A word with its tensors; a residual has layers inside and perhaps a projection.

    stride: of a conv; eps: of a batchnorm; copies: whether a conv only pads.
    """

    word: str
    tensors: dict[str, Array] = field(default_factory=dict)
    inside: list[Layer] = field(default_factory=list)
    skip: Layer | None = None
    stride: int = 1
    eps: float = 0.0
    copies: bool = False

    def scale(self, a: Array | float, b: Array) -> None:
        """Changes the weights so that the output y, of a dense or conv, becomes a y + b."""
        if "b" not in self.tensors and b.any():
            self.word = self.word.replace(",bias=no", "")
            self.tensors["b"] = np.zeros_like(b, np.float64)
        self.tensors["W"] = self.tensors["W"] * a
        if "b" in self.tensors:
            self.tensors["b"] = self.tensors["b"] * a + b


def text_of(layers: Sequence[Layer]) -> str:
    """The text of these layers."""
    return " ".join(f"residual({text_of(one.inside)})" if one.inside else one.word for one in layers)
