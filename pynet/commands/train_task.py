"""Turns the options of `pynet train` into a Task, and checks data, network and files before the training starts."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pynet import data, kernels
from pynet._ffi import Array, check_environment, optimizer_struct
from pynet.augment import Augment
from pynet.commands import cli, data_options, table_options, train_table
from pynet.commands.cli import UsageError
from pynet.commands.outputs import check_history, check_picture_path, figures_folder
from pynet.commands.presets import PRESETS, augmentation_of, has_pictures, layers_for, trial_of, without_dropout
from pynet.commands.processes import leave_to_first, share_cores
from pynet.commands.train_options import DEFAULT_TARGET, epochs_for
from pynet.data import Dataset
from pynet.data.inputs import Inputs
from pynet.data.table_set import Parts
from pynet.files import check_writable
from pynet.inference import previous_of
from pynet.network import Network, load
from pynet.optim import Optimizer
from pynet.schedules import Schedule
from pynet.text import picture_shape
from pynet.training.callbacks import EarlyStopping
from pynet.training.checkpoint import Checkpoint
from pynet.training.parallel import Processes
from pynet.training.scaling import unscaled
from pynet.training.trial import NOTE as TRIAL
from pynet.training.trial import Trial

PLOTS = ("curves", "weights", "confusion")  # what --plot draws
OF_CLASSES, OF_NUMBERS = ("cross_entropy", "mse", "bce"), ("mse", "mae", "huber")  # losses


@dataclass
class Task:
    """Everything that a training needs: network, data, hyperparameters, and where its results go.

    validation: the validation set, which is the test set unless own_validation. continued: the network was trained
    before; inherited: options taken over from that training. terse: print only results.
    """

    data: Dataset
    data_path: Path | None
    validation: tuple[Array, Array] | None
    own_validation: bool
    net: Network
    continued: bool
    inherited: Sequence[str]
    seed: int
    epochs: int
    batch_size: int
    optimizer: Optimizer
    schedule: Schedule | None
    augment: Augment | None
    class_weight: str | None
    early_stopping: EarlyStopping | None
    checkpoint: Checkpoint | None
    target: Path | None
    target_given: bool
    history: Path | None
    terse: bool
    folds: train_table.Folds | None
    trial: Trial | None
    chunks: int | None
    processes: Processes

    @property
    def learning_rate(self) -> float:
        """The given or default learning rate."""
        return float(optimizer_struct(self.optimizer).learning_rate)

    def print_info(self, text: object) -> None:
        """Prints a line unless terse."""
        if not self.terse:
            cli.print_stdout(text)


def prepare(options: argparse.Namespace, processes: Processes) -> Task:
    """The task that the options describe, with its data and files checked."""
    check_environment()
    if options.threads:
        kernels.set_threads(options.threads)
    else:
        share_cores(processes)
    if not processes.first:
        leave_to_first(options)
    net = _given_network(options)
    seed = options.seed if options.seed is not None else net.seed if net else 0
    rows = table_options.rows(options) if options.target is not None else None
    plan = train_table.Stopping(options.val_split, options.patience, None)
    if rows:
        (dataset, aside), plan = train_table.parts(options, rows, seed)
    else:
        dataset, aside = _load_data(options, net, seed)
    if options.batch_size is None:
        options.batch_size = PRESETS[options.preset].batch_size_for(len(dataset.x_train))
    for line in dataset.warnings:
        cli.print_stderr("train", f"warning: {line}")
    validation = aside or ((dataset.x_test, dataset.y_test) if len(dataset.x_test) else None)
    name = dataset.name
    if options.shuffle_labels:
        dataset, name = replace(dataset, y_train=data.shuffled_labels(dataset.y_train, seed)), f"{name}-shuffled"
    _check_loss(options.loss, dataset)
    if net is None or (dataset.columns and not options.load):
        net = _network_for(options, dataset, seed)
    _check_suits(options, net, dataset)
    target = Path(f"{name}.safetensors") if options.save is DEFAULT_TARGET else options.save
    _check_targets(options, target)
    checkpoint = _checkpoint(options, target)
    if checkpoint and processes.first:
        checkpoint.check()
    if options.decays_by_rows and options.target is None and not has_pictures(net, dataset):
        options.optimizer = train_table.decayed(options.optimizer, len(dataset.x_train))
    net, trial = _ready(options, net, dataset, seed)
    folds = None
    if options.folds and rows:
        folds = train_table.cross_validated(options, rows, seed, lambda *fold: _learnt(options, seed, *fold))
        plan = train_table.Stopping(0.0, None, folds.epochs)
    return Task(
        data=dataset,
        data_path=data_options.data_path(options, net),
        validation=validation,
        own_validation=aside is not None,
        net=net,
        continued=bool(options.load),
        inherited=options.inherited,
        seed=seed,
        epochs=_epochs(options, dataset, trial) if plan.epochs is None else plan.epochs,
        batch_size=options.batch_size,
        optimizer=options.optimizer,
        schedule=options.schedule,
        augment=augmentation_of(options, net, dataset, trial),
        class_weight=_class_weight(options, dataset),
        early_stopping=_early_stopping(options, plan.patience),
        checkpoint=checkpoint,
        target=target,
        target_given=options.save is not DEFAULT_TARGET,
        history=options.history,
        terse=options.terse,
        folds=folds,
        trial=trial,
        chunks=options.chunks,
        processes=processes,
    )


# ---- network and data ----


def _given_network(options: argparse.Namespace) -> Network | None:
    """The network of --load or --net; None if its text depends on the data."""
    if options.load:
        loaded: Network = options.loaded
        return loaded
    if options.net is None:
        return None
    return _network(options.net + _loss(options), options.seed or 0)


def _network_for(options: argparse.Namespace, dataset: Dataset, seed: int, dropout: bool = True) -> Network:
    """A new one that the options stand for, and that suits the data; one for a table knows its columns."""
    text = options.net + _loss(options) if options.net else _text(options, dataset)
    text = text if dropout else without_dropout(text)
    net = _network(text, seed)
    if dataset.columns:
        data_options.check_suits(net, dataset, "the network", UsageError)
        try:
            data.prepare(net, dataset)
        except ValueError as error:
            raise UsageError(f"network {text!r}: {error}") from None
    return net


def _learnt(options: argparse.Namespace, seed: int, fold: Parts, plan: train_table.Stopping) -> tuple[Network, int]:
    """A network that was trained on all folds but one, and after how many epochs it was best."""
    dataset, stopping = fold.data, _early_stopping(options, plan.patience)
    net = _network_for(options, dataset, seed)
    net._scale_known = True
    history = net.fit(
        dataset.x_train,
        dataset.y_train,
        epochs=_epochs(options, dataset, None) if plan.epochs is None else plan.epochs,
        batch_size=options.batch_size,
        optimizer=options.optimizer,
        schedule=options.schedule,
        class_weight=_class_weight(options, dataset),
        validation=fold.validation,
        early_stopping=stopping,
        seed=seed,
        verbose=0,
    )
    return net, stopping.best(history.columns()[stopping.monitor]) + 1 if stopping else len(history.loss)


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


def _text(options: argparse.Namespace, dataset: Dataset) -> str:
    """The network's text from --preset, or from --hidden, --activation, --init, and --loss."""
    sample = dataset.x_train.shape[1:]
    features, is_table = math.prod(sample), dataset.columns is not None
    is_table |= not dataset.classes and len(sample) == 1 and dataset.x_train.dtype != np.uint8
    first = " standardize" if is_table else ""
    if options.preset and (options.hidden, options.activation, options.init) == (None, None, None):
        preset = PRESETS[options.preset]
        if preset.on_pictures and len(sample) < 2:
            raise UsageError(
                f"--preset {options.preset} takes pictures; these samples are rows of {features} numbers; "
                f"--shape HEIGHT,WIDTH if they are pictures"
            )
        shape = ",".join(map(str, (1, *sample)[-3:])) if preset.on_pictures else features
        layers = layers_for(preset, *sample[-2:]) if preset.on_pictures else preset.layers
        return f"input({shape}){first} {layers} {_closing(options, dataset)}" + _loss(options)
    init = f",init={options.init}" if options.init else ""
    hidden = [128, 64] if options.hidden is None else options.hidden
    words = [f"input({features}){first}", *(f"dense({size}{init}) {options.activation or 'relu'}" for size in hidden)]
    return " ".join([*words, _closing(options, dataset, init)]) + _loss(options)


def _closing(options: argparse.Namespace, dataset: Dataset, init: str = "") -> str:
    """The last layers: an output for each class, or for each number to predict."""
    if not dataset.classes:
        return f"dense({math.prod(dataset.y_train.shape[1:])}{init}) rescale"
    closing = "softmax" if options.loss in (None, "cross_entropy") else "sigmoid"
    return f"dense({len(dataset.classes)}{init}) {closing}"


def _check_loss(loss: str | None, dataset: Dataset) -> None:
    """UsageError: the loss is for classes, and there are numbers to predict, or the other way round."""
    kind, accepted = ("classes", OF_CLASSES) if dataset.classes else ("numbers to predict", OF_NUMBERS)
    if loss not in (None, *accepted):
        raise UsageError(f"argument --loss: {loss} is not for {kind}, as {dataset.name} has; {', '.join(accepted)} are")


def _ready(options: argparse.Namespace, net: Network, dataset: Dataset, seed: int) -> tuple[Network, Trial | None]:
    """The network to train, scaled and with notes on its outputs, after the trial; which may take its dropout off."""
    trial = trial_of(options, net, dataset, seed)
    if trial and trial.tried == "dropout" and not trial.kept:
        net = _network_for(options, dataset, seed, dropout=False)
    scales = net.layers[0].kind == "standardize" or net.layers[-1].kind == "rescale"
    if scales and not options.load and not dataset.columns:
        net.adapt(dataset.x_train, dataset.y_train)
    if dataset.classes:
        net.classes = list(dataset.classes)
    else:
        net.task = "regression"
    net.meta.replace({TRIAL: trial.note() if trial else None})
    remedy = f"{net.spec.split()[0]} standardize at the beginning of --net scales it"
    if not (options.terse or net.updates) and (text := unscaled(net, dataset.x_train, dataset.name, remedy)):
        cli.print_stderr("train", f"warning: {text}")
    net._scale_known = True
    return net, trial


def _load_data(
    options: argparse.Namespace, net: Network | None, seed: int
) -> tuple[Dataset, tuple[Array, Array] | None]:
    """The data set, and the samples (x, y) that were set aside of those for training."""
    dataset = data_options.load_dataset(options, prepare_like=net)
    if options.terse and not (options.data or options.dataset or options.load) and dataset.name == "digits":
        cli.print_stderr("train", f"using {dataset.source}: {'; '.join(dataset.notes)}")
    if options.load and net:
        dataset = data_options.adapted(net, dataset, f"the model {options.load}")
    elif (dataset.y_train == dataset.y_train[0]).all():
        if not dataset.classes:
            raise ValueError(f"{dataset.name} has the same target for all samples; accepted: targets that differ")
        raise ValueError(f"{dataset.name} has training samples of only one class; accepted: two classes or more")
    else:
        _warn_of_few_levels(dataset)
    dataset = dataset.limit(options.limit) if options.limit else dataset
    if not options.val_split:
        return dataset, None
    x, y, *aside = data.validation_split(dataset.x_train, dataset.y_train, options.val_split, seed)
    return replace(dataset, x_train=x, y_train=y), (aside[0], aside[1])


def _warn_of_few_levels(dataset: Dataset) -> None:
    """Warns of pixels in 0..16: common in data sets, but divided by 255 they are nearly 0, and undivided too large."""
    inputs = Inputs.of(dataset.x_train)
    if inputs.few_levels and inputs.highest > 1 and picture_shape(dataset.x_train.shape[1:]):
        taken = "divided by 255" if inputs.bytes else "taken as they are"
        remedy = f"if they are pixels, multiply them by 255/{inputs.highest:g}"
        cli.print_stderr("train", f"warning: the samples of {dataset.name} are {inputs}, {taken}; {remedy}")


def _check_suits(options: argparse.Namespace, net: Network, dataset: Dataset) -> None:
    """Raises UsageError unless network, data and options fit together."""
    if not options.load:
        data_options.check_suits(net, dataset, "the network", UsageError)
    if isinstance(options.augment, Augment) and not has_pictures(net, dataset):
        raise UsageError(f"--augment changes pictures; the samples of {dataset.name} are rows of {net.in_shape[0]}")


def _epochs(options: argparse.Namespace, dataset: Dataset, trial: Trial | None) -> int:
    """The number of epochs: given, of the preset, or the default."""
    if options.epochs is not None:
        return int(options.epochs)
    if options.preset:
        return PRESETS[options.preset].epochs_for(
            len(dataset.x_train), options.batch_size, *((trial.tried, trial.kept) if trial else ())
        )
    return epochs_for(dataset.name)


def _class_weight(options: argparse.Namespace, dataset: Dataset) -> str | None:
    """What --class-weight asks for. UsageError: there are no classes."""
    if options.class_weight in (None, "none"):
        return None
    if not dataset.classes:
        raise UsageError(f"--class-weight is for classes; {dataset.name} has numbers to predict")
    return str(options.class_weight)


def _early_stopping(options: argparse.Namespace, patience: int | None) -> EarlyStopping | None:
    """Early stopping by --patience, --min-delta and --monitor."""
    if not patience:
        return None
    return EarlyStopping(patience, options.min_delta or 0.0, f"val_{options.monitor or 'loss'}")


# ---- files ----


def beside(target: Path, name: str) -> Path:
    """The path of a picture beside a model."""
    return figures_folder(target.parent, target.stem) / f"{target.stem}-{name}.png"


def _check_pictures(target: Path, names: Sequence[str]) -> None:
    for place in (beside(target, name) for name in names):
        check_picture_path(place)


def _checkpoint(options: argparse.Namespace, target: Path | None) -> Checkpoint | None:
    """The checkpoint of --checkpoint and --resume, checked; None without."""
    path = options.checkpoint
    if path is None:
        return None
    for name, other in (("save", target), ("load", options.load), ("data", options.data), ("history", options.history)):
        if other and os.path.realpath(other) == os.path.realpath(path):
            raise UsageError(f"argument --checkpoint: --{name} names {path}, too")

    def print_stderr(error: OSError) -> None:
        cli.print_stderr("train", f"{error}; the training continues, the last checkpoint is unchanged")

    return Checkpoint(path, options.checkpoint_every or 1, options.resume, print_stderr)


def _check_targets(options: argparse.Namespace, target: Path | None) -> None:
    """Finds errors that would otherwise come after the training, and refuses to overwrite other programs' files."""
    if target:
        if os.path.lexists(target):
            _check_replaceable(target)
        check_writable(target)
        if os.path.lexists(previous_of(target)):
            _check_replaceable(previous_of(target))
    if options.history:
        for other in (target, options.data, options.load):
            if other and os.path.realpath(other) == os.path.realpath(options.history):
                raise UsageError(f"argument --history: {options.history} is used for something else as well")
        check_writable(options.history)
        check_history(options.history)
    if options.plot:
        if target is None:
            raise UsageError("--plot draws into a folder beside the model, and --save none writes no model")
        from pynet import figures

        figures.require()
        _check_pictures(target, PLOTS)
    if options.find_lr and target:
        _check_pictures(target, ["lr"])


def _check_replaceable(target: Path) -> None:
    try:
        load(target)
    except (OSError, ValueError) as error:
        reason = f"{target} is not a pynet model, so it is not overwritten ({error}); --save names another file"
        raise ValueError(reason) from None
