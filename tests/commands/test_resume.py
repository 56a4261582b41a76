"""Trainings that are killed and resumed: the command with --checkpoint and --resume."""

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

import pytest
from helpers.command import DIGITS, end, results, run, save_model, sha256, start, wait_for
from helpers.interruptions import Stop

import pynet
from pynet import Adam, Checkpoint, EarlyStopping, History, Network, data
from pynet.schedules import OneCycle
from pynet.training.callbacks import Run

KEEP = ("--checkpoint", "c.safetensors")
HARD = ("--net", "input(64) dense(32) batchnorm relu dropout(0.2) dense(10) softmax", "--optimizer", "adam")
HARD += (
    "--schedule",
    "plateau(patience=0,factor=0.7)",
    "--patience",
    "300",
    "--monitor",
    "accuracy",
    "--epochs",
    "300",
)


def figures(found: dict[str, Any]) -> Any:
    """The results that must be the same, which is all except the seconds."""
    rows = [{name: value for name, value in row.items() if name != "seconds"} for row in found["epochs"]]
    return rows, found["weights_sha256"], found["test_accuracy"]


def train(path: Path, seed: int, resume: bool, callbacks: tuple[Any, ...] = ()) -> tuple[str, History]:
    """A training with dropout, batchnorm and Adam state, and a checkpoint as often as possible."""
    digits = data.load("digits")
    net = Network("input(64) dense(24) batchnorm relu dropout(0.2) dense(10) softmax", seed=seed)
    history = net.fit(
        digits.x_train,
        digits.y_train,
        epochs=3,
        optimizer=Adam(0.005),
        schedule=OneCycle(),
        validation_split=0.2,
        early_stopping=EarlyStopping(3, monitor="val_accuracy"),
        checkpoint=Checkpoint(path, "0.000001s", resume),
        callbacks=callbacks,
    )
    return net.weights_sha256(), history


class Tells:
    """Notifies another process of each call of the core; a checkpoint follows."""

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe

    def on_batch_end(self, run: Run) -> None:
        os.write(self.pipe, b"!")


def killed(path: Path, seed: int, resume: bool, calls: int, pause: float) -> bool:
    """Trains in another process, which is killed after this many calls and a pause. False: it ended before that."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(60)
            train(path, seed, resume, (Tells(theirs),))
            os._exit(0)
        finally:
            os._exit(1)
    os.close(theirs)
    with open(ours, "rb", buffering=0) as pipe:
        for _ in range(calls):
            pipe.read(1)
        time.sleep(pause)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "it failed"
    return os.WIFSIGNALED(status)


KILLS = int(os.environ.get("PYNET_KILLS", "50"))


def test_killed_at_any_moment_it_ends_the_same(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Killed at random moments, most of them while a checkpoint is written; PYNET_KILLS sets how many times.

    At the second call or later: the first was written down, so that even a slow machine comes to the end.
    """
    monkeypatch.setattr("pynet.training.batches.CALL_SECONDS", 0.0005)
    path, draw = folder / "c.safetensors", random.Random(1)
    kills = seed = 0
    while kills < KILLS:
        seed += 1
        path.unlink(missing_ok=True)
        times = 0
        while killed(path, seed, path.exists(), draw.randrange(2, 6), draw.uniform(0, 0.02)):
            times += 1
            if path.exists():
                pynet.load(path)  # complete at every moment
        expected = train(folder / f"{seed}.safetensors", seed, resume=False)
        weights, history = train(path, seed, resume=True)  # it had ended
        assert (weights, history.note()) == (expected[0], expected[1].note()), f"after {times} kills"
        kills += times
    print(f"{kills} kills of {seed} trainings")


# `pynet train` that kills itself after this many checkpoints; it writes one after each call of the core.
DIES = """
import os, signal, sys
from pynet.commands import train
from pynet.training import checkpoint
left, write = int(sys.argv[1]), checkpoint.write
def last(*args):
    global left
    write(*args)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
checkpoint.write = last
sys.exit(train.main(sys.argv[2:]))
"""


@pytest.mark.parametrize("what", [HARD, ("--preset", "cnn", "--epochs", "12")], ids=["hard", "cnn"])
def test_the_command_killed_and_resumed(what: tuple[str, ...]) -> None:
    """kill -9, then the same command with --resume."""
    expected = results(*DIGITS, *what, "--save", "whole.safetensors")
    options = (*DIGITS, *what, *KEEP, "--json")
    for life in range(4):
        command = [sys.executable, "-c", DIES, str(2 + life % 2), *options, "--checkpoint-every", "0.000001s"]
        command += ["--resume"] if life else []
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (-signal.SIGKILL, "")
    found = results(*options[:-1], "--resume", "--save", "m.safetensors")
    assert figures(found) == figures(expected)
    assert pynet.load("m.safetensors").weights_sha256() == expected["weights_sha256"]


def test_ctrl_c_and_resume() -> None:
    expected = results(*DIGITS, "--epochs", "300", "--hidden", "8", "--save", "whole.safetensors")
    # its output does not fit into the pipe, so it cannot end before the signal comes
    process = start(*DIGITS, "--epochs", "300", "--hidden", "8", *KEEP, "--save", "m.safetensors", pipesize=4096)
    wait_for(process, "epoch   2")
    process.send_signal(signal.SIGINT)
    out, err = end(process)
    assert process.returncode == 130, (out, err)
    assert pynet.load("c.safetensors").weights_sha256() == pynet.load("m.safetensors").weights_sha256()
    options = ("--epochs", "300", "--hidden", "8", *KEEP, "--resume", "--save", "m.safetensors", "--history", "h.json")
    found = results(*DIGITS, *options)
    assert figures(found) == figures(expected)
    assert len(json.loads(Path("h.json").read_text())) == 300


def test_a_checkpoint_is_a_model_for_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    from pynet.commands import evaluate, info

    results(*DIGITS, "--epochs", "3", *KEEP)
    done = run("--model", "c.safetensors", "--json", command=evaluate)
    assert (done.status, done.err) == (0, "")
    assert json.loads(done.out)["accuracy"] > 0.5
    assert run("c.safetensors", command=info).status == 0
    assert pynet.load("c.safetensors").meta["dataset"] == "digits"


def test_resumed_output() -> None:
    assert run(*DIGITS, "--epochs", "2", *KEEP).status == 0
    done = run(*DIGITS, "--epochs", "4", *KEEP, "--resume")
    assert (done.status, done.err) == (0, "")
    assert "resumed from c.safetensors; epochs completed: 2\nepoch 3/4" in done.out
    assert pynet.load("digits.safetensors").meta["epochs"] == "4"
    assert len(History.from_note(pynet.load("digits.safetensors").meta["history"]).loss) == 4


def test_patience() -> None:
    options = (*DIGITS, "--hidden", "32", "--lr", "0.5", "--epochs", "200", "--patience", "3")
    found = results(*options)
    losses = [row["val_loss"] for row in found["epochs"]]
    assert 4 < len(losses) < 200
    assert losses.index(min(losses)) == len(losses) - 4
    digits, net = data.load("digits"), pynet.load("digits.safetensors")
    _, _, x, y = data.split(digits.x_train, digits.y_train, 0.1)
    assert net.evaluate(x, y).loss == min(losses)
    longer = results(*options, "--monitor", "accuracy", "--min-delta", "0.5")
    assert len(longer["epochs"]) in (4, 5, 6), "half of all can be gained at the beginning alone"


def test_shuffled_labels_are_memorised_but_not_generalised() -> None:
    found = results(*DIGITS, "--shuffle-labels", "--limit", "300", "--epochs", "300", "--optimizer", "adam")
    assert found["model"] == "digits-shuffled.safetensors"
    assert found["epochs"][-1]["accuracy"] > 0.95
    assert 0.02 < found["test_accuracy"] < 0.3
    y = data.load("digits").y_train
    shuffled = data.shuffled_labels(y, 3)
    assert sorted(shuffled) == sorted(y)
    assert (shuffled != data.shuffled_labels(y, 4)).any()
    assert 0.05 < (shuffled == y).mean() < 0.15


# ---- errors, after which nothing is lost ----


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        ("--resume", 2, "--resume needs --checkpoint"),
        ("--checkpoint-every 3", 2, "--checkpoint-every needs --checkpoint"),
        ("--min-delta 0.1", 2, "--min-delta needs --patience"),
        ("--monitor loss", 2, "--monitor needs --patience"),
        ("--patience 0", 2, "argument --patience: '0' is not accepted"),
        ("--checkpoint-every 0 --checkpoint x", 2, "accepted: epochs, 1 or more, or seconds, as in 30s"),
        ("--checkpoint digits.safetensors", 2, "--save names digits.safetensors, too"),
        ("--checkpoint m --load m", 2, "--load names m, too"),
        ("--checkpoint none --resume", 1, "cannot read none: No such file or directory"),
        ("--checkpoint away/c", 1, "cannot write away/c: folder"),
        ("--checkpoint m", 1, "cannot read m: it is a model, but no checkpoint"),
        ("--checkpoint m --resume", 1, "cannot read m: it is a model, but no checkpoint"),
        ("--checkpoint text", 1, "cannot read text: "),
        ("--checkpoint half", 1, "half holds an unfinished training, in epoch 2; resume it, or remove the file"),
        ("--checkpoint half --resume --lr 0.2", 1, "another optimizer: "),
        ("--checkpoint half --resume --seed 1", 1, "another network seed: 0, now 1"),
        ("--checkpoint half --resume --limit 99", 1, "another data"),
        ("--checkpoint half --resume --classes 1,2", 1, "another network"),
        ("--checkpoint half --resume --shuffle-labels", 1, "another data"),
        ("--checkpoint half --resume --hidden 9", 1, "another network"),
        ("--checkpoint half --resume --patience 3", 1, "with another "),
        ("--checkpoint half --resume --batch-size 9", 1, "another batches: 23, now 161"),
        ("--checkpoint cut --resume", 1, "cannot read cut: "),
        ("--checkpoint flipped --resume", 1, "flipped is a damaged checkpoint"),
    ],
)
def test_refused(folder: Path, options: str, status: int, message: str) -> None:
    digits = data.load("digits")
    net = Network("input(64) dense(128) relu dense(64) relu dense(10) softmax")
    options_of_half = {"validation": (digits.x_test, digits.y_test), "optimizer": pynet.SGD()}
    stop = Stop("on_epoch_end", 1)
    net.fit(digits.x_train, digits.y_train, checkpoint=Checkpoint("half"), callbacks=stop, **options_of_half)
    content = bytearray((folder / "half").read_bytes())
    (folder / "cut").write_bytes(content[:-100])
    content[-100] ^= 1
    (folder / "flipped").write_bytes(content)
    (folder / "text").write_text("mine")
    save_model("m")
    before = {path.name: sha256(path) for path in folder.iterdir()}
    done = run(*DIGITS, *options.split())
    assert (done.status, message in done.err) == (status, True), done.err
    assert done.err.startswith("pynet train: error: ")
    assert done.err.count("\n") == 1
    assert before == {path.name: sha256(path) for path in folder.iterdir()}


def test_full_disk() -> None:
    """A checkpoint is too large for the disk: the first write fails, and the command ends before it trains."""
    command = 'ulimit -f 16; exec "$0" -m pynet.train "$@"'
    args = ["sh", "-c", command, sys.executable, *DIGITS, "--epochs", "2", *KEEP, "--save", "none", "--quiet"]
    # `make coverage` would also write a file, and report that it could not
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    env |= {"PYTHONDONTWRITEBYTECODE": "1", "GCOV_ERROR_FILE": os.devnull}
    done = subprocess.run(args, capture_output=True, text=True, env=env, timeout=60)
    assert done.returncode == 1
    problem = "cannot write c.safetensors: File too large (nothing was saved)"
    assert done.stderr == f"pynet train: error: {problem}\n"
    assert os.listdir() == []


def test_disk_full_later(monkeypatch: pytest.MonkeyPatch) -> None:
    from pynet.training import checkpoint

    write, times = checkpoint.write, 0

    def fill(*args: Any) -> None:
        nonlocal times
        times += 1
        if times > 2:
            raise OSError(28, "cannot write c.safetensors: No space left on device")
        write(*args)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write", fill)
        done = run(*DIGITS, "--epochs", "3", *KEEP, "--quiet")
    assert done.status == 0
    assert done.out.startswith("test accuracy")
    lines = done.err.splitlines()
    assert len(lines) == 3
    assert lines[0].endswith("No space left on device; the training continues, the last checkpoint is unchanged")
    expected = results(*DIGITS, "--epochs", "3", "--save", "whole.safetensors")
    assert figures(results(*DIGITS, "--epochs", "3", *KEEP, "--resume", "--save", "m.safetensors")) == figures(expected)
