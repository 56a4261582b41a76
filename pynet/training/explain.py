"""pynet.explain: one training step on one sample in numbers, as in a calculation by hand."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pynet._ffi import Array, optimizer_struct, plain
from pynet.model.net import Net
from pynet.model.samples import one_sample
from pynet.model.task import TaskKind
from pynet.model.views import LayerView
from pynet.optim import SGD, Optimizer
from pynet.text import drawn, fields_text, percent, picture_shape, printable
from pynet.training.arguments import optimizer_for
from pynet.training.layer_step import FORMULAS, WHOLE, LayerStep, layer_steps, numbers

MAX_OUTPUTS = 12  # with more classes, only the likeliest and the correct one are listed
LARGEST = 3  # weight changes that are shown for each tensor

LOSSES = {
    "mse": "half the sum of {d}^2",
    "mae": "the sum of |{size}|",
    "huber": "the sum of {d}^2 / 2, and on a straight line beyond delta",
    "bce": "the sum of -y log p - (1 - y) log(1 - p)",
}


@dataclass(frozen=True)
class Explanation:
    """The numbers of one step. print() shows the calculation step by step.

    x (*in_shape) is the input of the first layer; y the label, or the targets (outputs). logits are the input of the
    closing softmax, output is the prediction, error = output - y, of a network that ends in rescale divided by its
    scale, which for the cross-entropies is the gradient at the logits, for squared error at the output or before
    rescale. task: see Net.task. gradients and changes are by name of parameter, changes as the optimizer made them.
    """

    spec: str
    loss_name: str
    task: TaskKind
    classes: list[str]
    x: Array
    y: Array
    layers: list[LayerStep]
    logits: Array
    output: Array
    loss: float
    error: Array
    optimizer: Optimizer
    learning_rate: float
    parameters: dict[str, Array]
    gradients: dict[str, Array]
    changes: dict[str, Array]
    output_after: Array
    loss_after: float

    def __str__(self) -> str:
        return "\n".join([*self._forward(), "", *self._loss(), "", *self._backward(), "", *self._update()])

    def __repr__(self) -> str:
        return fields_text("Explanation", vars(self))

    def _forward(self) -> list[str]:
        lines = ["1. forward: compute the prediction", ""]
        size = "x".join(map(str, self.x.shape))
        lines += [*self._picture(), f"   {'input':<22} {size:>12}  {_range(self.x)}"]
        for step in self.layers:
            size = "x".join(map(str, step.output.shape))
            name = f"{step.path} {step.text}"
            lines.append(f"   {name:<22} {size:>12}  {_range(step.output)}  {FORMULAS.get(step.kind, '')}".rstrip())
            if step.output.size <= WHOLE:
                lines.append(f"   {'':<22} {'':>12} {numbers(step.output)}")
        if self.loss_name == "cross_entropy":
            lines += ["", *self._softmax()]
        predicted, label = int(self.output.argmax()), int(self.y.argmax())
        if self.y.size > 1 and self.task == "classes":
            result = "correct" if predicted == label else f"wrong, the label is {self._name(label)}"
            lines += ["", f"   Predicted class {self._name(predicted)}: {result}."]
        return lines

    def _picture(self) -> list[str]:
        """The sample as text art, if it is a picture with values in 0..1."""
        shape = picture_shape(self.x.shape)
        if shape is None or self.x.min() < 0 or self.x.max() > 1:
            return []
        picture = self.x.reshape(shape)
        grey = picture if picture.ndim == 2 else picture.mean(axis=0)
        return [*(f"   {line}".rstrip() for line in drawn((255 * grey).astype(np.uint8)).splitlines()), ""]

    def _softmax(self) -> list[str]:
        largest = float(self.logits.max())
        exponentials = np.exp(self.logits - largest)
        subtracted = f"exp(z {'-' if largest >= 0 else '+'} {abs(largest):.4f})"
        lines = [
            "   softmax: p = exp(z) / sum of exp(z), z its input, the logits. The largest is subtracted from all",
            f"   first, which changes no p: exp is {subtracted} here, and the sum of these {exponentials.sum():.4f}.",
            f"   {'class':>14} {'z':>10} {'exp':>10} {'p':>10}",
        ]
        for i in self._shown():
            lines.append(
                f"   {self._name(i):>14} {self.logits[i]:>10.4f} {exponentials[i]:>10.4f} {self.output[i]:>10.4f}"
            )
        return lines

    def _loss(self) -> list[str]:
        lines = ["2. loss: measure the error of the prediction", ""]
        if self.loss_name == "cross_entropy":
            label = int(self.y.argmax())
            lines.append(f"   -log p[{self._name(label)}] = -log {self.output[label]:.4g} = {self.loss:.4f}")
            uniform = f"1/{self.y.size}"
            lines.append(f"   (equal probabilities, {uniform}, would give -log {uniform} = {np.log(self.y.size):.4f})")
        else:
            d = "((p - y) / scale)" if self.layers[-1].kind == "rescale" else "(p - y)"
            lines.append(f"   {LOSSES[self.loss_name].format(d=d, size=d[1:-1])} = {self.loss:.4f}")
        return lines

    def _backward(self) -> list[str]:
        lines = ["3. backward: compute the gradient of the loss", ""]
        at = "the logits" if self.loss_name in ("cross_entropy", "bce") else "the output"
        error = "p - y"
        if self.layers[-1].kind == "rescale":
            at, error = "the input of rescale", "(p-y)/scale"
        width = max(10, len(error))
        limit = {"mae": ", of which the sign alone counts", "huber": ", cut off at delta"}.get(self.loss_name, "")
        lines.append(f"   the gradient at {at} is {error}{limit}:")
        what = "output" if self.task == "regression" else "class"
        lines.append(f"   {what:>14} {'p':>10} {'y':>10} {error:>{width}}")
        for i in self._shown():
            numbers = f"{self.output[i]:>10.4f} {self.y[i]:>10.4g} {self.error[i]:>+{width}.4f}"
            lines.append(f"   {self._name(i):>14} {numbers}")
        lines += [
            "",
            "   The chain rule takes it back through the layers, the last first. x is the input of a layer, y its",
            "   output; dx, dy, dW, db are the gradients of the loss with respect to them, dy being the dx of the",
            f"   layer that follows. Layers of up to {WHOLE} inputs and outputs are shown whole, of others the largest",
            "   entry of each array and its norm, the root of the sum of squares.",
        ]
        for step in reversed(self.layers):
            parameters, gradients = (self._of(step, tensors) for tensors in (self.parameters, self.gradients))
            shown = step.backward(parameters, gradients, first=step is self.layers[0])
            lines += ["", *(f"   {line}" for line in shown)] if shown else []
        return lines

    def _update(self) -> list[str]:
        name, rate = type(self.optimizer).__name__, f"{self.learning_rate:.3g}"
        rule = f"w = w - {rate} dw" if self.optimizer in (SGD(), SGD(self.optimizer.learning_rate)) else name
        lines = [f"4. update: a small step against the gradient, {rule}", ""]
        lines.append(f"   the {LARGEST} largest changes of each array; W[i,j] is the weight from input i to unit j:")
        lines.append(f"   {'':<16} {'before':>10}    {'after':>10}   gradient")
        for name, change in self.changes.items():
            for place in _largest(change):
                before, after = self.parameters[name][place], self.parameters[name][place] + change[place]
                where = f"{name}[{','.join(map(str, place))}]"
                gradient = self.gradients[name][place]
                lines.append(f"   {where:<16} {before:>+10.5f} -> {after:>+10.5f}  {gradient:>+9.5f}")
        end = f"   After the step, the loss of this sample is {self.loss_after:.4f} instead of {self.loss:.4f}."
        return [*lines, "", end]

    @staticmethod
    def _of(step: LayerStep, tensors: dict[str, Array]) -> dict[str, Array]:
        """Those of this layer, by short name."""
        names = {name: name.rpartition(".") for name in tensors}
        return {names[name][2]: tensor for name, tensor in tensors.items() if names[name][0] == step.path}

    def _name(self, i: int) -> str:
        return printable(self.classes[i])[:14]

    def _shown(self) -> list[int]:
        if self.y.size <= MAX_OUTPUTS:
            return list(range(self.y.size))
        likeliest = np.argsort(-self.output, kind="stable")[: MAX_OUTPUTS - 1]
        return sorted({*map(int, likeliest), int(self.y.argmax())})


def explain(net: Net, x: npt.ArrayLike, y: npt.ArrayLike, optimizer: Optimizer | str | None = None) -> Explanation:
    """Shows one training step on one sample in numbers: forward, loss, backward layer by layer, and update.

    It works on a copy of the network. Small layers are printed whole, of larger ones the largest numbers; the result
    holds all of them.

    x: one sample, (*in_shape) or (1, ...). y: its label, or its targets (outputs). optimizer: None is SGD(0.1).
    ValueError: they do not fit, or are more than one sample, or the network has batchnorm, which needs several.

    >>> print(pynet.explain(net, digits.x_train[0], digits.y_train[0]))
    """
    sample, target = one_sample(net._signature, x), plain(y, "y")
    if math.prod(sample.shape) != math.prod(net.in_shape):
        raise ValueError(f"x has shape {np.shape(x)}; one sample of this network is {net.in_shape}")
    target = target.reshape(1) if target.size == 1 else target.reshape(1, -1)
    optimizer = optimizer_for(optimizer)
    before = {name: tensor.copy() for name, tensor in net.tensors.items()}
    copy = net.copy()
    output = copy.forward(sample)[0].ravel()
    loss = copy.loss(target)
    targets = _targets(target, output.size)
    layers = layer_steps(copy, [layer.output[0] for layer in copy.layers], sample, targets)
    copy.backward()
    gradients = copy.gradients
    copy.update(optimizer)
    changes = {name: tensor - before[name] for name, tensor in copy.tensors.items() if name in gradients}
    output_after = copy.predict_proba(sample)[0].ravel()
    loss_after = copy.evaluate(sample, target).loss
    return Explanation(
        spec=net.spec,
        loss_name=net.loss_name,
        task=net.task,
        classes=net.classes[-output.size :],  # a single output is the probability of the second class
        x=(sample / np.float32(255) if sample.dtype == np.uint8 else sample.astype(np.float32)).reshape(net.in_shape),
        y=targets,
        layers=layers,
        logits=_logits(copy.layers, layers),
        output=output,
        loss=loss,
        error=(output - targets) / _scale(net, output.size),
        optimizer=optimizer,
        learning_rate=float(optimizer_struct(optimizer).learning_rate),
        parameters=before,
        gradients=gradients,
        changes=changes,
        output_after=output_after,
        loss_after=loss_after,
    )


def _scale(net: Net, outputs: int) -> Array:
    """The scale of each output in its rescale; 1 without one."""
    if net.layers[-1].kind != "rescale":
        return np.ones(outputs, np.float32)
    scale = net.layers[-1].scale  # of images, one for each channel
    return scale.repeat(outputs // len(scale))


def _targets(target: Array, outputs: int) -> Array:
    """The target as a row of numbers; a label becomes one-hot."""
    if target.ndim == 2 or outputs == 1:
        return target.astype(np.float32).ravel()
    row = np.zeros(outputs, np.float32)
    row[int(target[0])] = 1
    return row


def _logits(views: list[LayerView], steps: list[LayerStep]) -> Array:
    """The input of the last layer, nested ones aside; the output if there is only one layer."""
    top = [step.output for view, step in zip(views, steps, strict=True) if "." not in view.path]
    return np.asarray(top[-2] if len(top) > 1 else top[-1]).ravel()


def _range(values: Array) -> str:
    zeros = float((values == 0).mean())
    text = f"{values.min():>8.3f} to {values.max():<7.3f} mean {values.mean():>7.3f}"
    return f"{text}, {percent(zeros):>8} zero"


def _largest(change: Array) -> Iterable[tuple[int, ...]]:
    """The indices of the largest changes, largest first, without zeros."""
    order = np.argsort(-abs(change), axis=None, kind="stable")[:LARGEST]
    places = [tuple(int(i) for i in np.unravel_index(flat, change.shape)) for flat in order]
    return [place for place in places if change[place] != 0]
