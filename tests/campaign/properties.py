"""The property tests of the suite, with other examples each time instead of those that `make test` repeats.

Test files in a random order until the time is over; tests/conftest.py goes by HYPOTHESIS_PROFILE=random. The file that
runs when the time is over is stopped.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

from part import ROOT, Part


def property_tests() -> list[str]:
    """The test files that use hypothesis, but for those that `make test` leaves out, as they need other packages."""
    found = [
        path
        for path in sorted(ROOT.glob("tests/**/test_*.py"))
        if path.parent.name not in ("peers", "wasm", "browser", "arm")
    ]
    return [str(path.relative_to(ROOT)) for path in found if "from hypothesis import" in path.read_text("utf-8")]


def run(part: Part, files: list[str], seed: int) -> int:
    """Runs the property tests of these files, within the time; returns how many passed."""
    env = {name: value for name, value in os.environ.items() if name != "CI"} | {"HYPOTHESIS_PROFILE": "random"}
    env["HYPOTHESIS_STORAGE_DIRECTORY"] = str(part.folder / "hypothesis")
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-m", "hypothesis"]
    log = part.folder / f"pytest-{seed}.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [*command, f"--hypothesis-seed={seed}", *files],
            cwd=ROOT,
            env=env,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(None if part.only else max(part.end - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            status = 0
    text = log.read_text("utf-8", errors="replace")
    failed = sorted(set(re.findall(r"^(tests/\S+\.py)::\S+.* FAILED", text, re.M)))
    for file in failed:
        part.finding(f"{file}@{seed}", "a property does not hold", log)
    if status not in (0, 5) and not failed:  # 5: there are none
        part.finding(f"{files[0]}@{seed}", f"pytest ended with status {status}", log)
    return len(re.findall(r" PASSED", text))


def main() -> int:
    part = Part("properties", __doc__ or "")
    files, draw, passed, rounds = property_tests(), part.random("order"), 0, 0
    if part.only:
        file, _, seed = part.only.partition("@")
        return part.finish(f"{run(part, [file], int(seed))} tests passed")
    while not part.is_over():
        passed += run(part, draw.sample(files, len(files)), draw.randrange(1 << 32))
        rounds += 1
    return part.finish(f"{passed} tests passed with random examples, from {len(files)} files, round {rounds} of them")


if __name__ == "__main__":
    sys.exit(main())
