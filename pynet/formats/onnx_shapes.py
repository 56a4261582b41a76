"""The nodes of ONNX models that change the shape of a value alone: Flatten, Reshape, Squeeze, Unsqueeze."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnx import NodeProto

    from pynet.formats.onnx_steps import Steps


def axes_of(steps: Steps, node: NodeProto, given: dict[str, Any]) -> list[int]:
    """The attribute axes, since opset 13 or 18 an input."""
    has_input = len(node.input) > 1 and node.input[1]
    return steps.constant(node.input[1]).ravel().tolist() if has_input else list(given.get("axes", []))


def reshaped(steps: Steps, node: NodeProto, given: dict[str, Any], old: tuple[int, ...]) -> tuple[int, ...] | None:
    """The new shape, both without the batch; None: the batch does not stay the first axis."""
    size = math.prod(old)
    if node.op_type == "Flatten":
        return (size,) if given.get("axis", 1) in (1, -len(old)) else None
    if node.op_type == "Reshape":
        target = steps.constant(node.input[1]).ravel().tolist()
        if len(target) < 2 or len(target) > 5 or target[0] not in (0, -1, 1, steps.file.batch or 1):
            return None
        sizes = [old[i] if n == 0 and i < len(old) else n for i, n in enumerate(target[1:])]
        known = math.prod(n for n in sizes if n != -1)
        return tuple(size // max(known, 1) if n == -1 else n for n in sizes)
    axes, rank = axes_of(steps, node, given), len(old) + 1
    if node.op_type == "Unsqueeze":
        places = {axis % (rank + len(axes)) for axis in axes}
        left = iter((0, *old))
        found = [1 if i in places else next(left) for i in range(rank + len(places))]
        return tuple(found[1:]) if 0 not in places else None
    places = {axis % rank for axis in axes}
    return tuple(n for i, n in enumerate(old, 1) if i not in places) if axes and 0 not in places else None
