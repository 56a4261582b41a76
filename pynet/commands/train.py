"""The command that trains: `pynet train`, also `python -m pynet.train`. The loop itself is pynet.training.fit.

Whatever stops a run, the weights are not lost: Ctrl-C saves what was learnt so far, a loss that is not finite saves
the last epoch whose figures were. What could only fail at the end, such as the target of --save, is tried first.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pynet import data, kernels
from pynet._ffi import VERSION, Array, check_environment, optimizer_struct
from pynet.commands import choose, cli
from pynet.commands.cli import EXPECTED, Stopped, UsageError
from pynet.commands.presets import PRESETS, layers_for
from pynet.commands.train_options import DEFAULT_TARGET, epochs_for, parse
from pynet.data import Dataset
from pynet.metrics import confusion_matrix, format_confusion
from pynet.network import Evaluation, Network, load
from pynet.pictures.preparation import NOTE
from pynet.text import percent
from pynet.training.callbacks import EarlyStopping, Run
from pynet.training.checkpoint import Checkpoint
from pynet.training.diagnose import Diagnosis
from pynet.training.history import History

__all__ = ["main"]

MOST_CLASSES = 30  # a larger confusion matrix is not printed


# ---- data, network, targets -----------------------------------------------------------------------------------------


@dataclass
class Task:
    """What is to be trained, on what, and how."""

    options: argparse.Namespace
    data: Dataset  # without the validation samples
    checkpoint: Checkpoint | None
    held_out: tuple[Array, Array] | None  # what each epoch is measured on: validation samples, else the test set
    net: Network
    seed: int
    epochs: int
    target: Path | None
    say: Callable[[str], None]


def prepare(options: argparse.Namespace) -> Task:
    """Data, network and targets, with all that can be wrong about them found before the training."""
    check_environment()
    if options.threads:
        kernels.set_threads(options.threads)
    net = _given_network(options)
    chosen = _load_data(options, net)
    seed = options.seed if options.seed is not None else net.seed if net else 0
    held_out = (chosen.x_test, chosen.y_test) if len(chosen.x_test) else None
    if options.val_split:
        x, y, *val = data.validation_split(chosen.x_train, chosen.y_train, options.val_split, seed)
        chosen, held_out = replace(chosen, x_train=x, y_train=y), (val[0], val[1])
    name = chosen.name
    if options.shuffle_labels:
        chosen, name = replace(chosen, y_train=data.shuffled_labels(chosen.y_train, seed)), f"{name}-shuffled"
    if net is None:
        net = _network(_text(options, chosen.x_train.shape[1:], len(chosen.classes)), seed)
    if options.load:
        choose.check_suits(net, chosen, f"the model {options.load}", ValueError)
    else:
        choose.check_suits(net, chosen, "the network", UsageError)
    if options.augment and chosen.x_train.ndim < 3 and len(net.in_shape) < 3:
        raise UsageError(f"--augment changes pictures; the samples of {chosen.name} are rows of {net.in_shape[0]}")
    if math.prod(net.out_shape) == len(chosen.classes):
        net.classes = list(chosen.classes)
    target = Path(f"{name}.safetensors") if options.save is DEFAULT_TARGET else options.save
    _check_targets(options, target)
    checkpoint = _checkpoint(options, target)
    if options.plot:
        if target is None:
            raise UsageError("--plot draws beside the model, and --save none makes none")
        from pynet import figures

        figures.require()
    epochs = options.epochs
    if epochs is None and options.preset:
        epochs = PRESETS[options.preset].epochs_for(len(chosen.x_train), options.batch_size)
    elif epochs is None:
        epochs = epochs_for(chosen.name)
    return Task(options, chosen, checkpoint, held_out, net, seed, epochs, target, _silent if options.terse else _say)


def _given_network(options: argparse.Namespace) -> Network | None:
    """The network of --load or --net; None where its text depends on the data."""
    if options.load:
        return load(options.load)
    if options.net is None:
        return None
    return _network(options.net + _loss(options), options.seed or 0)


def _loss(options: argparse.Namespace) -> str:
    """What --loss and --label-smoothing add to the text of a network."""
    if options.label_smoothing:
        return f" loss(cross_entropy,smoothing={options.label_smoothing})"
    return f" loss({options.loss})" if options.loss else ""


def _network(text: str, seed: int) -> Network:
    try:
        return Network(text, seed)
    except ValueError as error:
        raise UsageError(f"network {text!r}: {error}") from None


def _text(options: argparse.Namespace, sample: tuple[int, ...], classes: int) -> str:
    """The text that --preset, or --hidden, --activation, --init, and --loss stand for."""
    features, closing = math.prod(sample), "softmax" if options.loss in (None, "cross_entropy") else "sigmoid"
    if options.preset and (options.hidden, options.activation, options.init) == (None, None, None):
        preset = PRESETS[options.preset]
        if preset.on_pictures and len(sample) < 2:
            raise UsageError(f"--preset {options.preset} takes pictures; these samples are rows of {features} numbers")
        shape = ",".join(map(str, (1, *sample)[-3:])) if preset.on_pictures else features
        layers = layers_for(preset, *sample[-2:]) if preset.on_pictures else preset.layers
        return f"input({shape}) {layers} dense({classes}) {closing}" + _loss(options)
    init = f",init={options.init}" if options.init else ""
    hidden = [128, 64] if options.hidden is None else options.hidden
    words = [f"input({features})", *(f"dense({size}{init}) {options.activation or 'relu'}" for size in hidden)]
    return " ".join([*words, f"dense({classes}{init})", closing]) + _loss(options)


def _load_data(options: argparse.Namespace, net: Network | None) -> Dataset:
    chosen = choose.dataset(options, like=net)
    if options.terse and not (options.data or options.dataset) and chosen.name == "digits":
        cli.complain("train", f"using {chosen.source}")
    return chosen.limit(options.limit) if options.limit else chosen


def _checkpoint(options: argparse.Namespace, target: Path | None) -> Checkpoint | None:
    """What --checkpoint and --resume ask for, checked."""
    path = options.checkpoint
    if path is None:
        return None
    for name, other in (("save", target), ("load", options.load), ("data", options.data), ("history", options.history)):
        if other and os.path.realpath(other) == os.path.realpath(path):
            raise UsageError(f"argument --checkpoint: {path} is what --{name} names, too")

    def complain(error: OSError) -> None:
        cli.complain("train", f"{error}; the training goes on, the last checkpoint is as it was")

    checkpoint = Checkpoint(path, options.checkpoint_every or 1, options.resume, complain)
    checkpoint.check()
    _check_folder(path)
    return checkpoint


def _check_targets(options: argparse.Namespace, target: Path | None) -> None:
    """Finds what would otherwise fail after the training, or cost a file that is not ours."""
    if target:
        if os.path.lexists(target):
            _check_replaceable(target)
        _check_folder(target)
    if options.history:
        for other in (target, options.data, options.load):
            if other and os.path.realpath(other) == os.path.realpath(options.history):
                raise UsageError(f"argument --history: {options.history} is used for something else as well")
        if options.history.is_dir():
            raise OSError(f"cannot write {options.history}: it is a folder")
        if options.history.is_file() and options.history.stat().st_size:
            with options.history.open("rb") as file:
                if not file.read(6).startswith((b"epoch,", b"[")):
                    raise OSError(f"{options.history} is no history that pynet wrote; it is left as it is")
        _check_folder(options.history)


def _check_replaceable(target: Path) -> None:
    try:
        load(target)
    except (OSError, ValueError) as error:
        reason = f"{target} is no pynet model, so it is not overwritten ({error}); name another file by --save"
        raise ValueError(reason) from None
    if not os.access(target, os.W_OK):
        raise OSError(f"cannot write {target}: it is write-protected")


def _check_folder(target: Path) -> None:
    folder = Path(os.path.realpath(target)).parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"cannot write {target}: folder {folder}: {error.strerror}") from None


# ---- training -------------------------------------------------------------------------------------------------------


@dataclass
class Training:
    """A run: its figures, and the weights after its last epoch with finite ones."""

    task: Task
    history: History = field(default_factory=History)

    def __post_init__(self) -> None:
        self._kept = {name: tensor.copy() for name, tensor in self.task.net.tensors.items()}

    def run(self) -> Evaluation | None:
        """Trains and measures; returns the figures on the test set, if there is one."""
        task, options = self.task, self.task.options
        task.net.fit(
            task.data.x_train,
            task.data.y_train,
            epochs=task.epochs,
            batch_size=options.batch_size,
            optimizer=options.optimizer,
            schedule=options.schedule,
            validation=task.held_out,
            augment=options.augment,
            seed=task.seed,
            early_stopping=_early_stopping(options),
            checkpoint=task.checkpoint,
            progress=not options.terse and sys.stderr is not None and sys.stderr.isatty(),
            callbacks=[self] if options.terse else [self, Diagnosis(_warn)],
        )
        return task.net.evaluate(task.data.x_test, task.data.y_test) if len(task.data.x_test) else None

    def on_train_begin(self, run: Run) -> None:
        """Takes over the epochs of a checkpoint."""
        for row in run.history.rows():
            self.history.add(row)
        if self.task.options.resume:
            self.task.say(
                f"resumed from {self.task.options.checkpoint}; epochs that are over: {len(self.history.loss)}"
            )
        self._keep()
        self._note_facts()  # checkpoints carry them, too

    def _keep(self) -> None:
        for name, tensor in self.task.net.tensors.items():
            np.copyto(self._kept[name], tensor)

    def on_epoch_end(self, run: Run) -> None:
        """Notes the figures, shows them, and keeps the weights."""
        tensors = self.task.net.tensors
        if not _finite(tensors):
            raise FloatingPointError(f"epoch {run.epoch}, last batch: a weight is not finite; a smaller --lr may help")
        self._keep()
        self.history.add(run.row)
        self.task.say(_epoch_line(run.row, run.epoch, self.task))

    def salvage(self, error: BaseException) -> str:
        """After an error, saves the best weights there are, if any were learnt; says so."""
        tensors = self.task.net.tensors
        if isinstance(error, FloatingPointError) or not _finite(tensors):
            for name, tensor in tensors.items():
                np.copyto(tensor, self._kept[name])
        changed = any(not np.array_equal(tensor, self._kept[name]) for name, tensor in tensors.items())
        if not changed and not self.history.loss:
            return " (nothing was saved)"
        self.save(None)
        return f" (what was learnt is in {self.task.target})" if self.task.target else ""

    def _note_facts(self) -> None:
        """In the model: what it is trained on, and how."""
        task, notes = self.task, self.task.net.meta
        notes.pop("test_accuracy", None)
        notes["dataset"] = task.data.name.encode(errors="replace").decode()
        if task.data.pictures:
            notes[NOTE] = task.data.pictures.note()
        else:
            notes.pop(NOTE, None)
        notes["batch_size"], notes["learning_rate"] = str(task.options.batch_size), str(_rate(task.options))
        notes["optimizer"], notes["schedule"] = task.options.optimizer.kind, str(task.options.schedule or "constant")
        notes["augment"] = str(task.options.augment or "none")
        notes["seed"], notes["made_by"] = str(task.seed), f"pynet {VERSION}"

    def save(self, test: Evaluation | None) -> None:
        """Writes the model with the figures of its training, and the history."""
        task, notes = self.task, self.task.net.meta
        before = notes.get("epochs", "") if task.options.load else ""
        notes["history"] = History.from_note(notes.get("history", "")).then(self.history).note()
        notes["epochs"] = str(len(self.history.loss) + (int(before) if before.isdecimal() else 0))
        if test:
            notes["test_accuracy"] = str(test.accuracy)
        if task.target:
            task.net.save(task.target)
        if task.options.history:
            self.history.save(task.options.history)


def _early_stopping(options: argparse.Namespace) -> EarlyStopping | None:
    """What --patience, --min-delta and --monitor ask for."""
    if not options.patience:
        return None
    return EarlyStopping(options.patience, options.min_delta or 0.0, f"val_{options.monitor or 'loss'}")


def _finite(tensors: dict[str, Array]) -> bool:
    return all(bool(np.isfinite(tensor).all()) for tensor in tensors.values())


def train(options: argparse.Namespace, begin: float) -> None:
    """The whole run."""
    task = prepare(options)
    if options.find_lr:
        _find_lr(task)
        return
    training = Training(task)
    try:
        _describe(task)
        if options.explain:
            _explain(task)
        test = training.run()
    except EXPECTED as error:
        raise Stopped(error, training.salvage(error)) from error
    training.save(test)
    if options.json:
        print(json.dumps(_results(training, test, time.perf_counter() - begin)))
        return
    print(f"test accuracy {percent(test.accuracy)} ({test.correct:,}/{test.samples:,})" if test else "no test samples")
    if test and len(task.data.classes) <= MOST_CLASSES:
        matrix = confusion_matrix(task.data.y_test, task.net.predict(task.data.x_test), len(task.data.classes))
        task.say("\n" + format_confusion(matrix, task.data.classes) + "\n")
    task.say(f"saved to {task.target}" if task.target else "not saved")
    if options.plot:
        plot(training, test)
    if task.target:
        task.say(f"next: {cli.program()} visualize --model {task.target}, or evaluate, or info")


def plot(training: Training, test: Evaluation | None) -> None:
    """Draws curves, weights and confusion matrix beside the model."""
    from pynet import figures

    task = training.task
    drawn = {}
    if training.history.loss:
        drawn["curves"] = figures.curves(training.history)
    if any(layer.kind == "dense" for layer in task.net.layers):
        drawn["weights"] = figures.weights(task.net)
    if test:
        matrix = confusion_matrix(task.data.y_test, task.net.predict(task.data.x_test), len(task.data.classes))
        drawn["confusion"] = figures.confusion(matrix, task.data.classes)
    for name, figure in drawn.items():
        assert task.target
        place = figures.save(figure, task.target.with_name(f"{task.target.stem}-{name}.png"))
        task.say(f"drew {place}")


# ---- what is printed ------------------------------------------------------------------------------------------------


def _say(text: str) -> None:
    print(text, flush=True)


def _warn(text: str) -> None:
    cli.complain("train", f"warning: {text}")


def _silent(_: str) -> None:
    pass


def _describe(task: Task) -> None:
    """Data, preprocessing, network and hyperparameters."""
    chosen, net, options = task.data, task.net, task.options
    names = ", ".join(chosen.classes) if len(chosen.classes) <= MOST_CLASSES else f"{len(chosen.classes)} classes"
    aside = f", {len(task.held_out[0]):,} for validation" if options.val_split and task.held_out else ""
    sizes = f"{len(chosen.x_train):,} samples for training{aside}, {len(chosen.x_test):,} for testing"
    scaled = "pixels (bytes), divided by 255" if chosen.x_train.dtype == np.uint8 else "values, taken as they are"
    shape = chosen.x_train.shape[1:]
    layout = "" if shape == net.in_shape else f", {'flattened to' if len(net.in_shape) == 1 else 'taken as'} "
    layout += "x".join(map(str, net.in_shape)) if layout else ""
    plan = f"{task.epochs} epochs, batches of {options.batch_size}, {_how(options)}, loss {net.loss_name}"
    task.say(
        f"data      {chosen.name}: {sizes}; classes {names}\n"
        f"source    {chosen.source}\n"
        f"inputs    {'x'.join(map(str, shape))} {scaled}{layout}\n"
        f"network   {net.spec}\n\n{net.summary()}\n\n"
        f"training  {plan}, seed {task.seed}\n"
        f"machine   {kernels.cpu()} kernels, threads: {kernels.threads()}\n"
    )


def _find_lr(task: Task) -> None:
    """Prints and draws what find_lr finds."""
    from pynet.training.learning_rate import find_lr

    options = task.options
    pair = (task.data.x_train, task.data.y_train)
    found = find_lr(task.net, pair, optimizer=options.optimizer, batch_size=options.batch_size, seed=task.seed)
    if options.json:
        print(json.dumps({"rates": found.rates, "losses": found.losses, "suggestion": found.suggestion}))
        return
    print(f"suggestion: {found.suggestion:g}" if options.quiet else found)
    if task.target:
        from pynet import figures

        try:
            figures.require()
        except figures.MissingMatplotlib:
            task.say("(no picture: that needs matplotlib)")
        else:
            place = task.target.with_name(f"{task.target.stem}-lr.png")
            task.say(f"drew {figures.save(figures.learning_rates(found), place)}")


def _explain(task: Task) -> None:
    from pynet.training.explain import explain

    first = int(kernels.shuffle(len(task.data.x_train), task.seed, 0)[0])
    step = explain(task.net, task.data.x_train[first], task.data.y_train[first], task.options.optimizer)
    task.say(f"the first sample that will be learnt from, number {first}, alone:\n\n{step}\n")


def _rate(options: argparse.Namespace) -> float:
    """The learning rate, given or usual."""
    return float(optimizer_struct(options.optimizer).learning_rate)


def _how(options: argparse.Namespace) -> str:
    """Optimizer, unless it is plain gradient descent, learning rate and schedule in words."""
    kind = "" if options.optimizer.kind == "sgd" else f"{options.optimizer.kind}, "
    schedule = f", schedule {options.schedule}" if options.schedule else ""
    augment = f", augmentation {options.augment}" if options.augment else ""
    return f"{kind}learning rate {_rate(options):g}{schedule}{augment}"


def _epoch_line(row: dict[str, float], epoch: int, task: Task) -> str:
    line = f"epoch {epoch:>{len(str(task.epochs))}}/{task.epochs}  loss {row['loss']:.4f}"
    line += f"  train {percent(row['accuracy'])}"
    if "val_accuracy" in row:
        line += f"  {'val' if task.options.val_split else 'test'} {percent(row['val_accuracy'])}"
    speed = len(task.data.x_train) / max(row["seconds"], 1e-9)
    return f"{line}  {row['seconds']:.3f} s  {speed:,.0f} samples/s"


def _results(training: Training, test: Evaluation | None, seconds: float) -> dict[str, Any]:
    """What --json prints."""
    task, columns = training.task, ("loss", "accuracy", "val_loss", "val_accuracy", "seconds")
    return {
        "dataset": task.data.name,
        "train_samples": len(task.data.x_train),
        "test_samples": len(task.data.x_test),
        "net": task.net.spec,
        "parameters": task.net.parameters,
        "threads": kernels.threads(),
        "cpu": kernels.cpu(),
        "seed": task.seed,
        "epochs": [{name: row.get(name) for name in columns} for row in training.history.rows()],
        "test_accuracy": test.accuracy if test else None,
        "seconds": seconds,
        "model": str(task.target) if task.target else None,
        "weights_sha256": task.net.weights_sha256(),
    }


# ---- the command ----------------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; argv None is the process's own. Returns the exit status: 0, 1, 2 or 130."""
    begin = time.perf_counter()
    return cli.run("train", lambda: train(parse(argv), begin))
