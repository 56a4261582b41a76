"""Behaviour that all commands share: closed and full streams, signals, a missing working folder, a missing home."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.command import DIGITS, FEW, GUARD, end, one_line, run, save_model, start, wait_for
from helpers.data_files import write_pictures
from PIL import Image, ImageDraw

import pynet
from pynet import __main__ as pynet_command
from pynet.commands import cli, evaluate, predict, visualize
from pynet.data import DataError, download

FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


def shell(line: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a line in the shell, with `pynet` as a command."""
    line = line.replace("pynet ", f"{shlex.quote(sys.executable)} -m pynet ")
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=GUARD, **options)


@pytest.fixture
def picture(folder: Path) -> Path:
    image = Image.new("L", (40, 40), 255)
    ImageDraw.Draw(image).line([(10, 8), (28, 30)], 0, 5)
    image.save("a.png")
    save_model("m.safetensors", "input(784) dense(10) softmax")
    return folder / "a.png"


# ---- streams ----


def test_without_stderr_stdout_stays_clean(picture: Path) -> None:
    done = shell("pynet predict --json --model m.safetensors nowhere.png a.png 2>&-")
    assert (done.returncode, done.stderr) == (1, "")
    assert [one["file"] for one in json.loads(done.stdout)] == ["nowhere.png", "a.png"]


def test_without_stderr_an_error_still_sets_the_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = shell("pynet info --nonsense 2>&-")
    assert (done.returncode, done.stdout) == (2, "")
    monkeypatch.setattr(sys, "stderr", None)
    assert pynet_command.main(["nonsense"]) == 2
    assert pynet_command.main(["info", "nowhere"]) == 1
    assert capsys.readouterr().out == ""


def test_without_stderr_the_built_in_digits_replace_a_failed_download(folder: Path) -> None:
    places = {
        "XDG_CACHE_HOME": str(folder / "cache"),
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
    env = {name: value for name, value in os.environ.items() if name != "PYNET_DATA"} | places
    done = shell("pynet train --epochs 1 --save none --quiet 2>&-", env=env)
    assert done.returncode == 0
    assert done.stdout.startswith("test accuracy ")


def test_without_stdin(picture: Path) -> None:
    done = shell("pynet predict - --model m.safetensors <&-")
    assert (done.returncode, done.stderr) == (1, "pynet predict: error: -: standard input is closed\n")


def test_without_any_stream(picture: Path) -> None:
    """Files that are opened do not get the descriptors 0, 1 or 2."""
    done = shell(f"pynet train {' '.join(FEW)} --save n.safetensors --history h.csv <&- >&- 2>&-")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert pynet.load("n.safetensors").spec.startswith("input(64)")
    assert Path("h.csv").read_text().startswith("epoch,")


@FULL
def test_output_that_cannot_be_printed_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    helps = [f"{name} --help" for name in pynet_command.COMMANDS]
    for command in ("", "--help", "--version", *helps):
        name = f"pynet {command.split()[0]}" if command in helps else "pynet"
        expected = (1, f"{name}: error: No space left on device\n")
        if command in ("", helps[0]):  # as a process, which flushes once more at its end
            done = shell(f"pynet {command} >/dev/full")
            assert (done.returncode, done.stderr) == expected
        status = None
        with contextlib.suppress(OSError), open("/dev/full", "w", 1 << 20) as full, contextlib.redirect_stdout(full):
            status = pynet_command.main(command.split())
        assert (status, capsys.readouterr().err) == expected, command


def test_a_reader_that_has_read_enough_gets_no_message(capsys: pytest.CaptureFixture[str]) -> None:
    def closed() -> None:
        raise BrokenPipeError(32, "Broken pipe")

    assert (cli.run("evaluate", closed), *capsys.readouterr()) == (141, "", "")


@pytest.mark.parametrize(
    ("word", "meant"), [("explain", "train --explain"), ("plot", "visualize"), ("evalute", "evaluate")]
)
def test_a_word_for_a_command_is_answered_with_that_command(
    word: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pynet_command.main([word]) == 2
    assert capsys.readouterr().err == f"pynet: error: no command {word!r}; did you mean {meant!r}?\n"


@FULL
def test_an_error_that_cannot_be_printed(folder: Path) -> None:
    done = shell("pynet info nowhere 2>/dev/full")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


# ---- signals ----


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_signals_save_the_trained_weights(folder: Path, name: str, status: int) -> None:
    process = start(*DIGITS, "--epochs", "100000000", "--threads", "1", "--save", "m.safetensors")
    wait_for(process, f"epoch {2:>9}/")
    process.send_signal(getattr(signal, name))
    _, err = end(process)
    assert process.returncode == status
    assert err == "pynet train: stopped (the model so far was saved to m.safetensors)\n"
    assert int(pynet.load("m.safetensors").meta["epochs"]) >= 2


def test_an_ignored_signal_stays_ignored(folder: Path) -> None:
    """nohup ignores SIGHUP in this way."""
    options: dict[str, Any] = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    process = start(*DIGITS, "--epochs", "100000000", "--threads", "1", "--save", "m.safetensors", **options)
    wait_for(process, f"epoch {2:>9}/")
    process.send_signal(signal.SIGHUP)
    wait_for(process, f"epoch {4:>9}/")
    process.send_signal(signal.SIGTERM)
    end(process)
    assert process.returncode == 143


@pytest.mark.parametrize("argv", [["--version"], ["nonsense"], ["info", "nowhere"], ["info", "--help"]])
def test_a_command_restores_the_state_of_the_process(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    def state() -> tuple[Any, ...]:
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
        return handlers, list(warnings.filters), sys.stdin, sys.stdout, sys.stderr

    before, errors = state(), getattr(sys.stdout, "errors", None)
    with contextlib.suppress(SystemExit):
        pynet_command.main(argv)
    assert state() == before
    assert getattr(sys.stdout, "errors", None) == errors


def test_missing_streams_are_missing_again_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert cli.run("info", lambda: print("lost") or print("lost", file=sys.stderr)) == 0
    assert (sys.stdin, sys.stdout, sys.stderr) == (None, None, None)


# ---- folders ----


def test_the_working_folder_is_gone(folder: Path) -> None:
    (folder / "gone").mkdir()
    options = f"--dataset digits --epochs 1 --save {folder}/m.safetensors"
    commands = f"cd gone && rmdir ../gone && pynet train {options} && pynet info {folder}/m.safetensors"
    done = shell(f"unset COVERAGE_PROCESS_CONFIG; {commands}")  # `make coverage` cannot begin without a working folder
    assert (done.returncode, done.stderr) == (0, "")
    assert "next: " in done.stdout


@pytest.mark.parametrize("command", ["predict a.png", "evaluate", "info", "train --save m.safetensors", "visualize"])
def test_commands_that_need_the_working_folder_report_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    gone = folder / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    monkeypatch.setenv("PYNET_DATA", str(folder))
    gone.rmdir()
    assert pynet_command.main(command.split()) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"pynet {command.split()[0]}: error: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("place", ["~nosuchuser/x.csv", "~nosuchuser"])
def test_the_home_of_an_unknown_user(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    one_line(run("--data", place), 1, f"'{place}': no such file or folder")
    monkeypatch.setenv("PYNET_DATA", place)
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    one_line(run("--dataset", "mnist"), 1, f"no data in $PYNET_DATA: {place}/mnist")


def test_a_file_whose_name_begins_with_a_tilde(folder: Path) -> None:
    Path("~nosuchuser.csv").write_text("0,1\n0,2\n1,3\n1,4\n")
    assert len(pynet.data.load("~nosuchuser.csv").x_train) == 2


# ---- no home ----


def no_home() -> Path:
    raise RuntimeError("could not determine the home directory")


@pytest.mark.parametrize("found", [no_home, lambda: Path("~/.cache/pynet")])
def test_without_a_home_nothing_is_cached(
    folder: Path, monkeypatch: pytest.MonkeyPatch, found: Callable[[], Path]
) -> None:
    """Without a home, versions of platformdirs differ: some raise an error, some return a path with ~."""
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _: found())
    monkeypatch.delenv("PYNET_DATA", raising=False)
    assert download.cache_folder() is None
    write_pictures(folder / "data", 5)
    assert len(pynet.data.load("data").x_train) == 8
    with pytest.raises(DataError, match="no cache folder: this user has no home folder, and XDG_CACHE_HOME is not set"):
        pynet.data.load("mnist")
    assert pynet.data.default().name == "digits"
    assert [entry.name for entry in folder.iterdir()] == ["data"]


@pytest.mark.mnist
def test_without_a_home_mnist_is_read(mnist_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _: no_home())
    assert len(pynet.data.load("mnist").x_train) == 60_000


@pytest.mark.skipif(not hasattr(os, "setuid") or os.getuid() != 0, reason="needs root, to become another user")
def test_a_user_without_a_passwd_entry(folder: Path) -> None:
    folder.chmod(0o777)
    script = """
import os, platformdirs.unix
from pynet.data import download
os.setgid(54321)
os.setuid(54321)
print(download.cache_folder())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=GUARD
    )
    assert (done.stdout, done.stderr) == ("None\n", "")


# ---- options ----


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("--optimzer", "--optimizer"),
        ("--learning-rate", "--lr"),
        ("--learning_rate=0.1", "--lr"),
        ("--batch_size", "--batch-size"),
        ("-epochs", "--epochs"),
        ("--Hiden", "--hidden"),
        ("--validation_split", "--val-split"),
    ],
)
def test_a_misspelt_option_is_answered_with_the_nearest_one(wrong: str, meant: str) -> None:
    message = f"error: there is no option '{wrong.partition('=')[0]}', did you mean {meant}? pynet train --help lists"
    one_line(run(wrong, "3"), 2, message)


def test_nothing_is_suggested_for_other_words(folder: Path) -> None:
    one_line(run("weights", "--layr", "2", command=visualize), 2, "no option '--layr', did you mean --layer? pynet")
    one_line(run("a.png", "--top_k", "2", command=predict), 2, "no option '--top_k', did you mean --top? pynet predict")
    one_line(run("--xyz", "2"), 2, "there is no option '--xyz'; pynet train --help lists the options")
    one_line(run("here"), 2, "there is no argument 'here'; pynet train --help lists the options")
    Path("a.csv").touch()
    one_line(run("a.csv"), 2, "there is no argument 'a.csv', did you mean --data a.csv? pynet train")
    Path("m.safetensors").touch()
    one_line(run("m.safetensors"), 2, "did you mean --load m.safetensors? pynet train")
    one_line(run("m.safetensors", command=evaluate), 2, "did you mean --model m.safetensors? pynet evaluate")
