"""The programs of examples/: they are short, `make examples` compiles them, and what they print and save is right."""

from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, make

import pynet

SOURCES = sorted([*ROOT.glob("examples/*.c"), *ROOT.glob("examples/*.cpp")])


@pytest.fixture(scope="module")
def examples() -> Path:
    """The folder with the programs."""
    make("examples")
    return ROOT / "build" / "example"


def printed(program: Path, *arguments: Path) -> list[str]:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def refused(program: Path, *arguments: Path) -> str:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_it_is_short_and_tested(source: Path) -> None:
    assert len(source.read_text("utf-8").splitlines()) < 80
    assert f'examples / "{source.stem}"' in Path(__file__).read_text("utf-8")


def test_xor(examples: Path) -> None:
    lines = printed(examples / "xor")
    assert [line.partition(", with")[0] for line in lines[-4:]] == [
        "0 xor 0: 0",
        "0 xor 1: 1",
        "1 xor 0: 1",
        "1 xor 1: 0",
    ]
    losses = [float(line.split()[-1]) for line in lines[:-4]]
    assert len(losses) == 5
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.01


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[pynet.Network, Path]:
    digits = pynet.data.load("digits")
    net = pynet.Network("input(64) dense(32) relu dense(10) softmax")
    net.fit(digits.x_train, digits.y_train, epochs=3)
    path = tmp_path_factory.mktemp("model") / "digits.safetensors"
    net.save(path)
    return net, path


def test_digits_predicts_the_same_bits_as_python(
    model: tuple[pynet.Network, Path], examples: Path, tmp_path: Path
) -> None:
    net, path = model
    for image in pynet.data.load("digits").x_test[:5]:
        (tmp_path / "image").write_bytes(image.tobytes())
        lines = printed(examples / "digits", path, tmp_path / "image")
        probabilities = np.array([line.split()[1] for line in lines], np.float32)
        np.testing.assert_array_equal(probabilities, net.predict_proba(image[None])[0])


def test_digits_names_what_is_wrong(model: tuple[pynet.Network, Path], examples: Path, tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"123")
    assert "usage:" in refused(examples / "digits")
    assert "short" in refused(examples / "digits", tmp_path / "short", tmp_path / "short")
    assert "cannot read 64 pixels" in refused(examples / "digits", model[1], tmp_path / "short")


def write_idx(path: Path, array: np.ndarray) -> Path:
    path.write_bytes(struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes())
    return path


def test_train_mnist_gives_the_same_bits_as_python(examples: Path, tmp_path: Path) -> None:
    digits = pynet.data.load("digits")
    x, y = digits.x_train.reshape(-1, 8, 8), digits.y_train.astype(np.uint8)
    images, labels, saved = write_idx(tmp_path / "x", x), write_idx(tmp_path / "y", y), tmp_path / "c.safetensors"
    lines = printed(examples / "train_mnist", images, labels, saved)
    net = pynet.Network("input(64) dense(128) relu dense(64) relu dense(10) softmax", seed=0)
    history = net.fit(digits.x_train, digits.y_train, epochs=3)
    assert lines == [f"epoch {i}  loss {loss:.4f}" for i, loss in enumerate(history.loss, 1)]
    trained = pynet.load(saved)
    assert trained.weights_sha256() == net.weights_sha256()
    assert trained.seed == 0
    assert trained.evaluate(digits.x_test, digits.y_test).accuracy > 0.9


def test_train_mnist_refuses_other_files(examples: Path, tmp_path: Path) -> None:
    x, y = write_idx(tmp_path / "x", np.zeros((3, 8, 8), np.uint8)), write_idx(tmp_path / "y", np.zeros(2, np.uint8))
    empty, short = write_idx(tmp_path / "empty", np.zeros((0, 8, 8), np.uint8)), tmp_path / "short"
    short.write_bytes(x.read_bytes()[:-1])
    for images, labels, message in (
        (x, y, "3 images, 2 labels"),
        (y, x, "not an IDX file of bytes with 3 dimensions"),
        (empty, y, "is empty or larger than 2 GB"),
        (short, y, "cannot read 192 bytes"),
        (tmp_path / "none", y, "not an IDX file"),
    ):
        assert message in refused(examples / "train_mnist", images, labels, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_online(examples: Path) -> None:
    assert sorted(printed(examples / "online")) == ["first: sin(1) = 0.84", "second: sin(1) = 0.84"]


def test_kernels(examples: Path) -> None:
    *lines, last = printed(examples / "kernels")
    assert last == f"computed with the kernels for {pynet.kernels.cpu()}"
    losses = [float(line.split()[3]) for line in lines]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 1e-4


def test_arena(examples: Path) -> None:
    *lines, last = printed(examples / "arena")
    outputs = [float(line.partition(": ")[2]) for line in lines]
    np.testing.assert_allclose(outputs, [0, 1, 1, 0], atol=0.02)
    reserved, size, more = map(int, re.findall(r"\d+", last))
    assert 0 < reserved <= size
    assert more == 0
