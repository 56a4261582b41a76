"""Callbacks, early stopping, batches from an iterable, partial_fit, metrics."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from helpers.clusters import SPEC, Array, X, Y, clouds

from pynet import SGD, Adam, Callback, EarlyStopping, History, Network, data
from pynet.schedules import Cosine
from pynet.training.callbacks import EVENTS, Run

XV, YV = clouds(100, seed=1)
NAN = math.nan


class Diary(Callback):
    """Records its events; ends the training at `stop`, an event and its number of occurrences."""

    def __init__(self, stop: tuple[str, int] | None = None) -> None:
        self.lines: list[tuple[str, int, int]] = []
        self.rows: list[dict[str, float]] = []
        self.stop = stop

    def note(self, event: str, run: Run) -> None:
        self.lines.append((event, run.epoch, run.step))
        if self.stop == (event, [line[0] for line in self.lines].count(event)):
            run.stop()

    def on_train_begin(self, run: Run) -> None:
        assert (run.epochs, run.steps, run.learning_rate) == (3, 4, 0.25)
        self.note("train_begin", run)

    def on_epoch_begin(self, run: Run) -> None:
        self.note("epoch_begin", run)

    def on_batch_end(self, run: Run) -> None:
        assert 0 < run.loss < 5
        self.note("batch_end", run)

    def on_epoch_end(self, run: Run) -> None:
        self.rows.append(run.row)
        assert run.history.rows() == self.rows
        run.net.evaluate(X, Y)  # the network may be used in a callback
        self.note("epoch_end", run)

    def on_train_end(self, run: Run) -> None:
        self.note("train_end", run)


def fit(diary: Diary, **options: Any) -> tuple[Network, History]:
    net = Network(SPEC)
    return net, net.fit(X, Y, epochs=3, batch_size=50, optimizer=SGD(0.25), callbacks=[diary], **options)


def test_callbacks_are_called_in_order() -> None:
    diary = Diary()
    net, history = fit(diary, validation=(XV, YV))
    assert history.rows() == diary.rows
    events = [event for event, _, _ in diary.lines if event != "batch_end"]
    assert events == ["train_begin", *["epoch_begin", "epoch_end"] * 3, "train_end"]
    steps = [(epoch, step) for event, epoch, step in diary.lines if event == "batch_end"]
    assert steps == sorted(steps)
    assert [step for epoch, step in steps if step == 4] == [4, 4, 4]
    twin = Network(SPEC)
    twin.fit(X, Y, epochs=3, batch_size=50, optimizer=SGD(0.25))
    assert net.weights_sha256() == twin.weights_sha256()


@pytest.mark.parametrize(
    ("stop", "epochs"),
    [
        (("train_begin", 1), 0),
        (("epoch_begin", 1), 0),
        (("epoch_begin", 3), 2),
        (("batch_end", 1), 0),
        (("epoch_end", 1), 1),
        (("epoch_end", 3), 3),
    ],
)
def test_any_callback_may_stop_the_training(stop: tuple[str, int], epochs: int) -> None:
    diary = Diary(stop)
    net, history = fit(diary)
    assert len(history.loss) == epochs
    assert diary.lines[-1][0] == "train_end"
    if stop[0] == "batch_end":
        (steps,) = [step for event, _, step in diary.lines if event == "batch_end"]
        twin = Network(SPEC)
        for x, y in list(data.batches(X, Y, 50))[:steps]:
            twin.train_step(x, y, SGD(0.25))
    else:
        twin = Network(SPEC)
        twin.fit(X, Y, epochs=epochs, batch_size=50, optimizer=SGD(0.25))
    assert net.weights_sha256() == twin.weights_sha256()


@pytest.mark.parametrize("event", EVENTS)
def test_an_object_needs_one_method_and_its_errors_are_raised(event: str) -> None:
    class Enough(Exception):
        pass

    class Only:
        pass

    def stop(run: Run) -> None:
        raise Enough

    setattr(Only, event, staticmethod(stop))
    net = Network(SPEC)
    with pytest.raises(Enough):
        net.fit(X, Y, epochs=1, callbacks=[Only()])
    learnt = event in ("on_batch_end", "on_epoch_end", "on_train_end")
    assert (net.weights_sha256() != Network(SPEC).weights_sha256()) == learnt


def test_objects_that_are_not_callbacks() -> None:
    with pytest.raises(TypeError, match=r"callback 'print' has none of the methods on_train_begin, on_epoch_begin, "):
        Network(SPEC).fit(X, Y, callbacks=["print"])


# ---- early stopping ----


@pytest.mark.parametrize(
    ("stopping", "values", "best", "over"),
    [
        (EarlyStopping(1), [], -1, False),
        (EarlyStopping(1), [3.0], 0, False),
        (EarlyStopping(1), [3.0, 3.0], 0, True),
        (EarlyStopping(2), [3.0, 2.0, 2.5], 1, False),
        (EarlyStopping(2), [3.0, 2.0, 2.5, 2.0], 1, True),
        (EarlyStopping(2), [3.0, 2.0, 2.5, 1.9], 3, False),
        (EarlyStopping(2, min_delta=0.5), [3.0, 2.6, 2.55], 0, True),
        (EarlyStopping(2, min_delta=0.5), [3.0, 2.6, 2.4], 2, False),
        (EarlyStopping(2, monitor="val_accuracy"), [0.5, 0.6, 0.55, 0.6], 1, True),
        (EarlyStopping(2, monitor="val_accuracy", min_delta=0.1), [0.5, 0.55, 0.65], 2, False),
        (EarlyStopping(2, monitor="val_mae", mode="min"), [3.0, 2.0, 2.5], 1, False),
        (EarlyStopping(2, monitor="val_mae", mode="max"), [3.0, 2.0, 2.5], 0, True),
        (EarlyStopping(2, monitor="val_f1"), [0.5, 0.6, 0.55], 1, False),
        (EarlyStopping(2, monitor="val_f1", mode="max"), [NAN, 0.1, 0.2], 2, False),
        (EarlyStopping(2, monitor="val_f1", mode="max"), [0.1, NAN, NAN], 0, True),
        (EarlyStopping(2, monitor="val_f1", mode="max"), [0.1, NAN, 0.2], 2, False),
        (EarlyStopping(2, monitor="val_f1", mode="max"), [NAN], -1, False),
        (EarlyStopping(2, monitor="val_f1", mode="max"), [NAN, NAN], -1, True),
        (EarlyStopping(2, monitor="val_ratio", mode="max"), [math.inf, 0.1, 0.2], 2, False),
        (EarlyStopping(2, monitor="val_ratio", mode="min"), [-math.inf, 0.2, 0.1], 2, False),
    ],
)
def test_the_rule_of_early_stopping(stopping: EarlyStopping, values: list[float], best: int, over: bool) -> None:
    assert (stopping.best(values), stopping.is_over(values)) == (best, over)


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy", "val_recall"])
@pytest.mark.parametrize("restore", [True, False])
def test_early_stopping_restores_the_best_weights(monitor: str, restore: bool) -> None:
    def recall(y: Array, p: Array) -> float:
        return float((p.argmax(axis=1) == y)[y == 1].mean())

    stopping = EarlyStopping(3, monitor=monitor, restore_best=restore, mode="max" if monitor == "val_recall" else None)
    options: dict[str, Any] = {"validation": (XV, YV), "metrics": {"recall": recall}, "optimizer": SGD(0.5)}
    net = Network(SPEC)
    history = net.fit(X, Y, epochs=200, early_stopping=stopping, **options)
    values = history.columns()[monitor]
    assert 3 < len(values) < 200
    best = stopping.best(values)
    assert best == len(values) - 4
    twin = Network(SPEC)
    twin.fit(X, Y, epochs=best + 1 if restore else len(values), **options)
    assert net.weights_sha256() == twin.weights_sha256()


def test_the_best_weights_are_restored_after_the_last_epoch_too() -> None:
    stopping = EarlyStopping(200)
    net, twin = Network(SPEC), Network(SPEC)
    history = net.fit(X, Y, epochs=60, validation=(XV, YV), optimizer=SGD(1.0), early_stopping=stopping)
    best = stopping.best(history.val_loss)
    assert best < 59
    twin.fit(X, Y, epochs=best + 1, optimizer=SGD(1.0))
    assert net.weights_sha256() == twin.weights_sha256()


def test_running_statistics_are_restored_too() -> None:
    spec = "input(6) dense(16) batchnorm relu dense(3) softmax"
    net, twin = Network(spec), Network(spec)
    stopping = EarlyStopping(2)
    history = net.fit(X, Y, epochs=100, validation=(XV, YV), optimizer=SGD(1.0), early_stopping=stopping)
    twin.fit(X, Y, epochs=stopping.best(history.val_loss) + 1, optimizer=SGD(1.0))
    assert net.weights_sha256() == twin.weights_sha256()
    assert net.evaluate(XV, YV).loss == min(history.val_loss)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patience": 0}, "patience is 0; accepted: 1 epoch or more"),
        ({"min_delta": -1.0}, r"min_delta is -1\.0; accepted: a finite number, 0 or more"),
        ({"min_delta": float("nan")}, "min_delta is nan"),
        ({"mode": "lowest"}, "mode is 'lowest'; accepted: 'min', 'max', or None"),
        ({}, "early stopping monitors 'val_loss'; this training has loss, accuracy$"),
    ],
)
def test_bad_early_stopping(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Network(SPEC).fit(X, Y, early_stopping=EarlyStopping(**options))


def fit_with_metric(values: list[float], **options: Any) -> tuple[Network, History]:
    """Trains with a metric that has these values, one for each epoch."""
    rest = iter(values)
    net = Network(SPEC)
    stopping = EarlyStopping(2, monitor="val_metric", **options)
    metrics = {"metric": lambda y, p: next(rest)}
    return net, net.fit(X, Y, epochs=len(values), validation=(XV, YV), metrics=metrics, early_stopping=stopping)


def after(epochs: int) -> str:
    net = Network(SPEC)
    net.fit(X, Y, epochs=epochs)
    return net.weights_sha256()


@pytest.mark.parametrize(
    ("values", "epochs", "best"),
    [
        ([NAN, 0.3, 0.6, 0.5, 0.4, 1.0], 5, 3),
        ([0.3, NAN, NAN, 1.0], 3, 1),
        ([math.inf, 0.3, 0.2, 0.1], 4, 2),
        ([NAN, NAN, NAN], 2, 2),
    ],
)
def test_an_epoch_whose_metric_is_not_finite_is_never_the_best(values: list[float], epochs: int, best: int) -> None:
    with pytest.warns(
        RuntimeWarning, match=r"^epoch \d: val_metric is (nan|inf); early stopping never selects such"
    ) as caught:
        net, history = fit_with_metric(values, mode="max")
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert len(history.loss) == epochs
    assert net.weights_sha256() == after(best)


def test_which_way_a_metric_is_better() -> None:
    values = [0.5, 0.7, 0.3, 0.4, 0.35]
    net, _ = fit_with_metric(values, mode="min")
    assert net.weights_sha256() == after(3)
    message = r"early stopping assumes that a higher val_metric is better; give mode='max' or mode='min'"
    with pytest.warns(RuntimeWarning, match=message) as caught:
        net, history = fit_with_metric(values)
    assert caught[0].filename == __file__
    assert len(history.loss) == 4
    assert net.weights_sha256() == after(2)


@pytest.mark.parametrize(
    "monitor", ["loss", "accuracy", "val_loss", "val_accuracy", "val_top3_accuracy", "val_my_loss"]
)
def test_no_mode_is_needed_for_known_names(monitor: str) -> None:
    metrics = {"top3_accuracy": lambda y, p: 0.5, "my_loss": lambda y, p: 0.5}
    stopping = EarlyStopping(2, monitor=monitor)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Network(SPEC).fit(X, Y, epochs=1, validation=(XV, YV), metrics=metrics, early_stopping=stopping)


# ---- what fit takes ----


class Batches:
    """An iterable over the batches of fit, without a length; iter() starts again."""

    def __init__(self) -> None:
        self.epoch = 0

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        self.epoch += 1
        return data.batches(X, Y, 64, epoch=self.epoch - 1)


def test_an_iterable_of_batches_is_the_same_as_arrays() -> None:
    net, twin = Network(SPEC), Network(SPEC)
    history = net.fit(Batches(), epochs=3, validation=(XV, YV), optimizer=Adam())
    expected = twin.fit(X, Y, epochs=3, validation=(XV, YV), optimizer=Adam())
    assert net.weights_sha256() == twin.weights_sha256()
    assert history.note() == expected.note()


def test_a_list_of_batches_has_a_length_that_a_schedule_can_use() -> None:
    net, twin = Network(SPEC), Network(SPEC)
    net.fit(list(data.batches(X, Y, 64)), epochs=2, schedule=Cosine())
    rates = [SGD(0.1 * factor) for epoch in range(2) for factor in Cosine().factors(epoch, 2, 4)]
    for (x, y), optimizer in zip(list(data.batches(X, Y, 64)) * 2, rates, strict=True):
        twin.train_step(x, y, optimizer)
    assert net.weights_sha256() == twin.weights_sha256()


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (X, {}, "y is missing: fit takes x and y, or an iterable"),
        ([], {}, "no batches in epoch 1; there is none"),
        (data.batches(X, Y), {"epochs": 2}, "no batches in epoch 2; a generator can be used only once"),
        ([X], {}, r"batch 1 is a ndarray; accepted: \(x, y\)"),
        ([(X, Y), 3], {}, r"batch 2 is a int; accepted: \(x, y\)"),
        ([(X, Y), (X, Y + 1)], {}, "batch 2: labels run from 1 to 3; this network takes 0 to 2"),
        ([(X, Y), (X * np.nan, Y)], {}, "batch 2: x holds nan in sample 0, feature 0; accepted: finite numbers"),
        (
            [(X, np.full((200, 1), -np.inf))],
            {"net": "input(6) dense(1)"},
            "batch 1: y holds -inf in sample 0, output 0",
        ),
        ([(X, Y), (None, Y)], {}, "batch 2: x is None"),
        (Batches(), {"schedule": Cosine()}, "a schedule needs the number of steps in an epoch"),
        ([(X, Y)], {"sample_weight": [1]}, "sample_weight and class_weight need arrays"),
        ([(X, Y)], {"validation_split": 0.5}, "a validation fraction needs arrays"),
        ([(X, Y)], {"metrics": {"f1": max}}, "metrics f1 need validation data"),
    ],
)
def test_batches_that_are_refused(x: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Network(options.pop("net", SPEC)).fit(x, **options)


class Promised(Batches):
    """Yields four batches, whatever its length says."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def __len__(self) -> int:
        return self.length


def test_a_length_that_is_wrong() -> None:
    """With a wrong length a schedule would end too early or never; nothing else depends on it."""
    Network(SPEC).fit(Promised(4), epochs=2, schedule=Cosine())
    with pytest.raises(ValueError, match=r"there were 4 batches in epoch 1, but len\(\) gave 5"):
        Network(SPEC).fit(Promised(5), epochs=2, schedule=Cosine())
    for length in (0, 3):
        with pytest.raises(ValueError, match=rf"there are more batches than len\(\) gave: {length}"):
            Network(SPEC).fit(Promised(length), epochs=2, schedule=Cosine())
    net, twin = Network(SPEC), Network(SPEC)
    net.fit(Promised(9), epochs=2)
    twin.fit(Batches(), epochs=2)
    assert net.weights_sha256() == twin.weights_sha256()


def test_a_split_that_leaves_a_class_without_validation() -> None:
    y = Y.copy()
    y[y == 2] = 1
    y[17] = 2
    with pytest.raises(ValueError, match="class 2 has a single sample, so the validation set would have none"):
        Network(SPEC).fit(X, y, validation_split=0.2)


def test_metrics_are_measured_on_the_validation_data_after_each_epoch() -> None:
    seen = []

    def largest(y: Array, p: Array) -> float:
        assert (y == YV).all()
        seen.append(float(p.max()))
        return seen[-1]

    net = Network(SPEC)
    history = net.fit(X, Y, epochs=3, validation=(XV, YV), metrics={"largest": largest})
    assert history.columns()["val_largest"] == seen
    assert seen[-1] == net.predict_proba(XV).max()
    assert list(history.rows()[0]) == ["loss", "accuracy", "val_loss", "val_accuracy", "seconds", "val_largest"]
    assert History.from_note(history.note()).columns()["val_largest"] == seen


@pytest.mark.parametrize(
    ("metrics", "error", "message"),
    [
        ({"accuracy": max}, ValueError, "metrics has 'accuracy', but the history already has val_accuracy"),
        ({"f1": max, "loss": max}, ValueError, "metrics has 'loss', but the history already has val_loss"),
        ({"f1-score": max}, ValueError, "metrics has 'f1-score'; accepted: names of letters, digits and _"),
        ({3.5: max}, ValueError, r"metrics has 3\.5; accepted: names"),
        ({"f1": 0.5}, TypeError, r"metrics is \{'f1': 0\.5\}; accepted: "),
    ],
)
def test_metrics_that_are_refused_before_the_training(metrics: Any, error: type[Exception], message: str) -> None:
    net = Network(SPEC)
    with pytest.raises(error, match=message):
        net.fit(X, Y, validation=(XV, YV), metrics=metrics)
    assert net.updates == 0


@pytest.mark.parametrize("value", [None, "0.5", 1j, [0.5], np.ones(3), np.ma.masked, np.datetime64("2020-01-01")])
def test_values_that_are_not_figures(value: Any) -> None:
    with pytest.raises(ValueError, match=r"metric f1 returned .*; accepted: a number"):
        Network(SPEC).fit(X, Y, epochs=1, validation=(XV, YV), metrics={"f1": lambda y, p: value})


@pytest.mark.parametrize("value", [1, 0.5, True, np.float32(0.5), np.array(2), np.int64(3)])
def test_values_that_are_figures(value: Any) -> None:
    history = Network(SPEC).fit(X, Y, epochs=1, validation=(XV, YV), metrics={"f1": lambda y, p: value})
    assert history.columns()["val_f1"] == [float(value)]


def test_partial_fit_continues_from_piece_to_piece() -> None:
    net, twin = Network(SPEC, seed=3), Network(SPEC, seed=3)
    steps = 0
    losses = []
    for _ in range(20):
        for piece in (slice(0, 80), slice(80, 200)):
            row = net.partial_fit(X[piece], Y[piece], batch_size=40, optimizer=Adam(0.01))
            losses.append(row["loss"])
            for x, y in data.batches(X[piece], Y[piece], 40, seed=3, epoch=steps):
                twin.train_step(x, y, Adam(0.01))
            steps = twin.updates
    assert net.weights_sha256() == twin.weights_sha256()
    assert sorted(row) == ["accuracy", "loss", "seconds"]
    assert losses[-1] < 0.5 * losses[0]
    assert net.optimizer_state.steps == net.updates == 20 * 5
    with pytest.raises(ValueError, match="batch_size is 0"):
        net.partial_fit(X, Y, batch_size=0)


def test_a_loss_that_is_not_finite_names_the_layer() -> None:
    net = Network("input(6) dense(8) relu residual(dense(8) relu dense(8)) dense(3) softmax")
    net.tensors["2.2.W"][...] = 3e38
    message = r"epoch 1, batch 1: the loss is not finite: layer 2\.2, dense\(8\), outputs inf; a smaller learning rate"
    with pytest.raises(FloatingPointError, match=message):
        net.fit(X, Y, epochs=1)
