"""`pynet predict`: predictions, output, choice of the model, bad files; for predict_image see test_predict_image.py."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import command, forms, handwriting
from helpers.command import sha256
from PIL import Image

import pynet
from pynet import data
from pynet.__main__ import main as pynet_main
from pynet.commands import predict
from pynet.inference import Prediction, PreparedPicture, predict_image, predictions, preparation_of
from pynet.pictures.decode import read_picture
from pynet.pictures.glyph import Character, prepare
from pynet.pictures.preparation import Preparation

PICTURES = {picture.name: picture for picture in handwriting.pictures(scenes=["mouse", "photo", "photo, squared"])}


@pytest.fixture
def equipped(folder: Path, digits_model: Path) -> Path:
    """The working folder, with a model and pictures."""
    (folder / "digits.safetensors").write_bytes(digits_model.read_bytes())
    for name in ("mouse-0.png", "mouse-6.png", "photo-3.jpg"):
        (folder / name).write_bytes(PICTURES[name].content)
    return folder


run = partial(command.run, command=predict)


def predict_json(*args: str | Path) -> list[dict]:
    done = run("--json", *args)
    assert (done.status, done.err) == (0, "")
    return json.loads(done.out)


# ---- predictions -----------------------------------------------------------------------------------------------------


def test_one_picture(equipped: Path) -> None:
    done = run("mouse-0.png")
    assert (done.status, done.err) == (0, "")
    title, line, *lines = done.out.splitlines()
    assert title == "model digits.safetensors: trained on digits, test accuracy 97.00 %"
    assert line.startswith("mouse-0.png: 0 (")
    assert [line.split()[0] for line in lines] == [">", *"123456789"]
    found = predict_image("mouse-0.png")
    assert found.prediction == "0"
    assert f"({100 * found.confidence:.1f} %)" in line
    shares = [float(line.strip("> ").split()[1]) for line in lines]
    assert np.allclose(shares, [100 * p for p in found.probabilities.values()], atol=0.006)
    assert lines[0].count("#") == round(30 * found.confidence)
    assert max(line.count("#") for line in lines[1:]) <= lines[0].count("#")


def test_several_pictures_get_a_line_each(equipped: Path) -> None:
    done = run("photo-3.jpg", ".", "--model", "digits.safetensors")
    assert (done.status, done.err) == (0, "")
    assert [line.split(":")[0] for line in done.out.splitlines()[1:]] == [
        "photo-3.jpg",
        "mouse-0.png",
        "mouse-6.png",
        "photo-3.jpg",
    ]
    done = run("mouse-0.png", "mouse-6.png", "--top", "2")
    lines = done.out.splitlines()[1:]
    assert len(lines) == 6
    assert lines[1].startswith("> 0 ")


def test_json(equipped: Path) -> None:
    found = predict_json("mouse-0.png", "photo-3.jpg")
    assert [list(one) for one in found] == [["file", "prediction", "confidence", "probabilities", "warning", "box"]] * 2
    assert [one["file"] for one in found] == ["mouse-0.png", "photo-3.jpg"]
    assert list(found[0]["probabilities"]) == list("0123456789")
    assert sum(found[0]["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    [best] = predict_json("mouse-0.png", "--top", "1")
    assert best["probabilities"] == {"0": best["confidence"]}


def test_several_characters(equipped: Path) -> None:
    """Each character is printed with its confidence, line by line; --single treats all ink as one character."""
    sheet = np.full((260, 420), 250.0)
    for i, digit in enumerate([0, 6, 3, 1, 0, 2]):
        place = (70 + 130 * (i % 3), 70 + 120 * (i // 3))
        sheet = forms.written(sheet, digit, handwriting.MOUSE, place, 80, np.random.default_rng(digit))
    Path("page.png").write_bytes(forms.encoded(sheet))
    found = predict_image("page.png")
    first, second = found.lines
    named = ["".join(one.prediction for one in line) for line in found.lines]
    assert [len(first), len(second)] == [3, 3]
    assert found.prediction == " / ".join(named)
    assert found.confidence == min(one.confidence for one in (*first, *second))
    assert named[0][0] + named[1][1] == "00"
    for i, one in enumerate((*first, *second)):
        left, top, right, bottom = one.box
        assert left < 70 + 130 * (i % 3) < right
        assert 105 > bottom - top > 70
    done = run("page.png", "--save-seen", "framed.png")
    rows = done.out.splitlines()[1:]
    assert rows[0].startswith(f"page.png: {found.prediction} (each {100 * found.confidence:.1f} %")
    assert rows[1] == "    ".join(f"{one.prediction} {100 * one.confidence:.1f} %" for one in first)
    assert len(rows) == 3
    with Image.open("framed.png") as image:
        framed = np.asarray(image).astype(int)
    assert framed.shape == (260, 420, 3)
    red = (framed[..., 0] > framed[..., 1] + 80).any(axis=0)
    assert all(red[one.box[0] - 2] and red[one.box[2] + 1] for one in first)
    best = [one.best(2) for one in first]
    rows = run("page.png", "mouse-0.png", "--top", "2").out.splitlines()[1:]
    assert rows[1] == "  ".join(f"{name} {100 * share:.1f} %" for name, share in best[0])
    assert len(rows) == 1 + 6 + 3
    [found_json] = predict_json("page.png", "--top", "1")
    assert [len(line) for line in found_json["lines"]] == [3, 3]
    assert found_json["lines"][0][1]["box"] == list(first[1].box)
    [one] = predict_json("page.png", "--single")
    assert "lines" not in one
    assert one["box"] == [0, 0, 420, 260]
    assert one["prediction"] == predict_image("page.png", single=True).prediction
    assert run("page.png", "mouse-0.png", "--save-seen", "framed.png").status == 0
    with Image.open("framed.png") as image:
        assert image.height > 260 + 112  # the page, and below it the network's input for the other picture


def test_a_file_that_lacks_its_end_is_named_with_a_warning(equipped: Path) -> None:
    Path("cut.jpg").write_bytes(PICTURES["photo-3.jpg"].content[:-40])
    found = predict_image("cut.jpg")
    assert found.prediction == predict_image("photo-3.jpg").prediction
    assert found.warning.startswith("the file is cut short")
    assert "the file is cut short" in run("cut.jpg").out


def test_what_is_unlike_the_training_pictures_is_said(equipped: Path) -> None:
    """By a model of pynet train, whatever the softmax gives; one without the measure is silent."""
    bits = np.random.default_rng(0).integers(0, 2, (7, 7)).astype(np.uint8)
    Image.fromarray(255 - 255 * np.pad(np.kron(bits, np.ones((9, 9), np.uint8)), 20)).save("noise.png")
    assert pynet_main(["train", "--dataset", "digits", "--epochs", "9", "--quiet", "--save", "known.safetensors"]) == 0
    Image.fromarray(data.load("digits").x_test[0]).save("known.png")
    found = predict_json("known.png", "noise.png", "--single", "--model", "known.safetensors")
    assert "unlike the training pictures" in found[1]["warning"]
    assert found[0]["warning"] is None
    assert "unlike the training pictures" in run("noise.png", "--single", "--model", "known.safetensors").out
    assert "unlike" not in run("noise.png", "--single", "--model", "digits.safetensors").out


def test_a_page_names_its_doubtful_characters() -> None:
    """By line and number, of many the first; results that are NaN are an error."""
    net = pynet.Network("input(1) dense(2) softmax")
    net.tensors["0.W"][...], net.tensors["0.b"][...] = [[9, -9]], 0

    def found(*lines: str) -> Prediction:
        """Of characters that are sure, +, or unsure, -."""
        seen = [[Character(np.array([255 * (c == "+")], np.uint8), (0, 0, 1, 1)) for c in line] for line in lines]
        return predictions(net, [PreparedPicture("page", seen, page=Image.new("L", (1, 1)))], 1.0)[0]

    assert found("++", "+").warning is None
    assert found("++-").warning == "the network is unsure: 1 of 3 characters, 0 (character 3)"
    assert (
        found("+-", "-").warning
        == "the network is unsure: 2 of 3 characters, 0 (line 1, character 2), 0 (line 2, character 1)"
    )
    assert found("-" * 10).warning.startswith("the network is unsure: 10 of 10 characters, 0 (character 1), 0 (")
    assert found("-" * 10).warning.endswith(" (character 8), ...")
    net.tensors["0.W"][...] = net.tensors["0.b"][...] = 3e38
    with pytest.raises(FloatingPointError, match="sample 1 is NaN"):
        found("-+-")


def test_temperature(equipped: Path) -> None:
    cold, warm = (predict_json("photo-3.jpg", "--temperature", t)[0] for t in ("1", "5"))
    assert warm["confidence"] < cold["confidence"]
    assert warm["warning"] == "the network is unsure"
    assert predict_image("photo-3.jpg", temperature=5).confidence == warm["confidence"]


def test_invert(equipped: Path) -> None:
    plain, inverted, wrong = (predict_json("mouse-0.png", *option)[0] for option in ((), ["--invert"], ["--no-invert"]))
    assert plain == inverted
    assert plain != wrong


def test_no_ink(equipped: Path) -> None:
    Image.new("L", (90, 90), 250).save("blank.png")
    done = run("blank.png", "mouse-0.png")
    assert done.status == 0
    assert "\nblank.png: no ink in this picture, or too thin, faint or small\nmouse-0.png: 0" in done.out
    assert predict_json("blank.png") == [
        {
            "file": "blank.png",
            "prediction": None,
            "confidence": None,
            "probabilities": None,
            "warning": "no ink in this picture, or too thin, faint or small",
            "box": None,
        }
    ]


def test_show_draws_the_input_of_the_network(equipped: Path) -> None:
    done = run("mouse-0.png", "--show")
    seen = predict_image("mouse-0.png").seen
    drawing = done.out.splitlines()[-8:]
    assert [[2 * x < len(line) and line[2 * x] != " " for x in range(8)] for line in drawing] == (seen >= 26).tolist()


def test_save_seen(equipped: Path) -> None:
    assert run("mouse-0.png", "--save-seen", "seen.png").status == 0
    tile = np.asarray(Image.open("seen.png"))
    assert np.array_equal(tile[6:118:14, 6:118:14], predict_image("mouse-0.png").seen)  # a pixel is a square of 14
    assert (tile[118:] < 100).any()  # the name, and the class predicted
    assert run("mouse-0.png", "mouse-6.png", "photo-3.jpg", "--save-seen", "seen.png").status == 0
    sheet = np.asarray(Image.open("seen.png"))
    height, width = tile.shape
    assert sheet.shape == (2 * height, 2 * width)
    assert np.array_equal(sheet[:height, :width], tile)
    assert np.array_equal(sheet[height:, :width][6:118:14, 6:118:14], predict_image("photo-3.jpg").seen)
    assert (sheet[height:, width:] == sheet[0, 0]).all()  # there is no fourth picture
    before = Path("mouse-0.png").read_bytes()
    assert run("mouse-0.png", "--save-seen", "mouse-0.png").status == 2
    assert run("mouse-0.png", "--save-seen", "./seen.jpg").status == 2
    own = sha256("mouse-6.png")
    refused = run("mouse-0.png", "--save-seen", "mouse-6.png")
    assert (refused.status, refused.out) == (1, "")
    assert "mouse-6.png is not a picture drawn by pynet; it is not overwritten" in refused.err
    assert sha256("mouse-6.png") == own
    assert Path("mouse-0.png").read_bytes() == before
    Image.new("L", (90, 90), 250).save("blank.png")
    assert run("blank.png", "--save-seen", "other.png").status == 1
    assert not Path("other.png").exists()


def test_standard_input(equipped: Path) -> None:
    command = [sys.executable, "-m", "pynet", "predict", "-", "--json"]
    done = subprocess.run(command, input=PICTURES["mouse-0.png"].content, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    [found] = json.loads(done.stdout)
    assert found["file"] == "-"
    assert found["probabilities"] == predict_json("mouse-0.png")[0]["probabilities"]
    done = subprocess.run(command, input=b"", capture_output=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith(b"pynet predict: error: -: ")


# ---- models ----------------------------------------------------------------------------------------------------------


def test_the_newest_model_is_taken_and_named(equipped: Path) -> None:
    pynet.Network("input(784) dense(10) softmax").save("later.safetensors")
    later = Path("digits.safetensors").stat().st_mtime + 9
    os.utime("later.safetensors", (later, later))
    assert run("mouse-0.png").out.startswith("model later.safetensors\n")


def test_the_model_is_read_once(equipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, paths = pynet.Network._load, []
    monkeypatch.setattr(pynet.Network, "_load", lambda path: paths.append(path) or read(path))
    for option in ((), ("--model", "digits.safetensors")):
        assert run("mouse-0.png", *option).status == 0
    assert len(paths) == 2


def test_no_model() -> None:
    done = run("a.png")
    assert (done.status, done.out) == (1, "")
    assert done.err == (
        "pynet predict: error: no model in this folder: run `pynet train` first, or name a model by --model FILE\n"
    )
    assert "cannot read away" in run("a.png", "--model", "away").err


@pytest.mark.parametrize(
    ("text", "shape"), [("input(784)", (28, 28)), ("input(1,20,30)", (20, 30)), ("input(3,32,32)", (3, 32, 32))]
)
def test_models_without_a_note(text: str, shape: tuple[int, ...]) -> None:
    assert preparation_of(pynet.Network(f"{text} dense(10) softmax")).shape == shape


@pytest.mark.parametrize("text", ["input(13)", "input(4)", "input(2,9,9)"])
def test_models_that_take_no_pictures(text: str) -> None:
    with pytest.raises(ValueError, match="which is not a picture"):
        preparation_of(pynet.Network(f"{text} dense(10) softmax"))


def test_the_note_of_a_model_decides(equipped: Path) -> None:
    net = pynet.Network("input(64) dense(2) softmax")
    net.classes = ["cat", "dog"]
    net.meta["pictures"] = Preparation(8, 8, style=None).note()
    assert np.array_equal(predict_image(Image.new("L", (80, 80), 77), net).seen, np.full((8, 8), 77, np.uint8))
    assert predict_image("mouse-0.png", net).prediction in ("cat", "dog")
    net.meta["pictures"] = Preparation(9, 8).note()
    with pytest.raises(ValueError, match="notes describe pictures of"):
        predict_image("mouse-0.png", net)


def test_outputs_that_are_not_finite_are_null_in_json(equipped: Path) -> None:
    net = pynet.Network("input(64) dense(2)")
    net.tensors["0.W"][...] = [3e38, -3e38]
    net.save("numbers.safetensors")
    net.task = "classes"
    net.save("large.safetensors")
    done = run("mouse-0.png", "--json", "--model", "large.safetensors")
    [found] = json.loads(done.out, parse_constant=pytest.fail)
    assert (found["confidence"], found["probabilities"]) == (None, {"0": None, "1": None})
    done = run("mouse-0.png", "--json", "--model", "numbers.safetensors")
    [found] = json.loads(done.out, parse_constant=pytest.fail)
    assert (found["prediction"], found["warning"]) == ("inf, -inf", "the outputs are not finite")


def test_one_output_predicts_two_classes() -> None:
    for loss in ("mse", "bce"):
        net = pynet.Network(f"input(64) dense(1) sigmoid loss({loss})")
        found = predict_image(np.eye(20), net)
        assert list(found.probabilities) == ["0", "1"]
        assert sum(found.probabilities.values()) == pytest.approx(1)


def test_several_labels() -> None:
    net = pynet.Network("input(64) dense(3) sigmoid loss(bce)")
    net.task, net.classes = "multi-label", ["round", "straight", "dotted"]
    net.layers[0].W[...], net.layers[0].b[...] = 0, [1, -1, 2]
    found = predict_image(np.eye(20), net)
    assert (found.prediction, found.confidence) == ("round, dotted", None)
    assert found.probabilities == pytest.approx({"round": 0.7311, "straight": 0.2689, "dotted": 0.8808}, abs=1e-4)
    net.layers[0].b[...] = -1
    assert predict_image(np.eye(20), net).prediction == "none of them"


# ---- bad files -------------------------------------------------------------------------------------------------------


def test_bad_files_do_not_stop_the_others(equipped: Path) -> None:
    Path("cut.png").write_bytes(PICTURES["mouse-0.png"].content[:300])
    Path("text.jpg").write_text("no picture")
    Path("empty.png").touch()
    Path("sub").mkdir()
    files = ["cut.png", "text.jpg", "mouse-0.png", "empty.png", "sub", "away.png", "photo-3.jpg"]
    done = run(*files)
    assert done.status == 1
    assert [line.split(":")[0] for line in done.out.splitlines()[1:]] == ["mouse-0.png", "photo-3.jpg"]
    errors = done.err.splitlines()
    assert [line.split(":")[2].strip() for line in errors] == ["cut.png", "text.jpg", "empty.png", "sub", "away.png"]
    assert all(line.startswith("pynet predict: error: ") for line in errors)
    found = run("--json", *files)
    assert found.status == 1
    assert [one["file"] for one in json.loads(found.out)] == files
    assert [one["prediction"] is None for one in json.loads(found.out)] == [True, True, False, True, True, True, False]


@pytest.mark.parametrize(
    "options",
    [
        "",
        "a.png --top 0",
        "a.png --temperature 0",
        "a.png --temperature nan",
        "a.png --save-seen x.jpg",
        "a.png --mode",
    ],
)
def test_usage(equipped: Path, options: str) -> None:
    done = run(*options.split())
    assert (done.status, done.out) == (2, "")
    assert done.err.endswith(" pynet predict --help lists the options\n")
    assert done.err.count("\n") == 1


def test_command_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert pynet_main(["--help"]) == 0
    assert "\n  predict " in capsys.readouterr().out
    with pytest.raises(SystemExit) as done:
        pynet_main(["predict", "--help"])
    assert done.value.code == 0
    assert "examples:\n  pynet predict three.jpg" in capsys.readouterr().out


def test_import_pynet_is_light() -> None:
    code = "import sys, pynet; assert not {'PIL', 'pynet.commands.predict', 'pynet.pictures'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


# ---- many pictures, and other handwriting ----------------------------------------------------------------------------


def test_many_small_pictures(equipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are predicted in one batch."""
    digits = data.load("digits")
    Path("many").mkdir()
    for i, x in enumerate(digits.x_train[:500]):
        sheet = np.full((40, 48), 255, np.uint8)
        sheet[4 + i % 4 : 36 + i % 4, 3 + i % 12 : 35 + i % 12] -= np.kron(x, np.ones((4, 4), np.uint8))
        Image.fromarray(sheet).save(f"many/{i}.png")
    proba, sizes = pynet.Network.predict_proba, []

    def counted(net: pynet.Network, x: np.ndarray, *args: Any, **options: Any) -> np.ndarray:
        sizes.append(len(x))
        return proba(net, x, *args, **options)

    monkeypatch.setattr(pynet.Network, "predict_proba", counted)
    found = predict_json("many")
    right = [int(one["prediction"] or -1) == digits.y_train[int(Path(one["file"]).stem)] for one in found]
    assert len(found) == 500
    assert np.mean(right) > 0.8
    assert sizes == [256, 244]


@pytest.mark.mnist
def test_digits_of_other_hands(mnist: data.Dataset) -> None:
    """A plain network that knows MNIST names pictures of other hands, on paper of every kind."""
    net = pynet.Network("input(784) dense(128) relu dense(10) softmax")
    net.fit(mnist.x_train, mnist.y_train, epochs=8)
    files = [*handwriting.pictures(), *forms.forms()]
    seen = [prepare(read_picture(io.BytesIO(file.content)), preparation_of(net)) for file in files]
    right = net.predict(np.stack(seen)) == [file.digit for file in files]
    shares = {
        scene: right[[file.scene == scene for file in files]].mean() for scene in (*handwriting.SCENES, *forms.KINDS)
    }
    assert right.mean() >= 0.96
    assert min(shares.values()) >= 0.7, shares
