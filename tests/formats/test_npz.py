"""Models as .npz: round trips, the names of hand-written programs, and files that do not fit."""

from pathlib import Path

import numpy as np
import pytest
from helpers.random_networks import SPECS, filled, inputs

import pynet

SPEC = "input(4) dense(5) relu dense(3) softmax"


def test_export_and_import_give_the_same_network(tmp_path: Path) -> None:
    net = pynet.Network(SPEC, seed=1)
    pynet.export_npz(net, tmp_path / "net.npz")
    again = pynet.import_npz(tmp_path / "net.npz")
    assert again.spec == SPEC
    assert again.weights_sha256() == net.weights_sha256()
    with np.load(tmp_path / "net.npz", allow_pickle=False) as file:
        assert sorted(file.files) == ["0.W", "0.b", "2.W", "2.b", "net"]
        assert str(file["net"]) == SPEC
    assert [path.name for path in tmp_path.iterdir()] == ["net.npz"]


@pytest.mark.parametrize("spec", SPECS)
def test_every_layer_comes_back(spec: str, tmp_path: Path) -> None:
    net = filled(spec)
    pynet.export_npz(net, tmp_path / "net.npz")
    again = pynet.import_npz(tmp_path / "net.npz")
    assert (again.spec, again.weights_sha256()) == (net.spec, net.weights_sha256())
    np.testing.assert_array_equal(again.predict_proba(inputs(net)), net.predict_proba(inputs(net)))


def test_these_networks_have_every_layer() -> None:
    words = {value.word for value in vars(pynet.layers).values() if isinstance(value, type) and "word" in vars(value)}
    assert {layer.kind for spec in SPECS for layer in pynet.Network(spec).layers} == words - {"input", "loss"}


def test_numpy_programs_number_their_layers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    W1, W2 = rng.normal(size=(4, 5)), rng.normal(size=(5, 3))
    b1, b2 = rng.normal(size=(1, 5)), rng.normal(size=(3, 1))
    np.savez(tmp_path / "net.npz", W1=W1, b1=b1, W2=W2, b2=b2)
    net = pynet.import_npz(tmp_path / "net.npz", SPEC)
    x = rng.normal(size=(6, 4))
    logits = np.maximum(x @ W1 + b1, 0) @ W2 + b2.ravel()
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(net.predict_proba(x), p, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"0.W": None}, "has neither 0.W nor W1"),
        ({"0.W": np.zeros((5, 4))}, r"0.W has shape \(5, 4\); the network's 0.W is \(4, 5\)"),
        ({"0.b": np.zeros((2, 2))}, r"0.b has shape \(2, 2\)"),
        ({"0.b": np.array(list("abcde"))}, "0.b has dtype <U1; accepted: numbers"),
        ({"0.W": np.full((4, 5), 1e300)}, r"0\.W holds 1e\+300 at index \(0, 0\); accepted: finite float32"),
        ({"0.b": np.array([0, np.nan, 1, 2, 3], np.float16)}, r"0\.b holds nan at index \(1,\)"),
        ({"extra": np.zeros(3)}, "extra are not parameters of"),
        ({"net": None}, 'has no network text under "net"'),
        ({"net": np.array("input(4) dens(5)")}, "did you mean dense"),
        ({"0.b": np.array([None] * 5, dtype=object)}, "0.b has dtype object"),
        (
            {"0.b": np.array([0, 1, np.nan, 2, np.inf])},
            r"0.b holds nan at index \(2,\); accepted: finite float32 numbers",
        ),
        ({"0.W": np.where(np.eye(4, 5), 1, -1e39)}, r"0.W holds -1e\+39 at index \(0, 1\)"),
    ],
)
def test_errors_name_what_does_not_fit(tmp_path: Path, change: dict[str, object], message: str) -> None:
    net = pynet.Network(SPEC)
    arrays: dict[str, object] = {"net": np.array(SPEC), **net.tensors, **change}
    np.savez(tmp_path / "net.npz", **{name: value for name, value in arrays.items() if value is not None})
    with pytest.raises(ValueError, match=message):
        pynet.import_npz(tmp_path / "net.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"\x93NUMPY\x01\x00", b"text"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "net.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"not an \.npz file, or damaged"):
        pynet.import_npz(tmp_path / "net.npz")


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "net.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"not an \.npz file, or damaged"):
        pynet.import_npz(tmp_path / "net.npy")


def test_a_variance_below_zero_is_refused(tmp_path: Path) -> None:
    """Where the mean took its place; all predictions would be NaN."""
    net = pynet.Network("input(3) batchnorm dense(2) softmax")
    net.tensors["0.running_var"][...] = [1, 0, 2]
    pynet.export_npz(net, tmp_path / "a.npz")
    assert pynet.import_npz(tmp_path / "a.npz").weights_sha256() == net.weights_sha256()
    net.tensors["0.running_var"][1] = -0.5
    pynet.export_npz(net, tmp_path / "a.npz")
    pynet.export_torch(net, tmp_path / "a.safetensors")
    for load, name in ((pynet.import_npz, "a.npz"), (pynet.import_torch, "a.safetensors")):
        with pytest.raises(ValueError, match=r"running_var holds -0\.5 at index \(1,\); accepted: 0 and more"):
            load(tmp_path / name)
