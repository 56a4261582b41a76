"""Fixtures for the tests of commands: a working folder, a model."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.command import FEW, run

import pynet
from pynet import data


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def model(folder: Path) -> pynet.Network:
    """A briefly trained network, saved as digits.safetensors."""
    assert run(*FEW).status == 0
    return pynet.load("digits.safetensors")


@pytest.fixture(scope="module")
def digits_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network trained on the built-in digits."""
    digits = data.load("digits")
    net = pynet.Network("input(64) dense(64) relu dense(10) softmax")
    net.fit(digits.x_train, digits.y_train, epochs=30)
    net.meta["dataset"], net.meta["test_accuracy"] = "digits", "0.97"
    path = tmp_path_factory.mktemp("model") / "digits.safetensors"
    net.save(path)
    return path
