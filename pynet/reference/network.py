"""A network: the four steps of training, and loops over batches and epochs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pynet.reference.arrays import Array, Labels, floats, rows, same
from pynet.reference.conversion import converted
from pynet.reference.functions import gather
from pynet.reference.layers import Layer, Sigmoid, Softmax
from pynet.reference.losses import (
    absolute_error,
    as_labels,
    as_targets,
    binary_cross_entropy,
    cross_entropy,
    huber,
    squared_error,
)
from pynet.reference.optimizers import Optimizer
from pynet.reference.scaling import Rescale, standardize

LOSSES = ("cross_entropy", "mse", "bce", "mae", "huber")
Order = Callable[[int, int], ArrayLike]


class Network:
    """A list of layers and a loss: "cross_entropy" (Softmax must come last), "bce" (Sigmoid), "mse", "mae" or "huber".

    smoothing: label smoothing of cross_entropy. delta: the error above which huber is linear. in_shape: shape of one
    sample, needed for images. Layers are named "0", "1", ..., nested ones "1.0", ...
    ValueError: an unknown loss, or one without the last layer that it needs.
    """

    def __init__(
        self,
        layers: list[Layer],
        loss: str = "cross_entropy",
        *,
        smoothing: float = 0.0,
        delta: float = 1.0,
        in_shape: tuple[int, ...] | None = None,
    ) -> None:
        if loss not in LOSSES:
            raise ValueError(f"unknown loss {loss!r}, accepted are {', '.join(LOSSES)}")
        closing = {"cross_entropy": Softmax, "bce": Sigmoid}.get(loss, Layer)
        if closing is not Layer and not (layers and isinstance(layers[-1], closing)):
            raise ValueError(f"{loss} needs {closing.__name__} as the last layer")
        self.layers, self.loss_name, self.smoothing, self.delta = layers, loss, smoothing, delta
        self.in_shape = in_shape
        self.named_layers = _named({str(i): layer for i, layer in enumerate(layers)})
        self.seed = self.steps = 0  # seed of dropout; number of updates
        self.output: Array | None = None
        self._dy: Array | None = None
        self._side: NDArray[Any] | None = None  # of the loss's kinks

    @classmethod
    def from_net(cls, net: Any) -> Network:
        """The float64 twin of a pynet.Network: a copy of its parameters as they are now.

        Of net it uses loss_name, label_smoothing, huber_delta, seed, updates and, of each of its layers, kind, path,
        in_shape, options and tensors.
        """
        in_shape = tuple(net.layers[0].in_shape)
        numbers = {"smoothing": net.label_smoothing, "delta": net.huber_delta}
        twin = cls(converted(net.layers), net.loss_name, in_shape=in_shape, **numbers)
        twin.seed, twin.steps = net.seed, net.updates
        return twin

    def forward(self, x: ArrayLike, training: bool = True) -> Array:
        """The output (m, ...) for samples x (m, ...): probabilities, if the last layer is Softmax.

        uint8 means x/255. Layers store what backward needs until the next forward. training: with dropout, and
        batchnorm uses the statistics of this batch; False is inference.
        """
        for layer in self.named_layers.values():
            layer.training, layer.seed, layer.step = training, self.seed, self.steps
        x = np.asarray(x)
        y = self._shaped(gather(x) if x.dtype == np.uint8 else floats(x))
        for layer in self.layers:
            self._before_last, y = y, layer.forward(y)  # the logits, if the last layer is a softmax
        self.output, self._dy, self._side = y, None, None
        return y

    def _shaped(self, x: Array) -> Array:
        if self.in_shape is None:
            return x
        if x.ndim < 2 or math.prod(x.shape[1:]) != math.prod(self.in_shape):
            raise ValueError(f"x has shape {x.shape}, this network takes (n, {', '.join(map(str, self.in_shape))})")
        return x.reshape(len(x), *self.in_shape)

    def loss(self, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Mean loss of the last forward, against labels y (m) or rows y (m, outputs); prepares backward.

        Rows must be one-hot for cross-entropy; other losses turn labels into one-hot rows. sample_weight (m): factors
        of each sample's loss in the mean over m. RuntimeError: no forward yet.
        """
        if self.output is None:
            raise RuntimeError("loss before forward: there is no output yet")
        losses, dy = self._losses(rows(self.output), y)
        if sample_weight is not None:
            weight = floats(sample_weight)
            losses, dy = losses * weight, dy * weight[:, None]
        self._dy = dy.reshape(self.output.shape)
        return float(losses.sum()) / max(len(losses), 1)

    def _losses(self, output: Array, y: ArrayLike) -> tuple[Array, Array]:
        """The loss of each sample (m), and the gradient of their mean (m, outputs) for what the loss compares."""
        if self.loss_name == "cross_entropy":
            return cross_entropy(rows(self._before_last), as_labels(y, output.shape[1]), None, self.smoothing)
        targets = as_targets(y, output.shape[1])
        if self.loss_name == "bce":
            return binary_cross_entropy(rows(self._before_last), targets)
        p, targets = self._compared(output, targets)
        if self.loss_name == "mse":
            return squared_error(p, targets)
        limit = self.delta if self.loss_name == "huber" else 0
        self._side = np.sign(p - targets) * (abs(p - targets) > limit)
        return huber(p, targets, self.delta) if self.loss_name == "huber" else absolute_error(p, targets)

    def _compared(self, output: Array, targets: Array) -> tuple[Array, Array]:
        """What is compared: output and targets (m, outputs), or both in the unit before a rescale."""
        last = self.layers[-1] if self.layers else None
        if not isinstance(last, Rescale):
            return output, targets
        images = targets.reshape(self._before_last.shape)
        return rows(self._before_last), rows(standardize(images, *last.for_samples(images)))

    def backward(self) -> None:
        """The gradient of that loss for every parameter, last layer first. RuntimeError: no loss yet."""
        if self._dy is None:
            raise RuntimeError("backward before loss: call forward, then loss")
        dy = self._dy
        # the gradient of the cross-entropies already includes the final softmax or sigmoid; no loss sees a rescale
        closed = self.loss_name in ("cross_entropy", "bce") or isinstance(self.layers[-1], Rescale)
        layers = self.layers[:-1] if closed else self.layers
        for layer in reversed(layers):
            dy = layer.backward(dy)

    def update(self, optimizer: Optimizer | float) -> None:
        """One step of the optimizer; a number is SGD with that learning rate. RuntimeError: no backward yet."""
        optimizer = optimizer if isinstance(optimizer, Optimizer) else Optimizer("sgd", optimizer)
        optimizer.step(self.parameters(), self.gradients())
        for layer in self.named_layers.values():
            layer.after_step()
        self.steps += 1

    def parameters(self) -> dict[str, Array]:
        """Every parameter by name, "0.W", "0.b", ...: the arrays themselves, not copies."""
        return {f"{path}.{name}": w for path, layer in self.named_layers.items() for name, w in layer.params.items()}

    def gradients(self) -> dict[str, Array]:
        """The gradient of the last loss by name of parameter. RuntimeError: no backward yet."""
        layers = self.named_layers.items()
        gradients = {f"{path}.{name}": dw for path, layer in layers for name, dw in layer.grads.items()}
        if gradients.keys() != self.parameters().keys():
            raise RuntimeError("no gradients before backward")
        return gradients

    def branches(self) -> list[NDArray[Any]]:
        """Which side of every kink the last forward fell on, layer by layer, and the loss, if it followed."""
        found = [*(layer.branch() for layer in self.named_layers.values()), self._side]
        return [branch for branch in found if branch is not None]

    def train_step(
        self, x: ArrayLike, y: ArrayLike, optimizer: Optimizer | float, sample_weight: ArrayLike | None = None
    ) -> float:
        """The four steps on one batch; returns the mean loss before the update."""
        self.forward(x)
        loss = self.loss(y, sample_weight)
        self.backward()
        self.update(optimizer)
        return loss

    def fit(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        epochs: int = 10,
        batch_size: int = 64,
        learning_rate: float = 0.1,
        optimizer: Optimizer | None = None,
        seed: int = 0,
        order: Order | None = None,
    ) -> list[float]:
        """Trains for `epochs` epochs of mini-batches; returns the mean loss of each.

        order(n, epoch): the order of the samples, as in `lambda n, epoch: pynet.kernels.shuffle(n, seed, epoch)`; None
        shuffles with NumPy's generator and seed.
        """
        x, y, rng = np.asarray(x), np.asarray(y), np.random.default_rng(seed)
        same("number of labels or targets", len(y), len(x))
        history = []
        for epoch in range(epochs):
            indices = rng.permutation(len(x)) if order is None else np.asarray(order(len(x), epoch))
            total = 0.0
            for start in range(0, len(indices), batch_size):
                batch = indices[start : start + batch_size]
                total += self.train_step(x[batch], y[batch], optimizer or learning_rate) * len(batch)
            history.append(total / max(len(indices), 1))
        return history

    def predict(self, x: ArrayLike) -> Labels:
        """The class (m) with the largest output for each sample; the first one if several are equal."""
        return np.asarray(rows(self.forward(x, training=False)).argmax(axis=1), dtype=np.int64)


def _named(layers: dict[str, Layer]) -> dict[str, Layer]:
    """These layers and those nested in them, by path."""
    named = {}
    for path, layer in layers.items():
        named[path] = layer
        named |= _named({f"{path}.{name}": inner for name, inner in layer.inside.items()})
    return named
