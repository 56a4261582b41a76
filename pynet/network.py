"""pynet.Network: a network with its training."""

from __future__ import annotations

import os

from pynet.model.evaluation import Evaluation, RegressionEvaluation
from pynet.model.net import Net, OptimizerState
from pynet.model.views import LayerView
from pynet.training import diagnose, scaling
from pynet.training import fit as training

__all__ = ["Evaluation", "LayerView", "Network", "OptimizerState", "RegressionEvaluation", "load"]


class Network(Net):
    """A network, built from its text or from layer objects; see pynet.layers.

    >>> net = Network("input(784) dense(128) relu dense(10) softmax", seed=0)

    x is (n, features), (n, channels, height, width) or, of one channel, (n, height, width), depending on input(...);
    with input(features), samples of any shape are flattened. uint8 means x/255; float32 and float64 are used unchanged.
    y is (n,) integer labels, or (n, outputs): one-hot rows for cross-entropy, any targets for squared error, (n,) for
    one output. What does not fit raises ValueError with the shape at hand and the one wanted. What y stands for,
    classes, several labels or numbers, decides what predict gives and what is measured: see task.
    """

    adapt = scaling.adapt
    fit = training.fit
    partial_fit = training.partial_fit
    gradient_stats = diagnose.gradient_stats


def load(path: str | os.PathLike[str]) -> Network:
    """Reads a model that save wrote. OSError: it cannot be read; ValueError: it is not a pynet model, or damaged."""
    return Network._load(path)
