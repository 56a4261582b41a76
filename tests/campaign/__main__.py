"""The campaign: tries to break pynet for so many minutes. `make campaign` builds what it needs and runs it.

Each part is a process of its own that gets a share of the time, prints what it did and ends with status 1 if it found
something. A part can be run alone: `python tests/campaign/fuzz.py --help`.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
REFUSALS = ROOT / "build" / "asan" / "campaign" / "allocations"
LEAST = 3  # seconds for a part, whatever those before it have left
GUARD = 180  # seconds past its time after which a part hangs

SHARES = {  # of the time; what is left over by one goes to the rest
    "allocations": 15,
    "disks": 15,
    "kills": 20,
    "fuzz": 30,
    "networks": 15,
    "properties": 10,
}


def command(name: str, seconds: float, seed: int) -> list[str]:
    if name == "allocations":
        return [str(REFUSALS), f"{seconds:.0f}", str(seed)]
    return [sys.executable, str(HERE / f"{name}.py"), "--seconds", f"{seconds:.1f}", "--seed", str(seed)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/campaign", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15, help="how long, in all (default: 15)")
    parser.add_argument("--seed", type=int, help="of all that is random (default: another each time)")
    parser.add_argument("--parts", nargs="+", choices=list(SHARES), default=list(SHARES), help="these alone")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    begin, end = time.monotonic(), time.monotonic() + 60 * options.minutes
    print(f"campaign: {options.minutes:g} minutes, seed {seed}", flush=True)
    failed = []
    for i, name in enumerate(options.parts):
        left = max(end - time.monotonic(), 0)
        seconds = max(left * SHARES[name] / sum(SHARES[other] for other in options.parts[i:]), LEAST)
        env = {**os.environ, "ASAN_OPTIONS": "allocator_may_return_null=1"}
        try:
            status = subprocess.run(command(name, seconds, seed), cwd=ROOT, env=env, timeout=seconds + GUARD).returncode
        except subprocess.TimeoutExpired:
            print(f"finding: {name} did not end within {seconds + GUARD:.0f} s", flush=True)
            status = 1
        if status:
            failed.append(name)
    result = f"findings in {', '.join(failed)}" if failed else "no finding"
    print(f"campaign: {time.monotonic() - begin:.0f} s, {result}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
