"""Checkpoints: the complete state of a training, from which it can be resumed with the same results."""

from __future__ import annotations

import json
import math
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pynet._ffi import Array
from pynet.files import check_writable
from pynet.model.net import STATS, Net, OptimizerState, new_stats, stats_numbers
from pynet.optim import OPTIMIZERS
from pynet.text import finite, json_text, parsed_json, printable
from pynet.training.batches import Batches
from pynet.training.callbacks import Progress

VERSION = 1
MAX_COUNT = 1 << 53  # of samples and steps; the core limits the steps of an optimizer to this


def _warn(error: OSError) -> None:
    warnings.warn(
        f"{printable(str(error))}; the training continues, the last checkpoint is unchanged",
        RuntimeWarning,
        stacklevel=2,
    )


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often fit saves a training, and whether it resumes from that file.

    The file is a model file that also holds the complete state of the training; it is written whole or not at all.
    every: a number of epochs, or seconds as in "30s". It is also written before the first epoch, at the end, and when
    an exception or Ctrl-C ends the training.

    resume: continue from the file. Network, data and options must be the same, as far as they change the results;
    epochs may be increased, unless there is a schedule. The final weights are the same, bit for bit, as without
    interruption. Without resume, an existing file is replaced only if it is the checkpoint of a finished training.

    on_error: called with the OSError if a checkpoint cannot be written, for example on a full disk; the training
    continues.
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
        """ValueError, OSError: the file at path cannot be resumed from, replaced or written."""
        check_writable(self.path)
        if self.resume or Path(self.path).exists():
            state, _ = read(self.path)
            if not self.resume and not state.finished:
                raise ValueError(
                    f"{os.fspath(self.path)} holds an unfinished training, in epoch {len(state.rows) + 1}; "
                    "resume it, or remove the file"
                )


@dataclass
class State:
    """The state of a training between two calls of the core, without the network.

    facts: options and data that must be the same on resume, as text; rows: the history. stats: loss, correct, samples
    and steps of the current epoch. best: the weights that early stopping may restore.
    """

    facts: dict[str, str]
    rows: list[dict[str, float]]
    stats: dict[str, float]
    seconds: float
    optimizer: OptimizerState
    updates: int
    best: dict[str, Array]
    finished: bool = False

    def check_suits(self, facts: Mapping[str, str], path: str) -> None:
        """ValueError if an option or the data differ from those of the checkpoint."""
        for name in self.facts | dict(facts):
            was, now = self.facts.get(name, "none"), facts.get(name, "none")
            if was != now:
                short = len(was + now) < 400 and "data" not in name
                shown = f": {printable(was)}, now {printable(now)}" if short else ""
                raise ValueError(f"{path} is the checkpoint of a training with another {name}{shown}")

    def check_agrees(self, net: Net, tensors: Mapping[str, Array], batches: Batches, columns: Sequence[str]) -> None:
        """_WrongError: the state does not match this network, its batches, and the columns of its history.

        tensors: the parameters in the file.
        """
        for name, expected in net.tensors.items():
            found = tensors[name].shape if name in tensors else "missing"
            accepted = f"{expected.shape}, that of the network it names"
            _require(found == expected.shape, f"the shape of {name}", found, accepted)
        if self.rows:
            _require(self.rows[0].keys() == set(columns), "rows[0]", sorted(self.rows[0]), ", ".join(columns))
        steps, samples = self.stats["steps"], self.stats["samples"]
        if batches.steps is not None:
            _require(steps <= batches.steps, "stats.steps", steps, f"0 to {batches.steps}, the steps of an epoch")
        before = batches.samples_before(int(steps))
        if before is not None:
            _require(samples == before, "stats.samples", samples, f"{before}, the samples of {steps} steps")


class CheckpointWriter:
    """Writes the checkpoints of a training."""

    def __init__(
        self, checkpoint: Checkpoint, net: Net, facts: dict[str, str], batches: Batches, columns: Sequence[str]
    ) -> None:
        self._checkpoint, self._net, self._facts = checkpoint, net, facts
        self._batches, self._columns = batches, columns
        self._written = time.monotonic()

    def begin(self, epochs: int) -> Progress:
        """Resumes from the file, or writes a first checkpoint, so that write errors come before the training."""
        checkpoint = self._checkpoint
        checkpoint.check()
        if not checkpoint.resume:
            progress = Progress()
            write(checkpoint.path, self._net, self._state(progress, False))
            return progress
        state, tensors = read(checkpoint.path)
        path = os.fspath(checkpoint.path)
        state.check_suits(self._facts, path)
        with _naming(path):
            state.check_agrees(self._net, tensors, self._batches, self._columns)
        if len(state.rows) > epochs:
            raise ValueError(
                f"{path} has completed {len(state.rows)} epochs; accepted: epochs from {len(state.rows)}, not {epochs}"
            )
        self._net._restore(tensors, state.optimizer, state.updates)
        return Progress(state.rows, len(state.rows), new_stats(**state.stats), state.seconds, state.best)

    def after_epoch(self, progress: Progress) -> None:
        """Writes a checkpoint if one is due by the number of epochs."""
        every = self._checkpoint.epochs
        if every and len(progress.rows) % every == 0:
            self.write(progress)

    def after_call(self, progress: Progress) -> None:
        """Writes a checkpoint if one is due by time."""
        every = self._checkpoint.seconds
        if every and time.monotonic() - self._written >= every:
            self.write(progress)

    def write(self, progress: Progress, finished: bool = False) -> None:
        """Writes a checkpoint; a write error is passed to on_error."""
        try:
            write(self._checkpoint.path, self._net, self._state(progress, finished))
        except OSError as error:
            self._checkpoint.on_error(error)
        self._written = time.monotonic()

    def _state(self, progress: Progress, finished: bool) -> State:
        is_started = progress.epoch == len(progress.rows)
        stats, seconds = (progress.stats, progress.seconds) if is_started else (new_stats(), 0.0)
        return State(
            self._facts,
            progress.rows,
            stats_numbers(stats),
            seconds,
            self._net.optimizer_state,
            self._net.updates,
            progress.best,
            finished,
        )


# ---- the file -------------------------------------------------------------------------------------------------------


def write(path: str | os.PathLike[str], net: Net, state: State) -> None:
    """Writes the network and the state of its training, completely or not at all. Raises OSError."""
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
    text_ = json_text({"sha256": _digest(net, training, tensors), "training": training})
    net._save_checkpoint(path, text_, tensors)


def read(path: str | os.PathLike[str]) -> tuple[State, dict[str, Array]]:
    """The state that write wrote, and the parameters. OSError, ValueError: damaged, or not a checkpoint."""
    net, text_, tensors = Net._load_checkpoint(path)
    path = os.fspath(path)
    with _naming(path):
        content = _object("the text", _parsed(text_), ("sha256", "training"))
        training = content["training"]
        if isinstance(training, dict) and training.get("version", VERSION) != VERSION:
            raise ValueError(f"{path} is a checkpoint of another version of pynet")
        if content["sha256"] != _digest(net, training, tensors):
            raise _WrongError("its SHA-256 does not match its content")
        state = _state(net, training, tensors)
    return state, {name: tensor.copy() for name, tensor in net.tensors.items()}


def _digest(net: Net, training: Any, tensors: Mapping[str, Array]) -> str:
    """SHA-256 of everything in a checkpoint."""
    import hashlib

    digest = hashlib.sha256(json.dumps([net.spec, net.seed, net.updates, training], sort_keys=True).encode())
    for name, tensor in sorted((net.tensors | dict(tensors)).items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor).data)
    return digest.hexdigest()


# ---- checks of the content: a manipulated file can have a matching SHA-256 ------------------------------------------


class _WrongError(ValueError):
    """A field of a checkpoint has an invalid value; the message names it, and what is accepted."""


@contextmanager
def _naming(path: str) -> Iterator[None]:
    """Adds the file name to the message of _WrongError."""
    try:
        yield
    except (_WrongError, RecursionError) as error:
        raise ValueError(f"{path} is a damaged checkpoint: {error}") from None


def _parsed(text_: str) -> Any:
    try:
        return parsed_json(text_)
    except ValueError as error:
        raise _WrongError(f"its text is {text_!r:.60}: {error}") from None


def _require(valid: bool, name: str, value: object, accepted: str) -> None:
    if not valid:
        raise _WrongError(f"{printable(name):.80} is {value!r:.60}; accepted: {accepted:.200}")


def _object(name: str, value: Any, fields: Sequence[str]) -> dict[str, Any]:
    """value, which must be an object with exactly these fields."""
    accepted = f"an object of {', '.join(fields)}"
    _require(isinstance(value, dict), name, value, accepted)
    _require(value.keys() == set(fields), f"the field names of {name}", sorted(value), accepted)
    return dict(value)


def _count(name: str, value: Any, largest: int = MAX_COUNT) -> int:
    _require(type(value) is int and 0 <= value <= largest, name, value, f"a whole number, 0 to {largest}")
    return int(value)


def _number(name: str, value: Any, smallest: float = -math.inf, largest: float = math.inf) -> float:
    """value as a finite float from least to most."""
    accepted = "a finite number" if smallest == -math.inf else f"a finite number, {smallest:g} or more"
    accepted += "" if largest == math.inf else f", to {largest:g}"
    valid = type(value) in (int, float) and abs(value) <= sys.float_info.max and smallest <= value <= largest
    _require(valid, name, value, accepted)
    return float(value)


def _state(net: Net, training: Any, tensors: Mapping[str, Array]) -> State:
    """The state from the JSON of a checkpoint, with all types, ranges and relations checked."""
    fields = ("version", "facts", "rows", "stats", "seconds", "optimizer", "steps", "finished")
    training = _object("training", training, fields)
    _require(type(training["version"]) is int, "version", training["version"], str(VERSION))
    _require(type(training["finished"]) is bool, "finished", training["finished"], "true or false")
    return State(
        facts=_facts(net, training["facts"]),
        rows=_rows(training["rows"]),
        stats=_stats(training["stats"]),
        seconds=_number("seconds", training["seconds"], 0),
        optimizer=_optimizer(net, training["optimizer"], training["steps"], _tensors("optimizer.", tensors)),
        updates=net.updates,
        best=_best(net, _tensors("best.", tensors)),
        finished=training["finished"],
    )


def _facts(net: Net, value: Any) -> dict[str, str]:
    _require(isinstance(value, dict), "facts", value, "an object of texts")
    for name, fact in value.items():
        _require(isinstance(fact, str), f"facts.{name}", fact, "a text")
    for name, expected in (("network", net.spec), ("network seed", str(net.seed))):
        accepted = f"{expected}, as in the file's network"
        _require(value.get(name, expected) == expected, f"facts.{name}", value.get(name), accepted)
    return dict(value)


def _rows(value: Any) -> list[dict[str, float]]:
    _require(isinstance(value, list), "rows", value, "a list, an object for each epoch")
    rows = []
    for i, row in enumerate(value):
        _require(isinstance(row, dict), f"rows[{i}]", row, "an object of numbers")
        for name in ("loss", "seconds"):
            _require(name in row, f"rows[{i}]", sorted(row), "loss and seconds, at least")
        _require(row.keys() == value[0].keys(), f"rows[{i}]", sorted(row), f"as in rows[0]: {', '.join(value[0])}")
        rows.append({name: _figure(f"rows[{i}].{name}", name, number) for name, number in row.items()})
    return rows


def _figure(path: str, name: str, value: Any) -> float:
    """A number of the history, NaN if the file has null. Figures of regressions and user metrics may be NaN."""
    if (name.startswith("val_") and name.isidentifier()) or name in ("rmse", "r2"):
        value = math.nan if value is None else value
        return value if isinstance(value, float) else _number(path, value)
    known = ("loss", "accuracy", "seconds")
    _require(name in known, path, value, "loss, accuracy, rmse, r2, seconds and names after val_")
    return _number(path, value, -math.inf if name == "loss" else 0, 1 if name == "accuracy" else math.inf)


def _stats(value: Any) -> dict[str, float]:
    stats = _object("stats", value, STATS)
    samples = _count("stats.samples", stats["samples"])
    no_samples = "0, as there are no samples"
    loss = _number("stats.loss", stats["loss"])
    _require(bool(samples or not loss), "stats.loss", loss, no_samples)
    correct, steps = _count("stats.correct", stats["correct"], samples), _count("stats.steps", stats["steps"])
    return {"loss": loss, "correct": correct, "samples": samples, "steps": steps}


def _tensors(prefix: str, tensors: Mapping[str, Array]) -> dict[str, Array]:
    """The tensors with this prefix, without it. All additional tensors must be finite and have a known prefix."""
    for name, tensor in tensors.items():
        _require(name.startswith(("optimizer.", "best.")), "a tensor's name", name, "optimizer.NAME and best.NAME")
        _require(bool(np.isfinite(tensor).all()), f"tensor {name}", "not finite everywhere", "finite numbers")
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _optimizer(net: Net, kind: Any, steps: Any, tensors: dict[str, Array]) -> OptimizerState:
    _require(isinstance(kind, str) and kind in OPTIMIZERS, "optimizer", kind, ", ".join(OPTIMIZERS))
    state = OptimizerState(kind, _count("steps", steps), tensors)
    for name, tensor in tensors.items():
        valid = not name.endswith(".square") or bool((tensor >= 0).all())  # Adam takes the square root
        _require(valid, f"tensor optimizer.{name}", "negative in places", "0 or more")
    try:
        net.optimizer_state = state  # the setter checks the shapes
    except ValueError as error:
        raise _WrongError(f"its optimizer: {error!s:.300}") from None
    return state


def _best(net: Net, tensors: dict[str, Array]) -> dict[str, Array]:
    """The best weights: none, or one tensor for each tensor of the network."""
    expected = net.tensors if tensors else {}
    for name in tensors.keys() | expected.keys():
        found = tensors[name].shape if name in tensors else "missing"
        accepted = expected[name].shape if name in expected else "no such tensor"
        _require(found == accepted, f"the shape of tensor best.{name}", found, str(accepted))
    return tensors
