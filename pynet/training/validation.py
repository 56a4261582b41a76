"""The validation of a training: which data it is measured on, and what is measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from pynet._ffi import Array, is_masked
from pynet.model.evaluation import measured
from pynet.model.net import Net, new_stats
from pynet.model.samples import Samples, check_finite
from pynet.model.task import TaskKind
from pynet.training.arguments import Metric
from pynet.training.batches import fingerprint
from pynet.training.history import FIGURES

OUTPUT_ROWS = 4096  # samples that are copied for one call, where only some of an array count


class Piece(NamedTuple):
    """Samples, the numbers of those that count (None: all), and the targets as the user gave them."""

    samples: Samples
    rows: Array | None
    y: Array

    def outputs(self, net: Net) -> Array:
        """The network's outputs for the samples that count."""
        if self.rows is None:
            return net._outputs(self.samples)
        x: Any = self.samples.x
        parts = [self.rows[i : i + OUTPUT_ROWS] for i in range(0, len(self.rows), OUTPUT_ROWS)]
        return np.concatenate([net._outputs(Samples(x[rows], None, None, len(rows))) for rows in parts])

    def targets(self) -> Array:
        """The targets as the network learns them."""
        assert self.samples.targets is not None
        return self.samples.targets if self.rows is None else self.samples.targets[self.rows]


class Pieces(Protocol):
    """Samples that are read piece by piece."""

    def pieces(self) -> Iterator[Piece]:
        """All samples that count."""

    def fingerprint(self) -> str:
        """SHA-256 of them."""

    @property
    def has_targets(self) -> bool:
        """Whether they have numbers to predict, not labels."""


class InMemory:
    """Samples of arrays, all or those of these numbers, which are not copied."""

    def __init__(self, samples: Samples, y: Array, rows: Array | None = None) -> None:
        self._piece = Piece(samples, rows, y if rows is None else y[rows])
        self.has_targets = samples.targets is not None
        if rows is None:
            check_finite(samples, "validation ")

    def pieces(self) -> Iterator[Piece]:
        """See Pieces."""
        yield self._piece

    def fingerprint(self) -> str:
        """See Pieces."""
        return fingerprint(self._piece.samples, self._piece.rows)


class Validation:
    """Measures the network on the validation data."""

    def __init__(self, net: Net, task: TaskKind, data: Pieces | None, metrics: Mapping[str, Metric]) -> None:
        self._net, self._task, self._data, self._metrics = net, task, data, metrics
        for name, metric in metrics.items():
            _check_metric(name, metric)
        usual = [f"val_{name}" for name in FIGURES[task]]
        self.columns = list(dict.fromkeys([*usual, *(f"val_{name}" for name in metrics)])) if data else []
        if data and task == "regression" and not data.has_targets:
            raise ValueError("validation y holds labels, but the network learns numbers; accepted: targets alike")
        if metrics and not data:
            raise ValueError(f"metrics {', '.join(metrics)} need validation data")

    def figures(self) -> dict[str, float]:
        """Loss and metrics; empty without validation data. FloatingPointError: the loss is not finite."""
        if self._data is None:
            return {}
        stats, regression = new_stats(), self._task == "regression"
        targets, outputs, given = [], [], []
        for piece in self._data.pieces():
            evaluation: Any = self._net._evaluate(piece.samples, piece.rows, stats)
            if regression or self._metrics:
                outputs.append(piece.outputs(self._net))
                targets.extend([piece.targets()] if regression else [])
                given.extend([piece.y] if self._metrics else [])
        if regression:
            evaluation = measured(evaluation.loss, _joined(targets), _joined(outputs))
        row = {f"val_{name}": getattr(evaluation, name) for name in FIGURES[self._task]}
        if self._metrics:
            y, scores = _joined(given), _joined(outputs)
            row |= {f"val_{name}": _figure(name, metric(y, scores)) for name, metric in self._metrics.items()}
        return row

    def facts(self) -> dict[str, str]:
        """What determines the metrics, as text."""
        if self._data is None:
            return {}
        return {"validation data": self._data.fingerprint(), "metrics": ", ".join(self._metrics) or "none"}


def _joined(parts: list[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _check_metric(name: str, metric: Metric) -> None:
    """ValueError, TypeError: the name is not accepted in the history, or the metric is not a function."""
    if name in ("loss", "accuracy"):
        raise ValueError(f"metrics has {name!r}, but the history already has val_{name}; accepted: another name")
    if not isinstance(name, str) or not f"val_{name}".isidentifier():
        raise ValueError(f"metrics has {name!r:.40}; accepted: names of letters, digits and _, as in val_f1")
    if not callable(metric):
        raise TypeError(f"metric {name} is {metric!r:.40}; accepted: a function of y and the outputs")


def _figure(name: str, value: Any) -> float:
    """The value of a metric as float. ValueError: it is not a number."""
    figure = np.asarray(value)
    if figure.ndim or figure.dtype.kind not in "biuf" or is_masked(value):
        raise ValueError(f"metric {name} returned {value!r:.40}; accepted: a number")
    return float(figure)
