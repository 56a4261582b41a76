"""Fixtures for the tests of commands: a working folder, a model."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.command import FEW, run

import pynet


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
