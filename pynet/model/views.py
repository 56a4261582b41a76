"""Views of a network: its layers with live parameters, their summary, and its notes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

from pynet._ffi import Array, ffi, lib, pointer, text
from pynet.model.handle import Handle


class Notes(MutableMapping[str, str]):
    """A dict of the notes in a model file, text by key; the core stores them."""

    def __init__(self, net: Handle) -> None:
        self._net = net

    def _items(self) -> dict[str, str]:
        found: dict[str, str] = {}
        with self._net._lock:  # another thread may change the notes meanwhile
            while (key := lib.pn_net_meta_key(self._net._ptr, len(found))) != ffi.NULL:
                found[text(key)] = text(lib.pn_net_meta_value(self._net._ptr, len(found)))
        return found

    def __getitem__(self, key: str) -> str:
        if not isinstance(key, str) or "\0" in key:
            raise KeyError(key)
        with self._net._lock:
            value = lib.pn_net_meta(self._net._ptr, key.encode())
            if value == ffi.NULL:
                raise KeyError(key)
            return text(value)

    def __setitem__(self, key: str, value: str) -> None:
        for name, part in (("key", key), ("value", value)):
            if not isinstance(part, str) or "\0" in part:
                raise ValueError(f"{name} of a note is {part!r:.60}; accepted: text without NUL")
        self._net._call(lib.pn_net_set_meta, key.encode(), value.encode())

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self._net._call(lib.pn_net_set_meta, key.encode(), ffi.NULL)

    def replace(self, notes: Mapping[str, str | None]) -> None:
        """Sets these notes; None or "" removes one."""
        for key, value in notes.items():
            if value:
                self[key] = value
            else:
                self.pop(key, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._items())

    def __len__(self) -> int:
        return len(self._items())

    def __repr__(self) -> str:
        return repr(self._items())


class LayerView:
    """One layer of a network, with its parameters as live arrays: `.W` (n_in, n_out), `.b` (n_out).

    path: its number in the text, "3" or, nested, "3.0"; options: its arguments, defaults included.
    """

    def __init__(self, net: Handle, index: int) -> None:
        info = ffi.new("pn_layer_info *")
        net._call(lib.pn_net_layer, index, info)
        self._net = net
        self.path = text(info.path)
        self.kind = text(info.kind)
        self.text = text(info.text)
        self.in_shape: tuple[int, ...] = tuple(info.in_shape)[: info.in_rank]
        self.out_shape: tuple[int, ...] = tuple(info.out_shape)[: info.out_rank]
        self.parameters = int(info.parameters)
        self.options: dict[str, float] = {text(info.arg_name[i]): info.arg[i] for i in range(info.args)}
        self.index = index

    @property
    def tensors(self) -> dict[str, Array]:
        """Live views of this layer's parameters by short name, "W"."""
        return {
            name.rpartition(".")[2]: tensor
            for name, tensor in self._net.tensors.items()
            if name.rpartition(".")[0] == self.path
        }

    @property
    def output(self) -> Array:
        """A copy of this layer's output in the last forward: (n, *out_shape)."""
        with self._net._lock:
            out = np.empty((self._net._rows, *self.out_shape), np.float32)
            self._net._call(lib.pn_net_activation, self.index, len(out), pointer(out))
        return out

    def __getattr__(self, name: str) -> Array:
        if not name.startswith("_"):
            tensors = self.tensors
            if name in tensors:
                return tensors[name]
            if name[0] == "d" and name[1:] in tensors and f"{self.path}.{name[1:]}" in self._net.gradients:
                return self._net.gradients[f"{self.path}.{name[1:]}"]
        raise AttributeError(f"layer {self.path} ({self.text}) has no {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if "index" in self.__dict__ and name not in self.__dict__:  # attributes set by __init__ are ordinary ones
            tensor = getattr(self, name)
            if name not in self.tensors or np.shape(value) != tensor.shape:
                raise ValueError(f"{name} of layer {self.path} takes {tensor.shape}, got {np.shape(value)}")
            tensor[...] = value
        else:
            super().__setattr__(name, value)

    def __repr__(self) -> str:
        return f"<layer {self.path} {self.text}: {self.in_shape} -> {self.out_shape}, {self.parameters:,} parameters>"


def layers_inside(layers: Sequence[LayerView], parent: str) -> list[LayerView]:
    """The layers inside the residual `parent`, a path, without its projection; "" are those of the network itself."""
    inside = (layer for layer in layers if layer.path.rpartition(".")[0] == parent)
    return [layer for layer in inside if not layer.path.endswith(".skip")]


def projection_of(layers: Sequence[LayerView], parent: str) -> LayerView | None:
    """The projection of the residual `parent`; None: it has none."""
    return next((layer for layer in layers if layer.path == f"{parent}.skip"), None)


def summary_rows(
    in_shape: tuple[int, ...], layers: Sequence[LayerView], parameters: int
) -> list[tuple[str, str, str, str]]:
    """The head and the rows of a table of the layers: path, text, output shape, parameters; the last row has all."""
    rows = [("", "layer", "output", "parameters"), ("", f"input{_shape(in_shape)}", _shape(in_shape), "")]
    rows += [
        (layer.path, layer.text, _shape(layer.out_shape), f"{layer.parameters:,}" if layer.parameters else "")
        for layer in layers
    ]
    return [*rows, ("", "total", "", f"{parameters:,}")]


def _shape(shape: tuple[int, ...]) -> str:
    return f"({','.join(str(size) for size in shape)})"
