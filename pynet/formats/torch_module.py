"""A network as the text of a PyTorch module, and where that module keeps the tensors of each layer."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pynet.model.net import Net
from pynet.model.views import LayerView, layers_inside, projection_of

_SCALING = """\
class {name}(nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))

    def forward(self, x):
        return {formula}
"""

# What torch.nn has no module for.
CLASSES = {
    "Residual": """\
class Residual(nn.Module):
    def __init__(self, inside, skip=None):
        super().__init__()
        self.inside, self.skip = inside, skip

    def forward(self, x):
        return self.inside(x) + (x if self.skip is None else self.skip(x))
""",
    "Standardize": _SCALING.format(name="Standardize", formula="(x - self.mean) / self.scale"),
    "Rescale": _SCALING.format(name="Rescale", formula="x * self.scale + self.mean"),
}


@dataclass
class Module:
    """text: the expression that creates it; paths: pynet's path of each layer that has tensors, and PyTorch's."""

    text: str
    paths: dict[str, str] = field(default_factory=dict)

    @property
    def classes(self) -> str:
        """The source of the classes that the text uses besides those of torch.nn."""
        return "\n\n".join(source for name, source in CLASSES.items() if f"{name}(" in self.text)


def module_of(net: Net, parent: str = "", prefix: str = "", indent: str = "") -> Module:
    """The nn.Sequential that computes what the network does, from floats (n, *net.in_shape).

    Of the layers inside `parent` alone, a path of pynet; prefix: the module's own path in PyTorch, with a point.
    """
    lines: list[str] = []
    paths: dict[str, str] = {}
    for layer in layers_inside(net.layers, parent):
        before, text, after = _around(layer)
        lines += before
        here = f"{prefix}{len(lines)}"
        if layer.kind == "residual":
            inside = _residual(net, layer, here, indent + "    ")
            text, paths = inside.text, paths | inside.paths
        elif layer.tensors:
            paths[layer.path] = here
        lines += [text, *after]
    body = "".join(f"{indent}    {line},\n" for line in lines)
    return Module(f"nn.Sequential(\n{body}{indent})" if lines else "nn.Sequential()", paths)


def _residual(net: Net, layer: LayerView, here: str, indent: str) -> Module:
    inside = module_of(net, layer.path, f"{here}.inside.", indent)
    skip = projection_of(net.layers, layer.path)
    if skip is None:
        return Module(f"Residual({inside.text})", inside.paths)
    before, text, _ = _around(skip)
    path = f"{here}.skip"
    if before:
        text, path = f"nn.Sequential({', '.join([*before, text])})", f"{path}.{len(before)}"
    return Module(f"Residual({inside.text}, {text})", inside.paths | {skip.path: path})


def _around(layer: LayerView) -> tuple[list[str], str, list[str]]:
    """Modules that PyTorch needs before a layer, its own, and those after it."""
    is_image = len(layer.in_shape) == 3
    if layer.kind == "dense":
        return ["nn.Flatten()"] * is_image, _text(layer), []
    if layer.kind == "conv" and layer.options["pad"] < 0:
        top, bottom, left, right = same_padding(layer)
        if top == bottom == left == right:
            return [], _text(layer, pad=top), []
        return [f"nn.ZeroPad2d(({left}, {right}, {top}, {bottom}))"], _text(layer, pad=0), []
    if layer.kind == "softmax" and is_image:
        return ["nn.Flatten()"], _text(layer), [f"nn.Unflatten(1, {layer.in_shape})"]
    return [], _text(layer), []


def same_padding(layer: LayerView) -> tuple[int, int, int, int]:
    """Zeros at the top, bottom, left and right of a conv with pad=same: the odd one is at the bottom and the right."""
    kernel, stride = int(layer.options["kernel"]), int(layer.options["stride"])
    found = []
    for side in layer.in_shape[1:]:
        total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
        found += [total // 2, total - total // 2]
    return found[0], found[1], found[2], found[3]


def _text(layer: LayerView, pad: int | None = None) -> str:
    options, shape = layer.options, layer.in_shape
    bias = "" if "b" in layer.tensors else ", bias=False"
    per_channel = ", ".join(map(str, (shape[0], *[1] * (len(shape) - 1))))
    if layer.kind == "dense":
        n_in, n_out = layer.tensors["W"].shape
        return f"nn.Linear({n_in}, {n_out}{bias})"
    if layer.kind == "conv":
        kernel, _, n_in, n_out = layer.tensors["W"].shape
        padding = int(options["pad"]) if pad is None else pad
        return f"nn.Conv2d({n_in}, {n_out}, {kernel}, stride={int(options['stride'])}, padding={padding}{bias})"
    if layer.kind in ("maxpool", "avgpool"):
        name = "MaxPool2d" if layer.kind == "maxpool" else "AvgPool2d"
        return f"nn.{name}({int(options['size'])}, stride={int(options['stride']) or int(options['size'])})"
    if layer.kind == "batchnorm":
        name = "BatchNorm2d" if len(shape) == 3 else "BatchNorm1d"
        return f"nn.{name}({shape[0]}, eps={options['eps']}, momentum={options['momentum']})"
    texts = {
        "layernorm": f"nn.LayerNorm({shape if len(shape) > 1 else shape[0]}, eps={options.get('eps', 0)})",
        "leaky_relu": f"nn.LeakyReLU({options.get('slope', 0)})",
        "dropout": f"nn.Dropout({options.get('p', 0)})",
        "globalavgpool": "nn.AdaptiveAvgPool2d(1)",
        "flatten": "nn.Flatten()",
        "relu": "nn.ReLU()",
        "gelu": "nn.GELU()",
        "sigmoid": "nn.Sigmoid()",
        "tanh": "nn.Tanh()",
        "softmax": "nn.Softmax(dim=1)",
        "residual": "",
        "standardize": f"Standardize({per_channel})",
        "rescale": f"Rescale({per_channel})",
    }
    return texts[layer.kind]
