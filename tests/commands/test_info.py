"""`pynet info`: its facts against the model itself, and its errors."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from helpers.command import one_line, results, run, save_model, sha256

import pynet
from pynet.commands import info


def test_facts(model: pynet.Network) -> None:
    facts = results("digits.safetensors", command=info)
    content = Path("digits.safetensors").read_bytes()
    assert (facts["bytes"], facts["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert (facts["net"], facts["parameters"]) == (model.spec, model.parameters)
    assert facts["tensors"]["0.W"] == [64, 128]
    assert facts["weights_sha256"] == model.weights_sha256()
    assert facts["notes"]["test_accuracy"] == model.meta["test_accuracy"]
    assert list(facts["notes"])[:2] == ["dataset", "epochs"]
    assert facts == results(command=info)


def test_info_text(model: pynet.Network) -> None:
    out = run(command=info).out
    assert f"sha256      {sha256('digits.safetensors')}" in out
    assert model.summary() in out
    for name, value in (("dataset", "digits"), ("epochs", "2"), ("made_by", f"pynet {pynet.__version__}")):
        assert re.search(rf"^{name} +{re.escape(value)}$", out, re.M)


def test_notes_print_no_escapes(folder: Path) -> None:
    net = pynet.Network("input(2) dense(2) softmax")
    net.meta["a\x1b[31m"] = "\x1b[2J\nb"
    net.save("m.safetensors")
    out = run("m.safetensors", command=info).out
    assert r"a\x1b[31m  \x1b[2J\nb" in out
    assert "\x1b" not in out


def test_errors_of_info(folder: Path) -> None:
    one_line(run(command=info), 1, "no model in this folder")
    one_line(run("x", command=info), 1, "x")
    one_line(run("a", "b", command=info), 2, "pynet info --help")
    save_model("m.safetensors")
    assert "no notes on the training" in run(command=info).out
