"""Data for an existing model: classes matched by name, numbers in its scale, and which samples are evaluated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.command import DIGITS, FEW, one_line, results, run
from helpers.data_files import write_npz
from PIL import Image, ImageDraw

import pynet
from pynet import data
from pynet._ffi import Array
from pynet.commands import evaluate, predict, visualize
from pynet.data import folders
from pynet.figures.predictions import class_names
from pynet.inference import Prediction, PreparedPicture, predictions
from pynet.pictures.glyph import Character

SMALL = ("--hidden", "8", "--quiet")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "cache_folder", lambda: tmp_path / "cache")


def predicted(net: pynet.Network, x: Array) -> list[Prediction]:
    """The predictions for pictures x (n, height, width) that are already prepared."""
    height, width = x.shape[1:]
    return predictions(net, [PreparedPicture("", [[Character(one, (0, 0, width, height))]]) for one in x], 1.0)


def pictures(folder: str, count: int = 12, **rings: bool) -> str:
    """A folder for each class, with pictures of rings if the class is true, else of crosses."""
    for name, ring in rings.items():
        for i in range(count):
            image = Image.new("L", (40, 40), 255)
            brush, at = ImageDraw.Draw(image), 6 + i % 5
            if ring:
                brush.ellipse((at, at, 32, 32), outline=0, width=4)
            else:
                brush.line((at, at, 32, 32), fill=0, width=4)
                brush.line((at, 32, 32, at), fill=0, width=4)
            Path(folder, name).mkdir(parents=True, exist_ok=True)
            image.save(Path(folder, name, f"{i}.png"))
    return folder


def table(path: str, x: Array, y: Array, form: str = "%g") -> str:
    """A .csv file with the label in the first column, as its header says."""
    names = ",".join(["label", *(f"x{i}" for i in range(np.c_[x].shape[1]))])
    np.savetxt(path, np.c_[y, x], form, ",", header=names, comments="")
    return path


def train(*args: Any) -> None:
    done = run(*args, *SMALL)
    assert (done.status, done.err) == (0, "")


def measured(*args: Any) -> dict[str, Any]:
    return results(*args, command=evaluate)


# ---- classes ---------------------------------------------------------------------------------------------------------


def test_the_order_of_the_classes_is_the_model_s(folder: Path) -> None:
    backwards = "9,8,7,6,5,4,3,2,1,0"
    train(*DIGITS, "--classes", backwards, "--epochs", "20")
    net, digits = pynet.load("digits.safetensors"), data.load("digits").only(backwards.split(","))
    found = measured()
    assert found["accuracy"] == net.evaluate(digits.x_test, digits.y_test).accuracy > 0.8
    assert [row["name"] for row in found["classes"]] == list(backwards.replace(",", ""))
    assert [row["support"] for row in found["classes"]] == np.bincount(digits.y_test).tolist()
    done = run("confusion", command=visualize)
    assert f"{found['correct']} of 355 correct" in done.out
    assert measured("--classes", "3,7")["samples"] == 71


def test_folders_with_other_classes_are_refused(folder: Path) -> None:
    train("--data", pictures("shapes", o=True, x=False), "--epochs", "5")
    pictures("again", cross=False, ring=True)
    message = "again has the classes cross, ring, which are not among o, x"
    one_line(run("--data", "again", command=evaluate), 1, message)
    one_line(run("confusion", "--data", "again", command=visualize), 1, message)
    one_line(run("--load", "shapes.safetensors", "--data", "again", "--save", "n.safetensors"), 1, message)
    assert not Path("n.safetensors").exists()
    pictures("more", o=True, x=False, star=False)
    one_line(run("--data", "more", command=evaluate), 1, "has 2 outputs, more has 3 classes: more has the classes star")
    assert measured("--data", "more", "--classes", "x,o")["samples"] == 24
    (folder / "more" / "star").rename(folder / "star")
    assert measured("--data", "more")["accuracy"] == 1


def test_a_class_may_be_missing(folder: Path) -> None:
    train("--data", pictures("shapes", o=True, x=False), "--epochs", "5")
    found = measured("--data", pictures("some", x=False))
    assert [(row["name"], row["support"]) for row in found["classes"]] == [("o", 0), ("x", 12)]
    assert found["accuracy"] == 1
    assert run("confusion", "mistakes", "--data", "some", command=visualize).status == 0
    done = run("--load", "shapes.safetensors", "--data", "some", "--epochs", "1", "--save", "n.safetensors", "--quiet")
    assert (done.status, pynet.load("n.safetensors").classes) == (0, ["o", "x"])
    y = np.arange(400) % 10
    x = np.c_[y * 25, y[::-1] * 20]
    train("--data", table("ten.csv", x, y), "--epochs", "2")
    for rows in (y < 9, (y == 3) | (y == 5), y == 0):
        assert measured("--model", "ten.safetensors", "--data", table("few.csv", x[rows], y[rows]))["samples"] == sum(
            rows
        )
    one_line(
        run("--data", table("eleven.csv", x, y + 1), command=evaluate), 1, "eleven has the classes 10, which are not"
    )


def test_one_output_has_two_classes(folder: Path) -> None:
    net = ("--net", "input(64) dense(1) sigmoid", "--epochs", "20", "--quiet")
    assert run(*DIGITS, "--classes", "7,3", *net).status == 0
    model = pynet.load("digits.safetensors")
    assert model.classes == ["7", "3"]
    digits = data.load("digits").only(["7", "3"])
    expected = model.evaluate(digits.x_test, digits.y_test.astype(np.float32)).accuracy
    assert measured()["accuracy"] == measured("--classes", "3,7")["accuracy"] == expected > 0.9
    assert set(predicted(model, digits.x_test[:1])[0].probabilities or {}) == {"3", "7"}
    assert class_names(model, None) == ["7", "3"]
    with pytest.raises(ValueError, match="3 class names for 1 outputs"):
        model.classes = ["a", "b", "c"]


def test_labels_in_files_index_the_classes_of_a_model(folder: Path) -> None:
    train("--data", pictures("shapes", o=True, x=False), "--epochs", "5")
    shapes = data.load("shapes", divide=False)
    np.savez("s.npz", x_train=shapes.x_test, y_train=shapes.y_test, x_test=shapes.x_test, y_test=shapes.y_test)
    found = measured("--data", "s.npz", "--model", "shapes.safetensors")
    assert (found["accuracy"], [row["name"] for row in found["classes"]]) == (1, ["o", "x"])


def test_a_model_without_names_takes_classes_by_their_order(folder: Path) -> None:
    net = pynet.Network("input(784) dense(2) softmax")
    net.save("m.safetensors")
    assert measured("--data", pictures("shapes", o=True, x=False))["samples"] == 24
    one_line(run("--data", pictures("some", o=True), command=evaluate), 1, "has 2 outputs, some has 1 classes")
    done = run("--load", "m.safetensors", "--data", "shapes", "--epochs", "1", "--save", "n.safetensors")
    assert (done.status, pynet.load("n.safetensors").classes) == (0, ["o", "x"])


def test_classes_of_one_name(folder: Path) -> None:
    net = pynet.Network("input(64) dense(3) softmax", seed=1)
    net.classes = ["a", "a", "b"]
    for x in data.load("digits").x_test[:20]:
        found = pynet.predict_image(x, net)
        assert found.probabilities is not None
        assert list(found.probabilities) == ["a", "a (1)", "b"]
        assert sum(found.probabilities.values()) == pytest.approx(1)
        assert found.probabilities[found.prediction or ""] == found.confidence
    net.save("m.safetensors")
    one_line(run(*DIGITS, "--classes", "0,1,2", command=evaluate), 1, "digits has the classes 0, 1, 2, which are not")


def test_a_single_class_is_refused(folder: Path) -> None:
    for args in (("--data", pictures("rings", o=True)), (*DIGITS, "--classes", "3")):
        one_line(run(*args, "--epochs", "1"), 1, "has training samples of only one class; accepted: two classes")
    one_line(run("--data", table("a.csv", np.arange(20), 0 * np.arange(20))), 1, "training samples of only one class")
    assert not list(folder.glob("*.safetensors"))


# ---- numbers ---------------------------------------------------------------------------------------------------------


def ranged(low: int, high: int, n: int = 400) -> tuple[Array, Array]:
    """x: integers from low to high; y: 1 if the first number of a row is in the upper half of the range."""
    x = np.random.default_rng(0).integers(low, high + 1, (n, 4))
    return x, (x[:, 0] > (low + high) // 2).astype(int)


def test_a_dark_table_is_scaled_as_the_training_was(folder: Path) -> None:
    x, y = ranged(40, 180)
    train("--data", table("train.csv", x, y), "--epochs", "30")
    dark = (x < 128).all(axis=1)
    found = measured("--data", table("dark.csv", x[dark], y[dark]))
    net = pynet.load("train.safetensors")
    assert found["loss"] == net.evaluate(x[dark].astype(np.uint8), y[dark]).loss
    assert measured("--data", table("f.csv", x[dark] / 255, y[dark], "%.9g"))["loss"] == pytest.approx(found["loss"])
    for wrong, text in ((x + 100, "whole numbers from"), (x - 100.5, "numbers from"), (x % 17, "to 16")):
        one_line(run("--data", table("w.csv", wrong, y), command=evaluate), 1, text)


def test_a_light_table_is_scaled_as_the_training_was(folder: Path) -> None:
    x, y = ranged(0, 100)
    train("--data", table("train.csv", x, y), "--epochs", "5", "--lr", "0.001")
    light = x + 40
    found = measured("--data", table("light.csv", light, y))
    assert data.load("light.csv").x_test.dtype == np.uint8
    assert found["loss"] == pynet.load("train.safetensors").evaluate(light.astype(np.float32), y).loss
    done = run(
        "--load", "train.safetensors", "--data", "light.csv", "--epochs", "1", "--lr", "1e-5", "--save", "n.safetensors"
    )
    assert "values, taken as they are" in done.out
    assert json.loads(pynet.load("n.safetensors").meta["inputs"])["bytes"] is False


def digits_of_16(path: str) -> tuple[Array, Array]:
    """The built-in digits in the scale of scikit-learn, 0..16."""
    digits = data.load("digits")
    x = np.round(digits.x_train.reshape(-1, 64) * (16 / 255))
    table(path, x, digits.y_train)
    return x, digits.y_train


def test_pixels_of_16_levels_are_noticed(folder: Path) -> None:
    digits_of_16("sixteen.csv")
    done = run("--data", "sixteen.csv", "--epochs", "5", "--lr", "0.01", "--quiet")
    assert done.status == 0
    assert "warning: the samples of sixteen are whole numbers from 0 to 16, taken as they are; if they are" in done.err
    digits = data.load("digits")
    found = measured(*DIGITS, "--model", "sixteen.safetensors")  # bytes, where 255 is white
    assert found["accuracy"] > 0.8
    net = pynet.load("sixteen.safetensors")
    names = [one.prediction for one in predicted(net, digits.x_test)]
    assert np.mean([label == str(y) for label, y in zip(names, digits.y_test, strict=True)]) == found["accuracy"]
    train(*DIGITS, "--epochs", "2")
    one_line(
        run("--model", "digits.safetensors", "--data", "sixteen.csv", command=evaluate),
        1,
        "sixteen has whole numbers from 0 to 16; the model was trained on bytes from 0 to 255, which were divided",
    )
    assert (
        "warning" not in run("--data", table("t.csv", *ranged(0, 16)), "--epochs", "1").err
    )  # four counts, not a picture


def test_a_model_of_other_numbers_refuses_pictures(folder: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 64)).astype(np.float32)
    write_npz(folder / "n.npz", x_train=x, y_train=np.arange(60) % 2, x_test=x, y_test=np.arange(60) % 2)
    train("--data", "n.npz", "--epochs", "1")
    pictures("p", o=True)
    one_line(run("p/o/0.png", "--json", command=predict), 1, "the model was trained on numbers from -")
    one_line(run(*DIGITS, "--classes", "0,1", command=evaluate), 1, "which are not pixels")


def test_a_damaged_note_is_named(folder: Path) -> None:
    train(*DIGITS, "--epochs", "1")
    net = pynet.load("digits.safetensors")
    net.meta["inputs"] = "all sorts"
    net.save("digits.safetensors")
    one_line(run(command=evaluate), 1, "the model's note on its inputs is damaged: 'all sorts'")


# ---- which samples ---------------------------------------------------------------------------------------------------


def test_all_samples_of_other_data_are_evaluated(folder: Path) -> None:
    x, y = ranged(0, 255)
    train("--data", table("a.csv", x, y), "--epochs", "2")
    net, found = pynet.load("a.safetensors"), data.load("a.csv")
    report = measured("--data", "a.csv")
    assert (report["samples"], report["on"]) == (80, "test")
    assert report["loss"] == net.evaluate(found.x_test, found.y_test).loss
    assert measured("--data", "a.csv", "--on", "train")["samples"] == 320
    assert measured("--data", "a.csv", "--on", "all")["samples"] == 400
    assert "a: 80 test samples, split off before the training\n" in run("--data", "a.csv", command=evaluate).out
    report = measured("--data", table("b.csv", x[:10], y[:10]))
    assert (report["samples"], report["on"]) == (10, "all")
    assert "b: all 10 samples\n" in run("--data", "b.csv", command=evaluate).out
    one_line(
        run("--data", "b.csv", "--on", "train", command=evaluate),
        1,
        "b has no samples for training, as the model was not",
    )
    assert measured("--data", table("one.csv", x[:1], y[:1]))["samples"] == 1
    Path("a.csv").rename("moved.csv")
    assert measured("--data", "moved.csv")["samples"] == 80  # recognised by its content
    done = run("--data", table("a.csv", x[:300], y[:300]), command=evaluate)
    assert "a: all 300 samples; another data set of this name was used in training: some" in done.out


def test_all_samples_of_other_folders_are_evaluated(folder: Path) -> None:
    train("--data", pictures("shapes", o=True, x=False), "--epochs", "2", "--size", "16")
    assert measured("--data", "shapes")["samples"] == 4
    assert measured("--data", pictures("two", 1, o=True, x=False))["samples"] == 2
    pictures("divided/train", o=True, x=False)
    pictures("divided/test", 2, o=True, x=False)
    assert measured("--data", "divided")["samples"] == 4
    assert measured("--data", "divided", "--on", "all")["samples"] == 28


def test_options_of_the_training_do_not_change_which_samples_are_set_aside(folder: Path) -> None:
    x, y = ranged(0, 255)
    options = ("--limit", "50", "--val-split", "0.2", "--classes", "1,0", "--epochs", "1")
    train("--data", table("a.csv", x, y), *options)
    found = data.load("a.csv").only(["1", "0"])
    report = measured("--data", "a.csv")
    assert report["loss"] == pynet.load("a.safetensors").evaluate(found.x_test, found.y_test).loss


def test_the_last_training_data_of_a_model_count(folder: Path) -> None:
    x, y = ranged(0, 255)
    train("--data", table("a.csv", x, y), "--epochs", "1")
    assert run("--data", table("b.csv", x[::-1], y[::-1]), "--load", "a.safetensors", "--epochs", "1").status == 0
    for name in ("a.csv", "b.csv"):
        assert measured("--model", "b.safetensors", "--data", name)["samples"] == 80


def test_a_model_of_an_earlier_version_knows_its_data_by_name(folder: Path) -> None:
    x, y = ranged(0, 255)
    train("--data", table("a.csv", x, y), "--epochs", "1")
    net = pynet.load("a.safetensors")
    del net.meta["inputs"], net.meta["data_sha256"]
    net.save("a.safetensors")
    assert measured("--data", "a.csv")["samples"] == 80
    assert measured("--data", table("b.csv", x, y))["samples"] == 400


def test_fewer_classes_of_the_training_data(folder: Path) -> None:
    y = np.arange(300) % 3
    train("--data", table("a.csv", np.c_[y * 100, y], y), "--classes", "2,0", "--epochs", "2")
    assert measured("--data", "a.csv")["samples"] == 40
    message = "has 2 outputs, b has 3 classes: b has the classes 1, which are not among 2, 0"
    one_line(run("--data", table("b.csv", np.c_[y * 100, y][:99], y[:99]), command=evaluate), 1, message)


# ---- the newest model ------------------------------------------------------------------------------------------------


def test_a_damaged_newest_model_is_named(folder: Path) -> None:
    train(*FEW)
    whole = Path("digits.safetensors").read_bytes()
    other = json.dumps({"__metadata__": {"format": "pt"}}).encode()
    Path("other.safetensors").write_bytes(len(other).to_bytes(8, "little") + other)
    assert measured()["model"] == "digits.safetensors"  # of another program
    for damaged in (b"", b"no model", whole[:100], whole[: len(whole) // 2], whole[:-1]):
        Path("newest.safetensors").write_bytes(damaged)
        for command in (evaluate, predict, visualize):
            done = run(*(["a.png"] if command is predict else []), command=command)  # type: ignore[arg-type]
            one_line(done, 1, "cannot read newest.safetensors: ")
            assert "it is the newest model in this folder; --model FILE names another" in done.err
    assert measured("--model", "digits.safetensors")["samples"] == 355


def test_pictures_with_other_sides_of_as_many_pixels_are_refused(folder: Path) -> None:
    """A dense network takes the pixels of a picture in any order, and its predictions are wrong."""
    y = np.arange(60) % 2
    x = np.zeros((60, 4, 12), np.uint8)
    x[y == 1, 1] = 250
    write_npz(folder / "wide.npz", x_train=x[:48], y_train=y[:48], x_test=x[48:], y_test=y[48:])
    high = x.swapaxes(1, 2)
    write_npz(folder / "high.npz", x_train=high[:48], y_train=y[:48], x_test=high[48:], y_test=y[48:])
    assert run("--data", "wide.npz", "--no-center", *SMALL, "--epochs", "1").status == 0
    measure: Any = ("--model", "wide.safetensors")
    assert run(*measure, command=evaluate).status == 0
    words = "wide.safetensors was trained on pictures of 4x12 = 48, high has 12x4 = 48"
    one_line(run(*measure, "--data", "high.npz", command=evaluate), 1, words)
    one_line(run("--load", "wide.safetensors", "--data", "high.npz"), 1, words)
    assert run(*measure, "--data", "high.npz", "--transpose", command=evaluate).status == 0
