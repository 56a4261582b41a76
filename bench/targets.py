"""The targets of the benchmark, and how each is computed from the rows.

They hold for two cores with AVX-512. bench/results/notes.md explains the targets that are missed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bench import convolution, estimators, inference, kernels, larger, startup, training, variants
from bench.measurements import Rows, ratio
from bench.peers import HEAVY, NUMPY

BANDWIDTH = 0.9  # a kernel with this fraction of the speed of a copy is limited by memory bandwidth


@dataclass(frozen=True)
class Target:
    """A limit, and the function that computes the measured figure (None: it was not measured in this run)."""

    what: str
    limit: float
    unit: str  # "x": ratio of speeds; "of its time": ratio of times; "%", "ms", "us", "s", "MB"
    measure: Callable[[Rows], float | None]
    at_least: bool = True

    @property
    def limit_text(self) -> str:
        """The limit in words."""
        return f"{'at least' if self.at_least else 'at most'} {self.limit:g} {self.unit}"

    def met(self, rows: Rows) -> bool | None:
        """Whether the limit is met; None if it was not measured."""
        value = self.measure(rows)
        return None if value is None else (value >= self.limit if self.at_least else value <= self.limit)


def faster(case: str, threads: int, peers: Iterable[str]) -> Callable[[Rows], float | None]:
    """The speed of pynet's training relative to the best of these peers; None unless all were measured."""

    def measure(rows: Rows) -> float | None:
        found = rows.pick(training.QUESTION, case, threads)
        return ratio(found, "pynet", peers) if all(found.one(peer) for peer in peers) else None

    return measure


def convolves(threads: int) -> Callable[[Rows], float | None]:
    """The speed of training the LeNet-like network, relative to PyTorch in its faster memory layout."""
    return lambda rows: ratio(
        rows.pick(convolution.QUESTION, convolution.CASE, threads), "pynet", ["torch", "torch-channels-last"]
    )


def larger_faster(case: str, threads: int) -> Callable[[Rows], float | None]:
    """The speed of a case of bench.larger relative to PyTorch in its faster memory format."""
    return lambda rows: ratio(rows.pick(larger.QUESTION, case, threads), "pynet", ["torch", "torch-channels-last"])


def peak_share(threads: int) -> Callable[[Rows], float | None]:
    """Per cent of the peak of fused multiply-adds: n times the fastest turn of one thread.

    If other processes occupy a core, the peak of n threads is measured too low, so the best over all rows counts.
    """

    def measure(rows: Rows) -> float | None:
        found = rows.pick(training.QUESTION, training.W64_STANDARDISED.name)
        ours = found.pick(training.QUESTION, threads=threads).one("pynet")
        peaks = [
            row.minimum * row.threads / threads for row in found if row.contestant == "peak" and row.threads <= threads
        ]
        return None if ours is None or not peaks else 100 * min(peaks) / ours.median

    return measure


def python_adds(threads: int) -> Callable[[Rows], float | None]:
    """The overhead of Python: per cent of fit's time beyond that of the same loop in C."""

    def measure(rows: Rows) -> float | None:
        c_over_python = ratio(rows.pick(training.PYTHON, threads=threads), "pynet", ["C"])
        return None if c_over_python is None else 100 * (1 - c_over_python)

    return measure


def costs(variant: str, threads: int) -> Callable[[Rows], float | None]:
    """The time of W64 with this optimizer or layer, divided by the time of plain W64."""

    return lambda rows: ratio(rows.pick(variants.QUESTION, threads=threads), "pynet", [variant])


def worst_product(threads: int, sizes: Iterable[int]) -> Callable[[Rows], float | None]:
    """The lowest ratio to NumPy over square products of these sizes, all transpositions."""

    def measure(rows: Rows) -> float | None:
        names = {f"{n} x {n} x {n}, {transposed}" for n in sizes for transposed in kernels.TRANSPOSED}
        found = rows.pick(kernels.PRODUCT, threads=threads)
        ratios = [ratio(found.pick(kernels.PRODUCT, name), "pynet", NUMPY) for name in names]
        return min((r for r in ratios if r is not None), default=None)

    return measure


def kernel(name: str) -> Callable[[Rows], float | None]:
    """The lowest speed relative to NumPy, from 100,000 elements, into a buffer, one thread; sizes at which memory
    bandwidth is the limit do not count."""

    def measure(rows: Rows) -> float | None:
        ratios = []
        for elements in kernels.ELEMENTS[1:]:
            found = rows.pick(kernels.SINGLE, f"{name}, {elements:,}, buffer", 1)
            times, copy = ratio(found, "pynet", NUMPY), ratio(found, "pynet", ["copy"])
            if times is None or copy is None:
                return None
            ratios.append(math.inf if copy >= BANDWIDTH and times < 2 else times)
        return min(ratios)

    return measure


def of_a_copy(name: str) -> Callable[[Rows], float | None]:
    """Per cent of the speed of a copy of as many bytes, with arrays larger than most caches, one thread."""

    def measure(rows: Rows) -> float | None:
        found = rows.pick(kernels.SINGLE, f"{name}, {kernels.ELEMENTS[-1]:,}, buffer", 1)
        share = ratio(found, "pynet", ["copy"])
        return None if share is None else 100 * share

    return measure


def small_kernels(rows: Rows) -> float | None:
    """The largest number of microseconds by which a function of pynet.kernels is slower than NumPy, 1,000 elements."""
    found = [rows.pick(kernels.SINGLE, case, 1) for case, _ in rows.pick(kernels.SINGLE).cases() if _small(case)]
    pairs = [(cases.one("pynet"), cases.one("numpy")) for cases in found]
    return max((1e6 * (a.median - b.median) for a, b in pairs if a and b), default=None)


def _small(case: str) -> bool:
    return f", {kernels.ELEMENTS[0]:,}, new array" in case


def prediction_time(case: str, threads: int, contestant: str, scale: float) -> Callable[[Rows], float | None]:
    """The median of a case of inference, in units of 1/scale seconds."""

    def measure(rows: Rows) -> float | None:
        row = rows.pick(inference.QUESTION, case, threads).one(contestant)
        return None if row is None else row.median * scale

    return measure


def predicts_faster(case: str, threads: int, peers: Iterable[str]) -> Callable[[Rows], float | None]:
    """The speed of pynet's predictions relative to the best of these peers."""
    return lambda rows: ratio(rows.pick(inference.QUESTION, case, threads), "pynet", peers)


def import_adds(rows: Rows) -> float | None:
    """Milliseconds that `import pynet` takes longer than `import numpy`."""
    found = rows.pick(startup.QUESTION, "import")
    ours, numpy = found.one("pynet"), found.one("numpy")
    return None if ours is None or numpy is None else 1e3 * (ours.median - numpy.median)


def whole_process(fact: str) -> Callable[[Rows], float | None]:
    """The seconds or the peak MB of the whole process of pynet's command."""

    def measure(rows: Rows) -> float | None:
        row = rows.pick(startup.QUESTION, "whole process").one("pynet")
        return None if row is None else row.median if fact == "seconds" else row.facts[fact]

    return measure


W64, STANDARDISED = training.W64.name, training.W64_STANDARDISED.name
MANY, ONE = f"class of {inference.MANY:,} images", "class of one image"
SMALL, LARGE = (64, 128, 256), (512, 1024, 2048, 4096)
NUMPYS, PEERS = tuple(NUMPY), (*NUMPY, *HEAVY)

TARGETS = [
    Target("W64, 2 threads, against NumPy's best", 5.8, "x", faster(W64, 2, NUMPYS)),
    Target("W64, 2 threads, against PyTorch nn + SGD", 9.5, "x", faster(W64, 2, ["torch"])),
    Target("W64, 2 threads, against PyTorch by hand", 3.8, "x", faster(W64, 2, ["torch-out"])),
    Target("W64, 2 threads, against JAX scan", 4.5, "x", faster(W64, 2, ["jax"])),
    Target("W64, 1 thread, against NumPy's best", 4, "x", faster(W64, 1, NUMPYS)),
    Target("W64, 1 thread, against JAX scan", 3.3, "x", faster(W64, 1, ["jax"])),
    Target("W64 standardised, 1 thread, against JAX scan", 1.45, "x", faster(STANDARDISED, 1, ["jax"])),
    Target("W64 standardised, 2 threads, against PyTorch by hand", 2.1, "x", faster(STANDARDISED, 2, ["torch-out"])),
    Target("W64 standardised, 1 thread, of the FMA peak", 85, "%", peak_share(1)),
    Target("W64 standardised, 2 threads, of the FMA peak", 75, "%", peak_share(2)),
    Target("batch 32, 2 threads, against the best peer", 4, "x", faster("batch 32", 2, PEERS)),
    Target("batch 256, 2 threads, against the best peer", 2.8, "x", faster("batch 256", 2, PEERS)),
    Target("batch 1024, 2 threads, against the best peer", 2, "x", faster("batch 1024", 2, PEERS)),
    Target("784-512-512-10, 2 threads, against NumPy's best", 2.5, "x", faster(training.LARGE.name, 2, NUMPYS)),
    *[
        Target(
            f"LeNet-like step, {threads} thread{'s' * (threads > 1)}, against PyTorch's best",
            2.5,
            "x",
            convolves(threads),
        )
        for threads in (1, 2)
    ],
    *[
        Target(f"{case}, {threads} thread{'s' * (threads > 1)}, against PyTorch", limit, "x", measure)
        for case, *limits in (
            ("wide, step", 1.15, 1.3),
            ("deep, step", 1.5, 1.5),
            ("autoencoder, step", 1.5, 1.5),
            ("cifar, step", 1.6, 1.7),
            ("resnet, step", 1.35, 1.55),
            ("cnn preset, step", 2.5, 2.5),
            ("LeNet-like, step", 3, 3),
            ("wide, 512 rows", 1.1, 1.1),
            ("deep, 512 rows", 1.1, 1.1),
            ("autoencoder, 512 rows", 1.4, 1.4),
            ("cifar, 512 rows", 2.5, 2.5),
            ("resnet, 512 rows", 2.5, 2.5),
            ("wide, one row", 1.2, 1.2),
            ("cifar, one row", 3, 3),
            ("resnet, one row", 3, 3),
        )
        for threads, limit in enumerate(limits, start=1)
        for measure in [larger_faster(case, threads)]
    ],
    Target("Python's share of W64, 1 thread", 3, "%", python_adds(1), at_least=False),
    Target("Python's share of W64, 2 threads", 3, "%", python_adds(2), at_least=False),
    *[
        Target(
            f"W64 with {variant}, {threads} thread{'s' * (threads > 1)}", limit, "of its time", measure, at_least=False
        )
        for variant, limit in (("momentum", 1.15), ("Adam", 1.6), ("batchnorm", 1.15), ("dropout", 1.15))
        for threads in (1, 2)
        for measure in [costs(variant, threads)]
    ],
    *[
        Target(f"matrix product, {name}, {threads} thread{'s' * (threads > 1)}, worst case", limit, "x", measure)
        for name, limit, sizes in (("256 and below", 1.2, SMALL), ("512 to 4096", 0.9, LARGE))
        for threads in (1, 2)
        for measure in [worst_product(threads, sizes)]
    ],
    Target("softmax from 100,000 elements, against NumPy's best", 2, "x", kernel("softmax")),
    Target("cross-entropy gradient from 100,000 elements", 2, "x", kernel("cross-entropy gradient")),
    Target("ReLU from 100,000 elements", 2, "x", kernel("ReLU")),
    Target("SGD from 100,000 elements", 2, "x", kernel("SGD")),
    Target("Adam alone, of a copy's speed", 100 * BANDWIDTH, "%", of_a_copy("Adam")),
    Target("kernels at 1,000 elements, slower than NumPy by", 1, "us", small_kernels, at_least=False),
    Target("10,000 images, 2 threads", 4, "ms", prediction_time(MANY, 2, "pynet", 1e3), at_least=False),
    Target("10,000 images, 2 threads, against PyTorch", 2.075, "x", predicts_faster(MANY, 2, ["torch", "torch-out"])),
    Target("one image from Python", 5, "us", prediction_time(ONE, 1, "pynet", 1e6), at_least=False),
    Target("one image from Python, against NumPy", 2.34, "x", predicts_faster(ONE, 1, NUMPYS)),
    Target("one image from C", 2.5, "us", prediction_time(ONE, 1, "C", 1e6), at_least=False),
    Target("import pynet takes longer than import numpy by", 25, "ms", import_adds, at_least=False),
    Target("pynet.train --dataset mnist, 10 epochs", 1.5, "s", whole_process("seconds"), at_least=False),
    Target("PynetClassifier, CPU time against MLPClassifier's", 5, "x", estimators.cheaper),
    Target("its memory at the peak", 150, "MB", whole_process("peak_mb"), at_least=False),
]
