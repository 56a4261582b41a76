"""ONNX models (https://onnx.ai) as networks: chains and residual sums of the operations that pynet has layers for."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pynet.errors import DataError
from pynet.formats.npz import checked_values
from pynet.formats.onnx_export import PRODUCER
from pynet.formats.onnx_file import OnnxFile, read_onnx
from pynet.formats.onnx_steps import Steps
from pynet.formats.onnx_translation import Layer, Translation, text_of
from pynet.network import Network
from pynet.text import parsed_json


def import_onnx(path: str | os.PathLike[str]) -> Network:
    """A network that computes what an ONNX model does.

    The model has one input, of floats or bytes, and one output. Cast, Div, Sub and Mul at the input become
    `standardize`, those at the output `rescale`; a closing LogSoftmax becomes `softmax`. Bytes are divided by 255 in
    pynet; a model that does not do that has the factor in `standardize`. Images that come channels-last and are
    transposed first are channels-first in pynet. Weight files lie in the folder of the model. Of models that
    export_onnx wrote, the loss and the notes come back, too.

    ImportError: the onnx package is missing. OSError: the file cannot be read. ValueError: it is damaged, too large, or
    has an operation that no layer stands for; the message names node and operation.
    """
    file = read_onnx(Path(path))
    steps = Steps(file)
    try:
        translation = Translation.of_input(steps)
        net = _network(file, translation)
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:  # attributes of another type or number
        raise DataError(f"{file.path}: damaged: {error}") from None
    except ValueError as error:
        raise error if isinstance(error, DataError) else DataError(f"{file.path}: {error}") from None
    _take_notes(net, file)
    return net


def _network(file: OnnxFile, translation: Translation) -> Network:
    """The network with these layers; its loss is from the metadata if pynet exported the file, else the default."""
    shape = ",".join(map(str, translation.input))
    text = f"input({shape}) {text_of(translation.layers)}"
    loss = re.search(r" loss\([a-z0-9_,.=]*\)$", file.metadata.get("net", ""))
    try:
        net = Network(text + (loss[0] if loss else ""))
    except ValueError:
        net = Network(text)  # without its softmax or sigmoid, as logits
    _fill(net, translation.layers, file)
    return net


def _fill(net: Network, layers: list[Layer], file: OnnxFile) -> None:
    found = {f"{path}.{name}": value for path, layer in _paths(layers, "") for name, value in layer.tensors.items()}
    shapes = {name: tensor.shape for name, tensor in net.tensors.items()}
    if shapes != {name: value.shape for name, value in found.items()}:
        odd = min({*shapes.items()} ^ {(name, value.shape) for name, value in found.items()})
        raise DataError(f"{file.path}: {net.spec} does not have its tensors: {odd[0]} {odd[1]}")
    for path, layer in _paths(layers, ""):
        own = next(one for one in net.layers if one.path == path)
        if path.endswith(".skip") and own.options.get("stride", 1) != layer.stride:
            raise DataError(f"{file.path}: a projection beside {net.spec} has stride {layer.stride}")
    for name, value in found.items():
        checked_values(value, f"{file.path}: {name}", name.rpartition(".")[2])
        net.tensors[name][...] = value


def _paths(layers: list[Layer], prefix: str) -> list[tuple[str, Layer]]:
    """Each layer with its path in the network's text."""
    found = []
    for i, layer in enumerate(layers):
        found.append((f"{prefix}{i}", layer))
        found += _paths(layer.inside, f"{prefix}{i}.")
        found += [(f"{prefix}{i}.skip", layer.skip)] if layer.skip else []
    return found


def _take_notes(net: Network, file: OnnxFile) -> None:
    """The names of the classes and, from our own exports, the notes."""
    try:
        classes = parsed_json(file.metadata.get("classes", "null"))
        if isinstance(classes, list) and classes != net.classes:
            net.classes = classes
    except ValueError:
        pass  # not a list of names, or not as many as there are outputs
    if file.producer == PRODUCER:
        own = {key: value for key, value in file.metadata.items() if key not in ("net", "classes")}
        net.meta.update({key: value for key, value in own.items() if "\0" not in key + value})
