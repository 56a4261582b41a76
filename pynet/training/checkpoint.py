"""Checkpoints: a training saved while it runs, so that it can go on from there as if nothing had happened."""

from __future__ import annotations

import json
import math
import os
import re
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pynet._ffi import Array
from pynet.model.net import Net, OptimizerState, new_stats
from pynet.text import finite, json_text
from pynet.training.progress import Progress

VERSION = 1


def _warn(error: OSError) -> None:
    warnings.warn(f"{error}; the training goes on, the last checkpoint is as it was", RuntimeWarning, stacklevel=2)


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often fit saves a training, and whether it goes on from what is there.

    The file is a model file that holds besides, in full, what the rest of the training depends on; it is written whole
    or not at all. every: epochs, as a number, or seconds, as in "30s". It is also written before the first epoch, at
    the end, and when an error or Ctrl-C ends the training.

    resume: go on from the file. The network, the data and all options must be those it was made with, as far as they
    change a number; epochs may be more, unless there is a schedule. The weights then end up the same to the last bit.
    Without resume, what lies at path is replaced only if it is the checkpoint of a training that came to its end.

    on_error: told when it cannot be written, because the disk is full, say; the training goes on.
    """

    path: str | os.PathLike[str]
    every: int | str = 1
    resume: bool = False
    on_error: Callable[[OSError], None] = field(default=_warn, repr=False)

    epochs: int = field(init=False, repr=False)
    seconds: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        found = re.fullmatch(r"(\d+)|(\d+(?:\.\d*)?)\s*s", str(self.every).strip())
        epochs, seconds = (int(found[1] or 0), float(found[2] or 0)) if found else (0, 0.0)
        if not epochs and not 0 < seconds < math.inf:
            accepted = "accepted: epochs, 1 or more, or seconds, as in 30s"
            raise ValueError(f"a checkpoint every {self.every!r:.40}; {accepted}")
        object.__setattr__(self, "epochs", epochs)
        object.__setattr__(self, "seconds", seconds)

    def check(self) -> None:
        """ValueError, OSError: what lies at path is nothing to go on from, or to be replaced."""
        if self.resume or Path(self.path).exists():
            state, _ = read(self.path)
            if not self.resume and not state.finished:
                raise ValueError(
                    f"{os.fspath(self.path)} holds a training that has come to epoch {len(state.rows) + 1}; "
                    "resume it, or remove the file"
                )


@dataclass
class State:
    """A training as it stands between two calls of the core: what its rest depends on, besides the network.

    facts: what must be the same to go on, in words; rows: the history. stats: loss, correct, samples and steps of the
    epoch that has begun. best: the weights that early stopping may restore.
    """

    facts: dict[str, str]
    rows: list[dict[str, float]]
    stats: dict[str, float]
    seconds: float
    optimizer: OptimizerState
    updates: int
    best: dict[str, Array]
    finished: bool = False

    def check_suits(self, facts: Mapping[str, str], place: str) -> None:
        """ValueError, which names it, if something is not as it was."""
        for name in self.facts | dict(facts):
            was, now = self.facts.get(name, "none"), facts.get(name, "none")
            if was != now:
                shown = f": {was} then, {now} now" if len(was + now) < 400 and "data" not in name else ""
                raise ValueError(f"{place} is the checkpoint of another training, with another {name}{shown}")


class Keeper:
    """Writes a training to its checkpoint as it goes."""

    def __init__(self, checkpoint: Checkpoint, net: Net, facts: dict[str, str]) -> None:
        self._checkpoint, self._net, self._facts = checkpoint, net, facts
        self._written = time.monotonic()

    def begin(self, epochs: int) -> Progress:
        """Takes up the training that the file holds, or writes the first: what cannot be written fails here."""
        checkpoint = self._checkpoint
        checkpoint.check()
        if not checkpoint.resume:
            progress = Progress()
            write(checkpoint.path, self._net, self._state(progress, False))
            return progress
        state, tensors = read(checkpoint.path)
        place = os.fspath(checkpoint.path)
        state.check_suits(self._facts, place)
        if len(state.rows) > epochs:
            raise ValueError(f"{place} has come to the end of epoch {len(state.rows)}, of {epochs} wanted")
        self._net._restore(tensors, state.optimizer, state.updates)
        return Progress(state.rows, len(state.rows), new_stats(**state.stats), state.seconds, state.best)

    def epoch_is_over(self, progress: Progress) -> None:
        """Writes if that many epochs are over."""
        every = self._checkpoint.epochs
        if every and len(progress.rows) % every == 0:
            self.write(progress)

    def call_is_over(self, progress: Progress) -> None:
        """Writes if that many seconds are over."""
        every = self._checkpoint.seconds
        if every and time.monotonic() - self._written >= every:
            self.write(progress)

    def write(self, progress: Progress, finished: bool = False) -> None:
        """Writes now; the training goes on if that cannot be done."""
        try:
            write(self._checkpoint.path, self._net, self._state(progress, finished))
        except OSError as error:
            self._checkpoint.on_error(error)
        self._written = time.monotonic()

    def _state(self, progress: Progress, finished: bool) -> State:
        begun = progress.epoch == len(progress.rows)
        stats, seconds = (progress.stats, progress.seconds) if begun else (new_stats(), 0.0)
        return State(
            self._facts,
            progress.rows,
            {name: getattr(stats, name) for name in ("loss", "correct", "samples", "steps")},
            seconds,
            self._net.optimizer_state,
            self._net.updates,
            progress.best,
            finished,
        )


# ---- the file -------------------------------------------------------------------------------------------------------


def write(path: str | os.PathLike[str], net: Net, state: State) -> None:
    """Writes the network and the state of its training, whole or not at all; OSError if that cannot be done."""
    tensors = {f"optimizer.{name}": tensor for name, tensor in state.optimizer.tensors.items()}
    tensors |= {f"best.{name}": tensor for name, tensor in state.best.items()}
    training = finite(
        {
            "version": VERSION,
            "facts": state.facts,
            "rows": state.rows,
            "stats": state.stats,
            "seconds": state.seconds,
            "optimizer": state.optimizer.kind,
            "steps": state.optimizer.steps,
            "finished": state.finished,
        }
    )
    words = json_text({"sha256": _digest(net, training, tensors), "training": training})
    net._save_checkpoint(path, words, tensors)


def read(path: str | os.PathLike[str]) -> tuple[State, dict[str, Array]]:
    """The state that write wrote, and the tensors of its network. OSError, ValueError: it is damaged, or none."""
    net, words, tensors = Net._load_checkpoint(path)
    try:
        content = json.loads(words)
        digest, training = content["sha256"], content["training"]
        if training["version"] != VERSION:
            raise ValueError(f"{os.fspath(path)} is a checkpoint of another version of pynet")
        if digest != _digest(net, training, tensors):
            raise KeyError
        kept = {name.removeprefix("optimizer."): t for name, t in tensors.items() if name.startswith("optimizer.")}
        state = State(
            training["facts"],
            [{name: math.nan if value is None else value for name, value in row.items()} for row in training["rows"]],
            training["stats"],
            training["seconds"],
            OptimizerState(training["optimizer"], training["steps"], kept),
            net.updates,
            {name.removeprefix("best."): t for name, t in tensors.items() if name.startswith("best.")},
            training["finished"],
        )
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"{os.fspath(path)} is a damaged checkpoint") from None
    return state, {name: tensor.copy() for name, tensor in net.tensors.items()}


def _digest(net: Net, training: Any, tensors: Mapping[str, Array]) -> str:
    """SHA-256 of all that the rest of a training depends on."""
    import hashlib

    digest = hashlib.sha256(json.dumps([net.spec, net.seed, net.updates, training], sort_keys=True).encode())
    for name, tensor in sorted((net.tensors | dict(tensors)).items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor).data)
    return digest.hexdigest()
