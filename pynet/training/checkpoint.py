"""Checkpoints: a training written down while it runs, so that it can go on from there as if nothing had happened."""

from __future__ import annotations

import json
import math
import os
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pynet._ffi import ffi, lib, pointer, text, view

if TYPE_CHECKING:
    from pynet.network import Network, OptimizerState

__all__ = ["Checkpoint", "State", "read", "write"]

Array = npt.NDArray[np.float32]

VERSION = 1


def _warn(error: OSError) -> None:
    warnings.warn(f"{error}; the training goes on, the last checkpoint is as it was", RuntimeWarning, stacklevel=2)


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often fit writes a training down, and whether it goes on from what is there.

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


# ---- the file -------------------------------------------------------------------------------------------------------


def write(path: str | os.PathLike[str], net: Network, state: State) -> None:
    """Writes the network and the state of its training, whole or not at all; OSError if that cannot be done."""
    tensors = {f"optimizer.{name}": tensor for name, tensor in state.optimizer.tensors.items()}
    tensors |= {f"best.{name}": tensor for name, tensor in state.best.items()}
    told = {
        "version": VERSION,
        "facts": state.facts,
        "rows": state.rows,
        "stats": state.stats,
        "seconds": state.seconds,
        "optimizer": state.optimizer.kind,
        "steps": state.optimizer.steps,
        "finished": state.finished,
    }
    words = json.dumps({"sha256": _digest(net, told, tensors), "training": told}).encode()
    entries, names = ffi.new("pn_tensor[]", len(tensors)), [ffi.new("char[]", name.encode()) for name in tensors]
    for entry, name, tensor in zip(entries, names, tensors.values(), strict=True):
        entry.name, entry.data, entry.size = name, pointer(tensor), tensor.size
        entry.rank, entry.shape = tensor.ndim, tensor.shape
    chars = ffi.new("char[]", words)
    more = ffi.new("pn_checkpoint *", {"text": chars, "tensors": len(tensors), "tensor": entries})
    net._call(lib.pn_net_save_checkpoint, more, os.fsencode(path))


def read(path: str | os.PathLike[str]) -> tuple[State, dict[str, Array]]:
    """The state that write wrote, and the tensors of its network. OSError, ValueError: it is damaged, or none."""
    from pynet.network import Network, OptimizerState

    more = ffi.gc(ffi.new("pn_checkpoint *"), lib.pn_checkpoint_free)
    net = Network.__new__(Network)
    net._attach(lambda out, err: lib.pn_net_load_checkpoint(out, more, os.fsencode(path), err))
    entries = [more.tensor[i] for i in range(more.tensors)]
    tensors = {text(t.name): view(t.data, tuple(t.shape)[: t.rank], more).copy() for t in entries}
    try:
        told = json.loads(text(more.text))
        digest, told = told["sha256"], told["training"]
        if told["version"] != VERSION:
            raise ValueError(f"{os.fspath(path)} is a checkpoint of another version of pynet")
        if digest != _digest(net, told, tensors):
            raise KeyError
        kept = {name.removeprefix("optimizer."): t for name, t in tensors.items() if name.startswith("optimizer.")}
        state = State(
            told["facts"],
            told["rows"],
            told["stats"],
            told["seconds"],
            OptimizerState(told["optimizer"], told["steps"], kept),
            net.updates,
            {name.removeprefix("best."): t for name, t in tensors.items() if name.startswith("best.")},
            told["finished"],
        )
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"{os.fspath(path)} is a damaged checkpoint") from None
    return state, {name: tensor.copy() for name, tensor in net.tensors.items()}


def _digest(net: Network, told: Any, tensors: Mapping[str, Array]) -> str:
    """SHA-256 of all that the rest of a training depends on."""
    import hashlib

    digest = hashlib.sha256(json.dumps([net.spec, net.seed, net.updates, told], sort_keys=True).encode())
    for name, tensor in sorted((net.tensors | dict(tensors)).items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor).data)
    return digest.hexdigest()
