"""Hostile models, checkpoints, notes, histories and texts of networks; all but the damage is well-formed."""

from __future__ import annotations

import json
import math
import random
import struct
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from damage import TEXTS, anything, as_json, damaged_text, damaged_tree, dumps, nested, whole
from networks import random_network

import pynet
from pynet.training import checkpoint as checkpoints

NETS = (
    "input(64) dense(12) relu dense(10) softmax",
    "input(1,8,8) conv(3,3,pad=same) batchnorm relu maxpool(2) residual(conv(3,1)) dense(10) softmax",
    "input(64) dense(9,bias=no) layernorm residual(dense(5) dropout(0.5)) gelu dense(10) sigmoid loss(bce)",
    "input(64) standardize dense(9) relu dense(10) rescale loss(huber,delta=0.5)",
)
NOTES = (
    "classes",
    "history",
    "pictures",
    "dataset",
    "test_accuracy",
    "epochs",
    "batch_size",
    "learning_rate",
    "seed",
    "made_by",
    "task",
    "class_weight",
    "test_r2",
)
COLUMNS = {"loss": [2.0, 1.0], "accuracy": [0.1, 0.5], "val_loss": [2.0, 1.5], "val_accuracy": [0.1, 0.4]}
TRAINING = {  # a valid note
    "classes": json.dumps([str(i) for i in range(10)]),
    "history": json.dumps(COLUMNS),
    "pictures": json.dumps({"height": 8, "width": 8, "color": False, "style": "digits"}),
    "dataset": "digits",
    "test_accuracy": "0.93",
    "epochs": "2",
}

# ---- the file -------------------------------------------------------------------------------------------------------

Header = dict[str, Any]


def parsed(file: bytes) -> tuple[Header, bytes]:
    """Header and data of a safetensors file."""
    size = struct.unpack("<Q", file[:8])[0]
    return json.loads(file[8 : 8 + size]), file[8 + size :]


def assembled(text: str, data: bytes) -> bytes:
    """A safetensors file with this header and its right length."""
    header = text.encode("utf-8", "surrogatepass")
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data


def laid_out(header: Header) -> int:
    """Sets contiguous offsets, with sizes by the shapes of the tensors; returns the number of bytes."""
    at = 0
    for name, entry in header.items():
        if name != "__metadata__" and isinstance(entry, dict):
            shape = entry.get("shape")
            good = isinstance(shape, list) and all(isinstance(size, int) and size >= 0 for size in shape)
            size = 4 * math.prod(shape) if good and shape is not None else 4
            entry["data_offsets"] = [at, at + size]
            at += size
    return at


# ---- models ---------------------------------------------------------------------------------------------------------


def base_model(draw: random.Random) -> bytes:
    return saved(draw.choice(NETS))


@lru_cache
def saved(text: str) -> bytes:
    net = pynet.Network(text, seed=3)
    for key, value in TRAINING.items():
        net.meta[key] = value
    path = Path("base.safetensors")
    net.save(path)
    return path.read_bytes()


def damaged_header(draw: random.Random, header: Header, data: bytes) -> tuple[Header, bytes]:
    """A header with one change; fields that depend on it are changed accordingly, or not."""
    kind = draw.randrange(10)
    notes = header.get("__metadata__")
    tensors = [name for name in header if name != "__metadata__"]
    if kind <= 1 and isinstance(notes, dict) and isinstance(notes.get("pynet"), str):
        text = random_network(draw)[0] if draw.random() < 0.3 else damaged_text(draw, notes["pynet"])
        notes["pynet"] = text
        data = rebuilt(draw, header, text, data) if draw.random() < 0.7 else data
    elif kind == 2 and tensors:
        entry = header[draw.choice(tensors)]
        if isinstance(entry, dict) and isinstance(entry.get("shape"), list):
            sizes = [whole(draw) if draw.random() < 0.5 else size for size in entry["shape"]]
            entry["shape"] = draw.choice(
                (sizes, entry["shape"][::-1], [*entry["shape"], 1], entry["shape"][:-1], [0], [1] * 9)
            )
            if draw.random() < 0.6 and (size := laid_out(header)) < 1 << 24:
                data = (data + bytes(size))[:size]
    elif kind == 3:
        header = dict(draw.sample(list(header.items()), len(header)))
        if draw.random() < 0.7:
            laid_out(header)
    elif kind == 4:
        numbers = np.frombuffer(data[: len(data) // 4 * 4], "<f4").copy()
        if numbers.size:
            numbers[draw.randrange(numbers.size)] = draw.choice((np.nan, np.inf, -np.inf, 3e38, 1e-45, -0.0))
        data = numbers.tobytes()
    elif kind == 5:
        data = draw.choice((data[: draw.randint(0, len(data))], data + bytes(draw.choice((1, 4, 4096))), b""))
    elif kind == 6 and isinstance(notes, dict):
        damage_notes(draw, notes)
    elif kind == 7 and draw.random() < 0.2:
        count = draw.choice((*[1000] * 20, 100000))
        header |= {f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(count)}
    else:
        header = damaged_tree(draw, header)
    return header, data


def rebuilt(draw: random.Random, header: Header, text: str, data: bytes) -> bytes:
    """A file with the tensors of this text, if it is a small network."""
    try:
        if any(len(number) > 4 for number in "".join(c if c.isdigit() else " " for c in text).split()):
            return data
        net = pynet.Network(text)
    except (ValueError, MemoryError):
        return data
    if net.parameters > 1 << 20:
        return data
    for name in [name for name in header if name != "__metadata__"]:
        del header[name]
    for name, tensor in net.tensors.items():
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [0, 0]}
    return bytes(laid_out(header))


def damage_notes(draw: random.Random, notes: dict[str, Any]) -> None:
    """Changes values of notes that pynet reads, or adds foreign notes."""
    for _ in range(draw.choice((1, 1, 3))):
        key = draw.choice((*NOTES, *NOTES, *TEXTS[:6], "pynet.seed", "pynet.updates", "pynet.later"))
        notes[key] = note(draw, key)
    if draw.random() < 0.005:
        notes |= {f"note {i}": "x" for i in range(draw.choice((100, 5000)))}


def note(draw: random.Random, key: str) -> str:
    """A damaged note under this key."""
    if key == "classes" and draw.random() < 0.5:  # a class for each output, so that they are used
        return json.dumps([draw.choice((*TEXTS, str(i))) for i in range(10)])
    kind = draw.randrange(5)
    if kind == 0:
        return draw.choice(TEXTS)
    if kind == 1:
        return as_json(draw, anything(draw))
    if kind == 2:
        return draw.choice(("[", '{"a":', "(")) * draw.choice((10, 1000, 100000))
    try:
        tree = json.loads(TRAINING.get(key, "1"))
    except ValueError:
        return damaged_text(draw, TRAINING[key])
    return as_json(draw, damaged_tree(draw, tree))


def model_file(draw: random.Random, folder: Path) -> Path:
    path = folder / "model.safetensors"
    header, data = parsed(base_model(draw))
    for _ in range(draw.choice((1, 1, 2, 3))):
        header, data = damaged_header(draw, header, data)
    path.write_bytes(assembled(as_json(draw, header), data))
    return path


def model_with_notes(draw: random.Random, folder: Path) -> Path:
    """A sound model with damaged notes."""
    path = folder / "model.safetensors"
    net = pynet.Network(draw.choice(NETS), seed=4)
    notes: dict[str, Any] = dict(TRAINING)
    damage_notes(draw, notes)
    for key, value in notes.items():
        try:
            net.meta[key] = value
        except (ValueError, UnicodeEncodeError):
            continue  # such a note cannot be saved
    net.save(path)
    return path


# ---- checkpoints ----------------------------------------------------------------------------------------------------

X = np.random.default_rng(1).integers(0, 256, (60, 64), dtype=np.uint8)
Y = np.arange(60) % 10


def resume(path: Path, continued: bool = True) -> pynet.History:
    """Runs the training of the base checkpoint, from the beginning or resumed."""
    net = pynet.Network("input(64) dense(8) batchnorm relu dropout(0.2) dense(10) softmax", seed=9)
    return net.fit(
        X,
        Y,
        epochs=4 if continued else 2,
        batch_size=13,
        optimizer=pynet.Adam(0.01),
        validation_split=0.2,
        early_stopping=pynet.EarlyStopping(3),
        checkpoint=pynet.Checkpoint(path, resume=continued),
    )


def checkpoint_file(draw: random.Random, folder: Path) -> Path:
    """A damaged checkpoint with the right digest, if the core can read it."""
    path, base = folder / "checkpoint.safetensors", Path("base.checkpoint")
    if not base.exists():
        resume(base, continued=False)
    header, data = parsed(base.read_bytes())
    content = json.loads(header["__metadata__"]["pynet.checkpoint"])
    content["training"]["finished"] = False
    for _ in range(draw.choice((0, 1, 1, 2, 3))):
        content["training"] = damaged_training(draw, content["training"])
    for _ in range(draw.choice((0, 0, 0, 1, 2))):
        header, data = damaged_header(draw, header, data)
    if draw.random() < 0.05:
        content = damaged_tree(draw, content)
    if draw.random() < 0.02:
        content["training"] = nested(draw.choice((900, 100000)))
    write_checkpoint(path, header, data, content)
    return path


def damaged_training(draw: random.Random, training: Any) -> Any:
    """A training with a changed field, more often a number than by chance."""
    if not isinstance(training, dict) or draw.random() < 0.5:
        return damaged_tree(draw, training)
    try:
        training = json.loads(json.dumps(training))
    except RecursionError:  # earlier changes nested it too deep for another one
        return training
    field = draw.choice(("stats", "stats", "rows", "steps", "optimizer", "seconds", "version", "finished", "facts"))
    holder = training.get(field)
    if field == "stats" and isinstance(holder, dict):
        holder[draw.choice(("loss", "correct", "samples", "steps"))] = draw.choice((whole(draw), anything(draw)))
    elif field == "rows" and isinstance(holder, list) and holder and isinstance(holder[0], dict):
        kind = draw.randrange(3)
        if kind == 0:
            holder.extend([holder[0]] * draw.choice((1, 2, 100)))
        elif kind == 1:
            holder[draw.randrange(len(holder))][draw.choice(("val_loss", "loss", "val_x", "seconds", "\x1b"))] = (
                anything(draw)
            )
        else:
            del holder[:]
    elif field == "optimizer":
        training[field] = draw.choice(("sgd", "momentum", "rmsprop", "adamw", "", "ADAM", anything(draw)))
    else:
        training[field] = draw.choice((whole(draw), anything(draw)))
    return training


def write_checkpoint(path: Path, header: Header, data: bytes, content: Any) -> None:
    """Writes the file twice: the core reads the first, and the second has the digest of the result."""
    notes = header.get("__metadata__")
    for _ in range(2):
        if isinstance(notes, dict):
            notes["pynet.checkpoint"] = dumps(content)
        path.write_bytes(assembled(dumps(header), data))
        if not isinstance(content, dict):
            return
        try:
            net, words, tensors = pynet.Network._load_checkpoint(path)
            content["sha256"] = checkpoints._digest(net, json.loads(words)["training"], tensors)
        except Exception:  # the test of loading reports what is wrong
            return


# ---- texts, histories -----------------------------------------------------------------------------------------------


def network_text(draw: random.Random) -> str:
    kind = draw.randrange(12)
    text = random_network(draw)[0]
    if kind == 0:
        return "input(4) " + "residual(" * (depth := draw.choice((5, *[300] * 20, 20000))) + "relu" + ")" * depth
    if kind == 1:
        return "input(4) " + "relu " * draw.choice((10, *[300] * 20, 20000))
    if kind == 2:
        words = text.split(" ")
        return " ".join(draw.sample(words, len(words)))
    if kind == 3:
        return text
    return damaged_text(draw, text)


def history_file(draw: random.Random, folder: Path) -> Path:
    """A damaged file of pynet train --history."""
    history = pynet.History(
        COLUMNS["loss"], COLUMNS["accuracy"], COLUMNS["val_loss"], COLUMNS["val_accuracy"], [0.1, 0.1]
    )
    path = folder / draw.choice(("history.json", "history.csv"))
    history.save(path)
    text = path.read_text("utf-8")
    if path.suffix == ".json" and draw.random() < 0.7:
        text = as_json(draw, damaged_tree(draw, json.loads(text)))
    else:
        text = damaged_text(draw, text)
    if draw.random() < 0.03:
        text = "[" * 100000
    path.write_text(text, "utf-8", errors="surrogatepass", newline="")
    return path
