"""Does a regularisation help on these samples? Tried out on some of them before the training.

Two small trainings, from the same weights, with the same batches: one with it and one without. The validation samples
that only one of both classifies rightly decide, by the sign test (Q. McNemar 1947).
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass

import numpy as np

from pynet._ffi import Array
from pynet.augment import Augment
from pynet.data.splits import split
from pynet.errors import DataError
from pynet.model.net import Net
from pynet.optim import Optimizer
from pynet.schedules import Schedule
from pynet.text import parsed_json, reading_note, require
from pynet.training.fit import fit
from pynet.training.scaling import adapt

NOTE = "trial"  # the key of what was tried among the notes of a model file
SAMPLES = 2500  # that are learnt from, at most
VALIDATION = 2000  # that decide, at most
DEVIATIONS = 1.0  # by which the training without must be better


@dataclass(frozen=True)
class Trial:
    """What was tried, on how many samples, the validation accuracy of either training, and whether it was kept."""

    tried: str
    samples: int
    epochs: int
    accuracy: float
    accuracy_without: float
    kept: bool

    def __str__(self) -> str:
        end = "kept" if self.kept else "kept off"
        return (
            f"{self.tried}: tried on {self.samples:,} samples for {self.epochs} epochs, {end}: "
            f"validation {100 * self.accuracy:.1f} % against {100 * self.accuracy_without:.1f} % without"
        )

    def note(self) -> str:
        """The text that a model file carries."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_note(text: str) -> Trial:
        """The trial of a note(). Raises ValueError, which names the text, if it is none."""
        with reading_note("what was tried", text):
            found = Trial(**parsed_json(text))
            require(isinstance(found.tried, str) and type(found.kept) is bool)
            require(all(type(count) is int and count >= 0 for count in (found.samples, found.epochs)))
            require(all(0 <= float(share) <= 1 for share in (found.accuracy, found.accuracy_without)))
        return found


def learnt_in_trial(samples: int, epochs: int) -> int:
    """How many samples both trainings of a trial go through, of a data set of this size."""
    return 2 * epochs * min(SAMPLES, samples - _aside(samples))


def _aside(samples: int) -> int:
    return min(VALIDATION, samples // 4)


def try_out(
    tried: str,
    texts: tuple[str, str],
    augments: tuple[Augment | None, Augment | None],
    x: Array,
    y: Array,
    *,
    epochs: int,
    batch_size: int,
    optimizer: Optimizer,
    schedule: Schedule | None,
    seed: int,
) -> Trial | None:
    """Trains the networks texts with augments, the first with what is tried, the second without; see the module.

    x (n, ...), y (n) labels: the training samples. The same for the same seed, whatever the number of threads. None:
    the samples are too few for it.
    """
    try:
        learn, held = _parts(y, seed)
    except DataError:
        return None
    right = []
    for text, augment in zip(texts, augments, strict=True):
        net = Net(text, seed)
        net._scale_known = True
        if net.layers[0].kind == "standardize":
            adapt(net, x[learn])
        fit(
            net,
            x[learn],
            y[learn],
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            schedule=schedule,
            augment=augment,
            seed=seed,
            verbose=0,
        )
        right.append(net.predict(x[held]) == y[held])
    gain = int(np.sum(right[1])) - int(np.sum(right[0]))
    kept = gain <= DEVIATIONS * math.sqrt(int(np.sum(right[0] != right[1])))
    return Trial(tried, len(learn), epochs, float(right[0].mean()), float(right[1].mean()), kept)


def _parts(y: Array, seed: int) -> tuple[Array, Array]:
    """Which samples to learn from, and which ones decide. DataError: they cannot be divided."""
    rows = np.arange(len(y))
    learn, labels, held, _ = split(rows, y, max(_aside(len(y)), 1) / max(len(y), 2), seed)
    if len(learn) > SAMPLES:
        _, _, learn, _ = split(learn, labels, SAMPLES / len(learn), seed)
    return learn, held
