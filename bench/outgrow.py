"""The figures of docs/scaling.md: data larger than memory, batches in chunks, sums over processes, grids.

python -m bench.outgrow windows [FOLDER]     under a memory limit, in a control group (v1) of its own; needs root
python -m bench.outgrow chunks               chunks against plain batches
python -m bench.outgrow grid                 a grid of scikit-learn on the backends of joblib
mpiexec -n 2 python -m bench.outgrow exchange        a sum over processes against MPI_Allreduce
mpiexec -n 2 python -m bench.outgrow processes       samples a second of one training
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import pynet
from pynet.training.parallel import Processes

W64 = "input(784) dense(128) relu dense(64) relu dense(10) softmax"
CNN = "input(1,28,28) conv(8,5) relu maxpool(2) conv(16,5) relu maxpool(2) dense(128) relu dense(10) softmax"
SAMPLES, LIMIT = 1_200_000, 3  # of the file, 941 MB; the part of it that may be in memory
RUNS = 3


def pixels(n: int) -> tuple[Any, Any]:
    """Bytes of which 81 % are 0, as those of MNIST."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (n, 784), np.uint8) * (rng.random((n, 784)) < 0.19)
    return x.astype(np.uint8), rng.integers(0, 10, n).astype(np.int32)


def speed(x: Any, y: Any, **options: Any) -> float:
    """Samples a second of the second epoch: the first one takes the memory."""
    net = pynet.Network(options.pop("net", W64), 1)
    return len(x) / net.fit(x, y, epochs=2, verbose=0, **options).seconds[1]


# ---- larger than memory ----


def write(path: Path) -> None:
    """The file, written to the disk and out of the page cache."""
    x, _ = pixels(20_000)
    file = np.lib.format.open_memmap(path, "w+", np.uint8, (SAMPLES, 784))
    for i in range(0, SAMPLES, len(x)):
        file[i : i + len(x)] = np.roll(x, i // len(x), axis=1)
    file.flush()


def forget(path: Path) -> None:
    """Drops the file from the page cache."""
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def limited(path: Path, how: str) -> str:
    """What this program prints in a control group with the memory of a third of the file."""
    line = next(line for line in Path("/proc/self/cgroup").read_text().splitlines() if ":memory:" in line)
    group = Path("/sys/fs/cgroup/memory") / line.split(":", 2)[2].strip("/") / f"outgrow{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(path.stat().st_size // LIMIT))

        def enter() -> None:
            (group / "cgroup.procs").write_text(str(os.getpid()))

        command = [sys.executable, "-m", "bench.outgrow", how, str(path)]
        return subprocess.run(command, preexec_fn=enter, capture_output=True, text=True, check=True).stdout
    finally:
        group.rmdir()


def within(path: Path) -> None:
    x = np.load(path, mmap_mode="r")
    y = (np.arange(len(x)) % 10).astype(np.int32)
    for batch in (64, 1024):
        forget(path)
        print(f"batch {batch}: {speed(x, y, batch_size=batch):,.0f} samples/s")


def shuffled(path: Path) -> None:
    """As without windows: samples from all over the file, for two seconds."""
    x = np.load(path, mmap_mode="r")
    y, samples, begin = (np.arange(len(x)) % 10).astype(np.int32), 0, time.perf_counter()
    net = pynet.Network(W64, 1)
    forget(path)
    for rows in np.array_split(pynet.kernels.shuffle(len(x), 1, 0), len(x) // 64):
        net.train_step(np.asarray(x[rows]), y[rows], "sgd")
        samples += len(rows)
        if time.perf_counter() - begin > 2:
            break
    print(f"batch 64: {samples / (time.perf_counter() - begin):,.0f} samples/s")


def windows(folder: str = "/tmp") -> None:
    path = Path(folder) / "outgrow.npy"
    if not path.exists():
        write(path)
    x, y = pixels(120_000)
    for batch in (64, 1024):
        print(f"in memory, batch {batch}: {max(speed(x, y, batch_size=batch) for _ in range(RUNS)):,.0f} samples/s")
    print("windows under the limit,", limited(path, "within").replace("\n", ", "))
    print("no windows under the limit,", limited(path, "shuffled"))


# ---- chunks and processes ----


def alternating(contestants: dict[str, Callable[[], float]]) -> None:
    """Prints the median of each, and its quotient with that of the first."""
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(RUNS):
        for name, run in contestants.items():
            found[name].append(run())
    first = median(next(iter(found.values())))
    for name, values in found.items():
        print(f"{name}: {median(values):,.0f} ({median(values) / first:.2f})", flush=True)


def chunks() -> None:
    x, y = pixels(32_768)
    for net, optimizer, n in ((W64, "sgd", 32_768), (W64, "adam", 32_768), (CNN, "adam", 8_192)):
        for batch in (512, 1024, 8192):
            options = {"net": net, "optimizer": optimizer, "batch_size": batch}
            print(f"{net[:14]}... {optimizer}, batch {batch}, threads {pynet.kernels.threads()}, samples/s:")
            contestants = {"plain": lambda o=options, n=n: speed(x[:n], y[:n], **o)}
            for v in (4, 8):
                name = f"{v} chunks of {batch // v} rows"
                contestants[name] = lambda o=options, v=v, n=n: speed(x[:n], y[:n], chunks=v, **o)
            alternating(contestants)


def exchange() -> None:
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    processes = Processes(comm)

    def seconds(run: Callable[[], object]) -> float:
        comm.Barrier()
        begin = time.perf_counter()
        for _ in range(20):
            run()
        return (time.perf_counter() - begin) / 20 * 1e6

    for n in (5, 1 << 10, 17_226, 109_386, 1 << 20, 1 << 22):
        block, out = np.ones(n, np.float32), np.ones(n, np.float32)
        pairs = [
            (seconds(lambda b=block: processes.add(b)), seconds(lambda b=block, o=out: comm.Allreduce(b, o)))
            for _ in range(9)
        ]
        ours, theirs = (median(times) for times in zip(*pairs, strict=True))
        if processes.first:
            print(f"{comm.size} processes, {n:,} numbers: {ours:.0f} us, MPI_Allreduce {theirs:.0f} us", flush=True)


def processes() -> None:
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    x, y = pixels(65_536)
    for net, n in ((W64, 65_536), (CNN, 8_192)):
        for batch in (1024, 8192):
            found = [
                speed(x[:n], y[:n], net=net, batch_size=batch, chunks=8, comm=comm if comm.size > 1 else None)
                for _ in range(RUNS)
            ]
            if comm.rank == 0:
                threads = f"{comm.size} processes of {pynet.kernels.threads()} threads"
                print(f"{threads}, {net[:14]}..., batch {batch}: {median(found):,.0f} samples/s", flush=True)


def model() -> None:
    """Speed-ups by the model of docs/scaling.md, of W64 at these figures of one node."""
    rates, fixed, numbers = {64: 680e3, 1024: 530e3, 8192: 650e3, 65536: 650e3}, 135e-6, 109_386
    latency, bandwidth, add = 10e-6, 25e9 / 8, 30e-6
    print("| batch | 8 nodes | 16 | 32 | 64 |\n|---|---|---|---|---|")
    for batch, rate in rates.items():
        quotients = []
        for nodes in (8, 16, 32, 64):
            part = (nodes - 1) / nodes
            exchanged = 3 * nodes.bit_length() * latency - 3 * latency + part * (8 * numbers / bandwidth + add)
            quotients.append(f"{batch / rate / (batch / rate / nodes + fixed + exchanged):.1f}")
        print(f"| {batch:,} | {' | '.join(quotients)} |")


# ---- many trainings ----


def grid() -> None:
    import joblib
    from sklearn.model_selection import GridSearchCV

    from pynet.sklearn import PynetClassifier

    warnings.simplefilter("ignore")  # the number of epochs is fixed: not all of these trainings converge
    os.environ["PYTHONWARNINGS"] = "ignore"  # in the processes of loky
    digits = pynet.data.load("digits")
    x, y = digits.x_train.reshape(-1, 64) / np.float32(255), digits.y_train

    def seconds(backend: str, jobs: int) -> float:
        model = PynetClassifier(hidden_layer_sizes=(128, 64), max_iter=40, n_iter_no_change=99, random_state=0)
        search = GridSearchCV(model, {"alpha": [0, 1e-4, 1e-3, 1e-2], "batch_size": [32, 64]}, cv=3, n_jobs=jobs)
        with joblib.parallel_backend(backend):
            search.fit(x, y)  # starts the workers
            begin = time.perf_counter()
            search.fit(x, y)
        return time.perf_counter() - begin

    for backend, jobs in (("sequential", 1), ("threading", 2), ("loky", 2)):
        print(f"{backend}, {jobs} jobs: {min(seconds(backend, jobs) for _ in range(2)):.1f} s", flush=True)


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    parts = {f.__name__: f for f in (windows, chunks, exchange, processes, model, grid)}
    inner = {f.__name__: f for f in (within, shuffled)}
    if name in inner:
        inner[name](Path(arguments[0]))
    else:
        parts[name](*arguments)
