"""Padding in ONNX models: that of convolutions, of pools, and Pad nodes before them.

pynet pads in convolutions alone. Where a pool is padded, a convolution by a kernel of 1 that copies each channel pads
before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pynet._ffi import Array
from pynet.formats.onnx_file import attributes

if TYPE_CHECKING:
    from onnx import NodeProto

    from pynet.formats.onnx_steps import Steps

NOT_BELOW_ZERO = ("relu", "sigmoid", "softmax")
KEEP_SIGN = ("maxpool", "avgpool", "globalavgpool", "dropout", "flatten")


class Padding(NamedTuple):
    """Zeros at the top, the left, the bottom and the right: the order of ONNX."""

    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0

    def plus(self, other: Sequence[int]) -> Padding:
        """Both."""
        return Padding(*(a + b for a, b in zip(self, other, strict=True)))

    def padded(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape (channels, height, width) with them."""
        return (shape[0], shape[1] + self.top + self.bottom, shape[2] + self.left + self.right) if any(self) else shape

    @staticmethod
    def same(sides: Sequence[int], kernel: int, stride: int) -> Padding:
        """Those of pad=same: half of them on each side, an odd one at the end."""
        rows, columns = (max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in sides)
        return Padding(rows // 2, columns // 2, rows - rows // 2, columns - columns // 2)


def of_pad(steps: Steps, node: NodeProto, rank: int) -> Padding:
    """The zeros that a Pad node adds to images. rank: of its input, without the batch. DataError: it does else."""
    given = attributes(node)
    pads = given["pads"] if "pads" in given else steps.constant(node.input[1]).ravel().tolist()
    value = given.get("value", 0.0)
    if len(node.input) > 2 and node.input[2]:
        value = steps.constant(node.input[2]).item()
    axes = steps.constant(node.input[3]).ravel().tolist() if len(node.input) > 3 else list(range(rank + 1))
    mode = given.get("mode", b"constant")
    if mode != b"constant" or value != 0:
        raise steps.unsupported(node, f"mode {mode.decode(errors='replace')[:40]}, value {value}; accepted: zeros")
    begin = dict.fromkeys(range(rank + 1), 0) | {axis % (rank + 1): pads[i] for i, axis in enumerate(axes)}
    end = dict.fromkeys(begin, 0) | {axis % (rank + 1): pads[len(axes) + i] for i, axis in enumerate(axes)}
    found = Padding(*([begin[2], begin[3], end[2], end[3]] if rank == 3 else []))
    if rank != 3 or len(pads) != 2 * len(axes) or begin[0] or end[0] or begin[1] or end[1] or min(found) < 0:
        raise steps.unsupported(node, f"pads {pads} of axes {axes}; accepted: of the height and width of images")
    return found


def of_window(
    steps: Steps, node: NodeProto, given: dict[str, Any], sides: Sequence[int], kernel: int, stride: int
) -> Padding:
    """The zeros that a convolution or a pool adds itself."""
    auto, same = given.get("auto_pad", b"NOTSET"), Padding.same(sides, kernel, stride)
    if auto == b"NOTSET":
        return Padding(*given.get("pads", [0] * 4))
    if auto == b"VALID":
        return Padding()
    if auto == b"SAME_UPPER":
        return same
    if auto == b"SAME_LOWER":
        return Padding(*same[2:], *same[:2])
    raise steps.unsupported(node, f"auto_pad {auto.decode(errors='replace')[:40]}")


def argument(steps: Steps, node: NodeProto, pads: Padding, sides: Sequence[int], kernel: int, stride: int) -> str:
    """The argument pad of conv: a number, or "same"."""
    same = Padding.same(sides, kernel, stride)
    if len(set(pads)) == 1:
        return str(pads.top)
    if pads == same:
        return "same"
    raise steps.unsupported(node, f"pads {list(pads)}; accepted: equal ones, or {list(same)}")


def copying(channels: int) -> Array:
    """W of a convolution by a kernel of 1 that leaves images as they are, (1, 1, channels, channels)."""
    return np.eye(channels)[None, None]


def is_not_below_zero(words: Sequence[str]) -> bool:
    """Whether the last of these layers gives no number below 0, so that zeros change no maximum."""
    for word in reversed(words):
        kind = word.partition("(")[0]
        if kind not in KEEP_SIGN:
            return kind in NOT_BELOW_ZERO
    return False
