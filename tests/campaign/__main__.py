"""The campaign: tries to break pynet for a given time. `make campaign` builds what it needs and runs it.

Each part is a separate process that gets a fraction of the time, prints what it did, and exits with status 1 if it
found something. A part can be run alone: `python tests/campaign/fuzz.py --help`.
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
MIN_SECONDS = 3  # for a part, even if earlier parts used up the time
GUARD = 180  # seconds beyond its time after which a part counts as hanging

FRACTIONS = {  # of the time, in proportion; time that a part does not use goes to later parts
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
    parser.add_argument("--parts", nargs="+", choices=list(FRACTIONS), default=list(FRACTIONS), help="these alone")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    begin, end = time.monotonic(), time.monotonic() + 60 * options.minutes
    print(f"campaign: {options.minutes:g} minutes, seed {seed}", flush=True)
    failed = []
    for i, name in enumerate(options.parts):
        left = max(end - time.monotonic(), 0)
        seconds = max(left * FRACTIONS[name] / sum(FRACTIONS[other] for other in options.parts[i:]), MIN_SECONDS)
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
