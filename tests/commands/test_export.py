"""`pynet export` and `pynet import`: what they write, print and refuse."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from helpers.c_file import compiled, status
from helpers.command import one_line, run, save_model, sha256
from safetensors.numpy import save_file

import pynet
from pynet.commands import export, import_
from pynet.text import percent

TEXT = "input(64) dense(10) softmax"


@pytest.mark.parametrize(("kind", "file"), [("torch", "net-torch.safetensors"), ("npz", "net.npz")])
def test_a_model_goes_out_and_comes_back(kind: str, file: str) -> None:
    save_model("net.safetensors")
    before = sha256("net.safetensors")
    done = run("net.safetensors", "--format", kind, command=export)
    assert done.out == f"model  net.safetensors: {TEXT}\nsaved  {file}, {Path(file).stat().st_size:,} bytes\n"
    done = run(file, "--save", "back.safetensors", command=import_)
    assert done.out == f"file   {file}\nmodel  {TEXT}\nsaved  back.safetensors, 650 parameters\n"
    back = pynet.load("back.safetensors")
    assert back.weights_sha256() == pynet.load("net.safetensors").weights_sha256()
    assert file in back.meta["made_by"]
    assert sha256("net.safetensors") == before


def test_files_that_exist_stay() -> None:
    save_model("net.safetensors")
    Path("net.npz").write_text("kept")
    one_line(run("--format", "npz", command=export), 1, "net.npz exists; --force replaces it")
    assert Path("net.npz").read_text() == "kept"
    assert run("--format", "npz", "--force", command=export).status == 0
    before = sha256("net.safetensors")
    one_line(run("net.npz", command=import_), 1, "net.safetensors exists; --force replaces it")
    assert sha256("net.safetensors") == before


def test_a_state_dict_does_not_replace_itself() -> None:
    save_file({"fc.weight": np.ones((2, 3), "f4"), "fc.bias": np.array([0, 1], "f4")}, "fc.safetensors")
    before = sha256("fc.safetensors")
    done = run("fc.safetensors", "--net", "input(3) dense(2)", "--mean", "1,2,3", "--std", "2", command=import_)
    assert "saved  fc-pynet.safetensors, 8 parameters" in done.out
    assert sha256("fc.safetensors") == before
    net = pynet.load("fc-pynet.safetensors")
    np.testing.assert_array_equal(net.predict_proba(np.array([[3.0, 2, 5]])), [[2, 3]])


@pytest.mark.parametrize(
    ("argv", "status", "message"),
    [
        (["nowhere.npz"], 1, "nowhere.npz"),
        (["net.pt"], 2, "'net.pt' is not accepted; accepted: .onnx, .safetensors"),
        (["fc.safetensors"], 1, "has no text of a network"),
        (["fc.safetensors", "--net", "input(3) dens(2)"], 1, "did you mean dense"),
        (["fc.safetensors", "--net", "input(4) dense(2)"], 1, "fits no layer; layers: 0, dense(2) with weight (2, 4)"),
        (["fc.safetensors", "--net", "input(3) dense(2)", "--map", "fc"], 2, "'fc' is not accepted; accepted: names"),
        (["fc.safetensors", "--net", "input(3) dense(2)", "--std", "a"], 2, "'a' is not accepted; accepted: numbers"),
        (["fc.safetensors", "--net", "input(3) dense(2)", "--std", "nan"], 1, "scale of standardize holds nan"),
        (["fc.safetensors", "--save", "no/where.safetensors"], 1, "cannot write no/where.safetensors"),
    ],
)
def test_what_is_wrong_is_one_line(argv: list[str], status: int, message: str) -> None:
    save_file({"fc.weight": np.ones((2, 3), "f4"), "fc.bias": np.array([0, 1], "f4")}, "fc.safetensors")
    one_line(run(*argv, command=import_), status, message)
    assert [path.name for path in Path().iterdir()] == ["fc.safetensors"]


def test_onnx() -> None:
    pytest.importorskip("onnx")
    save_model("net.safetensors")
    assert "saved  net.onnx" in run("--format", "onnx", "--input", "uint8", "--logits", command=export).out
    done = run("net.onnx", "--save", "back.safetensors", command=import_)
    assert "model  input(64) dense(10)\n" in done.out
    x = np.random.default_rng(0).integers(0, 256, (5, 64), np.uint8)
    logits = pynet.load("back.safetensors").predict_proba(x)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(p, pynet.load("net.safetensors").predict_proba(x), atol=1e-6)
    one_line(run("net.onnx", "--net", "input(64)", command=import_), 2, "--net is for weights")
    one_line(run("--format", "npz", "--logits", command=export), 2, "--logits is for --format onnx")
    Path("bad.onnx").write_bytes(b"\xff" * 30)
    one_line(run("bad.onnx", command=import_), 1, "bad.onnx: not an ONNX file, or damaged")


def test_export_needs_a_format() -> None:
    save_model("net.safetensors")
    one_line(run("net.safetensors", command=export), 2, "--format")
    one_line(run("nowhere.safetensors", "--format", "npz", command=export), 1, "nowhere.safetensors")


def test_one_c_file() -> None:
    save_model("3 d.safetensors")
    done = run("3 d.safetensors", "--format", "c", "--selftest", command=export)
    sizes = [f"{Path(name).stat().st_size:,}" for name in ("net_3_d.c", "net_3_d.h")]
    assert done.out == (
        f"model  3 d.safetensors: {TEXT}\nsaved  net_3_d.c, {sizes[0]} bytes, net_3_d.h, {sizes[1]} bytes\n"
        "needs  2,600 bytes for constants, and the code; 4 bytes of work memory\n"
    )
    assert sha256("3 d.safetensors") in Path("net_3_d.c").read_text()
    assert status(compiled("cc", [Path("net_3_d.c")], "", Path("program").absolute())) == 0
    one_line(run("--format", "c", command=export), 1, "net_3_d.c exists; --force replaces it")
    Path("net_3_d.c").unlink()
    one_line(run("--format", "c", command=export), 1, "net_3_d.h exists; --force replaces it")
    assert not Path("net_3_d.c").exists()
    one_line(run("--format", "c", "--save", "net.cpp", command=export), 1, "'net.cpp'; accepted: letters, digits")


def test_integers_and_what_they_cost() -> None:
    digits = pynet.data.load("digits")
    net = pynet.Network("input(64) dense(32) relu dense(10) softmax")
    net.fit(digits.x_train, digits.y_train, epochs=5)
    net.save("net.safetensors")
    of_c = ("net.safetensors", "--format", "c", "--force", "--int8", "--calibrate")
    done = run(*of_c, "digits", "--selftest", command=export)
    accuracy = percent(net.evaluate(digits.x_test, digits.y_test).score)
    assert re.fullmatch(
        rf"int8   accuracy {accuracy} in floating point, \d\d\.\d\d % in integers "
        r"\(355 samples of digits for testing\); calibrated on 1,442 others",
        done.out.splitlines()[-1],
    )
    assert status(compiled("cc", [Path("net.c")], "", Path("program").absolute())) == 0
    np.savez("own.npz", x=digits.x_test.reshape(-1, 64), y=digits.y_test)
    assert "(70 samples of own for testing); calibrated on 285 others" in run(*of_c, "own.npz", command=export).out
    done = run(*of_c, "own.npz", "--dataset", "digits", command=export)
    assert "(355 samples of digits for testing); calibrated on 285 others" in done.out
    before = sha256("net.c")
    one_line(run(*of_c, "nowhere.npz", command=export), 1, "nowhere.npz")
    np.savez("other.npz", x=np.zeros((9, 5), np.float32), y=np.arange(9) % 2)
    one_line(run(*of_c, "other.npz", command=export), 1, "takes 64 inputs")
    pynet.Network("input(64) dense(10) tanh dense(10)").save("tanh.safetensors")
    options = ("tanh.safetensors", "--format", "c", "--int8", "--calibrate", "digits")
    one_line(run(*options, command=export), 1, "layer 1, tanh, is not written in integers")
    assert (sha256("net.c"), Path("tanh.c").exists()) == (before, False)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--format", "c", "--int8"], "--int8 needs --calibrate DATA"),
        (["--format", "c", "--calibrate", "digits"], "--calibrate needs --int8"),
        (["--format", "c", "--dataset", "digits"], "--dataset is for --int8"),
        (["--format", "npz", "--selftest"], "--selftest and --int8 are for --format c"),
        (["--format", "npz", "--input", "uint8"], "--input is for --format onnx and c"),
        (["--format", "c", "--logits"], "--logits is for --format onnx"),
    ],
)
def test_options_that_do_not_go_together(argv: list[str], message: str) -> None:
    one_line(run(*argv, command=export), 2, message)


def test_data_without_samples_for_testing() -> None:
    """Trained on all: a fifth is set aside to measure; of four samples that is none."""
    rng = np.random.default_rng(0)
    np.savez("all.npz", x=rng.integers(0, 256, (20, 64), np.uint8), y=np.arange(20) % 2)
    few = ("--data", "all.npz", "--test-split", "0", "--epochs", "1", "--quiet", "--save", "net.safetensors")
    assert run(*few).status == 0
    of_c = ("net.safetensors", "--format", "c", "--int8", "--calibrate", "all.npz")
    assert "(4 samples of all for testing); calibrated on 16 others" in run(*of_c, command=export).out
    np.savez("all.npz", x=rng.integers(0, 256, (4, 64), np.uint8), y=np.arange(4) % 2)
    assert run(*few).status == 0
    one_line(run(*of_c, "--force", command=export), 1, "all has too few samples to measure the accuracy")
