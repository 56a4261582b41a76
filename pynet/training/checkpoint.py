"""Checkpoints: a training saved while it runs, so that it can go on from there as if nothing had happened."""

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
from pynet.model.net import Net, OptimizerState, new_stats
from pynet.optim import OPTIMIZERS
from pynet.text import finite, json_text, parsed_json, printable
from pynet.training.batches import Feed
from pynet.training.progress import Progress

VERSION = 1
MOST = 1 << 53  # of what is counted: as far as the core counts the steps of an optimizer


def _warn(error: OSError) -> None:
    warnings.warn(
        f"{printable(str(error))}; the training goes on, the last checkpoint is as it was", RuntimeWarning, stacklevel=2
    )


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
        """ValueError, OSError: what lies at path is nothing to go on from or to be replaced, or cannot be written."""
        check_writable(self.path)
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
                shown = (
                    f": {printable(was)} then, {printable(now)} now"
                    if len(was + now) < 400 and "data" not in name
                    else ""
                )
                raise ValueError(f"{place} is the checkpoint of another training, with another {name}{shown}")

    def check_agrees(self, net: Net, tensors: Mapping[str, Array], feed: Feed, columns: Sequence[str]) -> None:
        """_WrongError: it cannot come from a training of this network on this feed with these columns of figures.

        tensors: the file's network.
        """
        for name, own in net.tensors.items():
            got = tensors[name].shape if name in tensors else "missing"
            _demand(got == own.shape, f"the shape of {name}", got, f"{own.shape}, that of the network it names")
        if self.rows:
            _demand(self.rows[0].keys() == set(columns), "rows[0]", sorted(self.rows[0]), ", ".join(columns))
        steps, samples = self.stats["steps"], self.stats["samples"]
        if feed.steps is not None:
            _demand(steps <= feed.steps, "stats.steps", steps, f"0 to {feed.steps}, the steps of an epoch")
        before = feed.samples_before(int(steps))
        if before is not None:
            _demand(samples == before, "stats.samples", samples, f"{before}, the samples of {steps} steps")


class Keeper:
    """Writes a training to its checkpoint as it goes."""

    def __init__(
        self, checkpoint: Checkpoint, net: Net, facts: dict[str, str], feed: Feed, columns: Sequence[str]
    ) -> None:
        self._checkpoint, self._net, self._facts = checkpoint, net, facts
        self._feed, self._columns = feed, columns
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
        with _naming(place):
            state.check_agrees(self._net, tensors, self._feed, self._columns)
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
    place = os.fspath(path)
    with _naming(place):
        content = _object("the text", _parsed(words), ("sha256", "training"))
        training = content["training"]
        if isinstance(training, dict) and training.get("version", VERSION) != VERSION:
            raise ValueError(f"{place} is a checkpoint of another version of pynet")
        if content["sha256"] != _digest(net, training, tensors):
            raise _WrongError("its SHA-256 is another")
        state = _state(net, training, tensors)
    return state, {name: tensor.copy() for name, tensor in net.tensors.items()}


def _digest(net: Net, training: Any, tensors: Mapping[str, Array]) -> str:
    """SHA-256 of all that the rest of a training depends on."""
    import hashlib

    digest = hashlib.sha256(json.dumps([net.spec, net.seed, net.updates, training], sort_keys=True).encode())
    for name, tensor in sorted((net.tensors | dict(tensors)).items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor).data)
    return digest.hexdigest()


# ---- what the file says, checked: anybody can make one whose SHA-256 is right ----------------------------------------


class _WrongError(ValueError):
    """A field of a checkpoint is not what it can be; the message names it, and what is accepted."""


@contextmanager
def _naming(place: str) -> Iterator[None]:
    """Puts the name of the file before what is wrong with it."""
    try:
        yield
    except (_WrongError, RecursionError) as error:
        raise ValueError(f"{place} is a damaged checkpoint: {error}") from None


def _parsed(words: str) -> Any:
    try:
        return parsed_json(words)
    except ValueError as error:
        raise _WrongError(f"its text is {words!r:.60}: {error}") from None


def _demand(good: bool, name: str, value: object, accepted: str) -> None:
    if not good:
        raise _WrongError(f"{printable(name):.80} is {value!r:.60}; accepted: {accepted:.200}")


def _object(name: str, value: Any, fields: Sequence[str]) -> dict[str, Any]:
    """value, if it is an object of these fields, no more and no less."""
    accepted = f"an object of {', '.join(fields)}"
    _demand(isinstance(value, dict), name, value, accepted)
    _demand(value.keys() == set(fields), f"the list of the fields of {name}", sorted(value), accepted)
    return dict(value)


def _count(name: str, value: Any, most: int = MOST) -> int:
    _demand(type(value) is int and 0 <= value <= most, name, value, f"a whole number, 0 to {most}")
    return int(value)


def _number(name: str, value: Any, least: float = -math.inf, most: float = math.inf) -> float:
    """value as a finite float from least to most."""
    accepted = "a finite number" if least == -math.inf else f"a finite number, {least:g} or more"
    accepted += "" if most == math.inf else f", to {most:g}"
    good = type(value) in (int, float) and abs(value) <= sys.float_info.max and least <= value <= most
    _demand(good, name, value, accepted)
    return float(value)


def _state(net: Net, training: Any, tensors: Mapping[str, Array]) -> State:
    """The fields that write wrote, each of its type, in its range and in agreement with the others."""
    fields = ("version", "facts", "rows", "stats", "seconds", "optimizer", "steps", "finished")
    training = _object("training", training, fields)
    _demand(type(training["version"]) is int, "version", training["version"], str(VERSION))
    _demand(type(training["finished"]) is bool, "finished", training["finished"], "true or false")
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
    _demand(isinstance(value, dict), "facts", value, "an object of texts")
    for name, fact in value.items():
        _demand(isinstance(fact, str), f"facts.{name}", fact, "a text")
    for name, own in (("network", net.spec), ("network seed", str(net.seed))):
        _demand(value.get(name, own) == own, f"facts.{name}", value.get(name), f"{own}, that of the file itself")
    return dict(value)


def _rows(value: Any) -> list[dict[str, float]]:
    _demand(isinstance(value, list), "rows", value, "a list, an object for each epoch")
    rows = []
    for i, row in enumerate(value):
        _demand(isinstance(row, dict), f"rows[{i}]", row, "an object of numbers")
        for name in ("loss", "seconds"):
            _demand(name in row, f"rows[{i}]", sorted(row), "loss and seconds, at least")
        _demand(row.keys() == value[0].keys(), f"rows[{i}]", sorted(row), f"as in rows[0]: {', '.join(value[0])}")
        rows.append({name: _figure(f"rows[{i}].{name}", name, number) for name, number in row.items()})
    return rows


def _figure(place: str, name: str, value: Any) -> float:
    """A number of the history; what a regression or a metric of the user's gives may be NaN: files have null for it."""
    if (name.startswith("val_") and name.isidentifier()) or name in ("rmse", "r2"):
        value = math.nan if value is None else value
        return value if isinstance(value, float) else _number(place, value)
    known = ("loss", "accuracy", "seconds")
    _demand(name in known, place, value, "loss, accuracy, rmse, r2, seconds and names after val_")
    return _number(place, value, -math.inf if name == "loss" else 0, 1 if name == "accuracy" else math.inf)


def _stats(value: Any) -> dict[str, float]:
    stats = _object("stats", value, ("loss", "correct", "samples", "steps"))
    samples = _count("stats.samples", stats["samples"])
    nothing = "0, as there were no samples"
    loss = _number("stats.loss", stats["loss"])
    _demand(bool(samples or not loss), "stats.loss", loss, nothing)
    correct, steps = _count("stats.correct", stats["correct"], samples), _count("stats.steps", stats["steps"])
    return {"loss": loss, "correct": correct, "samples": samples, "steps": steps}


def _tensors(prefix: str, tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Those of a prefix, without it; all that is stored must be finite, and of one of the two."""
    for name, tensor in tensors.items():
        _demand(name.startswith(("optimizer.", "best.")), "a tensor's name", name, "optimizer.NAME and best.NAME")
        _demand(bool(np.isfinite(tensor).all()), f"tensor {name}", "not finite throughout", "finite numbers")
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _optimizer(net: Net, kind: Any, steps: Any, tensors: dict[str, Array]) -> OptimizerState:
    _demand(isinstance(kind, str) and kind in OPTIMIZERS, "optimizer", kind, ", ".join(OPTIMIZERS))
    state = OptimizerState(kind, _count("steps", steps), tensors)
    for name, tensor in tensors.items():
        good = not name.endswith(".square") or bool((tensor >= 0).all())  # a mean of squares, whose root is taken
        _demand(good, f"tensor optimizer.{name}", "negative in places", "0 or more")
    try:
        net.optimizer_state = state  # the network is the file's: it says whether they fit
    except ValueError as error:
        raise _WrongError(f"its optimizer: {error!s:.300}") from None
    return state


def _best(net: Net, tensors: dict[str, Array]) -> dict[str, Array]:
    """None, or a tensor for each of the network's."""
    own = net.tensors if tensors else {}
    for name in tensors.keys() | own.keys():
        got = tensors[name].shape if name in tensors else "missing"
        accepted = own[name].shape if name in own else "no such tensor"
        _demand(got == accepted, f"the shape of tensor best.{name}", got, str(accepted))
    return tensors
