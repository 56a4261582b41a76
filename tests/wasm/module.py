"""The core's WebAssembly modules in wasmtime, with the calls of pynet/play/core.js that the tests need."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import json
from typing import Any

import numpy as np
import wasmtime
from helpers import ROOT

Array = np.ndarray[Any, Any]
KINDS = ("sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw")
MEMORY, ARGUMENT, SPEC, STATE, NONFINITE, IO, FORMAT, PARAMETER = range(1, 9)  # pn_status


class Refused(Exception):
    """The core's message, after its status."""


@functools.cache
def compiled(variant: str) -> tuple[wasmtime.Engine, wasmtime.Module]:
    engine = wasmtime.Engine()
    return engine, wasmtime.Module.from_file(engine, str(ROOT / "pynet" / "play" / f"pynet-{variant}.wasm"))


class Core:
    """An instance of a module."""

    def __init__(self, variant: str) -> None:
        engine, module = compiled(variant)
        self._store = wasmtime.Store(engine)
        self._exports = wasmtime.Instance(self._store, module, []).exports(self._store)
        self._memory = self._exports["memory"]
        if "_initialize" in self._exports:  # Zig's modules have it
            self._exports["_initialize"](self._store)

    def call(self, name: str, *args: float) -> Any:
        return self._exports[f"web_{name}"](self._store, *args)

    def view(self, place: int, size: int) -> Any:
        """Bytes of the core's memory, until the next call."""
        data = self._memory.data_ptr(self._store)
        assert place + size <= self._memory.data_len(self._store)
        return (ctypes.c_ubyte * size).from_address(ctypes.addressof(data.contents) + place)

    def room(self, size: int) -> int:
        place: int = self.call("alloc", max(size, 1))
        assert place
        return place

    def put(self, content: bytes | Array) -> int:
        raw = content if isinstance(content, bytes) else np.ascontiguousarray(content).tobytes()
        place = self.room(len(raw))
        self.view(place, len(raw))[:] = raw
        return place

    def array(self, place: int, n: int, dtype: type = np.float32) -> Array:
        return np.frombuffer(bytes(self.view(place, n * np.dtype(dtype).itemsize)), dtype)

    def text(self, place: int) -> str:
        found = bytearray()
        while byte := self.view(place + len(found), 1)[0]:
            found.append(byte)
        return found.decode()

    def numbers(self) -> Array:
        return self.array(self.call("numbers"), 10, np.float64)

    def check(self, status: int, net: int = 0) -> None:
        if status:
            raise Refused(status, self.text(self.call("message", net)))

    def net(self, text: str, seed: int = 0) -> Net:
        return Net(self, self.call("new", self.put(text.encode() + b"\0"), seed, 0))

    def load(self, content: bytes) -> Net:
        place = self.put(content)
        try:
            return Net(self, self.call("load", place, len(content)))
        finally:
            self.call("free", place)

    def shuffle(self, n: int, seed: int, epoch: int) -> Array:
        place = self.room(4 * n)
        self.call("shuffle", place, n, seed, 0, float(epoch))
        return self.array(place, n, np.int32)

    def data(self, x: Array, labels: Array | None = None, targets: Array | None = None) -> None:
        """The data of the calls that follow."""
        given = [self.put(np.int32(labels)) if labels is not None else 0]
        given += [self.put(np.float32(targets)) if targets is not None else 0]
        self.call("data", self.put(x), int(x.dtype == np.uint8), *given, len(x))

    def optimizer(self, kind: str, learning_rate: float) -> None:
        self.check(self.call("optimizer", KINDS.index(kind)))
        self.view(self.call("numbers"), 8)[:] = np.float64(learning_rate).tobytes()


class Net:
    """A network in a core."""

    def __init__(self, core: Core, net: int) -> None:
        if not net:
            core.check(int(core.numbers()[0]))
        self._core, self._net = core, net
        self.about = json.loads(core.text(core.call("describe", net)))

    def call(self, name: str, *args: float) -> None:
        self._core.check(self._core.call(name, self._net, *args), self._net)

    def train(self, order: Array, batch: int, kind: str, learning_rate: float) -> float:
        """The mean loss."""
        self._core.optimizer(kind, learning_rate)
        place = self._core.put(np.int32(order))
        try:
            self.call("train", place, len(order), batch)
        finally:
            self._core.call("free", place)
        loss, _, samples, _ = self._core.numbers()[:4]
        return float(loss / samples)

    def predict(self, x: Array) -> Array:
        self._core.data(x)
        n = len(x) * int(np.prod(self.about["outShape"]))
        y = self._core.room(4 * n)
        self.call("predict", 1.0, y)
        return self._core.array(y, n).reshape(len(x), -1)

    def accuracy(self, x: Array, labels: Array) -> float:
        self._core.data(x, labels)
        self.call("evaluate")
        return float(self._core.numbers()[1] / len(x))

    def sha256(self) -> str:
        """As Network.weights_sha256."""
        found = hashlib.sha256()
        for tensor in self.about["tensors"]:
            found.update(self._core.view(tensor["data"], 4 * tensor["size"]))
        return found.hexdigest()

    def saved(self) -> bytes:
        self.call("save", 0, 0)
        size = int(self._core.numbers()[0])
        place = self._core.room(size)
        self.call("save", place, size)
        return bytes(self._core.view(place, size))
