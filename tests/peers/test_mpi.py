"""One training on several processes that mpiexec starts: the same weights for any number of them; what ends all."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mpi4py", reason="needs mpi4py and an MPI: .ci/run and `make test-peers` have them")

GUARD = 60  # seconds: a process that takes longer hangs
ROOT = Path(__file__).resolve().parents[2]
TRAIN = ["-m", "pynet", "train", "--dataset", "digits", "--limit", "500", "--chunks", "4", "--batch-size", "48"]


def mpiexec(n: int, *arguments: str, folder: Path) -> list[str]:
    found = Path(sys.executable).parent / "mpiexec"
    assert found.exists(), f"{found} is missing; pip install mpich"
    return [str(found), "-n", str(n), sys.executable, *arguments]


def environment() -> dict[str, str]:
    """That of the tests; a pynet in the clone is found from other folders, too."""
    import pynet

    place = str(Path(pynet.__file__).parent.parent)
    return {**os.environ, "PYTHONPATH": place, "OMP_NUM_THREADS": "1"}


def run(n: int, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = mpiexec(n, *arguments, folder=folder) if n else [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=GUARD)


def result(n: int, *options: str, folder: Path) -> dict[str, Any]:
    done = run(n, *TRAIN, "--epochs", "2", "--json", *options, folder=folder)
    assert done.returncode == 0, done.stderr + done.stdout
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_any_number_of_processes_gives_the_same_model(tmp_path: Path) -> None:
    """One SHA-256 of the weights; the first process alone prints and writes; 0 stands for no mpiexec."""
    options = ["--optimizer", "adam", "--net", "input(64) dense(32) relu dropout(0.2) dense(10) softmax"]
    found = {n: result(n, *options, "--save", f"{n}.safetensors", folder=tmp_path) for n in (0, 1, 2, 4)}
    assert len({one["weights_sha256"] for one in found.values()}) == 1
    assert len({(tmp_path / f"{n}.safetensors").read_bytes() for n in found}) == 1
    assert len({json.dumps([{**row, "seconds": 0} for row in one["epochs"]]) for one in found.values()}) == 1


SCRIPT = """
import sys
import numpy as np
from mpi4py import MPI
import pynet

rank = MPI.COMM_WORLD.Get_rank()
digits = pynet.data.load("digits")
x, y = digits.x_train, digits.y_train
net = pynet.Network("input(64) dense(16) tanh dense(10) softmax", seed=int(sys.argv[1]) if rank else 0)
if sys.argv[2] == "data" and rank == 1:
    x = np.roll(x, 1, axis=0)
if sys.argv[2] == "nan":
    x = x / np.float32(255)
    x[len(x) // 2 - 1] = np.nan if rank == 1 else 0  # of the second chunk's shard
rate = 1e38 if sys.argv[2] == "diverges" else 0.1
history = net.fit(x, y, epochs=2, chunks=4, comm=MPI.COMM_WORLD, optimizer=pynet.SGD(rate), verbose=0)
if rank == 0:
    print(net.weights_sha256(), len(history.loss))
"""


@pytest.mark.parametrize(
    ("seed", "what", "message"),
    [
        ("1", "", "ValueError: rank 1 has another network seed than rank 0: 1, not 0"),
        ("0", "data", "ValueError: rank 1 has another data than rank 0: 1442 samples uint8"),
        ("0", "nan", "ValueError: rank 1: x holds nan in sample 720"),
        ("0", "diverges", "FloatingPointError: epoch 1, batch "),
    ],
)
def test_all_processes_end_with_the_reason(tmp_path: Path, seed: str, what: str, message: str) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = run(2, "script.py", seed, what, folder=tmp_path)
    assert done.returncode != 0
    assert message in done.stderr
    assert not done.stdout
    assert not [path for path in tmp_path.iterdir() if path.name != "script.py"]


def test_from_python(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    shas = {run(n, "script.py", "0", "", folder=tmp_path).stdout for n in (1, 2, 4)}
    assert len(shas) == 1
    assert re.fullmatch(r"[0-9a-f]{64} 2\n", shas.pop())


@pytest.mark.parametrize(
    ("n", "options", "status", "message"),
    [
        (2, ["--chunks", "6"], 2, "'6' is not accepted; accepted: a power of two"),
        (2, ["--chunks", "1"], 1, "2 processes cannot share 1 chunks; accepted numbers: 1"),
        (3, [], 1, "3 processes cannot share 4 chunks; accepted numbers: 1, 2, 4"),
        (2, ["--chunks", "256"], 1, "500 samples are 256 shards of 1, too few for a chunk each of 11 batches"),
        (2, ["--find-lr"], 2, "--chunks cannot be used with --find-lr"),
        (2, ["--net", "input(64) dense(9) batchnorm dense(10) softmax"], 1, "layer 1 is batchnorm, which needs all"),
        (2, ["--save", "/dev/null/x"], 1, "rank 0: cannot write /dev/null/x"),
    ],
)
def test_options_that_are_refused(tmp_path: Path, n: int, options: list[str], status: int, message: str) -> None:
    """One line, and nothing is written."""
    done = run(n, *TRAIN, *options, "--quiet", folder=tmp_path)
    assert done.returncode == status, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("pynet train")]
    assert len(errors) == 1
    assert message in errors[0]
    assert list(tmp_path.iterdir()) == []


def test_without_mpi4py(tmp_path: Path) -> None:
    """mpiexec started several processes that cannot find each other: each would train and write alone."""
    (tmp_path / "mpi4py.py").write_text("raise ImportError('no mpi4py here')")
    env = {**environment(), "PYTHONPATH": f"{tmp_path}:{environment()['PYTHONPATH']}"}
    command = mpiexec(2, *TRAIN, "--quiet", "--save", "m", folder=tmp_path)
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=GUARD)
    assert done.returncode == 2
    assert "need mpi4py and an MPI (no mpi4py here): pip install pynet-nn[mpi]" in done.stderr
    assert not (tmp_path / "m").exists()


def children(pid: int) -> list[int]:
    """The processes below this one."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            found += [int(stat.parent.name), *children(int(stat.parent.name))]
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the processes in /proc")
def test_a_process_that_is_killed_ends_all_and_the_checkpoint_stays(tmp_path: Path) -> None:
    """kill -9 of the second of two; then one process, and four, resume to the bits of an uninterrupted training."""
    checkpoint = tmp_path / "run.safetensors"
    options = ["--epochs", "100000", "--checkpoint", "run.safetensors", "--quiet", "--save", "none"]
    process = subprocess.Popen(
        mpiexec(2, *TRAIN, *options, folder=tmp_path),
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + GUARD
        while not epochs_in(checkpoint) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert epochs_in(checkpoint)
        ranks = [pid for pid in children(process.pid) if b"RANK=1" in environment_of(pid)]
        assert ranks
        os.kill(ranks[-1], signal.SIGKILL)
        assert process.wait(GUARD) != 0
    finally:
        process.kill()
        process.communicate()
    more = ["--epochs", str(epochs_in(checkpoint) + 2), "--save", "none"]
    expected = result(0, *more, folder=tmp_path)["weights_sha256"]
    for n in (1, 4):
        (tmp_path / "copy").write_bytes(checkpoint.read_bytes())
        resumed = result(n, *more, "--checkpoint", "copy", "--resume", folder=tmp_path)
        assert resumed["weights_sha256"] == expected


def epochs_in(path: Path) -> int:
    """Completed epochs in a checkpoint; 0: there is none."""
    from pynet.training.checkpoint import read

    return len(read(path)[0].rows) if path.exists() else 0


def environment_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""
