"""pynet/play/core.js in Node.js, where that is installed; `make test-browser` runs it in Chromium."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT

import pynet
from pynet import Network, data, kernels

NODE = shutil.which("node")
TEXT = "input(64) dense(24) batchnorm relu dropout(0.2) dense(10) softmax"


@pytest.fixture
def portable() -> Iterator[None]:
    kernels.set_cpu("portable")
    yield
    kernels.set_cpu(None)


@pytest.mark.skipif(NODE is None, reason="there is no Node.js here")
def test_core_js(portable: None, tmp_path: Path) -> None:
    digits = data.load("digits")
    x, labels = digits.x_train.reshape(-1, 64)[:500], digits.y_train[:500]
    assert x.dtype == np.uint8
    net = Network(TEXT, seed=9)
    history = net.fit(x, labels, epochs=3, batch_size=50, optimizer=pynet.Adam(0.01), verbose=False)
    facts = {
        "x": x.ravel().tolist(),
        "labels": labels.tolist(),
        "version": pynet.__version__,
        "text": net.spec,
        "seed": 9,
        "epochs": 3,
        "losses": list(history.loss),
        "sha256": net.weights_sha256(),
        "updates": net.updates,
        "paths": [str(i) for i in range(6)],
        "tensors": [[name, list(tensor.shape)] for name, tensor in net.tensors.items()],
        "parameters": 64 * 24 + 24 + 2 * 24 + 24 * 10 + 10,
    }
    path = tmp_path / "facts.json"
    path.write_text(json.dumps(facts))
    script = shutil.copy(ROOT / "pynet" / "play" / "core.js", tmp_path / "core.mjs")
    wasm = ROOT / "pynet" / "play" / "pynet-simd.wasm"
    command = [str(NODE), ROOT / "tests" / "wasm" / "core_test.mjs", script, wasm, path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "ok\n"
    saved = pynet.load(f"{path}.safetensors")
    assert saved.meta["classes"] == '["zéro", "\U0001f600"]'
