"""The warning of inputs that are not scaled: fit and partial_fit give it to new networks, as estimators do."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pynet import Network
from pynet.model.csr import CSR

RNG = np.random.default_rng(0)
X = RNG.normal(0, 1, (600, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int32)
PLAIN = "input(4) dense(3) relu dense(2) softmax"
FLAGS = (X > 0).astype(np.uint8)


def warned(net: Network, x: Any, method: str = "fit", y: Any = Y, **options: Any) -> list[str]:
    """The messages of the warnings of a training, each of which must point at this file."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        getattr(net, method)(x, y, batch_size=100, optimizer="adam", **options)
    assert all(one.filename == __file__ and one.category is UserWarning for one in found)
    return [str(one.message) for one in found]


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_new_network_warns_once_of_unscaled_inputs(method: str) -> None:
    net, x = Network(PLAIN), X * [1, 1, 500, 1]
    [message] = warned(net, x, method)
    assert message.startswith("x is not scaled: the root mean square of feature 2 is ")
    assert message.endswith("far above 1; a layer standardize, fitted by adapt, scales it")
    assert warned(net, x, method) == []
    standardized = Network("input(4) standardize dense(3) relu dense(2) softmax")
    standardized.adapt(x)
    assert warned(standardized, x, method) == []


def test_the_warning_is_of_whatever_holds_samples(tmp_path: Path) -> None:
    x = (X * 100).astype(np.float32)
    rows, columns = np.arange(0, 4 * len(x) + 1, 4), np.tile(np.arange(4), len(x))
    sparse = CSR(x.ravel(), columns.astype(np.int32), rows.astype(np.int64), x.shape)
    np.save(tmp_path / "x.npy", x)
    forms: list[Any] = [x.tolist(), x.astype(np.float64), pd.DataFrame(x), sparse]
    for form in (*forms, tmp_path / "x.npy", np.load(tmp_path / "x.npy", "r")):
        assert [message[:15] for message in warned(Network(PLAIN), form)] == ["x is not scaled"]
    assert [message[:15] for message in warned(Network(PLAIN), x, window=200)] == ["x is not scaled"]
    pictures = np.stack([X.reshape(-1, 2, 2), X.reshape(-1, 2, 2) * 50], axis=1)
    [message] = warned(Network("input(2,2,2) conv(2,1) dense(2) softmax"), pictures)
    assert "of channel 1 is" in message


def test_bytes_that_are_flags_get_a_warning() -> None:
    expected = "x is uint8, which means x/255, and holds nothing above 1: flags? As float32 they are 0 and 1"
    assert warned(Network(PLAIN), FLAGS) == [expected]
    assert warned(Network(PLAIN), FLAGS.astype(np.float32)) == []


@pytest.mark.parametrize(
    ("text", "x"),
    [
        (PLAIN, (FLAGS * 255)),
        (PLAIN, FLAGS * 0),
        (PLAIN, np.where(np.arange(2400).reshape(600, 4) == 13, 2, FLAGS).astype(np.uint8)),  # in no sampled row
        (PLAIN, FLAGS * np.float32(16)),
        (PLAIN.replace("dense(3)", "batchnorm dense(3)"), X * 500),
        ("input(1,2,2) flatten batchnorm dense(2) softmax", X.reshape(-1, 2, 2) * 500),
    ],
)
def test_no_false_alarm(text: str, x: Any) -> None:
    assert warned(Network(text), x) == []
