"""pynet.explain: every number agrees with the float64 reference, and the network is not changed."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from helpers.command import DIGITS, run
from numpy.testing import assert_allclose, assert_array_equal

import pynet
from pynet import SGD, Adam, Network, data, reference

SPECS = [
    "input(64) dense(9) relu dense(10) softmax",
    "input(1,8,8) dense(12) tanh dense(10) sigmoid loss(mse)",
    "input(64) dense(7) residual(dense(7) relu) dense(10) softmax",
    "input(64) dense(10) softmax",
]


@pytest.mark.parametrize("spec", SPECS)
def test_numbers_are_the_references(spec: str, digits: data.Dataset) -> None:
    net = Network(spec, seed=3)
    x, y = digits.x_train[5], int(digits.y_train[5])
    before, twin = net.weights_sha256(), reference.Network.from_net(net)
    found = pynet.explain(net, x, y, SGD(0.25))
    assert net.weights_sha256() == before
    p = twin.forward(x[None])[0]
    loss = twin.loss([y])
    twin.backward()
    weights = {name: w.copy() for name, w in twin.parameters().items()}
    assert_allclose(found.output, p, rtol=1e-4)
    assert found.loss == pytest.approx(loss, rel=1e-5)
    one_hot = np.eye(10)[y]
    assert_array_equal(found.y, one_hot)
    assert_allclose(found.error, p - one_hot, atol=1e-6)
    for name, gradient in twin.gradients().items():
        assert_allclose(found.gradients[name], gradient, rtol=1e-3, atol=1e-6)
        assert_allclose(found.changes[name], -0.25 * gradient, rtol=1e-3, atol=1e-6)
        assert_allclose(found.parameters[name], weights[name], rtol=1e-6)
    assert_array_equal([step.path for step in found.layers], list(twin.named_layers))
    for step in found.layers:
        if step.kind == "dense":  # of one sample, db is dy and dW is x^T dy, in the core as in the reference
            assert step.d_output is not None
            assert_allclose(step.d_output, found.gradients[f"{step.path}.b"], rtol=1e-3, atol=1e-6)
            outer = np.outer(step.input, step.d_output)
            assert_allclose(outer, found.gradients[f"{step.path}.W"], rtol=1e-3, atol=1e-6)
    if net.layers[-1].kind == "softmax":
        assert_allclose(found.error, found.gradients[list(found.gradients)[-1]], atol=1e-6)  # db is p - y
        assert_allclose(reference.softmax(found.logits[None])[0], p, rtol=1e-4)
    for w, gradient in zip(twin.parameters().values(), twin.gradients().values(), strict=True):
        w -= 0.25 * gradient
    twin.forward(x[None])
    assert found.loss_after == pytest.approx(twin.loss([y]), rel=1e-4)
    assert found.loss_after < found.loss


def test_story(digits: data.Dataset) -> None:
    net = Network(SPECS[0], seed=3)
    found = pynet.explain(net, digits.x_train[5], digits.y_train[5])
    text = str(found)
    label, predicted = int(digits.y_train[5]), int(found.output.argmax())
    assert re.search(r"^   0 dense\(9\) +9 +-?\d+\.\d+ to \d+\.\d+ +mean .* y = x W \+ b$", text, re.M)
    assert f"-log p[{label}] = -log {found.output[label]:.4g} = {found.loss:.4f}" in text
    assert re.search(rf"^ +{label} +{found.output[label]:.4f} +1 +-{1 - found.output[label]:.4f}$", text, re.M)
    assert (
        f"Predicted class {predicted}: {'correct' if predicted == label else f'wrong, the label is {label}'}." in text
    )
    place = np.unravel_index(abs(found.changes["0.W"]).argmax(), (64, 9))
    change = found.parameters["0.W"][place] + found.changes["0.W"][place]
    assert f"0.W[{place[0]},{place[1]}]" in text
    assert f"{found.parameters['0.W'][place]:+.5f} ->" in text
    assert f"-> {change:>+10.5f}" in text
    assert f"the loss of this sample is {found.loss_after:.4f} instead of {found.loss:.4f}" in text
    assert "w = w - 0.1 dw" in text
    assert max(map(len, text.splitlines())) <= 120
    assert any(set(line) <= set(" .:-=+*#%@") and line.strip() for line in text.splitlines())  # the digit as text


def arithmetic(text: str) -> list[tuple[str, float, float]]:
    """The lines "name = expression = value" of a story: name, and both sides as numbers."""
    found = []
    for line in re.findall(r"^ +(d\w\[.*\] = .*)$", text, re.M):
        sides = re.sub(r", as y\[.*| \(\d+ others\)", "", line).split(" = ")
        if len(sides) > 2:
            found.append((sides[0], eval(sides[-2].replace("^", "**")), float(sides[-1])))
    return found


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ("input(64) dense(9) relu dense(10) softmax", ["dW", "dx", "dx", "dx", "dW"]),
        ("input(64) dense(9) leaky_relu dense(10) softmax", ["dW", "dx", "dx", "dx", "dW"]),
        ("input(64) dense(9) tanh dense(10) sigmoid loss(mse)", ["dx", "dx", "dW", "dx", "dx", "dx", "dW"]),
        ("input(64) dense(10) softmax loss(mse)", ["dx", "dx", "dW"]),
    ],
)
def test_the_chain_rule_in_numbers(spec: str, names: list[str], digits: data.Dataset) -> None:
    """What is printed can be recalculated, from the digits that are printed."""
    net = Network(spec, seed=3)
    shown = arithmetic(str(pynet.explain(net, digits.x_train[5], digits.y_train[5])))
    assert [name.partition("[")[0] for name, *_ in shown] == names
    for name, calculated, value in shown:
        assert calculated == pytest.approx(value, rel=5e-3, abs=1e-6), name


def test_small_layers_are_printed_whole() -> None:
    net = Network("input(2) dense(3) tanh dense(2) sigmoid loss(mse)", seed=3)
    found = pynet.explain(net, [-1.0, 1.0], [1.0, 0.0])
    text = str(found)
    for name in ("x", "y", "dy", "dx", "b", "db", "W[0]", "W[1]", "W[2]", "dW[0]", "dW[1]", "dW[2]"):
        assert re.search(rf"^      {re.escape(name)} +-?\d", text, re.M), name
    hidden = found.layers[0]
    assert hidden.d_output is not None
    for row in (hidden.d_output, found.parameters["0.W"][1], found.gradients["0.W"][1], found.layers[1].output):
        assert " ".join(f"{value:>9.4f}" for value in row) in text
    assert "as a whole" not in text


def test_every_kind_of_layer_is_explained() -> None:
    spec = "input(1,8,8) conv(4,3) leaky_relu avgpool(2) conv(3,2) gelu globalavgpool layernorm dense(12)"
    net = Network(f"{spec} residual(dense(12) relu) dropout(0.5) dense(10) softmax", seed=1)
    text = str(pynet.explain(net, np.linspace(0, 1, 64), 3))
    backward = text[text.index("3. backward") : text.index("4. update")]
    for layer in net.layers[:-1]:
        assert f"\n   {layer.path} {layer.text}: " in backward, layer.path
    assert backward.count("the largest\n") == 14


def test_other_networks() -> None:
    line = Network("input(1) dense(1) loss(mse)", seed=1)
    found = pynet.explain(line, [0.5], [2.0], SGD(0.5))
    w, b = float(line.layers[0].W[0, 0]), float(line.layers[0].b[0])
    p = 0.5 * w + b
    assert found.loss == pytest.approx((p - 2) ** 2 / 2, rel=1e-5)
    assert found.changes["0.W"][0, 0] == pytest.approx(-0.5 * (p - 2) * 0.5, rel=1e-5)
    assert found.changes["0.b"][0] == pytest.approx(-0.5 * (p - 2), rel=1e-5)
    assert "half the sum of (p - y)^2" in str(found)
    many = Network("input(5) dense(300) softmax")
    text = str(pynet.explain(many, np.ones(5), 299, Adam(0.01)))
    assert re.search(r"^ +299 .*-0\.99", text, re.M)
    assert text.count("\n") < 85
    assert "step against the gradient, Adam" in text
    assert str(pynet.explain(Network("input(4) softmax"), np.zeros(4), 1)).count("1.3863") == 4


@pytest.mark.parametrize(
    "spec", ["input(3) standardize dense(2) rescale", "input(1,3,2) standardize conv(2,2) rescale"]
)
def test_quantities(spec: str) -> None:
    net = Network(spec, seed=1)
    rng = np.random.default_rng(0)
    outputs = int(np.prod(net.out_shape))
    x, y = rng.normal(20, 5, (50, *net.in_shape)), rng.normal(300, 40, (50, outputs))
    net.adapt(x, y)
    found = pynet.explain(net, x[0], y[0], SGD(0.5))
    twin = reference.Network.from_net(net)
    assert_allclose(found.output, twin.forward(x[:1]).ravel(), rtol=1e-5)
    assert found.loss == pytest.approx(twin.loss(y[:1]), rel=1e-4)
    twin.backward()
    assert_allclose(found.error.reshape(2, -1).sum(axis=1), twin.gradients()["1.b"], rtol=1e-3)
    assert f"half the sum of ((p - y) / scale)^2 = {found.loss:.4f}" in str(found)
    assert "It says" not in str(found)


def test_errors(digits: data.Dataset) -> None:
    net = Network(SPECS[0])
    with pytest.raises(ValueError, match=r"x has shape \(2, 8, 8\); one sample of this network is \(64,\)"):
        pynet.explain(net, digits.x_train[:2], 1)
    for wrong in (10, -1, [1.0, 2.0], 0.5):
        with pytest.raises(ValueError, match=r"label|y has shape"):
            pynet.explain(net, digits.x_train[0], wrong)


def test_train_explains_first() -> None:
    done = run(*DIGITS, "--epochs", "1", "--explain", "--lr", "0.05", "--save", "none")
    assert (done.status, done.err) == (0, "")
    story, _, rest = done.out.partition("epoch 1/1")
    first = int(pynet.kernels.shuffle(1442, 0, 0)[0])
    digits: Any = data.load("digits")
    net = Network("input(64) dense(128) relu dense(64) relu dense(10) softmax")
    assert str(pynet.explain(net, digits.x_train[first], digits.y_train[first], SGD(0.05))) in story
    assert "test accuracy" in rest
    adam = run(*DIGITS, "--epochs", "0", "--explain", "--optimizer", "adam", "--save", "none")
    assert (adam.status, adam.err) == (0, "")
    assert "a small step against the gradient, Adam" in adam.out
    for other in ("--quiet", "--json", "--find-lr"):
        refused = run(*DIGITS, "--explain", other)
        assert (refused.status, refused.out) == (2, "")
        assert f"it cannot be used with {other}" in refused.err
