"""A model stores where its own data lie and how they were split, so that the commands advised after training work."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from helpers.command import DIGITS, one_line, results, run
from helpers.data_files import idx_bytes, write_idx, write_npz
from PIL import Image, ImageDraw

import pynet
from pynet.commands import evaluate, predict, visualize

XOR = ("--data", "xor.csv", "--test-split", "0", "--hidden", "8", "--activation", "tanh")
LEARN = ("--epochs", "400", "--batch-size", "4", "--lr", "0.5")


@pytest.fixture
def xor(folder: Path) -> Path:
    place = folder / "xor.csv"
    place.write_text("label,a,b\n0,0,0\n1,0,1\n1,1,0\n0,1,1\n")
    return place


def test_all_four_rows_are_learnt_from(xor: Path) -> None:
    done = run(*XOR, *LEARN)
    assert (done.status, done.err) == (0, "")
    assert "4 samples for training, none for testing" in done.out
    assert "xor.csv, labels in the first column, all for training" in done.out
    assert "no test samples" in done.out
    report = run(command=evaluate).out
    assert "data         xor: 4 training samples: there is no test set\n" in report
    assert "accuracy     100.00 % (4/4)" in report
    assert "mistakes" not in report
    assert "xor, train samples" in run("samples", command=visualize).out
    assert run("confusion", command=visualize).out.endswith("4 of 4 correct\n")
    on = results("--load", "xor.safetensors", "--epochs", "1", "--save", "none")
    assert (on["train_samples"], on["test_samples"], on["dataset"]) == (4, 0, "xor")
    again = results("--load", "xor.safetensors", "--data", xor, "--epochs", "1", "--save", "none")
    assert again["train_samples"] == 4


def test_inputs_that_are_not_scaled_get_a_warning(folder: Path) -> None:
    x = np.random.default_rng(0).normal(0, 100, (60, 3))
    options = "--net", "input(3) dense(2) softmax", "--epochs", "1"
    for kind, found in ((x.astype(np.float32), "x is not scaled: "), ((x > 0).astype(np.uint8), "x is uint8, which ")):
        np.savez("x.npz", x=kind, y=np.arange(60) % 2)
        assert run("--data", "x.npz", *options).err.startswith(f"pynet train: warning: {found}")
        assert run("--data", "x.npz", *options, "--quiet").err == ""
    done = run("--data", "x.npz", "--net", "input(3) standardize dense(2) softmax", "--epochs", "1")
    assert "flags" not in done.err
    np.savez("x.npz", x=x, y=np.arange(60) % 2)
    err = run("--data", "x.npz", "--net", "input(3) dense(8) relu dense(2) softmax", "--lr", "1", "--epochs", "2").err
    assert err.count("x is not scaled") == 1 < err.count("warning: ")  # the diagnoses do not repeat it


def test_another_fraction(folder: Path) -> None:
    rows = [f"{i % 2},{i % 2},{i}" for i in range(100)]
    (folder / "a.csv").write_text("\n".join(["label,a,b", *rows]))
    found = results("--data", "a.csv", "--test-split", "0.4", "--epochs", "1")
    assert (found["train_samples"], found["test_samples"]) == (60, 40)
    assert "data         a: 40 test samples, split off before the training" in run(command=evaluate).out
    assert "40.00 % of each class for testing" in run("--data", "a.csv", "--test-split", "0.4", "--epochs", "1").out
    one_line(run(*DIGITS, "--test-split", "0"), 2, "--test-split is for data without a test set; digits")


@pytest.mark.parametrize("typed", ["data/own.npz", "./data/own.npz", "{folder}/data/own.npz"])
def test_the_path_is_stored_as_it_was_typed(folder: Path, typed: str) -> None:
    (folder / "data").mkdir()
    write_npz(folder / "data" / "own.npz")
    typed = typed.format(folder=folder)
    assert run("--data", typed, "--hidden", "5", "--epochs", "1").status == 0
    assert pynet.load("own.safetensors").meta["data"] == str(Path(typed))
    assert "data         own: 6 test samples" in run(command=evaluate).out
    assert run("samples", command=visualize).status == 0
    assert results("--load", "own.safetensors", "--epochs", "1")["dataset"] == "own"
    os.rename("data", "elsewhere")
    gone = "own.npz, which the model was trained on, does not exist in this folder; --data PATH names its"
    one_line(run(command=evaluate), 1, gone)
    one_line(run("--load", "own.safetensors"), 1, gone)
    assert run("--data", "elsewhere/own.npz", command=evaluate).status == 0


def test_continuing_with_a_named_data_set_replaces_the_stored_path(folder: Path) -> None:
    write_npz(folder / "digits.npz")
    assert run("--data", "digits.npz", "--epochs", "1").status == 0
    assert pynet.load("digits.safetensors").meta["data"] == "digits.npz"
    assert run(*DIGITS, "--epochs", "1").status == 0
    assert "data" not in pynet.load("digits.safetensors").meta
    found = results("--load", "digits.safetensors", "--epochs", "1")
    assert (found["dataset"], found["test_samples"]) == ("digits", 355)


def test_rows_that_are_pictures(folder: Path) -> None:
    """Each row is a picture of 4 x 3, whose light column, or row, is the class. The model stores the layout."""
    x = np.zeros((60, 4, 3), np.uint8)
    y = np.arange(60) % 3
    x[np.arange(60), :, y] = 200
    x[:, 3, 0] = np.arange(60)
    np.savetxt("lines.csv", np.c_[y, x.reshape(60, 12)], "%d", ",", header="label" + 12 * ",pixel", comments="")
    cnn = ("--data", "lines.csv", "--preset", "cnn", "--epochs", "2")
    advice = "these samples are rows of 12 numbers; --shape HEIGHT,WIDTH if they are pictures"
    one_line(run(*cnn), 2, advice)
    found = results(*cnn, "--shape", "4,3")
    assert found["net"].startswith("input(1,4,3) conv(")
    assert "accuracy" in run(command=evaluate).out
    assert run("samples", command=visualize).status == 0
    on = results("--load", "lines.safetensors", "--epochs", "1", "--augment")
    assert on["net"] == found["net"]
    net = ("--net", "input(1,3,4) conv(2,2) relu dense(3) softmax", "--epochs", "1", "--save", "other.safetensors")
    assert results("--data", "lines.csv", "--shape", "4,3", "--transpose", *net)
    measure = ("--model", "other.safetensors", "--on", "train")
    assert results(*measure, command=evaluate) == results(*measure, "--transpose", command=evaluate)
    assert "shape (48, 4, 3)" in run(*measure, "--no-transpose", command=evaluate).err
    for text in ("16", "4,0", "a,b", "2,2,2", "1,2,3,4"):
        one_line(run("--data", "lines.csv", "--shape", text), 2, "height,width, or with 1 or 3 channels")
    one_line(run(*DIGITS, "--shape", "4,16"), 2, "--shape and --transpose are for --data PATH, arrays in a file")


def test_pictures_in_colour_in_an_npz(folder: Path) -> None:
    """Small arrays in the layout of Keras' CIFAR-10; a picture file is then read in colour as well."""
    x = np.zeros((40, 8, 8, 3), np.uint8)
    y = np.arange(40)[:, None] % 2
    x[y[:, 0] == 0, ..., 0] = 220
    x[y[:, 0] == 1, ..., 2] = 220
    np.savez("colours.npz", x_train=x, y_train=y, x_test=x[:10], y_test=y[:10])
    found = results("--data", "colours.npz", "--preset", "cnn", "--epochs", "20")
    assert found["net"].startswith("input(3,8,8) conv(")
    assert found["test_accuracy"] == 1
    Image.new("RGB", (30, 20), (200, 10, 10)).save("red.png")
    Image.new("RGB", (30, 20), (10, 10, 200)).save("blue.png")
    named = json.loads(run("red.png", "blue.png", "--json", command=predict).out)
    assert [one["prediction"] for one in named] == ["0", "1"]


def save_scenes(folder: Path) -> None:
    """Two classes of small coloured pictures: a red or a blue square anywhere, on a background with random colours."""
    rng = np.random.default_rng(0)
    for i in range(60):
        few = Image.fromarray(rng.integers(0, 256, (5, 5, 3)).astype(np.uint8))
        image = few.resize((32, 32), Image.Resampling.BICUBIC)
        x, y = rng.integers(0, 16, 2).tolist()
        ImageDraw.Draw(image).rectangle((x, y, x + 14, y + 14), ("red", "blue")[i % 2])
        place = folder / ("red", "blue")[i % 2] / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        image.save(place)


def test_what_is_guessed_of_pictures_is_printed_with_how_to_change_it(folder: Path) -> None:
    save_scenes(folder / "scenes")
    net = ("--hidden", "8", "--epochs", "20", "--optimizer", "adam")
    done = run("--data", "scenes", *net)
    assert (done.status, done.err) == (0, "")
    guessed = "pictures guessed from 60 of them: 32 pixels a side (else --size), in colour (else --no-color)"
    assert f"{guessed}, pictures taken whole (else --center)\n" in done.out
    assert "inputs    3x32x32 pixels" in done.out
    for more, shape in (
        (["--size", "20"], "3x20x20"),
        (["--no-color"], "32x32"),
        (["--size", "16", "--no-color", "--no-center"], "16x16"),
    ):
        assert f"inputs    {shape} pixels" in run("--data", "scenes", *net, "--save", "none", *more).out
    assert json.loads(run("scenes/red/0.png", "--json", command=predict).out)[0]["prediction"] == "red"
    Image.new("L", (32, 32), 128).save("grey.png")
    warning = json.loads(run("grey.png", "--json", command=predict).out)[0]["warning"]
    assert warning.endswith("a grey picture, the training pictures are coloured")
    one_line(run(*DIGITS, "--no-center"), 2, "--size, --color and --center need --data PATH")


def test_arrays_that_are_no_glyphs(folder: Path) -> None:
    """--no-center is for IDX, too: a picture file is then taken whole, and inverted where its background is light."""
    write_idx(folder / "things")
    x = np.zeros((12, 8, 8), np.uint8)
    y = np.arange(12, dtype=np.uint8) % 2
    x[y == 0, 1:7, 1:4] = 200
    x[y == 1, 1:7, 4:7] = 200
    for part in ("train", "t10k"):
        (folder / "things" / f"{part}-images-idx3-ubyte").write_bytes(idx_bytes(x))
        (folder / "things" / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes(y))
    assert run("--data", "things", "--no-center", "--epochs", "30").status == 0
    note = '{"height": 8, "width": 8, "color": false, "style": null, "background": "dark"}'
    assert pynet.load("things.safetensors").meta["pictures"] == note
    for i, ground in ((0, 0), (1, 0), (0, 255), (1, 255)):
        Image.fromarray(x[i] ^ np.uint8(ground)).save("one.png")
        assert json.loads(run("one.png", "--json", command=predict).out)[0]["prediction"] == str(i)
    assert run("--load", "things.safetensors", "--epochs", "1").status == 0
    assert pynet.load("things.safetensors").meta["pictures"] == note


def test_damaged_notes_are_ignored(xor: Path) -> None:
    assert run(*XOR, "--epochs", "1").status == 0
    net = pynet.load("xor.safetensors")
    for split in ("", "nan", "7", "x"):
        net.meta["test_split"] = split
        net.save("xor.safetensors")
        assert "2 test samples" in run(command=evaluate).out
