"""Fault injection: the system's calls on files fail one after the other, under all of pynet that reads or writes files.

Each action runs once without a fault and its calls are counted; then again and again, each time with a fault at
another call: an error, or fewer bytes than were asked for. Afterwards the old file or the new one must be there,
whole, no other file and no open descriptor; what was read must be right, or refused with an OSError or a ValueError.
The faults come from tests/c/campaign/io_faults.c.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import gzip
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from part import ROOT, Part, last_line

SHIM = ROOT / "build" / "campaign" / "io_faults.so"
KINDS = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC, "EINTR": errno.EINTR, "short": 0}
FAULTS_IN_A_ROW = 4  # faults of one action before the next action
REST = ("EIO", "ENOSPC")  # errors that may come again and again
ALLOWED = (OSError, ValueError)

if __name__ == "__main__" and str(SHIM) not in os.environ.get("LD_PRELOAD", ""):
    preloaded = f"{SHIM} {os.environ.get('LD_PRELOAD', '')}".strip()
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "LD_PRELOAD": preloaded})

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

import pynet  # noqa: E402
from pynet import data, figures, kernels  # noqa: E402
from pynet.commands import evaluate, info, predict, train  # noqa: E402
from pynet.data.idx import (  # noqa: E402
    IDX_PARTS,
    idx_header,
    store_unpacked,
)
from pynet.training import checkpoint as checkpoints  # noqa: E402


@dataclass(frozen=True)
class Action:
    """An operation that reads or writes files in a folder.

    before: the files that are there, by name. act: does it in that folder; its result must not depend on the fault.
    writes: the files that it makes. quiet: it may pass over what cannot be written, as a cache does. varying: for files
    that are never twice the same, as seconds are in them: is this a whole one?
    """

    name: str
    before: Mapping[str, bytes]
    act: Callable[[Path], Any]
    writes: tuple[str, ...] = ()
    quiet: bool = False
    varying: Mapping[str, Callable[[bytes], bool]] = field(default_factory=dict)

    def accepts(self, name: str, content: bytes | None, expected: bytes | None) -> bool:
        """Whether this is the expected content of that file."""
        if content is not None and expected is not None and name in self.varying:
            return self.varying[name](content)
        return content == expected


# ---- the actions ----------------------------------------------------------------------------------------------------


class CommandError(OSError):
    """A command ended with the status and message of a proper error."""


warnings: list[str] = []  # of commands that continued


def command(run: Callable[[list[str]], int], *arguments: str | Path) -> str:
    """The output of a command. CommandError: status 1 and one line; AssertionError: any other failure."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run([str(argument) for argument in arguments])
    lines = err.getvalue().splitlines()
    if status == 1 and lines and lines[-1].startswith("pynet ") and "error: " in lines[-1]:
        raise CommandError(lines[-1])
    assert status == 0, f"status {status}: {err.getvalue()!r}"
    warnings.extend(lines)
    return out.getvalue()


def content_of(write: Callable[[Path], Any], folder: Path, name: str) -> bytes:
    """The bytes of the file that `write` creates."""
    write(folder / name)
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    return content


def make_actions(folder: Path) -> list[Action]:
    """All actions; the folder is for files that they need."""
    x = np.random.default_rng(0).integers(0, 256, (12, 8, 8), dtype=np.uint8)
    y = np.arange(12, dtype=np.uint8) % 3
    nets = [pynet.Network("input(64) dense(40) relu dense(3) softmax", seed=seed) for seed in (1, 2)]
    for net in nets:
        net.meta["classes"] = '["a","b","c"]'
    histories = [pynet.History([3.0, loss], [0.1, 0.2]) for loss in (2.0, 1.0)]
    pictures = [folder / f"{i}.png" for i in range(2)]
    for i, path in enumerate(pictures):
        glyph = np.zeros((40, 40), np.uint8)
        glyph[8:32, 18 : 22 + 6 * i] = 255
        Image.fromarray(glyph).save(path)
    models = [folder / f"{i}.safetensors" for i in range(2)]
    for net, model in zip(nets, models, strict=True):
        net.save(model)

    def curves(i: int) -> Callable[[Path], Any]:
        """Draws a new figure each time, because matplotlib's layout changes when a figure is drawn again."""
        return lambda path: figures.save(figures.curves(histories[i]), path) and None

    def seen(i: int) -> Callable[[Path], Any]:
        return lambda path: command(predict.main, pictures[i], "--model", models[i], "--save-seen", path) and None

    writers: dict[str, tuple[Callable[[Path], Any], Callable[[Path], Any]]] = {
        "model.safetensors": (nets[0].save, nets[1].save),
        "history.csv": (histories[0].save, histories[1].save),
        "history.json": (histories[0].save, histories[1].save),
        "exported.npz": (lambda p: pynet.export_npz(nets[0], p), lambda p: pynet.export_npz(nets[1], p)),
        "curves.png": (curves(0), curves(1)),
        "curves.svg": (curves(0), curves(1)),
        "seen.png": (seen(0), seen(1)),
    }
    actions = []
    for name, (old, new) in writers.items():
        there = {name: content_of(old, folder, name)}
        write = lambda place, name=name, new=new: new(place / name)  # noqa: E731
        varying = {name: is_whole_svg} if name.endswith(".svg") else {}  # matplotlib names parts of an SVG at random
        actions.append(Action(f"write {name}", {}, write, (name,), varying=varying))
        actions.append(Action(f"replace {name}", there, write, (name,), varying=varying))

    copy = f"{'0' * 64}-{'1' * 64}.idx"
    actions.append(
        Action(
            "keep an unpacked copy",
            {},
            lambda place: store_unpacked(place, "0" * 64, x, "1" * 64),
            (copy,),
            quiet=True,
        )
    )

    def checkpointed(place: Path, resume: bool, epochs: int) -> str:
        net = pynet.Network("input(64) dense(9) relu dropout(0.2) dense(3) softmax", seed=5)
        checkpoint = pynet.Checkpoint(place / "c", resume=resume, on_error=failed)
        net.fit(x, y, epochs=epochs, batch_size=4, optimizer=pynet.Adam(), checkpoint=checkpoint)
        return net.weights_sha256()

    def failed(error: OSError) -> None:
        raise error

    kept = {"c": is_whole_checkpoint, "h.csv": is_whole_history}
    checkpointed(folder, False, 1)
    begun = (folder / "c").read_bytes()
    actions += [
        Action("train with a checkpoint", {}, lambda place: checkpointed(place, False, 3), ("c",), varying=kept),
        Action("resume a training", {"c": begun}, lambda place: checkpointed(place, True, 3), ("c",), varying=kept),
    ]

    def trained(place: Path) -> str:
        options = [
            "--dataset",
            "digits",
            "--limit",
            "60",
            "--hidden",
            "6",
            "--epochs",
            "2",
            "--threads",
            "1",
            "--quiet",
        ]
        files = {"--save": "m", "--checkpoint": "c", "--history": "h.csv"}
        given = [part for option, name in files.items() for part in (option, str(place / name))]
        out = command(train.main, *options, *given)
        kernels.set_threads(None)
        return out

    actions.append(Action("pynet train", {}, trained, ("m", "c", "h.csv"), varying=kept))

    # readers
    idx = {}
    for part, array in zip(IDX_PARTS, (x, y, x[:6], y[:6]), strict=True):
        idx[part] = idx_header(array) + array.tobytes()
    packed = {f"{part}.gz": gzip.compress(content, mtime=0) for part, content in idx.items()}
    arrays = io.BytesIO()
    np.savez_compressed(arrays, x_train=x, y_train=y, x_test=x, y_test=y)
    table = "".join(f"{label},{','.join(map(str, row.ravel()))}\n" for label, row in zip(y, x, strict=True)).encode()
    model = models[0].read_bytes()
    exported = content_of(lambda p: pynet.export_npz(nets[0], p), folder, "e.npz")

    def loaded(name: str) -> Callable[[Path], Any]:
        return lambda place: digest_of(data.load(place / name if name else place))

    readers: dict[str, tuple[dict[str, bytes], Callable[[Path], Any]]] = {
        "a model": ({"m": model}, lambda place: pynet.load(place / "m").weights_sha256()),
        "a history": (
            {"h.json": content_of(histories[0].save, folder, "h.json")},
            lambda place: pynet.History.load(place / "h.json").rows(),
        ),
        "an exported model": ({"e.npz": exported}, lambda place: pynet.import_npz(place / "e.npz").weights_sha256()),
        "IDX files": (idx, loaded("")),
        "IDX files, packed": (packed, loaded("")),
        "an npz data set": ({"d.npz": arrays.getvalue()}, loaded("d.npz")),
        "a csv data set": ({"d.csv": table}, loaded("d.csv")),
        "a picture": (
            {"p.png": pictures[0].read_bytes()},
            lambda place: pynet.predict_image(place / "p.png", nets[0]).probabilities,
        ),
        "a model, by pynet info": ({"m": model}, lambda place: command(info.main, place / "m", "--json")),
        "a model and data, by pynet evaluate": (
            {"m": model, "d.csv": table},
            lambda place: command(evaluate.main, "--model", place / "m", "--data", place / "d.csv"),
        ),
    }
    actions += [Action(f"read {name}", before, act) for name, (before, act) in readers.items()]
    return actions


def digest_of(found: data.Dataset) -> int:
    return hash((found.x_train.tobytes(), found.y_train.tobytes(), found.x_test.tobytes(), found.y_test.tobytes()))


# ---- running them ---------------------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """The result of an action. error: None after success. calls: the names of its system calls, in order."""

    result: Any
    error: type[BaseException] | None
    where: str
    calls: list[str]
    after: dict[str, bytes]
    descriptors: int
    unraisable: list[str]
    warned: bool


class Runner:
    """Runs actions in a new folder, with a fault at one of their system calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shim = ctypes.CDLL(str(SHIM))
        self.shim.io_faults_begin.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_long, ctypes.c_int]
        self.unraisable: list[str] = []
        sys.unraisablehook = lambda what: self.unraisable.append(f"{what.exc_value!r} in {what.object!r}")

    def run(self, action: Action, error: int, at: int, rest: bool) -> Outcome:
        """at: number of the call that fails, from 1; 0: none. rest: all later calls fail, too."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for name, content in action.before.items():
            (self.folder / name).write_bytes(content)
        self.unraisable.clear()
        warnings.clear()
        before = len(os.listdir("/proc/self/fd"))
        log, result, kind, where = ctypes.create_string_buffer(1 << 16), None, None, ""
        self.shim.io_faults_begin(bytes(self.folder), error, at, rest)
        try:
            result = action.act(self.folder)
        except BaseException as exception:
            kind, where = type(exception), last_line()
        self.shim.io_faults_end(log, len(log))
        if len(os.listdir("/proc/self/fd")) != before:
            gc.collect()  # exceptions keep frames alive, and these keep files open
        opened = len(os.listdir("/proc/self/fd")) - before
        after = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        calls = log.value.decode().split()
        return Outcome(result, kind, where, calls, after, opened, list(self.unraisable), bool(warnings))


def fault_of(action: Action, whole: Outcome, found: Outcome, kind: str, call: str) -> str | None:
    """What is wrong with an outcome; None if nothing is."""
    if found.error is not None and not issubclass(found.error, ALLOWED):
        return found.where
    if found.unraisable:
        return f"a traceback on stderr: {found.unraisable[0]}"
    extra = found.after.keys() - whole.after.keys() - action.before.keys()
    if extra:
        return f"left {', '.join(sorted(extra))}"
    for name in whole.after.keys() | action.before.keys():
        content = found.after.get(name)
        if not any(action.accepts(name, content, files.get(name)) for files in (action.before, whole.after)):
            return f"{name} is neither the old nor the new"
    if found.descriptors:
        return f"{found.descriptors} descriptors are left open"
    if found.error is not None:
        return f"a short read or write is no error: {found.where}" if kind == "short" else None
    if found.result != whole.result:
        return "the result is another"
    if action.writes and not action.quiet:
        if not found.warned and kind in REST and call in ("write", "fsync", "rename", "link"):
            return "the fault was not reported"
        for name in action.writes:
            if not action.accepts(name, found.after.get(name), whole.after[name]):
                return f"success, but {name} is not the new one"
    return None


def is_whole_checkpoint(content: bytes) -> bool:
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        try:
            checkpoints.read(file.name)
        except ALLOWED:
            return False
    return True


def is_whole_history(content: bytes) -> bool:
    rows = [line.split(b",") for line in content.splitlines()]
    return content.endswith(b"\n") and len(rows) == 3 and len({len(row) for row in rows}) == 1


def is_whole_svg(content: bytes) -> bool:
    return content.startswith(b"<?xml") and content.rstrip().endswith(b"</svg>")


def order_fault(calls: list[str]) -> str | None:
    """A fault if a file is renamed before its content is synchronised to the disk."""
    for i, call in enumerate(calls):
        if call in ("rename", "link"):
            last = max((j for j in range(i) if calls[j] == "write"), default=-1)
            if "fsync" not in calls[last + 1 : i]:
                return "a file takes its name before it is on the disk: no fsync between write and rename"
    return None


@dataclass
class Undisturbed:
    """An action's outcome without a fault, and the faults to inject: error, number of the call, later calls too."""

    outcome: Outcome
    faults: list[tuple[str, int, bool]]


def undisturbed(part: Part, runner: Runner, action: Action) -> Undisturbed:
    """Runs an action without a fault; an error is a finding."""
    runner.run(action, 0, 0, False)  # imports, caches and compiles, which happens only once
    found = runner.run(action, 0, 0, False)
    if why := fault_of(action, found, found, "", "") or found.where or order_fault(found.calls):
        part.finding(f"{action.name}/EIO/0", f"undisturbed: {why}")
    calls = range(1, len(found.calls) + 1)
    faults = [(kind, at, False) for kind in KINDS for at in calls] + [(kind, at, True) for kind in REST for at in calls]
    part.random(action.name).shuffle(faults)
    return Undisturbed(found, faults)


def inject(part: Part, runner: Runner, action: Action, whole: Outcome, fault: tuple[str, int, bool]) -> None:
    kind, at, rest = fault
    found = runner.run(action, KINDS[kind], at, rest)
    call = found.calls[at - 1] if 0 < at <= len(found.calls) else "no call"
    if why := fault_of(action, whole, found, kind, call):
        part.finding(f"{action.name}/{kind}/{at}{'/rest' if rest else ''}", f"{kind} at {call}: {why}")


def main() -> int:
    part = Part("disks", __doc__ or "")
    runner = Runner(part.folder / "work")
    (part.folder / "given").mkdir()
    actions = make_actions(part.folder / "given")
    if part.only:
        name, kind, at, *rest = part.only.split("/")
        [action] = [action for action in actions if action.name == name]
        inject(part, runner, action, undisturbed(part, runner, action).outcome, (kind, int(at), bool(rest)))
        return part.finish(part.only)
    part.random("order").shuffle(actions)
    known: dict[str, Undisturbed] = {}
    done = dict.fromkeys(KINDS, 0)
    queue = list(actions)
    while queue and not part.is_over():
        action = queue.pop(0)
        before = known.get(action.name) or known.setdefault(action.name, undisturbed(part, runner, action))
        for fault in before.faults[:FAULTS_IN_A_ROW]:
            inject(part, runner, action, before.outcome, fault)
            done[fault[0]] += 1
        del before.faults[:FAULTS_IN_A_ROW]
        if before.faults:
            queue.append(action)
    total, counts = sum(done.values()), ", ".join(f"{n} {kind}" for kind, n in done.items())
    left = sum(len(before.faults) for before in known.values())
    return part.finish(f"{total} of {total + left} faults in {len(known)} of {len(actions)} actions: {counts}")


if __name__ == "__main__":
    sys.exit(main())
