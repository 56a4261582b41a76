"""Model files of Python in WebAssembly, those of WebAssembly in Python; damaged ones, and networks that do not fit."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from core.test_file_damaged import BAD_UTF8, FALSE_HEADERS
from golden.make import FOLDER
from helpers.model_file import DATA, file_bytes, make_header, save_bytes
from wasm.module import ARGUMENT, FORMAT, MEMORY, NONFINITE, PARAMETER, SPEC, STATE, Core, Refused

import pynet
from pynet import Network, data

MODELS = sorted(FOLDER.glob("*.safetensors"))


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_model_of_python(core: Core, path: Path) -> None:
    yours, mine = pynet.load(path), core.load(path.read_bytes())
    assert mine.sha256() == yours.weights_sha256()
    x = np.random.RandomState(0).random_sample((9, *yours.in_shape)).astype(np.float32)
    assert np.array_equal(mine.predict(x), yours.predict_proba(x).reshape(9, -1))
    assert mine.saved() == save_bytes(yours)


def test_the_accuracy_of_a_model_of_python(core: Core) -> None:
    digits = data.load("digits")
    yours = Network("input(64) dense(32) relu dense(10) softmax", seed=0)
    yours.fit(digits.x_train, digits.y_train, epochs=10, batch_size=32, optimizer=pynet.Adam(), verbose=False)
    mine = core.load(save_bytes(yours))
    assert mine.accuracy(digits.x_test, digits.y_test) == yours.evaluate(digits.x_test, digits.y_test).accuracy > 0.9


def test_python_opens_what_it_saves(core: Core, tmp_path: Path) -> None:
    mine = core.net("input(4) dense(3) relu dense(2) softmax", 5)
    path = tmp_path / "model.safetensors"
    path.write_bytes(mine.saved())
    found = pynet.load(path)
    assert (found.seed, found.weights_sha256()) == (5, mine.sha256())


def refusal(core: Core, content: bytes) -> str:
    with pytest.raises(Refused) as caught:
        core.load(content)
    status, message = caught.value.args
    assert status == FORMAT and 0 < len(message) < 256
    return str(message)


@pytest.mark.parametrize("case", FALSE_HEADERS)
def test_a_false_header(core: Core, case: str) -> None:
    damage, message = FALSE_HEADERS[case]
    assert re.search(message, refusal(core, file_bytes(damage(make_header()))))


def test_text_that_is_not_utf8(core: Core) -> None:
    for text in BAD_UTF8:
        damaged = file_bytes(json.dumps(make_header()).encode().replace(b"blue", text))
        assert "text that is not UTF-8" in refusal(core, damaged)


@pytest.mark.parametrize("length", [3, 2**31, 2**32 - 8, 2**32, 2**32 + 2, 2**63, 2**64 - 8, 2**64 - 1])
def test_a_false_length(core: Core, length: int) -> None:
    assert f"its header claims {length} bytes" in refusal(core, file_bytes("{}", b"", length=length))


def test_sizes_that_are_small_modulo_2_to_the_32(core: Core) -> None:
    """Size_t has 32 bits here."""

    def entries(shape: list[int], end: int) -> str:
        header = make_header()
        header["2.b"].update(shape=shape, data_offsets=[48, end])
        return refusal(core, file_bytes(header))

    assert "shape (4294967298)" in entries([2**32 + 2], 56).replace(",)", ")")
    assert f"its tensors take {2**32 + 56} bytes" in entries([2], 2**32 + 56)


def test_every_prefix_and_damaged_bytes(core: Core) -> None:
    whole = file_bytes(make_header())
    assert core.load(whole).saved()
    for size in range(len(whole)):
        refusal(core, whole[:size])
    random = np.random.RandomState(1)
    refused = 0
    for _ in range(3000):
        damaged = bytearray(whole)
        for _ in range(random.randint(1, 4)):
            damaged[random.randint(len(whole) - len(DATA))] = random.randint(256)
        try:
            core.load(bytes(damaged))
        except Refused:
            refused += 1
    assert refused > 2000


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("input(2) dens(3)", SPEC, 'column 10: unknown layer "dens"; did you mean dense?'),
        ("", SPEC, "column 1"),
        ("input(2) " + "relu " * 600_000, SPEC, "the text of the network takes 3000008 bytes; accepted: at most 65536"),
        ("input(2)" + " residual(" * 100_000, SPEC, "column"),
        ("input(30000) dense(30000) dense(2)", MEMORY, "no memory for 900090002 parameters"),
        ("input(200000) dense(200000)", SPEC, "40000000000 weights; accepted: at most 2147483647"),
    ],
)
def test_a_network_that_does_not_fit(core: Core, text: str, status: int, message: str) -> None:
    with pytest.raises(Refused) as caught:
        core.net(text)
    assert caught.value.args[0] == status and message in caught.value.args[1]
    works(core)


def test_a_batch_that_does_not_fit(core: Core) -> None:
    net = core.net("input(1,5000,5000) conv(10,3)")
    core.call("data", 8, 1, 0, 0, 2)  # memory is asked for before the samples are read
    with pytest.raises(Refused, match="no memory for a batch of 2 samples"):
        net.call("infer")
    works(core)


# Numbers of floats or bytes that are small modulo 2^32: size_t has 32 bits here.
@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("input(20000) dense(60000,bias=no) dense(30000,bias=no) dense(43166,bias=no)", 0),
        ("input(1) dense(4096) dense(1) loss(mse)", 2**20),
        ("input(1,100,100) conv(64,5,pad=same) relu dense(1) loss(mse)", 6710),
    ],
)
def test_what_is_small_modulo_2_to_the_32(core: Core, text: str, n: int) -> None:
    if not n:
        with pytest.raises(Refused, match="no memory for 4294980000 parameters"):
            core.net(text)
        return works(core)
    net = core.net(text)
    x = np.zeros((n, int(np.prod(net.about["inShape"]))), np.uint8)
    core.data(x, None, np.zeros((n, 1), np.float32))
    for call in (lambda: net.call("forward"), lambda: net.train(np.arange(n), n, "adam", 0.1)):
        with pytest.raises(Refused) as caught:
            call()
        assert caught.value.args[0] == MEMORY
    core.optimizer("adam", 0.1)
    net.call("memory", n, 1)
    assert core.numbers()[0] > 2**31
    works(core)


def test_the_memory_that_a_network_takes(core: Core) -> None:
    net = core.net("input(64) dense(256) relu dense(10) softmax")
    net.call("memory", 100, 0)
    least = core.numbers()[0]
    core.optimizer("adam", 0.1)
    net.call("memory", 100, 1)
    parameters = 4 * net.about["parameters"]
    assert parameters < least < least + 4 * parameters < core.numbers()[0]


def works(core: Core) -> None:
    net = core.net("input(2) dense(2) softmax")
    assert net.predict(np.zeros((1, 2), np.float32)).sum() == 1


def test_wrong_numbers_and_wrong_order(core: Core) -> None:
    x, labels = np.float32([[0, 1], [1, 0]]), np.int32([0, 1])
    net = core.net("input(2) dense(3) relu dense(2) softmax")

    def status(call: Any) -> int:
        with pytest.raises(Refused) as caught:
            call()
        return int(caught.value.args[0])

    core.data(x, labels)
    assert status(lambda: net.train([0, 1], 2, "sgd", np.nan)) == ARGUMENT
    assert status(lambda: net.train([0, 2], 2, "sgd", 0.1)) == ARGUMENT
    assert status(lambda: net.train([0, 1], 0, "sgd", 0.1)) == ARGUMENT
    assert status(lambda: net.call("loss")) == STATE
    assert status(lambda: net.call("backward")) == STATE
    core.data(x, np.int32([0, 7]))
    assert status(lambda: net.train([0, 1], 2, "sgd", 0.1)) == ARGUMENT
    core.data(np.float32([[np.inf, 1], [1, 0]]), labels)
    assert status(lambda: net.train([0, 1], 2, "sgd", 0.1)) in (ARGUMENT, NONFINITE)
    first = net.about["tensors"][0]
    core.view(first["data"], 4)[:] = np.float32(np.nan).tobytes()
    core.data(x, labels)
    assert status(lambda: net.train([0, 1], 2, "sgd", 0.1)) == PARAMETER
