"""Forged checkpoints with the right SHA-256: no field is used before it is checked."""

from __future__ import annotations

import contextlib
import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.interruptions import After, Crash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pynet import Adam, Checkpoint, EarlyStopping, Network
from pynet.training import checkpoint

SPEC = "input(6) dense(5) batchnorm relu dense(3) softmax"
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(50, 6)).astype(np.float32), RNG.integers(0, 3, 50)
OPTIONS: dict[str, Any] = {
    "epochs": 4,
    "batch_size": 15,  # 13, 13, 12, 12
    "optimizer": Adam(),
    "validation": (X[:9], Y[:9]),
    "early_stopping": EarlyStopping(9),
}

Training = dict[str, Any]
Tensors = dict[str, Any]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a training that was interrupted after the second step of its third epoch."""
    path = tmp_path_factory.mktemp("good") / "c.safetensors"
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Crash):
        patch.setattr("pynet.training.batches.CALL_SECONDS", 0.0)
        Network(SPEC).fit(X, Y, checkpoint=Checkpoint(path, "1000s"), callbacks=[After("on_batch_end", 10)], **OPTIONS)
    state, _ = checkpoint.read(path)
    assert (len(state.rows), state.stats["samples"], state.stats["steps"], state.optimizer.steps) == (2, 26, 2, 10)
    return path


def forge(good: Path, path: Path, change: Callable[[Training, Tensors], object], net: Network | None = None) -> None:
    """Writes the checkpoint with another training and other tensors, and the SHA-256 that belongs to them."""
    own, words, tensors = Network._load_checkpoint(good)
    net = net or own
    training = json.loads(words)["training"]
    change(training, tensors)
    digest = checkpoint._digest(net, training, tensors)
    net._save_checkpoint(path, json.dumps({"sha256": digest, "training": training}), tensors)


def resume(path: Path) -> None:
    Network(SPEC).fit(X, Y, checkpoint=Checkpoint(path, resume=True), **OPTIONS)


def test_an_unchanged_copy_is_accepted(good: Path, tmp_path: Path) -> None:
    forge(good, tmp_path / "c", lambda training, tensors: None)
    resume(tmp_path / "c")


def put(*place: Any) -> Callable[[Training, Tensors], None]:
    """A change of the training: put("stats", "samples", 7) sets training["stats"]["samples"] to 7."""

    def change(training: Any, _: Tensors) -> None:
        for name in place[:-2]:
            training = training[name]
        training[place[-2]] = place[-1]

    return change


def drop(*place: Any) -> Callable[[Training, Tensors], None]:
    def change(training: Any, _: Tensors) -> None:
        for name in place[:-1]:
            training = training[name]
        del training[place[-1]]

    return change


def tensor(name: str, value: Any) -> Callable[[Training, Tensors], None]:
    """A change that replaces a tensor; None removes it."""

    def change(_: Training, tensors: Tensors) -> None:
        tensors.pop(name, None)
        if value is not None:
            tensors[name] = np.array(value, np.float32)

    return change


def every_row(name: str, value: Any) -> Callable[[Training, Tensors], None]:
    """A change that replaces a figure in all rows; None removes it."""

    def change(training: Training, _: Tensors) -> None:
        for row in training["rows"]:
            row.pop(name, None)
            if value is not None:
                row[name] = value

    return change


HOSTILE: list[tuple[str, Callable[[Training, Tensors], object], str]] = [
    ("samples beyond the data", put("stats", "samples", 10**9), r"stats.samples is 1000000000; accepted: 26, the sa"),
    ("samples below zero", put("stats", "samples", -7), r"stats.samples is -7; accepted: a whole number, 0 to 9007"),
    ("samples within a batch", put("stats", "samples", 27), r"stats.samples is 27; accepted: 26, the samples of 2 st"),
    ("samples of 64 bits", put("stats", "samples", 2**63 - 1), r"stats.samples is 9223372036854775807; accepted: a "),
    ("samples beyond 64 bits", put("stats", "samples", 10**300), r"stats.samples is 1000.*; accepted: a whole number"),
    ("samples as a float", put("stats", "samples", 26.0), r"stats.samples is 26.0; accepted: a whole number, 0 to"),
    ("samples true", put("stats", "samples", True), r"stats.samples is True; accepted: a whole number, 0 to"),
    ("samples null", put("stats", "samples", None), r"stats.samples is None; accepted: a whole number, 0 to"),
    (
        "more right than there are",
        put("stats", "correct", 27),
        r"stats.correct is 27; accepted: a whole number, 0 to 26",
    ),
    ("correct below zero", put("stats", "correct", -1), r"stats.correct is -1; accepted: a whole number, 0 to 26"),
    ("steps beyond the epoch", put("stats", "steps", 5), r"stats.steps is 5; accepted: 0 to 4, the steps of an epoch"),
    ("steps below zero", put("stats", "steps", -1), r"stats.steps is -1; accepted: a whole number, 0 to"),
    ("steps that do not suit", put("stats", "steps", 3), r"stats.samples is 26; accepted: 38, the samples of 3 steps"),
    ("a loss that is none", put("stats", "loss", "1.0"), r"stats.loss is '1.0'; accepted: a finite number"),
    ("a loss of NaN", put("stats", "loss", math.nan), r"stats.loss is nan; accepted: a finite number"),
    ("an infinite loss", put("stats", "loss", -math.inf), r"stats.loss is -inf; accepted: a finite number"),
    ("a loss beyond floats", put("stats", "loss", 10**400), r"stats.loss is 10000.*; accepted: a finite number"),
    (
        "a loss of nothing",
        put("stats", {"loss": 1, "correct": 0, "samples": 0, "steps": 0}),
        r"stats.loss is 1.0; acce",
    ),
    ("stats a list", put("stats", [1, 2]), r"stats is \[1, 2\]; accepted: an object of loss, correct, samples, steps"),
    ("stats null", put("stats", None), r"stats is None; accepted: an object of loss"),
    (
        "stats without steps",
        drop("stats", "steps"),
        r"field names of stats is \['correct', 'loss', 'samples'\]; accepted",
    ),
    ("stats with more", put("stats", "more", 1), r"the field names of stats is .*; accepted: an object of loss"),
    ("rows null", put("rows", None), r"rows is None; accepted: a list, an object for each epoch"),
    ("rows a text", put("rows", "ab"), r"rows is 'ab'; accepted: a list"),
    ("a row of a number", put("rows", 1, 3), r"rows\[1\] is 3; accepted: an object of numbers"),
    ("a row of a list", put("rows", 0, []), r"rows\[0\] is \[\]; accepted: an object of numbers"),
    ("an empty row", put("rows", 0, {}), r"rows\[0\] is \[\]; accepted: loss and seconds, at least"),
    ("rows that differ", drop("rows", 1, "val_loss"), r"rows\[1\] is \[.*\]; accepted: as in rows\[0\]: loss, accur"),
    ("a figure that is a text", put("rows", 0, "loss", "0.1"), r"rows\[0\].loss is '0.1'; accepted: a finite number"),
    ("a figure that is null", put("rows", 1, "loss", None), r"rows\[1\].loss is None; accepted: a finite"),
    ("a figure that is true", put("rows", 1, "val_loss", True), r"rows\[1\].val_loss is True; accepted: a finite"),
    ("a figure that is a list", put("rows", 1, "val_loss", [1.0]), r"rows\[1\].val_loss is \[1.0\]; accepted: a f"),
    ("a figure beyond floats", put("rows", 1, "val_loss", 10**400), r"rows\[1\].val_loss is 1000.*; accepted: a f"),
    ("a row's loss of NaN", put("rows", 0, "loss", math.nan), r"rows\[0\].loss is nan; accepted: a finite number"),
    ("accuracy above 1", put("rows", 0, "accuracy", 1.5), r"rows\[0\].accuracy is 1.5; accepted: .* 0 or more, to 1"),
    ("seconds below 0", put("rows", 0, "seconds", -1.0), r"rows\[0\].seconds is -1.0; accepted: .* 0 or more"),
    ("a figure of no name", every_row("add", 1.0), r"rows\[0\].add is 1.0; accepted: loss, accuracy, rmse, r2, sec"),
    ("a name that is none", every_row("val_a b", 1.0), r"rows\[0\].val_a b is 1.0; accepted: loss, accuracy, rmse, r"),
    ("no validation", every_row("val_loss", None), r"rows\[0\] is \[.*\]; accepted: loss, accuracy, val_loss, val_acc"),
    ("another metric", every_row("val_f1", 0.5), r"rows\[0\] is \[.*; accepted: loss, accuracy, val_loss, val_accur"),
    ("facts null", put("facts", None), r"facts is None; accepted: an object of texts"),
    ("facts a list", put("facts", ["network"]), r"facts is \['network'\]; accepted: an object of texts"),
    ("a fact of a number", put("facts", "optimizer", 3), r"facts.optimizer is 3; accepted: a text"),
    ("a fact of a list", put("facts", "data", []), r"facts.data is \[\]; accepted: a text"),
    ("another network", put("facts", "network", "input(2)"), r"facts.network is 'input\(2\)'; accepted: input\(6\)"),
    ("another seed", put("facts", "network seed", "9"), r"facts.network seed is '9'; accepted: 0, as in the file"),
    ("seconds null", put("seconds", None), r"seconds is None; accepted: a finite number, 0 or more"),
    ("seconds a text", put("seconds", "1"), r"seconds is '1'; accepted: a finite number, 0 or more"),
    ("seconds of NaN", put("seconds", math.nan), r"seconds is nan; accepted: a finite number, 0 or more"),
    ("seconds of the past", put("seconds", -0.5), r"seconds is -0.5; accepted: a finite number, 0 or more"),
    ("another optimizer", put("optimizer", "adamant"), r"optimizer is 'adamant'; accepted: sgd, momentum, nesterov"),
    ("an optimizer of a list", put("optimizer", ["adam"]), r"optimizer is \['adam'\]; accepted: sgd"),
    ("an optimizer's number", put("optimizer", 5), r"optimizer is 5; accepted: sgd"),
    ("steps of 63 bits", put("steps", 2**63 - 1), r"steps is 9223372036854775807; accepted: a whole number, 0 to 9007"),
    ("steps of the past", put("steps", -1), r"steps is -1; accepted: a whole number, 0 to 9007199254740992"),
    ("steps a text", put("steps", "10"), r"steps is '10'; accepted: a whole number"),
    ("steps a half", put("steps", 0.5), r"steps is 0.5; accepted: a whole number"),
    ("steps beyond 64 bits", put("steps", 10**30), r"steps is 1000000000000000000000000000000; accepted: a whole"),
    ("finished maybe", put("finished", "no"), r"finished is 'no'; accepted: true or false"),
    ("finished 1", put("finished", 1), r"finished is 1; accepted: true or false"),
    ("a version of true", put("version", True), r"version is True; accepted: 1"),
    ("no steps", drop("steps"), r"the field names of training is .*; accepted: an object of version, facts"),
    ("more than there is", put("more", 1), r"the field names of training is .*; accepted: an object of version"),
    ("another's tensors", put("optimizer", "rmsprop"), r"its optimizer: rmsprop takes the tensors"),
    ("tensors of none", put("optimizer", "sgd"), r"its optimizer: sgd takes the tensors \{\}, got"),
    ("a tensor less", tensor("optimizer.0.W.mean", None), r"its optimizer: adam takes the tensors"),
    ("a tensor more", tensor("optimizer.9.W.mean", [1]), r"its optimizer: adam takes the tensors"),
    ("a tensor's shape", tensor("optimizer.0.b.mean", [1]), r"its optimizer: adam takes the tensors"),
    ("a tensor of no part", tensor("other.0.W", [1]), r"a tensor's name is 'other.0.W'; accepted: optimizer.NAME and"),
    ("a memory of NaN", tensor("optimizer.0.b.mean", [math.nan] * 5), r"tensor optimizer.0.b.mean is 'not finite ev"),
    ("squares below zero", tensor("optimizer.0.b.square", [-1] * 5), r"optimizer.0.b.square is 'negative in places'"),
    ("infinite best weights", tensor("best.0.b", [math.inf] * 5), r"tensor best.0.b is 'not finite everywhere'; accep"),
    ("no best weights", tensor("best.0.b", None), r"the shape of tensor best.0.b is 'missing'; accepted: \(5,\)"),
    ("short best weights", tensor("best.0.b", [1]), r"the shape of tensor best.0.b is \(1,\); accepted: \(5,\)"),
    ("scalar best weights", tensor("best.0.b", 1), r"the shape of tensor best.0.b is \(\); accepted: \(5,\)"),
    ("best weights of nothing", tensor("best.9.W", [1]), r"the shape of tensor best.9.W is \(1,\); accepted: no such"),
]


@pytest.mark.parametrize(("change", "message"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
def test_each_field_is_checked(
    good: Path, tmp_path: Path, change: Callable[[Training, Tensors], object], message: str
) -> None:
    path = tmp_path / "c.safetensors"
    forge(good, path, change)
    before, net = path.read_bytes(), Network(SPEC)
    weights = net.weights_sha256()
    with pytest.raises(ValueError, match=rf"c\.safetensors is a damaged checkpoint: .*{message}") as caught:
        net.fit(X, Y, checkpoint=Checkpoint(path, resume=True), **OPTIONS)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert (path.read_bytes(), net.weights_sha256(), net.updates) == (before, weights, 0)
    assert net.optimizer_state.kind == "sgd"


@pytest.mark.parametrize("training", [None, [], 3, "text", {}, {"version": 1}])
def test_a_training_of_another_type(good: Path, tmp_path: Path, training: Any) -> None:
    net, _, tensors = Network._load_checkpoint(good)
    digest = checkpoint._digest(net, training, tensors)
    net._save_checkpoint(tmp_path / "c", json.dumps({"sha256": digest, "training": training}), tensors)
    for again in (True, False):
        with pytest.raises(
            ValueError, match=r"c is a damaged checkpoint: .*training is .*; accepted: an object of ver"
        ):
            Network(SPEC).fit(X, Y, checkpoint=Checkpoint(tmp_path / "c", resume=again), **OPTIONS)


@pytest.mark.parametrize("spec", ["input(6) dense(4) batchnorm relu dense(3) softmax", "input(6) dense(3) softmax"])
def test_the_network_of_the_file_is_another(good: Path, tmp_path: Path, spec: str) -> None:
    """The recorded facts of the training still agree."""

    def change(training: Training, tensors: Tensors) -> None:
        tensors.clear()
        training["optimizer"], training["steps"] = "sgd", 0

    forge(good, tmp_path / "c", change, Network(spec))
    with pytest.raises(
        ValueError, match=r"c is a damaged checkpoint: facts.network is 'input.*'; accepted: input\(6\)"
    ):
        resume(tmp_path / "c")

    def unnamed(training: Training, tensors: Tensors) -> None:
        change(training, tensors)
        del training["facts"]["network"]

    forge(good, tmp_path / "c", unnamed, Network(spec))
    with pytest.raises(ValueError, match="a training with another network: none, now"):
        resume(tmp_path / "c")


def test_a_metric_may_be_nan(tmp_path: Path) -> None:
    options = OPTIONS | {"metrics": {"odd": lambda y, p: math.nan}, "epochs": 2, "early_stopping": None}
    for again in (False, True):
        kept = Checkpoint(tmp_path / "c", resume=again)
        history = Network(SPEC).fit(X, Y, checkpoint=kept, **options)
        assert np.isnan(history.columns()["val_odd"]).all()


def test_batches_of_any_size_have_a_position_too(tmp_path: Path) -> None:
    batches = [(X[:20], Y[:20]), (X[20:25], Y[20:25])]
    with contextlib.suppress(Crash):
        keep = Checkpoint(tmp_path / "good")
        Network(SPEC).fit(batches, epochs=2, checkpoint=keep, callbacks=After("on_batch_end", 1))
    forge(tmp_path / "good", tmp_path / "c", lambda training, tensors: None)
    Network(SPEC).fit(batches, epochs=2, checkpoint=Checkpoint(tmp_path / "c", resume=True))
    forge(tmp_path / "good", tmp_path / "c", put("stats", "steps", 3))
    with pytest.raises(
        ValueError, match=r"damaged checkpoint: stats.steps is 3; accepted: 0 to 2, the steps of an epoc"
    ):
        Network(SPEC).fit(batches, epochs=2, checkpoint=Checkpoint(tmp_path / "c", resume=True))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all parts of a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for name, one in inner for place in ((*above, name), *places(one, (*above, name)))]


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(choice=st.integers(0, 10**6), value=JSON)
def test_any_change(good: Path, tmp_path: Path, choice: int, value: Any) -> None:
    """A changed checkpoint is refused in one line, or the training continues."""

    def change(training: Training, _: Tensors) -> None:
        found = places(training)
        put(*found[choice % len(found)], copy.deepcopy(value))(training, {})

    path = tmp_path / "c"
    path.unlink(missing_ok=True)
    forge(good, path, change)
    try:
        resume(path)
    except ValueError as error:
        assert "checkpoint" in str(error)
        assert "\n" not in str(error)
