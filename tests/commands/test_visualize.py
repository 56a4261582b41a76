"""`pynet visualize` draws every figure, or prints why it cannot; the figures that `pynet train` draws."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.command import DIGITS, FEW, one_line, run, save_model
from PIL import Image

import pynet
from pynet.commands import visualize
from pynet.training.history import History

SMALL = (*FEW, "--hidden", "12,6")  # a figure of the weights has an image for each unit


@pytest.fixture
def model(folder: Path) -> pynet.Network:
    """A small network, saved as digits.safetensors."""
    assert run(*SMALL).status == 0
    return pynet.load("digits.safetensors")


def test_everything(folder: Path) -> None:
    assert run(*SMALL).status == 0
    done = run("--out", "pictures", command=visualize)
    assert (done.status, done.err) == (0, "")
    kinds = ["curves", "weights", "samples", "confusion", "mistakes", "saliency", "preferred", "noise", "temperatures"]
    assert re.findall(r"^pictures/digits-(\w+)\.png  \S", done.out, re.M) == kinds
    _, head, others = done.out.partition("these do not fit the model or its data:\n")
    assert head and "  boundary: the samples have 64 inputs" in others.splitlines()[2]
    assert all(line.startswith("  ") for line in others.splitlines())
    assert sorted(path.name for path in Path("pictures").iterdir()) == sorted(f"digits-{kind}.png" for kind in kinds)


def test_selected_figures(folder: Path) -> None:
    assert run(*SMALL, "--history", "a.csv").status == 0
    assert run(*SMALL, "--history", "b.json", "--lr", "0.01").status == 0
    done = run("preferred", "weights", "--layer", "2", "--units", "0,5", "--format", "svg", command=visualize)
    assert (done.status, done.out.count("\n")) == (0, 2)
    assert done.out.startswith(
        "digits-figures/digits-preferred-layer-2-units-0-5.svg  preferred inputs of layer 2, dense(6)\n"
        "digits-figures/digits-weights-layer-2.svg  weights of layer 2"
    )
    assert run("curves", "--history", "a.csv", "b.json", command=visualize).out.startswith("a-figures/a-curves.png")
    assert run("--history", "b.json", "--format", "pdf", command=visualize).out.startswith("b-figures/b-curves.pdf")
    assert run("temperatures", "--sample", "354", command=visualize).status == 0
    out = run("saliency", "--sample", "3", command=visualize).out
    assert out.startswith("digits-figures/digits-saliency-sample-3.png  predicted ")
    assert run("confusion", "--on", "train", *DIGITS, command=visualize).out.endswith("of 1,442 correct\n")


def test_names_of_columns_appear_in_the_figures(folder: Path) -> None:
    lines = [f"{i % 2},{i % 2 + i / 100},{i / 50}" for i in range(40)]
    Path("small.csv").write_text("\n".join(['label,width,"height"', *lines]) + "\n")
    assert run("--data", "small.csv", "--epochs", "0", "--quiet", "--hidden", "4").status == 0
    command = ("boundary", "saliency", "samples", "--data", "small.csv", "--format", "svg")
    assert run(*command, command=visualize).status == 0
    for kind in ("boundary", "saliency", "samples"):
        assert re.search(r"<!-- height -->", Path(f"small-figures/small-{kind}.svg").read_text("utf-8"))


def test_without_a_mistake_there_is_no_figure_of_mistakes(folder: Path) -> None:
    x = np.repeat(np.eye(2, dtype=np.float32), 20, axis=0)
    y = np.repeat([0, 1], 20)
    np.savez("easy.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    net = pynet.Network("input(2) dense(2) softmax")
    net.layers[0].W[...] = np.eye(2)
    net.save("easy.safetensors")
    done = run("mistakes", "--data", "easy.npz", command=visualize)
    assert (done.status, done.out, done.err) == (0, "no mistakes: no mistake in 40 samples\n", "")
    assert not list(Path().glob("*.png"))


def test_temperatures_use_an_uncertain_sample(
    folder: Path, model: pynet.Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = pynet.data.load("digits").x_test
    taken: list[np.ndarray] = []
    draw = pynet.figures.temperatures
    monkeypatch.setattr(
        pynet.figures, "temperatures", lambda net, x, **rest: (taken.append(x), draw(net, x, **rest))[1]
    )
    assert run("temperatures", command=visualize).status == 0
    assert run("temperatures", "--sample", "0", command=visualize).status == 0
    confidence = model.predict_proba(x).max(axis=1)
    assert np.array_equal(taken[0], x[abs(confidence - 0.7).argmin()])
    assert np.array_equal(taken[1], x[0])


def test_history_files_are_drawn(folder: Path) -> None:
    assert run(*FEW, "--history", "a.csv").status == 0
    assert run(*FEW, "--history", "a.json").status == 0
    for name in ("a.csv", "a.json"):
        History.load(name).save(f"again-{name}")
        assert Path(f"again-{name}").read_bytes() == Path(name).read_bytes()
    noted = History.from_note(pynet.load("digits.safetensors").meta["history"])
    assert (noted.loss, noted.val_accuracy) == (History.load("a.json").loss, History.load("a.json").val_accuracy)
    assert run(*FEW, "--load", "digits.safetensors").status == 0
    longer = History.from_note(pynet.load("digits.safetensors").meta["history"])
    assert longer.loss[:2] == noted.loss
    assert len(longer.loss) == 4


@pytest.mark.parametrize("toy", ["moons", "spirals", "line"])
def test_toys(toy: str) -> None:
    done = run("boundary", "--toy", toy, command=visualize)
    assert (done.status, done.err) == (0, "")
    title = r"(decision boundary: accuracy (9[5-9]|100)\.\d\d %|output of the network: loss 0\.00)"
    assert re.match(f"{toy}-figures/{toy}-boundary.png  {title}", done.out)


def test_errors_of_visualize(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one_line(run(command=visualize), 1, "no model in this folder")
    one_line(
        run("weight", command=visualize),
        2,
        "'weight' cannot be drawn; did you mean 'weights'? accepted: curves, weights",
    )
    one_line(run("noise", "--toy", "moons", command=visualize), 2, "--toy trains a network")
    one_line(run("--history", "x.csv", command=visualize), 1, "x.csv")
    save_model("m.safetensors")
    near = "'m.safetensors' cannot be drawn; did you mean --model m.safetensors?"
    one_line(run("m.safetensors", command=visualize), 2, near)
    one_line(run("curves", command=visualize), 1, "m.safetensors holds no training history")
    one_line(run("boundary", *DIGITS, command=visualize), 1, "the samples have 64 inputs")
    one_line(
        run("temperatures", "--sample", "355", *DIGITS, command=visualize), 2, "355 is not accepted; accepted: 0 to 354"
    )
    one_line(run("preferred", "--layer", "5", command=visualize), 1, "layer is 5")
    Path("file").touch()
    one_line(run("weights", "--out", "file", command=visualize), 1, "file")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    one_line(run("weights", command=visualize), 1, f"this installs it: {sys.executable} -m pip install matplotlib")
    one_line(run(*FEW, "--plot"), 1, "-m pip install matplotlib")
    assert not Path("digits.safetensors").exists()


def test_train_draws_beside_the_model(folder: Path) -> None:
    Path("models").mkdir()
    done = run(*SMALL, "--plot", "--save", "models/a.safetensors")
    assert (done.status, done.err) == (0, "")
    for kind in ("curves", "weights", "confusion"):
        assert f"drew models/a-figures/a-{kind}.png\n" in done.out
        with Image.open(f"models/a-figures/a-{kind}.png") as picture:
            assert min(picture.size) > 400
    assert re.search(r"^next: .*pynet visualize --model models/a.safetensors", done.out, re.M)
    one_line(run(*FEW, "--plot", "--save", "none"), 2, "--plot draws into a folder beside the model")
    assert run(*SMALL, "--plot", "--epochs", "0", "--quiet").status == 0
    assert sorted(map(str, Path().glob("digits*"))) == ["digits-figures", "digits.safetensors"]
    assert sorted(path.name for path in Path("digits-figures").iterdir()) == [
        "digits-confusion.png",
        "digits-weights.png",
    ]


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_only_figures_of_pynet_are_replaced(model: pynet.Network, suffix: str) -> None:
    drawn, other = (
        Path(f"digits-figures/digits-confusion.{suffix}"),
        Path(f"digits-figures/digits-temperatures.{suffix}"),
    )
    what = ("confusion", "temperatures", "--format", suffix)
    assert run(*what, command=visualize).status == 0
    other.write_bytes(b"somebody's own")
    done = run(*what, command=visualize)
    assert (done.status, done.out.count("\n")) == (1, 1)  # the first figure was replaced
    assert done.err == f"pynet visualize: error: {other} is not a picture drawn by pynet; it is not overwritten\n"
    assert other.read_bytes() == b"somebody's own"
    assert b"drawn by pynet" in drawn.read_bytes()


def test_figures_of_a_training_replace_no_foreign_picture(folder: Path) -> None:
    for name, options in (("curves", ["--plot"]), ("lr", ["--find-lr"])):
        place = Path(f"digits-figures/digits-{name}.png")
        place.parent.mkdir(exist_ok=True)
        place.write_text("own")
        one_line(run(*FEW, *options), 1, f"{place} is not a picture drawn by pynet")
        assert place.read_text() == "own"


def test_the_name_of_a_figure_tells_its_content(model: pynet.Network) -> None:
    for options, name in (
        (["weights", "--layer", "2"], "weights-layer-2"),
        (["weights"], "weights"),
        (["temperatures", "--sample", "0"], "temperatures-sample-0"),
        (["confusion", "--on", "train"], "confusion-on-train"),
        (["noise", "--layer", "2"], "noise"),
    ):
        assert run(*options, command=visualize).out.startswith(f"digits-figures/digits-{name}.png  ")


def test_no_display_is_needed(folder: Path) -> None:
    save_model("m.safetensors")
    env = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "MPLBACKEND")}
    command = [sys.executable, "-m", "pynet", "visualize", "weights"]
    done = subprocess.run(command, capture_output=True, text=True, env=env | {"MPLBACKEND": "tkagg"}, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert Path("m-figures/m-weights.png").exists()
