"""Small tables in .csv files: a column of numbers, size, which decides a column of texts, kind, and others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pynet import data

N = 60
KINDS = ("low", "mid", "high")


def write(folder: Path, name: str = "t.csv", rows: int = N, **columns: Any) -> Path:
    """Writes a table; a column is a list, or a function of the row's index."""
    lists = {key: [some(i) for i in range(rows)] if callable(some) else list(some) for key, some in columns.items()}
    lines = [",".join(lists), *(",".join(map(str, row)) for row in zip(*lists.values(), strict=True))]
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def size(i: int) -> float:
    return i * 7 % 20 / 4


def kind(i: int) -> str:
    return KINDS[i * 7 % 20 // 7]


def table(folder: Path, target: str | int = "kind", options: dict[str, Any] | None = None, **columns: Any) -> Any:
    path = write(folder, **({"size": size, "kind": kind} | columns))
    return data.table(path, target, **options or {})
