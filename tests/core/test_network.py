"""Networks of the core against the float64 reference, through any API, with every kind of input."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from helpers.networks import MSE, SPEC, SPECS, TEXTS, WIDE, TermSizes, close, samples, scaled
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from pynet import SGD, Adam, Network, data, kernels, reference

Array = np.ndarray[Any, Any]

# ---- parameters are live views ----


def test_tensors_are_views_of_one_block() -> None:
    net = Network(SPEC)
    tensors = net.tensors
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "0.W": (12, 9),
        "0.b": (9,),
        "2.W": (9, 7),
        "2.b": (7,),
        "4.W": (7, 4),
        "4.b": (4,),
    }
    address = tensors["0.W"].ctypes.data
    assert address % 64 == 0
    for tensor in tensors.values():
        assert tensor.dtype == np.float32
        assert tensor.flags.c_contiguous
        assert tensor.flags.writeable
        assert tensor.ctypes.data == address
        address += tensor.nbytes
    assert sum(tensor.size for tensor in tensors.values()) == net.parameters


def test_writing_a_tensor_changes_the_network() -> None:
    net = Network("input(3) dense(2)")
    net.layers[0].W[...] = [[1, 2], [3, 4], [5, 6]]
    net.layers[0].b[1] = -100
    assert_array_equal(net.predict_proba([[1.0, 10.0, 100.0]]), [[531, 542]])
    assert net.layers[0].W is net.tensors["0.W"]
    net.tensors["0.W"][:, 0] *= -1
    assert_array_equal(net.forward([[1.0, 10.0, 100.0]]), [[-531, 542]])
    before = net.weights_sha256()
    net.tensors["0.b"][0] = 1e-3
    assert net.weights_sha256() != before


def test_views_see_training() -> None:
    net = Network(SPEC)
    W = net.layers[0].W
    before = W.copy()
    net.train_step(*samples(net, 8), SGD(0.5))
    assert not np.array_equal(W, before)
    assert_array_equal(W, net.tensors["0.W"])


def test_views_outlive_the_network() -> None:
    for _ in range(5):
        net = Network("input(300) dense(200) relu dense(10)", seed=4)
        net.train_step(np.ones((5, 300)), np.ones((5, 10)), Adam())
        expected = net.layers[0].W.copy()
        W, b = net.layers[0].W[5:], net.tensors["2.b"]
        mean = net.optimizer_state.tensors["0.W.mean"]
        expected_mean = mean.copy()
        core = weakref.ref(net._ptr)
        del net
        gc.collect()
        others = [Network("input(300) dense(200)", seed=5) for _ in range(3)]  # would reuse freed memory
        assert core() is not None
        assert_array_equal(W, expected[5:])
        assert_array_equal(mean, expected_mean)
        b[...] = 7
        del W, mean
        gc.collect()
        assert (b == 7).all()
        del b, others
        gc.collect()
        assert core() is None, "the last view is gone, the network's memory is not"


def test_copies_are_copies() -> None:
    net = Network(SPEC)
    x, y = samples(net, 5)
    out = net.forward(x)
    hidden = net.layers[1].output
    kept, kept_hidden = out.copy(), hidden.copy()
    net.loss(y)
    net.backward()
    gradient = net.layers[0].dW
    kept_gradient = gradient.copy()
    net.update(SGD(1.0))
    net.forward(255 - x)
    net.loss(y)
    net.backward()
    assert_array_equal(out, kept)
    assert_array_equal(hidden, kept_hidden)
    assert_array_equal(gradient, kept_gradient)
    assert (net.layers[0].dW != kept_gradient).any()


def test_attributes_of_layers() -> None:
    net = Network(SPEC)
    layer = net.layers[0]
    assert list(layer.tensors) == ["W", "b"]
    assert repr(layer) == "<layer 0 dense(9): (12,) -> (9,), 117 parameters>"
    for name in ("w", "weights", "dx", "d", "_x"):
        with pytest.raises(AttributeError, match=rf"layer 0 \(dense\(9\)\) has no '{name}'"):
            getattr(layer, name)
    with pytest.raises(AttributeError, match="has no 'W'"):
        _ = net.layers[1].W
    assert repr(net) == f"Network({SPEC!r}, seed=0)"


# ---- against float64 ----

ZEROS = st.sampled_from([0, 0.55, 0.65, 0.95, 1])  # mostly zero inputs use another code path


def same_as_reference(net: Network, twin: reference.Network, x: Array, y: Array, rate: float = 0.5) -> None:
    sizes = TermSizes(twin, x)
    sizes.check(net.forward(x), twin.forward(x), sizes.outputs[-1], "forward")
    targets = abs(y) if y.shape == twin.output.shape else np.ones(twin.output.shape)
    both = sizes.outputs[-1] + targets
    of_logits = 2 * sizes.outputs[-2].max() + 1  # the logarithm is rounded, too
    off = (both**2).sum(axis=1).mean() if net.loss_name == "mse" else of_logits
    assert net.loss(y) == pytest.approx(twin.loss(y), abs=sizes.off * off)
    net.backward()
    twin.backward()
    if net.parameters == 0:
        return
    last = len(net.layers) - (1 if net.loss_name == "mse" else 2)
    _, gradients = sizes.backward(both / len(x), last)
    for name, gradient in twin.gradients().items():
        sizes.check(net.gradients[name], gradient, gradients[name], f"gradient of {name}")
    net.update(SGD(rate))
    twin.update(rate)
    for name, w in twin.parameters().items():
        sizes.check(net.tensors[name], w, rate * gradients[name] + abs(w), name)


@settings(max_examples=300)
@example("input(1) dense(3) relu dense(3) dense(3) relu dense(1)", True, 17, 0.55, 41)  # bias gradients that cancel
@given(text=TEXTS, mse=st.booleans(), m=st.sampled_from([1, 2, 5, 16, 17]), zeros=ZEROS, seed=st.integers(0, 999))
def test_any_network_is_the_reference(text: str, mse: bool, m: int, zeros: float, seed: int) -> None:
    net = scaled(Network(f"{text} loss(mse)" if mse else text, seed=seed))
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(m, *net.in_shape)) * (rng.random((m, *net.in_shape)) >= zeros)).astype(np.float32)
    y = rng.integers(0, net.out_shape[0], m)
    if net.loss_name == "mse":
        y = rng.normal(size=(m, *net.out_shape)).astype(np.float32)
    twin = reference.Network.from_net(net)
    assume(not TermSizes(twin, x).near_a_kink)
    kernels.set_cpu(rng.choice(kernels.cpu_tables()))
    same_as_reference(net, twin, x, y)


@pytest.mark.parametrize("spec", [SPEC, MSE, WIDE, "input(784) dense(128) relu dense(64) relu dense(10) softmax"])
def test_network_is_the_reference_on_each_table(table: str, spec: str) -> None:
    net = Network(spec)
    pixels, y = samples(net, 33)
    x, twin = (pixels / 255).astype(np.float32), reference.Network.from_net(net)
    assert not TermSizes(twin, x).near_a_kink
    same_as_reference(net, twin, x, y)


@pytest.mark.parametrize("spec", [SPEC, MSE, "input(12) dense(5) softmax dense(3) relu dense(3) softmax loss(mse)"])
def test_gradients_are_slopes_of_the_loss(spec: str) -> None:
    net = Network(spec, seed=6)
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(6, 12)).astype(np.float32), rng.integers(0, net.out_shape[0], 6)
    twin = reference.Network.from_net(net)  # in float64 a small step shows the slope
    assert not TermSizes(twin, x).near_a_kink
    net.forward(x)
    net.loss(y)
    net.backward()
    eps = 1e-5
    for name, w in twin.parameters().items():
        slopes = np.empty_like(w)
        for i in np.ndindex(w.shape):
            kept, losses = w[i], []
            for w[i] in (kept + eps, kept - eps):
                twin.forward(x)
                losses.append(twin.loss(y))
            w[i] = kept
            slopes[i] = (losses[0] - losses[1]) / (2 * eps)
        assert abs(slopes).max() > 1e-4
        close(net.gradients[name], slopes, name)


# ---- one result for every API ----

Api = Callable[[Network, Array, Array], None]


def by_hand(net: Network, x: Array, y: Array) -> None:
    net.forward(x)
    net.loss(y)
    net.backward()
    net.update(SGD(0.3))


def by_train_step(net: Network, x: Array, y: Array) -> None:
    net.train_step(x, y, SGD(0.3))


def trained(spec: str, api: Api | None, zeros: float, kind: str = "labels") -> str:
    """SHA-256 of the weights after two epochs of 101 samples in batches of at most 32: 26 and three of 25."""
    net = Network(spec, seed=1)
    x, y = samples(net, 101, zeros)
    x[50:70] |= 1  # samples without zeros among others
    if kind == "rows":
        y = data.one_hot(y, net.out_shape[0]) if net.out_shape[0] > 1 else y[:, None]
    if api is None:
        net.fit(x, y, epochs=2, batch_size=32, optimizer=SGD(0.3), seed=9)
    else:
        for epoch in range(2):
            for batch in data.batches(x, y, 32, seed=9, epoch=epoch):
                api(net, *batch)
    assert net.weights_sha256() != Network(spec, seed=1).weights_sha256()
    return net.weights_sha256()


@pytest.mark.parametrize("zeros", [0, 0.6, 0.95])
@pytest.mark.parametrize("spec", SPECS)
def test_every_api_gives_the_same_bits(table: str, spec: str, zeros: float) -> None:
    expected = trained(spec, None, zeros)
    assert trained(spec, by_hand, zeros) == expected
    assert trained(spec, by_train_step, zeros) == expected
    assert trained(spec, None, zeros, "rows") == expected
    assert trained(spec, by_hand, zeros, "rows") == expected


@pytest.mark.parametrize("optimizer", [SGD(0.05), Adam(0.01)])
def test_wide_layers_have_the_same_bits_by_every_api(optimizer: SGD | Adam) -> None:
    """Their gradients are computed and applied in pieces; steps by hand store them first. With each number of threads,
    on each table."""
    found = {}
    for name, threads, by_hand in product(kernels.cpu_tables(), (1, 3), (False, True)):
        kernels.set_cpu(name)
        kernels.set_threads(threads)
        net = Network("input(97) dense(1030) relu dense(290) relu dense(3) softmax", seed=2)
        x, y = samples(net, 41)
        for _ in range(2):
            if by_hand:
                net.forward(x)
                net.loss(y)
                net.backward()
                net.update(optimizer)
            else:
                net.train_step(x, y, optimizer)
        found[name, threads, by_hand] = net.weights_sha256()
    fused = {sha for (name, *_), sha in found.items() if name != "portable"}
    assert len(fused) <= 1, found
    assert len(set(found.values()) - fused) <= 1


@pytest.mark.parametrize("zeros", [0, 0.6, 0.95])
@pytest.mark.parametrize("spec", SPECS)
def test_every_table_gives_the_same_bits(spec: str, zeros: float) -> None:
    found = {}
    for name in kernels.cpu_tables():
        kernels.set_cpu(name)
        found[name] = (trained(spec, None, zeros), trained(spec, by_hand, zeros))
    found.pop("portable")
    assert len(set(found.values())) <= 1, found


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("zeros", [0, 0.7, 0.97, 1])
@pytest.mark.parametrize(("n_in", "width"), [(n, 70) for n in (1, 63, 64, 65, 300, 784)] + [(100, 521)])
def test_a_network_is_its_kernels_bit_for_bit(table: str, n_in: int, width: int, zeros: float, threads: int) -> None:
    """A wide layer is computed from packed blocks of its weights, its dx in the order of W."""
    net = Network(f"input({n_in}) dense({width}) relu dense({width // 2 - 2}) tanh dense(10) softmax", seed=3)
    net.layers[0].b[...] = np.linspace(-1, 1, width)
    pixels, y = samples(net, 37, zeros)
    W0, b0, W2, b2, W4, b4 = net.tensors.values()
    x = kernels.gather(pixels)
    a1 = kernels.relu(kernels.bias(kernels.gemm(x, W0), b0))
    a3 = kernels.tanh(kernels.bias(kernels.gemm(a1, W2), b2))
    logits = kernels.bias(kernels.gemm(a3, W4), b4)
    _, d4 = kernels.cross_entropy(logits, y)
    d2 = kernels.tanh_grad(kernels.gemm(d4, W4, trans_b=True), a3)
    d0 = kernels.relu_grad(kernels.gemm(d2, W2, trans_b=True), a1)
    kernels.set_threads(threads)
    assert_array_equal(net.forward(pixels), kernels.softmax(logits))
    net.loss(y)
    net.backward()
    for i, (left, right) in enumerate(((x, d0), (a1, d2), (a3, d4))):
        assert_array_equal(net.layers[2 * i].dW, kernels.gemm(left, right, trans_a=True))
        assert_array_equal(net.layers[2 * i].db, kernels.bias_grad(right))


def test_every_kind_of_labels_gives_the_same_bits() -> None:
    net, again = Network(SPEC), Network(SPEC)
    x, y = samples(net, 20)
    net.train_step(x, y, SGD(0.1))
    for kind in (np.int8, np.uint8, np.int64, np.uint64, ">i4"):
        twin = Network(SPEC)
        twin.train_step(x, np.repeat(y, 2).astype(kind)[::2], SGD(0.1))
        assert twin.weights_sha256() == net.weights_sha256()
    again.train_step(x, y.tolist(), SGD(0.1))
    assert again.weights_sha256() == net.weights_sha256()


# ---- use ----


def test_a_batch_of_ten_is_memorised() -> None:
    for spec, rate in ((SPEC, 1.0), (MSE, 2.0)):
        net = Network(spec, seed=1)
        x, _ = samples(net, 10)
        y = np.arange(10) % 4
        for _ in range(1500):
            net.train_step(x, y, SGD(rate))
        assert net.evaluate(x, y).accuracy == 1
        assert_array_equal(net.predict(x), y)


def test_evaluate_agrees_with_a_direct_computation(table: str) -> None:
    for spec in (SPEC, MSE):
        net = Network(spec, seed=3)
        x, y = samples(net, 1001)
        p = net.predict_proba(x).astype(np.float64)
        rows = np.eye(4)[y]
        losses = -np.log(p[rows == 1]) if net.loss_name == "cross_entropy" else 0.5 * ((p - rows) ** 2).sum(axis=1)
        found = net.evaluate(x, y)
        right = int((p.argmax(axis=1) == y).sum())
        assert 0 < right < 1001
        assert found[1:] == (right / 1001, right, 1001)
        assert found.loss == pytest.approx(losses.mean(), rel=1e-6)
        assert net.evaluate(x, rows) == found
        net.forward(x)
        assert net.loss(y) == found.loss
        assert net.predict(x).dtype == np.int64


def test_a_single_output_predicts_with_threshold_one_half() -> None:
    net = Network("input(1) dense(1)")
    net.task = "classes"
    net.layers[0].W[...], net.layers[0].b[...] = 1, 0
    x, y = [[0.2], [0.5], [0.6], [-3.0], [7.0]], [0, 0, 1, 1, 1]
    assert net.evaluate(x, y).correct == 4
    assert_array_equal(net.predict(x), [0, 0, 1, 0, 1])


def test_temperature() -> None:
    net = Network(SPEC, seed=1)
    x, _ = samples(net, 7)
    net.forward(x)
    logits = net.layers[-2].output
    for temperature in (0.25, 1, 3):
        assert_allclose(net.predict_proba(x, temperature), reference.softmax(logits, temperature), rtol=3e-6)
    assert net.predict_proba(x, 1e6) == pytest.approx(0.25, abs=1e-4)
    assert_array_equal(net.predict_proba(x, 1e-6).argmax(axis=1), net.predict(x))
    other = Network(MSE)
    assert_array_equal(other.predict_proba(x, 3), other.predict_proba(x))


@pytest.mark.parametrize("temperature", [0, -1, np.nan, np.inf, 1e-300, 1e-40])
def test_bad_temperature(temperature: float) -> None:
    with pytest.raises(ValueError, match=r"temperature is .*; accepted: "):
        Network(SPEC).predict_proba(np.zeros((1, 12)), temperature)


def test_summary() -> None:
    net = Network("input(784) dense(128) relu dense(64) relu dense(10) softmax")
    assert net.summary().splitlines()[-1].split() == ["total", "109,386"]
    assert [line.split() for line in net.summary().splitlines()] == [
        ["layer", "output", "parameters"],
        ["input(784)", "(784)"],
        ["0", "dense(128)", "(128)", "100,480"],
        ["1", "relu", "(128)"],
        ["2", "dense(64)", "(64)", "8,256"],
        ["3", "relu", "(64)"],
        ["4", "dense(10)", "(10)", "650"],
        ["5", "softmax", "(10)"],
        ["total", "109,386"],
    ]
    assert Network("input(784) dense(16) sigmoid dense(16) sigmoid dense(10) sigmoid").parameters == 13_002


def test_classes() -> None:
    net = Network(SPEC)
    assert net.classes == ["0", "1", "2", "3"]
    net.classes = ["cat", "dog", "Ä", '"']
    assert net.classes == ["cat", "dog", "Ä", '"']
    with pytest.raises(ValueError, match="3 class names for 4 outputs"):
        net.classes = ["a", "b", "c"]
    for damaged in ("[1", "7", '["a"]'):
        net.meta["classes"] = damaged
        assert net.classes == ["0", "1", "2", "3"]


def test_notes_are_a_dict() -> None:
    net = Network(SPEC)
    net.meta["a"], net.meta["b"] = "1", "é"
    net.meta["a"] = "2"
    assert dict(net.meta) == {"a": "2", "b": "é"}
    assert repr(net.meta) == "{'a': '2', 'b': 'é'}"
    del net.meta["a"]
    assert list(net.meta) == ["b"]
    for key in ("a", "missing"):
        with pytest.raises(KeyError):
            del net.meta[key]
    for bad in ("a\0", 3):
        with pytest.raises(ValueError, match="accepted: text without NUL"):
            net.meta["c"] = bad  # type: ignore[assignment]
        with pytest.raises(ValueError, match="accepted: text without NUL"):
            net.meta[bad] = "c"  # type: ignore[index]


def test_assigning_to_a_weight_changes_the_network() -> None:
    net = Network(SPEC)
    before = net.weights_sha256()
    net.layers[0].b = np.arange(9)
    assert_array_equal(net.tensors["0.b"], np.arange(9, dtype=np.float32))
    assert net.weights_sha256() != before
    with pytest.raises(ValueError, match=r"W of layer 0 takes \(12, 9\), got \(9, 12\)"):
        net.layers[0].W = np.zeros((9, 12))
    with pytest.raises(AttributeError, match="has no 'weights'"):
        net.layers[0].weights = np.zeros((12, 9))


def test_a_single_class_is_always_right() -> None:
    net = Network("input(3) dense(1) softmax")
    x, y = np.ones((4, 3), np.float32), np.zeros(4, int)
    assert net.predict(x).tolist() == [0] * 4
    assert net.evaluate(x, y).accuracy == 1


def test_a_step_that_overflows_the_weights_is_an_error() -> None:
    net = Network("input(3) dense(2) softmax")
    with pytest.raises(FloatingPointError, match=r"parameter 0\.W holds"):
        net.train_step(np.full((2, 3), 1e6, np.float32), [0, 1], SGD(3e38))
