"""scikit-learn's own checks of estimators: all of them, none expected to fail."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("sklearn", "1.6", reason="needs scikit-learn 1.6: .ci/run and `make test-peers` have it")

from sklearn.utils.estimator_checks import estimator_checks_generator

from pynet.sklearn import PynetClassifier, PynetRegressor

CHECKS = [pair for model in (PynetClassifier(), PynetRegressor()) for pair in estimator_checks_generator(model)]


def test_there_are_checks() -> None:
    assert len(CHECKS) > 100


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # the checks set max_iter to 5
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore:X is not scaled:UserWarning")  # some checks draw numbers around 100
@pytest.mark.parametrize(
    ("estimator", "check"), CHECKS, ids=[f"{type(model).__name__}-{check.func.__name__}" for model, check in CHECKS]
)
def test_scikit_learn_finds_no_fault(estimator: Any, check: Any) -> None:
    check(estimator)
