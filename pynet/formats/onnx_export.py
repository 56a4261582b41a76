"""Networks as ONNX models (https://onnx.ai), for onnxruntime and others: opset 17, IR version 10."""

from __future__ import annotations

import json
import math
import os
from functools import partialmethod
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pynet._ffi import VERSION, Array
from pynet.files import replacing
from pynet.formats.onnx_file import onnx_package
from pynet.formats.torch_module import same_padding
from pynet.model.views import LayerView, layers_inside, projection_of
from pynet.network import Network

if TYPE_CHECKING:
    import onnx

OPSET, IR_VERSION = 17, 10
INPUT, OUTPUT = "input", "output"
PRODUCER = "pynet"
SIMPLE = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "globalavgpool": "GlobalAveragePool"}


def export_onnx(
    net: Network,
    path: str | os.PathLike[str],
    *,
    input: Literal["float32", "uint8"] = "float32",
    logits: bool = False,
) -> None:
    """Writes an ONNX model with an input "input" (n, *in_shape) and an output "output" (n, *out_shape).

    input: "uint8" for bytes, which the model divides by 255, as the network does. logits: without a closing softmax or
    sigmoid. The names of the classes, as a JSON list under "classes", the network's text under "net" and its notes are
    the model's metadata. ImportError: the onnx package is missing; ValueError: another input; OSError.
    """
    onnx = onnx_package()
    if input not in ("float32", "uint8"):
        raise ValueError(f"input is {input!r:.40}; accepted: float32, uint8")
    content = _model(net, input, logits)
    try:
        onnx.checker.check_model(content)
        encoded = content.SerializeToString()
    except ValueError as error:  # protobuf's limit of 2 GB
        raise ValueError(f"the network does not fit in an ONNX file: {error}") from None
    with replacing(path) as file:
        file.write(encoded)


def _model(net: Network, input: str, logits: bool) -> onnx.ModelProto:
    from onnx import TensorProto, helper

    graph = _Graph(net)
    x = graph.pixels(INPUT) if input == "uint8" else INPUT
    left_out = [net.layers[-1].path] if logits and net.layers[-1].kind in ("softmax", "sigmoid") else []
    graph.rename(graph.chain(x, "", left_out), OUTPUT)
    kind = TensorProto.UINT8 if input == "uint8" else TensorProto.FLOAT
    values = (
        helper.make_tensor_value_info(name, of, ["n", *shape])
        for name, of, shape in ((INPUT, kind, net.in_shape), (OUTPUT, TensorProto.FLOAT, net.out_shape))
    )
    model = helper.make_model(
        helper.make_graph(graph.nodes, PRODUCER, [next(values)], [next(values)], graph.tensors),
        producer_name=PRODUCER,
        producer_version=VERSION,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    notes = {"classes": json.dumps(net.classes)} if net.task != "regression" else {}
    helper.set_model_props(model, notes | dict(net.meta) | {"net": net.spec})
    return model


class _Graph:
    """The nodes and tensors so far. Each method adds the nodes of a layer and returns the name of its output."""

    def __init__(self, net: Network) -> None:
        self.net = net
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        name = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [f"{name}_out"], name, **attributes))
        return f"{name}_out"

    def tensor(self, value: Array | float | list[int], name: str = "") -> str:
        """An initializer: float32, or int64 for a list."""
        from onnx import numpy_helper

        array = np.ascontiguousarray(value, np.int64 if isinstance(value, list) else np.float32)
        name = name or f"constant_{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(array.reshape(np.shape(value)), name))
        return name

    def rename(self, value: str, name: str) -> None:
        """Calls the last value so; nothing may use it but the caller."""
        if not self.nodes or self.nodes[-1].output[0] != value:
            self.add("Identity", value)
        self.nodes[-1].output[0] = name

    def pixels(self, x: str) -> str:
        return self.add("Div", self.add("Cast", x, to=1), self.tensor(255.0))  # 1: float32

    def chain(self, x: str, parent: str, left_out: list[str]) -> str:
        """The layers inside `parent`, a path; "" are those of the network itself."""
        for layer in layers_inside(self.net.layers, parent):
            if layer.path not in left_out:
                x = self.residual(x, layer) if layer.kind == "residual" else self.layer(x, layer)
        return x

    def residual(self, x: str, layer: LayerView) -> str:
        skip = projection_of(self.net.layers, layer.path)
        inside = self.chain(x, layer.path, [])
        return self.add("Add", inside, self.layer(x, skip) if skip else x)

    def layer(self, x: str, layer: LayerView) -> str:
        if layer.kind in SIMPLE:
            return self.add(SIMPLE[layer.kind], x)
        added: str = getattr(self, layer.kind)(x, layer)
        return added

    def parameters(self, layer: LayerView, *names: str) -> list[str]:
        """Those of these that the layer has, as they are."""
        found = layer.tensors
        return [self.tensor(found[name], f"{layer.path}.{name}") for name in names if name in found]

    def _per_channel(self, layer: LayerView, name: str) -> str:
        shape = (-1, *[1] * (len(layer.in_shape) - 1))
        return self.tensor(layer.tensors[name].reshape(shape), f"{layer.path}.{name}")

    def standardize(self, x: str, layer: LayerView) -> str:
        centred = self.add("Sub", x, self._per_channel(layer, "mean"))
        return self.add("Div", centred, self._per_channel(layer, "scale"))

    def rescale(self, x: str, layer: LayerView) -> str:
        scaled = self.add("Mul", x, self._per_channel(layer, "scale"))
        return self.add("Add", scaled, self._per_channel(layer, "mean"))

    def dense(self, x: str, layer: LayerView) -> str:
        return self.add("Gemm", self.flatten(x, layer), *self.parameters(layer, "W", "b"))

    def conv(self, x: str, layer: LayerView) -> str:
        pad = int(layer.options["pad"])
        top, bottom, left, right = same_padding(layer) if pad < 0 else (pad,) * 4
        W = self.tensor(layer.tensors["W"].transpose(3, 2, 0, 1), f"{layer.path}.W")
        return self.add(
            "Conv",
            x,
            W,
            *self.parameters(layer, "b"),
            kernel_shape=[int(layer.options["kernel"])] * 2,
            strides=[int(layer.options["stride"])] * 2,
            pads=[top, left, bottom, right],
        )

    def _pool(self, op: str, x: str, layer: LayerView) -> str:
        size = int(layer.options["size"])
        return self.add(op, x, kernel_shape=[size] * 2, strides=[int(layer.options["stride"]) or size] * 2)

    maxpool = partialmethod(_pool, "MaxPool")
    avgpool = partialmethod(_pool, "AveragePool")

    def leaky_relu(self, x: str, layer: LayerView) -> str:
        return self.add("LeakyRelu", x, alpha=layer.options["slope"])

    def gelu(self, x: str, layer: LayerView) -> str:
        """x (1 + erf(x / sqrt 2)) / 2: opset 17 has no Gelu."""
        erf = self.add("Erf", self.add("Div", x, self.tensor(math.sqrt(2))))
        return self.add("Mul", self.add("Mul", x, self.add("Add", erf, self.tensor(1.0))), self.tensor(0.5))

    def softmax(self, x: str, layer: LayerView) -> str:
        """Over all features of a sample, images too."""
        p = self.add("Softmax", self.flatten(x, layer), axis=1)
        return self.add("Reshape", p, self.tensor([-1, *layer.in_shape])) if len(layer.in_shape) == 3 else p

    def flatten(self, x: str, layer: LayerView) -> str:
        return self.add("Flatten", x, axis=1) if len(layer.in_shape) == 3 else x

    def dropout(self, x: str, layer: LayerView) -> str:
        return self.add("Dropout", x, self.tensor(layer.options["p"]))

    def batchnorm(self, x: str, layer: LayerView) -> str:
        tensors = self.parameters(layer, "gamma", "beta", "running_mean", "running_var")
        epsilon, momentum = layer.options["eps"], 1 - layer.options["momentum"]
        return self.add("BatchNormalization", x, *tensors, epsilon=epsilon, momentum=momentum)

    def layernorm(self, x: str, layer: LayerView) -> str:
        gamma, beta = (self.tensor(layer.tensors[name].reshape(layer.in_shape)) for name in ("gamma", "beta"))
        return self.add("LayerNormalization", x, gamma, beta, axis=1, epsilon=layer.options["eps"])
