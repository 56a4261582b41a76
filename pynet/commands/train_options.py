"""The options of `pynet train`, with their defaults and what they accept."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

from pynet._ffi import VERSION
from pynet.augment import Augment, parse_augment
from pynet.commands import table_options, train_table
from pynet.commands.cli import Parser, UsageError, number, path, refuse, whole
from pynet.commands.data_options import add_data_options
from pynet.commands.presets import PRESETS
from pynet.network import load
from pynet.optim import OPTIMIZERS, Optimizer
from pynet.schedules import SCHEDULES, Constant, Schedule
from pynet.schedules import parse as parse_schedule
from pynet.training.checkpoint import Checkpoint

BATCH_SIZE = 64
VAL_SPLIT = 0.1  # what --patience sets aside: the test set must not choose the weights
EPOCHS = 10
EPOCHS_DIGITS = 40  # the built-in digits are few: 10 epochs are 290 steps. After 40, 30 seeds gave 96.3 % or more
HOW = ("momentum", "beta1", "beta2", "epsilon", "weight_decay", "l2", "clip_norm", "clip_value")  # of an optimizer
DEFAULT_TARGET = Path("{name}.safetensors")  # {name} is the data set's


def _presets() -> str:
    lines = []
    for name, preset in PRESETS.items():
        options = f"--epochs {preset.epochs} {preset.options}"
        lines += [f"  {name:<9} {preset.about}", f"            {preset.layers}", f"            {options}"]
    return "\n".join(lines)


EXAMPLES = f"""\
examples:
  pynet train                                        MNIST, or the built-in digits where it cannot be had
  pynet train --hidden 256 --activation tanh --epochs 20 --lr 0.05
  pynet train --classes 0,1,2 --hidden 128 --batch-size 32 --epochs 5
  pynet train --hidden 16,16 --activation sigmoid --loss mse --lr 0.3 --batch-size 10 --epochs 30
  pynet train --net "input(784) dense(32) tanh dense(10) softmax"
  pynet train --data letters/ --size 32              own pictures: letters/a/*.png, letters/b/*.jpg, ...
  pynet train --data iris.csv --target species       a table: what a column holds, from the others
  pynet train --load mnist.safetensors --epochs 5    go on from a model
  pynet train --epochs 100 --patience 5              stop when the validation loss has not fallen for 5 epochs
  pynet train --epochs 50 --checkpoint run.safetensors            then, after an interruption, the same with --resume
  pynet train --optimizer adam --find-lr             which learning rate?
  pynet train --shuffle-labels --epochs 50           how much can it memorise?
  pynet train --explain --plot                       with one step in all its numbers, and pictures at the end

presets:
{_presets()}

defaults: {EPOCHS} epochs, {EPOCHS_DIGITS} for the built-in digits.
Ctrl-C stops, saves what was learnt and exits with status 130; SIGTERM and SIGHUP do so with 143 and 129. Status 2 is an
error in the options, 1 any other.
"""


def epochs_for(dataset: str) -> int:
    """How many epochs are trained where neither --epochs nor --preset says anything."""
    return EPOCHS_DIGITS if dataset == "digits" else EPOCHS


def _hidden(text: str) -> list[int]:
    return [] if text.strip() in ("", "0") else [whole(1)(size) for size in text.split(",")]


def _target(text: str) -> Path | None:
    return None if text == "none" else path(text)


def _history(text: str) -> Path:
    if Path(text).suffix not in (".csv", ".json"):
        refuse(text, "a file with the suffix .csv or .json")
    return Path(text)


def _parser() -> Parser:
    description = "Trains a network on a data set, measures it on the test set and saves it."
    parser = Parser("pynet train", description, EXAMPLES)
    _add_data_options(parser.add_argument_group("data"))
    table_options.add_target_options(parser.add_argument_group("tables"))
    _add_network_options(parser.add_argument_group("network"))
    _add_training_options(parser.add_argument_group("training"))
    _add_optimizer_options(parser.add_argument_group("optimizer"))
    _add_stopping_options(parser.add_argument_group("when to stop, and going on"))
    _add_output_options(parser.add_argument_group("output"))
    return parser


def _add_data_options(group: argparse._ArgumentGroup) -> None:
    near = "if it is in $PYNET_DATA/mnist, in the cache or downloaded within 5 seconds"
    add_data_options(group, f"mnist {near}, else digits, which are part of pynet")
    add = group.add_argument
    add("--limit", metavar="N", type=whole(1), help="only the first N training samples")
    split = number(0, 1, "a number from 0 to below 1")
    test = "fraction of own data without a test set to set aside for testing (default: 0.2); 0: learn from all"
    add("--test-split", metavar="F", type=split, help=test)
    add(
        "--val-split",
        metavar="F",
        type=split,
        default=0.0,
        help="fraction of the training samples set aside for validation",
    )
    random = "give the training samples each other's labels: what is learnt then is memorised"
    add("--shuffle-labels", action="store_true", help=random)


def _add_network_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    preset = "network and options that go together, listed below; single options override it"
    add("--preset", choices=list(PRESETS), help=preset)
    add("--net", metavar="TEXT", help='the whole network as text: "input(784) dense(128) relu dense(10) softmax"')
    add("--hidden", metavar="N,N,..", type=_hidden, help="sizes of the hidden layers, 0 for none (default: 128,64)")
    add("--activation", choices=["relu", "sigmoid", "tanh"], help="behind each hidden layer (default: relu)")
    add("--init", choices=["he", "xavier", "normal"], help="of the weights (default: he before relu, else xavier)")
    add(
        "--loss",
        choices=["cross_entropy", "mse", "bce", "mae", "huber"],
        help="of classes: cross_entropy ends the network with softmax (default); mse, squared error, and bce, binary "
        "cross-entropy for each class, with sigmoid. Of numbers: mse (default), mae, absolute error, and huber, which "
        "outliers pull less",
    )
    smoothing = "share of each label that goes to all classes alike, for cross_entropy (default: 0)"
    add("--label-smoothing", metavar="F", type=number(0, 1, "a number from 0 to below 1"), help=smoothing)
    balanced = "balanced: samples of rare classes weigh more, so that all classes weigh alike (default: none)"
    add("--class-weight", choices=["balanced", "none"], help=balanced)
    add("--load", metavar="FILE", type=path, help="go on from this model, with its network")


def _add_training_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    epochs = f"times through the training samples (default: {EPOCHS}, for the digits {EPOCHS_DIGITS})"
    add("--epochs", metavar="N", type=whole(0), help=epochs)
    batch = f"samples in a step (default: {BATCH_SIZE})"
    add("--batch-size", metavar="N", type=whole(1, 2**31 - 1), default=BATCH_SIZE, help=batch)
    rate = number(1e-37, 3e38, "a number from 1e-37 to 3e38")
    usual = "learning rate (default: 0.1; momentum, nesterov: 0.01; rmsprop, adam, adamw: 0.001)"
    add("--lr", metavar="RATE", type=rate, help=usual)
    augment = "change the pictures at random in each step, with the usual strengths, or others, as in "
    augment += "shift=1,rotate=8,scale=0.08,shear=4,elastic=0.7 (pixels, degrees); none: as they are"
    add("--augment", metavar="TEXT", nargs="?", const="", type=_augment, help=augment)
    seed = "of weights, order and split: same seed, same bits (default: 0, or the loaded model's)"
    add("--seed", metavar="N", type=whole(0, 2**64 - 1), help=seed)
    find = "try learning rates from 1e-6 to 10, suggest one and stop; a picture beside the model, with matplotlib"
    add("--find-lr", action="store_true", help=find)
    threads = "1 to 64 (default: as many as there are cores); changes the speed alone"
    add("--threads", metavar="N", type=whole(1, 64), help=threads)


def _augment(text: str) -> Augment | None:
    if text == "none":
        return None
    try:
        return parse_augment(text)
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
        help="takes rate * D * w from each weight w (default: 0; adamw: 0.01)",
    )
    add("--l2", metavar="D", type=decay, help="adds D * w to the gradient of each weight w (default: 0)")
    clip = group.add_mutually_exclusive_group().add_argument
    clip("--clip-norm", metavar="C", type=positive, help="scales the gradients down to this norm, if they are larger")
    clip("--clip-value", metavar="C", type=positive, help="cuts each gradient to [-C, C]")
    schedule = f"of the learning rate: {', '.join(SCHEDULES)}; with arguments: step(every=5,factor=0.5)"
    add("--schedule", metavar="TEXT", type=_schedule, help=schedule)
    add("--warmup", metavar="N", type=decay, help="epochs in which the learning rate first grows in a line")


def _add_stopping_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    stop = "stop after N epochs without a better one, and take the weights of the best; sets aside validation samples"
    add("--patience", metavar="N", type=whole(1), help=f"{stop} (--val-split {VAL_SPLIT}) unless told how many")
    better = "with --patience: an epoch is better that gains more than this (default: 0)"
    add("--min-delta", metavar="D", type=number(0, 3e38, "a number, 0 or more"), help=better)
    monitor = "with --patience: the validation figure that counts (default: loss); of numbers, rmse or r2"
    add("--monitor", choices=["loss", "accuracy", "rmse", "r2"], help=monitor)
    kept = "write the training down as it goes, as a model file from which --resume can go on"
    add("--checkpoint", metavar="FILE", type=path, help=kept)
    often = "epochs, or seconds as in 30s (default: 1, each epoch)"
    add("--checkpoint-every", metavar="N", type=_every, help=often)
    resume = "go on from --checkpoint FILE; give the same options again: the result is the same to the last bit"
    add("--resume", action="store_true", help=resume)


def _every(text: str) -> str:
    try:
        Checkpoint("", text)
    except ValueError:
        refuse(text, "epochs, 1 or more, or seconds, as in 30s")
    return text


def _schedule(text: str) -> Schedule:
    try:
        return parse_schedule(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _optimizer(options: argparse.Namespace) -> Optimizer:
    """What --optimizer and the options about it describe."""
    kind = OPTIMIZERS[options.optimizer]
    known = {field.name for field in fields(kind)}
    values = {"learning_rate": options.lr}
    for name in HOW:
        if getattr(options, name) is None:
            continue
        if name not in known:
            raise UsageError(f"--{name} is for another optimizer than {options.optimizer}")
        values[name] = getattr(options, name)
    return kind(**values)


def _add_output_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    save = "none, or where to save (default: the data set's name + .safetensors); overwrites nothing but pynet models"
    add("--save", metavar="FILE", type=_target, default=DEFAULT_TARGET, help=save)
    add("--history", metavar="FILE", type=_history, help="write the figures of each epoch as .csv or .json")
    add("--explain", action="store_true", help="first go through one step of learning with all its numbers")
    add(
        "--plot",
        action="store_true",
        help="draw curves, weights and confusion matrix as .png, in a folder beside the model",
    )
    add("--json", action="store_true", help="print the results as one JSON object, and nothing else")
    add("--quiet", action="store_true", help="print the test accuracy alone")
    add("--version", action="version", version=f"pynet {VERSION}")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options, checked as far as that needs neither data nor network. Raises UsageError; OSError and ValueError:
    the model of --load cannot be read.

    Besides those of the command line: terse (bool), whether nothing but results is printed; loaded, the network of
    --load, and as_trained, the options that are taken over from its training. optimizer is an Optimizer, schedule a
    Schedule or None.
    """
    given = sys.argv[1:] if argv is None else list(argv)
    options = _parser().parse_args(given)
    _check(options)
    loaded = load(options.load) if options.load else None
    preset = PRESETS[options.preset].options.split() if options.preset else []
    as_trained = _as_trained(loaded.meta, given) if loaded and not preset else []
    usual = train_table.defaults(given, options) if options.target is not None and not preset else []
    options = _parser().parse_args([*as_trained, *usual, *preset, *given])
    options.decays_by_rows = bool(usual) and train_table.decays_by_rows(given)
    options.loaded, options.as_trained = loaded, as_trained
    options.terse = options.json or options.quiet
    options.optimizer = _optimizer(options)
    if options.warmup:
        options.schedule = replace(options.schedule or Constant(), warmup=options.warmup)
    if options.patience and not options.val_split and options.target is None:
        options.val_split = VAL_SPLIT
    return options


def _check(options: argparse.Namespace) -> None:
    """Options that need others, or exclude them. Raises UsageError."""
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
            raise UsageError(f"--{name.replace('_', '-')} needs --{needed}")
    for network, parts in (
        ("load", ["net", "hidden", "activation", "init", "loss", "label_smoothing"]),
        ("net", ["hidden", "activation", "init"]),
    ):
        for part in parts:
            if getattr(options, network) is not None and getattr(options, part) is not None:
                name = part.replace("_", "-")
                raise UsageError(f"--{name} cannot be used with --{network}, which gives the whole network")


def optimizer_note(optimizer: Optimizer) -> str:
    """What a model remembers of its optimizer besides kind and learning rate: "weight_decay=0.01"."""
    given = {name: getattr(optimizer, name, None) for name in HOW}
    return ",".join(f"{name}={value!r}" for name, value in given.items() if value is not None)


def _as_trained(notes: Mapping[str, str], given: Sequence[str]) -> list[str]:
    """How a model was trained, in options, but for those that are given now; none if its notes are no such options."""
    named = {word.partition("=")[0] for word in given}
    if named & {"--clip-norm", "--clip-value"}:  # one of them excludes the other
        named |= {"--clip-norm", "--clip-value"}
    found = {"--batch-size": notes.get("batch_size"), "--schedule": notes.get("schedule")}
    found |= {"--augment": notes.get("augment"), "--class-weight": notes.get("class_weight")}
    if "--optimizer" not in named:
        found |= {"--optimizer": notes.get("optimizer"), "--lr": notes.get("learning_rate")}
        for part in notes.get("optimizer_options", "").split(","):
            name, _, value = part.partition("=")
            found |= {f"--{name.replace('_', '-')}": value} if name in HOW else {}
    usual = {"--schedule": "constant", "--augment": "none"}
    words = [
        f"{name}={text}" for name, text in found.items() if name not in named and text not in (None, usual.get(name))
    ]
    try:
        _optimizer(_parser().parse_args(words))
    except UsageError:
        return []
    return words
