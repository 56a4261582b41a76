"""What a command works on: a model, a data set, and whether the two suit each other."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pynet import data
from pynet._ffi import Array
from pynet.commands import cli, table_options
from pynet.commands.cli import UsageError
from pynet.data import Dataset
from pynet.data.arrays import CHANNELS
from pynet.data.columns import NOTE as TABLE
from pynet.data.dataset import TEST_SHARE
from pynet.data.inputs import NOTE as INPUTS
from pynet.data.inputs import Inputs
from pynet.data.read_table import is_table_file
from pynet.data.table_model import table_of
from pynet.errors import DataError
from pynet.inference import MODEL_SUFFIX, preparation_of
from pynet.model.task import NOTE as TASK
from pynet.network import Network
from pynet.pictures.preparation import NOTE as PICTURES
from pynet.pictures.preparation import Preparation
from pynet.text import times

PLACE = "data"  # the key of the path of own data, as it was typed
SHAPE = "shape"  # of the pictures that its rows of numbers are
TRANSPOSE = "transpose"  # and whether they were transposed
SPLIT = "test_split"  # and of the fraction of them that was set aside, unless the usual one
UNDIVIDED = "data_sha256"  # the key of Dataset.undivided among the notes of a model file
SIDE = 28
MOST_SKIPPED = 10  # pictures that could not be used; of more, the number alone is printed
NAMED = ("mnist", "fashion-mnist", "digits")


# ---- the model ------------------------------------------------------------------------------------------------------


def add_model_option(add: argparse._ActionsContainer) -> None:
    """--model FILE, for load_model."""
    newest = f"default: the newest *{MODEL_SUFFIX} in the working folder"
    add.add_argument("--model", metavar="FILE", type=cli.path, help=f"a model that pynet saved ({newest})")


# ---- the data set ---------------------------------------------------------------------------------------------------


def add_data_options(group: argparse._ArgumentGroup, default: str) -> None:
    """What dataset() takes: --dataset, --data, --classes, and how pictures are prepared.

    default says what is taken without them.
    """
    add = group.add_mutually_exclusive_group().add_argument
    add(
        "--dataset",
        metavar="NAME",
        type=lambda name: name.lower().replace("_", "-"),
        choices=NAMED,
        help=f"mnist, fashion-mnist or digits, never replaced by another; default: {default}",
    )
    own = "own data: a folder with a sub-folder of pictures a class, or of IDX or .npy files; a .npz, a .csv"
    add("--data", metavar="PATH", type=cli.path, help=own)
    only = "only the samples of these classes; they keep their names"
    group.add_argument("--classes", metavar="A,B,..", type=_names, help=only)
    size = f"pixels that pictures of --data are scaled to on each side (default: {SIDE})"
    group.add_argument("--size", metavar="N", type=cli.whole(4, 1024), help=size)
    group.add_argument("--color", action="store_true", help="keep the colours of these pictures: 3 channels")
    whole = "take them whole; without it what is written is found, fitted and centred"
    group.add_argument("--no-center", action="store_true", help=whole)
    shape = "the pictures that rows of numbers are, as in 16,16, or with channels, first or last: 3,32,32"
    group.add_argument("--shape", metavar="H,W", type=_shape, help=shape)
    transpose = "exchange rows and columns of pictures in arrays (default: those of EMNIST's IDX files)"
    group.add_argument("--transpose", action=argparse.BooleanOptionalAction, help=transpose)


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names) or len(set(names)) < len(names):
        cli.refuse(text, "different names, as in 0,1,2")
    return names


def _shape(text: str) -> tuple[int, ...]:
    sides = tuple(int(side) if side.strip().isdecimal() else 0 for side in text.split(","))
    if not all(sides) or not (len(sides) == 2 or (len(sides) == 3 and set(CHANNELS) & {sides[0], sides[2]})):
        cli.refuse(text, "height,width, or with 1 or 3 channels, as in 16,16 or 3,32,32 or 32,32,3")
    return sides


def dataset(options: argparse.Namespace, net: Network | None = None, like: Network | None = None) -> Dataset:
    """The data set that the options name; without one that of the model's training, or else the default.

    For a model net, own data are not divided, see Dataset.undivided, unless they are those of its training; of those,
    and of the named set that it was trained on, only the classes that it knows. Pictures are prepared as those of net,
    or like, were, unless the options say otherwise. Raises DataError, UsageError.
    """
    trained = net or like
    place = data_path(options, trained)
    wanted = _preparation(options, place, trained)
    table = table_of(trained) if trained is not None else None
    if place and table and trained is not None:
        chosen = undivided = table_options.of_model(options, trained, table, place)
        split = _test_split(options, trained, lambda: is_of_training(trained, undivided))
        chosen = chosen if net is not None else chosen.divided(split)
    elif place:
        split = _test_split(
            options,
            trained,
            lambda: is_of_training(trained, data.load(place, wanted, divide=False)),  # type: ignore[arg-type]
        )
        layout = _layout(options, place, trained) | {"divide": net is None, "test_split": split}
        layout["task"] = _task(options, trained)
        chosen = data.load(place, wanted, **layout) if trained else _to_learn(options, place, wanted, layout)
        for line in chosen.skipped[:MOST_SKIPPED]:
            cli.complain("data", f"left out: {line}")
        if len(chosen.skipped) > MOST_SKIPPED:
            cli.complain("data", f"left out: {len(chosen.skipped) - MOST_SKIPPED:,} more")
    elif options.shape or options.transpose is not None:
        raise UsageError("--shape and --transpose are for --data PATH, arrays in a file")
    elif options.dataset:
        chosen = data.load(options.dataset)
    elif trained is not None and trained.meta.get("dataset") in NAMED:
        chosen = data.load(trained.meta["dataset"])
    elif net is None:
        chosen = data.default()
    else:
        name = net.meta.get("dataset", "")
        said = f"the model was trained on {name!r}" if name else "the model does not say what it was trained on"
        raise UsageError(f"{said}; name data by --data PATH or --dataset NAME")
    if place and net is not None and is_of_training(net, chosen):
        chosen = chosen.divided(split)
    if getattr(options, "test_split", None) is not None and not chosen.undivided:
        raise UsageError(f"--test-split is for data without a test set of their own; {chosen.name} has one")
    classes = options.classes
    if net is not None and classes is None and (chosen.undivided or not options.data) and is_of_training(net, chosen):
        classes = net.classes if set(net.classes) < set(chosen.classes) else None
    if classes is None:
        return chosen
    try:
        return chosen.only(classes)
    except DataError as error:
        raise UsageError(f"argument --classes: {error}") from None


def _layout(options: argparse.Namespace, place: Path, trained: Network | None) -> dict[str, Any]:
    """How the arrays at place lie, as data.load takes it: as the options say, else as those of the training did.

    Rows of numbers are pictures of the training's shape wherever they come from; only the training's own files are
    transposed because they were.
    """
    shape, transpose = options.shape, options.transpose
    if trained is not None and not data.is_picture_folder(place):
        with contextlib.suppress(argparse.ArgumentTypeError, KeyError):
            shape = shape or _shape(trained.meta[SHAPE])
        own = os.path.realpath(place) == os.path.realpath(trained.meta.get(PLACE, ""))
        if transpose is None and own:
            transpose = {"yes": True, "no": False}.get(trained.meta.get(TRANSPOSE, ""))
    return {"shape": shape, "transpose": transpose}


def data_path(options: argparse.Namespace, trained: Network | None) -> Path | None:
    """Where own data lie: as --data says, or as the model remembers; None: they are none. FileNotFoundError."""
    given: Path | None = options.data
    if given or options.dataset or trained is None or PLACE not in trained.meta:
        return given
    place = Path(trained.meta[PLACE])
    if not Path(os.path.expanduser(place)).exists():
        raise FileNotFoundError(
            f"{place}, which the model was trained on, is not there, seen from this folder; "
            "--data PATH says where it is now"
        )
    return place


def _task(options: argparse.Namespace, trained: Network | None) -> str | None:
    """What the targets of own data are: as --task says, or as the model has learnt; None: the data decide."""
    given: str | None = getattr(options, "task", None)
    if given or trained is None:
        return given
    if "classes" in trained.meta:
        return "classes"
    return "number" if trained.meta.get(TASK) == "regression" else None


def _test_split(options: argparse.Namespace, trained: Network | None, is_own: Callable[[], bool]) -> float:
    """The fraction of own data for testing: given, or that of the model's training on them, or the usual one."""
    given = getattr(options, "test_split", None)  # an option of pynet train alone
    if given is not None:
        return float(given)
    if trained is None or SPLIT not in trained.meta:
        return TEST_SHARE
    if options.data and not is_own():
        return TEST_SHARE
    try:
        known = float(trained.meta[SPLIT])
    except ValueError:
        return TEST_SHARE
    return known if 0 <= known < 1 else TEST_SHARE


def _to_learn(options: argparse.Namespace, place: Path, pictures: Preparation | None, how: dict[str, Any]) -> Dataset:
    """What lies at a place; of a table, only if its first column is the label beyond doubt. DataError, UsageError."""
    if not (Path(os.path.expanduser(place)).is_file() and is_table_file(place)):
        return data.load(place, pictures, **how)
    if place.suffix.lower() != ".csv":
        raise table_options.name_the_target(place)
    try:
        chosen = data.load(place, pictures, **how)
    except DataError as error:
        raise table_options.name_the_target(place, str(error)) from None
    if not options.shape:
        table_options.check_label_first(place, chosen)
    return chosen


def _same_name(net: Network, chosen: Dataset) -> bool:
    return net.meta.get("dataset") == chosen.name.encode(errors="replace").decode()


def is_of_training(net: Network, chosen: Dataset) -> bool:
    """Whether the model was trained on a part of these samples, for all that it remembers."""
    if not chosen.undivided:
        return _same_name(net, chosen)
    if INPUTS in net.meta or TABLE in net.meta:
        return chosen.undivided in net.meta.get(UNDIVIDED, "").split()
    return _same_name(net, chosen)  # a model of an earlier version knows but the name


def remember(net: Network, chosen: Dataset, place: Path | None) -> None:
    """Notes in the model what its data are, and where, for those to be given to it later: see docs/how-to.md.

    A model that was trained before keeps what its inputs were, and which data it has learnt from.
    """
    notes = net.meta
    notes["dataset"] = chosen.name.encode(errors="replace").decode()
    before, pictures, shape = notes.get(UNDIVIDED, "").split(), chosen.pictures, chosen.x_train.shape[1:]
    if not pictures and len(shape) == 3:  # in colour: what is written on paper is found in grey ones alone
        pictures = Preparation(*shape[1:], color=True, style=None)
    for key, value in (
        (PICTURES, pictures and pictures.note()),
        (PLACE, _as_text(place)),
        (SHAPE, ",".join(map(str, chosen.layout.shape or ()))),
        (TRANSPOSE, {True: "yes", False: "no", None: ""}[chosen.layout.transpose]),
        (SPLIT, str(chosen.test_split) if chosen.undivided and chosen.test_split != TEST_SHARE else ""),
    ):
        if value:
            notes[key] = value
        else:
            notes.pop(key, None)
    if chosen.undivided:
        notes[UNDIVIDED] = " ".join(dict.fromkeys([*before, chosen.undivided]))
    if INPUTS not in notes and not chosen.columns:
        notes[INPUTS] = Inputs.of(chosen.x_train).note()


def _as_text(place: Path | None) -> str:
    """A path as a note can hold it, which is text; "" if it is none."""
    try:
        return place.as_posix().encode().decode() if place else ""
    except UnicodeEncodeError:
        return ""


def _preparation(options: argparse.Namespace, place: Path | None, net: Network | None) -> Preparation | None:
    """How pictures of own data are prepared: as the options say, else as the model's were; None: nothing is said."""
    if options.size or options.color or options.no_center:
        if not place:
            raise UsageError("--size, --color and --no-center are for --data FOLDER, a folder of pictures")
        side = options.size or SIDE
        return Preparation(side, side, options.color, None if options.no_center else "mnist")
    if place and data.is_picture_folder(place) and net is not None and PICTURES in net.meta:
        return preparation_of(net)
    return None


def check_suits(net: Network, chosen: Dataset, what: str, wrong: type[Exception]) -> None:
    """Raises `wrong`, with `what` for the network's name, unless it takes the samples and has an output a class, or a
    number."""
    _check_shape(net, chosen, what, wrong)
    gives = math.prod(net.out_shape)
    if not chosen.classes:
        numbers = math.prod((chosen.y_train if len(chosen.y_train) else chosen.y_test).shape[1:])
        if "regression" not in net._tasks or "classes" in net.meta:
            raise wrong(f"{what} tells classes, {chosen.name} has numbers to learn")
        if gives != numbers:
            raise wrong(f"{what} has {gives} outputs, {chosen.name} has {numbers} to learn of each sample")
    elif gives != len(chosen.classes) and not _tells_two(net, chosen):
        raise wrong(f"{what} has {gives} outputs, {chosen.name} has {len(chosen.classes)} classes")


def _check_shape(net: Network, chosen: Dataset, what: str, wrong: type[Exception]) -> None:
    shape = (chosen.x_train if len(chosen.x_train) else chosen.x_test).shape[1:]
    takes = math.prod(net.in_shape)
    if takes != math.prod(shape):
        raise wrong(f"{what} takes {takes} inputs, the samples of {chosen.name} have {times(shape)}")


def _tells_two(net: Network, chosen: Dataset) -> bool:
    """Whether it has one output for two classes: above 1/2, or not."""
    return math.prod(net.out_shape) == 1 and len(chosen.classes) == 2 and net.loss_name != "cross_entropy"


def suited(net: Network, chosen: Dataset, what: str) -> Dataset:
    """The data set as a model takes it: its labels are the model's outputs, by name, its numbers in the model's scale.

    what: the model's name in errors. A model without names for its classes takes as many as it has outputs, by their
    order. Raises ValueError: shapes, classes or numbers do not suit.
    """
    _check_shape(net, chosen, what, ValueError)
    if chosen.columns:
        if net.meta.get(TABLE) != chosen.columns.note():
            raise ValueError(f"{what} was trained on other columns than {chosen.name} has")
        return chosen.with_classes(net.classes) if chosen.classes else chosen
    if chosen.classes and net.meta.get(TASK) == "regression":
        raise ValueError(f"{what} gives numbers, {chosen.name} has classes")
    if not chosen.classes:
        check_suits(net, chosen, what, ValueError)
    elif "classes" in net.meta:
        try:
            chosen = chosen.with_classes(net.classes)
        except DataError as error:
            gives, wanted = len(net.classes), len(chosen.classes)
            counts = f"{what} has {gives} outputs, {chosen.name} has {wanted} classes: " if gives != wanted else ""
            raise ValueError(f"{counts}{error}, the classes of {what}; --classes takes some") from None
    elif chosen.pictures is None and len(chosen.classes) < len(net.classes):
        chosen = chosen.with_classes(net.classes)
    else:
        check_suits(net, chosen, what, ValueError)
    return _scaled(net, chosen)


def _scaled(net: Network, chosen: Dataset) -> Dataset:
    """With its samples as the model's were. A model of an earlier version that says nothing takes them as they come."""
    note = net.meta.get(INPUTS)
    if note is None:
        return chosen
    inputs, parts = Inputs.from_note(note), (chosen.x_train, chosen.x_test)
    if chosen.pictures:
        x_train, x_test = map(inputs.pictures, parts)
    else:
        x_train, x_test = inputs.alike(chosen.name, *parts)
    return replace(chosen, x_train=x_train, x_test=x_test)


ON = ("test", "train", "all")  # which samples --on names


def add_on_option(add: argparse._ActionsContainer) -> None:
    """--on, for samples()."""
    usual = "default: test, or all of own data that are not those of the training"
    add.add_argument("--on", choices=ON, default="test", help=f"which samples ({usual})")


def samples(chosen: Dataset, on: str) -> tuple[Array, Array]:
    """x and y of the samples that --on names. ValueError: there are none."""
    parts = {"test": (chosen.x_test, chosen.y_test), "train": (chosen.x_train, chosen.y_train)}
    if on == "all":
        return np.concatenate([chosen.x_train, chosen.x_test]), np.concatenate([chosen.y_train, chosen.y_test])
    if on == "test" and not len(chosen.x_test) and chosen.undivided:
        on = "train"  # where nothing was set aside
    x, y = parts[on]
    if not len(x):
        why = ", as it is not the data of the training" if chosen.undivided else ""
        raise ValueError(f"{chosen.name} has no samples for {on}ing{why}; --on names the other ones")
    return x, y


def named(net: Network, chosen: Dataset, on: str) -> str:
    """Which samples of the data set these are, and how many, in words."""
    count = len(samples(chosen, on)[1])
    if on == "all" or not len(chosen.x_train):
        words = f"{count:,} samples, all there are"
    elif not len(chosen.x_test):
        words = f"{count:,} samples, those it was trained on: none were set aside"
    else:
        words = f"{count:,} samples for {on}ing"
    if chosen.undivided and len(chosen.x_train) and len(chosen.x_test) and on == "test":
        words += ", those that the training set aside"
    if chosen.undivided and not len(chosen.x_train) and _same_name(net, chosen):
        words += "; not the same as in the training, but called so: some may have been learnt from"
    return f"{chosen.name}: {words}"
