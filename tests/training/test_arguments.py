"""Short forms of arguments that fit accepts, and errors that name what is accepted."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from helpers.clusters import SPEC, X, Y

import pynet
from pynet import Adam, Diagnosis, Network, data, find_lr
from pynet.schedules import Cosine

XOR = [[0, 0], [0, 1], [1, 0], [1, 1]]


def fit(**options: Any) -> tuple[Any, str]:
    net = Network(SPEC)
    history = net.fit(X, Y, epochs=3, **options)
    return {name: values for name, values in vars(history).items() if name != "seconds"}, net.weights_sha256()


def accuracy_of(y: Any, p: Any) -> float:
    return float((p.argmax(axis=1) == y).mean())


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ({"optimizer": "adam"}, {"optimizer": Adam()}),
        ({"schedule": "cosine"}, {"schedule": Cosine()}),
        ({"validation": 0.2}, {"validation_split": 0.2}),
        ({"validation": [X, Y]}, {"validation": (X, Y)}),
        ({"validation": 0.2, "metrics": [accuracy_of]}, {"validation": 0.2, "metrics": {"accuracy_of": accuracy_of}}),
        ({"validation": 0.2, "metrics": accuracy_of}, {"validation": 0.2, "metrics": {"accuracy_of": accuracy_of}}),
        ({"callbacks": Diagnosis(print)}, {"callbacks": [Diagnosis(print)]}),
        ({"batch_size": np.int64(16)}, {"batch_size": 16}),
    ],
)
def test_short_forms(short: dict[str, Any], full: dict[str, Any]) -> None:
    assert fit(**short) == fit(**full)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"early_stopping": 3}, "early_stopping is 3; accepted: pynet.EarlyStopping(patience=3)"),
        ({"checkpoint": "a.safetensors"}, "checkpoint is 'a.safetensors'; accepted: pynet.Checkpoint("),
        ({"batch_size": 16.0}, "batch_size is 16.0; accepted: a whole number, 1 or more"),
        ({"batch_size": None}, "batch_size is None; accepted: a whole number, 1 or more"),
        ({"batch_size": True}, "batch_size is True; accepted: a whole number, 1 or more"),
        ({"epochs": "3"}, "epochs is '3'; accepted: a whole number, 0 or more"),
        ({"seed": 1.5}, "seed is 1.5; accepted: a whole number, 0 to 2^64 - 1"),
        ({"schedule": 3}, "schedule is 3; accepted: a pynet.schedules.Schedule, or a text such as 'cosine'"),
        ({"optimizer": 0.1}, "optimizer is 0.1; accepted: SGD(), "),
        ({"validation": X}, "accepted: (x, y), (x, y, sample_weight), or a fraction of the samples from 0 to below 1"),
        ({"metrics": ["accuracy"]}, "metrics is ['accuracy']; accepted: {'f1': f} or [f], with functions f(y, p)"),
        ({"metrics": "f1"}, "metrics is 'f1'; accepted: {'f1': f} or [f]"),
        ({"callbacks": 3}, "callback 3 has none of the methods on_train_begin, "),
        ({"verbose": "no"}, "verbose is 'no'; accepted: 'auto', 0 or 1"),
    ],
)
def test_other_types_are_named_with_what_is_accepted(options: dict[str, Any], message: str) -> None:
    net = Network(SPEC)
    before = net.weights_sha256()
    with pytest.raises(TypeError, match=re.escape(message)):
        net.fit(X, Y, **({"epochs": 1} | options))
    assert net.weights_sha256() == before


def test_a_fraction_for_validation_is_below_one() -> None:
    with pytest.raises(
        ValueError, match=r"validation is 1\.5; accepted: \(x, y\), \(x, y, sample_weight\), or a fraction"
    ):
        Network(SPEC).fit(X, Y, validation=1.5)


def test_lists_and_whole_numbers() -> None:
    """Lists and integers 0 and 1 are used unchanged, for example XOR."""
    nets = [Network("input(2) dense(8) tanh dense(2) softmax", seed=1) for _ in range(3)]
    for net, x in zip(nets, (XOR, np.array(XOR), np.array(XOR, np.float32)), strict=True):
        net.fit(x, [0, 1, 1, 0], epochs=300, batch_size=4, optimizer=Adam(0.03), validation=(x, [0, 1, 1, 0]))
        assert net.predict(x).tolist() == [0, 1, 1, 0]
    assert len({net.weights_sha256() for net in nets}) == 1
    batches, whole = [Network("input(2) dense(2) softmax") for _ in range(2)]
    batches.fit([(XOR, [0, 1, 1, 0])], epochs=3)
    whole.fit(XOR, [0, 1, 1, 0], epochs=3)
    assert batches.predict(XOR).tolist() == whole.predict(XOR).tolist()


def test_labels_in_a_column_and_as_truth_values() -> None:
    two = Y % 2
    found = []
    for y in (two, two[:, None], two.astype(bool), two.astype(bool)[:, None], two.tolist()):
        net = Network("input(6) dense(2) softmax")
        found.append((net.fit(X, y, epochs=2, validation=(X, y)).val_loss, net.weights_sha256()))
    assert all(result == found[0] for result in found)
    with pytest.raises(ValueError, match="labels run from 0 to 1; this network takes 0 to 0"):
        Network("input(6) dense(1) softmax").fit(X, two.astype(bool))


def test_whole_numbers_that_may_be_pixels_are_refused() -> None:
    """For a network trained on bytes they would be 255 times too large."""
    digits = data.load("digits")
    net = Network("input(64) dense(10) softmax")
    with pytest.raises(ValueError, match=r"from 0 to 255; are they pixels\? Accepted: x\.astype\(np\.uint8\), which"):
        net.fit(digits.x_train.astype(int), digits.y_train)
    net.fit(digits.x_train, digits.y_train, epochs=1)
    for x in (digits.x_test.astype(int), digits.x_test.astype(int) // 4):
        with pytest.raises(ValueError, match="x has dtype int64; accepted: uint8"):
            net.predict(x)


def test_find_lr_takes_lists_and_names() -> None:
    net = Network(SPEC)
    assert find_lr(net, [X, Y], optimizer="adam") == find_lr(net, (X, Y), optimizer=Adam())
    with pytest.raises(TypeError, match=r"accepted: \(x, y\) or a pynet\.data\.Dataset"):
        find_lr(net, X)  # type: ignore[arg-type]


def test_seed_and_layers() -> None:
    with pytest.raises(TypeError, match="seed is None; accepted: a whole number"):
        Network(SPEC, seed=None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"a layer is the class ReLU; accepted: an instance, ReLU\(\.\.\.\)"):
        Network([pynet.Input(3), pynet.ReLU, pynet.Dense(2)])  # type: ignore[list-item]
