"""Checks users' data and converts them to the form that the core takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pynet._ffi import FLOAT32, INT32, UINT8, Array, augment_struct, ffi, lib, numbers, plain, pointer
from pynet.augment import Augment
from pynet.model.csr import CSR, is_sparse, rows_of

# Looked up once: the lookups would take a good part of the time of a prediction.
_PN_DATA, _UINT8, _FLOAT32 = ffi.typeof("pn_data *"), lib.PN_UINT8, lib.PN_FLOAT32


class Signature(NamedTuple):
    """The samples and targets that a network accepts: shapes of a sample and of its output, and the loss.

    whole_numbers: whether fit was given integers other than uint8; if so, they are used unchanged, else refused, as
    they could be pixels. labels: whether integer labels are accepted in place of one-hot rows.
    """

    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    loss_name: str
    whole_numbers: bool = False
    labels: bool = True


class Samples:
    """A pn_data for the core; keeps alive the arrays that it points to."""

    def __init__(
        self,
        x: Array | CSR | None,
        labels: Array | None,
        targets: Array | None,
        n: int,
        weights: Array | None = None,
        augment: Any = None,
    ) -> None:
        self.n, self.x, self.targets, self.arrays = n, x, targets, (x, labels, targets, weights)
        self.data = data = ffi.new(_PN_DATA)
        data.n = n
        if isinstance(x, CSR):
            self._x = pointer(x.values), pointer(x.columns), ffi.from_buffer("int64_t[]", x.starts)
            data.x, data.columns, data.starts = self._x
            data.stored, data.dtype = len(x.values), _FLOAT32
        elif x is not None:
            data.x = self._x = pointer(x)
            data.dtype = _UINT8 if x.dtype == UINT8 else _FLOAT32
        if labels is not None:
            data.labels = self._labels = pointer(labels)
        if targets is not None:
            data.targets = self._targets = pointer(targets)
        if weights is not None:
            data.weights = self._weights = pointer(weights)
        self.augmentation = "none"
        if augment is not None:
            strengths = ", ".join(f"{name} {getattr(augment, name)!r}" for name in Augment.__dataclass_fields__)
            self.augmentation = f"{strengths} of {augment.height}x{augment.width}"
            data.augment = self._augment = augment


def samples(
    signature: Signature,
    x: npt.ArrayLike | None,
    y: npt.ArrayLike | None,
    sample_weight: npt.ArrayLike | None = None,
    augment: Augment | None = None,
) -> Samples:
    """Samples of x, y and, optionally, the weight of each (n,). ValueError: they do not fit the network.

    augment: the augmentation of x in training.
    """
    inputs = _inputs(signature, x)
    labels, targets, target_count = _targets(signature, y)
    n = len(inputs)
    if n != target_count:
        raise ValueError(f"x has {n} samples, y has {target_count}")
    weights = None if sample_weight is None else checked_weights(sample_weight, n)
    augmentation = None if augment is None else _augmentation(signature, inputs, augment)
    return Samples(inputs, labels, targets, n, weights, augmentation)


def inputs_only(signature: Signature, x: npt.ArrayLike | None, augment: Augment | None = None) -> Samples:
    """As samples, with x only."""
    inputs = _inputs(signature, x)
    augmentation = None if augment is None else _augmentation(signature, inputs, augment)
    return Samples(inputs, None, None, len(inputs), augment=augmentation)


def targets_only(signature: Signature, y: npt.ArrayLike | None, sample_weight: npt.ArrayLike | None = None) -> Samples:
    """As samples, with y and weights only."""
    labels, targets, n = _targets(signature, y)
    return Samples(None, labels, targets, n, None if sample_weight is None else checked_weights(sample_weight, n))


def one_sample(signature: Signature, x: npt.ArrayLike) -> Array:
    """x, a single sample with or without the batch axis, as (1, ...)."""
    a = plain(x, "x")
    return a if _fits(signature.in_shape, a.shape) and len(a) == 1 else a[None]


def _augmentation(signature: Signature, x: Array | CSR, augment: Augment) -> Any:
    return augment_struct(augment, *picture_size(signature.in_shape, x.shape))


def picture_size(in_shape: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of pictures x (n, ..., height, width), or of the network's input. ValueError: no pictures."""
    size = shape[-2:] if len(shape) > 2 else in_shape[-2:]
    channels_last = len(shape) == 4 and shape[3] <= 4 < shape[1]  # a network without convolutions would accept it
    if len(size) < 2 or channels_last:
        accepted = "(n, height, width) or (n, channels, height, width)"
        hint = "; np.moveaxis(x, 3, 1) puts the channels first" if channels_last else ""
        raise ValueError(f"augment needs pictures {accepted}; x has shape {shape}{hint}")
    return int(size[0]), int(size[1])


def class_weights(outputs: int, y: npt.ArrayLike, weights: Mapping[int, float] | Sequence[float] | str) -> Array:
    """The weight of each sample (n,) from that of its class: a number for each class, or {class: weight}, others 1.

    "balanced": n / (k n_c) for the n_c samples of a class, of k classes that have some: all of them weigh alike, and
    the mean weight is 1 (King and Zeng 2001).
    """
    classes = max(2, outputs)
    if isinstance(weights, str) and weights == "balanced":
        labels, place, counts = np.unique(_classes(y), return_inverse=True, return_counts=True)
        return np.asarray(len(place) / (len(labels) * counts), FLOAT32)[place]
    if isinstance(weights, (str, bytes)) or not isinstance(weights, (Mapping, Sequence, np.ndarray)):
        accepted = "'balanced', a number for each class, or {class: weight}"
        raise ValueError(f"class_weight is {weights!r:.80}; accepted: {accepted}")
    if not isinstance(weights, Mapping) and plain(weights, "class_weight").shape != (classes,):
        raise ValueError(f"class_weight has {np.size(weights)} numbers; this network has {classes} classes")
    given = dict(weights) if isinstance(weights, Mapping) else dict(enumerate(weights))
    table = np.ones(classes, np.float32)
    for label, weight in given.items():
        if not isinstance(label, Integral) or not 0 <= label < classes:
            raise ValueError(f"class_weight names the class {label!r:.40}; this network has 0 to {classes - 1}")
        if not isinstance(weight, Real) or not 0 <= weight < math.inf:
            raise ValueError(f"class_weight of {label} is {weight!s:.40}; accepted: a finite number, 0 or more")
        table[label] = weight
    labels = _classes(y)
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"labels run from {labels.min()} to {labels.max()}; this network takes 0 to {classes - 1}")
    return np.asarray(table[labels.astype(np.intp)])


def _classes(y: npt.ArrayLike) -> Array:
    """The class of each sample (n,) of y, labels or one-hot rows. ValueError: y is neither."""
    labels = numbers(y, "y")
    if labels.ndim > 1:
        rows = labels.reshape(len(labels), math.prod(labels.shape[1:]))
        if rows.shape[1] == 1:
            labels = rows[:, 0]
        elif is_one_hot(rows):
            labels = rows.argmax(axis=1)
    if labels.ndim != 1 or not np.array_equal(labels, np.floor(labels)):
        raise ValueError("class_weight needs classes; these targets are real numbers; accepted: labels or one-hot rows")
    return labels


def is_one_hot(rows: Array) -> bool:
    """Whether each row (n, classes) is 1 in one place and 0 elsewhere."""
    return bool(((rows == 0) | (rows == 1)).all()) and bool((rows.sum(axis=1) == 1).all())


def check_finite(samples: Samples, name: str = "", first: int = 0) -> None:
    """ValueError if x or the targets hold NaN or infinity. name: prefix of "x" and "y"; first: number of sample 0."""
    _check_finite(samples.x, f"{name}x", "feature", first)
    check_targets(samples, name, first)


def check_targets(samples: Samples, name: str = "", first: int = 0) -> None:
    """As check_finite, for the targets only."""
    _check_finite(samples.targets, f"{name}y", "output", first)


def _check_finite(values: Array | CSR | None, name: str, place: str, first: int) -> None:
    if isinstance(values, CSR):
        stored = np.flatnonzero(~np.isfinite(values.values))
        if len(stored):
            k = stored[0]
            sample = int(np.searchsorted(values.starts, k, "right")) - 1 + first
            found = f"{name} holds {values.values[k]} in sample {sample}, {place} {values.columns[k]}"
            raise ValueError(f"{found}; accepted: finite numbers")
        return
    if values is None or values.dtype == UINT8:
        return
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum()):  # five times as fast as checking each; a sum may overflow, so check on
            return
    rows = values.reshape(len(values), -1)
    for start in range(0, len(rows), 4096):  # in parts: saves the memory of a mask as large as the data
        bad = np.argwhere(~np.isfinite(rows[start : start + 4096]))
        if len(bad):
            sample, at = int(bad[0, 0]) + start, int(bad[0, 1])
            found = f"{name} holds {rows[sample, at]} in sample {sample + first}, {place} {at}"
            raise ValueError(f"{found}; accepted: finite numbers")


# ---- conversion of x and y ----


def _inputs(signature: Signature, x: npt.ArrayLike | None) -> Array | CSR:
    if type(x) is not np.ndarray and is_sparse(x):
        rows = rows_of(x)
        if rows.shape[1:] != signature.in_shape:
            raise ValueError(f"x is sparse, of shape {rows.shape}; this network takes {signature.in_shape} per sample")
        return rows
    a = plain(x, "x")
    if a.shape[1:] != signature.in_shape and not _fits(signature.in_shape, a.shape):
        raise ValueError(f"x has shape {a.shape}, this network takes {_accepted(signature.in_shape, a.shape)}")
    if a.dtype == UINT8:
        return np.ascontiguousarray(a)
    if a.dtype.kind != "f" and not (signature.whole_numbers and a.dtype.kind in "biu"):
        raise ValueError(f"x has dtype {a.dtype}; accepted: uint8 (pixels, taken as x/255), float32, float64")
    return _narrowed(a)


def _narrowed(a: Array) -> Array:
    """a as float32, without NumPy's overflow warning: the core reports numbers that become infinite."""
    if a.dtype.itemsize <= 4:  # cannot overflow; errstate takes part of the time of a prediction
        return np.ascontiguousarray(a, FLOAT32)
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(a, FLOAT32)


def _fits(in_shape: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether a network of this in_shape accepts samples of this shape (n, ...).

    input(features) accepts any shape of that size, flattened; input(channels, height, width) also accepts rows and,
    with one channel, (n, height, width).
    """
    given, size = shape[1:], math.prod(in_shape)
    if len(shape) < 2 or math.prod(given) != size:
        return False
    return len(in_shape) == 1 or given in (in_shape, (size,)) or (in_shape[0] == 1 and given == in_shape[1:])


def _accepted(in_shape: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """The accepted shapes, for a message, and how to convert the given shape if that is obvious."""
    size = math.prod(in_shape)
    shapes = [in_shape]
    if len(in_shape) > 1:
        shapes += [in_shape[1:], (size,)] if in_shape[0] == 1 else [(size,)]
    text = " or ".join(f"(n, {', '.join(map(str, one))})" for one in shapes)
    channels_last = (*in_shape[1:], in_shape[0])
    if len(in_shape) == 3 and shape[1:] == channels_last:
        return f"{text}; np.moveaxis(x, 3, 1) puts the channels first"
    if len(in_shape) == 3 and shape == channels_last:
        return f"{text}; for one sample, np.moveaxis(x, 2, 0)[None]"
    return f"{text}; for one sample, x[None]" if math.prod(shape) == size and _fits(in_shape, (1, *shape)) else text


def _targets(signature: Signature, y: npt.ArrayLike | None) -> tuple[Array | None, Array | None, int]:
    """(labels, targets, n) of y; one of labels and targets is None."""
    a, outputs = numbers(y, "y"), math.prod(signature.out_shape)
    takes_targets = signature.loss_name != "cross_entropy"
    if a.ndim == 1 and outputs == 1 and takes_targets:
        return None, _narrowed(a).reshape(-1, 1), len(a)
    if a.ndim == 2 and a.shape[1] == 1 < outputs and a.dtype.kind in "biu":
        a = a[:, 0]  # a column of labels
    if a.ndim == 1 and (a.dtype.kind in "biu" or a.size == 0):
        if a.size and not signature.labels:
            raise ValueError(f"y holds labels; a network with rescale takes targets, (n, {outputs}) real numbers")
        if a.size and not (a.min() >= 0 and a.max() < outputs):
            raise ValueError(f"labels run from {int(a.min())} to {int(a.max())}; this network takes 0 to {outputs - 1}")
        return np.ascontiguousarray(a, INT32), None, len(a)
    if a.ndim > 2 and a.shape[1:] == signature.out_shape:
        a = a.reshape(len(a), outputs)
    if a.ndim == 2 and a.shape[1] == outputs:
        if takes_targets:
            return None, _narrowed(a), len(a)
        if not is_one_hot(a):
            raise ValueError("rows of y are not one-hot: cross-entropy takes integer labels (n,) or one-hot rows")
        return np.ascontiguousarray(a.argmax(axis=1), INT32), None, len(a)
    raise ValueError(
        f"y has shape {a.shape} and dtype {a.dtype}; this network takes integer labels (n,) or (n, {outputs}) rows"
    )


def checked_weights(sample_weight: npt.ArrayLike, n: int) -> Array:
    """The weights of n samples as float32 (n,). ValueError: another shape, or not numbers."""
    weights = numbers(sample_weight, "sample_weight")
    if weights.shape != (n,):
        raise ValueError(f"sample_weight has shape {weights.shape}; these samples take ({n},)")
    return _narrowed(weights)


def check_weights(weights: Array) -> None:
    """ValueError: a weight (n,) is negative or not finite; as in the core, which checks those of a call."""
    bad = np.flatnonzero(~((weights >= 0) & (weights < math.inf)))
    if len(bad):
        raise ValueError(f"weight of sample {bad[0]} is {weights[bad[0]]:g}; accepted: a finite number, 0 or more")
