"""The digit classifier that `pynet play` shows, made by `make play-model`."""

from __future__ import annotations

import pytest

import pynet
from pynet.data import Dataset
from pynet.play.page import SHIPPED
from pynet.training import novelty


def test_it_is_small_and_knows_its_classes_and_what_is_unlike_its_pictures() -> None:
    net = pynet.load(SHIPPED)
    assert SHIPPED.stat().st_size < 160_000
    assert net.classes == [str(digit) for digit in range(10)]
    assert novelty.of(net) is not None


@pytest.mark.mnist
def test_its_accuracy(mnist: Dataset) -> None:
    assert pynet.load(SHIPPED).evaluate(mnist.x_test, mnist.y_test).accuracy >= 0.988
