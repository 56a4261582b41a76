"""A network as calls of C functions, and where in memory the arrays between them lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

WINDOWS_BYTES = 40  # of the sizes of an image and its windows, ten int32


@dataclass(eq=False)
class Value:
    """An array between two calls: how many numbers of which type."""

    size: int
    dtype: str = "float32"

    @property
    def bytes(self) -> int:
        """Its size in memory."""
        return self.size * np.dtype(self.dtype).itemsize


class Call(NamedTuple):
    """A call `function(to, *reads, *arguments)`. in_place: whether `to` may lie where one of `reads` lies."""

    function: str
    to: Value
    reads: tuple[Value, ...]
    arguments: tuple[str, ...]
    in_place: bool


@dataclass(eq=False)
class Program:
    """Calls that compute `output`, an array of the caller's, from `input`, another one; and their constants by name.

    windows: an image (height, width, channels), the windows in it (height, width), their stride, the zeros above and
    left of the image, and the output (height, width).
    """

    input: Value
    output: Value
    calls: list[Call] = field(default_factory=list)
    arrays: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    windows: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def call(self, function: str, to: Value, reads: Sequence[Value], *arguments: Any, in_place: bool = False) -> Value:
        """Adds a call and returns `to`, which is the output until another call follows."""
        self.calls.append(Call(function, to, tuple(reads), tuple(map(str, arguments)), in_place))
        self.output = to
        return to

    @property
    def constant_bytes(self) -> int:
        """The size of all constants."""
        return sum(array.nbytes for array in self.arrays.values()) + WINDOWS_BYTES * len(self.windows)


@dataclass(eq=False)
class _Block:
    """Memory in use from the call `start` to the call `end`."""

    size: int
    start: int
    end: int
    place: int = 0


class Memory(NamedTuple):
    """The size of the work memory in bytes, and the place of each array in it; the others lie in the output."""

    bytes: int
    places: dict[Value, int]


def placed(program: Program, alignment: int) -> Memory:
    """Where the arrays lie. Arrays whose times do not overlap share memory."""
    last = {value: i for i, call in enumerate(program.calls) for value in call.reads}
    last[program.output] = len(program.calls)

    def dying(i: int) -> list[Value]:
        """The arrays whose memory the result of call i may take."""
        call = program.calls[i]
        return [v for v in call.reads if call.in_place and last[v] == i and v is not program.input]

    in_output, value = {program.output}, program.output
    for i in reversed(range(len(program.calls))):
        if program.calls[i].to is value:
            fits = [v for v in dying(i) if v.bytes <= program.output.bytes]
            if not fits:
                break
            value = fits[0]
            in_output.add(value)

    blocks: dict[Value, _Block] = {}
    for i, call in enumerate(program.calls):
        if call.to not in in_output:
            free = [v for v in dying(i) if v not in in_output]
            block = blocks[free[0]] if free else _Block(0, i, i)
            block.size, block.end = max(block.size, call.to.bytes), last[call.to]
            blocks[call.to] = block
    size = _pack(list(dict.fromkeys(blocks.values())), alignment)
    return Memory(size, {value: block.place for value, block in blocks.items()})


def _pack(blocks: list[_Block], alignment: int) -> int:
    """Sets the places of the blocks, the largest first, each at the lowest that is free; returns the end of all."""
    done: list[_Block] = []
    for block in sorted(blocks, key=lambda one: -one.size):
        for other in sorted(done, key=lambda one: one.place):
            together = block.start <= other.end and other.start <= block.end
            if together and block.place < other.place + other.size and other.place < block.place + block.size:
                block.place = -(-(other.place + other.size) // alignment) * alignment
        done.append(block)
    return max((block.place + block.size for block in blocks), default=0)


def c_float(x: float) -> str:
    """The nearest float32 as a constant of C."""
    return c_float32(float(np.float32(x)))


def c_float32(x: float) -> str:
    """A float32 as a constant of C, in 9 digits, which identify every float32."""
    digits = f"{x:.9g}"
    return f"{digits}f" if "." in digits or "e" in digits else f"{digits}.0f"
