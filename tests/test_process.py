"""pynet does not change the state of its process: warnings, streams, arithmetic, signals, figures of other code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.data_files import write_pictures
from helpers.memory import GUARD

STATE = """
import atexit, decimal, faulthandler, gc, locale, logging, os, random, resource, signal, sys, threading, time, warnings
import numpy as np
import PIL.Image, PIL.ImageFile
import matplotlib

signals = [number for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP)]
tiny = 1e-310

def umask():
    before = os.umask(0)
    os.umask(before)
    return before

def open_files():
    numbers = [n for n in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{n}")]
    names = [os.readlink(f"/proc/self/fd/{n}") for n in numbers]
    return sorted(name for name in names if not name.endswith(".ttf"))  # matplotlib keeps its fonts

def state():
    return {
        "filters of warnings": list(warnings.filters),
        "how warnings are shown": (warnings.showwarning, warnings.formatwarning),
        "signals": [signal.getsignal(number) for number in signals],
        "signals that are blocked": signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        "wakeup": (signal.getitimer(signal.ITIMER_REAL), signal.set_wakeup_fd(-1)),
        "umask": umask(),
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "locale": locale.setlocale(locale.LC_ALL, None),
        "hooks": (sys.excepthook, threading.excepthook, sys.unraisablehook, sys.displayhook, sys.breakpointhook),
        "streams": (sys.stdin, sys.stdout, sys.stderr, sys.stdout.errors, sys.stderr.errors, sys.stdout.encoding),
        "import path": (list(sys.path), list(sys.meta_path), list(sys.path_hooks)),
        "interpreter": (sys.getrecursionlimit(), sys.getswitchinterval(), gc.get_threshold(), gc.isenabled()),
        "tracing": (sys.gettrace(), sys.getprofile(), faulthandler.is_enabled()),
        "random numbers": (random.getstate(), str(np.random.get_state())),
        "numpy": (np.geterr(), np.geterrcall(), str(np.get_printoptions()), np.getbufsize()),
        "decimal": str(decimal.getcontext()),
        "logging": (logging.root.level, list(logging.root.handlers), logging.getLoggerClass(), logging.raiseExceptions),
        "Pillow": (PIL.Image.MAX_IMAGE_PIXELS, PIL.ImageFile.LOAD_TRUNCATED_IMAGES, PIL.ImageFile.MAXBLOCK),
        "matplotlib": dict(matplotlib.rcParams),
        "denormals": tiny * 1.0,
        "limits": [resource.getrlimit(n) for n in (resource.RLIMIT_AS, resource.RLIMIT_NOFILE, resource.RLIMIT_CORE)],
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "cores": os.sched_getaffinity(0),
        "threads of Python": sorted(thread.name for thread in threading.enumerate()),
        "open files": open_files(),
    }

PIL.Image.init()
matplotlib.rcParams["lines.linewidth"] = 3
before = state()

def unchanged(by):
    for name, value in state().items():
        assert value == before[name], f"{name} changed by {by}: {before[name]} -> {value}"
"""
ACTIONS = """
import pynet
unchanged("importing pynet")
import contextlib, io
from pynet import data, figures, kernels
from pynet import __main__ as command
from pynet.inference import predict_image
unchanged("importing the rest")
digits = data.load("digits")
unchanged("loading the digits")
found = data.load("pictures", pictures=None)
unchanged("loading pictures")
for name in ("a.csv", "nowhere", "bad.csv", "bad.npz"):
    with contextlib.suppress(data.DataError):
        data.load("./" + name)
    unchanged("loading " + name)
net = pynet.Network("input(64) dense(16) relu dropout(0.5) dense(10) softmax")
net.fit(digits.x_train, digits.y_train, epochs=2, batch_size=32, optimizer=pynet.Adam(), validation_split=0.2)
unchanged("fit")
with contextlib.suppress(FloatingPointError):
    net.copy().fit(digits.x_train, digits.y_train, epochs=2, optimizer=pynet.SGD(1e30))
unchanged("a loss that is not finite")
net.evaluate(digits.x_test, digits.y_test)
net.save("m.safetensors")
net = pynet.load("m.safetensors")
unchanged("files")
predict_image("pictures/a/0.png", net)
unchanged("predict_image")
figures.save(figures.weights(net), "w.png")
unchanged("a figure")
for line in (
    "train --dataset digits --epochs 1 --threads 1",
    "train --dataset digits --epochs 1 --threads 1 --plot --checkpoint c.safetensors --save n.safetensors",
    "predict pictures/a --model m.safetensors",
    "evaluate", "info m.safetensors --json", "visualize --model m.safetensors", "info nowhere", "nonsense", "--version",
):
    streams = [open("out.txt", "w")]
    if "--plot" not in line and "visualize" not in line:  # figures take seconds
        streams.append(io.StringIO())
    for stream in streams:
        with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
            command.main(line.split())
        stream.close()
    kernels.set_threads(None)
    unchanged(line)
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts the open files in /proc")
def test_the_process_is_not_changed(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", 6)
    (tmp_path / "a.csv").write_text("0,1\n0,2\n1,3\n1,4\n")
    for name in ("bad.csv", "bad.npz"):
        (tmp_path / name).write_text("\n")
    command = [sys.executable, "-c", STATE + ACTIONS]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=2 * GUARD)
    assert done.returncode == 0, done.stderr


def test_a_change_would_be_detected() -> None:
    changes = ["np.seterr(all='ignore')", "warnings.simplefilter('ignore')", "os.umask(0o77)"]
    script = f"""{STATE}
for change in {changes!r}:
    if os.fork() == 0:
        exec(change)
        unchanged(change)
    os.wait()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=GUARD)
    assert all(f"changed by {change}" in done.stderr for change in changes), done.stderr
