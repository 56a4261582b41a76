"""Keras on JAX: Sequential, compile, fit."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "jax"  # read at the import

import keras
import numpy as np

from bench.peers import LEARNING_RATE, Array, Weights, to_float


class KerasNet:
    """As its guides write it; `fit` shuffles."""

    def __init__(self, weights: Weights) -> None:
        keras.utils.set_random_seed(0)
        hidden = [keras.layers.Dense(W.shape[1], activation="relu") for W, _ in weights[:-1]]
        features, outputs = weights[0][0].shape[0], weights[-1][0].shape[1]
        self.model = keras.Sequential([keras.Input((features,)), *hidden, keras.layers.Dense(outputs)])
        self.model.set_weights([array for pair in weights for array in pair])
        self.model.compile(
            optimizer=keras.optimizers.SGD(LEARNING_RATE),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )

    def load(self, x: Array, y: Array) -> None:
        self.x, self.y = to_float(x), y

    def epoch(self, batch: int, order: Array | None = None) -> None:
        self.model.fit(self.x, self.y, batch_size=batch, epochs=1, shuffle=True, verbose=0)

    def weights(self) -> Weights:
        arrays = self.model.get_weights()
        return list(zip(arrays[::2], arrays[1::2], strict=True))

    def ready(self, x: Array) -> Array:
        return to_float(x)

    def predict(self, x: Array) -> Array:
        """One row by calling the model, which is much faster than model.predict for so few."""
        scores = self.model(x) if len(x) == 1 else self.model.predict(x, batch_size=len(x), verbose=0)
        return np.asarray(np.asarray(scores).argmax(axis=1))
