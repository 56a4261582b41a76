"""What goes wrong in a training, in words: where it comes from, and what to try."""

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

# Where to draw the line, tried on dense networks of 1 to 10 layers, healthy and sick, on digits. The norms of the
# gradients of two layers differed by a factor of up to 6 where the network learnt, of 80 and more where deep sigmoids
# did not; gradients reached half of the weights in healthy networks, nine times the weights in exploding ones.
VANISHING = 0.02  # of the largest norm of a layer's gradient
EXPLODING = 3.0  # times the weights
DEAD = 0.5  # of a layer's units
FEWEST = 32  # samples to judge by
UNSCALED = 5.0  # root mean square of inputs; scaled ones have about 1
RISES = 5  # epochs in a row with a validation loss far above the lowest: large steps make it jump
NOISE = 0.02  # of what the validation loss has fallen
FALLS = 0.01  # of itself: a loss that falls by this in an epoch is no longer that of guessing


class GradientStats(NamedTuple):
    """The gradient of one tensor of parameters: norm (root of the sum of squares), root mean square, largest magnitude,
    share of zeros, and the root mean square relative to that of the parameters (inf if they are all zero)."""

    norm: float
    rms: float
    largest: float
    zeros: float
    relative: float


def gradient_stats(
    net: Net, x: npt.ArrayLike | None = None, y: npt.ArrayLike | None = None
) -> dict[str, GradientStats]:
    """For each tensor of parameters, {"0.W": GradientStats(...), ...}: of the last backward, or of these samples."""
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
    """A callback that says what goes wrong, each thing at most once.

    That is: dead ReLUs, gradients that vanish or explode, a loss or an accuracy that is still that of guessing, and
    over-fitting. It looks at up to 256 of the training samples after each epoch and changes nothing. say gets each
    warning; the usual one is warnings.warn.
    """

    def __init__(self, say: Callable[[str], object] | None = None) -> None:
        self._say = say or (lambda message: warnings.warn(message, RuntimeWarning, stacklevel=2))
        self._said: set[str] = set()

    def on_epoch_end(self, run: Run) -> None:
        """Says what is new."""
        for kind, message in findings(run):
            if kind not in self._said:
                self._said.add(kind)
                self._say(f"epoch {run.epoch}: {message}")


def findings(run: Run) -> Iterator[tuple[str, str]]:
    """All that is wrong after an epoch, as (kind, message)."""
    probe = run.feed.probe()
    if probe is not None and len(probe[0]) >= FEWEST:
        yield from _with_their_cause(_does_not_learn(run, *probe), scaling_advice(run.net, probe[0]))
    yield from _over_fitting(run)


def _does_not_learn(run: Run, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> Iterator[tuple[str, str]]:
    yield from _dead_relus(run.net, x)
    yield from _gradients(run.net, x, y)
    yield from _guessing(run, y)


def _with_their_cause(found: Iterator[tuple[str, str]], advice: str) -> Iterator[tuple[str, str]]:
    """Where the inputs are not scaled, that comes first, and all else is likely to come from it."""
    for kind, message in found:
        if advice:
            yield "unscaled", f"{advice}; {message}"
            return
        yield kind, message


def scaling_advice(net: Net, x: npt.NDArray[Any]) -> str:
    """What to say first of inputs (n, ...) that are far from 0..1 and from deviation 1; "" of others, and of bytes."""
    scaled = x.dtype == np.uint8 or net.layers[0].kind == "standardize"
    if scaled or not x.size or not np.isfinite(x).all():
        return ""
    if _rms(x) < UNSCALED:
        return ""
    return f"the inputs run from {x.min():g} to {x.max():g}: scale them first, to 0..1 or to mean 0 and deviation 1"


def _dead_relus(net: Net, x: npt.NDArray[Any]) -> Iterator[tuple[str, str]]:
    net.forward(x, training=False)
    for layer in net.layers:
        if layer.kind == "relu":
            units = layer.out_shape[0]  # of images: channels
            silent = int((layer.output.reshape(len(x), units, -1) <= 0).all(axis=(0, 2)).sum())
            if silent > DEAD * units:
                yield (
                    "dead",
                    f"layer {layer.path}, relu: {silent} of {units} units put out 0 for each of {len(x)} samples "
                    "and learn no more; try a smaller learning rate, or leaky_relu",
                )
                return


def _gradients(net: Net, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> Iterator[tuple[str, str]]:
    try:
        stats = gradient_stats(net, x, y)
    except FloatingPointError:  # the training itself will notice
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
    if loss[-1] < (1 - FALLS) * loss[-2]:  # it has begun to learn: a warm-up may take some epochs
        return
    advice = "try another learning rate (--find-lr), check that each label belongs to its sample"
    share = np.bincount(labels.astype(np.int64)).max() / len(labels)
    if run.net.loss_name == "cross_entropy" and abs(loss[-1] - log) < 0.02 * log:
        yield "guessing", f"the loss is {loss[-1]:.4f}, log({classes}), as if the network guessed; {advice}"
    elif run.row["accuracy"] < 1.2 * share and share < 0.8:
        right, largest = percent(run.row["accuracy"]), percent(float(share))
        yield "guessing", f"the training accuracy is {right}, and the largest class has {largest}: it guesses; {advice}"


def _no_better_than_the_mean(run: Run) -> Iterator[tuple[str, str]]:
    loss, explained = run.history.loss, run.row.get("r2", math.nan)
    if len(loss) >= 2 and loss[-1] >= (1 - FALLS) * loss[-2] and explained <= 0:
        yield (
            "guessing",
            f"the training R2 is {explained:.4g}, and the mean of the targets for all has 0: it guesses; try another "
            "learning rate (--find-lr), standardize and rescale, check that each target belongs to its sample",
        )


def _over_fitting(run: Run) -> Iterator[tuple[str, str]]:
    losses, own = run.history.val_loss, run.history.loss
    best = min(range(len(losses)), key=losses.__getitem__, default=0)
    least = max(1.2 * losses[best], losses[best] + NOISE * (losses[0] - losses[best])) if losses else 0.0
    rises = len(losses) - best > RISES and min(losses[-RISES:]) > least
    if rises and own[-1] < min(
        0.9 * own[best], losses[-1]
    ):  # with dropout or augmentation, training is the harder part
        yield (
            "over-fitting",
            f"the validation loss was lowest, {losses[best]:.4f}, after epoch {best + 1} and is {losses[-1]:.4f} now, "
            f"while the training loss fell from {own[best]:.4f} to {own[-1]:.4f}: it over-fits; try --patience 3, "
            "dropout, weight decay, a smaller network, more data",
        )


def source_of_nonfinite(net: Net, x: npt.ArrayLike) -> str:
    """Where a loss that is not finite comes from, for these inputs (n, ...): ": layer 2, dense(64), puts out inf"."""
    net.forward(x)
    found = [layer for layer in net.layers if not np.isfinite(layer.output).all()]
    if not found:
        return ": the outputs are finite, the loss of them is not"
    first = min(found, key=_order)
    output = first.output
    value = "nan" if np.isnan(output).any() else "inf"
    return f": layer {first.path}, {first.text}, puts out {value}"


def _order(layer: LayerView) -> list[float]:
    """Sorts layers as they are computed: a residual comes after those in it."""
    return [*(float(part) if part.isdigit() else 1e9 for part in layer.path.split(".")), 1e9 + 1]
