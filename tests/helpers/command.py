"""Runs `pynet train` and other commands in tests, inside this process or as a separate process."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import pynet
from pynet import kernels
from pynet.commands import train

DIGITS = ("--dataset", "digits")
FEW = (*DIGITS, "--epochs", "2", "--threads", "1")
GUARD = 60  # seconds: a process that takes longer hangs


class Command(Protocol):
    def main(self, argv: list[str]) -> int: ...


class Done(NamedTuple):
    status: int
    out: str
    err: str


def run(*args: str | Path, command: Command = train) -> Done:
    """Runs a command inside this process, then resets the number of threads."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = command.main([str(arg) for arg in args])
    kernels.set_threads(None)
    return Done(status, out.getvalue(), err.getvalue())


def results(*args: str | Path, command: Command = train) -> dict[str, Any]:
    """Runs a command with --json and returns the object that it prints."""
    done = run(*args, "--json", command=command)
    assert (done.status, done.err) == (0, "")
    found = json.loads(done.out)
    assert isinstance(found, dict)
    return found


def one_line(done: Done, status: int, message: str) -> None:
    """Asserts that a command printed one line on stderr, which contains message, and nothing else."""
    assert (done.status, done.out, done.err.count("\n")) == (status, "", 1)
    assert message in done.err


def start(*args: str, **options: Any) -> subprocess.Popen[str]:
    """Starts `pynet train` as a separate process, in which signals work even where this one ignores them (nohup)."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        command = [sys.executable, "-m", "pynet.train", *args]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, text=True, **(pipes | options))
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def stream(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def wait_for(process: subprocess.Popen[str], beginning: str) -> None:
    """Waits until the process prints a line with this beginning."""
    guard = threading.Timer(GUARD, process.kill)
    guard.start()
    found = any(line.startswith(beginning) for line in stream(process.stdout))
    guard.cancel()
    guard.join()  # a fork must not happen beside another thread
    assert found, end(process)


def end(process: subprocess.Popen[str]) -> tuple[str, str]:
    """The rest of stdout and stderr, read until the process ends by itself."""
    with process:
        try:
            return process.communicate(timeout=GUARD)
        finally:
            process.kill()  # no effect if it has ended


def sha256(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def save_model(path: str | Path, text: str = "input(64) dense(10) softmax") -> str:
    """Saves a new model and returns the hash of its file."""
    pynet.Network(text, seed=99).save(path)
    return sha256(path)
