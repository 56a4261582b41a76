"""Batches in chunks: the same bits for every number of processes, here threads, and errors that all of them raise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.clusters import SPEC, clouds
from helpers.communicator import Aborted, Communicator, together
from helpers.interruptions import Stop

from pynet import Augment, Checkpoint, EarlyStopping, Network, kernels
from pynet.data.splits import validation_rows
from pynet.training.parallel import SMALL, Processes

X, Y = clouds(203)
DROPOUT = "input(6) dense(40) relu dropout(0.3) dense(9) tanh dense(3) softmax"
OPTIONS: dict[str, Any] = {"epochs": 2, "batch_size": 40, "optimizer": "adam", "chunks": 8, "verbose": 0}


def fitted(comm: Any = None, spec: str = DROPOUT, x: Any = X, y: Any = Y, **options: Any) -> tuple[str, Any]:
    net = Network(spec, 3)
    history = net.fit(x, y, comm=comm, **OPTIONS | options)
    del history.columns()["seconds"]
    return net.weights_sha256(), history


def on(size: int, **options: Any) -> list[Any]:
    """The result, or exception, of each process."""
    return together(size, lambda comm: fitted(comm, **options))


CASES: list[dict[str, Any]] = [
    {},
    {"shuffle": False, "schedule": "cosine", "optimizer": "sgd"},
    {"validation": 0.2, "class_weight": "balanced", "early_stopping": EarlyStopping(1)},
    {"validation": (X[:20], Y[:20]), "sample_weight": np.linspace(0, 2, 203), "batch_size": 10, "window": 12},
    {"spec": "input(6) dense(700) relu dense(3) sigmoid loss(mse)", "x": X.astype(np.float64), "batch_size": 203},
    {"spec": "input(1,2,3) conv(4,2) relu dense(3) softmax", "augment": Augment(), "x": X.reshape(-1, 2, 3)},
]


@pytest.mark.parametrize("options", CASES)
def test_any_number_of_processes_gives_the_same_bits(options: dict[str, Any]) -> None:
    """Weights and history; with gradients of more and of fewer numbers than are sent at once."""
    expected = fitted(**options)
    for size in (1, 2, 4, 8):
        assert on(size, **options) == [expected] * size
    assert fitted(**options | {"chunks": 4})[0] != expected[0]


def test_threads_change_no_bit() -> None:
    expected = fitted(spec="input(6) dense(300) relu dense(300) relu dense(3) softmax")
    kernels.set_threads(3)
    assert fitted(spec="input(6) dense(300) relu dense(300) relu dense(3) softmax") == expected


def test_one_chunk_is_a_plain_batch_in_another_order() -> None:
    """Without a shuffle the bits are those of fit without chunks."""
    options = {"shuffle": False, "chunks": 1}
    assert fitted(**options) == fitted(**options | {"chunks": None})
    chunks, plain = (fitted(epochs=40, chunks=chunks)[1] for chunks in (8, None))
    assert abs(chunks.loss[-1] - plain.loss[-1]) < 0.1


def test_a_process_reads_its_shards_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples of other shards may be NaN for it: 4 processes of 8 shards read every fourth shard."""
    bounds = [0, 26, 52, 78, 103, 128, 153, 178, 203]
    expected = fitted()
    monkeypatch.setattr("pynet.training.chunks.COMPARED", 0)

    def own_only(comm: Communicator) -> tuple[str, Any]:
        x = np.full_like(X, np.nan)
        for shard in (comm.Get_rank(), comm.Get_rank() + 4):
            x[bounds[shard] : bounds[shard + 1]] = X[bounds[shard] : bounds[shard + 1]]
        return fitted(comm, x=x)

    assert together(4, own_only) == [expected] * 4


@pytest.mark.parametrize("n", [5, SMALL - 1, SMALL, SMALL + 3])
@pytest.mark.parametrize("size", [2, 4, 8])
def test_sums_are_those_of_a_fixed_tree(n: int, size: int) -> None:
    """Ranks that differ by size / 2 first. A large block costs each process less than two of its size."""
    blocks = np.random.default_rng(n).standard_normal((size, n)).astype(np.float32)
    blocks[:, 1], blocks[0, 1], blocks[size // 2, 1] = 0, 2e-38, -1.5e-38  # their sum is denormal: 0, as in the core
    tree = list(blocks)
    while len(tree) > 1:
        half = len(tree) // 2
        tree = [low + high for low, high in zip(tree[:half], tree[half:], strict=True)]
    assert 0 < tree[0][1] < np.finfo(np.float32).tiny
    tree[0][1] = 0

    def added(comm: Communicator) -> tuple[bytes, int]:
        block = blocks[comm.Get_rank()].copy()
        Processes(comm).add(block)
        return block.tobytes(), comm.sent

    found = together(size, added)
    assert {block for block, _ in found} == {tree[0].tobytes()}
    most = 2 * (size - 1) / size * 4 * n + 64 if n >= SMALL else (size.bit_length() - 1) * 4 * n
    assert all(sent <= most for _, sent in found)


# ---- checkpoints ----


@pytest.mark.parametrize(("first", "then"), [(None, None), (4, 2), (2, 8), (None, 4), (8, None)])
def test_a_training_resumes_on_another_number_of_processes(
    tmp_path: Path, first: int | None, then: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pynet.training.chunks.CALL_SECONDS", 0.0)
    options: dict[str, Any] = {"validation": (X[:20], Y[:20]), "early_stopping": EarlyStopping(9)}
    path = tmp_path / "run"

    def part(size: int | None, **more: Any) -> list[Any]:
        return on(size, **options, **more) if size else [fitted(**options, **more)]

    part(first, checkpoint=Checkpoint(path), callbacks=Stop("on_batch_end", 8))  # in the second epoch
    assert part(then, checkpoint=Checkpoint(path, resume=True)) == [fitted(**options)] * (then or 1)
    with pytest.raises(ValueError, match="another chunks: 8, now 4"):
        fitted(**options, checkpoint=Checkpoint(path, resume=True), chunks=4)
    found = part(2, checkpoint=Checkpoint(path, resume=True), seed=9)
    assert [str(error).count("another seed of the order: 3, now 9") for error in found] == [1, 1]


def test_an_interruption_between_update_and_record_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C may come anywhere: a step that was taken is counted."""
    step = Network._step

    def interrupted(net: Any, *rest: Any) -> None:
        step(net, *rest)
        if net.updates == 8:
            raise KeyboardInterrupt

    monkeypatch.setattr(Network, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fitted(checkpoint=Checkpoint(tmp_path / "run"))
    monkeypatch.setattr(Network, "_step", step)
    assert fitted(checkpoint=Checkpoint(tmp_path / "run", resume=True)) == fitted()


# ---- what is refused ----


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunks": 6}, "chunks is 6; accepted: a power of two"),
        ({"chunks": 0}, "chunks is 0; accepted: a whole number, 1 or more"),
        ({"chunks": 1 << 20}, "chunks is 1048576; accepted: a power of two, up to 65536"),
        ({"chunks": 1.5}, "chunks is 1.5"),
        ({"chunks": 128}, "203 samples are 128 shards of 1, too few for a chunk each of 6 batches"),
        ({"batch_size": 7}, "203 samples are 8 shards of 25, too few for a chunk each of 29 batches"),
        ({"spec": "input(6) dense(4) batchnorm dense(3) softmax"}, "layer 1 is batchnorm, which needs all rows"),
        ({"comm": 3}, "comm is 3; accepted: an mpi4py communicator"),
        ({"x": [(X, Y)], "y": None}, "window, chunks and comm need arrays x and y"),
        ({"x": np.where(np.arange(203)[:, None] == 200, np.inf, X)}, "x holds inf in sample 200, feature 0"),
    ],
)
def test_arguments_that_are_refused(options: dict[str, Any], message: str) -> None:
    net = Network(options.get("spec", SPEC), 3)
    with pytest.raises((ValueError, TypeError), match=message):
        fitted(**{"spec": SPEC} | options)
    assert net.weights_sha256() == Network(net.spec, 3).weights_sha256()


def refused(size: int, of: dict[int, dict[str, Any]], **options: Any) -> set[str]:
    """The messages of all processes; `of` has the options of some of them."""

    def run(comm: Communicator) -> Any:
        return fitted(comm, **options | of.get(comm.Get_rank(), {}))

    found = together(size, run)
    assert all(isinstance(error, (ValueError, TypeError, FloatingPointError, OSError, Aborted)) for error in found), (
        found
    )
    return {f"{type(error).__name__}: {error}" for error in found}


def test_a_number_of_processes_that_does_not_divide_the_chunks() -> None:
    assert refused(8, {}, chunks=4) == {"ValueError: 8 processes cannot share 4 chunks; accepted numbers: 1, 2, 4"}
    assert refused(3, {}) == {"ValueError: 3 processes cannot share 8 chunks; accepted numbers: 1, 2, 4, 8"}
    assert refused(2, {}, chunks=None) == {
        "ValueError: comm needs chunks, in how many parts its processes share a batch; for example chunks=8"
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spec": SPEC}, f"network than rank 0: {SPEC}, not {DROPOUT}"),
        ({"chunks": 4}, "chunks than rank 0: 4, not 8"),
        ({"optimizer": "sgd"}, "optimizer than rank 0: SGD"),
        ({"seed": 5}, "seed of the order than rank 0: 5, not 3"),
        ({"epochs": 3}, "epochs than rank 0: 3, not 2"),
        ({"batch_size": 60}, "batches than rank 0: 4, not 6"),
        ({"x": X[:200], "y": Y[:200]}, "data than rank 0: 200 samples"),
        ({"x": X.astype(np.float64) + 1}, "data than rank 0: 203 samples"),
        ({"schedule": "cosine"}, "schedule than rank 0: "),
        ({"checkpoint": Checkpoint("/dev/null/x")}, "checkpoint than rank 0: "),
    ],
)
def test_processes_that_disagree_name_both_values(options: dict[str, Any], message: str) -> None:
    (found,) = refused(4, {2: options})
    assert found.startswith("ValueError: rank 2 has another ")
    assert message in found


def test_an_error_of_one_process_is_raised_on_all() -> None:
    broken = np.where(np.arange(203)[:, None] == 30, np.nan, X)  # of shard 1
    assert refused(4, {1: {"x": broken}}) == {
        "ValueError: rank 1: x holds nan in sample 30, feature 0; accepted: finite numbers"
    }
    assert refused(2, {1: {"batch_size": "a"}}) == {
        "TypeError: rank 1: batch_size is 'a'; accepted: a whole number, 1 or more"
    }
    assert refused(2, {0: {"checkpoint": Checkpoint("/dev/null/x")}, 1: {"checkpoint": Checkpoint("/dev/null/x")}})


@pytest.mark.filterwarnings("ignore:x is not scaled:UserWarning")
def test_a_loss_that_is_not_finite_stops_all_before_the_step() -> None:
    """It is infinite in a chunk of one process alone."""
    spec, nets = "input(6) dense(3) loss(mse)", []
    x = np.where(np.arange(203)[:, None] == 30, 3e38, X)

    def run(comm: Communicator) -> Any:
        net = Network(spec, 3)
        nets.append(net)
        return net.fit(x, np.zeros((203, 3)), comm=comm, **OPTIONS | {"optimizer": "sgd", "shuffle": False})

    errors = together(4, run)
    assert all(type(error) is FloatingPointError for error in errors)
    (message,) = {str(error) for error in errors}
    assert message.startswith("epoch 1, batch 1: rank 1: the loss is not finite")
    assert {net.weights_sha256() for net in nets} == {Network(spec, 3).weights_sha256()}
    assert len({net.updates for net in nets}) == 1


def test_an_error_that_others_cannot_share_ends_all(capsys: pytest.CaptureFixture[str]) -> None:
    class Fails:
        def on_epoch_end(self, run: Any) -> None:
            raise ValueError("a callback failed")

    found = refused(4, {}, callbacks=Fails())
    assert all(message.startswith("Aborted") for message in found)
    assert "ValueError: a callback failed" in capsys.readouterr().err


def test_weights_that_a_callback_changes_on_one_process_are_noticed() -> None:
    class Changes:
        def on_epoch_begin(self, run: Any) -> None:
            run.net.tensors["0.b"][0] += 1

    (found,) = refused(2, {}, callbacks=Changes())
    assert "rank 1 has another SHA-256 of the weights than rank 0" in found


def test_callbacks_are_called_on_the_first_process_and_stop_all() -> None:
    seen = []

    class Notes:
        def on_epoch_end(self, run: Any) -> None:
            seen.append(run.epoch)
            run.stop()

    found = on(4, callbacks=Notes(), epochs=5)
    assert seen == [1]
    assert len({sha for sha, _ in found}) == 1


@pytest.mark.parametrize("for_validation", [False, True])
def test_a_sample_that_is_not_finite_is_named_by_its_number_among_all(for_validation: bool) -> None:
    x = X.copy()
    rows = validation_rows(X.shape, Y, 0.3, 3)[for_validation]
    x[rows[-1], 2] = np.nan
    net = Network(SPEC, 3)
    with pytest.raises(ValueError, match=rf"^x holds nan in sample {rows[-1]}, feature 2"):
        net.fit(x, Y, **OPTIONS, validation=0.3)
    assert net.updates == 0
