"""How far a sample is from the training samples, measured in the last hidden layer: softmax is confident of anything.

The relative Mahalanobis distance (J. Ren et al. 2021): that to the samples of the predicted class, less that to all
samples, each in their own covariance. With S the covariance within the classes and B that between their means,

    d(h) = (h - m_c)' S^-1 (h - m_c) - (h - m)' (S + B)^-1 (h - m).

B has a rank below the number of classes, and outside of its space both terms are the same: the coordinates of linear
discriminant analysis (R. Fisher 1936) are all that is needed, z = A' (h - m) with A' S A = 1 and A' B A = diag(l):

    d(z) = sum (z - z_c)^2 - sum z^2 / (1 + l).

What is far is decided by samples that the network has not learnt from: farther than FAR of those of its class.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pynet.model.net import Net
from pynet.text import parsed_json, reading_note, require

NOTE = "novelty"  # the key among the notes of a model file
FAR = 0.98  # the fraction of samples of a class that are nearer
MAX_SAMPLES = 5000  # that are measured
MAX_UNITS = 1024  # of the hidden layer
MAX_NUMBERS = 7500  # in a note: 40 kB
LEAST = 20  # samples of a class that have a limit of their own
ROWS = 500  # samples in one call
RIDGE = 1e-3  # of the mean variance, added to the covariance

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Novelty:
    """What is known of the last hidden layer: h (units), in z (rank) coordinates, of so many classes.

    mean (units), axes (units, rank): z = (h - mean) @ axes; centres (classes, rank); spread (rank): l above; limits
    (classes): what is farther is far.
    """

    mean: Floats
    axes: Floats
    centres: Floats
    spread: Floats
    limits: Floats

    def distances(self, hidden: Floats, classes: npt.NDArray[np.intp]) -> Floats:
        """The distances (n) of activations (n, units) from the samples of these classes (n)."""
        z = (hidden - self.mean) @ self.axes
        return np.asarray(((z - self.centres[classes]) ** 2).sum(axis=1) - (z**2 / (1 + self.spread)).sum(axis=1))

    def far(self, net: Net, x: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Which of the samples x (n, ...) are far from the training samples of the class predicted for them."""
        hidden, classes = _forward(net, x)
        return np.asarray(~(self.distances(hidden, classes) <= self.limits[classes]))

    def note(self, net: Net) -> str:
        """The text for a note in a model file; it is valid for these weights alone."""
        parts = (self.mean, self.axes, self.centres, self.spread, self.limits)
        values = np.concatenate([part.ravel() for part in parts]).astype("<f4")
        shape = [*self.axes.shape, len(self.centres)]
        text = base64.b64encode(values.tobytes()).decode()
        return json.dumps({"shape": shape, "weights": net.weights_sha256(), "values": text})


def measured(
    net: Net,
    x: npt.NDArray[Any],
    y: npt.NDArray[np.intp],
    x_test: npt.NDArray[Any],
) -> Novelty | None:
    """The novelty of a network that learnt the samples x (n, ...) with classes y (n); limits by the samples x_test.

    None where it cannot be measured: no hidden layer or one that is too wide, too few samples, outputs that are not
    finite.
    """
    chosen = _some(len(x))
    x, y = x[chosen], y[chosen]
    classes, count = np.unique(y, return_counts=True)
    if _hidden_index(net) is None or len(classes) < 2 or len(x) < 2 * len(classes):
        return None
    hidden = _forward(net, x)[0].astype(np.float64)
    mean, units = hidden.mean(axis=0), hidden.shape[1]
    if units > MAX_UNITS or not np.isfinite(hidden).all():
        return None
    means = np.stack([hidden[y == c].mean(axis=0) for c in classes])
    within = hidden - means[np.searchsorted(classes, y)]
    covariance = within.T @ within / len(x)
    if not np.trace(covariance) > 0:
        return None
    covariance += RIDGE * np.trace(covariance) / units * np.eye(units)
    inverse = np.linalg.inv(np.linalg.cholesky(covariance))
    axes, root, _ = np.linalg.svd(inverse @ (np.sqrt(count / len(x))[:, None] * (means - mean)).T, full_matrices=False)
    outputs = net.out_shape[0] if len(net.out_shape) == 1 and net.out_shape[0] > 1 else 2
    rank = min(len(classes) - 1, units, (MAX_NUMBERS - units - outputs) // (units + outputs + 1))
    if rank < 1:
        return None
    axes = inverse.T @ axes[:, :rank]
    centres = np.zeros((outputs, rank))
    centres[classes] = (means - mean) @ axes
    found = Novelty(*(np.asarray(a, np.float32) for a in (mean, axes, centres, root[:rank] ** 2, np.zeros(outputs))))
    seen = x_test[_some(len(x_test))] if len(x_test) >= LEAST else x
    activations, predicted = _forward(net, seen)
    distance = found.distances(activations, predicted)
    usual = np.quantile(distance, FAR)
    own = [distance[predicted == c] for c in range(outputs)]
    limits = [np.quantile(d, FAR) if len(d) >= LEAST else usual for d in own]
    return Novelty(found.mean, found.axes, found.centres, found.spread, np.asarray(limits, np.float32))


def of(net: Net) -> Novelty | None:
    """The novelty in the network's note(); None if it has none, or the weights have changed since.

    ValueError: the note is damaged.
    """
    text = net.meta.get(NOTE)
    if text is None:
        return None
    with reading_note("distances from its training samples", text):
        note = parsed_json(text)
        units, rank, classes = note["shape"]
        require(all(type(size) is int for size in (units, rank, classes)))
        values = np.frombuffer(base64.b64decode(note["values"], validate=True), "<f4")
        sizes = [units, units * rank, classes * rank, rank, classes]
        require(min(units, rank, classes) > 0 and sum(sizes) == len(values) and bool(np.isfinite(values).all()))
        weights = note["weights"]
    if weights != net.weights_sha256():
        return None
    mean, axes, centres, spread, limits = np.split(values.astype(np.float32), np.cumsum(sizes)[:-1])
    found = Novelty(mean, axes.reshape(units, rank), centres.reshape(classes, rank), spread, limits)
    return found if _units(net) == units else None


def _some(count: int) -> npt.NDArray[np.intp]:
    """The places of at most MAX_SAMPLES of so many samples, which may lie in the order of their classes."""
    return np.sort(np.random.default_rng(0).permutation(count)[:MAX_SAMPLES])


def _hidden_index(net: Net) -> int | None:
    """The place among net.layers of the layer before the last dense one; None: that is the first."""
    layers = [i for i, layer in enumerate(net.layers) if "." not in layer.path]
    last = max((k for k, i in enumerate(layers) if net.layers[i].kind == "dense"), default=0)
    return layers[last - 1] if last else None


def _units(net: Net) -> int:
    index = _hidden_index(net)
    return 0 if index is None else int(np.prod(net.layers[index].out_shape))


def _forward(net: Net, x: npt.NDArray[Any]) -> tuple[Floats, npt.NDArray[np.intp]]:
    """The activations (n, units) of the last hidden layer for samples x (n, ...), and the classes (n) predicted."""
    index = _hidden_index(net)
    assert index is not None
    hidden, classes = [], []
    for i in range(0, len(x), ROWS):
        with net._lock:  # no other thread's forward may come between
            outputs = net.forward(x[i : i + ROWS], training=False)
            hidden.append(net.layers[index].output.reshape(len(outputs), -1))
        outputs = outputs.reshape(len(outputs), -1)
        classes.append(outputs.argmax(axis=1) if outputs.shape[1] > 1 else (outputs[:, 0] > 0.5).astype(np.intp))
    return np.concatenate(hidden), np.concatenate(classes)
