"""Trainings that are killed at random moments, and resumed with another kernel table and number of threads.

Each is the command `pynet train --checkpoint FILE --resume`, killed by SIGKILL several times before it may finish. The
checkpoint must be whole at every moment, and weights and figures must end up those of the same command without a kill.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from part import ROOT, Part

import pynet
from pynet import kernels
from pynet.training import checkpoint as checkpoints

TABLES = [name for name in kernels.cpu_tables() if name != "portable"] or ["portable"]  # those with fused multiply-add
THREADS = (1, 2, 3)
GUARD = 60  # seconds after which a process counts as hanging
NETS = (
    "input(64) dense(96) batchnorm relu dropout(0.3) dense(48) gelu dense(10) softmax",
    "input(1,8,8) conv(8,3,pad=same) batchnorm relu maxpool(2) residual(conv(8,3,pad=same) relu) dense(10) softmax",
    "input(64) dense(64) tanh residual(layernorm dense(64) leaky_relu dropout(0.1)) dense(10) sigmoid loss(mse)",
    "input(64) dense(64) relu dense(10) softmax loss(cross_entropy,smoothing=0.1)",
)


def random_options(draw: random.Random) -> list[str]:
    """A training of about a second."""
    net = draw.choice(NETS)
    optimizer = draw.choice(["sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"])
    options = ["--dataset", "digits", "--net", net, "--optimizer", optimizer, "--seed", str(draw.randrange(1 << 64))]
    options += ["--epochs", str(draw.randint(4, 12)), "--batch-size", str(draw.choice([16, 37, 64, 200]))]
    options += draw.choice([[], ["--clip-norm", "1"], ["--schedule", "cosine"], ["--schedule", "plateau(patience=0)"]])
    options += draw.choice([[], ["--patience", "100"], ["--val-split", "0.2", "--patience", "3"]])
    if "input(1" in net:
        options += draw.choice([[], ["--augment"]])
    return options


def start(options: list[str], table: str, threads: int, folder: Path) -> subprocess.Popen[str]:
    env = {**os.environ, "PYNET_CPU": table, "PYNET_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "pynet.train", *options, "--json"]
    return subprocess.Popen(command, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def figures(out: str) -> Any:
    """The results that must be the same, which is all except the seconds."""
    found = json.loads(out)
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in found["epochs"]]
    return found["weights_sha256"], rows, found["test_accuracy"]


def wait_until_written(path: Path, process: subprocess.Popen[str]) -> None:
    """Waits until the file is replaced, or the process ends."""
    before, end = path.stat().st_ino if path.exists() else None, time.monotonic() + GUARD
    while process.poll() is None and time.monotonic() < end:
        if path.exists() and path.stat().st_ino != before:
            return
        time.sleep(0.001)


class Training:
    """A random training, killed and resumed, and its expected figures."""

    def __init__(self, part: Part, case: str) -> None:
        self.part, self.case, self.draw = part, case, part.random(case)
        self.options = random_options(self.draw)
        self.folder = part.folder / case
        self.folder.mkdir()
        self.settings: set[tuple[str, int]] = set()
        self.kills = 0
        self.fault: str | None = None

    def whole(self) -> Any:
        """The figures of the command without a kill."""
        out, err = start([*self.options, "--save", "whole"], TABLES[0], 1, self.folder).communicate(timeout=GUARD)
        if err:
            raise RuntimeError(f"{self.options}: {err}")
        return figures(out)

    def kill_and_resume(self, most: int) -> Any:
        """The figures of the command, killed up to `most` times; None, and a finding, after another end."""
        path = self.folder / "c"
        options = [*self.options, "--save", "m", "--checkpoint", "c", "--checkpoint-every", "0.01s"]
        while True:
            setting = self.draw.choice(TABLES), self.draw.choice(THREADS)
            process = start([*options, *(["--resume"] if path.exists() else [])], *setting, self.folder)
            if self.kills < most:
                self.kill(process, path)
            try:
                out, err = process.communicate(timeout=GUARD)
            except subprocess.TimeoutExpired:
                process.kill()
                self.fault = f"no end after {GUARD} s"
                return None
            if process.returncode == 0:
                self.settings.add(setting)
                return figures(out)
            if process.returncode != -signal.SIGKILL or "Traceback" in err:
                self.fault = f"status {process.returncode}: {err[-300:]!r}"
                return None
            self.kills += 1
            self.settings.add(setting)
            if path.exists():
                try:
                    checkpoints.read(path)
                except ValueError as error:
                    self.fault = f"after {self.kills} kills: {error}"
                    return None

    def kill(self, process: subprocess.Popen[str], path: Path) -> None:
        """Kills the process at a random moment, often while it writes a checkpoint."""
        if self.draw.random() < 0.8:
            wait_until_written(path, process)
            time.sleep(self.draw.uniform(0, 0.03))
        else:
            time.sleep(self.draw.uniform(0, 1))
        process.send_signal(signal.SIGKILL)


def main() -> int:
    part = Part("kills", __doc__ or "")
    case = kills = 0
    changes = 0
    while not part.is_over() or part.only:
        name = part.only or str(case)
        training = Training(part, name)
        expected = training.whole()
        left = part.end - time.monotonic()
        found = training.kill_and_resume(8 if left > 15 else 2)
        if training.fault is None and found != expected:
            training.fault = f"another end after {training.kills} kills: {found[0][:16]}, not {expected[0][:16]}"
        if training.fault:
            part.finding(name, f"{training.fault}; {' '.join(training.options)}", training.folder / "c")
        case, kills, changes = case + 1, kills + training.kills, changes + len(training.settings) - 1
        if part.only:
            break
    tables = " ".join(TABLES)
    return part.finish(f"{kills} kills of {case} trainings, {changes} changes of table ({tables}) or threads {THREADS}")


if __name__ == "__main__":
    assert pynet.__file__.startswith(str(ROOT)), pynet.__file__
    sys.exit(main())
