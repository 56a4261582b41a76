"""Rows as Markdown tables, aligned so that they are readable in a terminal, too."""

from __future__ import annotations

import math
import re
from functools import cache

from bench.data import ROOT
from bench.measurements import Row, Rows
from bench.peers import CONTESTANTS
from bench.peers.lenet import LENET
from bench.targets import TARGETS
from bench.variants import VARIANTS

LABELS = {name: f"with {name}" for name in VARIANTS} | {
    **{name: contestant.label for name, contestant in (LENET | CONTESTANTS).items()},
    "C": "the same loop in C",
    "peak": "fused multiply-adds alone",
    "copy": "memory copy of as many bytes",
}
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"))
UNKNOWN = "not looked into yet."


def duration(seconds: float) -> str:
    """A time with three digits and a suitable unit: 1.34 us."""
    scale, unit = next(((s, u) for s, u in UNITS if seconds >= s), UNITS[-1])
    value = seconds / scale
    return f"{value:.{max(0, 2 - int(math.log10(max(value, 1))))}f} {unit}"


def table(head: list[str], lines: list[list[str]]) -> str:
    """A Markdown table; the first column to the left, the others to the right."""
    columns = list(zip(head, *lines, strict=True))
    widths = [max(3, *(len(cell) for cell in column)) for column in columns]

    def render(cells: list[str]) -> str:
        aligned = [
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(aligned)} |"

    rule = [("-" * w) if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join([render(head), render(rule), *(render(line) for line in lines)])


def times(question: str, rows: Rows) -> str:
    """Medians, minima and ratios of medians of all contestants of a question, case by case."""
    found = rows.pick(question)
    facts = list(dict.fromkeys(fact for row in found for fact in row.facts))
    lines = []
    for case, threads in found.cases():
        contestants = found.pick(question, case, threads)
        ours = contestants.one("pynet")
        for row in sorted(contestants, key=lambda row: row.median):
            slower = f"{row.median / ours.median:.2f}" if ours else ""
            figures = [duration(row.median), duration(row.minimum), slower]
            lines.append([case, str(threads), label(row), *figures, *_facts(row, facts)])
    head = ["case", "threads", "contestant", "median", "minimum", "times pynet's"]
    return table([*head, *(fact.replace("_", " ") for fact in facts)], lines)


def label(row: Row) -> str:
    """The name of the row's contestant."""
    return row.contestant if row.case == "import" else LABELS[row.contestant]


def _facts(row: Row, names: list[str]) -> list[str]:
    return [f"{row.facts[name]:.4g}" if name in row.facts else "" for name in names]


def side_by_side(question: str, rows: Rows) -> str:
    """A line for each case: the times of pynet and NumPy, and their ratio."""
    found, lines = rows.pick(question), []
    for case, threads in found.cases():
        contestants = found.pick(question, case, threads)
        ours, numpy, copy = (contestants.one(name) for name in ("pynet", "numpy", "copy"))
        if ours and numpy:
            figures = [duration(ours.median), duration(ours.minimum), duration(numpy.median), duration(numpy.minimum)]
            share = f"{100 * copy.median / ours.median:.0f} %" if copy else ""
            lines.append([case, str(threads), *figures, f"{numpy.median / ours.median:.2f}", share])
    head = ["case", "threads", "pynet", "minimum", "NumPy", "minimum", "ratio", "of a copy's speed"]
    return table(head, lines)


def targets(rows: Rows) -> str:
    """A table of the measured figures and their targets."""
    verdicts = {True: "met", False: "**missed**", None: "not in this run"}
    lines = [
        [target.what, target.limit_text, _figure(target.measure(rows), target.unit), verdicts[target.met(rows)]]
        for target in TARGETS
    ]
    return table(["what", "target", "measured", ""], lines)


def shortfalls(rows: Rows) -> str:
    """A list of missed targets with their causes, one item for each cause; empty if none was missed."""
    missed: dict[str, list[str]] = {}
    for target in TARGETS:
        if target.met(rows) is False:
            figures = f"{_figure(target.measure(rows), target.unit)}, {target.limit_text} wanted"
            missed.setdefault(why(target.what), []).append(f"**{target.what}** ({figures})")
    return "\n".join(f"- {'; '.join(found)}: {note}" for note, found in missed.items())


def why(what: str) -> str:
    """The note of bench/results/notes.md on a target."""
    found = (note for beginnings, note in notes() if what.startswith(beginnings))
    return next(found, UNKNOWN)


@cache
def notes() -> list[tuple[tuple[str, ...], str]]:
    """(the beginnings of the names of targets, the note on these)."""
    page = (ROOT / "bench" / "results" / "notes.md").read_text("utf-8")
    sections = re.findall(r"^## (.*)\n((?:(?!## ).*\n)*)", page, re.M)
    return [(tuple(heading.split("; ")), " ".join(text.split())) for heading, text in sections]


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    return "at the memory's bandwidth" if math.isinf(value) else f"{value:.3g} {unit}"


def efficiency(rows: Rows) -> str:
    """The time on one thread divided by n times that on n threads: 100 % is perfect."""
    lines = []
    for row in rows.pick("scaling"):
        one = rows.pick("scaling", row.case, 1).one("pynet")
        if one and row.threads > 1:
            figures = [
                duration(one.median),
                duration(row.median),
                f"{100 * one.median / row.threads / row.median:.0f} %",
            ]
            lines.append([row.case, str(row.threads), *figures])
    return table(["case", "threads", "1 thread", "n threads", "efficiency"], lines)
