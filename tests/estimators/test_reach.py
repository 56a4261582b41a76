"""The estimators inside scikit-learn's tools: pipelines, searches, calibration, data frames, files."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
from helpers import ROOT
from numpy.testing import assert_array_equal

pytest.importorskip("sklearn", "1.6", reason="needs scikit-learn 1.6: .ci/run and `make test-peers` have it")

import joblib
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from pynet.sklearn import PynetClassifier, PynetRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_digits(return_X_y=True)
MODEL = PynetClassifier(16, max_iter=10, learning_rate_init=0.01, random_state=0)


def test_pipeline_and_cross_validation() -> None:
    scores = cross_val_score(make_pipeline(StandardScaler(), MODEL), X, Y, cv=3)
    assert scores.min() > 0.8


def test_a_search_finds_the_same_in_threads_and_in_processes() -> None:
    grid = {"pynetclassifier__hidden_layer_sizes": [(4,), (16,)], "pynetclassifier__net": [None, "dense(8) tanh"]}
    found = []
    for backend, jobs in (("sequential", 1), ("threading", 2), ("loky", 2)):
        search = GridSearchCV(make_pipeline(MinMaxScaler(), clone(MODEL)), grid, cv=2, n_jobs=jobs)
        with joblib.parallel_backend(backend):
            found.append(search.fit(X, Y).cv_results_["mean_test_score"])
    assert_array_equal(found[0], found[1])
    assert_array_equal(found[0], found[2])
    assert found[0].max() > 0.85


def test_calibration() -> None:
    calibrated = CalibratedClassifierCV(make_pipeline(MinMaxScaler(), MODEL), cv=2).fit(X, Y)
    assert calibrated.score(X, Y) > 0.85


def test_the_example_of_the_readme(capsys: pytest.CaptureFixture[str]) -> None:
    [code] = re.findall(r"^    from sklearn(?:.*\n(?=    |\n))+", (ROOT / "README.md").read_text("utf-8"), re.M)
    names: dict[str, Any] = {}
    exec(compile(dedent(code), "README.md", "exec"), names)
    assert names["search"].best_score_ > 0.9
    assert "dense(" in capsys.readouterr().out


def test_clones_are_not_fitted() -> None:
    twin = clone(clone(MODEL).fit(X, Y))
    assert not hasattr(twin, "net_")
    assert twin.get_params() == MODEL.get_params()


@pytest.mark.parametrize("way", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model)), "joblib"])
def test_copies_continue_to_the_same_bits(way: Any, tmp_path: Path) -> None:
    model = clone(MODEL).partial_fit(X, Y, range(10))
    if way == "joblib":
        joblib.dump(model, tmp_path / "model.joblib")
        twin = joblib.load(tmp_path / "model.joblib")
    else:
        twin = way(model)
    found = [one.partial_fit(X, Y).net_.weights_sha256() for one in (model, twin)]
    assert found[0] == found[1]
    assert_array_equal(model.predict_proba(X), twin.predict_proba(X))


def test_data_frames() -> None:
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(rng.normal(size=(80, 3)), columns=["age", "height", "weight"])
    target = pandas.Series(np.where(frame["age"] > 0, "old", "young"), dtype="category")
    model = clone(MODEL).set_params(max_iter=200).fit(frame, target)
    assert model.feature_names_in_.tolist() == ["age", "height", "weight"]
    assert model.score(frame, target) > 0.9
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["height", "age", "weight"]])
    numbers = PynetRegressor(16, random_state=0).fit(frame, frame[["age", "height"]])
    assert numbers.predict(frame).shape == (80, 2)
