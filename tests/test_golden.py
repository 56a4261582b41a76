"""What earlier versions saved, in tests/golden: it loads with the same bits, predicts the same, and trainings go on."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden.make import (
    EXPECTED,
    FOLDER,
    MODELS,
    TRAININGS,
    digest,
    ended,
    facts,
    model,
    of_columns,
    of_table,
    resume,
    tables,
)
from helpers import ROOT

import pynet
from pynet import History, Network, data, kernels
from pynet.model.net import LOSSES

FOUND: dict[str, Any] = json.loads(EXPECTED.read_text("utf-8"))
CHECKPOINTS = {name: f"{name}.checkpoint.safetensors" for name in TRAININGS}

# Without fused multiply-add, sums are rounded more often.
fused = pytest.mark.skipif(kernels.cpu() == "portable", reason="needs a table with fused multiply-add")


def test_there_is_a_file_for_everything() -> None:
    files = {path.name for path in FOLDER.iterdir()} - {"make.py", "expected.json", "__pycache__"}
    exported = {f"{name}.npz" for name in MODELS}
    assert files == FOUND.keys() | exported | {"command.csv", "command.json"}
    assert {f"{name}.safetensors" for name in MODELS} | set(CHECKPOINTS.values()) <= FOUND.keys()
    kinds = {word.partition("(")[0] for text in MODELS.values() for word in text.replace(")", ") ").split()}
    assert kinds >= {cls.word for cls in pynet.layers.Layer.__subclasses__()}
    assert {Network(text).loss_name for text in MODELS.values()} == set(LOSSES.values())


OUTPUTS = ("outputs", "of floats")
MODEL_FILES = [name for name in FOUND if name.endswith(".safetensors")]


@pytest.mark.parametrize("file", MODEL_FILES)
def test_a_model_has_the_same_bits(file: str) -> None:
    found = facts(pynet.load(FOLDER / file))
    assert found.keys() == FOUND[file].keys() - {"ended"}
    for what in found.keys() - set(OUTPUTS):
        assert found[what] == FOUND[file][what], what


@fused
@pytest.mark.parametrize("file", MODEL_FILES)
def test_a_model_gives_the_same_bits(file: str) -> None:
    found = facts(pynet.load(FOLDER / file))
    for what in OUTPUTS:
        assert found[what] == FOUND[file][what], what


NUMBERS = {f"{name}.safetensors" for name in ("absolute", "huber", "images", "numbers.checkpoint", "scaled")}


@pytest.mark.parametrize("file", MODEL_FILES)
def test_a_model_predicts_classes_labels_or_numbers_as_before(file: str) -> None:
    net = pynet.load(FOLDER / file)
    x = np.random.RandomState(0).random_sample((9, *net.in_shape)).astype(np.float32)
    outputs, found = net.predict_proba(x).reshape(9, -1), net.predict(x)
    expected = outputs.argmax(axis=1)
    if file in NUMBERS:
        expected = outputs.squeeze(axis=1) if outputs.shape[1] == 1 else outputs
    elif file == "labels.safetensors":
        expected = (outputs > 0.5).astype(int)
    assert np.array_equal(found, expected)
    assert (found.dtype == np.float32) == (file in NUMBERS)


@pytest.mark.parametrize("name", MODELS)
def test_an_exported_model_has_the_same_bits(name: str) -> None:
    net, expected = pynet.import_npz(FOLDER / f"{name}.npz"), FOUND[f"{name}.safetensors"]
    assert (net.spec, net.weights_sha256()) == (expected["text"], expected["weights"])


@pytest.mark.parametrize("name", MODELS)
def test_saved_again_it_is_the_same_file(tmp_path: Path, name: str) -> None:
    pynet.load(FOLDER / f"{name}.safetensors").save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (FOLDER / f"{name}.safetensors").read_bytes()


@fused
@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_goes_on_to_the_same_bits(tmp_path: Path, name: str) -> None:
    path = tmp_path / "c.safetensors"
    shutil.copy(FOLDER / CHECKPOINTS[name], path)
    assert ended(*resume(name, path)) == FOUND[CHECKPOINTS[name]]["ended"]


@fused
@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_from_its_beginning_comes_to_the_same_bits(tmp_path: Path, name: str) -> None:
    assert ended(*resume(name, tmp_path / "c.safetensors", begin=True)) == FOUND[CHECKPOINTS[name]]["ended"]


@pytest.mark.parametrize("name", TRAININGS)
def test_a_checkpoint_lies_within_an_epoch(name: str) -> None:
    from pynet.training import checkpoint

    state, _ = checkpoint.read(FOLDER / CHECKPOINTS[name])
    assert len(state.rows) == 1
    assert state.stats["steps"] > 0
    assert state.optimizer.tensors


def test_a_history_has_the_same_figures() -> None:
    table, objects = History.load(FOLDER / "command.csv"), History.load(FOLDER / "command.json")
    note = FOUND["command.safetensors"]["notes"]["history"]
    assert table.note() == objects.note() == note
    assert len(table.loss) == 2


@fused
def test_a_model_of_a_table_predicts_the_same() -> None:
    assert of_columns(FOLDER / "columns.csv") == FOUND["columns.csv"]


# Files from before batchnorm summed over each image: today's training has other last bits.
TRAINED_OTHERWISE = {"images", "nested"}


def trained_in_c() -> dict[str, str]:
    """The SHA-256 of the weights of each network that the C test trains."""
    text = (ROOT / "tests" / "c" / "net" / "test_golden.c").read_text("utf-8")
    strings = re.findall(r'"((?:[^"\\]|"\s+")*)"', text.partition("golden[] = {")[2].partition("};")[0])
    return {re.sub(r'"\s+"', "", network): fused for network, fused, _ in zip(*[iter(strings)] * 3, strict=True)}


def test_the_c_test_trains_the_same_networks() -> None:
    pairs = trained_in_c()
    assert pairs.keys() == set(MODELS.values())
    for name, network in MODELS.items():
        same = pairs[network] == FOUND[f"{name}.safetensors"]["weights"]
        assert same != (name in TRAINED_OTHERWISE), name


@fused
@pytest.mark.parametrize("name", sorted(TRAINED_OTHERWISE))
def test_python_trains_them_to_the_bits_of_c(name: str) -> None:
    assert model(name).weights_sha256() == trained_in_c()[MODELS[name]]


@pytest.mark.parametrize("file", ["digits.npz", "digits.csv", "idx"])
def test_a_table_has_the_same_bits(file: str) -> None:
    assert of_table(data.load(FOLDER / file)) == FOUND[file]


def test_the_tables_hold_what_was_put_in() -> None:
    arrays = tables()
    for file in ("digits.npz", "idx"):
        found = data.load(FOLDER / file)
        assert digest(found.x_train, found.x_test) == digest(arrays["x_train"], arrays["x_test"])
    found = data.load(FOLDER / "digits.csv")  # which has no test set: some of the rows become one
    rows = np.concatenate([found.x_train, found.x_test]).reshape(12, 12)
    assert sorted(map(bytes, rows)) == sorted(map(bytes, arrays["x_train"].reshape(12, 12)))
