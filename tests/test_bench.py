"""The benchmark: figures computed from its rows, detection of wrong contestants, and a trial run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers import ROOT, make

sys.path.append(str(ROOT))  # bench is not part of the package

from bench import __main__ as bench
from bench import check, data, inference, runner, tables, training
from bench.measurements import Row, Rows, from_dict, ratio
from bench.peers import CONTESTANTS, NUMPY, initial, numpy_kernels
from bench.peers.numpy_net import NumpyNet, NumpyOutNet
from bench.runner import Plan, Process, Workers, alternate
from bench.targets import TARGETS, Target


def row(contestant: str, seconds: list[float], case: str = "W64", threads: int = 2) -> Row:
    return Row(training.QUESTION, case, threads, contestant, seconds)


@pytest.fixture
def epochs() -> Rows:
    return Rows([row("pynet", [0.05, 0.06, 0.9]), row("numpy", [0.4, 0.5, 0.6]), row("numpy-out", [0.3, 0.36, 0.4])])


def target(what: str) -> Target:
    [found] = [t for t in TARGETS if t.what == what]
    return found


def test_ratio_is_that_of_medians_to_the_best(epochs):
    assert ratio(epochs, "pynet", NUMPY) == pytest.approx(0.36 / 0.06)
    assert ratio(epochs, "pynet", ["torch"]) is None


def test_target_is_met_missed_or_not_measured(epochs):
    best = target("W64, 2 threads, against NumPy's best")
    assert (best.measure(epochs), best.met(epochs)) == (pytest.approx(6.0), True)
    epochs.append(row("numpy-out", [0.1]))
    epochs.remove(epochs[2])
    assert best.met(epochs) is False
    assert target("W64, 2 threads, against JAX scan").met(epochs) is None
    assert target("batch 32, 2 threads, against the best peer").met(epochs) is None


def test_missed_targets_are_listed_with_their_cause(epochs):
    assert tables.shortfalls(epochs) == ""
    epochs[0].seconds = [0.12]
    expected = "- **W64, 2 threads, against NumPy's best** (3 x, at least 5.8 x wanted): Of the 73 us of a step"
    assert tables.shortfalls(epochs).startswith(expected)


@pytest.mark.parametrize("name", ["numpy", "peers"])
def test_every_committed_shortfall_has_a_cause(name):
    run = json.loads((ROOT / "bench" / "results" / f"{name}.json").read_text("utf-8"))
    assert run["targets"]
    assert [t["what"] for t in run["targets"] if t["met"] is False and tables.why(t["what"]) == tables.UNKNOWN] == []


def test_target_with_an_upper_limit():
    rows = Rows([Row(training.PYTHON, "W64", 1, "pynet", [1.0]), Row(training.PYTHON, "W64", 1, "C", [0.96])])
    goal = target("Python's share of W64, 1 thread")
    assert (goal.measure(rows), goal.met(rows)) == (pytest.approx(4.0), False)


def test_contestant_that_did_not_learn_is_found(epochs):
    for r, accuracy in zip(epochs, (0.95, 0.1, 0.95), strict=True):
        r.facts["accuracy"] = accuracy
    assert training.unlearnt(epochs) == [epochs[1]]


def test_fraction_of_the_peak_is_not_raised_by_a_busy_core():
    case = training.W64_STANDARDISED.name
    peaks = [row("peak", [0.1, 0.2], case, threads=1), row("peak", [0.1], case, threads=2)]
    goal = target("W64 standardised, 2 threads, of the FMA peak")
    assert goal.measure(Rows([row("pynet", [0.1], case), *peaks])) == pytest.approx(50)


def test_rows_survive_json(epochs):
    again = Rows(from_dict(json.loads(json.dumps(r.as_dict()))) for r in epochs)
    assert again == epochs


@pytest.mark.parametrize(
    ("seconds", "shown"), [(1.2345, "1.23 s"), (0.0123, "12.3 ms"), (1.34e-6, "1.34 us"), (0.381, "381 ms")]
)
def test_duration(seconds, shown):
    assert tables.duration(seconds) == shown


def test_contestants_take_turns():
    order: list[str] = []
    turns = {name: lambda name=name: order.append(name) or 1.0 for name in "ab"}
    assert alternate(turns, rounds=3, seconds=0) == {"a": [1.0] * 3, "b": [1.0] * 3}
    assert "".join(order) == "abbaab"


ECHO = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"


class Clock:
    """Replaces the time of bench.runner; sleeping advances it."""

    now = 0.0

    def perf_counter(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.mark.parametrize(("spins", "slept"), [(0.1, 0.1), (9, runner.LONGEST_SPIN)])
def test_turn_ends_when_the_process_sleeps_or_spins_too_long(monkeypatch, spins, slept):
    clock, process = Clock(), Process([sys.executable, "-c", ECHO], threads=1)
    monkeypatch.setattr(runner, "time", clock)
    monkeypatch.setattr(runner, "runs", lambda _: clock.now < spins)
    assert process.ask("1") == "1\n"
    process.close()
    assert clock.now == pytest.approx(slept, abs=0.002)


def test_running_threads_are_detected():
    assert runner.runs(os.getpid())
    waits = subprocess.Popen([sys.executable, "-c", ECHO], stdin=subprocess.PIPE, text=True)
    for _ in range(60_000):  # after its start, it waits for input
        if not runner.runs(waits.pid):
            break
        time.sleep(0.001)
    assert not runner.runs(waits.pid)
    waits.communicate(timeout=60)


def test_kernels_agree_with_float64():
    check.check_kernels()


def test_check_notices_a_wrong_kernel(monkeypatch):
    monkeypatch.setattr(numpy_kernels, "RATE", np.float32(0.1001))
    with pytest.raises(RuntimeError, match=r"SGD, 1,000, new array: numpy, plain is .* from float64"):
        check.check_kernels()


def test_numpys_two_versions_learn_the_same():
    weights, rng = initial([20, 16, 8, 4]), np.random.default_rng(0)
    x, y = rng.integers(0, 256, (90, 20)).astype(np.uint8), rng.integers(0, 4, 90).astype(np.int32)
    found = []
    for cls in (NumpyNet, NumpyOutNet):
        net = cls(weights)
        net.load(x, y)
        net.epoch(32, np.arange(90))  # the last batch is shorter
        found.append(net.weights())
    expected = check.reference_epoch(weights, x, y, np.arange(90), 32)
    assert max(check.difference(f, expected, weights) for f in found) < 1e-5


def test_every_contestant_has_a_file_of_its_own():
    for contestant in CONTESTANTS.values():
        source = (ROOT / "bench" / "peers" / f"{contestant.module}.py").read_text("utf-8")
        assert f"class {contestant.cls}" in source


@pytest.fixture
def mnist_files(mnist):
    data.prepare()


@pytest.mark.mnist
def test_check_notices_a_wrong_contestant(mnist_files, monkeypatch):
    assert check.check_case(training.W64, ["pynet", *NUMPY], batches=10).keys() == {"pynet", *NUMPY}
    monkeypatch.setattr("bench.peers.numpy_net.LEARNING_RATE", 0.09)
    with pytest.raises(RuntimeError, match=r"W64: numpy is .* from float64"):
        check.check_case(training.W64, ["numpy"], batches=10)


def test_trial_of_the_kernels_needs_no_mnist(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PYNET_DATA", str(tmp_path))
    assert (
        bench.main(["--only", "kernels", "--threads", "1", "--samples", "1", "--rounds", "1", "--out", str(tmp_path)])
        == 0
    )
    run = json.loads((tmp_path / "numpy.json").read_text("utf-8"))
    assert run.keys() == {"machine", "plan", "targets", "rows"}
    assert run["machine"].keys() >= {"cpu", "cores", "pynet", "python", "libraries", "load", "load_after", "seconds"}
    assert {r["contestant"] for r in run["rows"]} == {"pynet", "numpy", "copy"}
    assert all(r["minimum"] > 0 and r["threads"] == 1 for r in run["rows"])
    page = (tmp_path / "numpy.md").read_text("utf-8")
    assert "| softmax, 1,000, buffer" in page
    assert "| softmax, 1,000, buffer" in capsys.readouterr().out


@pytest.mark.mnist
def test_trial_of_inference(mnist_files, libpynet):
    make("build/bench/loop")
    with Workers() as workers:
        rows = inference.measure(workers, Plan(threads=[1], rounds=1, seconds=0))
    assert all(r.minimum > 0 for r in rows)
    assert {r.contestant for r in rows.pick("inference", "class of one image")} == {"pynet", *NUMPY, "C"}
