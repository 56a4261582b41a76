"""The figures of a page of results."""

from __future__ import annotations

from pathlib import Path

from bench import kernels, scaling, training
from bench.measurements import Rows
from bench.tables import LABELS


def draw(rows: Rows, folder: Path, prefix: str) -> list[Path]:
    """Draws what the rows allow as PREFIX-*.png; returns the files: none without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return []
    matplotlib.use("Agg")
    return [
        path
        for path in (_training(rows, folder, prefix), _products(rows, folder, prefix), _scaling(rows, folder, prefix))
        if path
    ]


def _training(rows: Rows, folder: Path, prefix: str) -> Path | None:
    """Seconds per epoch, with a group of bars for each number of threads."""
    from matplotlib import pyplot as plt

    found = rows.pick(training.QUESTION, training.W64.name)
    if not found:
        return None
    counts = sorted({row.threads for row in found})
    names = [
        row.contestant for row in sorted(found.pick(training.QUESTION, threads=counts[-1]), key=lambda r: r.median)
    ]
    figure, axes = plt.subplots(figsize=(8, 0.5 + 0.25 * len(names) * len(counts)), layout="constrained")
    height = 0.8 / len(counts)
    for i, threads in enumerate(counts):
        at = found.pick(training.QUESTION, threads=threads)
        seconds = [row.median if (row := at.one(name)) else 0.0 for name in names]
        places = [j + (i - (len(counts) - 1) / 2) * height for j in range(len(names))]
        bars = axes.barh(places, seconds, height * 0.9, label=f"{threads} thread{'s' * (threads > 1)}")
        axes.bar_label(bars, [f"{s:.3f}" for s in seconds], padding=3, fontsize=8)
        axes.margins(x=0.12)  # room for the labels
    axes.set_yticks(range(len(names)), [LABELS[name] for name in names])
    axes.invert_yaxis()
    axes.set_xlabel("seconds an epoch of MNIST, 784-128-64-10, batch 64: shorter is better")
    axes.legend()
    return _save(figure, folder / f"{prefix}-training.png")


def _products(rows: Rows, folder: Path, prefix: str) -> Path | None:
    """GFLOP/s of square products over their size: the range over the transpositions."""
    from matplotlib import pyplot as plt

    found = rows.pick(kernels.PRODUCT)
    sizes = [n for n in (64, 128, 256, 512, 1024, 2048, 4096) if found.pick(kernels.PRODUCT, f"{n} x {n} x {n}, A B")]
    if not sizes:
        return None
    counts = sorted({row.threads for row in found})
    figure, panels = plt.subplots(1, len(counts), figsize=(4.5 * len(counts), 3.5), squeeze=False, layout="constrained")
    for axes, threads in zip(panels[0], counts, strict=True):
        for name, label in (("pynet", "pynet"), ("numpy", "NumPy")):
            speeds = [
                [2e-9 * n**3 / row.median for row in found.pick(kernels.PRODUCT, threads=threads)
                 if row.contestant == name and row.case.startswith(f"{n} x {n} x {n},")]
                for n in sizes
            ]  # fmt: skip
            axes.plot(sizes, [sum(s) / len(s) for s in speeds], marker="o", label=label)
            axes.fill_between(sizes, [min(s) for s in speeds], [max(s) for s in speeds], alpha=0.2)
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, [str(n) for n in sizes])
        axes.set(
            ylim=(0, None), xlabel="n, for n x n x n", ylabel="GFLOP/s", title=f"{threads} thread{'s' * (threads > 1)}"
        )
        axes.legend()
    return _save(figure, folder / f"{prefix}-products.png")


def _scaling(rows: Rows, folder: Path, prefix: str) -> Path | None:
    """Time per sample over samples, width and depth."""
    from matplotlib import pyplot as plt

    found = rows.pick(scaling.QUESTION)
    if not found:
        return None
    kinds = list(dict.fromkeys(row.case.split()[0] for row in found))
    figure, panels = plt.subplots(1, len(kinds), figsize=(4 * len(kinds), 3.5), squeeze=False, layout="constrained")
    for axes, kind in zip(panels[0], kinds, strict=True):
        for threads in sorted({row.threads for row in found}):
            selected = [row for row in found if row.threads == threads and row.case.split()[0] == kind]
            sizes = [int(row.case.split()[1].replace(",", "")) for row in selected]
            cost = [1e6 * row.median / row.facts["samples"] for row in selected]
            axes.plot(sizes, cost, marker="o", label=f"{threads} thread{'s' * (threads > 1)}")
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, [str(n) for n in sizes])
        axes.set(ylim=(0, None), xlabel=kind, ylabel="us a sample")
        axes.legend()
    return _save(figure, folder / f"{prefix}-scaling.png")


def _save(figure: object, path: Path) -> Path:
    from matplotlib import pyplot as plt

    figure.savefig(path, dpi=110, metadata={"Software": None})  # type: ignore[attr-defined]
    plt.close(figure)  # type: ignore[arg-type]
    return path
