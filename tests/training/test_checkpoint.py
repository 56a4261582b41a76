"""Checkpoints in Python: their content, resuming a training, errors.

Kills are in commands/test_resume.py.
"""

from __future__ import annotations

import errno
import json
import math
import resource
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.clusters import SPEC, X, Y, clouds
from helpers.interruptions import After, Crash, Stop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pynet
from pynet import SGD, Adam, Checkpoint, EarlyStopping, History, Momentum, Network, RMSProp, data
from pynet.optim import Optimizer
from pynet.schedules import Cosine, OneCycle, ReduceOnPlateau
from pynet.training import checkpoint
from pynet.training.callbacks import Run

XV, YV = clouds(100, seed=1)
EVERYTHING = "input(6) dense(16) batchnorm relu dropout(0.2) residual(dense(16) layernorm) dense(3) softmax"


def one_step_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call of the core is a step, so that a training can end at each of them."""
    monkeypatch.setattr("pynet.training.batches.CALL_SECONDS", 0.0)


def figures(history: History) -> str:
    return history.note()


# ---- the same to the last bit ----


@pytest.mark.parametrize("optimizer", [SGD(0.1), Momentum(0.05), RMSProp(), Adam(0.01, clip_norm=1.0)])
@pytest.mark.parametrize("schedule", [None, ReduceOnPlateau(patience=0, factor=0.5), OneCycle()], ids=str)
def test_a_training_that_was_interrupted_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: Optimizer, schedule: Any
) -> None:
    one_step_a_call(monkeypatch)
    options: dict[str, Any] = {"epochs": 5, "batch_size": 30, "optimizer": optimizer, "schedule": schedule}
    options |= {"validation": (XV, YV), "early_stopping": EarlyStopping(2, monitor="val_accuracy"), "seed": 11}
    whole = Network(EVERYTHING, seed=5)
    expected = whole.fit(X, Y, **options)
    path, interruptions = tmp_path / "c.safetensors", 0
    while True:
        net = Network(EVERYTHING, seed=5)
        if interruptions:
            net.tensors["0.W"][...] = 7  # the weights must come from the file
        try:
            keep = Checkpoint(path, "1000s", resume=interruptions > 0)
            history = net.fit(X, Y, checkpoint=keep, callbacks=[After("on_batch_end", 3)], **options)
            break
        except Crash:
            interruptions += 1
    assert interruptions >= 6
    assert net.weights_sha256() == whole.weights_sha256()
    assert figures(history) == figures(expected)
    assert net.updates == whole.updates
    assert net.optimizer_state.steps == whole.optimizer_state.steps
    for name, tensor in whole.optimizer_state.tensors.items():
        assert (net.optimizer_state.tensors[name] == tensor).all()


@pytest.mark.parametrize("event", ["on_epoch_begin", "on_batch_end", "on_epoch_end", "on_train_end"])
@pytest.mark.parametrize("error", [Crash, KeyboardInterrupt, MemoryError])
def test_a_checkpoint_is_written_before_any_error_ends_a_training(
    tmp_path: Path, event: str, error: type[BaseException]
) -> None:
    whole, net = Network(SPEC), Network(SPEC)
    expected = whole.fit(X, Y, epochs=3)
    path = tmp_path / "c.safetensors"
    with pytest.raises(error):
        net.fit(X, Y, epochs=3, checkpoint=Checkpoint(path, 100), callbacks=[After(event, 1, error)])
    assert pynet.load(path).weights_sha256() == net.weights_sha256()
    again = Network(SPEC)
    history = again.fit(X, Y, epochs=3, checkpoint=Checkpoint(path, resume=True))
    assert again.weights_sha256() == whole.weights_sha256()
    assert figures(history) == figures(expected)
    assert all(seconds > 0 for seconds in history.seconds)


def test_a_stop_can_be_resumed_too(tmp_path: Path) -> None:
    path, whole = tmp_path / "c", Network(SPEC)
    whole.fit(X, Y, epochs=4)
    for epoch in range(4):
        net, keep = Network(SPEC), Checkpoint(path, resume=epoch > 0)
        history = net.fit(X, Y, epochs=4, checkpoint=keep, callbacks=Stop("on_epoch_end", 1))
        assert len(history.loss) == epoch + 1
    assert net.weights_sha256() == whole.weights_sha256()


def test_batches_of_an_iterable(tmp_path: Path) -> None:
    batches = list(data.batches(X, Y, 32))
    whole, net = Network(SPEC), Network(SPEC)
    expected = whole.fit(batches, epochs=3, optimizer=Adam(), schedule=Cosine())
    options: dict[str, Any] = {"epochs": 3, "optimizer": Adam(), "schedule": Cosine()}
    with pytest.raises(Crash):
        net.fit(batches, checkpoint=Checkpoint(tmp_path / "c"), callbacks=[After("on_batch_end", 10)], **options)
    again = Network(SPEC)
    history = again.fit(batches, checkpoint=Checkpoint(tmp_path / "c", resume=True), **options)
    assert again.weights_sha256() == whole.weights_sha256()
    assert figures(history) == figures(expected)


def test_more_epochs_may_follow(tmp_path: Path) -> None:
    whole, net = Network(SPEC), Network(SPEC)
    whole.fit(X, Y, epochs=5, optimizer=Adam())
    net.fit(X, Y, epochs=2, optimizer=Adam(), checkpoint=Checkpoint(tmp_path / "c"))
    again = Network(SPEC)
    history = again.fit(X, Y, epochs=5, optimizer=Adam(), checkpoint=Checkpoint(tmp_path / "c", resume=True))
    assert len(history.loss) == 5
    assert again.weights_sha256() == whole.weights_sha256()
    with pytest.raises(ValueError, match="has completed 5 epochs; accepted: epochs from 5, not 3"):
        again.fit(X, Y, epochs=3, optimizer=Adam(), checkpoint=Checkpoint(tmp_path / "c", resume=True))


def test_a_finished_training_is_resumed_as_it_ended(tmp_path: Path) -> None:
    """At the end the network has the best weights, and the file the last ones, to continue from."""
    options: dict[str, Any] = {"epochs": 100, "optimizer": SGD(0.5), "validation": (XV, YV)}
    options["early_stopping"] = EarlyStopping(2)
    net, again = Network(SPEC), Network(SPEC)
    history = net.fit(X, Y, checkpoint=Checkpoint(tmp_path / "c"), **options)
    assert figures(again.fit(X, Y, checkpoint=Checkpoint(tmp_path / "c", resume=True), **options)) == figures(history)
    assert again.weights_sha256() == net.weights_sha256()
    assert pynet.load(tmp_path / "c").weights_sha256() != net.weights_sha256()


def test_interval_of_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one_step_a_call(monkeypatch)
    written: list[tuple[int, int]] = []

    def count(path: Any, net: Network, state: checkpoint.State) -> None:
        written.append((len(state.rows), int(state.stats["steps"])))

    monkeypatch.setattr(checkpoint, "write", count)
    expected = {1: [0, 1, 2, 3, 4, 5, 5], "2": [0, 2, 4, 5], 10: [0, 5]}
    for every, epochs in expected.items():
        written.clear()
        Network(SPEC).fit(X, Y, epochs=5, checkpoint=Checkpoint(tmp_path / "c", every))
        assert [rows for rows, _ in written] == epochs
    written.clear()
    Network(SPEC).fit(X, Y, epochs=2, batch_size=50, checkpoint=Checkpoint(tmp_path / "c", "0.000000001s"))
    assert written == [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (1, 1), (1, 2), (1, 3), (1, 4), (2, 0)]


# ---- the file ----


def written(tmp_path: Path, **options: Any) -> Path:
    """The checkpoint of a training that was interrupted in its second epoch."""
    path = tmp_path / "c.safetensors"
    path.unlink(missing_ok=True)
    usual: dict[str, Any] = {
        "epochs": 3,
        "optimizer": Adam(),
        "validation": (XV, YV),
        "early_stopping": EarlyStopping(),
    }
    with pytest.raises(Crash):
        Network(SPEC).fit(
            X, Y, checkpoint=Checkpoint(path), callbacks=[After("on_epoch_begin", 2)], **(usual | options)
        )
    return path


def test_a_checkpoint_is_a_model(tmp_path: Path) -> None:
    path = written(tmp_path)
    net = pynet.load(path)
    assert (net.spec, net.updates) == (SPEC, 4)
    assert net.evaluate(X, Y).accuracy > 0.3
    assert "checkpoint" not in "".join(net.meta)
    net.save(tmp_path / "m")
    with pytest.raises(ValueError, match=r"cannot read .*/m: it is a model, but no checkpoint"):
        checkpoint.read(tmp_path / "m")
    assert path.stat().st_size > 4 * (tmp_path / "m").stat().st_size


def test_content(tmp_path: Path) -> None:
    net = Network(SPEC)
    net.fit(X, Y, epochs=1, optimizer=Adam())
    best = {name: tensor + 1 for name, tensor in net.tensors.items()}
    rows, stats = [{"loss": 0.1, "accuracy": 0, "seconds": 1}], {"loss": 1 / 3, "correct": 2, "samples": 3, "steps": 1}
    state = checkpoint.State({"a": "ü\0"}, rows, stats, 2.5, net.optimizer_state, net.updates, best, True)
    checkpoint.write(tmp_path / "c", net, state)
    found, tensors = checkpoint.read(tmp_path / "c")
    assert found.optimizer.kind == "adam" and found.optimizer.steps == 4
    for a, b in ((found.best, best), (found.optimizer.tensors, net.optimizer_state.tensors), (tensors, net.tensors)):
        assert a.keys() == b.keys()
        assert all((a[name] == b[name]).all() for name in a)
    same = ("facts", "rows", "stats", "seconds", "updates", "finished")
    assert [getattr(found, name) for name in same] == [getattr(state, name) for name in same]


@contextmanager
def full_disk() -> Iterator[None]:
    """A limit of the file size under which no file can grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_full_disk(tmp_path: Path) -> None:
    """The training continues, and the last checkpoint is kept and can be resumed."""
    path, old = tmp_path / "c", b""

    class Fill:
        def on_epoch_end(self, run: Run) -> None:
            nonlocal old
            if run.epoch == 2:
                old = path.read_bytes()
                stack.enter_context(full_disk())

    whole, net, again = Network(SPEC), Network(SPEC), Network(SPEC)
    whole.fit(X, Y, epochs=4)
    with (
        ExitStack() as stack,
        pytest.warns(RuntimeWarning, match=r"cannot write .*/c: File too large; the training continues"),
    ):
        net.fit(X, Y, epochs=4, checkpoint=Checkpoint(path), callbacks=[Fill()])
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["c"]
    assert net.weights_sha256() == whole.weights_sha256()
    again.fit(X, Y, epochs=4, checkpoint=Checkpoint(path, resume=True))
    assert again.weights_sha256() == whole.weights_sha256()


def test_a_disk_that_is_full_from_the_beginning(tmp_path: Path) -> None:
    net = Network(SPEC)
    with full_disk(), pytest.raises(OSError, match=r"cannot write .*/c: File too large") as caught:
        net.fit(X, Y, checkpoint=Checkpoint(tmp_path / "c"))
    assert caught.value.errno == errno.EFBIG
    assert net.weights_sha256() == Network(SPEC).weights_sha256()
    assert list(tmp_path.iterdir()) == []


# ---- what is refused ----

OTHERS: list[tuple[dict[str, Any], str]] = [
    ({"optimizer": Adam(0.01)}, r"another optimizer: Adam\(learning_rate=None.*, now Adam\(learning_rate=0\.01"),
    ({"optimizer": SGD()}, "another optimizer: "),
    ({"batch_size": 10}, "another batches: 4, now 20"),
    ({"seed": 1}, "another seed of the order: 0, now 1"),
    ({"schedule": Cosine()}, "another schedule: none, now cosine, 3 epochs"),
    ({"early_stopping": EarlyStopping(2)}, "another early stopping"),
    ({"early_stopping": None}, "another early stopping"),
    ({"validation": (XV[:50], YV[:50])}, "another validation data$"),
    ({"validation": None, "early_stopping": None}, "another validation data$"),
    ({"x": X + 1e-6}, "another data$"),
    ({"y": np.roll(Y, 1)}, "another data$"),
    ({"sample_weight": np.full(200, 0.5)}, "another data$"),
    (
        {"net": Network("input(6) dense(17) relu dense(3) softmax")},
        r"another network: .*dense\(16\).*, now .*dense\(17\)",
    ),
    ({"net": Network(SPEC, seed=8), "seed": 0}, "another network seed: 0, now 8"),
]


@pytest.mark.parametrize(("options", "message"), OTHERS)
def test_another_training_is_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    path = written(tmp_path)
    before = path.read_bytes()
    usual: dict[str, Any] = {"x": X, "y": Y, "epochs": 3, "optimizer": Adam(), "validation": (XV, YV)}
    usual |= {"early_stopping": EarlyStopping(), "net": Network(SPEC)}
    net = (usual | options).pop("net")
    weights = net.weights_sha256()
    given = {name: value for name, value in (usual | options).items() if name != "net"}
    with pytest.raises(ValueError, match=f"c.safetensors is the checkpoint of a training with {message}"):
        net.fit(checkpoint=Checkpoint(path, resume=True), **given)
    assert (path.read_bytes(), net.weights_sha256()) == (before, weights)


def test_a_schedule_fixes_the_epochs(tmp_path: Path) -> None:
    path = written(tmp_path, schedule=Cosine())
    options: dict[str, Any] = {"optimizer": Adam(), "validation": (XV, YV), "early_stopping": EarlyStopping()}
    with pytest.raises(ValueError, match="another schedule: cosine, 3 epochs, now cosine, 4 epochs"):
        Network(SPEC).fit(X, Y, epochs=4, schedule=Cosine(), checkpoint=Checkpoint(path, resume=True), **options)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = written(tmp_path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="holds an unfinished training, in epoch 2; resume it, or remove the file"):
        Network(SPEC).fit(X, Y, checkpoint=Checkpoint(path))
    assert path.read_bytes() == before
    for name, write in (("text", lambda p: p.write_text("mine")), ("model", Network(SPEC).save)):
        write(tmp_path / name)
        kept = (tmp_path / name).read_bytes()
        for resume in (False, True):
            with pytest.raises(ValueError, match=f"cannot read .*/{name}: "):
                Network(SPEC).fit(X, Y, checkpoint=Checkpoint(tmp_path / name, resume=resume))
        assert (tmp_path / name).read_bytes() == kept


def test_the_checkpoint_of_a_finished_training_may_be_overwritten(tmp_path: Path) -> None:
    for seed in range(2):
        Network(SPEC).fit(X, Y, epochs=1, seed=seed, checkpoint=Checkpoint(tmp_path / "c"))
    assert checkpoint.read(tmp_path / "c")[0].facts["seed of the order"] == "1"


def test_resume_without_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"cannot read .*/none: No such file or directory"):
        Network(SPEC).fit(X, Y, checkpoint=Checkpoint(tmp_path / "none", resume=True))


@pytest.mark.parametrize("every", [0, -1, "0", "x", "", "0s", "3m", "s", "1e999s", 1.5])
def test_bad_intervals(every: Any) -> None:
    with pytest.raises(ValueError, match=r"a checkpoint every .*; accepted: epochs, 1 or more, or seconds, as in 30s"):
        Checkpoint("c", every)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_a_damaged_byte_is_noticed(tmp_path: Path, place: float, change: int) -> None:
    path = tmp_path / "c.safetensors"
    if not path.exists():
        written(tmp_path)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= change
    (tmp_path / "damaged").write_bytes(content)
    net = Network(SPEC)
    try:
        found, tensors = checkpoint.read(tmp_path / "damaged")
    except ValueError as error:
        assert "damaged" in str(error)
    else:  # a blank in the header, or a byte in a note
        good, expected = checkpoint.read(path)
        assert (found.rows, found.stats, found.facts) == (good.rows, good.stats, good.facts)
        assert all((tensors[name] == expected[name]).all() for name in expected)
    assert net.weights_sha256() == Network(SPEC).weights_sha256()


@pytest.mark.parametrize("length", [0, 1, 7, 8, 100, -1, -4, -500])
def test_a_checkpoint_that_was_cut_short(tmp_path: Path, length: int) -> None:
    path = written(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[:length])
    for resume in (False, True):
        with pytest.raises(ValueError, match=r"cannot read .*/c\.safetensors: "):
            Network(SPEC).fit(X, Y, checkpoint=Checkpoint(path, resume=resume))


def test_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "VERSION", 99)
    path = written(tmp_path)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="is a checkpoint of another version of pynet"):
        Network(SPEC).fit(X, Y, checkpoint=Checkpoint(path, resume=True))


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"sha256": "", "training": {}}', "[" * 100000])
def test_an_invalid_text(tmp_path: Path, text: str) -> None:
    path = written(tmp_path)
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    header["__metadata__"]["pynet.checkpoint"] = text
    words = json.dumps(header).encode()
    path.write_bytes(len(words).to_bytes(8, "little") + words + content[8 + int.from_bytes(content[:8], "little") :])
    with pytest.raises(ValueError, match=r"c\.safetensors is a damaged checkpoint"):
        Network(SPEC).fit(X, Y, checkpoint=Checkpoint(path, resume=True))


# ---- figures that are not finite ----


def test_a_metric_that_is_nan_goes_through_a_checkpoint(tmp_path: Path) -> None:
    values = [math.nan, 0.5, math.inf, 0.25]
    path = tmp_path / "c.safetensors"

    def fit(net: Network, of: list[float], **options: Any) -> History:
        rest = iter(of)
        stopping = EarlyStopping(9, monitor="val_f1", mode="max")
        metrics = {"f1": lambda y, p: next(rest)}
        with pytest.warns(RuntimeWarning, match="epoch 1: val_f1 is nan") if of is values else nullcontext():
            return net.fit(X, Y, epochs=4, validation=(XV, YV), metrics=metrics, early_stopping=stopping, **options)

    whole = Network(SPEC)
    expected = fit(whole, values)
    with pytest.raises(Crash):
        fit(Network(SPEC), values, checkpoint=Checkpoint(path), callbacks=[After("on_epoch_end", 2)])
    assert b"NaN" not in path.read_bytes()
    net = Network(SPEC)
    found = fit(net, values[2:], checkpoint=Checkpoint(path, resume=True))
    assert net.weights_sha256() == whole.weights_sha256()
    np.testing.assert_array_equal(found.columns()["val_f1"], expected.columns()["val_f1"])
    assert not any(word in path.read_bytes() for word in (b"NaN", b"Infinity"))


def test_the_mode_of_early_stopping_is_a_fact_only_where_it_is_given(tmp_path: Path) -> None:
    """Older checkpoints without a mode can be resumed."""
    path = tmp_path / "c.safetensors"
    for mode, words in ((None, "restore_best=True)"), ("min", "restore_best=True, mode='min')")):
        stopping = EarlyStopping(9, mode=mode)
        Network(SPEC).fit(X, Y, epochs=1, validation=(XV, YV), early_stopping=stopping, checkpoint=Checkpoint(path))
        assert checkpoint.read(path)[0].facts["early stopping"].endswith(words)
    other = {"early_stopping": EarlyStopping(9), "checkpoint": Checkpoint(path, resume=True)}
    with pytest.raises(ValueError, match="another early stopping"):
        Network(SPEC).fit(X, Y, epochs=2, validation=(XV, YV), **other)
