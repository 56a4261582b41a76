"""The flags that the core is compiled and linked with, whatever the environment asks for."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT

# A fake compiler: records its arguments, and creates the output file.
COMPILER = r"""#!/bin/sh
call=$(printf '%s\t' "$@")
printf '%s\n' "$call" >>{log}
while [ $# -gt 1 ]; do
    if [ "$1" = -o ]; then : >"$2"; fi
    shift
done
"""


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("CFLAGS", ("-Ofast", "-ffast-math", "-funsafe-math-optimizations", "-mdaz-ftz")),
        ("LDFLAGS", ("-Ofast",)),
        ("CC", ("-Ofast",)),
        ("PYNET_CFLAGS", ("-Ofast",)),
    ],
)
def test_flags_that_change_the_arithmetic_of_the_process_are_left_out(
    tmp_path: Path, name: str, flags: tuple[str, ...]
) -> None:
    log, compiler = tmp_path / "log", tmp_path / "cc"
    compiler.write_text(COMPILER.format(log=shlex.quote(str(log))))
    compiler.chmod(0o755)
    env = {key: value for key, value in os.environ.items() if key not in ("CFLAGS", "LDFLAGS", "LDSHARED")}
    env |= {"CC": shlex.quote(str(compiler))}
    env[name] = f"{env.get(name, '')} {' '.join(flags)} -DKEPT".strip()
    outputs = ["--build-base", tmp_path / "base", "--build-lib", tmp_path / "lib", "--build-temp", tmp_path / "temp"]
    command = [sys.executable, "setup.py", "-q", "build", *outputs]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    calls = [line.split("\t") for line in log.read_text().splitlines()]
    links = [call for call in calls if "-shared" in call]
    assert len(links) == 1
    assert len(calls) > len(list((ROOT / "csrc").rglob("*.c")))
    assert not any(flag in call for call in calls for flag in flags)
    assert any("-DKEPT" in call for call in calls)
    left_out = ", ".join(sorted(flags))
    assert f"pynet: built without {left_out}: they change the arithmetic of the whole process\n" in done.stdout
