"""The graph of an ONNX model as a chain of steps: nodes, residual sums of two branches, and GELUs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pynet._ffi import Array
from pynet.errors import DataError
from pynet.formats.onnx_file import ELEMENTS, FLOATS, MAX_BYTES, VALUE, OnnxFile, attributes, described

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

MAX_NESTED = 8  # maximum depth of nested residuals, and of operations on constants
MAX_LIST = 64  # numbers in a list that is computed, as those for Reshape
GRID = np.linspace(-4, 4, 17)
GELU = np.array([x * (1 + math.erf(x / math.sqrt(2))) / 2 for x in GRID])


@dataclass
class Residual:
    """Add(a, b) of two branches from the same value."""

    node: NodeProto
    branches: list[list[Step]]


@dataclass
class Gelu:
    """The nodes that together compute x (1 + erf(x / sqrt 2)) / 2; the last of them."""

    node: NodeProto


Step: TypeAlias = "NodeProto | Residual | Gelu"


class Steps:
    """Finds the steps from the input to the output.

    shapes: of values, without the batch axis. The code that runs through the steps fills it; Shape nodes read it.
    """

    def __init__(self, file: OnnxFile) -> None:
        self.file = file
        self._left = MAX_BYTES  # of constants; a file may use one of its tensors many times
        self.shapes: dict[str, tuple[int, ...]] = {file.input: file.shape}
        self._producers = {name: node for node in file.nodes for name in node.output if name}
        self._places = {file.input: -1}  # node index of each value computed from the input, not from its shape alone
        for i, node in enumerate(file.nodes):
            if node.op_type != "Shape" and self.computed(node):
                self._places |= dict.fromkeys(node.output, i)

    def computed(self, node: NodeProto) -> list[str]:
        """The inputs of a node that depend on the input of the model."""
        return [name for name in node.input if name in self._places]

    def unsupported(self, node: NodeProto, why: str = "") -> DataError:
        """The error for a node that no layer can stand for."""
        return DataError(f"{self.file.path}: {described(node)} is not supported{': ' if why else ''}{why}")

    def all(self) -> list[Step]:
        """The steps from the input to the output. DataError: the model is no chain of layers and residuals."""
        if self.file.output not in self._places:
            raise DataError(f"{self.file.path}: the output {self.file.output[:80]!r} does not depend on the input")
        return self._chain(self.file.output, self.file.input, 0)

    def _chain(self, end: str, begin: str, depth: int) -> list[Step]:
        steps: list[Step] = []
        value = end
        while value != begin:
            node = self._producers.get(value)
            if node is None:
                raise DataError(
                    f"{self.file.path}: {end[:80]!r} does not come from {begin[:80]!r} alone, as a branch must"
                )
            inputs = self.computed(node)
            if (x := self._gelu(node)) is not None:
                steps.append(Gelu(node))
                value = x
            elif node.output[0] != value:
                raise self.unsupported(node, f"its output {value[:80]!r}")
            elif len(inputs) == 1:
                steps.append(node)
                value = inputs[0]
            elif len(inputs) == 2 == len(node.input) and node.op_type in ("Add", "Sum") and depth < MAX_NESTED:
                value = self._fork(*inputs)
                steps.append(Residual(node, [self._chain(name, value, depth + 1) for name in inputs]))
            else:
                raise self.unsupported(node, f"it takes {len(inputs)} computed values")
        return steps[::-1]

    def _fork(self, a: str, b: str) -> str:
        """The last value that both depend on, or are."""
        return max(self._before(a) & self._before(b), key=lambda name: self._places[name])

    def _before(self, value: str) -> set[str]:
        found, left = {value}, [value]
        while left:
            node = self._producers.get(left.pop())
            new = set(self.computed(node)) - found if node is not None else set()
            found |= new
            left += new
        return found

    def _gelu(self, node: NodeProto) -> str | None:
        """The x of which these nodes, the last of which is given, compute the GELU; None if they do not."""
        last, inputs = node, self.computed(node)
        if len(inputs) == 1 and node.op_type in ("Mul", "Div"):
            last = self._producers.get(inputs[0], node)
        inputs = self.computed(last)
        if last.op_type != "Mul" or len(inputs) != 2:
            return None
        x = self._fork(*inputs)
        got = self._on_grid(node.output[0], x, 0)
        return x if got is not None and np.allclose(got, GELU, rtol=1e-5, atol=1e-5) else None

    def _on_grid(self, value: str, x: str, depth: int) -> Array | None:
        """What a value is when x is GRID, through operations with single numbers; None if there are others."""
        if value == x:
            return GRID
        if value not in self._places:
            constant = self.constant(value)
            return constant.reshape(()).astype(float) if constant.size == 1 else None
        node = self._producers.get(value)
        if node is None or depth > MAX_NESTED:
            return None
        found = [self._on_grid(name, x, depth + 1) for name in node.input]
        inputs = [one for one in found if one is not None]
        if len(inputs) < len(found):
            return None
        if node.op_type == "Erf":
            return np.array([math.erf(one) for one in np.broadcast_to(inputs[0], GRID.shape)])
        functions = {"Mul": np.multiply, "Div": np.divide, "Add": np.add, "Sub": np.subtract}
        if node.op_type not in functions or len(inputs) != 2:
            return None
        with np.errstate(all="ignore"):
            return np.asarray(functions[node.op_type](inputs[0], inputs[1]))

    # ---- constants ----

    def constant(self, name: str, depth: int = 0) -> Array:
        """The value of a tensor, or of nodes that compute with tensors and shapes alone."""
        if name in self.file.tensors:
            return self._tensor(self.file.tensors[name])
        node = self._producers.get(name)
        if node is None or name in self._places:
            raise DataError(f"{self.file.path}: {name[:80]!r} is not a constant")
        if depth > 4 * MAX_NESTED:
            raise self.unsupported(node, "constants are computed from too many others")
        if node.op_type == "Constant":
            return self._of_constant(node)
        if node.op_type == "Shape":
            if node.input[0] not in self.shapes or attributes(node):
                raise self.unsupported(node)
            return np.array([1, *self.shapes[node.input[0]]])  # of one sample
        values = [self.constant(one, depth + 1) for one in node.input if one]
        return np.asarray(self._folded(node, values))

    def _tensor(self, tensor: TensorProto) -> Array:
        found = self.file.tensor(tensor)
        self.count(found.nbytes)
        return found

    def count(self, size: int) -> None:
        """Counts the bytes of a tensor that is made. DataError: all together are too many."""
        self._left -= size
        if self._left < 0:
            raise DataError(f"{self.file.path}: its nodes take more than {MAX_BYTES} bytes of tensors")

    def _of_constant(self, node: NodeProto) -> Array:
        given = attributes(node)
        if "value" in given:
            return self._tensor(given["value"])
        if len(given) != 1 or not given.keys() <= VALUE.keys():
            raise self.unsupported(node, "its value")
        return np.array(*given.values())

    def _folded(self, node: NodeProto, values: list[Array]) -> Array:
        """The operations that exporters leave on weights and on shapes; none gives more numbers than it takes."""
        given, op, x = attributes(node), node.op_type, values[0]
        if op == "Identity":
            return x
        if op == "Cast" and given["to"] in FLOATS:
            return x.astype(np.float64)
        if op == "Cast" and given["to"] in ELEMENTS and x.dtype.kind != "f":  # floats would lose their fractions
            return x.astype(ELEMENTS[given["to"]][1])
        if op == "Transpose":
            return x.transpose(given.get("perm"))
        if op == "Reshape" and len(values) == 2:
            return x.reshape([x.shape[i] if n == 0 else n for i, n in enumerate(values[1].tolist())])
        if op in ("Unsqueeze", "Squeeze"):
            axes = given.get("axes", values[1].tolist() if len(values) > 1 else [])
            return np.expand_dims(x, tuple(axes)) if op == "Unsqueeze" else x.squeeze(tuple(axes) or None)
        if max(value.size for value in values) <= MAX_LIST and sum(value.size for value in values) <= MAX_LIST:
            if op == "Concat":
                return np.concatenate(values, axis=given["axis"])
            if op == "Gather" and len(values) == 2:
                return x.take(values[1], axis=given.get("axis", 0))
            if op == "Slice" and len(values) in (3, 4) and x.ndim == 1:
                return x[slice(int(values[1].item()), int(values[2].item()))]
        raise self.unsupported(node, "of constants")


# ---- nodes that change the shape of a value alone ----


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
