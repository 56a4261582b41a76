"""A structure-aware fuzzer: it damages values, types, sizes, offsets and shapes; the rest stays well-formed.

Models, checkpoints (with the right digest), models with damaged notes, histories, texts of networks, IDX, npz and csv
files, tables and ONNX models go through the Python package and through the commands. Each is loaded, or refused with an
OSError or a ValueError, by a command with status 1 or 2 and one line. No other exception, no signal, no terminal
escape; what is refused takes no more than 50 MB. Two worker processes share the cases: one has the core as it is
installed, and its memory is measured; the core of the other is compiled with AddressSanitizer and
UndefinedBehaviorSanitizer.
"""

from __future__ import annotations

import contextlib
import io
import json
import keyword
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from part import ROOT, Part, last_line

HANGS = 60  # seconds of processor time, or five times as many by the clock, after which a case counts as hanging
MAX_MEMORY = 50 << 20  # bytes, to refuse a file
LIMIT = 4 << 30  # bytes of address space; larger allocations raise MemoryError
REFUSED = (OSError, ValueError)
STRANGE = {
    *map(chr, (*range(9), *range(11, 32), *range(127, 160))),
    *"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
}


class Fault(Exception):
    """A finding."""


class Kind(NamedTuple):
    """A kind of input. make: draws a case, in a folder. load: reads it and returns its size in bytes. use: uses it."""

    make: Callable[[random.Random, Path], Any]
    load: Callable[[Any], int]
    use: Callable[[random.Random, Any], None]


# ---- what is done with a case ---------------------------------------------------------------------------------------


def command(name: str, *arguments: Any) -> None:
    """Runs a command in this process. Fault: it ended in a way that no command should."""
    from importlib import import_module

    main = import_module(f"pynet.commands.{name}{'_' * keyword.iskeyword(name)}").main
    out, err = io.StringIO(), io.StringIO()
    given = [str(argument) for argument in arguments]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(given)
    lines = [line for line in err.getvalue().split("\n")[:-1] if not line.startswith("pynet data: ")]  # notes on files
    described = f"pynet {name} {' '.join(given)[:200]!r}"
    if status not in (0, 1, 2):
        raise Fault(f"{described}: status {status}")
    if status and (len(lines) != 1 or not lines[0].startswith(f"pynet {name}: error: ")):
        raise Fault(f"{described}: status {status}, and on stderr {err.getvalue()[:300]!r}")
    if any(not line.startswith(f"pynet {name}: ") for line in lines):
        raise Fault(f"{described}: on stderr {err.getvalue()[:300]!r}")
    for where, text in (("stdout", out.getvalue()), ("stderr", err.getvalue())):
        if found := STRANGE & set(text):
            at = min(map(text.index, found))
            raise Fault(f"{described}: {text[at]!r} on {where}: {text[max(at - 60, 0) : at + 20]!r}")


def kinds() -> dict[str, Kind]:
    """All kinds; their modules are imported here, in the worker."""
    import hostile_data
    import hostile_models
    import hostile_onnx
    import hostile_tables
    import numpy as np
    from PIL import Image

    import pynet
    from pynet import data
    from pynet.inference import preparation_of
    from pynet.training import checkpoint

    glyph = np.zeros((30, 30), np.uint8)
    glyph[5:25, 13:17] = 255
    Image.fromarray(glyph).save("one.png")

    def load_model(path: Path) -> int:
        net = pynet.load(path)
        return int(4 * net.parameters)

    def use_model(draw: random.Random, path: Path, among: int = 30) -> None:
        """Uses a model, with a command in 12 of `among` cases."""
        net = pynet.load(path)
        again = path.with_name("again.safetensors")
        net.save(again)
        twin = pynet.load(again)
        if (twin.spec, dict(twin.meta), twin.weights_sha256()) != (net.spec, dict(net.meta), net.weights_sha256()):
            raise Fault("saved and loaded it is another")
        pynet.History.from_note(net.meta.get("history", ""))
        assert len(net.classes) == np.prod(net.out_shape)
        repr(net), net.summary(), repr(net.meta)
        with contextlib.suppress(*REFUSED):
            preparation_of(net)
        if np.prod(net.in_shape) < 10000:
            with contextlib.suppress(FloatingPointError):  # finite weights whose sums are not: NaN is refused
                net.predict_proba(np.zeros((2, *net.in_shape), np.float32))
        kind = draw.randrange(among)
        if kind <= 2:
            command("info", path)
        elif kind <= 4:
            command("info", path, "--json")
        elif kind <= 6:
            command("predict", "one.png", "--model", path)
        elif kind == 7:
            command("predict", "one.png", "--json", "--show", "--model", path)
        elif kind == 8:
            command("evaluate", "--model", path, "--dataset", "digits")
        elif kind == 9:
            command("evaluate", "--model", path)
        elif kind == 10:
            command("train", "--load", path, "--dataset", "digits", "--save", "none", *SMALL)
        elif kind == 11 and draw.random() < 0.5:
            command("visualize", "curves", "--model", path, "--out", path.parent)

    def load_checkpoint(path: Path) -> int:
        state, tensors = checkpoint.read(path)
        return sum(
            tensor.nbytes for tensor in [*tensors.values(), *state.best.values(), *state.optimizer.tensors.values()]
        )

    def use_checkpoint(draw: random.Random, path: Path) -> None:
        pynet.Checkpoint(path, resume=True).check()
        copy = path.with_name("copy.safetensors")
        shutil.copy(path, copy)
        if draw.random() < 0.1:
            command("info", path)
        with contextlib.suppress(FloatingPointError):  # weights that are not finite
            hostile_models.resume(path)
        if draw.random() < 0.2:
            command("train", *TRAINED, "--epochs", "3", "--checkpoint", copy, "--resume", "--save", "none", "--quiet")

    def load_text(text: str) -> int:
        net = pynet.Network(text)
        if pynet.Network(net.spec).spec != net.spec:
            raise Fault(f"the canonical form {net.spec!r:.300} has another one")
        return int(8 * net.parameters) + LIMIT  # a text may allocate what it asks for

    def use_text(draw: random.Random, text: str) -> None:
        if draw.random() < 0.1 and "\0" not in text:  # arguments of a command cannot contain NUL
            command("train", "--net", text, "--dataset", "digits", "--save", "none", *SMALL)

    def load_data(path: Path) -> int:
        found = data.load(path)
        for x, y in ((found.x_train, found.y_train), (found.x_test, found.y_test)):
            good = x.dtype in (np.uint8, np.float32) and len(x) == len(y) > 0 and x.size and np.isfinite(x).all()
            if y.dtype == np.int32:
                good = good and y.min() >= 0 and y.max() < len(found.classes)
            else:  # numbers to learn
                good = good and y.dtype == np.float32 and np.isfinite(y).all() and not found.classes
            if not good:
                raise Fault(f"x {x.dtype} {x.shape}, y {y.dtype} {y.shape} of {len(found.classes)} classes")
        return sum(part.nbytes for part in (found.x_train, found.y_train, found.x_test, found.y_test))

    def use_data(draw: random.Random, path: Path) -> None:
        kind = draw.randrange(12)
        if kind == 0:
            command("train", "--data", path, "--hidden", "4", "--save", "none", *SMALL)
        elif kind == 1:
            command("evaluate", "--data", path, "--model", "base.safetensors")
        elif kind <= 6 and path.suffix == ".npz":
            pynet.import_npz(path)

    def use_history(draw: random.Random, path: Path) -> None:
        if draw.random() < 0.03:
            command("visualize", "curves", "--history", path, "--out", path.parent)

    def load_table(path: Path) -> int:
        found = data.table(path, "kind")
        if not (found.x_train.dtype == np.float32 and np.isfinite(found.x_train).all() and found.classes):
            raise Fault(f"x {found.x_train.dtype} {found.x_train.shape} of {len(found.classes)} classes")
        return int(found.x_train.nbytes) + path.stat().st_size

    def use_table(draw: random.Random, path: Path) -> None:
        model = Path("table.safetensors")
        kind = draw.randrange(8)
        if not model.exists() or kind == 0:
            good = hostile_tables.whole_table(draw, path.parent)
            command("train", "--data", good, "--target", draw.choice(hostile_tables.TARGETS), "--save", model, *SMALL)
        if kind <= 2:
            target = draw.choice((*hostile_tables.TARGETS, "4", "none"))
            command("train", "--data", path, "--target", target, *SMALL, "--save", "none")
        elif kind <= 4:
            command("predict", path, "--model", model, *draw.choice(((), ("--json",))))
        elif kind == 5:
            command("evaluate", "--data", path, "--model", model)

    def load_onnx(path: Path) -> int:
        net = pynet.import_onnx(path)
        return int(4 * net.parameters) + path.stat().st_size

    def use_onnx(draw: random.Random, path: Path) -> None:
        net = pynet.import_onnx(path)
        if pynet.Network(net.spec).spec != net.spec:
            raise Fault(f"imported as {net.spec!r:.300}, which has another canonical form")
        if draw.random() < 0.1:
            command("import", path, "--save", path.with_name("imported.safetensors"))

    return {
        "model": Kind(hostile_models.model_file, load_model, use_model),
        "checkpoint": Kind(hostile_models.checkpoint_file, load_checkpoint, use_checkpoint),
        "notes": Kind(hostile_models.model_with_notes, load_model, lambda draw, path: use_model(draw, path, 12)),
        "text": Kind(lambda draw, _: hostile_models.network_text(draw), load_text, use_text),
        "history": Kind(hostile_models.history_file, lambda path: len(pynet.History.load(path).rows()), use_history),
        "idx": Kind(hostile_data.idx_folder, load_data, use_data),
        "npz": Kind(hostile_data.npz_file, load_data, use_data),
        "csv": Kind(hostile_data.csv_file, load_data, use_data),
        "table": Kind(hostile_tables.table_file, load_table, use_table),
        "onnx": Kind(hostile_onnx.onnx_file, load_onnx, use_onnx),
    }


SMALL = ("--epochs", "1", "--limit", "30", "--threads", "1", "--quiet")
TRAINED = (
    "--dataset",
    "digits",
    "--net",
    "input(64) dense(8) batchnorm relu dropout(0.2) dense(10) softmax",
    "--seed",
    "9",
)

# ---- a worker -------------------------------------------------------------------------------------------------------


class Memory:
    """The peak memory of this process since reset, in bytes; None where the system does not report it."""

    def reset(self) -> int | None:
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            return None
        return self.most()

    def most(self) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def try_case(kind: Kind, draw: random.Random, folder: Path, memory: Memory | None) -> str:
    """Tries a case and returns "loaded" or "refused". Raises an exception for a finding."""
    case = kind.make(draw, folder)
    before = memory.reset() if memory else None
    allowed, outcome = MAX_MEMORY, "loaded"
    try:
        allowed += 4 * kind.load(case)
    except REFUSED:
        outcome = "refused"
    except MemoryError:
        if not isinstance(case, str):
            raise
        return "refused"  # a text may ask for more memory than there is
    if memory and before is not None and (taken := memory.most() - before) > allowed:
        raise Fault(f"{outcome}, and it took {taken >> 20} MB")
    with contextlib.suppress(*REFUSED):
        kind.use(draw, case)
    return outcome


def work(seed: int, first: int, step: int, end: float, folder: Path, only: str | None) -> int:
    """Tries cases until the time is over; records the current case in a file, and reports findings."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    os.environ["XDG_CACHE_HOME"] = str(folder)
    sanitized = "asan" in os.environ.get("LD_PRELOAD", "")
    if not sanitized:
        resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    warnings.simplefilter("always", RuntimeWarning)
    warnings.simplefilter("always", UserWarning)
    found = kinds()
    memory = None if sanitized else Memory()
    counts = {name: {"loaded": 0, "refused": 0, "findings": 0} for name in found}
    n = first
    while time.time() < end or only:
        for name in [only.split("/")[0]] if only else found:
            number = int(only.split("/")[1]) if only else n
            case = f"{name}/{number}"
            Path("now").write_text(json.dumps({"case": case, "next": n + step, "counts": counts}))
            place = Path("case")
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            signal.setitimer(signal.ITIMER_PROF, HANGS)
            signal.alarm(5 * HANGS)
            try:
                counts[name][try_case(found[name], random.Random(f"{seed} {case}"), place, memory)] += 1
            except Exception as error:
                counts[name]["findings"] += 1
                report_finding(folder, case, str(error) if isinstance(error, Fault) else last_line())
        n += step
        if only:
            break
    Path("now").write_text(json.dumps({"case": None, "next": n, "counts": counts}))
    return 0


def report_finding(folder: Path, case: str, what: str) -> None:
    """Prints a finding for the supervisor, and keeps a copy of its files."""
    kept = folder / f"kept-{case.replace('/', '-')}"
    if not kept.exists():
        shutil.copytree(folder / "case", kept)
    print(json.dumps({"case": case, "what": what, "files": str(kept)}), flush=True)


# ---- those who start the workers ------------------------------------------------------------------------------------


def library(name: str) -> str:
    """The path of a compiler's library."""
    compiler = os.environ.get("CC", "cc")
    return subprocess.run(
        [compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True
    ).stdout.strip()


def environment(sanitized: bool) -> dict[str, str]:
    env = {**os.environ, "PYTHONPATH": "", "PYNET_NUM_THREADS": "2"}
    env |= dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")  # nothing is downloaded here
    if sanitized:
        env["LD_PRELOAD"] = " ".join(map(library, ("libasan.so", "libstdc++.so")))  # matplotlib throws exceptions
        env["PYTHONPATH"] = str(ROOT / "build" / "asan" / "lib")
        env["ASAN_OPTIONS"] = (
            "detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=512:quarantine_size_mb=16"
        )
        env["UBSAN_OPTIONS"] = "print_stacktrace=1"
    return env


class Supervisor(threading.Thread):
    """Starts a worker, and a new one when it dies."""

    def __init__(self, part: Part, sanitized: bool) -> None:
        super().__init__()
        self.part, self.sanitized = part, sanitized
        self.folder = part.folder / ("sanitized" if sanitized else "plain")
        self.counts: dict[str, dict[str, int]] = {}
        self.described: dict[str, int] = {}  # findings, and how often each occurred

    def run(self) -> None:
        first, end = int(self.sanitized), time.time() + self.part.end - time.monotonic()
        while time.time() < end:
            given = [str(self.part.seed), str(first), "2", str(end), str(self.folder), self.part.only or ""]
            command = [sys.executable, __file__, "worker", *given]
            log = self.part.folder / f"{self.folder.name}-stderr.log"
            with log.open("w") as err:
                worker = subprocess.Popen(
                    command, env=environment(self.sanitized), text=True, stdout=subprocess.PIPE, stderr=err
                )
                assert worker.stdout
                for line in worker.stdout:
                    self.note(json.loads(line), log)
                status = worker.wait()
            now = self.folder / "now"
            if not now.exists():
                self.part.finding("none", f"the worker did not begin: status {status}", log)
                return
            state = json.loads(now.read_text())
            for name, counts in state["counts"].items():
                sums = self.counts.setdefault(name, dict.fromkeys(counts, 0))
                for what, count in counts.items():
                    sums[what] += count
            if status and state["case"]:
                hangs = -status in (signal.SIGALRM, signal.SIGPROF)
                why = f"it hangs: {HANGS} s" if hangs else f"the process ended with status {status}"
                tail = [
                    line for line in log.read_text(errors="replace").splitlines() if "ERROR" in line or "error:" in line
                ]
                self.note(
                    {"case": state["case"], "what": f"{why} {' '.join(tail[:1])}", "files": str(self.folder / "case")},
                    log,
                )
            first = state["next"]
            if self.part.only:
                return

    def note(self, found: dict[str, str], log: Path) -> None:
        """Reports a finding; at most three that are alike."""
        what = "".join(c for c in found["what"] if not c.isdigit())
        alike = f"{found['case'].split('/')[0]} {what.partition(' at ')[2] or what[:60]}"
        self.described[alike] = self.described.get(alike, 0) + 1
        if self.described[alike] <= 3:
            files = [path for path in Path(found["files"]).iterdir() if path.is_file()]
            self.part.finding(found["case"], ("sanitized: " if self.sanitized else "") + found["what"], *files, log)
        else:
            self.part.findings += 1


def main() -> int:
    part = Part("fuzz", __doc__ or "")
    workers = [Supervisor(part, sanitized) for sanitized in (False, True)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    parts, total = [], 0
    for name in workers[0].counts:
        sums = [sum(w.counts.get(name, {}).get(what, 0) for w in workers) for what in ("loaded", "refused", "findings")]
        total += sum(sums)
        parts.append(f"{name} {sum(sums)} ({sums[0]} loaded)")
    return part.finish(f"{total} cases, half of them under sanitizers: {', '.join(parts)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        given = sys.argv[2:]
        sys.exit(work(int(given[0]), int(given[1]), int(given[2]), float(given[3]), Path(given[4]), given[5] or None))
    sys.exit(main())
