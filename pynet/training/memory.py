"""How much memory this process may still take: that of the machine, and what its control groups leave."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")


def available_memory(root: Path = ROOT) -> int | None:
    """Bytes of memory that can be had without swapping; None: unknown.

    That is the least of MemAvailable, and for each control group of this process (v1 or v2) its limit less what it uses
    other than for files that it could read again. root: where the system's files are.
    """
    found = [free for free in (_of_machine(root), *_of_groups(root)) if free is not None]
    return min(found, default=None)


def _of_machine(root: Path) -> int | None:
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if root == ROOT else None
    except (OSError, ValueError):
        return None


def _of_groups(root: Path) -> Iterator[int | None]:
    """What is left of each limit of this process: a limit holds for all groups below it, too."""
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        files = ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
        group = top / path.strip("/")
        while True:  # in a container the path may be that outside of it; the limit is then that of the top
            yield _left(group, *files)
            if group == top or top not in group.parents:
                break
            group = group.parent


def _left(group: Path, limit: str, usage: str) -> int | None:
    """Bytes that this group may still use; None: it has no limit."""
    most, used = _number(group / limit), _number(group / usage)
    if most is None or used is None:
        return None
    files = [
        int(line.split()[1])
        for line in _lines(group / "memory.stat")
        if line.split()[0] in ("inactive_file", "total_inactive_file")
    ]
    return max(0, most - used + max(files, default=0))


def _number(path: Path) -> int | None:
    text = "".join(_lines(path))
    return int(text) if text.isdecimal() else None  # "max": no limit


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except OSError:
        return []
