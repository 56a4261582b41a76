"""Tables against scikit-learn's networks behind a ColumnTransformer: as good on the same rows, or nearly so."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.command import run
from sklearn import datasets
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from pynet.data.table_set import open_rows

SEEDS = range(3)
NEAR = 0.02


def with_texts(frame: Any) -> Any:
    """The wine with a column of texts, and some of its values gone."""
    frame = frame.copy()
    frame["region"] = np.array(["north", "south", "west"])[(frame["hue"] * 10).astype(int) % 3]
    frame.loc[::9, "alcohol"] = np.nan
    frame.loc[::13, "region"] = None
    return frame


TABLES = {
    "iris": lambda: datasets.load_iris(as_frame=True).frame,
    "wine": lambda: with_texts(datasets.load_wine(as_frame=True).frame),
    "breast_cancer": lambda: datasets.load_breast_cancer(as_frame=True).frame,
    "diabetes": lambda: datasets.load_diabetes(as_frame=True, scaled=False).frame,
}


def peer(frame: Any, train: Any, test: Any, numbers: bool, seed: int) -> float:
    """The score of scikit-learn's network on the rows for testing."""
    x, y = frame.drop(columns="target"), frame["target"]
    texts = [name for name in x if x[name].dtype.kind not in "iuf"]
    scaled = make_pipeline(SimpleImputer(), StandardScaler())
    columns = ColumnTransformer(
        [
            ("numbers", scaled, [name for name in x if name not in texts]),
            ("texts", OneHotEncoder(handle_unknown="ignore"), texts),
        ]
    )
    network = (MLPRegressor if numbers else MLPClassifier)(random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = make_pipeline(columns, network).fit(x.iloc[train], y.iloc[train])
    return float(model.score(x.iloc[test], y.iloc[test]))


@pytest.mark.parametrize("name", TABLES)
def test_it_is_as_good(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    frame = TABLES[name]()
    frame.to_csv("t.csv", index=False)
    rows = open_rows("t.csv", "target")
    train, test = rows.divided(np.arange(len(rows.y)), 0.2)
    ours, theirs = [], []
    for seed in SEEDS:
        found = json.loads(run("--data", "t.csv", "--target", "target", "--seed", str(seed), "--json").out)
        ours.append(found["test_accuracy"] if rows.classes else found["test_r2"])
        theirs.append(peer(frame, train, test, not rows.classes, seed))
    assert np.mean(ours) > np.mean(theirs) - NEAR
