"""Presets: what they stand for, that single options override them, and that they suit pictures of any size."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from helpers.command import results, run
from hypothesis import given
from hypothesis import strategies as st

from pynet import Network
from pynet.commands.presets import MIN_STEPS, PRESETS, layers_for
from pynet.commands.train_options import parse


@given(height=st.integers(1, 80), width=st.integers(1, 80), channels=st.integers(1, 3), classes=st.integers(2, 5))
def test_cnn_takes_pictures_of_any_size(height: int, width: int, channels: int, classes: int) -> None:
    layers = layers_for(PRESETS["cnn"], height, width)
    net = Network(f"input({channels},{height},{width}) {layers} dense({classes}) softmax")
    assert net.out_shape == (classes,)


def test_mnists_size_has_the_layers_as_they_are_told() -> None:
    assert layers_for(PRESETS["cnn"], 28, 28) == PRESETS["cnn"].layers


def test_large_pictures_are_pooled_until_they_are_small() -> None:
    net = Network(f"input(3,224,224) {layers_for(PRESETS['cnn'], 224, 224)} dense(10) softmax")
    assert net.parameters < 1_000_000


@pytest.mark.parametrize(("name", "least"), [("tutorial", 0.95), ("fast", 0.95), ("best", 0.96), ("cnn", 0.98)])
def test_presets_carry_over_to_the_small_digits(name: str, least: float) -> None:
    found = results("--dataset", "digits", "--preset", name, "--val-split", "0.1", "--save", "none")
    assert found["test_accuracy"] >= least
    assert len(found["epochs"]) > PRESETS[name].epochs  # few samples are gone through more often


def test_few_samples_get_more_epochs() -> None:
    fast = PRESETS["fast"]
    assert fast.epochs_for(60_000, 128) == fast.epochs
    assert fast.epochs_for(1_280, 128) == MIN_STEPS / 10
    assert fast.epochs_for(0, 128) == MIN_STEPS


def test_single_options_override() -> None:
    options = parse(["--epochs", "3", "--preset", "cnn", "--lr", "0.1", "--augment", "none", "--optimizer", "sgd"])
    assert (options.epochs, options.optimizer.learning_rate, options.augment) == (3, 0.1, None)
    assert (options.optimizer.kind, options.batch_size) == ("sgd", 100)
    found = results("--dataset", "digits", "--preset", "best", "--hidden", "20", "--epochs", "1", "--save", "none")
    assert found["net"] == "input(64) dense(20) relu dense(10) softmax"
    assert len(found["epochs"]) == 1
    own = "input(64) dense(10) softmax"
    assert results("--dataset", "digits", "--preset", "fast", "--net", own, "--epochs", "1")["net"] == own


def test_help_lists_them() -> None:
    text = io.StringIO()
    with redirect_stdout(text), pytest.raises(SystemExit):
        parse(["--help"])
    for name, preset in PRESETS.items():
        assert f"  {name} " in text.getvalue()
        assert preset.layers in text.getvalue() and preset.options in text.getvalue()


def test_cnn_needs_pictures() -> None:
    rows = np.arange(40).reshape(20, 2)
    Path("rows.csv").write_text("".join(f"{i % 2},{a},{b}\n" for i, (a, b) in enumerate(rows)))
    done = run("--data", "rows.csv", "--preset", "cnn")
    assert done.status == 2
    assert "--preset cnn takes pictures; these samples are rows of 2 numbers" in done.err
    assert "invalid choice: 'slow'" in run("--preset", "slow").err
