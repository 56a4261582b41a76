"""The same network in PyTorch, in float64 with equal weights, so that only pynet's rounding differs.

A new layer is an entry of LAYERS here and a line of tests/peers/test_layers.py.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch.nn import functional

from pynet import Network, kernels
from pynet.network import LayerView

Array = np.ndarray[Any, Any]

# A float32 sum of k products is off by about sqrt(k) 6e-8 of its terms' size, 2e-6 for the widest layer here, and a
# network is several in a row. Errors are taken relative to the largest element: a small one may be what is left of
# large terms.
TOLERANCE = 2e-5


@dataclass
class Twin:
    """A layer in PyTorch: its module, and under pynet's short name each of pynet's tensors, with the axes that turn
    PyTorch's into it: pynet's array = PyTorch's.permute(axes)."""

    module: torch.nn.Module
    tensors: dict[str, tuple[torch.Tensor, tuple[int, ...]]] = field(default_factory=dict)


def dense(layer: LayerView) -> Twin:
    """y = x W^T + b, for the flattened sample."""
    n_in, n_out = layer.tensors["W"].shape
    linear = torch.nn.Linear(n_in, n_out, bias="b" in layer.tensors)
    biases = {"b": (linear.bias, (0,))} if "b" in layer.tensors else {}
    return Twin(torch.nn.Sequential(torch.nn.Flatten(), linear), {"W": (linear.weight, (1, 0))} | biases)


def batchnorm(layer: LayerView) -> Twin:
    """Normalises over the batch, per feature or per channel of an image."""
    kind = torch.nn.BatchNorm2d if len(layer.in_shape) == 3 else torch.nn.BatchNorm1d
    norm = kind(layer.in_shape[0], **layer.options).double()  # later would give it other running statistics
    return Twin(
        norm,
        {
            "gamma": (norm.weight, (0,)),
            "beta": (norm.bias, (0,)),
            "running_mean": (norm.running_mean, (0,)),
            "running_var": (norm.running_var, (0,)),
        },
    )


def layernorm(layer: LayerView) -> Twin:
    """Normalises all features of a sample, which is flattened because pynet's gamma and beta are flat."""
    norm = torch.nn.LayerNorm(int(np.prod(layer.in_shape)), **layer.options)
    module = torch.nn.Sequential(torch.nn.Flatten(), norm, torch.nn.Unflatten(1, layer.in_shape))
    return Twin(module, {"gamma": (norm.weight, (0,)), "beta": (norm.bias, (0,))})


class Scaling(torch.nn.Module):
    """(x - mean) / scale, or x scale + mean where `back`, with a number of each for a feature or channel."""

    def __init__(self, layer: LayerView, back: bool) -> None:
        super().__init__()
        self.back = back
        for name in ("mean", "scale"):
            self.register_buffer(name, torch.zeros(layer.in_shape[0], *[1] * (len(layer.in_shape) - 1)).double())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale + self.mean if self.back else (x - self.mean) / self.scale


def scaling(layer: LayerView) -> Twin:
    module = Scaling(layer, back=layer.kind == "rescale")
    return Twin(module, {name: (buffer.flatten(), (0,)) for name, buffer in module.named_buffers()})


class Dropout(torch.nn.Module):
    """Multiplies by pynet's dropout mask of a step; each call is the next step."""

    def __init__(self, layer: LayerView) -> None:
        super().__init__()
        self.layer, self.p, self.step = layer, layer.options["p"], layer._net.updates

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ones = np.ones((len(x), int(np.prod(x.shape[1:]))), np.float32)
        passes = kernels.dropout(ones, self.p, self.layer._net.seed, self.layer.index, self.step) > 0
        self.step += 1
        return x * torch.from_numpy(passes.reshape(x.shape)) / (1 - self.p)


class Residual(torch.nn.Module):
    """x, or its projection, plus the output of the layers inside."""

    def __init__(self, inside: list[torch.nn.Module], skip: torch.nn.Module | None) -> None:
        super().__init__()
        self.inside, self.skip = torch.nn.Sequential(*inside), skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inside(x) + (self.skip(x) if self.skip else x)


def residual(layer: LayerView, twins: dict[str, Twin]) -> Twin:
    """A residual made of the twins of the layers inside it, which keep their parameters."""
    skip = twins.get(f"{layer.path}.skip")
    paths = [path for path in twins if path.rpartition(".")[0] == layer.path and not path.endswith(".skip")]
    inside = [twins[f"{layer.path}.{i}"].module for i in range(len(paths))]
    return Twin(Residual(inside, skip.module if skip else None))


def build(layers: list[LayerView]) -> dict[str, Twin]:
    """The twin of each layer by its path, in order."""
    twins: dict[str, Twin] = {}
    for layer in reversed(layers):  # a residual comes after the layers inside it
        twins[layer.path] = residual(layer, twins) if layer.kind == "residual" else LAYERS[layer.kind](layer)
    return {layer.path: twins[layer.path] for layer in layers}


def conv(layer: LayerView) -> Twin:
    """W is (kernel, kernel, channels in, channels out) here, (out, in, kernel, kernel) there."""
    kernel, _, n_in, n_out = layer.tensors["W"].shape
    pad = int(layer.options["pad"])
    module = torch.nn.Conv2d(
        n_in,
        n_out,
        kernel,
        stride=int(layer.options["stride"]),
        padding="same" if pad < 0 else pad,
        bias="b" in layer.tensors,
    )
    tensors: dict[str, tuple[torch.Tensor, tuple[int, ...]]] = {"W": (module.weight, (2, 3, 1, 0))}
    if module.bias is not None:
        tensors["b"] = (module.bias, (0,))
    return Twin(module, tensors)


def pool(layer: LayerView, module: type[torch.nn.Module]) -> Twin:
    size, stride = int(layer.options["size"]), int(layer.options["stride"])
    return Twin(module(size, stride or size))


LAYERS: dict[str, Callable[[LayerView], Twin]] = {
    "avgpool": lambda layer: pool(layer, torch.nn.AvgPool2d),
    "conv": conv,
    "dense": dense,
    "batchnorm": batchnorm,
    "dropout": lambda layer: Twin(Dropout(layer)),
    "flatten": lambda _: Twin(torch.nn.Flatten()),
    "gelu": lambda _: Twin(torch.nn.GELU()),
    "layernorm": layernorm,
    "leaky_relu": lambda layer: Twin(torch.nn.LeakyReLU(layer.options["slope"])),
    "globalavgpool": lambda _: Twin(torch.nn.AdaptiveAvgPool2d(1)),
    "maxpool": lambda layer: pool(layer, torch.nn.MaxPool2d),
    "relu": lambda _: Twin(torch.nn.ReLU()),
    "rescale": scaling,
    "sigmoid": lambda _: Twin(torch.nn.Sigmoid()),
    "tanh": lambda _: Twin(torch.nn.Tanh()),
    "softmax": lambda _: Twin(torch.nn.Softmax(dim=1)),
    "standardize": scaling,
}


class TorchNet:
    """The twin of `net`, with copies of its current weights."""

    def __init__(self, net: Network) -> None:
        self.net = net
        self.twins = build(net.layers)
        for module in self.modules():
            module.double()
        self.tensors = {
            f"{path}.{name}": entry for path, twin in self.twins.items() for name, entry in twin.tensors.items()
        }
        assert self.tensors.keys() == net.tensors.keys()
        self.tensors = {name: self.tensors[name] for name in net.tensors}
        with torch.no_grad():
            for name, (tensor, axes) in self.tensors.items():
                values = torch.from_numpy(net.tensors[name].astype(np.float64))
                tensor.copy_(values.permute(*np.argsort(axes).tolist()))

    def modules(self) -> Iterator[torch.nn.Module]:
        """The module of each layer, in order; those inside a residual belong to its module."""
        return (twin.module for path, twin in self.twins.items() if "." not in path)

    def parameters(self, decayed: bool | None = None) -> list[torch.Tensor]:
        """The trained parameters: all, or those with weight decay (weights), or those without (the rest)."""
        chosen = [(name, tensor) for name, (tensor, _) in self.tensors.items() if tensor.requires_grad]
        return [t for name, t in chosen if decayed is None or name.endswith(".W") == decayed]

    def outputs(self, x: Array, logits: bool = False) -> torch.Tensor:
        """The outputs (n, ...) in training mode; logits: without a last softmax."""
        values = torch.from_numpy(x.astype(np.float64) / 255 if x.dtype == np.uint8 else x.astype(np.float64))
        values = values.reshape(len(x), *self.net.in_shape)
        modules = list(self.modules())
        for module in modules[:-1] if logits else modules:
            values = module(values)
        return values

    def loss(self, x: Array, y: Array, weight: Array | None = None) -> torch.Tensor:
        """The mean loss of this batch, with weights of samples, for backward()."""
        if self.net.loss_name == "cross_entropy":
            labels, smoothing = torch.from_numpy(y.astype(np.int64)), self.net.label_smoothing
            logits = self.outputs(x, logits=True)
            losses = functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
        elif self.net.loss_name == "bce":
            targets = torch.from_numpy(y.astype(np.float64))
            losses = functional.binary_cross_entropy_with_logits(
                self.outputs(x, logits=True), targets, reduction="none"
            ).sum(dim=1)
        else:
            losses = self._compared(x, y).flatten(1).sum(dim=1)
        return (losses if weight is None else losses * torch.from_numpy(weight)).mean()

    def _compared(self, x: Array, y: Array) -> torch.Tensor:
        """The loss of each output, before a last rescale."""
        last, targets = self.net.layers[-1], torch.from_numpy(y.astype(np.float64)).reshape(-1, *self.net.out_shape)
        if last.kind == "rescale":
            rescale = list(self.modules())[-1]
            targets = (targets - rescale.mean) / rescale.scale
        p = self.outputs(x, logits=last.kind == "rescale")
        if self.net.loss_name == "mae":
            return functional.l1_loss(p, targets, reduction="none")
        if self.net.loss_name == "huber":
            return functional.huber_loss(p, targets, reduction="none", delta=self.net.huber_delta)
        return 0.5 * functional.mse_loss(p, targets, reduction="none")

    def arrays(self, what: Callable[[torch.Tensor], torch.Tensor | None]) -> dict[str, Array]:
        """what(tensor) of each tensor, by pynet's names and in pynet's layout."""
        found = {name: (what(tensor), axes) for name, (tensor, axes) in self.tensors.items()}
        return {name: t.detach().permute(*axes).numpy().copy() for name, (t, axes) in found.items() if t is not None}


def batch(net: Network, n: int, seed: int = 0) -> tuple[Array, Array]:
    """Random float samples, and labels or targets that suit the loss."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, *net.in_shape)).astype(np.float32)
    outputs = int(np.prod(net.out_shape))
    if net.loss_name == "cross_entropy":
        return x, rng.integers(0, outputs, n)
    targets = rng.random((n, outputs)) if net.loss_name == "bce" else rng.normal(size=(n, outputs))
    return x, targets.astype(np.float32)


def agree(actual: Array, expected: Array, what: str, tolerance: float = TOLERANCE) -> None:
    """Asserts equality within `tolerance` times the largest element."""
    largest = float(np.abs(expected).max(initial=1e-30))
    assert_allclose(actual, expected, rtol=0, atol=tolerance * largest, err_msg=what)


def check_gradients(net: Network, x: Array, y: Array, weight: Array | None = None) -> None:
    """Asserts that outputs, loss and the gradient of every parameter agree."""
    twin = TorchNet(net)
    agree(net.forward(x), twin.outputs(x).detach().numpy(), "forward")
    twin = TorchNet(net)  # the outputs above may have changed running statistics
    loss = twin.loss(x, y, weight)
    agree(np.float64(net.loss(y, weight)), loss.detach().numpy(), "loss")
    net.backward()
    loss.backward()  # type: ignore[no-untyped-call]
    for name, gradient in twin.arrays(lambda tensor: tensor.grad).items():
        agree(net.gradients[name], gradient, f"gradient of {name}")


def check_steps(
    net: Network,
    optimizer: Any,
    torch_optimizer: Callable[[TorchNet], torch.optim.Optimizer],
    *,
    steps: int = 10,
    n: int = 20,
    tolerance: float = 10 * TOLERANCE,
    before_step: Callable[[list[torch.Tensor]], object] = lambda parameters: None,
) -> None:
    """Ten training steps from equal weights end in equal weights, running statistics included; ten times the tolerance
    of one gradient, since each step starts from the errors of the last. before_step sees PyTorch's parameters with
    their gradients, for clipping. The weights must have moved by far more than the tolerance."""
    twin = TorchNet(net)
    stepper = torch_optimizer(twin)
    start = copy.deepcopy({name: tensor.copy() for name, tensor in net.tensors.items()})
    for step in range(steps):
        x, y = batch(net, n, seed=step)
        net.train_step(x, y, optimizer)
        stepper.zero_grad()
        twin.loss(x, y).backward()  # type: ignore[no-untyped-call]
        before_step(twin.parameters())
        stepper.step()
    for name, expected in twin.arrays(lambda tensor: tensor).items():
        if name.endswith((".mean", ".scale")):  # no step changes them
            assert_array_equal(net.tensors[name], start[name])
            continue
        moved = np.abs(expected - start[name]).max()
        assert moved > 20 * tolerance * np.abs(expected).max(), f"{name} hardly moved: {moved}"
        agree(net.tensors[name], expected, f"{name} after {steps} steps", tolerance)
