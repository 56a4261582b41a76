"""Training in WebAssembly gives the weights that Python gives, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import ROOT
from wasm.module import Core, compiled

from pynet import SGD, Adam, AdamW, Momentum, Nesterov, Network, RMSProp, data

OPTIMIZERS = {"sgd": SGD, "momentum": Momentum, "nesterov": Nesterov, "rmsprop": RMSProp, "adam": Adam, "adamw": AdamW}


def assert_same_training(core: Core, text: str, x: Any, labels: Any, kind: str, rate: float, epochs: int) -> None:
    """Trains both in batches of 64 and compares losses and weights."""
    mine, yours = core.net(text, 3), Network(text, seed=3)
    assert mine.sha256() == yours.weights_sha256()
    found = yours.fit(x, labels, epochs=epochs, batch_size=64, optimizer=OPTIMIZERS[kind](rate), verbose=False)
    losses = []
    for epoch in range(epochs):
        core.data(x, labels)
        losses.append(mine.train(core.shuffle(len(x), 3, epoch), 64, kind, rate))
    assert mine.sha256() == yours.weights_sha256()
    assert losses == list(found.loss)
    assert losses[-1] < losses[0]
    assert np.array_equal(mine.predict(x[:70]), yours.predict_proba(x[:70]))


@pytest.mark.parametrize("variant", ["relaxed", "simd"])
def test_a_module_is_small_and_imports_nothing(variant: str) -> None:
    _, module = compiled(variant)
    assert [entry.name for entry in module.imports] == []
    assert 100_000 < (ROOT / "pynet" / "play" / f"pynet-{variant}.wasm").stat().st_size < 220_000


def test_xor(core: Core) -> None:
    x, labels = np.float32([[0, 0], [0, 1], [1, 0], [1, 1]]), np.int32([0, 1, 1, 0])
    assert_same_training(core, "input(2) dense(16) tanh dense(2) softmax", x, labels, "adam", 0.05, 40)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_optimizers(core: Core, kind: str) -> None:
    digits = data.load("digits")
    text = "input(64) dense(33) gelu dense(10) softmax"
    assert_same_training(core, text, digits.x_train, digits.y_train, kind, 0.002, 3)


def test_dropout_and_batchnorm(core: Core) -> None:
    digits = data.load("digits")
    text = "input(64) dense(40) batchnorm relu dropout(0.3) residual(dense(40) layernorm sigmoid) dense(10) softmax"
    assert_same_training(core, text, digits.x_train, digits.y_train, "adam", 0.003, 4)


def test_convolutions(core: Core) -> None:
    digits = data.load("digits")
    text = "input(1,8,8) conv(8,3,pad=same) relu maxpool(2) conv(12,3) batchnorm relu globalavgpool dense(10) softmax"
    assert_same_training(core, text, digits.x_train, digits.y_train, "momentum", 0.02, 3)


@pytest.mark.mnist
@pytest.mark.parametrize(
    ("text", "kind", "rate", "n"),
    [
        ("input(784) dense(128) relu dense(64) relu dense(10) softmax", "momentum", 0.01, 5000),
        ("input(784) standardize dense(64) tanh dense(10) softmax", "adam", 0.001, 2000),
        ("input(1,28,28) conv(8,5) relu maxpool(2) conv(16,5) relu maxpool(2) dense(10) softmax", "adam", 0.002, 1000),
    ],
)
def test_mnist(core: Core, mnist: Any, text: str, kind: str, rate: float, n: int) -> None:
    assert_same_training(core, text, mnist.x_train[:n], mnist.y_train[:n], kind, rate, 2)
