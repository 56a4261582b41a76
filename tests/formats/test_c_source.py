"""Exported C files: the bits of pynet's results, on each compiler, and names and texts that cannot break them."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import ROOT
from helpers.c_file import COMPILERS, FUSED, compiled, library, predicted, status
from helpers.random_networks import SPECS, filled, inputs, texts
from hypothesis import given, settings
from numpy.testing import assert_allclose, assert_array_equal

import pynet
from pynet.formats.c_program import Program, Value, placed
from pynet.formats.c_source import c_name

Array = np.ndarray[Any, Any]

# The functions that SPECS lack, and rows of more than 16 numbers, which are summed in another order.
MORE = (
    "input(40) dense(50) tanh layernorm dense(33) gelu dense(60,bias=no) leaky_relu(0.1) residual(dense(20)) softmax",
    "input(3,4,5) residual(dense(70) sigmoid) batchnorm softmax dense(3) sigmoid loss(bce)",
    "input(2,4,4) flatten dropout(0.5)",
    "input(5) relu",
)
# The core may compute such convolutions in Winograd's way.
WINOGRAD = "input(16,8,6) conv(32,3,pad=1) relu conv(16,3) globalavgpool dense(3)"


def test_there_is_a_compiler() -> None:
    assert COMPILERS


def samples(net: pynet.Network, dtype: str, n: int = 6) -> Array:
    """Inputs, half of them 0; of the floats some are large, so that exp reaches its ends."""
    rng = np.random.default_rng(n)
    kept = rng.random((n, *net.in_shape)) < 0.5
    if dtype == "uint8":
        return rng.integers(0, 256, kept.shape, np.uint8) * kept
    factors = np.float32([1, 1, 1, 1, 30, 900])[:n]
    return inputs(net, n) * factors.reshape(-1, *[1] * len(net.in_shape)) * kept


def agree(got: Array, expected: Array, fused: bool) -> None:
    """The same bits, if both have fused multiply-adds; else within 1e-5 of the largest number."""
    if fused:
        assert_array_equal(got, expected)
    else:
        assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * max(1, abs(expected).max()))


def exported(specs: Sequence[str], folder: Path, first: int) -> dict[Path, tuple[pynet.Network, Array]]:
    """Files for networks, of bytes and of floats in turn, and samples for each."""
    found = {}
    for i, spec in enumerate(specs):
        dtype = ("float32", "uint8")[(i + first) % 2]
        found[folder / f"net{i}.c"] = (net := filled(spec)), samples(net, dtype)
        pynet.export_c(net, folder / f"net{i}.c", input=dtype)
    return found


@pytest.mark.parametrize("compiler", COMPILERS)
def test_the_same_bits(compiler: str, tmp_path: Path) -> None:
    nets = exported([*SPECS, *MORE], tmp_path, COMPILERS.index(compiler))
    loaded = library(compiler, list(nets), f"-O1 {FUSED or ''}", tmp_path / "nets.so")
    for file, (net, x) in nets.items():
        agree(predicted(loaded, file.with_suffix(".h"), net, x), net.predict_proba(x), FUSED is not None)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_without_fused_multiply_adds(compiler: str, tmp_path: Path) -> None:
    nets = exported([SPECS[1], MORE[0], WINOGRAD], tmp_path, COMPILERS.index(compiler))
    loaded = library(compiler, list(nets), "-O1", tmp_path / "nets.so")
    for file, (net, x) in nets.items():
        agree(predicted(loaded, file.with_suffix(".h"), net, x), net.predict_proba(x), fused=False)


@settings(max_examples=6)
@given(text=texts())
def test_the_same_bits_for_any_network(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    net = filled(text)
    pynet.export_c(net, folder / "net.c")
    loaded = library("cc", [folder / "net.c"], FUSED or "", folder / "net.so")
    agree(predicted(loaded, folder / "net.h", net, inputs(net)), net.predict_proba(inputs(net)), FUSED is not None)


def test_optimised_code_has_the_same_bits(tmp_path: Path) -> None:
    """GCC fuses products with sums of its own choice, unless -std=c99 is given."""
    net = filled("input(40) dense(50) gelu dense(33) tanh dense(20) rescale")
    pynet.export_c(net, tmp_path / "net.c")
    for compiler in COMPILERS:
        flags = f"-std=gnu11 -O3 {FUSED or ''} -ffp-contract=fast"
        loaded = library(compiler, [tmp_path / "net.c"], flags, tmp_path / f"{compiler}.so")
        x = samples(net, "float32")
        agree(predicted(loaded, tmp_path / "net.h", net, x), net.predict_proba(x), FUSED is not None)


def test_fast_math_is_refused(tmp_path: Path) -> None:
    pynet.export_c(filled("input(4) sigmoid"), tmp_path / "net.c")
    done = subprocess.run(
        ["cc", "-ffast-math", "-c", tmp_path / "net.c", "-o", tmp_path / "net.o"], capture_output=True, text=True
    )
    assert done.returncode
    assert "compile this file without -ffast-math" in done.stderr


def test_the_comment_and_the_sizes(tmp_path: Path) -> None:
    net = filled("input(784) dense(32) relu dense(10) softmax")
    net.meta["test_accuracy"] = "0.9637"
    net.meta["inputs"] = '{"bytes": true, "lowest": 0, "highest": 255, "whole": true}'
    net.save(tmp_path / "net.safetensors")
    file = pynet.export_c(net, tmp_path / "net.c", model=tmp_path / "net.safetensors")
    assert file == (4 * (784 * 32 + 32 + 32 * 10 + 10), 128, None, ())
    text = (tmp_path / "net.c").read_text()
    for part in (
        "network   input(784) dense(32) relu dense(10) softmax",
        f"net.safetensors, SHA-256 {hashlib.sha256((tmp_path / 'net.safetensors').read_bytes()).hexdigest()}",
        net.weights_sha256(),
        "accuracy  96.37 % on the test samples",
        "flash     101,800 bytes of constants",
        "RAM       128 bytes of work memory, and 40 of results",
    ):
        assert part in text
    header = (tmp_path / "net.h").read_text()
    assert "void net_predict(float *y, const uint8_t *x, float *work);" in header
    assert "#define NET_WORK 32\n" in header
    included = {line for line in text.splitlines() if line.startswith("#include")}
    assert included == {'#include "net.h"', "#include <math.h>", "#include <stdint.h>"}
    pynet.export_c(filled("input(4) relu"), tmp_path / "b.c")
    assert "math.h" not in (tmp_path / "b.c").read_text()
    assert "malloc" not in text


def test_the_comment_states_what_one_output_means(tmp_path: Path) -> None:
    x = np.ones((9, 4), np.float32)
    for text, calibrate, expected in (
        (
            "dense(1) sigmoid loss(bce)",
            None,
            "y: 1 number: probabilities.\n   The class is 1 if the output is above 1/2,",
        ),
        (
            "dense(1) sigmoid loss(bce)",
            x,
            "number above 0 is a probability above 1/2.\n   The class is 1 if y is above 0,",
        ),
        ("dense(1)", None, "y: 1 number: the network's outputs.\n   Calls"),
        ("dense(2) softmax", None, "y: 2 numbers: the probability of each class.\n   Calls"),
    ):
        pynet.export_c(filled(f"input(4) {text}"), tmp_path / "net.c", calibrate=calibrate)
        assert expected in (tmp_path / "net.h").read_text()


def test_the_self_test(tmp_path: Path) -> None:
    net = filled("input(2,5,4) standardize conv(3,3,pad=same) relu dense(4) softmax")
    for dtype in ("float32", "uint8"):
        pynet.export_c(net, tmp_path / "net.c", input=dtype, selftest=True)
        assert status(compiled("cc", [tmp_path / "net.c"], "", tmp_path / "net")) == 0
    text = (tmp_path / "net.c").read_text()
    before, found, after = text.partition("b_3[4] = {\n    ")
    assert found
    (tmp_path / "net.c").write_text(f"{before}{found}0.5f + {after}")
    assert 1 <= status(compiled("cc", [tmp_path / "net.c"], "", tmp_path / "net")) <= 10


HOSTILE = ["*/ int x; /*", '"; system("', "a\\", "??/", "\n#error", "naïve ✓", "\u202egpj", "*\\\n/", "%s", "*??/\n/"]
READER = """
#include "net.h"
#include <stdio.h>
int main(void)
{
    for (int i = 0; i < 10; i++)
        printf("%s|", net_classes[i]);
    return 0;
}
"""


def test_texts_cannot_leave_comments_and_strings(tmp_path: Path) -> None:
    net = filled("input(3) dense(10) softmax")
    net.classes = HOSTILE
    net.meta["test_accuracy"] = "*/ #error"  # no number: left out
    model = tmp_path / "a ??\n#error *\\"
    net.save(model)
    pynet.export_c(net, tmp_path / "net.c", model=model)
    (tmp_path / "reader.c").write_text(READER)
    program = compiled("cc", [tmp_path / "net.c", tmp_path / "reader.c"], "", tmp_path / "reader")
    printed = subprocess.run([program], capture_output=True, timeout=60).stdout.decode()
    assert printed == "".join(f"{name}|" for name in HOSTILE)
    text = (tmp_path / "net.c").read_text("utf-8")
    assert "naïve ✓" in text and all(c.isprintable() for c in text.replace("\n", ""))  # no mark of direction either
    assert re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL).isascii()


@pytest.mark.parametrize("name", ["net", "no.txt", ".c", "a b.c", 'a".c', "math.c", "stdint.c", "-a.c", "é.c", "a\n.c"])
def test_file_names_that_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="accepted: letters, digits and _"):
        pynet.export_c(filled("input(2) relu"), tmp_path / name)
    assert not list(tmp_path.iterdir())


NAMES = {"mnist": "mnist", "my model-2": "my_model_2", "3d": "net_3d", "": "net", "_x": "x", "été": "t", "int": "int"}
NAMES |= {"math": "net_math", "*/": "net", "a" * 99: "a" * 40}


def test_names_made_of_any_text(tmp_path: Path) -> None:
    assert {text: c_name(text) for text in NAMES} == NAMES
    files = [tmp_path / f"{name}.c" for name in sorted(set(NAMES.values()))]
    for file in files:
        pynet.export_c(filled("input(2) relu"), file)
    library("cc", files, "", tmp_path / "all.so")


def test_what_is_not_accepted(tmp_path: Path) -> None:
    net = filled("input(2) dense(3)")
    with pytest.raises(ValueError, match="input is 'int8'; accepted: float32, uint8"):
        pynet.export_c(net, tmp_path / "net.c", input="int8")  # type: ignore[arg-type]
    net.tensors["0.b"][1] = np.inf
    with pytest.raises(ValueError, match=r"parameter 0\.b holds inf; accepted: finite numbers"):
        pynet.export_c(net, tmp_path / "net.c")
    (tmp_path / "other.h").mkdir()
    with pytest.raises(OSError, match="it is a folder"):
        pynet.export_c(filled("input(2) relu"), tmp_path / "other.c")
    assert [path.name for path in tmp_path.iterdir()] == ["other.h"]


def test_a_table_tells_its_inputs(tmp_path: Path) -> None:
    rows = ["size,town,price", *(f"{i * i % 37},{'aö'[i % 2]} */,{3 * i}" for i in range(40))]
    (tmp_path / "flats.csv").write_text("\n".join(rows), "utf-8")
    data = pynet.data.table(tmp_path / "flats.csv", target="price")
    net = pynet.Network(f"input({len(data.features)}) standardize dense(4) relu dense(1) rescale")
    pynet.data.prepare(net, data)
    pynet.export_c(net, tmp_path / "flats.c", selftest=True)
    header = (tmp_path / "flats.h").read_text("utf-8")
    assert "Not exported: how rows of a table become inputs" in header
    assert f"0  size, mean {data.means[0]:.9g}" in header
    assert "1  town=a * /" in header and "2  town=ö * /" in header
    assert "y is 'price', in the unit of the training table" in header
    assert status(compiled("cc", [tmp_path / "flats.c"], "", tmp_path / "a.out")) == 0


def test_arrays_share_memory_in_turn() -> None:
    program = Program(x := Value(8), x)
    a = program.call("dense", Value(100), [x])
    b = program.call("dense", Value(10), [a])
    c = program.call("relu", Value(10), [b], in_place=True)
    d = program.call("dense", Value(90), [c])
    y = program.call("add", Value(90), [d, d], in_place=True)
    memory = placed(program, 4)
    assert memory.bytes == 4 * (100 + 10)
    assert memory.places == {a: 0, b: 400, c: 400}
    assert program.output is y


def test_the_program_in_the_documents(tmp_path: Path) -> None:
    page = (ROOT / "docs/models.md").read_text("utf-8")
    [program] = re.findall(r"^```c\n(.*?)^```$", page, re.M | re.S)
    digits = pynet.data.load("digits")
    net = pynet.Network("input(64) dense(32) relu dense(10) softmax")
    net.fit(digits.x_train, digits.y_train, epochs=5)
    pynet.export_c(net, tmp_path / "digits.c", input="uint8")
    (tmp_path / "main.c").write_text(program)
    made = compiled("cc", [tmp_path / "digits.c", tmp_path / "main.c"], "", tmp_path / "main")
    done = subprocess.run([made], input=digits.x_test[0].tobytes(), capture_output=True, timeout=60)
    p = net.predict_proba(digits.x_test[:1])[0]
    assert done.stdout.decode() == f"{p.argmax()}, probability {p.max():.2f}\n"
