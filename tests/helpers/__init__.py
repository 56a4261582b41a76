"""Helpers that several test files share."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def make(*targets: str) -> None:
    """Brings targets of the Makefile up to date, without a word on stderr."""
    # without make's own variables, which would connect this make to the one that runs the tests
    env = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}}
    done = subprocess.run(["make", "--silent", *targets], cwd=ROOT, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
