"""Every layer: against the float64 reference, finite differences, in files, and the same bits by every road."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import pynet
from pynet import SGD, Network, kernels, reference

Array = np.ndarray[Any, Any]

# A network for each layer and neighbourhood; those of one layer are networks of only itself.
SPECS = [
    "input(5) leaky_relu(0.2)",
    "input(5) flatten",
    "input(2,3,4) flatten",
    "input(5) residual(relu)",
    "input(5) residual(dense(5))",
    "input(5) residual(dense(3))",
    "input(2,3,4) residual(dense(3))",
    "input(5) dense(7,bias=no) relu dense(4,bias=no) softmax",
    "input(17) dense(33) leaky_relu dense(9) softmax",
    "input(2,3,4) flatten dense(33) relu flatten dense(9) softmax",
    "input(2,3,4) tanh flatten softmax loss(mse)",
    "input(17) dense(33) residual(relu dense(33)) relu residual(dense(15)) flatten dense(4) softmax",
    "input(6) residual(residual(dense(6)) relu residual(dense(3))) relu residual(tanh) softmax",
    "input(6) dense(6) residual(flatten residual(relu dense(9)) sigmoid flatten)",
    "input(300) dense(160) relu residual(dense(160) relu dense(160)) relu dense(10) softmax",
]


def samples(net: Network, n: int, seed: int = 0) -> tuple[Array, Array]:
    """Inputs half of which are zero, and answers: labels, or targets for a network without softmax."""
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((n, *net.in_shape)) * (rng.random((n, *net.in_shape)) < 0.5)).astype(np.float32)
    outputs = int(np.prod(net.out_shape))
    if net.loss_name == "cross_entropy":
        return x, rng.integers(0, outputs, n)
    return x, rng.standard_normal((n, outputs)).astype(np.float32)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("n", [2, 19])
def test_layer_is_the_reference(spec: str, n: int, table: str) -> None:
    net = Network(spec, seed=3)
    x, y = samples(net, n)
    twin = reference.Network.from_net(net)
    for _ in range(3):
        assert_allclose(net.forward(x), twin.forward(x), rtol=1e-4, atol=1e-5)
        for layer in net.layers:
            assert layer.output.shape == (n, *layer.out_shape)
        assert net.loss(y) == pytest.approx(twin.loss(y), rel=1e-4)
        net.backward()
        twin.backward()
        assert net.gradients.keys() == twin.gradients().keys()
        for name, exact in twin.gradients().items():
            assert_allclose(net.gradients[name], exact, rtol=1e-3, atol=1e-4 * max(1, abs(exact).max()), err_msg=name)
        net.update(SGD(0.05))
        twin.update(0.05)
    assert_allclose(net.predict_proba(x), twin.forward(x, training=False), rtol=1e-3, atol=1e-4)
    for name, w in twin.parameters().items():
        assert_allclose(net.tensors[name], w, rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("spec", SPECS)
def test_gradients_against_finite_differences(spec: str) -> None:
    net = Network(spec, seed=1)
    if net.parameters:
        assert pynet.gradient_check(net, *samples(net, 7, seed=2), samples=30).worst < 1e-5


@pytest.mark.parametrize("spec", SPECS)
def test_same_bits_by_every_road(spec: str) -> None:
    x, y = samples(Network(spec), 90)
    found = set()
    for name in kernels.cpu_tables():
        for threads in (1, 2, 3, 4, 8):
            if name == "portable":
                continue
            kernels.set_cpu(name)
            kernels.set_threads(threads)
            nets = [Network(spec, seed=5) for _ in range(3)]
            for start in range(0, 90, 30):
                part = x[start : start + 30], y[start : start + 30]
                nets[0].train_step(*part, SGD(0.1))
                nets[1].forward(part[0])
                nets[1].loss(part[1])
                nets[1].backward()
                nets[1].update(SGD(0.1))
            order = np.arange(90, dtype=np.int32)
            all_samples = nets[2]._samples(x, y)
            nets[2]._train(all_samples, pynet._ffi.pointer(order), 90, 30, pynet._ffi.optimizer_struct(SGD(0.1)))
            for net in nets:
                found.add((net.weights_sha256(), net.predict_proba(x).tobytes()))
    kernels.set_cpu(None)
    kernels.set_threads(None)
    assert len(found) <= 1


@pytest.mark.parametrize("spec", SPECS)
def test_layer_in_files_and_summaries(spec: str, tmp_path: Path) -> None:
    net = Network(spec, seed=2)
    x, y = samples(net, 9)
    net.train_step(x, y, SGD(0.1))
    net.save(tmp_path / "model.safetensors")
    again = pynet.load(tmp_path / "model.safetensors")
    assert again.spec == net.spec and Network(net.spec).spec == net.spec
    assert_array_equal(again.predict_proba(x), net.predict_proba(x))
    assert again.train_step(x, y, SGD(0.1)) == net.train_step(x, y, SGD(0.1))
    assert again.weights_sha256() == net.weights_sha256()
    for layer in net.layers:
        assert f"{layer.path}  {layer.text}" in net.summary()
    assert_allclose(net.predict_proba(x[:1]), net.predict_proba(x)[:1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("spec", SPECS)
def test_input_gradient(spec: str) -> None:
    net = Network(spec, seed=4)
    x, y = samples(net, 3)
    dx = net.input_gradient(x, y)
    twin = reference.Network.from_net(net)
    wide = x.astype(np.float64)
    rng = np.random.default_rng(0)
    for at in rng.permutation(x.size)[:12]:
        kept, losses, sides = wide.flat[at], [], []
        for step in (1e-5, -1e-5):
            wide.flat[at] = kept + step
            twin.forward(wide, training=False)
            losses.append(twin.loss(y))
            sides.append(twin.branches())
        wide.flat[at] = kept
        if all(np.array_equal(a, b) for a, b in zip(*sides, strict=True)):
            assert dx.flat[at] == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-3, abs=1e-5)


def test_projection_of_a_residual_is_a_layer() -> None:
    net = Network("input(5) residual(dense(8) relu dense(3)) softmax")
    assert [layer.path for layer in net.layers] == ["0", "0.0", "0.1", "0.2", "0.skip", "1"]
    assert net.layers[4].W.shape == (5, 3)
    assert list(net.tensors) == ["0.0.W", "0.0.b", "0.2.W", "0.2.b", "0.skip.W"]
