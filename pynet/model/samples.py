"""Data in the form the core takes: what users give is checked and converted here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pynet._ffi import UINT8, Array, array, augment_struct, ffi, lib, pointer
from pynet.augment import Augment

# Looked up once: that takes a good part of the time of a prediction.
_PN_DATA, _UINT8, _FLOAT32 = ffi.typeof("pn_data *"), lib.PN_UINT8, lib.PN_FLOAT32


class Signature(NamedTuple):
    """What a network takes and gives: the shapes of a sample and its output; the loss decides what targets may be."""

    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    loss_name: str


class Samples:
    """A data set for the core; keeps the arrays alive that it points to."""

    def __init__(
        self,
        x: Array | None,
        labels: Array | None,
        targets: Array | None,
        n: int,
        weights: Array | None = None,
        augment: Any = None,
    ) -> None:
        self.n, self.x, self.arrays = n, x, (x, labels, targets, weights)
        self.data = data = ffi.new(_PN_DATA)
        data.n = n
        if x is not None:
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
    takes: Signature,
    x: npt.ArrayLike,
    y: npt.ArrayLike | None,
    sample_weight: npt.ArrayLike | None = None,
    augment: Augment | None = None,
) -> Samples:
    """x with y and the weights of the samples (n,), as far as given; ValueError if they do not suit the network.

    augment: how training changes x.
    """
    inputs = _inputs(takes, x)
    labels, targets = (None, None) if y is None else _targets(takes, y)
    given = labels if labels is not None else targets
    if given is not None and len(inputs) != len(given):
        raise ValueError(f"x has {len(inputs)} samples, y has {len(given)}")
    how = None if augment is None else augment_struct(augment, *picture_size(takes.in_shape, np.shape(x)))
    return Samples(inputs, labels, targets, len(inputs), _weights(sample_weight, len(inputs)), how)


def answers(takes: Signature, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Samples:
    """y and the weights of samples (n,) whose x the network has seen; ValueError if they do not suit it."""
    labels, targets = _targets(takes, y)
    n = len(labels) if labels is not None else len(targets) if targets is not None else 0
    return Samples(None, labels, targets, n, _weights(sample_weight, n))


def _weights(sample_weight: npt.ArrayLike | None, n: int) -> Array | None:
    if sample_weight is not None and np.shape(sample_weight) != (n,):
        raise ValueError(f"sample_weight has shape {np.shape(sample_weight)}; these samples take ({n},)")
    return None if sample_weight is None else array(sample_weight)


def picture_size(in_shape: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of pictures x (n, ..., height, width), or of those the network takes; else ValueError."""
    size = shape[-2:] if len(shape) > 2 else in_shape[-2:]
    if len(size) < 2:
        wanted = "(n, height, width) or (n, channels, height, width)"
        raise ValueError(f"augment needs pictures {wanted}; x has shape {shape}")
    return int(size[0]), int(size[1])


def class_weights(outputs: int, y: npt.ArrayLike, weights: Mapping[int, float] | Sequence[float]) -> Array:
    """The weight of each sample (n,) from that of its class: a number for each class, or {class: weight}, others 1."""
    classes = max(2, outputs)
    labels = np.asarray(y)
    if labels.ndim > 1:
        labels = labels.reshape(len(labels), -1)
        labels = labels.argmax(axis=1) if labels.shape[1] > 1 else labels[:, 0]
    if labels.dtype.kind not in "iu":
        if not np.array_equal(labels, labels.astype(np.int64)):
            raise ValueError("class_weight needs classes; these targets are real numbers")
        labels = labels.astype(np.int64)
    if not isinstance(weights, Mapping) and len(weights) != classes:
        raise ValueError(f"class_weight has {len(weights)} numbers; this network has {classes} classes")
    given = dict(weights) if isinstance(weights, Mapping) else dict(enumerate(weights))
    table = np.ones(classes, np.float32)
    for label, weight in given.items():
        if not 0 <= label < classes:
            raise ValueError(f"class_weight names the class {label}; this network has 0 to {classes - 1}")
        if not 0 <= weight < math.inf:
            raise ValueError(f"class_weight of {label} is {weight}; accepted: a finite number, 0 or more")
        table[label] = weight
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"labels run from {labels.min()} to {labels.max()}; this network takes 0 to {classes - 1}")
    return np.asarray(table[labels])


def _inputs(takes: Signature, x: npt.ArrayLike) -> Array:
    a = np.asarray(x)
    if x is None or a.dtype.kind == "O":
        raise ValueError(f"x is {x!r:.60}; this network takes an array (n, {_listed(takes.in_shape)})")
    if a.shape[1:] != takes.in_shape and (a.ndim < 2 or math.prod(a.shape[1:]) != math.prod(takes.in_shape)):
        wanted = _listed(takes.in_shape)
        hint = "; for one sample, x[None]" if a.size == math.prod(takes.in_shape) else ""
        raise ValueError(f"x has shape {a.shape}, this network takes (n, {wanted}){hint}")
    if a.dtype == UINT8:
        return array(a, UINT8)
    if a.dtype.kind != "f":
        raise ValueError(f"x has dtype {a.dtype}; accepted: uint8 (pixels, taken as x/255), float32, float64")
    return array(a)


def _listed(shape: tuple[int, ...]) -> str:
    return ", ".join(str(size) for size in shape)


def _targets(takes: Signature, y: npt.ArrayLike) -> tuple[Array | None, Array | None]:
    """y as (labels, targets), one of them None."""
    a, outputs = np.asarray(y), math.prod(takes.out_shape)
    takes_targets = takes.loss_name != "cross_entropy"
    if a.ndim == 1 and outputs == 1 and takes_targets:
        return None, array(a).reshape(-1, 1)
    if a.ndim == 1 and (a.dtype.kind in "iu" or a.size == 0):
        if a.size and not (a.min() >= 0 and a.max() < outputs):
            raise ValueError(f"labels run from {a.min()} to {a.max()}; this network takes 0 to {outputs - 1}")
        return array(a, np.int32), None
    if a.ndim > 2 and a.shape[1:] == takes.out_shape:
        a = a.reshape(len(a), outputs)
    if a.ndim == 2 and a.shape[1] == outputs and a.dtype.kind in "iufb":
        if takes_targets:
            return None, array(a)
        if not np.array_equal(a.sum(axis=1), np.ones(len(a))) or not np.isin(a, (0, 1)).all():
            raise ValueError("rows of y are not one-hot: cross-entropy takes integer labels (n,) or one-hot rows")
        return array(a.argmax(axis=1), np.int32), None
    raise ValueError(
        f"y has shape {a.shape} and dtype {a.dtype}; this network takes integer labels (n,) or (n, {outputs}) rows"
    )
