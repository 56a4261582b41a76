"""scikit-learn: MLPClassifier with plain SGD; partial_fit is one epoch."""

from __future__ import annotations

import numpy as np
from sklearn.neural_network import MLPClassifier

from bench.peers import LEARNING_RATE, Array, Weights, to_float


class SklearnNet:
    """Float32 data keeps the whole computation in float32."""

    def __init__(self, weights: Weights) -> None:
        self.model = MLPClassifier(
            [W.shape[1] for W, _ in weights[:-1]],
            batch_size=1,
            solver="sgd",
            alpha=0.0,
            learning_rate_init=LEARNING_RATE,
            momentum=0.0,
            nesterovs_momentum=False,
            random_state=0,
        )
        classes = np.arange(weights[-1][0].shape[1])
        sample = np.zeros((1, weights[0][0].shape[0]), np.float32)
        self.model.partial_fit(sample, classes[:1], classes=classes)  # only now there are weights to replace
        for W, b, (first_W, first_b) in zip(self.model.coefs_, self.model.intercepts_, weights, strict=True):
            W[...], b[...] = first_W, first_b  # in place: its optimizer holds these arrays

    def load(self, x: Array, y: Array) -> None:
        self.x, self.y = to_float(x), y

    def epoch(self, batch: int, order: Array | None = None) -> None:
        self.model.batch_size = batch
        self.model.partial_fit(self.x, self.y)

    def weights(self) -> Weights:
        return [(W.copy(), b.copy()) for W, b in zip(self.model.coefs_, self.model.intercepts_, strict=True)]

    def ready(self, x: Array) -> Array:
        return to_float(x)

    def predict(self, x: Array) -> Array:
        return np.asarray(self.model.predict(x))
