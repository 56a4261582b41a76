"""Augmentation: against float64 on every kernel table, the same bits for each API and number of threads."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pynet
from pynet import Augment, Network, kernels, reference
from pynet.augment import parse_augment

NONE = Augment(shift=0, rotate=0, scale=0, shear=0, elastic=0)
SOME = Augment(shift=2, rotate=15, scale=0.2, shear=10, elastic=1)
CONV = "input(1,28,28) conv(4,5) relu maxpool(2) dropout(0.2) dense(10) softmax"
DENSE = "input(784) dense(32) relu dense(10) softmax"
WIDE = "input(784) dense(512) relu dense(10) softmax"  # work for several threads, which share the mask of zeros
COLOUR = "input(3,9,7) conv(4,3) relu dense(10) softmax"
SMALL = "input(8) dense(3) softmax"  # too little work for a second thread


def pictures(*shape: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 256, shape) * (rng.random(shape) < 0.3)).astype(np.uint8)


def error_bound(x: np.ndarray) -> float:
    """The error of a position is about 2^-21 pixels, and neighbouring pixels differ by at most the largest number."""
    return 8 * float(np.abs(x).max()) * (sum(x.shape[-2:]) + 8) * 2.0**-23


# ---- against float64 ----


@pytest.mark.parametrize("height", [1, 2, 7, 16, 17, 28])
@pytest.mark.parametrize("width", [1, 3, 4, 5, 8, 9, 15, 16, 17, 28, 33])
@pytest.mark.usefixtures("table")
def test_pictures_are_the_references(height: int, width: int) -> None:
    x = np.random.default_rng(height).normal(size=(3, 2, height, width)).astype(np.float32)
    for name, value in asdict(SOME).items():
        given = replace(NONE, **{name: value})
        expected = reference.augmented(x, **asdict(given), seed=7, step=5)
        np.testing.assert_allclose(kernels.augmented(x, given, 7, 5), expected, atol=error_bound(x), rtol=0)
    expected = reference.augmented(x, **asdict(SOME), seed=2**64 - 1, step=2**31)
    np.testing.assert_allclose(kernels.augmented(x, SOME, 2**64 - 1, 2**31), expected, atol=error_bound(x), rtol=0)


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 40), st.integers(1, 40)),
    strengths=st.tuples(
        st.floats(0, 999999), st.floats(0, 359), st.floats(0, 0.99), st.floats(0, 89), st.floats(0, 999999)
    ),
    step=st.integers(0, 2**32 - 1),
)
def test_any_shape_and_strength_stays_within_the_pictures(
    shape: tuple[int, ...], strengths: tuple[float, ...], step: int
) -> None:
    x = pictures(*shape)
    y = kernels.augmented(x, Augment(*strengths), 1, step)
    assert y.shape == x.shape and y.min() >= 0 and y.max() <= x.max() / 255 + 1e-6


def test_tables_that_fuse_give_the_same_bits() -> None:
    x, seen = pictures(5, 3, 28, 28), {}
    for name in set(kernels.cpu_tables()) - {"portable"}:
        kernels.set_cpu(name)
        seen[name] = kernels.augmented(x, SOME).tobytes()
    assert len(set(seen.values())) == min(len(seen), 1)


def test_without_strengths_nothing_changes() -> None:
    x = pictures(4, 11, 13)
    np.testing.assert_array_equal(kernels.augmented(x, NONE), x / np.float32(255))


def test_bytes_are_divided_by_255() -> None:
    x = pictures(4, 2, 11, 13)
    np.testing.assert_array_equal(kernels.augmented(x, SOME), kernels.augmented(x / np.float32(255), SOME))


# ---- what it means ----


def test_shift_moves_a_point_by_whole_pixels() -> None:
    x = np.zeros((400, 29, 29), np.float32)
    x[:, 14, 14] = 1
    y = kernels.augmented(x, replace(NONE, shift=5))
    np.testing.assert_allclose(y.sum(axis=(1, 2)), 1, atol=1e-5)
    moved = np.stack([(y.sum(axis=axis) * np.arange(29)).sum(axis=1) - 14 for axis in (1, 2)])
    assert 4.8 < abs(moved).max() <= 5.0001 and abs(moved.mean()) < 0.5


def test_elastic_moves_by_its_deviation() -> None:
    x = np.broadcast_to(np.arange(64, dtype=np.float32), (200, 64, 64))
    moved = (kernels.augmented(x, replace(NONE, elastic=1.5)) - x)[:, 10:-10, 10:-10]
    assert 1.4 < moved.std() < 1.6
    assert abs(np.diff(moved, axis=2)).mean() < 0.3  # neighbouring pixels move alike


def test_samples_and_steps_differ() -> None:
    x = np.broadcast_to(pictures(1, 12, 12), (50, 12, 12))
    seen = [kernels.augmented(x, SOME, seed, step) for seed, step in ((0, 0), (0, 1), (1, 0))]
    assert len({picture.tobytes() for batch in seen for picture in batch}) == 150


# ---- in training ----


def weights(spec: str, api: str, x: np.ndarray, batch_size: int = 50, augment: Augment | None = SOME) -> str:
    y = np.arange(len(x)) % Network(spec).out_shape[0]
    net, optimizer = Network(spec, seed=3), pynet.SGD()
    if api == "fit":
        net.fit(x, y, epochs=2, batch_size=batch_size, optimizer=optimizer, augment=augment)
        return net.weights_sha256()
    for epoch in range(2):
        for batch, targets in pynet.data.batches(x, y, batch_size, seed=3, epoch=epoch):
            if api == "train_step":
                net.train_step(batch, targets, optimizer, augment=augment)
            else:
                net.forward(batch, augment=augment)
                net.loss(targets)
                net.backward()
                net.update(optimizer)
    return net.weights_sha256()


@pytest.mark.parametrize("batch_size", [50, 100])  # the inputs of a large batch are gathered in two pieces
@pytest.mark.parametrize("spec", [CONV, DENSE, WIDE, COLOUR])
def test_same_bits_by_every_api_and_number_of_threads(spec: str, batch_size: int) -> None:
    shape = (3, 9, 7) if spec == COLOUR else (28, 28)
    x = pictures(210, *shape)
    if spec == WIDE:
        x[:, 8:] = 0
    found = {weights(spec, api, x, batch_size) for api in ("train_step", "four steps")}
    for threads in (1, 2, 3, 4, 8):
        kernels.set_threads(threads)
        found.add(weights(spec, "fit", x, batch_size))
    assert len(found) == 1
    assert found != {weights(spec, "fit", x, batch_size, augment=None)}


def test_forward_sees_what_augmented_shows() -> None:
    x = pictures(6, 28, 28)
    net, other = Network(DENSE, seed=4), Network(DENSE, seed=4)
    seen = pynet.data.augmented(x, SOME, seed=4, step=0)
    np.testing.assert_array_equal(net.forward(x, augment=SOME), other.forward(seen))
    net.train_step(x, np.arange(6), pynet.SGD())
    other.train_step(x, np.arange(6), pynet.SGD())
    seen = pynet.data.augmented(x, SOME, seed=4, step=1)
    np.testing.assert_array_equal(net.forward(x, augment=SOME), other.forward(seen))


def test_training_continues_from_a_file_as_if_never_interrupted(tmp_path: Path) -> None:
    x, y, optimizer = pictures(40, 28, 28), np.arange(40) % 10, pynet.SGD()
    net = Network(CONV, seed=5)
    net.train_step(x, y, optimizer, augment=SOME)
    net.save(tmp_path / "half.safetensors")
    again = pynet.load(tmp_path / "half.safetensors")
    for one in (net, again):
        one.train_step(x, y, optimizer, augment=SOME)
    assert net.weights_sha256() == again.weights_sha256()


def test_validation_is_not_changed() -> None:
    x, y = pictures(60, 28, 28), np.arange(60) % 10
    net = Network(DENSE)
    history = net.fit(x, y, epochs=1, validation=(x, y), augment=SOME)
    assert history.val_loss[-1] == net.evaluate(x, y).loss


def test_a_flat_network_takes_pictures_of_several_channels() -> None:
    x = pictures(20, 2, 2, 2)
    net = Network(SMALL)
    net.forward(x, augment=SOME)
    np.testing.assert_array_equal(net.forward(x, augment=NONE), net.forward(x))


# ---- errors ----


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        (Augment(shift=-1), "shift of the augmentation is -1"),
        (Augment(shift=1e6), "shift"),
        (Augment(rotate=360), "accepted: 0 to below 360"),
        (Augment(scale=1), "scale"),
        (Augment(shear=90), "shear"),
        (Augment(elastic=float("nan")), "elastic of the augmentation is nan"),
    ],
)
def test_strengths_that_are_not_accepted(augment: Augment, message: str) -> None:
    x = pictures(4, 28, 28)
    with pytest.raises(ValueError, match=message):
        kernels.augmented(x, augment)
    net = Network(DENSE)
    for call in (lambda: net.forward(x, augment=augment), lambda: net.fit(x, [0, 1, 2, 3], augment=augment)):
        before = net.weights_sha256()
        with pytest.raises(ValueError, match=message):
            call()
        assert net.weights_sha256() == before


def test_arrays_that_are_not_pictures() -> None:
    with pytest.raises(ValueError, match=r"augment needs pictures .* x has shape \(4, 784\)"):
        Network(DENSE).forward(np.zeros((4, 784), np.uint8), augment=SOME)
    with pytest.raises(ValueError, match=r"x has shape \(4, 2, 14\), this network takes \(n, 1, 14, 2\) or "):
        Network("input(1,14,2) conv(2,2)").forward(np.zeros((4, 2, 14), np.uint8), augment=SOME)
    with pytest.raises(ValueError, match=r"x has shape \(4, 14, 14, 4\); np\.moveaxis\(x, 3, 1\) puts"):
        Network(DENSE).forward(np.zeros((4, 14, 14, 4), np.uint8), augment=SOME)
    for integers in (np.uint16, np.int64, bool):
        with pytest.raises(ValueError, match=r"x has dtype \w+; accepted: uint8 \(pixels, taken as x/255\)"):
            kernels.augmented(np.zeros((4, 3, 3), integers))
    with pytest.raises(ValueError, match=r"x has shape \(4, 784\)"):
        kernels.augmented(np.zeros((4, 784)))
    with pytest.raises(ValueError, match="1 or more on each axis"):
        kernels.augmented(np.zeros((4, 0, 3)))
    with pytest.raises(TypeError, match=r"augment is True; accepted: pynet.Augment"):
        Network(DENSE).forward(np.zeros((4, 28, 28), np.uint8), augment=True)  # type: ignore[arg-type]


def test_images_may_come_flat() -> None:
    x = pictures(5, 1, 28, 28)
    net = Network(CONV)
    np.testing.assert_array_equal(net.forward(x, augment=SOME), net.forward(x.reshape(5, 784), augment=SOME))


def test_text_of_an_augmentation() -> None:
    for augment in (Augment(), SOME, Augment(rotate=0.5), NONE):
        assert parse_augment(str(augment)) == augment
    for default in ("", "default", "usual"):  # "usual" is in models of earlier versions
        assert parse_augment(default) == Augment()
    for wrong in ("turn=3", "rotate", "rotate=x", ","):
        with pytest.raises(ValueError, match="shift=NUMBER"):
            parse_augment(wrong)
