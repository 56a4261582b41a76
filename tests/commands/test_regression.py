"""Commands on regressions: train, evaluate, info, visualize, and keeping a better model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.command import DIGITS, one_line, results, run

import pynet
from pynet.commands import evaluate, info, predict, visualize

FIGURES = ("test_rmse", "test_mae", "test_r2")
EPOCH = ["loss", "rmse", "r2", "val_loss", "val_rmse", "val_r2", "seconds"]


def write_plane(outputs: int = 1, name: str = "plane.npz", n: int = 150) -> Path:
    """Targets in the thousands, from three features of different scales."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3)) * [1, 50, 0.01] + [0, 300, 1]
    y = 5000 + x @ rng.normal(size=(3, outputs)) * 20 + rng.normal(size=(n, outputs))
    np.savez(name, x=x, y=y)
    return Path(name)


HOW = ("--optimizer", "adam", "--lr", "0.03", "--batch-size", "16", "--hidden", "8")


def trained(*options: str, outputs: int = 1) -> dict[str, Any]:
    return results("--data", write_plane(outputs), "--epochs", "30", *HOW, *options)


def test_train_and_evaluate(folder: Path) -> None:
    found = trained("--history", "h.csv")
    net, set_aside = pynet.load("plane.safetensors"), pynet.data.load("plane.npz")
    figures = net.evaluate(set_aside.x_test, set_aside.y_test)
    assert found["net"] == "input(3) standardize dense(8) relu dense(1) rescale"
    assert [found[name] for name in FIGURES] == [figures.rmse, figures.mae, figures.r2]
    assert figures.r2 > 0.9
    assert "test_accuracy" not in found
    assert [list(row) for row in found["epochs"]] == [EPOCH] * 30
    assert [float(net.meta[name]) for name in FIGURES] == [figures.rmse, figures.mae, figures.r2]
    assert net.task == "regression"
    assert Path("h.csv").read_text().startswith("epoch,loss,rmse,r2,val_loss,val_rmse,val_r2,seconds\n")
    measured = results(command=evaluate)
    assert (measured["rmse"], measured["mae"], measured["r2"]) == (figures.rmse, figures.mae, figures.r2)
    assert measured["samples"] == len(set_aside.x_test)
    out = run(command=evaluate).out
    assert f"RMSE         {figures.rmse:.4g}\nMAE          {figures.mae:.4g}\nR2           {figures.r2:.4g}\n" in out
    printed = results(command=info)
    assert (printed["task"], printed["notes"]["test_r2"]) == ("regression", str(figures.r2))
    assert "outputs     numbers\n" in run(command=info).out


def test_output(folder: Path) -> None:
    done = run("--data", write_plane(), "--epochs", "2")
    assert done.status == 0
    assert "accuracy" not in done.out
    assert "; targets from 6243.55 to 8658.55\n" in done.out
    test = pynet.load("plane.safetensors").meta["test_rmse"]
    assert f"\ntest RMSE {float(test):.4g}, MAE " in done.out
    assert "not scaled" not in done.err


def test_several_numbers(folder: Path) -> None:
    found = trained("--patience", "2", "--monitor", "r2", outputs=2)
    assert found["net"].endswith("dense(2) rescale")
    assert found["test_r2"] > 0.9
    pytest.importorskip("matplotlib")
    assert (run(command=visualize).status, run(command=visualize).err) == (0, "")


def test_whole_numbers(folder: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    np.savez("whole.npz", x=x, y=np.round(50 * x[:, 0]).astype(int))
    one_line(run("--data", "whole.npz"), 1, "labels are whole numbers in 0..65535, task number takes any")
    found = results("--data", "whole.npz", "--task", "number", "--epochs", "30", *HOW)
    assert found["test_r2"] > 0.9
    assert results(command=evaluate)["r2"] == found["test_r2"]


def test_a_test_set_of_one(folder: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    np.savez("one.npz", x_train=x, y_train=x[:, 0], x_test=x[:1], y_test=x[:1, 0])
    done = run("--data", "one.npz", "--epochs", "9", *HOW, "--quiet")
    assert done.out.endswith("R2 undefined (1 sample)\n")
    found = results("--data", "one.npz", "--epochs", "9", *HOW)
    assert found["test_r2"] is None


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_losses(folder: Path, loss: str) -> None:
    found = trained("--loss", loss)
    closing = {"mse": "", "mae": " loss(mae)", "huber": " loss(huber)"}[loss]
    assert found["net"] == f"input(3) standardize dense(8) relu dense(1) rescale{closing}"
    assert pynet.load("plane.safetensors").loss_name == loss


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--loss", "bce"], "argument --loss: bce is not for numbers to predict, as plane has; mse, mae, huber are"),
        (["--net", "input(3) dense(1) softmax"], "the network is a classifier, plane has numbers to predict"),
        (["--net", "input(3) dense(2)"], "the network has 2 outputs, plane has 1 to predict for each sample"),
        (["--class-weight", "balanced"], "--class-weight is for classes; plane has numbers to predict"),
        (["--classes", "1,2"], "argument --classes: classes ['1', '2']: plane has numbers to predict, no classes"),
        ([*DIGITS, "--loss", "mae"], "argument --loss: mae is not for classes, as digits has"),
    ],
)
def test_errors(folder: Path, options: list[str], message: str) -> None:
    place = write_plane()
    own = [] if "--dataset" in options else ["--data", str(place)]
    done = run(*own, *options)
    one_line(done, 2, message)
    assert not Path("plane.safetensors").exists()


def test_the_same_target_for_all(folder: Path) -> None:
    np.savez("same.npz", x=np.arange(20.0)[:, None], y=np.full(20, 0.5))
    one_line(run("--data", "same.npz", "--json"), 1, "same has the same target for all samples; accepted: targets that")


def test_a_better_model_is_kept(folder: Path) -> None:
    better = trained()
    done = run("--data", "plane.npz", "--epochs", "9", *HOW, "--quiet")
    worse = float(pynet.load("plane.safetensors").meta["test_r2"])
    kept = f"is kept as plane-previous.safetensors: R2 {better['test_r2']:.4g} against {worse:.4g} on the same samples"
    assert kept in done.err
    assert float(pynet.load("plane-previous.safetensors").meta["test_r2"]) == better["test_r2"] > worse


def test_learning_nothing_replaces_no_model(folder: Path) -> None:
    trained()
    before = Path("plane.safetensors").read_bytes()
    done = run("--data", "plane.npz", "--epochs", "2", "--lr", "1e-30", "--quiet")
    assert done.status == 1
    assert "the training R2 is -" in done.err
    assert ", the mean of the targets has 0; the test R2 is -" in done.err
    assert Path("plane.safetensors").read_bytes() == before


def test_models_of_another_kind(folder: Path) -> None:
    trained("--save", "numbers.safetensors")
    np.savez("classes.npz", x=np.random.default_rng(0).normal(size=(40, 3)), y=np.arange(40) % 2)
    assert run("--data", "classes.npz", "--epochs", "1", "--save", "classes.safetensors", "--quiet").status == 0
    done = run("--model", "classes.safetensors", "--data", "plane.npz", command=evaluate)
    one_line(done, 1, "plane.npz: y: label 7517.98")
    np.savez("scores.npz", x=np.random.default_rng(0).normal(size=(40, 3)), y=np.arange(40) % 2)
    measured = results("--model", "numbers.safetensors", "--data", "scores.npz", command=evaluate)
    assert measured["r2"] < 0  # of whole numbers, which are no labels here
    done = run("--model", "numbers.safetensors", "--dataset", "digits", command=evaluate)
    one_line(done, 1, "takes 3 inputs")
    assert run("--data", "classes.npz", "--epochs", "1", "--save", "numbers.safetensors", "--quiet").status == 0
    assert pynet.load("numbers-previous.safetensors").task == "regression"


def test_a_linear_classifier_without_names(folder: Path) -> None:
    """A model that an earlier version saved from Python has no class names; the labels of the data show its task."""
    digits = pynet.data.load("digits")
    net = pynet.Network("input(64) dense(10)")
    net.fit(digits.x_train, digits.y_train, epochs=3)
    net.meta.pop("task")
    net.save("linear.safetensors")
    found = results(*DIGITS, "--model", "linear.safetensors", command=evaluate)
    assert found["accuracy"] == net.evaluate(digits.x_test, digits.y_test).accuracy > 0.5


def test_continuing(folder: Path) -> None:
    trained()
    before = pynet.load("plane.safetensors").tensors
    found = results("--load", "plane.safetensors", "--epochs", "2", "--save", "more.safetensors")
    assert found["test_r2"] > 0.9
    after = pynet.load("more.safetensors").tensors
    for name in ("0.mean", "0.scale"):  # from the first training
        assert np.array_equal(before[name], after[name])


def test_pictures(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    run("--data", write_plane(), "--epochs", "2", "--plot")
    assert {path.name for path in Path("plane-figures").iterdir()} == {"plane-curves.png", "plane-weights.png"}
    done = run("--out", "drawn", command=visualize)
    assert (done.status, done.err) == (0, "")
    assert "\n  confusion: plane.safetensors predicts numbers; this figure is for classes" in done.out
    one_line(run("mistakes", command=visualize), 1, "predicts numbers; this figure is for classes")


def test_numbers_of_pictures(folder: Path) -> None:
    """A regression on pictures predicts a number, without class or confidence."""
    digits = pynet.data.load("digits")
    np.savez("ink.npz", x=digits.x_train[:200], y=digits.x_train[:200].mean(axis=(1, 2)))
    assert results("--data", "ink.npz", "--epochs", "40", *HOW)["test_r2"] > 0.8
    picture = Path(__file__).parents[2] / "examples" / "three.png"
    [found] = json.loads(run(picture, "--json", command=predict).out)
    assert 0 < float(found["prediction"]) < 255
    assert (found["confidence"], found["probabilities"]) == (None, None)
    assert f"three.png: {found['prediction']}\n" in run(picture, command=predict).out


def test_balanced_classes(folder: Path) -> None:
    x = np.random.default_rng(0).normal(size=(120, 2)).astype(np.float32)
    y = (x[:, 0] > 1.2).astype(int)
    np.savez("rare.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    options = ("--data", "rare.npz", "--hidden", "0", "--epochs", "3")
    found = results(*options, "--class-weight", "balanced", "--save", "b.safetensors")
    net = pynet.Network(found["net"])
    net.fit(x, y, epochs=3, class_weight="balanced")
    assert found["weights_sha256"] == net.weights_sha256() != results(*options)["weights_sha256"]
    again = run("--load", "b.safetensors", "--data", "rare.npz", "--epochs", "1", "--save", "none")
    assert "class weights balanced" in again.out
