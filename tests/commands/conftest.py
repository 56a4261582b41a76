"""Where the commands' tests work."""

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
    """A network that has learnt a little, in digits.safetensors."""
    assert run(*FEW).status == 0
    return pynet.load("digits.safetensors")
