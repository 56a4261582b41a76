"""A model file read by the safetensors library."""

from __future__ import annotations

from pathlib import Path

import safetensors
import safetensors.torch
from numpy.testing import assert_array_equal

from pynet import Network


def test_torch_reads_a_model(tmp_path: Path) -> None:
    net = Network("input(5) dense(4) relu dense(3) softmax", seed=3)
    net.save(tmp_path / "model.safetensors")
    tensors = safetensors.torch.load_file(tmp_path / "model.safetensors")
    assert tensors.keys() == net.tensors.keys()
    for name, tensor in tensors.items():
        assert_array_equal(tensor.numpy(), net.tensors[name])
    with safetensors.safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert any(net.spec in value for value in file.metadata().values())
