"""Writes the results of a run: JSON with every turn, and a Markdown page with tables and figures.

python -m bench.report bench/results/numpy.json      writes its page again
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bench import convolution, estimators, inference, kernels, larger, scaling, startup, tables, training, variants
from bench.measurements import Rows, from_dict
from bench.targets import TARGETS

HEADINGS = {
    training.QUESTION: "Training: an epoch, W64 on all of MNIST, the others on a quarter",
    training.PYTHON: "What Python adds to the same loop in C, an epoch",
    variants.QUESTION: "Variants of W64, an epoch, from C: pynet alone is plain SGD",
    convolution.QUESTION: "Convolution: a step of a LeNet-like network",
    inference.QUESTION: "Inference: one call",
    larger.QUESTION: "Larger networks on random data: a training step, predictions in one call",
    kernels.PRODUCT: "Matrix products m x n x k; A' lies transposed in memory",
    kernels.SINGLE: "Single kernels: NumPy's column is the fastest of its expressions",
    startup.QUESTION: "Start-up",
    scaling.QUESTION: "Scaling: what pynet costs as the work grows",
    estimators.QUESTION: "Estimators of scikit-learn: CPU seconds of a fit, the defaults of both",
}
NARROW = {kernels.PRODUCT, kernels.SINGLE}


def sections(rows: Rows) -> dict[str, str]:
    """A table for each heading, for all questions that were measured."""
    found = {"Targets": tables.targets(rows)}
    if missed := tables.shortfalls(rows):
        found["Where it falls short"] = missed
    for question, heading in HEADINGS.items():
        if rows.pick(question):
            found[heading] = (tables.side_by_side if question in NARROW else tables.times)(question, rows)
    if rows.pick(scaling.QUESTION):
        found["Parallel efficiency"] = tables.efficiency(rows)
    return found


def machine_lines(machine: dict[str, Any]) -> list[str]:
    """The machine, as list items."""
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    return [
        f"- {machine['cpu']}, {machine['cores']} cores, {machine['system']}; {machine['date']}",
        f"- pynet {machine['pynet']}; Python {machine['python']}; {libraries}",
        f"- load average before {machine['load']}, after {machine.get('load_after', '?')}"
        f" (the run itself makes about {machine['cores']}); wall time {machine.get('seconds', 0):.0f} s",
    ]


def write(run: dict[str, Any], folder: Path, name: str) -> Path:
    """NAME.json, NAME-*.png and NAME.md in the folder; returns the page."""
    from bench import pictures

    folder.mkdir(parents=True, exist_ok=True)
    rows = Rows(from_dict(row) for row in run["rows"])
    (folder / f"{name}.json").write_text(to_json(run), "utf-8")
    images = [f"![{path.stem}]({path.name})" for path in pictures.draw(rows, folder, name)]
    command = "make bench-peers" if name == "peers" else "make bench"
    text = [f"# Speed, as `{command}` measured it", "\n".join(machine_lines(run["machine"])), HOW, *images]
    for heading, content in sections(rows).items():
        text += [f"## {heading}", content]
    page = folder / f"{name}.md"
    page.write_text("\n\n".join(text) + "\n", "utf-8")
    return page


HOW = """Each contestant runs in a process of its own, with its threads fixed before its library is loaded (environment
and CPU affinity). They take turns, each when the threads of the last one sleep: what else the machine does hits all
alike. So trust the ratios, which are ratios of medians; the minimum shows how quiet it was. Before anything is timed,
the results are compared with float64."""


def to_json(run: dict[str, Any]) -> str:
    """The run as JSON, with a line for each row."""
    head = {key: value for key, value in run.items() if key != "rows"}
    rows = ",\n".join("  " + json.dumps(row) for row in run["rows"])
    return json.dumps(head, indent=1)[:-2] + f',\n "rows": [\n{rows}\n ]\n}}\n'


def verdicts(rows: Rows) -> list[dict[str, Any]]:
    """The targets and whether they are met, for the JSON file."""
    found = []
    for target in TARGETS:
        value = target.measure(rows)
        shown = value if value is None or value < 1e300 else "bandwidth"
        found.append(
            {
                "what": target.what,
                "limit": target.limit,
                "unit": target.unit,
                "measured": shown,
                "met": target.met(rows),
            }
        )
    return found


if __name__ == "__main__":
    source = Path(sys.argv[1])
    loaded = json.loads(source.read_text("utf-8"))
    loaded["targets"] = verdicts(Rows(from_dict(row) for row in loaded["rows"]))
    print(write(loaded, source.parent, source.stem))
