"""Exported weights in PyTorch itself: load_state_dict takes them, and the nn.Sequential computes the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.random_networks import SPECS, filled, inputs, texts
from hypothesis import given
from numpy.testing import assert_allclose
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import pynet


def in_torch(path: Path) -> torch.nn.Module:
    """The module that the file's metadata describe, with the file's weights."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    names = {"torch": torch, "nn": torch.nn}
    exec(metadata["torch_classes"], names)
    model: torch.nn.Module = eval(metadata["torch"], names)
    model.load_state_dict(load_file(path))
    return model.eval()


def check(text: str, path: Path) -> None:
    net = filled(text)
    pynet.export_torch(net, path)
    x = inputs(net)
    with torch.no_grad():
        expected = in_torch(path)(torch.from_numpy(x)).numpy()
    # tens of float32 roundings of numbers about 1; those of a rescale are a few units large
    assert_allclose(net.predict_proba(x), expected, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("spec", SPECS)
def test_torch_computes_the_same(spec: str, tmp_path: Path) -> None:
    check(spec, tmp_path / "net.safetensors")


@given(text=texts())
def test_torch_computes_the_same_for_any_network(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(text, tmp_path_factory.getbasetemp() / "any.safetensors")


def test_a_module_of_torch_comes_over(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(1, 3, 3, padding=1), torch.nn.BatchNorm2d(3), torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
    model = torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(27, 4), torch.nn.Softmax(1))
    x = torch.randn(20, 1, 6, 6)
    model(x)  # moves the running statistics
    save_file(model.state_dict(), tmp_path / "cnn.safetensors")
    text = "input(1,6,6) conv(3,3,pad=1) batchnorm relu maxpool(2) dense(4) softmax"
    net = pynet.import_torch(tmp_path / "cnn.safetensors", text)
    with torch.no_grad():
        assert_allclose(net.predict_proba(x.numpy()), model.eval()(x).numpy(), atol=1e-6)
