"""State dicts of PyTorch: round trips, which module becomes which layer, and files that do not fit or are damaged.

That PyTorch takes what is exported and computes the same: tests/peers/test_torch.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.random_networks import SPECS, filled, inputs, texts
from hypothesis import given
from numpy.testing import assert_allclose, assert_array_equal
from safetensors.numpy import load_file, save_file

import pynet

Array = np.ndarray[Any, Any]

TEXT = "input(1,8,8) conv(4,3) relu maxpool(2) dense(5) relu dense(3) softmax"
RNG = np.random.default_rng(0)


def weights(**changed: Array | None) -> dict[str, Array]:
    """A state dict for TEXT, with PyTorch's layouts."""
    shapes = {"conv1": (4, 1, 3, 3), "fc1": (5, 36), "fc2": (3, 5)}
    found: dict[str, Any] = {f"{name}.weight": RNG.normal(size=shape) for name, shape in shapes.items()}
    found |= {f"{name}.bias": RNG.normal(size=shape[0]) for name, shape in shapes.items()}
    found |= {name.replace("__", "."): value for name, value in changed.items()}
    return {name: np.float32(value) for name, value in found.items() if value is not None}


@pytest.mark.parametrize("spec", SPECS)
def test_export_and_import_give_the_same_network(spec: str, tmp_path: Path) -> None:
    net = filled(spec)
    net.meta["note"] = "kept"
    pynet.export_torch(net, tmp_path / "net.safetensors")
    again = pynet.import_torch(tmp_path / "net.safetensors")
    assert (again.spec, again.weights_sha256(), again.meta["note"]) == (net.spec, net.weights_sha256(), "kept")
    assert_array_equal(again.predict_proba(inputs(net)), net.predict_proba(inputs(net)))


@given(text=texts())
def test_any_network_comes_back(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    net, place = filled(text), tmp_path_factory.getbasetemp() / "any.safetensors"
    pynet.export_torch(net, place)
    assert pynet.import_torch(place).weights_sha256() == net.weights_sha256()


def test_layouts_are_those_of_torch(tmp_path: Path) -> None:
    net = filled(TEXT)
    pynet.export_torch(net, tmp_path / "net.safetensors")
    found = load_file(tmp_path / "net.safetensors")
    assert_array_equal(found["0.weight"], net.tensors["0.W"].transpose(3, 2, 0, 1))
    assert_array_equal(found["4.weight"], net.tensors["3.W"].T)  # after nn.Flatten
    assert_array_equal(found["6.bias"], net.tensors["5.b"])
    assert sorted(found) == [f"{i}.{name}" for i in (0, 4, 6) for name in ("bias", "weight")]


def test_modules_become_layers_by_shape_and_number(tmp_path: Path) -> None:
    state = weights()
    save_file({f"layers.{key}": value for key, value in state.items()}, tmp_path / "net.safetensors")
    net = pynet.import_torch(tmp_path / "net.safetensors", TEXT)
    x = RNG.normal(size=(2, 8, 8))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    h = np.einsum("nyxij,cij->ncyx", windows, state["conv1.weight"][:, 0]) + state["conv1.bias"][:, None, None]
    h = np.maximum(h, 0).reshape(2, 4, 3, 2, 3, 2).max(axis=(3, 5)).reshape(2, 36)
    h = np.maximum(h @ state["fc1.weight"].T + state["fc1.bias"], 0)
    logits = h @ state["fc2.weight"].T + state["fc2.bias"]
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    assert_allclose(net.predict_proba(x), p / p.sum(axis=1, keepdims=True), atol=1e-5)
    tens = {
        f"{i}.{name}": np.float32(i) * np.ones(s) for i in (2, 4, 10) for name, s in (("weight", (3, 3)), ("bias", 3))
    }
    save_file(tens, tmp_path / "same.safetensors")
    same = pynet.import_torch(tmp_path / "same.safetensors", "input(3) dense(3) relu dense(3) relu dense(3)")
    assert [same.tensors[f"{i}.b"][0] for i in (0, 2, 4)] == [2, 4, 10]


def test_names_may_be_given(tmp_path: Path) -> None:
    state = {"a.weight": np.eye(3), "a.bias": np.zeros(3), "out.weight": 2 * np.eye(3), "out.bias": np.ones(3)}
    save_file(state, tmp_path / "net.safetensors")
    text = "input(3) dense(3) relu dense(3)"
    with pytest.raises(ValueError, match=r"a, out have the same shapes, and their names no order.*a=0"):
        pynet.import_torch(tmp_path / "net.safetensors", text)
    net = pynet.import_torch(tmp_path / "net.safetensors", text, names={"out": "0"})
    assert_array_equal(net.predict_proba(np.ones((1, 3))), [[3, 3, 3]])
    assert net.tensors["0.b"][0] == 1


def test_mean_and_deviation_become_a_layer(tmp_path: Path) -> None:
    save_file(weights(), tmp_path / "net.safetensors")
    plain = pynet.import_torch(tmp_path / "net.safetensors", TEXT)
    net = pynet.import_torch(tmp_path / "net.safetensors", TEXT, names={"conv1": "0"}, mean=[0.25], std=[0.5])
    x = RNG.random((4, 1, 8, 8))
    assert net.spec == TEXT.replace("conv", "standardize conv")
    assert_allclose(net.predict_proba(x), plain.predict_proba((x - 0.25) / 0.5), atol=1e-6)
    with pytest.raises(ValueError, match="mean has 2 numbers; accepted: 1 or 1"):
        pynet.import_torch(tmp_path / "net.safetensors", TEXT, mean=[0, 1])
    with pytest.raises(ValueError, match=r"scale of standardize holds 0.0 at index \(0,\)"):
        pynet.import_torch(tmp_path / "net.safetensors", TEXT, std=[0])
    for zero in (0.0, np.zeros(1)):  # false, yet not left out
        with pytest.raises(ValueError, match=r"scale of standardize holds 0\.0"):
            pynet.import_torch(tmp_path / "net.safetensors", TEXT, std=zero)
    alone = pynet.import_torch(tmp_path / "net.safetensors", TEXT, names={"conv1": "0"}, mean=0.25, std=0.5)
    assert alone.weights_sha256() == net.weights_sha256()


@pytest.mark.parametrize(
    ("changed", "options", "message"),
    [
        ({"fc1__weight": np.zeros((36, 5))}, {}, r"fc1 with .*weight \(36, 5\) fits no layer; layers: 0, conv"),
        ({"fc1__bias": None}, {}, r"fc1 with weight \(5, 36\) fits no layer"),
        ({"fc2__weight": None, "fc2__bias": None}, {}, "1 layers take tensors .* 5, dense.* it has 0 modules"),
        ({"fc3__weight": np.zeros((2, 2))}, {}, r"fc3 with weight \(2, 2\) fits no layer"),
        ({"fc2__bias": np.array([1, np.nan, 2])}, {}, r"fc2.bias holds nan at index \(1,\)"),
        ({}, {"names": {"fc9": "0"}}, "no module 'fc9'; it has conv1 with"),
        ({}, {"names": {"fc1": "1"}}, "'fc1' cannot be layer '1'; layers with weights: 0, 3, 5"),
        ({}, {"names": {"fc1": "5"}}, r"fc1 with .* does not fit layer 5, dense\(3\)"),
        ({}, {"names": {"fc1": "3", "fc2": "3"}}, "two modules are for one layer"),
    ],
)
def test_what_does_not_fit_is_named(
    changed: dict[str, Any], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    save_file(weights(**changed), tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match=message):
        pynet.import_torch(tmp_path / "net.safetensors", TEXT, **options)


def test_a_text_is_needed(tmp_path: Path) -> None:
    save_file(weights(), tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match="no text of a network"):
        pynet.import_torch(tmp_path / "net.safetensors")


def with_header(header: object, content: bytes = b"\0" * 16) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content


def entry(dtype: object, shape: object, *offsets: object) -> bytes:
    return with_header({"0.bias": {"dtype": dtype, "shape": shape, "data_offsets": offsets}})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04",
        b"\xff" * 64,
        (1 << 40).to_bytes(8, "little") + b"{}",
        with_header([]),
        with_header({"0.bias": 3}),
        (200000).to_bytes(8, "little") + b"[" * 200000,
        entry("F32", [4], 0, 99),
        entry("F32", [4], 0, 12),
        entry("F32", [-4], 0, 16),
        entry("F32", [1 << 60], 0, 16),
        entry("F32", [4.0], 0, 16),
        entry("F32", [4], "0", 16),
        entry("C64", [2], 0, 16),
        entry("F32", ["\x1b[31m"], 0, 16),
        with_header({f"{i}.bias": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} for i in range(99)}),
    ],
)
def test_damaged_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "net.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"net\.safetensors") as caught:
        pynet.import_torch(tmp_path / "net.safetensors", "input(4) dense(4)")
    assert str(caught.value).isprintable()


def test_half_precision(tmp_path: Path) -> None:
    halves = np.array([1.5, -2, 0.25], "<f4").view("<u4") >> 16
    header = {"a.bias": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]}}
    header["a.weight"] = {"dtype": "F16", "shape": [3, 1], "data_offsets": [6, 12]}
    content = with_header(header, halves.astype("<u2").tobytes() + np.array([1, 2, 4], "<f2").tobytes())
    (tmp_path / "net.safetensors").write_bytes(content)
    net = pynet.import_torch(tmp_path / "net.safetensors", "input(1) dense(3)")
    assert_array_equal(net.predict_proba(np.ones((1, 1))), [[2.5, 0, 4.25]])
