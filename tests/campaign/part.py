"""Code that the parts of the campaign share: options, time, a working folder, and reports of findings."""

from __future__ import annotations

import argparse
import os
import random
import shlex
import shutil
import sys
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
KEPT = ROOT / "build" / "campaign" / "findings"  # files to repeat a finding

ROOM = 300 << 20  # bytes


class Part:
    """A part of the campaign as it runs: its time, its seed, its folder, what it found.

    only: the one case to repeat, None for as many as the time allows.
    """

    def __init__(self, name: str, description: str) -> None:
        parser = argparse.ArgumentParser(prog=f"tests/campaign/{name}.py", description=description)
        parser.add_argument("--seconds", type=float, default=60, help="how long (default: 60)")
        parser.add_argument("--seed", type=int, default=None, help="of all that is random (default: another each time)")
        parser.add_argument("--only", metavar="CASE", help="repeat one case, as a finding names it")
        options = parser.parse_args()
        self.name, self.only = name, options.only
        self.seed: int = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
        self.end = time.monotonic() + options.seconds
        self.seconds: float = options.seconds
        self.findings = 0
        self.folder = roomy_folder() / f"pynet-{name}-{os.getpid()}"
        self.folder.mkdir(parents=True)

    def is_over(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self.end

    def random(self, case: str) -> random.Random:
        """The random numbers of a case, the same each time it is repeated."""
        return random.Random(f"{self.seed} {case}")

    def finding(self, case: str, what: str, *files: Path) -> None:
        """Reports a finding, and keeps its files."""
        self.findings += 1
        print(f"finding: {self.name} --seed {self.seed} --only {shlex.quote(case)}: {what}", flush=True)
        for file in files:
            if file.exists():
                KEPT.mkdir(parents=True, exist_ok=True)
                kept = KEPT / f"{self.name}-{self.seed}-{case.replace('/', '_')}-{file.name}"
                shutil.copy(file, kept)
                print(f"         {kept.relative_to(ROOT)}", flush=True)

    def finish(self, summary: str) -> int:
        """Prints a summary; returns the exit status."""
        shutil.rmtree(self.folder, ignore_errors=True)
        print(f"{self.name}: {summary} (seed {self.seed}): {self.findings} findings", flush=True)
        return int(self.findings > 0)


def roomy_folder() -> Path:
    """A folder in memory, if there is room: a disk would take most of the time, and no power failure is tested."""
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM:
        return memory
    return ROOT / "build" / "campaign"


def last_line() -> str:
    """The current exception and the line that raised it, in one line."""
    kind, error, trace = sys.exc_info()
    places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(trace)[-4:]]
    return f"{kind.__name__ if kind else ''}: {str(error)[:200]!r} at {' > '.join(places)}"
