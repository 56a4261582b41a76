"""Detects common problems of a training, and names their layer and a remedy."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pynet.model.net import Net
from pynet.model.views import LayerView
from pynet.text import percent
from pynet.training.callbacks import Run
from pynet.training.scaling import unscaled

# Thresholds, chosen by experiments with dense networks of 1 to 10 layers on digits. Gradient norms of two layers
# differed by a factor of up to 6 in networks that learnt, and of 80 or more in deep sigmoid networks that did not.
# Gradients were at most half as large as the weights in healthy networks, and nine times as large where they exploded.
VANISHING = 0.02  # gradient norm relative to that of the layer with the largest one
EXPLODING = 3.0  # root mean square of a gradient relative to that of the weights
DEAD = 0.5  # fraction of a layer's units
MIN_SAMPLES = 32  # no diagnosis with fewer
CHANCE = 2.0  # standard deviations of the fraction of the largest class, which is that of a few samples
RISING_EPOCHS = 5  # in a row with a validation loss far above the lowest; single ones may be noise
NOISE = 0.02  # fraction of the fall of the validation loss that counts as noise
LEARNING_FALL = 0.01  # relative fall of the loss in an epoch that shows learning


class GradientStats(NamedTuple):
    """The gradient of a parameter tensor: L2 norm, root mean square, largest magnitude, fraction of zeros.

    relative: root mean square relative to that of the parameters; inf if these are all zero.
    """

    norm: float
    rms: float
    largest: float
    zeros: float
    relative: float


def gradient_stats(
    net: Net, x: npt.ArrayLike | None = None, y: npt.ArrayLike | None = None
) -> dict[str, GradientStats]:
    """{"0.W": GradientStats(...), ...} for all parameters, from the last backward or for these samples."""
    if x is not None and y is not None:
        net.forward(x)
        net.loss(y)
        net.backward()
    stats = {}
    for name, gradient in net.gradients.items():
        rms, weights = _rms(gradient), _rms(net.tensors[name])
        zeros = float((gradient == 0).mean())
        norm, largest = rms * math.sqrt(gradient.size), float(np.abs(gradient).max())
        stats[name] = GradientStats(norm, rms, largest, zeros, rms / weights if weights else math.inf)
    return stats


def _rms(a: npt.NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(a, dtype=np.float64))))


class Diagnosis:
    """A callback that warns of problems in a training, of each kind once.

    It detects dead ReLUs, vanishing and exploding gradients, loss or accuracy at chance level, and overfitting. After
    each epoch it runs up to 256 training samples and does not change the training. warn: called with each message; the
    default is warnings.warn.
    """

    def __init__(self, warn: Callable[[str], object] | None = None) -> None:
        self._warn = warn or (lambda message: warnings.warn(message, RuntimeWarning, stacklevel=2))
        self._reported: set[str] = set()

    def on_epoch_end(self, run: Run) -> None:
        """Warns of new findings."""
        for kind, message in findings(run):
            if kind not in self._reported:
                self._reported.add(kind)
                self._warn(f"epoch {run.epoch}: {message}")


def findings(run: Run) -> Iterator[tuple[str, str]]:
    """All problems after an epoch, as (kind, message)."""
    probe = run.batches.probe()
    if probe is not None and len(probe[0]) >= MIN_SAMPLES:
        advice = "" if run.net._scale_known else unscaled(run.net, probe[0])
        yield from _with_scaling_first(_not_learning(run, *probe), advice)
    yield from _overfitting(run)


def _not_learning(run: Run, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> Iterator[tuple[str, str]]:
    yield from _dead_relus(run.net, x)
    yield from _gradients(run.net, x, y)
    yield from _guessing(run, y)


def _with_scaling_first(found: Iterator[tuple[str, str]], advice: str) -> Iterator[tuple[str, str]]:
    """If the inputs are not scaled, names that as the likely cause, and only the first finding."""
    for kind, message in found:
        if advice:
            yield "unscaled", f"{advice}; {message}"
            return
        yield kind, message


def _dead_relus(net: Net, x: npt.NDArray[Any]) -> Iterator[tuple[str, str]]:
    net.forward(x, training=False)
    for layer in net.layers:
        if layer.kind == "relu":
            units = layer.out_shape[0]  # of images: channels
            silent = int((layer.output.reshape(len(x), units, -1) <= 0).all(axis=(0, 2)).sum())
            if silent > DEAD * units:
                yield (
                    "dead",
                    f"layer {layer.path}, relu: {silent} of {units} units output 0 for each of {len(x)} samples "
                    "and no longer learn (dead ReLUs); try a smaller learning rate, or leaky_relu",
                )
                return


def _gradients(net: Net, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> Iterator[tuple[str, str]]:
    try:
        stats = gradient_stats(net, x, y)
    except FloatingPointError:  # the training raises it too
        return
    weights = {name: s for name, s in stats.items() if net.tensors[name].ndim > 1 and math.isfinite(s.relative)}
    if not weights:
        return
    worst = max(weights, key=lambda name: weights[name].relative)
    if weights[worst].relative > EXPLODING:
        yield (
            "exploding",
            f"layer {worst.rpartition('.')[0]}: the gradient of {worst} is {weights[worst].relative:.3g} times as "
            "large as the weights (it explodes); try clip_norm, init=he or xavier, a smaller learning rate, batchnorm",
        )
    least = min(weights, key=lambda name: weights[name].norm)
    most = max(weights, key=lambda name: weights[name].norm)
    share = weights[least].norm / weights[most].norm if weights[most].norm else 1.0
    if share < VANISHING:
        yield (
            "vanishing",
            f"layer {least.rpartition('.')[0]}: the gradient of {least} has {share:.1e} of the "
            f"norm of that of {most} (it vanishes); try relu in place of sigmoid or tanh, batchnorm, residual, "
            "fewer layers",
        )


def _guessing(run: Run, y: npt.NDArray[Any]) -> Iterator[tuple[str, str]]:
    """After two epochs the network should do better than one that has learnt nothing but how many classes there are, or
    the mean of the targets."""
    if run.net.task == "regression":
        yield from _no_better_than_the_mean(run)
    if run.net.task != "classes":
        return
    classes = math.prod(run.net.out_shape)
    labels = y if y.ndim == 1 else y.reshape(len(y), -1).argmax(axis=1)
    if len(run.history.loss) < 2 or classes < 2 or labels.dtype.kind not in "iu":
        return
    loss, log = run.history.loss, math.log(classes)
    if loss[-1] < (1 - LEARNING_FALL) * loss[-2]:  # it has started to learn: a warm-up may take some epochs
        return
    advice = "try another learning rate (--find-lr), check that each label belongs to its sample"
    share = np.bincount(labels.astype(np.int64)).max() / len(labels)
    noise = CHANCE * math.sqrt(share * (1 - share) / len(labels))
    if run.net.loss_name == "cross_entropy" and abs(loss[-1] - log) < 0.02 * log:
        yield "guessing", f"the loss is {loss[-1]:.4f}, log({classes}), that of guessing; {advice}"
    elif run.row["accuracy"] < min(1.2 * share, share + noise) and share < 0.8:
        right, largest = percent(run.row["accuracy"]), percent(float(share))
        yield (
            "guessing",
            f"the training accuracy is {right}, the largest class has {largest} of the samples: chance level; {advice}",
        )


def _no_better_than_the_mean(run: Run) -> Iterator[tuple[str, str]]:
    loss, explained = run.history.loss, run.row.get("r2", math.nan)
    if len(loss) >= 2 and loss[-1] >= (1 - LEARNING_FALL) * loss[-2] and explained <= 0:
        yield (
            "guessing",
            f"the training R2 is {explained:.4g}, and the mean of the targets for all has 0: it guesses; try another "
            "learning rate (--find-lr), standardize and rescale, check that each target belongs to its sample",
        )


def _overfitting(run: Run) -> Iterator[tuple[str, str]]:
    losses, train_losses = run.history.val_loss, run.history.loss
    best = min(range(len(losses)), key=losses.__getitem__, default=0)
    least = max(1.2 * losses[best], losses[best] + NOISE * (losses[0] - losses[best])) if losses else 0.0
    rises = len(losses) - best > RISING_EPOCHS and min(losses[-RISING_EPOCHS:]) > least
    if rises and train_losses[-1] < min(
        0.9 * train_losses[best], losses[-1]
    ):  # with dropout or augmentation, the training loss is often the higher one
        yield (
            "overfitting",
            f"the validation loss was lowest, {losses[best]:.4f}, after epoch {best + 1} and is {losses[-1]:.4f} now, "
            f"while the training loss fell from {train_losses[best]:.4f} to {train_losses[-1]:.4f}: overfitting; "
            "try --patience 3, dropout, weight decay, a smaller network, more data",
        )


def source_of_nonfinite(net: Net, x: npt.ArrayLike) -> str:
    """Which layer first gives a number that is not finite, for inputs (n, ...): ": layer 2, dense(64), outputs inf"."""
    net.forward(x)
    found = [layer for layer in net.layers if not np.isfinite(layer.output).all()]
    if not found:
        return ": the outputs are finite, but their loss is not"
    first = min(found, key=_order)
    output = first.output
    value = "nan" if np.isnan(output).any() else "inf"
    return f": layer {first.path}, {first.text}, outputs {value}"


def _order(layer: LayerView) -> list[float]:
    """The sort key for the order of computation: a residual comes after the layers inside it."""
    return [*(float(part) if part.isdigit() else 1e9 for part in layer.path.split(".")), 1e9 + 1]
