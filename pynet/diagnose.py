"""What goes wrong in a training, in words: where it comes from, and what to try."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pynet.network import LayerView, Network

__all__ = ["source_of_nonfinite"]


def source_of_nonfinite(net: Network, x: npt.ArrayLike) -> str:
    """Where a loss that is not finite comes from, for these inputs (n, ...): ": layer 2, dense(64), puts out inf"."""
    net.forward(x)
    found = [layer for layer in net.layers if not np.isfinite(layer.output).all()]
    if not found:
        return ": the outputs are finite, the loss of them is not"
    first = min(found, key=_order)
    output = first.output
    value = "nan" if np.isnan(output).any() else "inf"
    return f": layer {first.path}, {first.text}, puts out {value}"


def _order(layer: LayerView) -> list[float]:
    """Sorts layers as they are computed: a residual comes after those in it."""
    return [*(float(part) if part.isdigit() else 1e9 for part in layer.path.split(".")), 1e9 + 1]
