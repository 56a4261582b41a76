"""Sparse matrices in the estimators: the bits of dense arrays."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

pytest.importorskip("sklearn", "1.6", reason="needs scikit-learn 1.6: .ci/run and `make test-peers` have it")

from scipy import sparse

from pynet import Network
from pynet.sklearn import PynetClassifier, PynetRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

rng = np.random.default_rng(0)
X = sparse.random(400, 90, 0.05, format="csr", random_state=0)
Y = rng.integers(0, 3, 400)


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix, sparse.coo_array, sparse.csr_array])
@pytest.mark.parametrize("rows", [400, 100])  # more than a batch, and less
@pytest.mark.parametrize("model", [PynetClassifier, PynetRegressor])
def test_the_bits_are_those_of_dense_arrays(model: Any, rows: int, form: Any) -> None:
    x, y, weight = X[:rows], Y[:rows], rng.integers(0, 3, rows)
    found = [
        model(8, max_iter=3, early_stopping=True, random_state=0).fit(given, y, weight)
        for given in (form(x), x.toarray())
    ]
    assert found[0].net_.weights_sha256() == found[1].net_.weights_sha256()
    assert found[0].validation_scores_ == found[1].validation_scores_
    assert_array_equal(found[0].predict(form(x)), found[1].predict(x.toarray()))


def test_sparse_bytes_are_bytes() -> None:
    pixels = (X * 255).astype(np.uint8)
    dense, found = (PynetClassifier(8, max_iter=3, random_state=0).fit(x, Y) for x in (pixels.toarray(), pixels))
    assert_array_equal(found.predict_proba(pixels), dense.predict_proba(pixels.astype(float)))
    assert_array_equal(found.predict_proba(pixels.astype(float)), dense.predict_proba(pixels.toarray()))


def test_networks_themselves_take_them() -> None:
    nets = [Network("input(90) dense(8) relu dense(3) softmax") for _ in range(2)]
    for net, x in zip(nets, (X, X.toarray()), strict=True):
        net.fit(x, Y, epochs=2)
    assert nets[0].weights_sha256() == nets[1].weights_sha256()
    with pytest.raises(ValueError, match=r"dtype complex128; accepted: \(n, features\) real numbers"):
        nets[0].predict(X * 1j)


MEMORY = """
import resource, warnings
import numpy as np
from scipy import sparse
from pynet.sklearn import PynetClassifier
warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
starts, columns = np.arange(0, 100_001, 10), rng.integers(0, 20_000, 100_000)
x = sparse.csr_matrix((np.ones(100_000, np.float32), columns, starts), shape=(10_000, 20_000))
model = PynetClassifier(4, batch_size=20, max_iter=1, random_state=0)
model.fit(x[:100], np.arange(100) % 2)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model.fit(x, np.arange(10_000) % 2).predict(x[:500])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_memory_is_that_of_the_values() -> None:
    """Dense, these rows are 800 MB."""
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 80
