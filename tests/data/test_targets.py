"""Data sets with numbers as targets: .npz files with floats, and floats that are labels nevertheless."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.data_files import X_TEST, X_TRAIN, Y_TEST, Y_TRAIN, write_npz

from pynet import data

Y = np.array(
    [25.0, 151, 75, 141, 206, 135, 97, 138, 63, 110, 310, 101]
)  # like the diabetes data: whole numbers, but not classes


def loaded(folder: Path, y_train: Any, y_test: Any, **options: Any) -> data.Dataset:
    path = write_npz(folder / "d.npz", y_train=np.asarray(y_train), y_test=np.asarray(y_test))
    return data.load(path, **options)


@pytest.mark.parametrize(
    ("y_train", "y_test"),
    [
        (Y, Y[:6]),
        (Y[:, None], Y[:6, None]),
        (Y_TRAIN + 0.5, Y_TEST),
        (Y_TRAIN - 1.0, Y_TEST - 1.0),
        (np.stack([Y, -Y], axis=1), np.zeros((6, 2))),
        (Y_TRAIN + 100_000.0, Y_TEST + 100_000.0),
    ],
)
def test_floats_are_targets(tmp_path: Path, y_train: Any, y_test: Any) -> None:
    found = loaded(tmp_path, y_train, y_test)
    assert found.classes == ()
    for y, given in ((found.y_train, y_train), (found.y_test, y_test)):
        assert y.dtype == np.float32
        assert np.array_equal(y.reshape(len(y), -1), np.asarray(given, np.float32).reshape(len(y), -1))
        assert y.ndim == 1 or y.shape[1] > 1


@pytest.mark.parametrize(
    ("y_train", "y_test"),
    [
        (Y_TRAIN.astype(float), Y_TEST),
        (Y_TRAIN + 1.0, Y_TEST + 1.0),
        (np.eye(3)[Y_TRAIN], np.eye(3)[Y_TEST]),
        (np.eye(3, dtype=int)[Y_TRAIN], Y_TEST),
    ],
)
def test_floats_that_are_classes(tmp_path: Path, y_train: Any, y_test: Any) -> None:
    found = loaded(tmp_path, y_train, y_test)
    assert len(found.classes) == 3
    assert found.y_train.dtype == np.int32
    assert np.array_equal(found.y_train, Y_TRAIN)
    assert np.array_equal(found.y_test, Y_TEST)


def test_the_task_can_be_given(tmp_path: Path) -> None:
    assert loaded(tmp_path, Y_TRAIN, Y_TEST, task="number").y_train.tolist() == Y_TRAIN.tolist()
    assert loaded(tmp_path, Y, Y[:6], task="classes").classes[-1] == "310"
    assert loaded(tmp_path, Y_TRAIN, Y_TEST, task="number").classes == ()
    with pytest.raises(data.DataError, match=r"label 0\.5 at index 0"):
        loaded(tmp_path, Y_TRAIN + 0.5, Y_TEST, task="classes")
    with pytest.raises(data.DataError, match="task is 'numbers'; accepted: classes, number"):
        loaded(tmp_path, Y, Y[:6], task="numbers")


def test_samples_with_any_targets_are_split(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.concatenate([X_TRAIN, X_TEST]), y=np.linspace(0, 1, 18))
    found = data.load(tmp_path / "d.npz", test_split=0.5)
    assert (found.x_train.shape, found.x_test.shape) == ((9, 4, 3), (9, 4, 3))
    assert sorted([*found.y_train, *found.y_test]) == np.linspace(0, 1, 18, dtype=np.float32).tolist()
    assert found.source.endswith("50.00 % for testing")
    assert len(found.limit(4).x_train) == 4
    for call in (lambda: found.only(["1"]), lambda: found.with_classes(["a", "b"])):
        with pytest.raises(data.DataError, match="has numbers to predict, no classes"):
            call()
