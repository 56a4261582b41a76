"""Models as .npz files, for programs that only have NumPy. Files never contain pickles."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pynet.data.npz import npz_arrays
from pynet.files import replacing

if TYPE_CHECKING:
    from pynet.network import Network

TEXT_KEY = "net"
LARGEST = np.finfo(np.float32).max
LEAST = {"scale": np.finfo(np.float32).tiny, "running_var": 0.0}  # of the numbers of these tensors


def export_npz(net: Network, path: str | os.PathLike[str]) -> None:
    """Writes an .npz file: an array for each parameter by its name ("0.W"), and the network's text as "net"."""
    arrays: dict[str, Any] = {TEXT_KEY: np.array(net.spec), **net.tensors}
    with replacing(path) as file:
        np.savez(file, **arrays)


def import_npz(path: str | os.PathLike[str], spec: str | None = None) -> Network:
    """A network with the parameters of an .npz file.

    The arrays are named as export_npz names them, or W1, b1, W2, b2, ... for the first, second, ... layer that has
    parameters, as in hand-written NumPy programs. spec: the network's text, if the file does not contain it.
    W is (n_in, n_out); b may be (n_out), (1, n_out) or (n_out, 1).

    ValueError: the file cannot be read, is not a .npz, its arrays do not fit the network, or hold a number
    that is not finite in float32, or a variance below 0.
    """
    from pynet.network import Network

    name = os.fspath(path)
    arrays = npz_arrays(Path(path), kinds="iufU")
    text = spec if spec is not None else str(arrays.pop(TEXT_KEY, ""))
    if not text:
        raise ValueError(f'{name}: has no network text under "{TEXT_KEY}"; give it as spec')
    arrays.pop(TEXT_KEY, None)
    net = Network(text)
    _fill(net, arrays, name)
    return net


def _fill(net: Network, arrays: dict[str, npt.NDArray[Any]], file: str) -> None:
    """Copies each array to its parameter; every parameter must have one that fits, and no array may be left over."""
    numbered = {layer.path: i + 1 for i, layer in enumerate(one for one in net.layers if one.parameters)}
    found = {}
    for name, tensor in net.tensors.items():
        path, _, letter = name.rpartition(".")
        key = name if name in arrays else f"{letter}{numbered.get(path, '')}"
        if key not in arrays:
            raise ValueError(f"{file}: has neither {name} nor {key}; it has {', '.join(sorted(arrays)) or 'no arrays'}")
        found[name] = value = arrays.pop(key)
        if value.dtype.kind not in "fiu":
            raise ValueError(f"{file}: {key} has dtype {value.dtype}; accepted: numbers")
        flat = value.shape if tensor.ndim > 1 else (value.size,)
        if flat != tensor.shape or (tensor.ndim == 1 and max(value.shape, default=0) != value.size):
            raise ValueError(f"{file}: {key} has shape {value.shape}; the network's {name} is {tensor.shape}")
        checked_values(value, f"{file}: {key}", letter)
    if arrays:
        raise ValueError(f"{file}: {', '.join(sorted(arrays))} are not parameters of {net.spec}")
    for name, value in found.items():
        net.tensors[name][...] = value.reshape(net.tensors[name].shape)


def checked_values(value: npt.NDArray[Any], what: str, short: str) -> None:
    """ValueError: `what` has a number that is not finite in float32, or below the LEAST of tensors with this name."""
    if not (good := abs(value) <= LARGEST).all():
        raise ValueError(f"{what} holds {_first_bad(value, good)}; accepted: finite float32 numbers")
    if short in LEAST and not (good := value >= LEAST[short]).all():
        raise ValueError(f"{what} holds {_first_bad(value, good)}; accepted: {LEAST[short]:.2g} and more")


def _first_bad(values: npt.NDArray[Any], good: npt.NDArray[Any]) -> str:
    index = np.argwhere(~good)[0]
    return f"{values[tuple(index)]} at index {tuple(map(int, index))}"
