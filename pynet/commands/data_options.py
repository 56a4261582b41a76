"""The options that name a model and a data set, and checks that the two fit together."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
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
from pynet.data.dataset import NAMED_SETS, TEST_FRACTION
from pynet.data.folders import guessed
from pynet.data.inputs import NOTE as INPUTS_NOTE
from pynet.data.inputs import Inputs
from pynet.data.read_table import is_table_file
from pynet.data.table_model import reencoded, table_of
from pynet.errors import DataError
from pynet.inference import MODEL_SUFFIX, preparation_of
from pynet.model.task import NOTE as TASK
from pynet.network import Network
from pynet.pictures.guess import background_of
from pynet.pictures.preparation import NOTE as PICTURES_NOTE
from pynet.pictures.preparation import Preparation
from pynet.text import picture_shape, times

# Keys of notes in a model file.
PATH_NOTE = "data"  # the path given to --data
SHAPE_NOTE = "shape"  # the value of --shape
TRANSPOSE_NOTE = "transpose"  # the value of --transpose, "yes" or "no"
SPLIT_NOTE = "test_split"  # the fraction set aside for testing, if it was not the default
HASH_NOTE = "data_sha256"  # Dataset.samples_sha256 of each data set that the model was trained on

MAX_SKIPPED = 10  # unusable pictures that are listed one by one; the rest are only counted


# ---- the model ------------------------------------------------------------------------------------------------------


def add_model_option(add: argparse._ActionsContainer) -> None:
    """Adds --model FILE; load_model reads it."""
    newest = f"default: the newest *{MODEL_SUFFIX} in the working folder"
    add.add_argument("--model", metavar="FILE", type=cli.path, help=f"a model that pynet saved ({newest})")


# ---- the data set ---------------------------------------------------------------------------------------------------


def add_data_options(group: argparse._ArgumentGroup, default: str) -> None:
    """Adds the options of dataset: --dataset, --data, --classes, and those for preparing pictures.

    default: the default data set, for the help text.
    """
    add = group.add_mutually_exclusive_group().add_argument
    add(
        "--dataset",
        metavar="NAME",
        type=lambda name: name.lower().replace("_", "-"),
        choices=NAMED_SETS,
        help=f"mnist, fashion-mnist or digits, an error if it is not available; default: {default}",
    )
    own = "own data: a folder with a sub-folder of pictures for each class, or of IDX or .npy files; a .npz or .csv"
    add("--data", metavar="PATH", type=cli.path, help=own)
    only = "only the samples of these classes; class names stay the same"
    group.add_argument("--classes", metavar="A,B,..", type=_names, help=only)
    size = "width and height in pixels that pictures of --data are scaled to (default: guessed from them)"
    group.add_argument("--size", metavar="N", type=cli.whole(4, 1024), help=size)
    color = "keep colours, as 3 channels (default: if whole and coloured, or if colour separates the classes)"
    group.add_argument("--color", action=argparse.BooleanOptionalAction, help=color)
    center = "find the glyph in a picture, crop and centre it, or take pictures whole (default: guessed from them)"
    group.add_argument("--center", action=argparse.BooleanOptionalAction, help=center)
    shape = "shape of pictures that are stored as rows of numbers: 16,16, or with channels first or last: 3,32,32"
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


def load_dataset(
    options: argparse.Namespace, net: Network | None = None, prepare_like: Network | None = None
) -> Dataset:
    """The data set that the options name; else the one that the model was trained on; else the default.

    net: a model to be measured. Own data get no test set then, unless the model was trained on them; and of data that
    it was trained on, only the classes that it knows are loaded. prepare_like: a model to be trained further. Pictures
    are prepared as for net or prepare_like, unless options say otherwise. Raises DataError, UsageError.
    """
    trained = net or prepare_like
    path = data_path(options, trained)
    requested = _picture_preparation(options, path, trained)
    if path:
        dataset = _as_whole(options, _own_data(options, net, trained, path, requested), trained)
    elif options.shape or options.transpose is not None:
        raise UsageError("--shape and --transpose are for --data PATH, arrays in a file")
    elif options.dataset:
        dataset = data.load(options.dataset)
    elif trained is not None and trained.meta.get("dataset") in NAMED_SETS:
        dataset = data.load(trained.meta["dataset"])
    elif net is None:
        dataset = data.default()
    else:
        name = net.meta.get("dataset", "")
        reason = f"the model was trained on {name!r}" if name else "the model has no note of its data set"
        raise UsageError(f"{reason}; give --data PATH or --dataset NAME")
    if getattr(options, "test_split", None) is not None and not dataset.samples_sha256:
        raise UsageError(f"--test-split is for data without a test set; {dataset.name} has one")
    classes = options.classes
    learnt_from = net is not None and (dataset.samples_sha256 or not options.data) and is_training_data(net, dataset)
    if net is not None and classes is None and learnt_from and set(net.classes) < set(dataset.classes):
        classes = net.classes
    if classes is None:
        return dataset
    try:
        return dataset.only(classes)
    except DataError as error:
        raise UsageError(f"argument --classes: {error}") from None


def _own_data(
    options: argparse.Namespace, net: Network | None, trained: Network | None, path: Path, pictures: Preparation | None
) -> Dataset:
    """What is at path, read as the model's training read its data; see dataset."""
    how = _layout(options, path, trained) | {"task": _task(options, trained)}
    if trained is None:
        dataset = _to_learn(options, path, pictures, how | {"test_split": _test_split(options)})
    else:
        table = table_of(trained)
        if table:
            dataset = table_options.of_model(options, trained, table, path)
        else:
            dataset = data.load(path, pictures, divide=False, **how)
        if net is None or is_training_data(net, dataset):
            dataset = dataset.with_test_set(_test_split(options, trained, dataset))
    for line in dataset.skipped[:MAX_SKIPPED]:
        cli.print_stderr("data", f"left out: {line}")
    if len(dataset.skipped) > MAX_SKIPPED:
        cli.print_stderr("data", f"left out: {len(dataset.skipped) - MAX_SKIPPED:,} more")
    return dataset


def _layout(options: argparse.Namespace, path: Path, trained: Network | None) -> dict[str, Any]:
    """shape and transpose for data.load: from the options, else as in the model's training.

    The shape applies to any file; pictures are transposed by default only in the file that the model was trained on.
    """
    shape, transpose = options.shape, options.transpose
    if trained is not None and not data.is_picture_folder(path):
        with contextlib.suppress(argparse.ArgumentTypeError, KeyError):
            shape = shape or _shape(trained.meta[SHAPE_NOTE])
        own = os.path.realpath(path) == os.path.realpath(trained.meta.get(PATH_NOTE, ""))
        if transpose is None and own:
            transpose = {"yes": True, "no": False}.get(trained.meta.get(TRANSPOSE_NOTE, ""))
    return {"shape": shape, "transpose": transpose}


def data_path(options: argparse.Namespace, trained: Network | None) -> Path | None:
    """The path of own data, from --data or from the model's notes; None: a named data set. FileNotFoundError."""
    given: Path | None = options.data
    if given or options.dataset or trained is None or PATH_NOTE not in trained.meta:
        return given
    path = Path(trained.meta[PATH_NOTE])
    if not Path(os.path.expanduser(path)).exists():
        raise FileNotFoundError(
            f"{path}, which the model was trained on, does not exist in this folder; --data PATH names its new place"
        )
    return path


def _task(options: argparse.Namespace, trained: Network | None) -> str | None:
    """What the targets of own data are: as --task says, or as the model has learnt; None: the data decide."""
    given: str | None = getattr(options, "task", None)
    if given or trained is None:
        return given
    if "classes" in trained.meta:
        return "classes"
    return "number" if trained.meta.get(TASK) == "regression" else None


def _test_split(options: argparse.Namespace, trained: Network | None = None, dataset: Dataset | None = None) -> float:
    """The fraction of own data for testing: from --test-split, from the model's training on them, or the default."""
    given = getattr(options, "test_split", None)  # only `pynet train` has this option
    if given is not None:
        return float(given)
    if trained is None or SPLIT_NOTE not in trained.meta:
        return TEST_FRACTION
    if options.data and not (dataset and is_training_data(trained, dataset)):
        return TEST_FRACTION
    try:
        known = float(trained.meta[SPLIT_NOTE])
    except ValueError:
        return TEST_FRACTION
    return known if 0 <= known < 1 else TEST_FRACTION


def _to_learn(options: argparse.Namespace, path: Path, pictures: Preparation | None, how: dict[str, Any]) -> Dataset:
    """What lies at a place; of a table, only if its first column is the label beyond doubt. DataError, UsageError."""
    if not (Path(os.path.expanduser(path)).is_file() and is_table_file(path)):
        return data.load(path, pictures, **how)
    if path.suffix.lower() != ".csv":
        raise table_options.name_the_target(path)
    try:
        dataset = data.load(path, pictures, **how)
    except DataError as error:
        raise table_options.name_the_target(path, str(error)) from None
    if not options.shape:
        table_options.check_label_first(path, dataset)
    return dataset


def _same_name(net: Network, dataset: Dataset) -> bool:
    return net.meta.get("dataset") == dataset.name.encode(errors="replace").decode()


def is_training_data(net: Network, dataset: Dataset) -> bool:
    """Whether the model was trained on a part of these samples, according to its notes."""
    if not dataset.samples_sha256:
        return _same_name(net, dataset)
    if INPUTS_NOTE in net.meta or TABLE in net.meta:
        return dataset.samples_sha256 in net.meta.get(HASH_NOTE, "").split()
    return _same_name(net, dataset)  # models of earlier versions only have the name


def add_notes(net: Network, dataset: Dataset, path: Path | None) -> None:
    """Writes notes on the data set into the model: later commands find and scale data by them; see docs/how-to.md.

    A model that is trained further keeps its note on the input scale and the hashes of earlier data.
    """
    notes = net.meta
    notes["dataset"] = dataset.name.encode(errors="replace").decode()
    before, pictures, shape = notes.get(HASH_NOTE, "").split(), dataset.pictures, dataset.x_train.shape[1:]
    picture = picture_shape(shape)
    if not pictures and picture and (len(shape) == 3 or dataset.layout.whole):  # in colour nothing written is sought
        ground = None if len(picture) == 3 else background_of(dataset.x_train.reshape(-1, *picture))
        pictures = Preparation(picture[-2], picture[-1], len(picture) == 3, None, ground)
    own_split = dataset.samples_sha256 and dataset.test_split != TEST_FRACTION
    notes.replace(
        {
            PICTURES_NOTE: pictures.note() if pictures else None,
            PATH_NOTE: _note_text(path),
            SHAPE_NOTE: ",".join(map(str, dataset.layout.shape or ())),
            TRANSPOSE_NOTE: {True: "yes", False: "no", None: ""}[dataset.layout.transpose],
            SPLIT_NOTE: str(dataset.test_split) if own_split else "",
        }
    )
    if dataset.samples_sha256:
        notes[HASH_NOTE] = " ".join(dict.fromkeys([*before, dataset.samples_sha256]))
    if INPUTS_NOTE not in notes and not dataset.columns:
        notes[INPUTS_NOTE] = Inputs.of(dataset.x_train).note()


def _note_text(path: Path | None) -> str:
    """A path as the text of a note; "" for no path, or one that is not valid text."""
    try:
        return path.as_posix().encode().decode() if path else ""
    except UnicodeEncodeError:
        return ""


def _picture_preparation(options: argparse.Namespace, path: Path | None, net: Network | None) -> Preparation | None:
    """The preparation of pictures in user data: from the options, else from the model; None: the default."""
    given = (options.size, options.color, options.center) != (None, None, None)
    if given and not path:
        raise UsageError("--size, --color and --center need --data PATH")
    if not path or not data.is_picture_folder(path):
        if options.size or options.color is not None:
            raise UsageError("--size and --color need --data FOLDER, a folder of pictures")
        return None
    known = preparation_of(net) if net is not None and PICTURES_NOTE in net.meta else None
    if not given:
        return known
    found = known or guessed(path)[0]
    color, center = options.color, options.center
    style = found.style if center is None else (found.style or "mnist") if center else None
    height, width = (options.size, options.size) if options.size else (found.height, found.width)
    color = found.color if color is None else color
    return Preparation(height, width, color, style, None if color or style else found.background)


def _as_whole(options: argparse.Namespace, dataset: Dataset, trained: Network | None) -> Dataset:
    """The data set, marked if its arrays are pictures that are to be taken whole, as options or model say."""
    if dataset.pictures:
        return dataset
    known = trained.meta.get(PICTURES_NOTE) if trained is not None else None
    whole = options.center is False or (
        options.center is None and known is not None and Preparation.from_note(known).style is None
    )
    return replace(dataset, layout=replace(dataset.layout, whole=whole)) if whole else dataset


def check_suits(net: Network, dataset: Dataset, name: str, error_type: type[Exception]) -> None:
    """Raises error_type unless the network takes the samples, and has an output for each class or number; name: its."""
    _check_shape(net, dataset, name, error_type)
    outputs = math.prod(net.out_shape)
    if not dataset.classes:
        numbers = math.prod((dataset.y_train if len(dataset.y_train) else dataset.y_test).shape[1:])
        if "regression" not in net._tasks or "classes" in net.meta:
            raise error_type(f"{name} is a classifier, {dataset.name} has numbers to predict")
        if outputs != numbers:
            raise error_type(f"{name} has {outputs} outputs, {dataset.name} has {numbers} to predict for each sample")
    elif outputs != len(dataset.classes) and not _has_binary_output(net, dataset):
        raise error_type(f"{name} has {outputs} outputs, {dataset.name} has {len(dataset.classes)} classes")


def _check_shape(net: Network, dataset: Dataset, name: str, error_type: type[Exception]) -> None:
    """Raises error_type unless the samples have as many numbers as the network takes, and pictures have the sides of
    its training pictures: a dense network would take 12x8 for 8x12."""
    shape = (dataset.x_train if len(dataset.x_train) else dataset.x_test).shape[1:]
    inputs = math.prod(net.in_shape)
    if inputs != math.prod(shape):
        raise error_type(f"{name} takes {inputs} inputs, the samples of {dataset.name} have {times(shape)}")
    if len(shape) == 1 or len(net.in_shape) > 1 or PICTURES_NOTE not in net.meta:
        return
    try:
        sides = preparation_of(net).shape
    except ValueError:  # a damaged note does not end a training
        return
    if sides != shape[-len(sides) :]:
        raise error_type(f"{name} was trained on pictures of {times(sides)}, {dataset.name} has {times(shape)}")


def _has_binary_output(net: Network, dataset: Dataset) -> bool:
    """Whether the output is binary: a single one, above 1/2 for the second of two classes."""
    return math.prod(net.out_shape) == 1 and len(dataset.classes) == 2 and net.loss_name != "cross_entropy"


def adapted(net: Network, dataset: Dataset, name: str) -> Dataset:
    """The data set with labels matched to the model's classes by name, and inputs in the scale of its training.

    name: of the model, for messages. Without class names in the model, labels are matched by order. Raises ValueError:
    shapes, classes or the scale of the inputs do not fit.
    """
    if dataset.columns:
        table = table_of(net)
        if table is None:
            raise ValueError(f"{name} was not trained on a table, as {dataset.name} is")
        dataset = reencoded(net, table, dataset)
        return dataset.with_classes(net.classes) if dataset.classes else dataset
    _check_shape(net, dataset, name, ValueError)
    if dataset.classes and net.meta.get(TASK) == "regression":
        raise ValueError(f"{name} gives numbers, {dataset.name} has classes")
    if not dataset.classes:
        check_suits(net, dataset, name, ValueError)
    elif "classes" in net.meta:
        try:
            dataset = dataset.with_classes(net.classes)
        except DataError as error:
            outputs, requested = len(net.classes), len(dataset.classes)
            counts = f"{name} has {outputs} outputs, {dataset.name} has {requested} classes: "
            counts = counts if outputs != requested else ""
            raise ValueError(f"{counts}{error}, the classes of {name}; --classes selects some") from None
    elif dataset.pictures is None and len(dataset.classes) < len(net.classes):
        dataset = dataset.with_classes(net.classes)
    else:
        check_suits(net, dataset, name, ValueError)
    return _scaled(net, dataset)


def _scaled(net: Network, dataset: Dataset) -> Dataset:
    """The data set in the input scale of the model's training; unchanged if the model has no note on it."""
    note = net.meta.get(INPUTS_NOTE)
    if note is None:
        return dataset
    inputs, parts = Inputs.from_note(note), (dataset.x_train, dataset.x_test)
    if dataset.pictures:
        x_train, x_test = map(inputs.pictures, parts)
    else:
        x_train, x_test = inputs.rescaled(dataset.name, *parts)
    return replace(dataset, x_train=x_train, x_test=x_test)


PARTS = ("test", "train", "all")  # values of --on


def add_on_option(add: argparse._ActionsContainer) -> None:
    """Adds --on, which samples() takes."""
    usual = "default: test; all samples of own data that the model was not trained on"
    add.add_argument("--on", choices=PARTS, default="test", help=f"which samples ({usual})")


def part(dataset: Dataset, on: str) -> str:
    """The part that --on names: "train" in place of "test" where no test set was split off."""
    return "train" if on == "test" and not len(dataset.x_test) and dataset.samples_sha256 else on


def samples(dataset: Dataset, on: str) -> tuple[Array, Array]:
    """x and y of the samples that --on names. ValueError: there are none."""
    parts = {"test": (dataset.x_test, dataset.y_test), "train": (dataset.x_train, dataset.y_train)}
    on = part(dataset, on)
    if on == "all":
        return np.concatenate([dataset.x_train, dataset.x_test]), np.concatenate([dataset.y_train, dataset.y_test])
    x, y = parts[on]
    if not len(x):
        reason = ", as the model was not trained on it" if dataset.samples_sha256 else ""
        raise ValueError(f"{dataset.name} has no samples for {on}ing{reason}; accepted: another --on")
    return x, y


def describe_samples(net: Network, dataset: Dataset, on: str) -> str:
    """One line on which samples of the data set are used, and how many."""
    count = len(samples(dataset, on)[1])
    if on == "all" or not len(dataset.x_train):
        words = f"all {count:,} samples"
    elif not len(dataset.x_test):
        words = f"{count:,} training samples: there is no test set"
    else:
        words = f"{count:,} {on} samples"
    if dataset.samples_sha256 and len(dataset.x_train) and len(dataset.x_test) and on == "test":
        words += ", split off before the training"
    if dataset.samples_sha256 and not len(dataset.x_train) and _same_name(net, dataset):
        words += "; another data set of this name was used in training: some of these samples may have been seen"
    return f"{dataset.name}: {words}"
