"""`pynet train`: its options about optimizers, schedules and losses."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.command import results, run

from pynet import AdamW, Augment, Network, data, load
from pynet.schedules import StepDecay


def test_the_command_trains_as_fit_does() -> None:
    options = "--dataset digits --epochs 4 --optimizer adamw --beta1 0.8 --lr 0.002 --weight-decay 0.1 --clip-norm 1"
    found = results(*options.split(), *["--schedule", "step(every=2)", "--warmup", "1", "--label-smoothing", "0.1"])
    digits = data.load("digits")
    net = Network("input(64) dense(128) relu dense(64) relu dense(10) softmax loss(cross_entropy,smoothing=0.1)")
    optimizer = AdamW(0.002, beta1=0.8, weight_decay=0.1, clip_norm=1)
    net.fit(digits.x_train, digits.y_train, epochs=4, optimizer=optimizer, schedule=StepDecay(2, warmup=1))
    assert found["weights_sha256"] == net.weights_sha256()
    notes = load("digits.safetensors").meta
    assert (notes["optimizer"], notes["learning_rate"]) == ("adamw", "0.002")
    assert notes["schedule"] == "step(warmup=1,every=2)"


def test_the_command_augments_as_fit_does() -> None:
    found = results("--dataset", "digits", "--epochs", "2", "--augment", "shift=0.5,elastic=0")
    digits = data.load("digits")
    net = Network("input(64) dense(128) relu dense(64) relu dense(10) softmax")
    net.fit(digits.x_train, digits.y_train, epochs=2, augment=Augment(shift=0.5, elastic=0))
    assert found["weights_sha256"] == net.weights_sha256()
    assert load("digits.safetensors").meta["augment"] == "shift=0.5,elastic=0"
    plain = results("--dataset", "digits", "--epochs", "2", "--augment", "none")
    assert plain["weights_sha256"] != found["weights_sha256"]
    assert load("digits.safetensors").meta["augment"] == "none"


def test_augmentation_needs_pictures() -> None:
    Path("rows.csv").write_text("label,a,b\n" + "".join(f"{i % 2},{i},{i * 7 % 5}\n" for i in range(20)))
    done = run("--data", "rows.csv", "--augment")
    assert done.status == 2
    assert "--augment changes pictures; the samples of rows are rows of 2" in done.err
    assert "'turn=3'; accepted: shift=NUMBER" in run("--augment", "turn=3").err


def test_the_default_learning_rate_is_the_optimizers() -> None:
    done = run("--dataset", "digits", "--epochs", "1", "--optimizer", "adam", "--schedule", "cosine")
    assert "1 epoch, batches of 64, adam, learning rate 0.001, schedule cosine, loss cross_entropy" in done.out
    assert load("digits.safetensors").meta["learning_rate"] == "0.001"


def test_binary_cross_entropy_for_each_class() -> None:
    found = results("--dataset", "digits", "--epochs", "10", "--loss", "bce", "--optimizer", "adam")
    assert found["net"].endswith("dense(10) sigmoid loss(bce)")
    assert found["test_accuracy"] > 0.9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--optimizer adagrad", "accepted: sgd, momentum"),
        ("--optimizer adam --momentum 0.9", "--momentum does not apply to the optimizer adam"),
        ("--beta1 0.9", "--beta1 does not apply to the optimizer sgd"),
        ("--optimizer adam --beta2 1", "'1' is not accepted; accepted: a number from 0 to below 1"),
        ("--weight-decay -1", "'-1' is not accepted; accepted: a number, 0 or more"),
        ("--clip-norm 0", "'0' is not accepted; accepted: a number above 0"),
        ("--clip-norm 1 --clip-value 1", "not allowed with argument --clip-norm"),
        ("--schedule cosin", "unknown schedule 'cosin'; accepted: constant, step"),
        ("--schedule step(every=nan)", "every of the schedule step is nan"),
        ("--label-smoothing 1", "'1' is not accepted"),
        ("--label-smoothing 0.1 --loss mse", "--label-smoothing is for cross_entropy, --loss is mse"),
    ],
)
def test_errors(options: str, message: str, folder: Path) -> None:
    done = run("--dataset", "digits", *options.split())
    assert done.status == 2
    assert message in done.err
    assert list(folder.iterdir()) == []
