"""Weights from and for PyTorch, in safetensors files: a state dict, the names and layouts of torch.nn modules.

PyTorch's Linear has the transpose of pynet's W (n_in, n_out), its Conv2d has (out, in, kernel, kernel) for pynet's
(kernel, kernel, in, out). Both flatten images channel by channel.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pynet._ffi import Array
from pynet.errors import DataError
from pynet.formats.npz import checked_values
from pynet.formats.safetensors import read_tensors, write_tensors
from pynet.formats.torch_module import module_of
from pynet.model.views import LayerView
from pynet.network import Network
from pynet.text import parsed_json

NAMES = {
    "W": "weight",
    "b": "bias",
    "gamma": "weight",
    "beta": "bias",
    "running_mean": "running_mean",
    "running_var": "running_var",
    "mean": "mean",
    "scale": "scale",
}
AXES = {2: (1, 0), 4: (2, 3, 1, 0)}  # of W by its rank: pynet's array = PyTorch's.transpose(axes)
IGNORED = "num_batches_tracked"  # of BatchNorm, for a momentum of None
LAYERS = "pynet_layers"  # metadata of our own exports: PyTorch's path of each layer, as JSON
Shapes = dict[str, tuple[int, ...]]


def export_torch(net: Network, path: str | os.PathLike[str]) -> None:
    """Writes a safetensors file whose tensors `load_state_dict` takes.

    Its metadata hold "torch", the text of the nn.Sequential that they belong to, "torch_classes", the source of the
    classes in it that torch.nn does not have, "net", the network's text, and the network's notes. OSError: the file
    cannot be written.
    """
    module = module_of(net)
    tensors = {
        f"{module.paths[layer.path]}.{NAMES[short]}": _to_torch(layer, short, value)
        for layer in net.layers
        for short, value in layer.tensors.items()
    }
    own = {"torch": module.text, "torch_classes": module.classes, "net": net.spec, LAYERS: json.dumps(module.paths)}
    write_tensors(path, tensors, dict(net.meta) | own)


def import_torch(
    path: str | os.PathLike[str],
    net: str | None = None,
    *,
    names: Mapping[str, str] | None = None,
    mean: Sequence[float] | float | None = None,
    std: Sequence[float] | float | None = None,
) -> Network:
    """A network with the weights of a PyTorch module, from a safetensors file of its state dict.

    net: the text of the network; not needed for files of export_torch. names: the layer of each module,
    {"conv1": "0", "fc1": "4"}; those that are not named go to the layers of their shapes in the order of their numbers.
    mean, std: what the inputs were standardised by, one number or one per channel; they become a `standardize` layer.

    ValueError: the file is damaged, or tensors and layers do not fit, with the names of both.
    """
    name = os.fspath(path)
    tensors, metadata = read_tensors(Path(path))
    text = net or metadata.get("net", "")
    if not text:
        raise ValueError(f"{name}: has no text of a network; give it as net, as in input(784) dense(10) softmax")
    if net is None and names is None:
        names = _own_names(metadata)
    found = Network(text)
    modules: dict[str, dict[str, Array]] = {}
    for key, value in tensors.items():
        prefix, _, short = key.rpartition(".")
        if short != IGNORED:
            modules.setdefault(prefix, {})[short] = value
    _fill(found, modules, dict(names or {}), name)
    if net is None:
        notes = {key: value for key, value in metadata.items() if key not in _OWN and "\0" not in key + value}
        found.meta.update(notes)
    if mean is None and std is None:
        return found
    return standardized(found, 0.0 if mean is None else mean, 1.0 if std is None else std)


_OWN = ("torch", "torch_classes", "net", LAYERS, "format")


def standardized(net: Network, mean: Sequence[float] | float, std: Sequence[float] | float) -> Network:
    """The network behind a standardize layer with this mean and deviation, one number or one per channel or feature.

    ValueError: it has one already, they do not fit, or a deviation is not above 0.
    """
    if net.layers[0].kind == "standardize":
        raise ValueError(f"{net.spec} has a standardize layer; mean and std are for networks without")
    first, _, others = net.spec.partition(" ")
    found = Network(f"{first} standardize {others}", seed=net.seed)
    for short, given in (("mean", mean), ("scale", std)):
        tensor, values = found.tensors[f"0.{short}"], np.atleast_1d(np.asarray(given, np.float64))
        if values.shape not in ((1,), tensor.shape):
            raise ValueError(f"{short} has {len(values)} numbers; accepted: 1 or {tensor.size}, those of {first}")
        checked_values(values, f"{short} of standardize", short)
        tensor[...] = values
    for name, value in net.tensors.items():
        number, _, short = name.partition(".")
        found.tensors[f"{int(number) + 1}.{short}"][...] = value
    found.meta.update(net.meta)
    return found


def _own_names(metadata: Mapping[str, str]) -> dict[str, str]:
    """The layer of each module, from the metadata of export_torch; {} if the file is not of export_torch."""
    try:
        paths = parsed_json(metadata.get(LAYERS, "{}"))
    except ValueError:
        return {}
    return {str(module): str(layer) for layer, module in paths.items()} if isinstance(paths, dict) else {}


def _to_torch(layer: LayerView, short: str, value: Array) -> Array:
    if short == "W":
        return value.transpose(np.argsort(AXES[value.ndim]))
    return value.reshape(_expected(layer)[NAMES[short]])


def _expected(layer: LayerView) -> Shapes:
    """The shapes of PyTorch's tensors for a layer, by PyTorch's names."""
    shapes = {}
    for short, value in layer.tensors.items():
        shape: tuple[int, ...] = value.shape
        if short == "W":
            shape = tuple(value.shape[axis] for axis in np.argsort(AXES[value.ndim]))
        elif layer.kind == "layernorm":
            shape = layer.in_shape
        elif layer.kind in ("standardize", "rescale"):
            shape = (layer.in_shape[0], *[1] * (len(layer.in_shape) - 1))
        shapes[NAMES[short]] = shape
    return shapes


def _fill(net: Network, modules: dict[str, dict[str, Array]], names: dict[str, str], file: str) -> None:
    """Copies the tensors of each module to its layer."""
    layers = {layer.path: layer for layer in net.layers if layer.tensors}
    if len(set(names.values())) != len(names):
        raise DataError(f"two modules are for one layer: {', '.join(f'{a}={b}' for a, b in names.items())}")
    for module, path in names.items():
        if module not in modules:
            raise DataError(f"{file}: has no module {module!r:.80}; it has {_listed(modules)}")
        if path not in layers:
            raise DataError(
                f"{module!r:.80} cannot be layer {path!r:.40}; layers with weights: {', '.join(layers) or 'none'}"
            )
        if (given := _shapes(modules[module])) != _expected(layers[path]):
            raise DataError(f"{file}: {_one(module, given)} does not fit layer {_one_layer(layers[path])}")
    pairs = names | _by_shape(
        {path: layer for path, layer in layers.items() if path not in names.values()},
        {name: module for name, module in modules.items() if name not in names},
        file,
    )
    for module, path in pairs.items():
        layer = layers[path]
        for short, tensor in layer.tensors.items():
            value = modules[module][NAMES[short]]
            checked_values(value, f"{file}: {module}.{NAMES[short]}", short)
            tensor[...] = value.transpose(AXES[value.ndim]) if short == "W" else value.reshape(tensor.shape)


def _by_shape(layers: dict[str, LayerView], modules: dict[str, dict[str, Array]], file: str) -> dict[str, str]:
    """The layer of each module: by their shapes, and where several have the same, in the order of their numbers."""
    pairs: dict[str, str] = {}
    kinds = {str(sorted(_expected(layer).items())): layer for layer in layers.values()}
    kinds_of_modules = {name: str(sorted(_shapes(module).items())) for name, module in modules.items()}
    for name, kind in kinds_of_modules.items():
        if kind not in kinds:
            left = "; ".join(map(_one_layer, layers.values())) or "none is left"
            raise DataError(f"{file}: {_one(name, _shapes(modules[name]))} fits no layer; layers: {left}")
    for kind, layer in kinds.items():
        paths = [p for p, one in layers.items() if str(sorted(_expected(one).items())) == kind]
        found = sorted((name for name in modules if kinds_of_modules[name] == kind), key=_by_number)
        if not found and layer.kind in ("standardize", "rescale"):
            continue  # torch.nn has none
        if len(found) != len(paths):
            raise DataError(
                f"{file}: {len(paths)} layers take tensors such as those of {_one_layer(layer)}; "
                f"it has {len(found)} modules with them: {', '.join(found) or 'none'}; all are {_listed(modules)}"
            )
        if len({re.sub(r"\d+", "#", name) for name in found}) > 1:
            raise DataError(
                f"{file}: {', '.join(found)} have the same shapes, and their names no order; "
                f"name the layer of each, as in {found[0]}={paths[0]}"
            )
        pairs |= dict(zip(found, paths, strict=True))
    return pairs


def _by_number(name: str) -> list[Any]:
    return [int(part) if part.isdigit() else part for part in re.split(r"([0-9]{1,9})", name)]


def _shapes(module: Mapping[str, npt.NDArray[Any]]) -> Shapes:
    return {name: value.shape for name, value in module.items()}


def _one(name: str, shapes: Shapes) -> str:
    return f"{name} with {', '.join(f'{short} {shape}' for short, shape in shapes.items())}"


def _one_layer(layer: LayerView) -> str:
    return f"{layer.path}, {_one(layer.text, _expected(layer))}"


def _listed(modules: Mapping[str, Mapping[str, Array]]) -> str:
    return "; ".join(_one(name, _shapes(module)) for name, module in list(modules.items())[:12]) or "nothing"
