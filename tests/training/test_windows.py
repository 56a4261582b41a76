"""Training on windows of data that need not fit in memory: order, bits, files, faults, memory."""

from __future__ import annotations

import subprocess
import sys
import threading
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.clusters import SPEC, clouds
from helpers.interruptions import After

from pynet import Checkpoint, EarlyStopping, Network, kernels
from pynet.training import windows
from pynet.training.memory import available_memory

X, Y = clouds(230)
OPTIONS: dict[str, Any] = {"epochs": 3, "batch_size": 16, "optimizer": "adam", "window": 50, "verbose": 0}


def weights(x: Any, y: Any = Y, **options: Any) -> str:
    net = Network(SPEC, 3)
    net.fit(x, y, **OPTIONS | options)
    return net.weights_sha256()


@pytest.fixture
def mapped(tmp_path: Path) -> np.memmap[Any, Any]:
    np.save(tmp_path / "x.npy", X)
    return np.load(tmp_path / "x.npy", mmap_mode="r")


def test_an_array_a_memory_map_and_files_are_trained_on_alike(tmp_path: Path, mapped: Any) -> None:
    for i, part in enumerate(np.split(np.arange(230), [10, 11, 190])):
        np.save(tmp_path / f"x{i}.npy", X[part])
        np.save(tmp_path / f"y{i}.npy", Y[part])
    xs, ys = ([str(tmp_path / f"{kind}{i}.npy") for i in range(4)] for kind in "xy")
    shas = {weights(X), weights(mapped), weights(X.astype(np.float64)), weights(xs), weights(xs, ys)}
    assert len(shas) == 1
    np.save(tmp_path / "x.npy", X)
    assert weights(str(tmp_path / "x.npy")) in shas
    assert weights(xs, ys, window=None) == weights(X, window=None)  # they fit in memory
    assert len({*shas, weights(X, window=60), weights(X, window=None), weights(X, seed=4)}) == 4


@pytest.mark.filterwarnings("ignore:x is not scaled:UserWarning")
def test_every_sample_is_used_once_in_an_epoch_in_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows are of consecutive samples, in random order; no batch has samples of two windows."""
    seen: list[list[int]] = []

    def recorded(net: Any, samples: Any, rows: Any, batch: int, *rest: Any) -> None:
        seen.extend(samples.x[rows, 0].astype(int).tolist()[i : i + batch] for i in range(0, len(rows), batch))
        rest[1].samples += len(rows)
        rest[1].steps += -(-len(rows) // batch)

    monkeypatch.setattr(Network, "_train", recorded)
    x = np.repeat(np.arange(230.0), 6).reshape(230, 6)
    Network(SPEC).fit(x, Y, **OPTIONS)
    epochs = [seen[i : i + len(seen) // 3] for i in range(0, len(seen), len(seen) // 3)]
    for epoch in epochs:
        assert sorted(chain(*epoch)) == list(range(230))
        assert all(len({i // 46 for i in batch}) == 1 for batch in epoch)
        assert all(11 <= len(batch) <= 16 for batch in epoch)
    orders = [list(dict.fromkeys(batch[0] // 46 for batch in epoch)) for epoch in epochs]
    assert len({tuple(order) for order in orders}) > 1
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0]) != sorted(epochs[1])
    seen.clear()
    Network(SPEC).fit(x, Y, shuffle=False, **OPTIONS)
    assert [*chain(*seen)] == 3 * list(range(230))


def test_threads_change_no_bit() -> None:
    expected = weights(X)
    for threads in (1, 3):
        kernels.set_threads(threads)
        assert weights(X) == expected


def test_the_next_window_is_read_while_the_network_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    readers, loaded = set(), []
    load = windows.Windows.load

    def noted(self: Any, w: int) -> Any:
        readers.add(threading.current_thread().name)
        loaded.append(w)
        return load(self, w)

    monkeypatch.setattr(windows.Windows, "load", noted)
    weights(X)
    assert sorted(loaded) == sorted(3 * list(range(5)))
    assert all(name.startswith("pynet-window") for name in readers)


@pytest.mark.parametrize("stop", [1, 4, 9, 16])
def test_a_training_resumes_within_an_epoch(tmp_path: Path, stop: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pynet.training.batches.CALL_SECONDS", 0.0)  # a step a call
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        weights(X, checkpoint=Checkpoint(path), callbacks=After("on_batch_end", stop, KeyboardInterrupt))
    assert weights(X, checkpoint=Checkpoint(path, resume=True)) == weights(X)
    with pytest.raises(ValueError, match="another window: 50, now 60"):
        weights(X, checkpoint=Checkpoint(path, resume=True), window=60)
    with pytest.raises(ValueError, match="another data"):
        weights(X + 1, checkpoint=Checkpoint(path, resume=True))


def test_validation_takes_the_same_samples_as_without_windows() -> None:
    def fitted(**options: Any) -> Any:
        net = Network(SPEC, 3)
        return net.fit(X, Y, **OPTIONS | {"epochs": 1, "optimizer": None} | options)

    def share(y: Any, p: Any) -> float:
        return float((p.argmax(1) == y).mean())

    within, without = (fitted(validation=0.3, metrics=[share], window=window) for window in (50, None))
    assert within.val_share == within.val_accuracy
    assert without.val_share == without.val_accuracy
    assert abs(within.val_loss[0] - without.val_loss[0]) < 0.1  # other orders of training
    assert weights(X, validation=0.3, early_stopping=EarlyStopping(2)) == weights(
        X, validation=0.3, early_stopping=EarlyStopping(2)
    )


def test_a_regression_is_measured(mapped: Any) -> None:
    net = Network("input(6) dense(8) tanh dense(2)")
    y = np.stack([X[:, 0], X[:, 1] - X[:, 2]], 1)
    history = net.fit(mapped, y, **OPTIONS | {"epochs": 80}, validation=0.2)
    assert history.r2[-1] > 0.8
    assert history.val_r2[-1] > 0.8
    assert net.task == "regression"


def test_weights_of_samples_and_classes_are_those_of_the_samples() -> None:
    sample_weight = np.where(Y == 1, 3.0, 1.0)
    assert weights(X, sample_weight=sample_weight) == weights(X, class_weight={1: 3.0}) != weights(X)
    assert weights(X, class_weight="balanced", validation=0.2) != weights(X, validation=0.2)


@pytest.mark.parametrize("window", [None, 50])
def test_a_fraction_for_validation_is_not_copied(window: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The arrays that the core reads are those of the user."""
    seen = []
    train = Network._train

    def noted(net: Any, samples: Any, *rest: Any) -> None:
        seen.append(samples.x)
        train(net, samples, *rest)

    monkeypatch.setattr(Network, "_train", noted)
    weights(X, validation=0.3, window=window)
    shared = [np.shares_memory(x, X) for x in seen]
    assert all(shared) if window is None else not any(shared)
    assert all(len(x) in ((230,) if window is None else (46,)) for x in seen)


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (X, {"window": 8}, "window is 8; accepted: 16, the batch size, or more"),
        (X, {"window": 0}, "window is 0; accepted: a whole number, 1 or more"),
        (X, {"window": 2.5}, "window is 2.5"),
        (X[:9], {}, "x has 9 samples, y has 230"),
        (3.5, {}, "x is 3.5; accepted: an array of samples"),
        ("none.npy", {}, "none.npy: No such file"),
        (np.where(np.arange(230)[:, None] == 228, np.nan, X), {}, "x holds nan in sample 228, feature 0"),
        (X.astype(complex), {}, "x has dtype complex128"),
        (X[:, :5], {}, r"x has shape \(46, 5\)"),
        ([(X, Y)], {"y": None}, "window, chunks and comm need arrays"),
    ],
)
def test_arguments_that_are_refused(x: Any, options: dict[str, Any], message: str) -> None:
    net = Network(SPEC)
    before = net.weights_sha256()
    with pytest.raises((ValueError, TypeError), match=message):
        net.fit(x, **{"y": Y} | OPTIONS | options | {"epochs": 1})
    if "228" not in message:
        assert net.weights_sha256() == before


def test_labels_that_are_refused() -> None:
    y = np.where(np.arange(230) == 229, 3, Y)
    with pytest.raises(ValueError, match="labels run from 0 to 3; this network takes 0 to 2"):
        weights(X, y)


def files(tmp_path: Path, **arrays: Any) -> list[str]:
    for name, array in arrays.items():
        if isinstance(array, bytes):
            (tmp_path / f"{name}.npy").write_bytes(array)
        else:
            np.save(tmp_path / f"{name}.npy", array)
    return [str(tmp_path / f"{name}.npy") for name in arrays]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": X, "b": X[:, :5]}, r"b.npy has rows of shape \(5,\), float32; those of .*a.npy are \(6,\), float32"),
        ({"a": X, "b": X.astype(np.float64)}, "b.npy has rows of shape .*float64"),
        ({"a": b"no array"}, "a.npy: no .npy file, or a damaged one"),
        ({"a": np.float32(3)}, "a.npy: no array with rows"),
        ({"a": np.array([["a"] * 6] * 230)}, "a.npy holds <U1; accepted: real numbers"),
        ({"a": X[:100]}, "x has 100 samples, y has 230"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        weights(files(tmp_path, **arrays))


def test_files_that_are_missing_or_cut_off(tmp_path: Path) -> None:
    (a,) = files(tmp_path, a=X)
    with pytest.raises(ValueError, match=r"b.npy: No such file"):
        weights([a, str(tmp_path / "b.npy")])
    Path(a).write_bytes(Path(a).read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"a.npy: no .npy file, or a damaged one"):
        weights([a])


# ---- memory ----


def group_files(root: Path, version: int, limit: str, used: int, cached: int) -> None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text("MemTotal: 16000 kB\nMemAvailable:   8000 kB\n")
    if version == 2:
        group = root / "sys/fs/cgroup/user/job"
        names, line, stat = ("memory.max", "memory.current"), "0::/user/job", "inactive_file"
    else:
        group = root / "sys/fs/cgroup/memory/user/job"
        names, stat = ("memory.limit_in_bytes", "memory.usage_in_bytes"), "total_inactive_file"
        line = "5:cpu,cpuacct:/x\n4:memory:/user/job"
    group.mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(line + "\n")
    (group / names[0]).write_text("max\n" if version == 2 else "9223372036854771712\n")
    (group / names[1]).write_text("100\n")
    (group.parent / names[0]).write_text(f"{limit}\n")  # the limit of the group above holds as well
    (group.parent / names[1]).write_text(f"{used}\n")
    (group.parent / "memory.stat").write_text(f"anon 3\n{stat} {cached}\n")


@pytest.mark.parametrize("version", [1, 2])
def test_the_limits_of_control_groups_count(tmp_path: Path, version: int) -> None:
    group_files(tmp_path, version, "5000000", 3000000, 1000000)
    assert available_memory(tmp_path) == 3_000_000


def test_without_a_limit_the_memory_of_the_machine_counts(tmp_path: Path) -> None:
    group_files(tmp_path, 2, "max", 3000000, 0)
    assert available_memory(tmp_path) == 8000 * 1024
    assert available_memory(tmp_path / "nothing") is None
    assert (available_memory() or 0) > 1 << 20


def test_a_memory_map_larger_than_half_of_memory(mapped: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The note names a window with which the training can be repeated; less memory gives smaller windows."""
    monkeypatch.setattr(windows, "available_memory", lambda: 2 * mapped.nbytes)
    plain = weights(mapped, window=None)
    assert plain == weights(X, window=None)
    monkeypatch.setattr(windows, "available_memory", lambda: 2 * mapped.nbytes - 1)
    with pytest.warns(RuntimeWarning, match="fit reads windows of 32 samples; window=32 gives the same training"):
        assert weights(mapped, window=None) == weights(mapped, window=32) != plain
    monkeypatch.setattr(windows, "available_memory", lambda: None)
    assert weights(mapped, window=None) == plain


SCRIPT = """
import resource, sys
import numpy as np
import pynet
pynet.kernels.set_threads(1)
x = np.load(sys.argv[1], mmap_mode="r")
y = np.arange(len(x)) % 3
net = pynet.Network("input(1024) dense(4) relu dense(3) softmax")
net.fit(np.array(x[:64]), y[:64], epochs=1)
data = [int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmData")][0]
resource.setrlimit(resource.RLIMIT_DATA, (data + (24 << 20),) * 2)
if sys.argv[2] == "window":
    print(net.fit(x, y, epochs=1, window=1024, validation=0.1).loss)
else:
    np.array(x)
"""


def test_a_window_fit_runs_under_a_memory_limit(tmp_path: Path) -> None:
    """32 MB of data, of which 24 MB may be in memory; a copy of all fails under that limit."""
    np.save(tmp_path / "x.npy", np.arange(32 << 20, dtype=np.uint32).astype(np.uint8).reshape(-1, 1024))
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "x.npy")]
    done = subprocess.run([*command, "window"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    failed = subprocess.run([*command, "copy"], capture_output=True, text=True, timeout=60)
    assert "MemoryError" in failed.stderr


def test_the_figures_of_a_regression_leave_out_what_is_for_validation() -> None:
    rows = np.flatnonzero(np.arange(1000) % 10).astype(np.int32)
    x = np.arange(1000, dtype=np.float32)[:, None]
    some = windows.Windows(Network("input(1) dense(1)"), x, x, 100, rows=rows).some(300)
    assert some.n == 256 and np.isin(some.x, rows).all()
    np.testing.assert_array_equal(some.x, some.targets)


@pytest.mark.parametrize(
    ("spec", "first", "later"),
    [("input(6) dense(1)", [[0], [1]], [[0.5]]), ("input(6) dense(2) sigmoid loss(bce)", [[0, 1], [1, 0]], [[1, 1]])],
)
def test_all_targets_decide_what_is_learnt(spec: str, first: Any, later: Any) -> None:
    """The targets of the first 5,000 samples could be classes, those of the last one could not."""
    y = np.array(first * 2500 + later, np.float32)
    x, tasks = np.zeros((len(y), 6), np.float32), []
    for window in (None, 1000):
        net = Network(spec)
        net.fit(x, y, epochs=1, batch_size=1000, window=window, verbose=0)
        tasks.append(net.task)
    assert tasks[0] == tasks[1] != "classes"


def test_figures_of_few_samples_are_those_without_windows() -> None:
    options = OPTIONS | {"shuffle": False}
    plain, one = (Network("input(6) dense(2)").fit(X, X[:, :2], **options | {"window": w}) for w in (None, 230))
    assert (plain.r2, plain.rmse, plain.loss) == (one.r2, one.rmse, one.loss)


def test_balanced_classes_of_one_hot_rows_in_files(tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", np.eye(3, dtype=np.float32)[Y])
    assert weights(X, str(tmp_path / "y.npy"), class_weight="balanced") == weights(X, class_weight="balanced")


def test_a_weight_is_named_by_its_number_among_all_samples() -> None:
    with pytest.raises(ValueError, match="weight of sample 200 is nan"):
        weights(X, sample_weight=np.where(np.arange(230) == 200, np.nan, 1))
