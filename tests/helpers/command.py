"""Runs `pynet train` and other commands for their tests, inside this process or as one of its own."""

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
    """The command inside this process; the number of threads is put back."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = command.main([str(arg) for arg in args])
    kernels.set_threads(None)
    return Done(status, out.getvalue(), err.getvalue())


def results(*args: str | Path, command: Command = train) -> dict[str, Any]:
    """The object that --json prints."""
    done = run(*args, "--json", command=command)
    assert (done.status, done.err) == (0, "")
    found = json.loads(done.out)
    assert isinstance(found, dict)
    return found


def one_line(done: Done, status: int, message: str) -> None:
    """The command printed nothing but one line of error, with this in it."""
    assert (done.status, done.out, done.err.count("\n")) == (status, "", 1)
    assert message in done.err


def start(*args: str, **options: Any) -> subprocess.Popen[str]:
    """The command as a process of its own, in which Ctrl-C works even if it does not in this one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        command = [sys.executable, "-m", "pynet.train", *args]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, text=True, **(pipes | options))
    finally:
        signal.signal(signal.SIGINT, before)


def stream(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def wait_for(process: subprocess.Popen[str], beginning: str) -> None:
    """Until it prints a line that begins so."""
    guard = threading.Timer(GUARD, process.kill)
    guard.start()
    found = any(line.startswith(beginning) for line in stream(process.stdout))
    guard.cancel()
    guard.join()  # a fork wants no other thread
    assert found, end(process)


def end(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it still prints, on stdout and stderr, until it ends by itself."""
    try:
        return process.communicate(timeout=GUARD)
    finally:
        process.kill()  # does nothing to one that has ended


def sha256(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def save_model(path: str | Path, text: str = "input(64) dense(10) softmax") -> str:
    """Puts a model there; returns the file's hash."""
    pynet.Network(text, seed=99).save(path)
    return sha256(path)
