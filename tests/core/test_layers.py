"""Every layer: against the float64 reference, finite differences, in files, and the same bits for each API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.networks import scaled
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
    "input(5) gelu",
    "input(5) dropout(0.25)",
    "input(5) batchnorm",
    "input(5) layernorm",
    "input(2,3,4) layernorm(eps=0.01)",
    "input(17) batchnorm(eps=0.001,momentum=0.3) dense(4) softmax",
    "input(17) dense(33) batchnorm relu dropout(0.5) dense(20) batchnorm gelu dropout(0.1) dense(4) softmax",
    "input(17) dense(33) layernorm gelu dense(20) layernorm dense(3)",
    "input(17) layernorm dropout(0.9) dense(40) dropout(0) dense(20) dropout(0.2) softmax",
    "input(9) dense(20) residual(batchnorm relu dropout(0.3) dense(20) batchnorm) relu batchnorm dense(3) softmax",
    "input(9) residual(batchnorm dense(7)) residual(layernorm) batchnorm softmax",
    "input(300) dense(160) batchnorm relu dropout(0.2) dense(160) batchnorm relu dense(10) softmax",
    "input(300) dense(160) layernorm leaky_relu dropout(0.2) layernorm dense(160) gelu dense(10) softmax",
    "input(2,6,5) residual(conv(4,3,stride=2,pad=same) batchnorm relu conv(4,3,pad=same)) relu dense(3) softmax",
    "input(2,6,6) conv(4,3) residual(conv(3,1) dropout(0.2)) batchnorm residual(maxpool(2)) layernorm globalavgpool",
    "input(17) dense(33) leaky_relu dense(9) softmax",
    "input(2,3,4) flatten dense(33) relu flatten dense(9) softmax",
    "input(2,3,4) tanh flatten softmax loss(mse)",
    "input(17) dense(33) residual(relu dense(33)) relu residual(dense(15)) flatten dense(4) softmax",
    "input(6) residual(residual(dense(6)) relu residual(dense(3))) relu residual(tanh) softmax",
    "input(6) dense(6) residual(flatten residual(relu dense(9)) sigmoid flatten)",
    "input(3,5,6) conv(9,3)",
    "input(3,5,6) maxpool(2)",
    "input(3,5,6) maxpool(3,stride=1)",
    "input(3,5,6) avgpool(2,stride=3)",
    "input(3,5,6) globalavgpool",
    "input(1,8,9) conv(17,3,pad=1,bias=no) relu maxpool(2) conv(8,2,pad=same) tanh flatten relu dense(5) softmax",
    "input(2,6,6) residual(conv(2,3,pad=same) relu) leaky_relu avgpool(2) residual(flatten relu) dense(3) softmax",
    "input(3,4,5) batchnorm",
    "input(3,4,5) conv(9,2,bias=no) batchnorm relu maxpool(2) layernorm dropout(0.25) dense(5) softmax",
    "input(3,4,5) dropout(0.5) avgpool(2) layernorm tanh",
    "input(2,6,6) relu conv(3,3,init=he) softmax residual(residual(conv(3,1)) maxpool(1)) loss(mse)",
    "input(300) dense(160) relu residual(dense(160) relu dense(160)) relu dense(10) softmax",
    "input(5) standardize",
    "input(5) rescale",
    "input(17) standardize dense(33) relu dense(4) softmax",
    "input(300) standardize dense(160) relu dense(3) rescale",
    "input(2,3,4) standardize flatten dense(5) relu rescale",
    "input(3,5,6) standardize residual(conv(3,3,pad=1)) relu conv(2,2) rescale",
    "input(16,5,4) conv(32,3,pad=1) relu residual(conv(32,3,pad=1) batchnorm relu conv(32,3,pad=same)) relu dense(3)",
]


def samples(net: Network, n: int, seed: int = 0) -> tuple[Array, Array]:
    """Inputs, half of them zero, and labels, or targets for a network without softmax."""
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((n, *net.in_shape)) * (rng.random((n, *net.in_shape)) < 0.5)).astype(np.float32)
    outputs = int(np.prod(net.out_shape))
    if net.loss_name == "cross_entropy":
        return x, rng.integers(0, outputs, n)
    return x, rng.standard_normal((n, outputs)).astype(np.float32)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("n", [5, 19])
def test_layer_is_the_reference(spec: str, n: int, table: str) -> None:
    net = scaled(Network(spec, seed=3))
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
    net = scaled(Network(spec, seed=1))
    if net.parameters:
        assert pynet.gradient_check(net, *samples(net, 4, seed=2), samples=30).worst < 1e-5


@pytest.mark.parametrize("spec", SPECS)
def test_same_bits_by_every_api(spec: str) -> None:
    x, y = samples(Network(spec), 90)
    found = set()
    for name in kernels.cpu_tables():
        for threads in (1, 2, 3, 4, 8):
            if name == "portable":
                continue
            kernels.set_cpu(name)
            kernels.set_threads(threads)
            nets = [scaled(Network(spec, seed=5)) for _ in range(3)]
            for start in range(0, 90, 30):
                part = x[start : start + 30], y[start : start + 30]
                nets[0].train_step(*part, SGD(0.1))
                nets[1].forward(part[0])
                nets[1].loss(part[1])
                nets[1].backward()
                nets[1].update(SGD(0.1))
            order = np.arange(90, dtype=np.int32)
            all_samples = nets[2]._samples(x, y)
            nets[2]._train(all_samples, order, 30, pynet._ffi.optimizer_struct(SGD(0.1)))
            for net in nets:
                found.add((net.weights_sha256(), net.predict_proba(x).tobytes()))
    assert len(found) <= 1


@pytest.mark.parametrize("spec", SPECS)
def test_layer_in_files_and_summaries(spec: str, tmp_path: Path) -> None:
    net = scaled(Network(spec, seed=2))
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
    net = scaled(Network(spec, seed=4))
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


# ---- batchnorm and dropout know two modes ----


def test_running_statistics_follow_the_updates() -> None:
    net = Network("input(3) batchnorm(momentum=0.25) dense(2)", seed=1)
    x, y = samples(net, 8)
    net.forward(x)  # changes no statistics
    assert_array_equal(net.layers[0].running_mean, 0)
    assert_array_equal(net.layers[0].running_var, 1)
    net.train_step(x, y, SGD(0.1))
    assert_allclose(net.layers[0].running_mean, 0.25 * x.mean(axis=0), rtol=1e-5, atol=1e-7)
    assert_allclose(net.layers[0].running_var, 0.75 + 0.25 * x.var(axis=0, ddof=1), rtol=1e-5)
    assert list(net.tensors)[-2:] == ["0.running_mean", "0.running_var"]
    assert net.parameters == 6 + 8


def test_statistics_of_images_far_from_zero_keep_their_digits() -> None:
    """Each image has a mean of its own, much larger than its deviation."""
    net = Network("input(17,5,3) batchnorm(momentum=1)", seed=1)
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(37, 17, 5, 3)) + rng.normal(300, 2, (37, 17, 1, 1))).astype(np.float32)
    net.train_step(x, np.zeros((37, 17, 5, 3), np.float32), SGD(0.1))
    exact = x.astype(np.float64).transpose(1, 0, 2, 3).reshape(17, -1)
    assert_allclose(net.layers[0].running_mean, exact.mean(axis=1), rtol=1e-6)
    assert_allclose(net.layers[0].running_var, exact.var(axis=1, ddof=1), rtol=1e-5)


def test_statistics_are_not_parameters() -> None:
    net = Network("input(3) batchnorm dense(2)")
    x, y = samples(net, 8)
    net.forward(x)
    net.loss(y)
    net.backward()
    assert list(net.gradients) == ["0.gamma", "0.beta", "1.W", "1.b"]
    with pytest.raises(AttributeError, match="drunning_mean"):
        net.layers[0].drunning_mean  # noqa: B018
    net.layers[0].running_var = np.full(3, 4.0)
    before = net.layers[0].running_mean.copy()
    net.update(pynet.Adam(weight_decay=0.1, decay_all=True))
    fraction = np.float32(0.1)
    assert_allclose(net.layers[0].running_mean, before + fraction * (x.mean(axis=0) - before), rtol=1e-5, atol=1e-7)


def test_inference_uses_running_statistics_and_drops_nothing() -> None:
    net = Network("input(4) batchnorm dropout(0.5) dense(3) softmax", seed=1)
    x, y = samples(net, 50)
    assert (net.forward(x) != net.predict_proba(x)).any()
    one_by_one = np.concatenate([net.predict_proba(x[i : i + 1]) for i in range(50)])
    assert_allclose(net.predict_proba(x), one_by_one, rtol=1e-6)
    expected = reference.cross_entropy(np.log(net.predict_proba(x)), y)[0].mean()
    assert net.evaluate(x, y).loss == pytest.approx(expected, rel=1e-5)


def test_dropout_differs_between_steps_and_layers() -> None:
    net = Network("input(100) dropout(0.5) dropout(0.5) dense(1)", seed=1)
    x = np.ones((20, 100), np.float32)
    net.forward(x)
    first, second = net.layers[0].output, net.layers[1].output
    assert set(np.unique(first)) == {0, 2}
    assert set(np.unique(second)) == {0, 4}
    net.forward(x)
    assert_array_equal(net.layers[0].output, first)  # no update: the same step
    net.train_step(x, np.zeros((20, 1)), SGD(0.1))
    net.forward(x)
    assert net.updates == 1
    assert 800 < (net.layers[0].output != first).sum() < 1200


@pytest.mark.parametrize("rows", [1, 3])
def test_batchnorm_refuses_to_train_on_one_sample(rows: int) -> None:
    net = Network("input(4) dense(3) residual(batchnorm)")
    x, y = samples(net, rows)
    before = net.weights_sha256()
    message = r"column 28: layer 1\.0, batchnorm, trains on batches of at least 2 samples; this one has 1"
    if rows == 1:
        for call in (lambda: net.forward(x), lambda: net.train_step(x, y, SGD(0.1))):
            with pytest.raises(ValueError, match=message):
                call()
    with pytest.raises(ValueError, match=message):
        net.fit(x, y, epochs=1, batch_size=2)
    assert rows == 3 or net.weights_sha256() == before
    assert net.predict_proba(x).shape == (rows, 3)
    assert net.forward(x[:0]).shape == (0, 3)


def test_a_loss_that_is_not_finite_does_not_change_the_statistics() -> None:
    net = Network("input(4) dense(3) batchnorm dense(2)", seed=1)
    x, y = samples(net, 8)
    y[3, 1] = 3e38  # its square is infinite
    before = net.weights_sha256()
    with pytest.raises(FloatingPointError):
        net.train_step(x, y, SGD(0.1))
    assert net.weights_sha256() == before
    assert net.updates == 0


def test_training_continues_from_a_file_as_if_never_stopped(tmp_path: Path) -> None:
    spec = "input(64) dense(32) batchnorm relu dropout(0.3) dense(10) softmax"
    digits = pynet.data.load("digits")
    whole, part = Network(spec, seed=7), Network(spec, seed=7)
    whole.fit(digits.x_train[:500], digits.y_train[:500], epochs=1, seed=1)
    whole.fit(digits.x_train[:500], digits.y_train[:500], epochs=1, seed=2)
    part.fit(digits.x_train[:500], digits.y_train[:500], epochs=1, seed=1)
    part.save(tmp_path / "part.safetensors")
    again = pynet.load(tmp_path / "part.safetensors")
    again.fit(digits.x_train[:500], digits.y_train[:500], epochs=1, seed=2)
    assert again.weights_sha256() == whole.weights_sha256()


def test_objects_render_to_the_same_text() -> None:
    layers = [
        pynet.Input(2, 3, 4),
        pynet.Flatten(),
        pynet.Residual(pynet.Dense(24), pynet.BatchNorm(eps=1e-3), pynet.LeakyReLU(0.1), "layernorm"),
        pynet.GELU(),
        pynet.Dropout(0.25),
        pynet.LayerNorm(eps=1e-06),
    ]
    net = Network(layers)
    inside = "dense(24) batchnorm(eps=0.001) leaky_relu(slope=0.1) layernorm"
    assert net.spec == f"input(2,3,4) flatten residual({inside}) gelu dropout(0.25) layernorm(eps=0.000001)"
    assert net.layers[1].path == "1"
    assert net.layers[3].options == {"eps": 1e-3, "momentum": 0.1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dropout(-0.5)", "column 18: p of dropout is -0.5; accepted: a number from 0 to below 1"),
        ("dropout(nan)", "column 18: 'n' where p is expected"),
        ("dropout(1e-400)", "column 18: p of dropout is 1e-400; accepted: a number from 0 to below 1"),
        ("dropout", "column 10: dropout needs its p, as in dropout(0.5)"),
        ("batchnorm(mometum=0)", 'column 20: batchnorm has no argument "mometum"; did you mean momentum?'),
        ("relu standardize", "column 15: standardize is after another layer; it follows the input"),
        ("residual()", "column 10: residual has nothing inside"),
        ("residual(relu", "column 23: the text ends where the ')' of residual is expected"),
        ("residual(" * 5 + "relu" + ")" * 5, "column 46: residual is nested 4 deep; accepted: 3"),
        ("residual relu", "column 19: 'r' where the '(' of residual is expected"),
        ("residual(flatten)", "column 10: residual has only views inside"),
    ],
)
def test_messages(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Network(f"input(4) {text}")
    assert message in str(caught.value)


def test_numbers_in_texts_are_kept() -> None:
    rng = np.random.default_rng(0)
    for p in [*rng.random(200).round(14).tolist(), 1e-15, 5e-5, 0.1, 0.999999999999999]:
        net = Network(f"input(4) dropout({p!r})")
        assert net.layers[0].options["p"] == p
        assert Network(net.spec).spec == net.spec
        assert "e" not in net.spec.partition("dropout")[2]


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("residual(conv(4,3))", "(4,6,4)"),
        ("residual(conv(2,7,pad=1))", "(2,4,2)"),
    ],
)
def test_residuals_that_cannot_add(text: str, inside: str) -> None:
    with pytest.raises(ValueError) as caught:
        Network(f"input(2,8,6) {text}")
    expected = f"column 14: layer 0, residual, cannot add its input (2,8,6) to the output {inside} of the layers in it"
    assert str(caught.value) == expected
