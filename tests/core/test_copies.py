"""Copies of a network, pickles and other processes among them: they continue like the network they were made of."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from multiprocessing import get_context

import numpy as np
import pytest
from helpers.networks import SPEC, samples
from numpy.testing import assert_array_equal

from pynet import Adam, Network

COPIES: dict[str, Callable[[Network], Network]] = {
    "copy()": Network.copy,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {p}": lambda net, p=p: pickle.loads(pickle.dumps(net, p)) for p in range(pickle.HIGHEST_PROTOCOL + 1)},
}


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_continues_like_the_network(way: str) -> None:
    """Dropout and Adam depend on what was trained before: notes, state and count of updates are copied, too."""
    net = Network("input(12) dense(9) batchnorm relu dropout(0.5) dense(4) softmax", seed=3)
    x, y = samples(net, 40)
    net.fit(x, y, epochs=2, batch_size=8, optimizer=Adam())
    net.meta["dataset"] = "pixels"
    twin = COPIES[way](net)
    assert type(twin) is Network
    assert (twin.spec, twin.seed, twin.updates, dict(twin.meta)) == (net.spec, 3, 10, dict(net.meta))
    before = net.weights_sha256()
    twin.fit(x, y, epochs=1, batch_size=8, optimizer=Adam())
    assert net.weights_sha256() == before
    net.fit(x, y, epochs=1, batch_size=8, optimizer=Adam())
    assert net.weights_sha256() == twin.weights_sha256() != before


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_takes_whole_numbers_as_the_network_does(way: str) -> None:
    net = Network("input(2) dense(3) tanh dense(2) softmax")
    x = np.array([[0, 3], [2, 1], [1, 1]])
    with pytest.raises(ValueError, match="x has dtype int64"):
        COPIES[way](net).predict(x)
    net.fit(x, [0, 1, 1], epochs=1)
    assert_array_equal(COPIES[way](net).predict_proba(x), net.predict_proba(x))


def test_other_processes_take_a_network() -> None:
    net = Network(SPEC)
    x, _ = samples(net, 6)
    with get_context("spawn").Pool(1) as pool:
        parts = pool.map(net.predict_proba, [x[:2], x[2:]])
    assert_array_equal(np.concatenate(parts), net.predict_proba(x))


def test_a_copy_is_of_the_same_class() -> None:
    class Own(Network):
        def __init__(self) -> None:
            super().__init__(SPEC, seed=7)

    assert type(Own().copy()) is type(copy.deepcopy(Own())) is Own
