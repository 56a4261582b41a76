"""Optimizers: each against float64 for each API, with zeros to skip, decay and clipping; their state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pynet import SGD, Adam, AdamW, Momentum, Nesterov, Network, RMSProp, kernels, reference
from pynet.network import OptimizerState
from pynet.optim import Optimizer

Array = np.ndarray[Any, Any]

SPEC = "input(12) dense(9) tanh dense(7) sigmoid dense(4) softmax"
# Enough work for threads, weights stored in panels, an odd width, more than one piece of 256 columns.
WIDE = "input(70) dense(530) relu dense(61) tanh dense(50) relu dense(10) softmax"
# Parameters of every kind; no bias before batchnorm, which would cancel it.
LAYERS = (
    "input(2,12,11) conv(8,3,bias=no) batchnorm relu residual(conv(12,3,pad=same) relu) dropout(0.2) maxpool(2) "
    "dense(33) layernorm gelu dense(4) softmax"
)

OPTIMIZERS: list[Optimizer] = [
    SGD(0.3),
    SGD(0.3, l2=0.02),
    SGD(0.3, weight_decay=0.05, decay_all=True),
    SGD(0.3, clip_value=0.003),
    SGD(0.3, clip_norm=0.05),
    Momentum(0.1, 0.8),
    Momentum(0.1, 0.8, l2=0.02, clip_norm=0.05),
    Nesterov(0.1, 0.8, weight_decay=0.05),
    RMSProp(0.003, 0.95, 1e-4),
    RMSProp(0.003, 0.95, 1e-4, l2=0.02, decay_all=True, clip_value=0.003),
    Adam(0.01, 0.8, 0.98, 1e-4),
    Adam(0.01, 0.8, 0.98, 1e-4, l2=0.02, clip_norm=0.05),
    AdamW(0.01, 0.8, 0.98, 1e-4, weight_decay=0.1, clip_value=0.003),
]


def name(optimizer: Optimizer) -> str:
    """The fields that are set, as a test id."""
    given = {key: value for key, value in vars(optimizer).items() if value is not None}
    return f"{optimizer.kind} {given}"


BY_NAME = pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=name)


def samples(net: Network, n: int, seed: int = 0, zeros: float = 0.5) -> tuple[Array, Array]:
    """Labels, and pixels: this fraction of them zero, and the whole first feature."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (n, *net.in_shape), np.uint8) * (rng.random((n, *net.in_shape)) >= zeros)
    x[:, 0] = 0
    return x.astype(np.uint8), rng.integers(0, net.out_shape[0], n)


def in_float64(optimizer: Optimizer) -> reference.Optimizer:
    """The same optimizer of the float64 reference."""
    kind = "adam" if optimizer.kind == "adamw" else optimizer.kind
    values = {key: value for key, value in vars(optimizer).items() if value is not None}
    return reference.Optimizer(kind, **values)


@BY_NAME
@pytest.mark.parametrize(("spec", "zeros"), [(SPEC, 0), (SPEC, 0.8), (LAYERS, 0.5)], ids=["dense", "zeros", "layers"])
def test_steps_against_the_reference(table: str, optimizer: Optimizer, spec: str, zeros: float) -> None:
    net = Network(spec, seed=2)
    twin, optimizer64 = reference.Network.from_net(net), in_float64(optimizer)
    start = {key: tensor.copy() for key, tensor in net.tensors.items()}
    for step in range(12):
        x, y = samples(net, 20, step, zeros)
        twin.train_step(x, y, optimizer64)
        net.train_step(x, y, optimizer)
    for key, expected in twin.parameters().items():
        tensor = net.tensors[key]
        # 12 steps of float32 arithmetic; epsilon 1e-4 keeps a quotient of two small numbers from being all rounding
        assert_allclose(tensor, expected, rtol=0, atol=2e-5 * np.abs(expected).max(), err_msg=key)
        assert np.abs(tensor - start[key]).max() > 1e-3 * np.abs(expected).max()


def test_a_weight_without_input_is_still_updated() -> None:
    net = Network(SPEC, seed=2)
    optimizer = Momentum(0.1, 0.5)
    x, y = samples(net, 20)
    x[:, 0] = 255
    net.train_step(x, y, optimizer)
    x[:, 0] = 0
    velocity = net.optimizer_state.tensors["0.W.velocity"][0].copy()
    before = net.layers[0].W[0].copy()
    net.train_step(x, y, optimizer)
    assert np.abs(velocity).min() > 0
    assert_allclose(net.layers[0].W[0], before - 0.1 * 0.5 * velocity, rtol=1e-6)


def results_of_each_api(spec: str, optimizer: Optimizer) -> Iterator[tuple[str, dict[str, Array]]]:
    """SHA-256 of the weights, and the optimizer state, after three batches of different sizes, for each API."""
    nets = [Network(spec, seed=1) for _ in range(3)]
    x, y = samples(nets[0], 100)
    batches = [kernels.shuffle(100, 5, 0)[begin:end] for begin, end in ((0, 34), (34, 67), (67, 100))]
    for rows in batches:
        nets[0].forward(x[rows])
        nets[0].loss(y[rows])
        nets[0].backward()
        nets[0].update(optimizer)
        nets[1].train_step(x[rows], y[rows], optimizer)
    nets[2].fit(x, y, epochs=1, batch_size=40, optimizer=optimizer, seed=5)
    for net in nets:
        state = net.optimizer_state
        assert state.steps == 3
        assert state.kind == optimizer.kind
        yield net.weights_sha256(), {key: tensor.copy() for key, tensor in state.tensors.items()}


@pytest.mark.parametrize(
    ("spec", "optimizer"),
    # clipped by norm, every parameter is updated in another place: after all gradients are there
    [(WIDE, o) for o in OPTIMIZERS] + [(LAYERS, o) for o in OPTIMIZERS if o.clip_norm],
    ids=lambda value: name(value) if isinstance(value, Optimizer) else "layers" if value == LAYERS else "wide",
)
def test_every_api_and_every_number_of_threads_give_the_same_bits(spec: str, optimizer: Optimizer) -> None:
    found: dict[bool, list[tuple[str, dict[str, Array]]]] = {True: [], False: []}
    for table in kernels.cpu_tables():
        kernels.set_cpu(table)
        for threads in (1, 2, 3, 4, 8):
            kernels.set_threads(threads)
            found[table == "portable"] += results_of_each_api(spec, optimizer)
    for results in found.values():
        for sha256, state in results:
            assert sha256 == results[0][0]
            assert state.keys() == results[0][1].keys()
            for key, tensor in state.items():
                assert_array_equal(tensor, results[0][1][key], err_msg=key)


@BY_NAME
def test_many_steps_in_one_call(optimizer: Optimizer) -> None:
    """For more than 16 steps the weights are stored in panels."""
    found = set()
    for threads in (1, 2, 3):
        kernels.set_threads(threads)
        nets = [Network(WIDE, seed=1) for _ in range(2)]
        x, y = samples(nets[0], 320)
        order = kernels.shuffle(320, 5, 0)
        for begin in range(0, 320, 16):
            nets[0].train_step(x[order[begin : begin + 16]], y[order[begin : begin + 16]], optimizer)
        nets[1].fit(x, y, epochs=1, batch_size=16, optimizer=optimizer, seed=5)
        found |= {net.weights_sha256() for net in nets}
    assert len(found) == 1


# ---- optimizer state ----


def test_state_is_named_and_live() -> None:
    net = Network("input(3) dense(2)")
    assert net.optimizer_state == OptimizerState("sgd", 0, {})
    net.train_step(np.ones((1, 3)), np.ones((1, 2)), Adam())
    kind, steps, tensors = net.optimizer_state
    assert (kind, steps) == ("adam", 1)
    shapes = {key: tensor.shape for key, tensor in tensors.items()}
    assert shapes == {"0.W.mean": (3, 2), "0.b.mean": (2,), "0.W.square": (3, 2), "0.b.square": (2,)}
    tensors["0.b.mean"][...] = 7
    assert_array_equal(net.optimizer_state.tensors["0.b.mean"], [7, 7])


def test_another_optimizer_begins_with_new_state() -> None:
    net, twin = Network(SPEC), Network(SPEC)
    x, y = samples(net, 20)
    for optimizer in (Adam(), AdamW(), Momentum(), Nesterov()):
        net.train_step(x, y, optimizer)
    assert net.optimizer_state.steps == 2
    net.train_step(x, y, Adam())
    for key, tensor in net.tensors.items():
        twin.tensors[key][...] = tensor
    assert net.optimizer_state.steps == 1
    net.train_step(x, y, SGD())
    assert net.optimizer_state.tensors == {}
    twin.train_step(x, y, SGD())
    for optimizer in (RMSProp(), Momentum()):
        net.train_step(x, y, optimizer)
        twin.train_step(x, y, optimizer)
    assert net.weights_sha256() == twin.weights_sha256()


@pytest.mark.parametrize("optimizer", [SGD(), Momentum(), RMSProp(), Adam()], ids=name)
def test_a_state_can_be_copied(optimizer: Optimizer) -> None:
    net, twin = Network(SPEC), Network(SPEC)
    x, y = samples(net, 20)
    for _ in range(3):
        net.train_step(x, y, optimizer)
    for key, tensor in net.tensors.items():
        twin.tensors[key][...] = tensor
    twin.optimizer_state = net.optimizer_state
    for _ in range(2):
        net.train_step(x, y, optimizer)
        twin.train_step(x, y, optimizer)
    assert net.weights_sha256() == twin.weights_sha256()
    assert twin.optimizer_state.steps == 5
    twin.optimizer_state = twin.optimizer_state  # assigns its own views
    assert_array_equal(
        [tensor.sum() for tensor in twin.optimizer_state.tensors.values()],
        [tensor.sum() for tensor in net.optimizer_state.tensors.values()],
    )


def test_a_wrong_state_is_refused_and_the_old_one_kept() -> None:
    net = Network(SPEC)
    net.train_step(*samples(net, 20), Adam())
    before = net.optimizer_state.copy()
    with pytest.raises(ValueError, match="optimizer 'adagrad'; accepted: sgd, momentum, nesterov, rmsprop, adam"):
        net.optimizer_state = OptimizerState("adagrad", 0, {})
    with pytest.raises(ValueError, match="steps is -1; accepted: 0 to 9007199254740992"):
        net.optimizer_state = before._replace(steps=-1)
    with pytest.raises(ValueError, match=r"momentum takes the tensors .*0\.W\.velocity.*, got .*0\.W\.mean"):
        net.optimizer_state = before._replace(kind="momentum")
    after = net.optimizer_state
    assert (after.kind, after.steps) == ("adam", 1)
    for key, tensor in before.tensors.items():
        assert_array_equal(after.tensors[key], tensor)


def test_a_failed_step_does_not_change_the_state() -> None:
    net = Network("input(3) dense(2)")
    net.train_step(np.ones((1, 3)), np.ones((1, 2)), Adam())
    before = net.optimizer_state.copy()
    with pytest.raises(FloatingPointError):
        net.train_step(np.ones((1, 3)), np.full((1, 2), 3e38), Adam())  # the loss is infinite
    after = net.optimizer_state
    assert after.steps == 1
    for key, tensor in before.tensors.items():
        assert_array_equal(after.tensors[key], tensor)


# ---- values ----


def test_default_values() -> None:
    """The defaults in the docstrings and the README."""
    pairs: list[tuple[Optimizer, Optimizer]] = [
        (SGD(), SGD(0.1, l2=0, weight_decay=0, decay_all=False, clip_value=0, clip_norm=0)),
        (Momentum(), Momentum(0.01, 0.9, weight_decay=0)),
        (Nesterov(), Nesterov(0.01, 0.9, weight_decay=0)),
        (RMSProp(), RMSProp(0.001, 0.99, 1e-8, weight_decay=0)),
        (Adam(), Adam(0.001, 0.9, 0.999, 1e-8, weight_decay=0)),
        (AdamW(), AdamW(0.001, 0.9, 0.999, 1e-8, weight_decay=0.01)),
    ]
    for short, long in pairs:
        nets = [Network(SPEC), Network(SPEC)]
        for net, optimizer in zip(nets, (short, long), strict=True):
            for step in range(3):
                net.train_step(*samples(net, 20, step), optimizer)
        assert nets[0].weights_sha256() == nets[1].weights_sha256(), short


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (Adam(-0.1), "learning rate is -0.1; accepted: a finite number above 0"),
        *((SGD(rate), "learning rate is .*; accepted: a finite number above 0") for rate in (0, NAN, INF, 1e39, 1e-50)),
        (Momentum(0.1, 1), "momentum is 1; accepted: a number from 0 to below 1"),
        (Adam(beta1=-0.5), "beta1 is -0.5; accepted: a number from 0 to below 1"),
        (RMSProp(epsilon=0), "epsilon is 0; accepted: a finite number above 0"),
        (SGD(l2=-1), "l2 is -1; accepted: a finite number, 0 or more"),
        (AdamW(weight_decay=1e39), r"weight decay is 1e\+39; accepted"),
        (SGD(clip_value=-2), "clip value is -2; accepted"),
        (SGD(clip_norm=NAN), "clip norm is -?nan; accepted"),
        (SGD(clip_norm=1, clip_value=2), "clip value is 2 and clip norm 1; accepted: one of them"),
    ],
    ids=lambda value: name(value) if isinstance(value, Optimizer) else "",
)
def test_values_that_are_refused(optimizer: Optimizer, message: str) -> None:
    net = Network(SPEC)
    x, y = samples(net, 20)
    net.train_step(x, y, Momentum())
    net.forward(x)
    net.loss(y)
    net.backward()
    before = net.weights_sha256()
    for call in (
        lambda: net.train_step(x, y, optimizer),
        lambda: net.update(optimizer),
        lambda: net.fit(x, y, optimizer=optimizer),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert net.weights_sha256() == before
    assert (net.optimizer_state.kind, net.optimizer_state.steps) == ("momentum", 1)


@pytest.mark.parametrize("wrong", [3, None, Adam, Optimizer(0.1)])
def test_what_is_no_optimizer_is_refused(wrong: Any) -> None:
    net = Network(SPEC)
    with pytest.raises(TypeError, match=r"accepted: SGD\(\), .*, AdamW\(\), or a name such as 'adam'"):
        net.train_step(*samples(net, 20), wrong)
    with pytest.raises(ValueError, match=r"optimizer is 'adm'; did you mean 'adam'\? accepted: sgd, momentum"):
        net.update("adm")


def test_names_and_lr_are_aliases() -> None:
    nets = [Network(SPEC) for _ in range(3)]
    for net, optimizer in zip(nets, ("Adam", Adam(), Adam(lr=0.001)), strict=True):
        net.train_step(*samples(net, 20), optimizer)
    assert len({net.weights_sha256() for net in nets}) == 1
    assert replace(Momentum(lr=0.5), learning_rate=0.25) == Momentum(0.25)
    with pytest.raises(TypeError, match=r"learning_rate 0\.1 and lr 0\.2 are the same thing"):
        SGD(0.1, lr=0.2)
