"""From the arguments x, y of fit to the batches of a training and the pieces of its validation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pynet._ffi import Array, plain
from pynet.augment import Augment
from pynet.model.csr import is_sparse
from pynet.model.net import Net
from pynet.model.samples import Samples, check_finite, checked_weights, class_weights, targets_only
from pynet.training.arguments import is_paths
from pynet.training.batches import PROBE_SIZE, ArrayBatches, Batches, accept_whole_numbers
from pynet.training.scaling import unscaled
from pynet.training.validation import InMemory, Pieces


class Weights(NamedTuple):
    """The factors of the losses that fit was given: of each sample, and of each class."""

    sample: npt.ArrayLike | None = None
    by_class: Mapping[int, float] | Sequence[float] | str | None = None

    def of(self, net: Net, y: Any, n: int, rows: Array | None = None) -> Array | None:
        """Their products (n,); None: all 1. rows: those of the training, from whose classes balanced weights follow."""
        if self.by_class is None:
            return None if self.sample is None else checked_weights(self.sample, n)
        weights = class_weights(math.prod(net.out_shape), y if rows is None else plain(y, "y")[rows], self.by_class)
        if rows is not None:
            weights, part = np.ones(n, np.float32), weights
            weights[rows] = part
        return weights if self.sample is None else weights * checked_weights(self.sample, len(weights))


class Feed:
    """Samples x, y of a training; a fraction of them is set aside for validation, by number.

    window: see fit. rows, aside: the numbers of the samples for training and for validation (int32); None: all are for
    training.
    """

    def __init__(
        self,
        net: Net,
        x: Any,
        y: Any,
        *,
        weights: Weights,
        augment: Augment | None = None,
        fraction: float = 0.0,
        seed: int = 0,
        window: int | None = None,
        batch_size: int = 1,
    ) -> None:
        self._net, self._weights, self._augment = net, weights, augment
        self._x, self._y, self.window = _read(x, y, window, batch_size, bool(fraction) or weights.by_class is not None)
        self.rows: Array | None = None
        self.aside: Array | None = None
        if fraction:
            self._set_aside(fraction, seed)
        accept_whole_numbers(net, self._x[:window] if self.window else self._x)

    def _set_aside(self, fraction: float, seed: int) -> None:
        from pynet.data.splits import validation_rows  # imported here: most programs do not need it

        net = self._net
        if net._task_of(targets_only(net._signature, self._y)) == "regression":
            self._y = np.asarray(self._y, np.float32)  # whole numbers, too, are no classes here
        shape = self._x.shape if hasattr(self._x, "shape") else plain(self._x, "x").shape
        self.rows, self.aside = (rows.astype(np.int32) for rows in validation_rows(shape, self._y, fraction, seed))

    def samples(self) -> Samples:
        """All samples in memory, or mapped there, checked for finite numbers."""
        samples = self.unchecked()
        check_finite(samples)  # now, as the core would find them only in their batch
        return samples

    def unchecked(self) -> Samples:
        """As samples, without reading all of x."""
        n = self._x.shape[0] if hasattr(self._x, "shape") else len(plain(self._x, "x"))
        weights = self._weights.of(self._net, self._y, n, self.rows)
        return self._net._samples(self._x, self._y, weights, self._augment)

    def batches(
        self, batch_size: int, seed: int, shuffle: bool, chunks: int | None = None, processes: Any = None
    ) -> tuple[Batches, Pieces | None]:
        """The batches of the training, and what is set aside. chunks, processes: see chunks.py."""
        if chunks:
            return self._chunked((batch_size, seed, shuffle, chunks, processes))
        if self.window is None:
            samples = self.samples()
            return ArrayBatches(self._net, samples, batch_size, seed, shuffle, self.rows), self.set_aside(samples)
        from pynet.training.windows import WindowBatches, Windows  # imported here: most programs do not need it

        weights = self._weights.of(self._net, self._y, len(self._x), self.rows)
        data = self._net, self._x, self._y, self.window
        windows = Windows(*data, weights=weights, augment=self._augment, rows=self.rows)
        aside = None if self.aside is None else Windows(*data, rows=self.aside)
        return WindowBatches(self._net, windows, self.window, batch_size, seed, shuffle), aside

    def _chunked(self, options: tuple[Any, ...]) -> tuple[Batches, Pieces | None]:
        from pynet.training.chunks import ChunkBatches  # imported here: most programs do not need it

        if not (self.window is None or isinstance(self._x, np.ndarray)):
            raise ValueError("x is in files that do not fit in memory; accepted with chunks: an array or an np.memmap")
        samples = self.unchecked()
        batches = ChunkBatches(self._net, samples, *options, rows=self.rows, window=self.window)
        batches.check_finite()
        return batches, self.set_aside(samples)

    def unscaled(self) -> str:
        """A warning of the scale of x for a new network, from some of the samples; "" if there is none."""
        if self._net.updates or self._net._scale_known:
            return ""
        x = self._x if self.window or is_sparse(self._x) else plain(self._x, "x")
        if self.window:
            x = x[: 0 if x.dtype == np.uint8 else PROBE_SIZE]  # some bytes show nothing of the others
        elif not is_sparse(x) and x.dtype != np.uint8:
            x = x[:: max(x.shape[0] // PROBE_SIZE, 1)]
        return unscaled(self._net, x)

    def set_aside(self, samples: Samples) -> Pieces | None:
        """The samples for validation, without weights; None: there are none."""
        if self.aside is None:
            return None
        x, labels, targets, _ = samples.arrays
        return InMemory(Samples(x, labels, targets, samples.n), plain(self._y, "y"), self.aside)


def validation_pieces(net: Net, pair: Sequence[Any], batch_size: int) -> Pieces:
    """The validation data (x, y) or (x, y, weights) that fit was given."""
    given, targets, *weights = pair
    x, y, window = _read(given, targets, None, batch_size, False)
    if window is None:
        return InMemory(net._samples(x, y, *weights), plain(y, "y"))
    from pynet.training.windows import Windows

    weight = checked_weights(weights[0], len(x)) if weights else None
    return Windows(net, x, y, window, weights=weight, name="validation ")


def _read(x: Any, y: Any, window: int | None, batch_size: int, needs_y: bool) -> tuple[Any, Any, int | None]:
    """(x, y, window): files are read if they fit in memory; else x, and y unless needed, stay where they are."""
    if window is None and not (is_paths(x) or is_paths(y) or hasattr(x, "names") or isinstance(x, np.memmap)):
        return x, y, None
    from pynet.training.windows import in_files, opened, window_for  # imported here: most programs do not need it

    x, y = opened(x), opened(y)
    if window is not None and is_sparse(x):
        raise ValueError("window is for dense x; this is sparse, which takes less memory as it is")
    if window is not None and not in_files(x):
        x = plain(x, "x")
        if not x.ndim:
            raise ValueError(f"x is {x!s:.40}; accepted: an array of samples")
    window = window_for(x, window, batch_size)
    if in_files(x) and window is None:
        x = x[:]
    if in_files(y) and (window is None or needs_y or y.ndim == 1):
        y = y[:]
    return x, y if window is None or in_files(y) else plain(y, "y"), window
