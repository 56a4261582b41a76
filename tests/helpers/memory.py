"""The peak memory of a script in a separate process, minus the peak of its imports alone."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

MB = 1_000_000
REFUSED = 50 * MB  # maximum memory to refuse a file
GUARD = 60  # seconds: a process that takes longer hangs
PRINT_PEAK = r"""
import re
print(re.search(r"VmHWM:\s+(\d+) kB", open("/proc/self/status").read())[1])
"""


@cache
def _peak(script: str) -> tuple[str, int]:
    if not Path("/proc/self/status").exists():
        pytest.skip("the peak of a process is read from /proc")
    command = [sys.executable, "-c", script + PRINT_PEAK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=GUARD)
    assert done.returncode == 0, done.stderr
    printed, _, kilobytes = done.stdout.strip().rpartition("\n")
    return printed, 1024 * int(kilobytes)


def taken(imports: str, script: str) -> tuple[str, int]:
    """The output of the script, and its peak memory in bytes beyond that of its imports."""
    printed, peak = _peak(f"{imports}\n{script}")
    return printed, peak - _peak(imports)[1]
