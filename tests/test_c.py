"""The core from C: the programs in the header, the example of docs/how-to.md, and training without Python."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

import pynet

ROOT = Path(__file__).resolve().parent.parent
C = ROOT / "tests" / "c"


def compiled(source: Path, libpynet: Path, folder: Path, library: str) -> Path:
    """A program that uses only pynet.h and one of the two libraries."""
    program = folder / source.stem
    link = (
        [str(libpynet / "libpynet.a")]
        if library == "static"
        else [f"-L{libpynet}", "-lpynet", f"-Wl,-rpath,{libpynet}"]
    )
    command = [
        "cc",
        "-Wall",
        "-Wextra",
        "-Werror",
        f"-I{ROOT / 'csrc'}",
        "-o",
        program,
        source,
        *link,
        "-lm",
        "-pthread",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return program


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[pynet.Network, Path]:
    digits = pynet.data.load("digits")
    net = pynet.Network("input(64) dense(32) relu dense(10) softmax")
    net.fit(digits.x_train, digits.y_train, epochs=3)
    path = tmp_path_factory.mktemp("model") / "digits.safetensors"
    net.save(path)
    return net, path


@pytest.mark.parametrize("library", ["static", "shared"])
def test_example_predicts_the_same_bits_as_python(
    model: tuple[pynet.Network, Path], libpynet: Path, tmp_path: Path, library: str
) -> None:
    net, path = model
    program = compiled(C / "example.c", libpynet, tmp_path, library)
    for image in pynet.data.load("digits").x_test[:5]:
        (tmp_path / "image").write_bytes(image.tobytes())
        done = subprocess.run([program, path, tmp_path / "image"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        printed = np.array([line.split()[1] for line in done.stdout.splitlines()], np.float32)
        np.testing.assert_array_equal(printed, net.predict_proba(image[None])[0])


def test_example_prints_errors(model: tuple[pynet.Network, Path], libpynet: Path, tmp_path: Path) -> None:
    program = compiled(C / "example.c", libpynet, tmp_path, "static")
    (tmp_path / "short").write_bytes(b"123")
    for arguments, message in (
        ([], "usage:"),
        ([tmp_path / "short", tmp_path / "short"], "short"),
        ([model[1], tmp_path / "short"], "cannot read 64 pixels"),
    ):
        done = subprocess.run([program, *arguments], capture_output=True, text=True)
        assert done.returncode in (1, 2)
        assert message in done.stderr


def test_example_is_in_the_how_to() -> None:
    body = (C / "example.c").read_text().partition("int main")[2]
    assert body in (ROOT / "docs/how-to.md").read_text("utf-8")


def test_training_in_c_gives_the_same_bits_as_python(libpynet: Path, tmp_path: Path) -> None:
    digits = pynet.data.load("digits")
    spec, seed, epochs, batch = "input(64) dense(37) relu dense(20) sigmoid dense(10) softmax", 5, 2, 30
    (tmp_path / "x").write_bytes(digits.x_train.tobytes())
    (tmp_path / "y").write_bytes(digits.y_train.astype("<i4").tobytes())
    program = compiled(C / "train.c", libpynet, tmp_path, "static")
    arguments = [
        spec,
        seed,
        epochs,
        batch,
        tmp_path / "x",
        tmp_path / "y",
        len(digits.x_train),
        tmp_path / "c.safetensors",
    ]
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    net = pynet.Network(spec, seed=seed)
    net.fit(digits.x_train, digits.y_train, epochs=epochs, batch_size=batch)
    trained = pynet.load(tmp_path / "c.safetensors")
    assert trained.weights_sha256() == net.weights_sha256()
    assert trained.seed == seed


def test_the_programs_in_the_header_run(libpynet: Path, tmp_path: Path) -> None:
    header = (ROOT / "csrc" / "pynet.h").read_text("utf-8").partition("*/")[0]
    sources = re.findall(r"^ \*     #include.*?^ \*     }$", header, re.MULTILINE | re.DOTALL)
    assert len(sources) == 2
    printed = []
    for name, source in zip(["train", "predict"], sources, strict=True):
        (tmp_path / f"{name}.c").write_text(re.sub(r"^ \*(     )?", "", source, flags=re.MULTILINE) + "\n")
        program = compiled(tmp_path / f"{name}.c", libpynet, tmp_path, "static")
        done = subprocess.run([program], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout)
    probability = float(pynet.load(tmp_path / "xor.safetensors").predict_proba([[1.0, 0.0]])[0, 1])
    assert printed == ["", f"probability of label 1: {probability:.3f}\n"]
    assert probability > 0.9

    (tmp_path / "xor.safetensors").write_bytes(b"")
    done = subprocess.run([program], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "xor.safetensors" in done.stderr
