"""Exported ONNX models in onnxruntime, and models that PyTorch's layers stand for: the same outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from helpers.random_networks import SPECS, filled, inputs, texts
from hypothesis import given
from numpy.testing import assert_allclose

import pynet

Array = np.ndarray[Any, Any]


def computed(path: Path, x: Array) -> Array:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["output"], {"input": x})[0])


def check(net: pynet.Network, path: Path) -> None:
    """Within 1e-5 of numbers up to 1, and of larger ones in proportion."""
    pynet.export_onnx(net, path)
    x = inputs(net)
    assert_allclose(computed(path, x), net.predict_proba(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("spec", SPECS)
def test_onnxruntime_computes_the_same(spec: str, tmp_path: Path) -> None:
    check(filled(spec), tmp_path / "net.onnx")


@given(text=texts())
def test_onnxruntime_computes_the_same_for_any_network(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(filled(text), tmp_path_factory.getbasetemp() / "any.onnx")


@pytest.mark.parametrize("closing", ["softmax", "sigmoid"])
def test_bytes_and_logits(closing: str, tmp_path: Path) -> None:
    net = filled(f"input(2,5,4) standardize conv(3,3,pad=same) relu dense(4) {closing}")
    x = np.random.default_rng(0).integers(0, 256, (6, 2, 5, 4), np.uint8)
    pynet.export_onnx(net, tmp_path / "net.onnx", input="uint8", logits=True)
    logits = computed(tmp_path / "net.onnx", x)
    net.forward(x, training=False)
    assert_allclose(logits, net.layers[-2].output, rtol=1e-5, atol=1e-5)
    assert computed(tmp_path / "net.onnx", x[:1]).shape == (1, 4)
