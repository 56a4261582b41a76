"""Models with damaged notes: the model itself is sound, and the commands report the note."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from helpers.command import DIGITS, one_line, results, run
from PIL import Image

import pynet
from pynet.commands import evaluate, info, predict, visualize
from pynet.pictures.preparation import Preparation
from pynet.training.history import History

DEEP = "[" * 100_000
BAD = {
    "nested too deeply": DEEP,
    "objects nested too deeply": '{"a":' * 100_000,
    "cut": '{"loss": [1',
    "null": "null",
    "a number": "3",
    "a number of 5000 digits": "9" * 5000,
    "a list": "[1, 2]",
    "a list of lists": json.dumps([[1]] * 3),
    "nothing": "",
    "figures of lists": '{"loss": [[1]]}',
    "figures of null": '{"loss": null}',
    "figures beyond floats": '{"loss": [1' + "0" * 400 + "]}",
    "figures of other lengths": '{"loss": [1, 2], "accuracy": [1]}',
    "figures without a loss": '{"accuracy": [1]}',
    "names of no figure": '{"rows": [1]}',
}
HISTORIES = [  # and files
    "epoch,loss\n1,\n",
    "epoch,loss\n1,x\n",
    "epoch,loss\n1," + "9" * 200_000,
    "epoch\n\0,\n",
    '[{"loss": 1}, {"accuracy": 2}, {"loss": 2}]',
    "[]",
    '[{"loss": 1, "accuracy": 0.5, "val_accuracy": 1e30}]',
    "epoch,loss,accuracy\n1,1,-0.1\n",
]


def model(**notes: str) -> pynet.Network:
    net = pynet.Network("input(64) dense(3) softmax")
    net.meta.update(notes)
    net.save("m.safetensors")
    return net


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_damaged_history_note(text: str) -> None:
    net = model(history=text)
    assert History.from_note(text) == History()
    done = run("m.safetensors", command=info)
    assert (done.status, done.err) == (0, "")
    assert f"network     {net.spec}" in done.out
    assert results("m.safetensors", command=info)["history"] == []
    done = run("curves", "--model", "m.safetensors", command=visualize)
    one_line(done, 1, "m.safetensors holds no training history")


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_damaged_classes_note(text: str) -> None:
    assert model(classes=text).classes == ["0", "1", "2"]
    Image.fromarray(np.eye(28, dtype=np.uint8) * 255).save("a.png")
    for done in (run(command=info), run("a.png", command=predict)):
        assert (done.status, done.err) == (0, "")


def test_classes_that_are_numbers_or_texts() -> None:
    assert model(classes='[1, 2.5, "é"]').classes == ["1", "2.5", "é"]


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_damaged_preparation_note(text: str) -> None:
    model(pictures=text)
    with pytest.raises(ValueError, match="the model's note on how its pictures were prepared is damaged: '"):
        Preparation.from_note(text)
    assert run(command=info).status == 0
    Image.fromarray(np.eye(28, dtype=np.uint8) * 255).save("a.png")
    message = "pynet predict: error: the model's note on how its pictures were prepared is damaged"
    one_line(run("a.png", command=predict), 1, message)


@pytest.mark.parametrize("name", ["h.json", "h.csv"])
@pytest.mark.parametrize("text", [*BAD.values(), *HISTORIES])
def test_a_history_file(name: str, text: str) -> None:
    Path(name).write_text(text)
    with pytest.raises(ValueError, match=f"{name} is not a history written by pynet train --history"):
        History.load(name)
    one_line(run("--history", name, command=visualize), 1, f"{name} is not a history written by pynet train --history")


def test_training_continues_with_any_notes() -> None:
    net = pynet.Network("input(64) dense(10) softmax")
    net.meta.update({"history": DEEP, "classes": DEEP, "pictures": DEEP, "epochs": DEEP, "test_accuracy": DEEP})
    net.save("m.safetensors")
    options = (*DIGITS, "--limit", "100", "--epochs", "2", "--quiet")
    done = run(*options, "--load", "m.safetensors", "--save", "n.safetensors")
    assert (done.status, done.err) == (0, "")
    assert len(History.from_note(pynet.load("n.safetensors").meta["history"]).loss) == 2
    assert run("--model", "m.safetensors", *DIGITS, "--json", command=evaluate).status == 0


def test_info_prints_json_for_any_metric() -> None:
    model(history=json.dumps({"loss": [1.0], "val_odd": [math.nan]}))
    assert json.loads(run("--json", command=info).out, parse_constant=pytest.fail)["history"] == [
        {"loss": 1.0, "val_odd": None}
    ]
    assert os.listdir() == ["m.safetensors"]
