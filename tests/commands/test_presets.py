"""Presets: their options, which single options override, and networks for pictures of any size."""

from __future__ import annotations

import io
import math
from contextlib import redirect_stdout
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from helpers.command import results, run
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

import pynet
from pynet import Network
from pynet.commands.presets import MAX_EPOCHS, PRESETS, layers_for, without_dropout
from pynet.commands.train_options import parse
from pynet.training.trial import Trial


@given(height=st.integers(1, 80), width=st.integers(1, 80), channels=st.integers(1, 3), classes=st.integers(2, 5))
def test_cnn_takes_pictures_of_any_size(height: int, width: int, channels: int, classes: int) -> None:
    layers = layers_for(PRESETS["cnn"], height, width)
    net = Network(f"input({channels},{height},{width}) {layers} dense({classes}) softmax")
    assert net.out_shape == (classes,)


def test_mnists_size_has_the_documented_layers() -> None:
    assert layers_for(PRESETS["cnn"], 28, 28) == PRESETS["cnn"].layers


def test_large_pictures_are_pooled_until_they_are_small() -> None:
    net = Network(f"input(3,224,224) {layers_for(PRESETS['cnn'], 224, 224)} dense(10) softmax")
    assert net.parameters < 1_000_000


@pytest.mark.parametrize(("name", "least"), [("tutorial", 0.95), ("fast", 0.95), ("best", 0.96), ("cnn", 0.98)])
def test_presets_train_on_the_small_digits(name: str, least: float) -> None:
    found = results("--dataset", "digits", "--preset", name, "--val-split", "0.1", "--epochs", "30", "--save", "none")
    assert found["test_accuracy"] >= least


def test_steps_decide_the_length() -> None:
    fast = PRESETS["fast"]
    assert (fast.batch_size_for(60_000), fast.epochs_for(60_000, 128)) == (128, 5)
    assert (fast.batch_size_for(7_000), fast.epochs_for(7_000, 128)) == (128, 43)  # as many steps as on MNIST
    assert (fast.batch_size_for(96), fast.epochs_for(96, 16)) == (16, MAX_EPOCHS)
    assert fast.epochs_for(10**6, 128) == fast.epochs
    assert fast.epochs_for(0, 16) == MAX_EPOCHS
    for preset in (PRESETS["best"], PRESETS["cnn"]):  # a trial costs an epoch of MNIST, and never more than a fifth
        assert preset.epochs_for(60_000, preset.batch_size, "augmentation") == preset.epochs - 1
        assert preset.epochs_for(500, 31, "dropout") == MAX_EPOCHS * 4 / 5
    cnn = PRESETS["cnn"]  # without augmentation it would memorise
    assert [cnn.epochs_for(n, 100, "augmentation", False) for n in (60_000, 12_000, 3_000)] == [17, 15, 28]


@pytest.mark.parametrize("name", ["tutorial", "fast"])
def test_small_data_sets_get_more_epochs(name: str) -> None:
    found = results("--dataset", "digits", "--preset", name, "--save", "none")
    assert len(found["epochs"]) > PRESETS[name].epochs


def test_single_options_override() -> None:
    options = parse(["--epochs", "3", "--preset", "cnn", "--lr", "0.1", "--augment", "none", "--optimizer", "sgd"])
    assert (options.epochs, options.optimizer.learning_rate, options.augment) == (3, 0.1, None)
    assert (options.optimizer.kind, options.batch_size) == ("sgd", None)
    assert parse(["--preset", "cnn", "--batch-size", "7"]).batch_size == 7
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
    np.savez("rows.npz", x=np.arange(40).reshape(20, 2), y=np.arange(20) % 2)
    done = run("--data", "rows.npz", "--preset", "cnn")
    assert done.status == 2
    assert "--preset cnn takes pictures; these samples are rows of 2 numbers" in done.err
    assert "invalid choice: 'slow'" in run("--preset", "slow").err


# ---- trials before the training --------------------------------------------------------------------------------------


def save_bars(moved: bool) -> None:
    """Four classes: the row of a bar, which a shift would change, or the slope of a bar at any place."""
    rng = np.random.default_rng(0)
    y = np.arange(400) % 4
    pictures = []
    for label in y:
        picture = Image.fromarray(rng.integers(0, 60 if moved else 90, (28, 28)).astype(np.uint8))
        lean = math.radians(45 * label + rng.normal(0, 10)) if moved else 0.0
        x0, y0 = rng.integers(10, 19, 2) if moved else (14, 12 + label)
        across, down = 8 * math.cos(lean), 8 * math.sin(lean)
        ImageDraw.Draw(picture).line(
            [x0 - across, y0 - down, x0 + across, y0 + down], 255 if moved else 100, 1 + 2 * moved
        )
        pictures.append(np.asarray(picture))
    np.savez("bars.npz", x=np.stack(pictures), y=y)


QUICK = ("--preset", "best", "--data", "bars.npz", "--epochs", "2", "--hidden", "16")


@pytest.mark.parametrize("moved", [False, True])
def test_augmentation_is_kept_where_it_helps(folder: Path, moved: bool) -> None:
    save_bars(moved)
    done = run(*QUICK[:-2])
    assert done.status == 0
    net = pynet.load("bars.safetensors")
    trial = Trial.from_note(net.meta["trial"])
    assert trial.kept == moved
    assert (trial.accuracy > trial.accuracy_without) == moved
    assert "training  2 epochs, batches of 20, adam" in done.out
    end = "kept" if moved else "kept off"
    assert f"augmentation: tried on 240 samples for 12 epochs, {end}: validation " in done.out
    assert net.meta["augment"] == ("default" if moved else "none")
    again = run("--load", "bars.safetensors", "--epochs", "1")  # keeps what was decided, and tries nothing
    assert again.status == 0 and "tried on" not in again.out
    assert ("augmentation" in again.out) == moved


def test_a_trial_is_the_same_for_any_number_of_threads_and_not_repeated(folder: Path) -> None:
    save_bars(False)
    checkpoint = ("--checkpoint", "run.safetensors", "--save", "none")
    first = results(*QUICK, "--threads", "2", *checkpoint)
    alone = results(*QUICK, "--save", "none")
    assert first["trial"] == alone["trial"] and first["weights_sha256"] == alone["weights_sha256"]
    with mock.patch("pynet.commands.presets.try_out", side_effect=AssertionError):
        resumed = results(*QUICK, *checkpoint, "--resume")
    assert (resumed["trial"], resumed["weights_sha256"]) == (first["trial"], first["weights_sha256"])


def test_a_resumed_training_keeps_the_decision(folder: Path) -> None:
    save_bars(False)
    options = (*QUICK, "--save", "none")
    whole = results(*options)
    with mock.patch("pynet.training.checkpoint.CheckpointWriter.after_epoch", side_effect=KeyboardInterrupt):
        assert run(*options, "--checkpoint", "run.safetensors").status == 130
    resumed = results(*options, "--checkpoint", "run.safetensors", "--resume")
    assert (resumed["weights_sha256"], resumed["trial"]) == (whole["weights_sha256"], whole["trial"])
    assert len(resumed["epochs"]) == 2


def test_best_takes_rows_of_numbers(folder: Path) -> None:
    """A trial decides about dropout; a few exact numbers are learnt without it."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(700, 3)).astype(np.float32)
    np.savez("rows.npz", x=x, y=(3 * np.hypot(x[:, 0], x[:, 1])).astype(int).clip(0, 7))
    found = results("--data", "rows.npz", "--preset", "best", "--epochs", "2", "--save", "none")
    assert (found["trial"]["tried"], found["trial"]["kept"]) == ("dropout", False)
    assert found["net"] == "input(3) dense(512) relu dense(256) relu dense(8) softmax"
    own = results("--data", "rows.npz", "--preset", "best", "--hidden", "9", "--epochs", "2", "--save", "none")
    assert own["trial"] is None
    fast = run("--data", "rows.npz", "--preset", "fast", "--epochs", "1", "--save", "none").out
    assert "adam, learning rate 0.005, weight decay 0.8929, schedule onecycle" in fast  # 500 / 560 training rows


def test_text_without_dropout() -> None:
    assert without_dropout("dense(3) relu dropout(0.3) dense(2)") == "dense(3) relu dense(2)"
