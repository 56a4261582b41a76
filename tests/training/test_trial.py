"""Trials before a training: the decision, and its note in the model."""

from __future__ import annotations

import numpy as np
import pytest

from pynet import Adam, Augment
from pynet.training import trial
from pynet.training.trial import Trial, learnt_in_trial, try_out

X = np.zeros((40, 6, 6), np.uint8)
Y = np.arange(40) % 2
X[np.arange(40), 2 + Y] = 255  # the class is the row, so pictures shifted by a row lose it
TEXT = "input(36) dense(8) relu dense(2) softmax"


def tried(augment: Augment, y: np.ndarray = Y) -> Trial | None:
    return try_out(
        "shifts",
        (TEXT, TEXT),
        (augment, None),
        X[: len(y)],
        y,
        epochs=20,
        batch_size=5,
        optimizer=Adam(0.01),
        schedule=None,
        seed=3,
    )


def test_a_regularisation_that_hurts_is_not_kept() -> None:
    found = tried(Augment(shift=2, rotate=0, scale=0, shear=0, elastic=0))
    assert found is not None
    assert (found.samples, found.epochs, found.kept, found.accuracy_without) == (30, 20, False, 1.0)
    assert found.accuracy < 0.9
    assert found == tried(Augment(shift=2, rotate=0, scale=0, shear=0, elastic=0))
    assert str(found).startswith("shifts: tried on 30 samples for 20 epochs, kept off: validation ")
    assert str(found).endswith(" against 100.0 % without")


def test_a_regularisation_without_effect_is_kept() -> None:
    found = tried(Augment(shift=0, rotate=0, scale=0, shear=0, elastic=0))
    assert found is not None
    assert found.kept and found.accuracy == found.accuracy_without


@pytest.mark.parametrize("y", [Y[:1], np.arange(3)])
def test_too_few_samples(y: np.ndarray) -> None:
    assert tried(Augment(), y) is None


def test_a_large_data_set_is_tried_in_part() -> None:
    for n, learnt in ((40, 30), (6_000, 2_500), (60_000, 2_500)):
        assert learnt_in_trial(n, 12) == 24 * learnt
    learn, held = trial._parts(np.arange(60_000) % 10, 0)
    assert (len(learn), len(held), len(np.intersect1d(learn, held))) == (2_500, 2_000, 0)


GOOD = Trial("shifts", 30, 20, 0.5, 1.0, False)
BEYOND = GOOD.note().replace("1.0", "1" + "0" * 400)  # what floats can hold


def test_notes() -> None:
    assert Trial.from_note(GOOD.note()) == GOOD
    for damage in (
        "",
        "[]",
        "{}",
        GOOD.note().replace("30", '"x"'),
        GOOD.note().replace("1.0", "7"),
        "[" * 99_999,
        BEYOND,
    ):
        with pytest.raises(ValueError, match="the model's note on what was tried is damaged"):
            Trial.from_note(damage)
