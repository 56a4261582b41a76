"""Sparse inputs, compressed sparse rows, give the bits of dense ones, on every kernel table."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from pynet import Adam, Augment, Network
from pynet.model.csr import CSR, rows_of

rng = np.random.default_rng(0)


def sparse(x: Any) -> CSR:
    """Without the zeros."""
    rows, columns = np.nonzero(x)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(x)))])
    return CSR(x[rows, columns], columns.astype(np.int32), starts.astype(np.int64), x.shape)


def inputs(n: int, features: int, density: float) -> Any:
    return np.where(rng.random((n, features)) < density, rng.normal(size=(n, features)), 0).astype(np.float32)


@pytest.mark.parametrize("features", [1, 15, 16, 17, 63, 64, 65, 300])
@pytest.mark.parametrize("density", [0.0, 0.05, 0.9])
def test_the_bits_are_those_of_dense_rows(table: str, features: int, density: float) -> None:
    x, y = inputs(150, features, density), rng.integers(0, 3, 150)
    nets = [Network(f"input({features}) dense(9) relu dropout(0.2) dense(3) softmax", seed=1) for _ in range(2)]
    histories = [
        net.fit(rows, y, epochs=2, batch_size=70, optimizer=Adam(), validation=(rows, y)).val_loss
        for net, rows in zip(nets, (x, sparse(x)), strict=True)
    ]
    assert histories[0] == histories[1]
    assert nets[0].weights_sha256() == nets[1].weights_sha256()
    assert_array_equal(nets[0].predict_proba(x), nets[0].predict_proba(sparse(x)))
    assert nets[0].evaluate(x, y) == nets[0].evaluate(sparse(x), y)
    assert_array_equal(nets[0].input_gradient(x, y), nets[0].input_gradient(sparse(x), y))


@pytest.mark.parametrize("text", ["layernorm dense(4)", "tanh dense(4)", "residual(dense(20)) dense(2) rescale"])
def test_first_layers_of_other_kinds(text: str) -> None:
    x = inputs(40, 20, 0.1)
    y = rng.normal(size=(40, 2 if "rescale" in text else 4)).astype(np.float32)
    nets = [Network(f"input(20) {text}", seed=1) for _ in range(2)]
    for net, rows in zip(nets, (x, sparse(x)), strict=True):
        if "rescale" in text:
            net.adapt(y=y)
        net.fit(rows, y, epochs=2, batch_size=8)
    assert nets[0].weights_sha256() == nets[1].weights_sha256()


def test_a_fraction_is_set_aside_as_from_dense_rows() -> None:
    x, y = inputs(40, 20, 0.1), rng.integers(0, 3, 40)
    nets = [Network("input(20) dense(3) softmax", seed=1) for _ in range(2)]
    histories = [
        net.fit(rows, y, epochs=2, batch_size=8, validation_split=0.25).val_loss
        for net, rows in zip(nets, (x, sparse(x)), strict=True)
    ]
    assert histories[0] == histories[1]
    assert nets[0].weights_sha256() == nets[1].weights_sha256()


@given(st.lists(st.lists(st.sampled_from([0.0, 0.0, 1.5, -2.0]), min_size=4, max_size=4), min_size=1, max_size=8))
def test_rows_of_rows(table: list[list[float]]) -> None:
    x = np.array(table, np.float32)
    rows = sparse(x)
    picked = rng.integers(0, len(x), 5)
    assert_array_equal(rows.dense(), x)
    assert_array_equal(rows[picked].dense(), x[picked])
    assert_array_equal(rows[1:].dense(), x[1:])
    assert rows_of(rows) is rows


def test_values_of_one_column_add_up() -> None:
    twice = CSR(np.array([1, 2], np.float32), np.array([1, 1], np.int32), np.array([0, 2]), (1, 3))
    net = Network("input(3) dense(2)")
    assert_array_equal(net.predict_proba(twice), net.predict_proba(np.array([[0, 3, 0]], np.float32)))


GOOD = {"values": [1.0, 2.0], "columns": [0, 2], "starts": [0, 1, 2]}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"columns": [0, 3]}, "a column of sample 1 is 3; this network takes 0 to 2"),
        ({"starts": [0, 3, 2]}, "starts of sample [01] are [03] and [23]; accepted: 0 to 2, ascending"),
        ({"values": [1.0, np.inf]}, "x holds inf in sample 1, feature 2; accepted: finite numbers"),
    ],
)
def test_rows_that_are_wrong(wrong: dict[str, Any], message: str) -> None:
    parts = {**GOOD, **wrong}
    x = CSR(
        np.array(parts["values"], np.float32), np.array(parts["columns"], np.int32), np.array(parts["starts"]), (2, 3)
    )
    net = Network("input(3) dense(2) softmax")
    before = net.weights_sha256()
    for call in (lambda: net.predict(x), lambda: net.fit(x, [0, 1], epochs=1), lambda: net.evaluate(x, [0, 1])):
        with pytest.raises(ValueError, match=message):
            call()
    assert net.weights_sha256() == before


def matrix(data: Any, indices: Any, indptr: Any) -> Any:
    """What scipy.sparse has of a CSR matrix (2, 3), whose arrays may have been replaced."""
    found = SimpleNamespace(shape=(2, 3), dtype=np.dtype(np.float32), nnz=len(data))
    found.data, found.indices, found.indptr = np.array(data, np.float32), np.array(indices), np.array(indptr)
    found.tocsr = lambda: found
    return found


def test_spare_memory_after_the_values_is_not_read() -> None:
    net, y = Network("input(3) dense(2)"), np.ones((2, 2), np.float32)
    spare = matrix([1, 2, np.nan], [0, 2, 9], [0, 1, 2])
    net.fit(spare, y, epochs=1)
    assert_array_equal(net.predict_proba(spare), net.predict_proba(matrix([1, 2], [0, 2], [0, 1, 2])))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (([1, 2], [0, 2], [0, 1]), "2 rows has 1 values, 1 columns and 2 starts; accepted: .* 3 starts"),
        (([1, 2], [0], [0, 1, 2]), "2 values, 1 columns and 3 starts; accepted: as many columns as values"),
        (([1, 2], [0, 2**32], [0, 1, 2]), r"columns of x run from 0 to 4294967296; its shape is \(2, 3\)"),
        (([1, 2], [-(2**32), 2], [0, 1, 2]), "columns of x run from -4294967296 to 2"),
    ],
)
def test_arrays_that_are_no_matrix(parts: tuple[Any, Any, Any], message: str) -> None:
    net = Network("input(3) dense(2)")
    net.predict_proba(matrix(GOOD["values"], GOOD["columns"], GOOD["starts"]))
    with pytest.raises(ValueError, match=message):
        net.predict_proba(matrix(*parts))


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (
            "input(1,5,4) conv(2,3) dense(2) softmax",
            {},
            r"x is sparse, of shape \(6, 20\); this network takes \(1, 5, 4\)",
        ),
        ("input(21) dense(2) softmax", {}, r"this network takes \(21,\) per sample"),
        ("input(20) standardize dense(2) softmax", {}, "sparse x with standardize; accepted: dense x"),
        ("input(20) dense(2) softmax", {"augment": Augment()}, "augment needs pictures"),
    ],
)
def test_what_takes_no_sparse_rows(text: str, options: dict[str, Any], message: str) -> None:
    x = sparse(inputs(6, 20, 0.2))
    with pytest.raises(ValueError, match=message):
        Network(text).fit(x, [0, 1] * 3, epochs=1, **options)
    if "standardize" in text:
        with pytest.raises(ValueError, match=message):
            Network(text).adapt(x)
