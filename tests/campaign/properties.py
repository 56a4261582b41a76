"""The property tests of the suite, with other examples each time instead of those that `make test` repeats.

Test files in a random order until the time is over; tests/conftest.py goes by HYPOTHESIS_PROFILE=random. The file that
runs when the time is over is stopped.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from part import ROOT, Part

LEAST = 3.0  # seconds in which a file of tests can do anything at all


def property_tests() -> list[str]:
    """The test files that use hypothesis."""
    found = sorted(ROOT.glob("tests/**/test_*.py"))
    return [str(path.relative_to(ROOT)) for path in found if "from hypothesis import" in path.read_text("utf-8")]


def main() -> int:
    part = Part("properties", __doc__ or "")
    env = {name: value for name, value in os.environ.items() if name != "CI"} | {"HYPOTHESIS_PROFILE": "random"}
    env["HYPOTHESIS_STORAGE_DIRECTORY"] = str(part.folder / "hypothesis")
    files, done, tests = property_tests(), 0, 0
    draw = part.random("order")
    while not part.is_over() or part.only:
        queue = [part.only.split("@")[0]] if part.only else draw.sample(files, len(files))
        for file in queue:
            left = part.end - time.monotonic()
            if left < LEAST and not part.only:
                part.end = 0
                break
            seed = int(part.only.split("@")[1]) if part.only else draw.randrange(1 << 32)
            command = [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-x",
                "-m",
                "hypothesis",
                f"--hypothesis-seed={seed}",
                file,
            ]
            try:
                run = subprocess.run(
                    [*command, "-p", "no:cacheprovider"],
                    cwd=ROOT,
                    env=env,
                    text=True,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    timeout=None if part.only else left,
                )
            except subprocess.TimeoutExpired:
                break
            if run.returncode not in (0, 5):  # 5: the file has none
                log = part.folder / f"{Path(file).stem}.log"
                log.write_text(run.stdout, "utf-8")
                part.finding(f"{file}@{seed}", "a property does not hold", log)
            passed = re.search(r"(\d+) passed", run.stdout)
            tests += int(passed[1]) if passed else 0
            done += 1
        if part.only:
            break
    return part.finish(f"{done} runs of {len(files)} files with property tests, {tests} tests passed")


if __name__ == "__main__":
    sys.exit(main())
