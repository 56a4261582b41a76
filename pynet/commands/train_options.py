"""The options of `pynet train`: defaults, accepted values, help."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TypeVar

from pynet._ffi import VERSION
from pynet.augment import Augment, parse_augment
from pynet.commands import table_options, train_table
from pynet.commands.cli import Parser, UsageError, flag, named, number, path, refuse, whole, wholes
from pynet.commands.data_options import add_data_options
from pynet.commands.presets import AUTO, PRESETS
from pynet.network import load
from pynet.optim import OPTIMIZERS, Optimizer
from pynet.schedules import SCHEDULES, Constant
from pynet.schedules import parse as parse_schedule
from pynet.training.checkpoint import Checkpoint
from pynet.training.chunks import MOST_CHUNKS

T = TypeVar("T")

DEFAULT_BATCH_SIZE = 64
DEFAULT_VAL_SPLIT = 0.1  # with --patience: early stopping must not select weights on the test set
DEFAULT_EPOCHS = 10
EPOCHS_DIGITS = 40  # a small data set, 29 steps an epoch; with 40 epochs, 30 seeds reached 96.3 % accuracy or more
OPTIMIZER_OPTIONS = ("momentum", "beta1", "beta2", "epsilon", "weight_decay", "l2", "clip_norm", "clip_value")
DEFAULT_TARGET = Path("{name}.safetensors")  # {name}: of the data set


def _presets() -> str:
    lines = []
    for name, preset in PRESETS.items():
        options = f"--epochs {preset.epochs} --batch-size {preset.batch_size} {preset.options}"
        lines += [f"  {name:<9} {preset.about}", f"            {preset.layers}", f"            {options}"]
    return "\n".join(lines)


EXAMPLES = f"""\
examples:
  pynet train                                        MNIST, or the built-in digits if it is not available
  pynet train --hidden 256 --activation tanh --epochs 20 --lr 0.05
  pynet train --classes 0,1,2 --hidden 128 --batch-size 32 --epochs 5
  pynet train --hidden 16,16 --activation sigmoid --loss mse --lr 0.3 --batch-size 10 --epochs 30
  pynet train --net "input(784) dense(32) tanh dense(10) softmax"
  pynet train --data letters/ --size 32              own pictures: letters/a/*.png, letters/b/*.jpg, ...
  pynet train --data iris.csv --target species       a table: what a column holds, from the others
  pynet train --load mnist.safetensors --epochs 5    continue training a model
  pynet train --epochs 100 --patience 5              early stopping after 5 epochs without a lower validation loss
  pynet train --epochs 50 --checkpoint run.safetensors            after an interruption, add --resume
  pynet train --optimizer adam --find-lr             suggest a learning rate
  pynet train --shuffle-labels --epochs 50           how much does it memorise?
  pynet train --explain --plot                       show one training step in numbers, draw pictures

presets:
{_presets()}

Small data sets get more epochs and smaller mini-batches. best and cnn first try on some of the pictures whether
augmentation helps, best on rows of numbers whether dropout does, and use it or not.

defaults: {DEFAULT_EPOCHS} epochs, {EPOCHS_DIGITS} for the built-in digits. With --target: --hidden 64,32
--optimizer adamw --lr 0.003 --batch-size 32 --weight-decay 500/rows; from 400 training rows on --patience 15
--epochs 200, else --epochs 40.
Ctrl-C stops, saves the model so far and exits with status 130; SIGTERM and SIGHUP do the same with 143 and 129.
Status 2 is an error in the options, 1 any other error.
"""


def epochs_for(dataset: str) -> int:
    """The default number of epochs."""
    return EPOCHS_DIGITS if dataset == "digits" else DEFAULT_EPOCHS


def _hidden(text: str) -> list[int]:
    return [] if text.strip() in ("", "0") else wholes(1, "as in 128,64; 0 for no hidden layer")(text)


def _target(text: str) -> Path | None:
    return None if text == "none" else path(text)


def _history(text: str) -> Path:
    if Path(text).suffix not in (".csv", ".json"):
        refuse(text, "a file with the suffix .csv or .json")
    return Path(text)


def _parser() -> Parser:
    description = "Trains a network on a data set, evaluates it on the test set and saves it."
    parser = Parser("pynet train", description, EXAMPLES)
    _add_data_options(parser.add_argument_group("data"))
    table_options.add_target_options(parser.add_argument_group("tables"))
    _add_network_options(parser.add_argument_group("network"))
    _add_training_options(parser.add_argument_group("training"))
    _add_optimizer_options(parser.add_argument_group("optimizer"))
    _add_stopping_options(parser.add_argument_group("early stopping and checkpoints"))
    _add_output_options(parser.add_argument_group("output"))
    return parser


def _add_data_options(group: argparse._ArgumentGroup) -> None:
    mnist_sources = "if in $PYNET_DATA/mnist, in the cache or downloaded within 5 seconds"
    add_data_options(group, f"mnist {mnist_sources}, else digits, which pynet contains")
    add = group.add_argument
    add("--limit", metavar="N", type=whole(1), help="only the first N training samples")
    split = number(0, 1, "a number from 0 to below 1")
    test = "fraction of own data to use as the test set, if they have none (default: 0.2; 0: train on all)"
    add("--test-split", metavar="F", type=split, help=test)
    add(
        "--val-split",
        metavar="F",
        type=split,
        default=0.0,
        help="fraction of the training samples to use as the validation set",
    )
    random = "shuffle the training labels, so that they can only be memorised"
    add("--shuffle-labels", action="store_true", help=random)


def _add_network_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    preset = "network and options, listed below; other options override it"
    add("--preset", choices=list(PRESETS), help=preset)
    add("--net", metavar="TEXT", help='the whole network as text: "input(784) dense(128) relu dense(10) softmax"')
    add("--hidden", metavar="N,N,..", type=_hidden, help="units of the hidden layers, 0 for none (default: 128,64)")
    add("--activation", choices=["relu", "sigmoid", "tanh"], help="after each hidden layer (default: relu)")
    add(
        "--init",
        choices=["he", "xavier", "normal"],
        help="initialisation of the weights (default: he before relu, else xavier)",
    )
    add(
        "--loss",
        choices=["cross_entropy", "mse", "bce", "mae", "huber"],
        help="of classes: cross_entropy ends the network with softmax (default); mse, squared error, and bce, binary "
        "cross-entropy for each class, with sigmoid. Of numbers: mse (default), mae, absolute error, and huber, which "
        "outliers pull less",
    )
    smoothing = "label smoothing for cross_entropy: this fraction is spread over all classes (default: 0)"
    add("--label-smoothing", metavar="F", type=number(0, 1, "a number from 0 to below 1"), help=smoothing)
    balanced = "balanced: samples of rare classes weigh more, so that all classes weigh alike (default: none)"
    add("--class-weight", choices=["balanced", "none"], help=balanced)
    add("--load", metavar="FILE", type=path, help="continue training this model (saved as --save says, not to FILE)")


def _add_training_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    epochs = f"passes over the training samples (default: {DEFAULT_EPOCHS}, for digits {EPOCHS_DIGITS})"
    add("--epochs", metavar="N", type=whole(0), help=epochs)
    batch = f"samples in a mini-batch (default: {DEFAULT_BATCH_SIZE})"
    add("--batch-size", metavar="N", type=whole(1, 2**31 - 1), help=batch)
    chunks = "a power of two: each batch is the sum of N parts, which the processes that mpiexec starts share; the "
    chunks += "same bits for any number of processes, see docs/scaling.md"
    add("--chunks", metavar="N", type=_chunks, help=chunks)
    rate = number(1e-37, 3e38, "a number from 1e-37 to 3e38")
    defaults = "learning rate (default: 0.1; momentum, nesterov: 0.01; rmsprop, adam, adamw: 0.001)"
    add("--lr", metavar="RATE", type=rate, help=defaults)
    augment = "augment pictures at random in each step; default strengths, or as in "
    augment += "shift=1,rotate=8,scale=0.08,shear=4,elastic=0.7 (pixels, degrees); none: no augmentation; "
    augment += "auto: the default strengths if a short trial on some of the samples says that they help"
    add("--augment", metavar="TEXT", nargs="?", const="", type=_augment, help=augment)
    seed = "random seed of weights, order and split; the same seed gives the same bits (default: 0, or that of --load)"
    add("--seed", metavar="N", type=whole(0, 2**64 - 1), help=seed)
    find = "range test: try learning rates from 1e-6 to 10, suggest one, draw the losses and exit"
    add("--find-lr", action="store_true", help=find)
    threads = "1 to 64 (default: one for each core); changes only the speed"
    add("--threads", metavar="N", type=whole(1, 64), help=threads)


def _chunks(text: str) -> int:
    chunks = whole(1, MOST_CHUNKS)(text)
    if chunks & (chunks - 1):
        refuse(text, f"a power of two, up to {MOST_CHUNKS}")
    return chunks


def _augment(text: str) -> Augment | str | None:
    if text in ("none", AUTO):
        return AUTO if text == AUTO else None
    return _parsed(parse_augment, text)


def _parsed(parse: Callable[[str], T], text: str) -> T:
    """What parse gives; its ValueError as argparse's error, with its own words."""
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _add_optimizer_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    share = number(0, 1, "a number from 0 to below 1")
    positive = number(1e-37, 3e38, "a number above 0")
    add("--optimizer", metavar="NAME", choices=list(OPTIMIZERS), default="sgd", help=f"{', '.join(OPTIMIZERS)}")
    add("--momentum", metavar="M", type=share, help="of momentum and nesterov (default: 0.9)")
    add("--beta1", metavar="B", type=share, help="of adam and adamw (default: 0.9)")
    add("--beta2", metavar="B", type=share, help="of adam and adamw (default: 0.999) and rmsprop (0.99)")
    add("--epsilon", metavar="E", type=positive, help="of adam, adamw and rmsprop (default: 1e-8)")
    decay = number(0, 3e38, "a number, 0 or more")
    add(
        "--weight-decay",
        metavar="D",
        type=decay,
        help="subtracts rate * D * w from each weight w (default: 0; adamw: 0.01)",
    )
    add("--l2", metavar="D", type=decay, help="adds D * w to the gradient of each weight w (default: 0)")
    clip = group.add_mutually_exclusive_group().add_argument
    clip(
        "--clip-norm",
        metavar="C",
        type=positive,
        help="gradient clipping: scales gradients with a larger norm down to this norm",
    )
    clip("--clip-value", metavar="C", type=positive, help="clips each gradient to [-C, C]")
    schedule = f"of the learning rate: {', '.join(SCHEDULES)}; with arguments: step(every=5,factor=0.5)"
    add("--schedule", metavar="TEXT", type=lambda text: _parsed(parse_schedule, text), help=schedule)
    add("--warmup", metavar="N", type=decay, help="epochs of linear learning-rate warm-up")


def _add_stopping_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    stop = "early stopping after N epochs without improvement, with the best weights; splits off a validation set"
    add("--patience", metavar="N", type=whole(1), help=f"{stop} (default: --val-split {DEFAULT_VAL_SPLIT})")
    better = "with --patience: an improvement must be larger than this (default: 0)"
    add("--min-delta", metavar="D", type=number(0, 3e38, "a number, 0 or more"), help=better)
    monitor = "with --patience: the validation metric to watch (default: loss); of numbers, rmse or r2"
    add("--monitor", choices=["loss", "accuracy", "rmse", "r2"], help=monitor)
    kept = "save checkpoints of the training, model files from which --resume continues"
    add("--checkpoint", metavar="FILE", type=path, help=kept)
    often = "in epochs, or in seconds as in 30s (default: 1 epoch)"
    add("--checkpoint-every", metavar="N", type=_every, help=often)
    resume = "continue from --checkpoint FILE; with the same options, the result is the same to the last bit"
    add("--resume", action="store_true", help=resume)


def _every(text: str) -> str:
    try:
        Checkpoint("", text)
    except ValueError:
        refuse(text, "epochs, 1 or more, or seconds, as in 30s")
    return text


def _optimizer(options: argparse.Namespace) -> Optimizer:
    """The optimizer that --optimizer and its options describe."""
    kind = OPTIMIZERS[options.optimizer]
    known = {field.name for field in fields(kind)}
    given = {name: getattr(options, name) for name in OPTIMIZER_OPTIONS if getattr(options, name) is not None}
    for name in given:
        if name not in known:
            raise UsageError(f"--{name} does not apply to the optimizer {options.optimizer}")
    return kind(options.lr, **given)


def _add_output_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    save = (
        "where to save the model, or none (default: the data set's name + .safetensors); overwrites only pynet models"
    )
    add("--save", metavar="FILE", type=_target, default=DEFAULT_TARGET, help=save)
    add("--history", metavar="FILE", type=_history, help="write the figures of each epoch as .csv or .json")
    explain = "first print one training step on one sample in numbers: each layer's output and gradients, whole if it "
    explain += "is small, else by their largest entries"
    add("--explain", action="store_true", help=explain)
    add(
        "--plot",
        action="store_true",
        help="draw training curves, weights and confusion matrix as .png, in a folder beside the model",
    )
    add("--json", action="store_true", help="print the results as one JSON object, and nothing else")
    add("--quiet", action="store_true", help="print only the test accuracy")
    add("--version", action="version", version=f"pynet {VERSION}")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options, as far as they can be checked without data and network.

    Adds: terse (bool), print only results; loaded, the network of --load; inherited, the options taken over from
    its training; decays_by_rows: the weight decay of rows of numbers follows from their number. optimizer becomes
    an Optimizer, schedule a Schedule or None; augment may be AUTO, and batch_size None for the preset to choose.
    Raises UsageError; OSError and ValueError if --load cannot be read.
    """
    options = _parser().parse_args(arguments)
    _check(options)
    loaded = load(options.load) if options.load else None
    preset = PRESETS[options.preset].options.split() if options.preset else []
    inherited = _inherited(loaded.meta, arguments) if loaded and not preset else []
    defaults = train_table.defaults(arguments, options) if options.target is not None and not preset else []
    options = _parser().parse_args([*inherited, *defaults, *preset, *arguments])
    options.decays_by_rows = bool(defaults or "adam" in preset) and train_table.decays_by_rows(arguments)
    options.loaded, options.inherited = loaded, inherited
    options.terse = options.json or options.quiet
    options.optimizer = _optimizer(options)
    if options.batch_size is None and not preset:
        options.batch_size = DEFAULT_BATCH_SIZE
    if options.warmup:
        options.schedule = replace(options.schedule or Constant(), warmup=options.warmup)
    if options.patience and not options.val_split and options.target is None:
        options.val_split = DEFAULT_VAL_SPLIT
    return options


def _check(options: argparse.Namespace) -> None:
    """Raises UsageError for options that need or exclude others."""
    table_options.check(options)
    if options.label_smoothing and options.loss not in (None, "cross_entropy"):
        raise UsageError(f"--label-smoothing is for cross_entropy, --loss is {options.loss}")
    for name, needed in (
        ("min_delta", "patience"),
        ("monitor", "patience"),
        ("checkpoint_every", "checkpoint"),
        ("resume", "checkpoint"),
    ):
        if getattr(options, name) and not getattr(options, needed):
            raise UsageError(f"{flag(name)} needs --{needed}")
    for other in ("quiet", "json", "find_lr"):
        if options.explain and getattr(options, other):
            raise UsageError(f"--explain prints a training step; it cannot be used with --{other.replace('_', '-')}")
    for other in ("find_lr", "folds"):
        if options.chunks and getattr(options, other):
            raise UsageError(f"--chunks cannot be used with {flag(other)}")
    for network, parts in (
        ("load", ("net", "hidden", "activation", "init", "loss", "label_smoothing")),
        ("net", ("hidden", "activation", "init")),
    ):
        for part in parts:
            if getattr(options, network) is not None and getattr(options, part) is not None:
                raise UsageError(f"{flag(part)} cannot be used with --{network}, which defines the whole network")


def optimizer_note(optimizer: Optimizer) -> str:
    """The optimizer's options for a note in the model, without kind and learning rate: "weight_decay=0.01"."""
    arguments = {name: getattr(optimizer, name, None) for name in OPTIMIZER_OPTIONS}
    return ",".join(f"{name}={value!r}" for name, value in arguments.items() if value is not None)


def _inherited(notes: Mapping[str, str], arguments: Sequence[str]) -> list[str]:
    """The options of a model's training that are not given now; none if its notes are not valid options."""
    given = named(arguments)
    if given & {"--clip-norm", "--clip-value"}:  # mutually exclusive
        given |= {"--clip-norm", "--clip-value"}
    found = {"--batch-size": notes.get("batch_size"), "--schedule": notes.get("schedule")}
    found |= {"--augment": notes.get("augment"), "--class-weight": notes.get("class_weight")}
    if "--optimizer" not in given:
        found |= {"--optimizer": notes.get("optimizer"), "--lr": notes.get("learning_rate")}
        for part in notes.get("optimizer_options", "").split(","):
            name, _, value = part.partition("=")
            found |= {flag(name): value} if name in OPTIMIZER_OPTIONS else {}
    defaults = {"--schedule": "constant", "--augment": "none"}
    words = [
        f"{name}={text}" for name, text in found.items() if name not in given and text not in (None, defaults.get(name))
    ]
    try:
        _optimizer(_parser().parse_args(words))
    except UsageError:
        return []
    return words
