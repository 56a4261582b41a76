"""Makes the files of this folder, which every later version of pynet must load with the same bits.

    python tests/golden/make.py

What is there already stays as it is, a file by today's version proves nothing about yesterday's. For something new
that files hold, add an entry below and run this again; expected.json then tells of it, too.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import math
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np

import pynet
from pynet import Adam, Augment, Checkpoint, EarlyStopping, Momentum, Network, RMSProp, data
from pynet.commands import train
from pynet.schedules import OneCycle, ReduceOnPlateau

FOLDER = Path(__file__).resolve().parent
EXPECTED = FOLDER / "expected.json"

# Every kind of layer and of loss.
MODELS = {
    "dense": "input(64) dense(12) relu dense(10,init=normal,bias=no) softmax",
    "activations": "input(9) dense(7) leaky_relu(0.2) dense(6) gelu dense(5) sigmoid dense(4) tanh dense(3) softmax "
    "loss(cross_entropy,smoothing=0.1)",
    "images": "input(2,9,8) conv(4,3,stride=2,pad=same) batchnorm(eps=0.001,momentum=0.2) relu maxpool(2,stride=1) "
    "conv(3,2,bias=no) avgpool(2,stride=1) flatten dense(4) loss(mse)",
    "nested": "input(1,6,6) residual(conv(3,3,stride=2,pad=1) relu residual(conv(3,1) batchnorm)) globalavgpool "
    "dropout(0.25) layernorm(eps=0.001) residual(dense(5) tanh) dense(2) sigmoid loss(bce)",
    "absolute": "input(3) dense(4) tanh dense(1) loss(mae)",
    "huber": "input(4) standardize dense(5) relu dense(2) rescale loss(huber,delta=0.25)",
    "labels": "input(4) dense(5) relu dense(3) sigmoid loss(bce)",  # several labels at once, as a note in the file says
    "scaled": "input(2,5,4) standardize conv(3,2) relu dense(6) tanh dense(2) rescale",
    # 3x3 convolutions of 16 channels and more, which are computed in fewer multiplications
    "channels": "input(16,7,6) conv(16,3,pad=1) batchnorm relu residual(conv(16,3,pad=same) relu) globalavgpool "
    "dense(3) softmax",
}

# Trainings on the built-in digits that stop in their second epoch: the text of the network, and the arguments of fit.
TRAININGS: dict[str, tuple[str, dict[str, Any]]] = {
    "adam": (
        "input(64) dense(8) batchnorm relu dropout(0.2) dense(10) softmax",
        {
            "optimizer": Adam(0.01, weight_decay=0.01, clip_norm=1.0),
            "schedule": OneCycle(),
            "early_stopping": EarlyStopping(2, monitor="val_accuracy"),
            "validation_split": 0.1,
        },
    ),
    "chunks": (
        "input(64) dense(8) relu dense(10) softmax",
        {"optimizer": Adam(0.01), "chunks": 4, "batch_size": 48},
    ),
    "momentum": (
        "input(1,8,8) conv(3,3) relu maxpool(2) dense(10) softmax",
        {"optimizer": Momentum(0.05, l2=1e-4), "augment": Augment(shift=1), "batch_size": 50},
    ),
    "numbers": (  # labels are numbers for a single output
        "input(64) dense(6) tanh dense(1)",
        {"optimizer": Adam(0.02), "early_stopping": EarlyStopping(2, monitor="val_rmse"), "validation_split": 0.1},
    ),
    "rmsprop": (
        "input(64) dense(6) tanh dense(10) sigmoid loss(mse)",
        {"optimizer": RMSProp(0.002), "schedule": ReduceOnPlateau(patience=0, factor=0.5), "seed": 3},
    ),
    "windows": (
        "input(64) standardize dense(8) relu dense(10) softmax",
        {"optimizer": Momentum(0.05), "window": 128, "batch_size": 32},
    ),
}
EPOCHS = 3

CLASSES = ["null", "eins", "zwei", "\N{GREEK SMALL LETTER PI}", '"4"', "five 5", "", "\U0001f37f", "eight", "nine"]


def ramp(*shape: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Bytes that look random, the same for every version of NumPy."""
    numbers = np.arange(math.prod(shape), dtype=np.uint64) * np.uint64(2654435761)
    return (numbers >> np.uint64(24) & np.uint64(255)).astype(np.uint8).reshape(shape)


def digest(*arrays: Any) -> str:
    """SHA-256 of types, shapes and bits."""
    found = hashlib.sha256()
    for array in map(np.ascontiguousarray, arrays):
        found.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    return found.hexdigest()


def facts(net: Network) -> dict[str, Any]:
    """The facts of a model: its text, parameters and predictions."""
    x = ramp(17, *net.in_shape)
    return {
        "text": net.spec,
        "seed": net.seed,
        "updates": net.updates,
        "weights": net.weights_sha256(),
        "tensors": {name: list(tensor.shape) for name, tensor in net.tensors.items()},
        "notes": dict(net.meta),
        "classes": list(net.classes),
        "outputs": digest(net.predict_proba(x)),
        "of floats": digest(net.predict_proba(x.astype(np.float32) / 64 - 2)),
    }


def resume(name: str, path: Path, callbacks: tuple[Any, ...] = (), begin: bool = False) -> tuple[Network, Any]:
    """Runs the training of this name to its end, from the checkpoint at path, or from the start with begin."""
    digits = data.load("digits")
    text, options = TRAININGS[name]
    net = Network(text, seed=5)
    x, y = digits.x_train[:300], digits.y_train[:300]
    checkpoint = Checkpoint(path, resume=not begin)
    return net, net.fit(x, y, epochs=EPOCHS, checkpoint=checkpoint, callbacks=callbacks, **options)


def ended(net: Network, history: pynet.History) -> dict[str, Any]:
    """The results of a training."""
    return {"weights": net.weights_sha256(), "history": history.note(), "updates": net.updates}


class Stop(Exception):
    """The exception that interrupts the trainings."""


class Stops:
    """Interrupts a training within its second epoch."""

    def on_batch_end(self, run: Any) -> None:
        if run.epoch == 2:
            raise Stop


def model(name: str) -> Network:
    """A network that has taken a few steps, with classes and notes."""
    net = Network(MODELS[name], seed=7)
    x, n = ramp(40, *net.in_shape), math.prod(net.out_shape)
    y: Any = np.arange(40) % n
    if net.loss_name != "cross_entropy":
        y = ramp(40, n).astype(np.float32) / 255
    if net.layers[0].kind == "standardize":
        net.adapt(x, y)
    net.fit(x, y, epochs=2, batch_size=9)
    if n == 10:
        net.classes = CLASSES
    net.meta["a note"] = 'of two\nlines, with \\, " and \N{SNOWMAN}'
    return net


def tables() -> dict[str, Any]:
    """The digits as files in each format that data.load reads, with training and test set."""
    x, y = ramp(12, 4, 3), np.arange(12, dtype=np.uint8) % 3
    return {"x_train": x, "y_train": y, "x_test": x[::-2], "y_test": y[::-2]}


def write_tables() -> None:
    arrays = tables()
    if not (path := FOLDER / "digits.npz").exists():
        np.savez_compressed(path, **arrays)
    if not (path := FOLDER / "digits.csv").exists():
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["label", *(f"pixel{i}" for i in range(12))])
            rows = zip(arrays["y_train"].tolist(), arrays["x_train"].reshape(12, -1).tolist(), strict=True)
            writer.writerows([label, *pixels] for label, pixels in rows)
    if not (folder := FOLDER / "idx").exists():
        folder.mkdir()
        for name, part in (("train", "train"), ("t10k", "test")):
            for kind, array in (("images-idx3", arrays[f"x_{part}"]), ("labels-idx1", arrays[f"y_{part}"])):
                content = struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()
                (folder / f"{name}-{kind}-ubyte.gz").write_bytes(gzip.compress(content, mtime=0))


def write_columns(path: Path) -> None:
    """A table of each kind of column, with values that are missing, and a model that `pynet train` made of it."""
    numbers = ramp(48).astype(int)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["nr", "größe", "zip", "colour", "flag", "day", "kind"])
        for i, number in enumerate(numbers):
            size = "" if i % 7 == 0 else f"{number / 8:.3f}".replace(".", ",")
            colour = ("red", "NA", "dark blue", '"sky"')[number % 4]
            kind = "a;b" if number + i > 140 else "c"
            writer.writerow([i, size, f"0{number % 3}", colour, number % 5 == 0, f"{1 + i % 28}.2.2020", kind])
    options = ["--target", "kind", "--categorical", "zip", "--hidden", "5", "--epochs", "3", "--quiet"]
    os.chdir(path.parent)  # the model stores the path as it is typed
    assert train.main(["--data", path.name, *options, "--save", path.with_suffix(".safetensors").name]) == 0


def of_columns(path: Path) -> str:
    """The model's predictions for each row of its table."""
    found = pynet.predict_table(path, path.with_suffix(".safetensors"))
    return digest(found.probabilities, [str(value).encode() for value in found.values])


def of_table(found: data.Dataset) -> str:
    return digest(found.x_train, found.y_train, found.x_test, found.y_test)


def main() -> None:
    expected = json.loads(EXPECTED.read_text("utf-8")) if EXPECTED.exists() else {}
    for name in MODELS:
        if not (path := FOLDER / f"{name}.safetensors").exists():
            net = model(name)
            net.save(path)
            pynet.export_npz(net, path.with_suffix(".npz"))
            expected[path.name] = facts(net)
    if not (path := FOLDER / "command.safetensors").exists():  # its notes are those of `pynet train`
        options = ["--dataset", "digits", "--hidden", "8", "--epochs", "2", "--quiet"]
        for history in (".csv", ".json"):
            assert train.main([*options, "--save", str(path), "--history", str(path.with_suffix(history))]) == 0
        expected[path.name] = facts(pynet.load(path))
    for name in TRAININGS:
        if not (path := FOLDER / f"{name}.checkpoint.safetensors").exists():
            try:
                resume(name, path, (Stops(),), begin=True)
            except Stop:
                content = path.read_bytes()
                expected[path.name] = facts(pynet.load(path)) | {"ended": ended(*resume(name, path))}
                path.write_bytes(content)
    if not (path := FOLDER / "columns.csv").exists():
        write_columns(path)
        expected["columns.safetensors"] = facts(pynet.load(path.with_suffix(".safetensors")))
        expected[path.name] = of_columns(path)
    write_tables()
    for table in ("digits.npz", "digits.csv", "idx"):
        expected.setdefault(table, of_table(data.load(FOLDER / table)))
    EXPECTED.write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
