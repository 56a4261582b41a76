"""MNIST as plain files in build/bench, so that every contestant, also in C, quickly reads the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.peers import Array

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "bench"
FEATURES = 784
TYPES = {"bytes": np.uint8, "standardised": np.float32, "labels": np.int32}


class Split(NamedTuple):
    """x (n, 784): uint8 pixels, or float32 with mean 0 and deviation 1, which has no zeros. y (n) int32."""

    x: Array
    y: Array


def path(part: str, kind: str) -> Path:
    """The file of a part (train, test) and kind (bytes, standardised, labels)."""
    return FOLDER / f"{part}.{kind}"


def prepare() -> None:
    """Writes the files if they are missing. Raises pynet.data.DataError: MNIST is not available."""
    files = [path(part, kind) for part in ("train", "test") for kind in TYPES]
    if all(file.exists() for file in files):
        return
    from pynet import data

    mnist = data.load("mnist")
    FOLDER.mkdir(parents=True, exist_ok=True)
    mean, deviation = mnist.x_train.mean() / 255, mnist.x_train.std() / 255
    for part, x, y in (("train", mnist.x_train, mnist.y_train), ("test", mnist.x_test, mnist.y_test)):
        standardised = (x / np.float32(255) - np.float32(mean)) / np.float32(deviation)
        for kind, array in (("bytes", x), ("labels", y), ("standardised", standardised)):
            partial = path(part, kind).with_suffix(".partial")
            array.astype(TYPES[kind]).tofile(partial)
            partial.replace(path(part, kind))  # complete or not at all


def read(part: str, kind: str, samples: int | None = None) -> Split:
    """The first samples (None: all) of a part."""
    n = -1 if samples is None else samples
    x = np.fromfile(path(part, kind), TYPES[kind], n if n < 0 else n * FEATURES).reshape(-1, FEATURES)
    return Split(x, np.fromfile(path(part, "labels"), TYPES["labels"], n))
