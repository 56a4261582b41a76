"""What a command works on: a model, a data set, and whether the two suit each other."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from pynet import data
from pynet._ffi import Array
from pynet.commands import cli
from pynet.commands.cli import UsageError
from pynet.data import Dataset
from pynet.data.dataset import TEST_FRACTION
from pynet.data.inputs import NOTE as INPUTS_NOTE
from pynet.data.inputs import Inputs
from pynet.errors import DataError
from pynet.inference import MODEL_SUFFIX, preparation_of
from pynet.network import Network
from pynet.pictures.preparation import NOTE as PICTURES_NOTE
from pynet.pictures.preparation import Preparation
from pynet.text import times

PATH_NOTE = "data"  # the key of the path of own data, as it was typed
SPLIT_NOTE = "test_split"  # and of the fraction of them that was set aside, unless the usual one
HASH_NOTE = "data_sha256"  # the key of Dataset.undivided among the notes of a model file
SIDE = 28
MAX_SKIPPED = 10  # pictures that could not be used; of more, the number alone is printed
NAMED_SETS = ("mnist", "fashion-mnist", "digits")


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
        choices=NAMED_SETS,
        help=f"mnist, fashion-mnist or digits, never replaced by another; default: {default}",
    )
    own = "own data: a folder with a sub-folder of pictures a class, or of IDX files; a .npz (Keras layout), a .csv"
    add("--data", metavar="PATH", type=cli.path, help=own)
    only = "only the samples of these classes; they keep their names"
    group.add_argument("--classes", metavar="A,B,..", type=_names, help=only)
    size = f"pixels that pictures of --data are scaled to on each side (default: {SIDE})"
    group.add_argument("--size", metavar="N", type=cli.whole(4, 1024), help=size)
    group.add_argument("--color", action="store_true", help="keep the colours of these pictures: 3 channels")
    whole = "take them whole; without it what is written is found, fitted and centred"
    group.add_argument("--no-center", action="store_true", help=whole)


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names) or len(set(names)) < len(names):
        cli.refuse(text, "different names, as in 0,1,2")
    return names


def load_dataset(
    options: argparse.Namespace, net: Network | None = None, prepare_like: Network | None = None
) -> Dataset:
    """The data set that the options name; without one that of the model's training, or else the default.

    For a model net, own data are not divided, see Dataset.undivided, unless they are those of its training; of those,
    and of the named set that it was trained on, only the classes that it knows. Pictures are prepared as those of net,
    or like, were, unless the options say otherwise. Raises DataError, UsageError.
    """
    trained = net or prepare_like
    path = data_path(options, trained)
    requested = _picture_preparation(options, path, trained)
    if path:
        split = _test_split(options, trained, path, requested)
        dataset = data.load(path, requested, divide=net is None, test_split=split)
        for line in dataset.skipped[:MAX_SKIPPED]:
            cli.print_stderr("data", f"left out: {line}")
        if len(dataset.skipped) > MAX_SKIPPED:
            cli.print_stderr("data", f"left out: {len(dataset.skipped) - MAX_SKIPPED:,} more")
        if net is not None and is_training_data(net, dataset):
            dataset = dataset.with_test_set(split)
    elif options.dataset:
        dataset = data.load(options.dataset)
    elif trained is not None and trained.meta.get("dataset") in NAMED_SETS:
        dataset = data.load(trained.meta["dataset"])
    elif net is None:
        dataset = data.default()
    else:
        name = net.meta.get("dataset", "")
        reason = f"the model was trained on {name!r}" if name else "the model does not say what it was trained on"
        raise UsageError(f"{reason}; name data by --data PATH or --dataset NAME")
    if getattr(options, "test_split", None) is not None and not dataset.samples_sha256:
        raise UsageError(f"--test-split is for data without a test set of their own; {dataset.name} has one")
    classes = options.classes
    if (
        net is not None
        and classes is None
        and (dataset.samples_sha256 or not options.data)
        and is_training_data(net, dataset)
    ):
        classes = net.classes if set(net.classes) < set(dataset.classes) else None
    if classes is None:
        return dataset
    try:
        return dataset.only(classes)
    except DataError as error:
        raise UsageError(f"argument --classes: {error}") from None


def data_path(options: argparse.Namespace, trained: Network | None) -> Path | None:
    """Where own data lie: as --data says, or as the model remembers; None: they are none. FileNotFoundError."""
    given: Path | None = options.data
    if given or options.dataset or trained is None or PATH_NOTE not in trained.meta:
        return given
    path = Path(trained.meta[PATH_NOTE])
    if not path.expanduser().exists():
        raise FileNotFoundError(
            f"{path}, which the model was trained on, is not there, seen from this folder; "
            "--data PATH says where it is now"
        )
    return path


def _test_split(
    options: argparse.Namespace, trained: Network | None, path: Path, requested: Preparation | None
) -> float:
    """The fraction of own data for testing: given, or that of the model's training on them, or the usual one."""
    given = getattr(options, "test_split", None)  # an option of pynet train alone
    if given is not None:
        return float(given)
    if trained is None or SPLIT_NOTE not in trained.meta:
        return TEST_FRACTION
    if options.data and not is_training_data(trained, data.load(path, requested, divide=False)):
        return TEST_FRACTION
    try:
        known = float(trained.meta[SPLIT_NOTE])
    except ValueError:
        return TEST_FRACTION
    return known if 0 <= known < 1 else TEST_FRACTION


def _same_name(net: Network, dataset: Dataset) -> bool:
    return net.meta.get("dataset") == dataset.name.encode(errors="replace").decode()


def is_training_data(net: Network, dataset: Dataset) -> bool:
    """Whether the model was trained on a part of these samples, for all that it remembers."""
    if not dataset.samples_sha256:
        return _same_name(net, dataset)
    if INPUTS_NOTE in net.meta:
        return dataset.samples_sha256 in net.meta.get(HASH_NOTE, "").split()
    return _same_name(net, dataset)  # a model of an earlier version knows but the name


def add_notes(net: Network, dataset: Dataset, path: Path | None) -> None:
    """Notes in the model what its data are, and where, for those to be given to it later: see docs/how-to.md.

    A model that was trained before keeps what its inputs were, and which data it has learnt from.
    """
    notes = net.meta
    notes["dataset"] = dataset.name.encode(errors="replace").decode()
    before = notes.get(HASH_NOTE, "").split()
    for key, value in (
        (PICTURES_NOTE, dataset.pictures and dataset.pictures.note()),
        (PATH_NOTE, _note_text(path)),
        (SPLIT_NOTE, str(dataset.test_split) if dataset.samples_sha256 and dataset.test_split != TEST_FRACTION else ""),
    ):
        if value:
            notes[key] = value
        else:
            notes.pop(key, None)
    if dataset.samples_sha256:
        notes[HASH_NOTE] = " ".join(dict.fromkeys([*before, dataset.samples_sha256]))
    if INPUTS_NOTE not in notes:
        notes[INPUTS_NOTE] = Inputs.of(dataset.x_train).note()


def _note_text(path: Path | None) -> str:
    """A path as a note can hold it, which is text; "" if it is none."""
    try:
        return path.as_posix().encode().decode() if path else ""
    except UnicodeEncodeError:
        return ""


def _picture_preparation(options: argparse.Namespace, path: Path | None, net: Network | None) -> Preparation | None:
    """How pictures of own data are prepared: as the options say, else as the model's were; None: nothing is said."""
    if options.size or options.color or options.no_center:
        if not path:
            raise UsageError("--size, --color and --no-center are for --data FOLDER, a folder of pictures")
        side = options.size or SIDE
        return Preparation(side, side, options.color, None if options.no_center else "mnist")
    if path and data.is_picture_folder(path) and net is not None and PICTURES_NOTE in net.meta:
        return preparation_of(net)
    return None


def check_suits(net: Network, dataset: Dataset, name: str, error_type: type[Exception]) -> None:
    """Raises `wrong`, with `what` for the network's name, unless it takes the samples and has an output a class."""
    _check_shape(net, dataset, name, error_type)
    outputs = math.prod(net.out_shape)
    if outputs != len(dataset.classes) and not _has_binary_output(net, dataset):
        raise error_type(f"{name} has {outputs} outputs, {dataset.name} has {len(dataset.classes)} classes")


def _check_shape(net: Network, dataset: Dataset, name: str, error_type: type[Exception]) -> None:
    shape = (dataset.x_train if len(dataset.x_train) else dataset.x_test).shape[1:]
    inputs = math.prod(net.in_shape)
    if inputs != math.prod(shape):
        raise error_type(f"{name} takes {inputs} inputs, the samples of {dataset.name} have {times(shape)}")


def _has_binary_output(net: Network, dataset: Dataset) -> bool:
    """Whether it has one output for two classes: above 1/2, or not."""
    return math.prod(net.out_shape) == 1 and len(dataset.classes) == 2 and net.loss_name == "mse"


def adapted(net: Network, dataset: Dataset, name: str) -> Dataset:
    """The data set as a model takes it: its labels are the model's outputs, by name, its numbers in the model's scale.

    what: the model's name in errors. A model without names for its classes takes as many as it has outputs, by their
    order. Raises ValueError: shapes, classes or numbers do not suit.
    """
    _check_shape(net, dataset, name, ValueError)
    if "classes" in net.meta:
        try:
            dataset = dataset.with_classes(net.classes)
        except DataError as error:
            outputs, requested = len(net.classes), len(dataset.classes)
            counts = (
                f"{name} has {outputs} outputs, {dataset.name} has {requested} classes: "
                if outputs != requested
                else ""
            )
            raise ValueError(f"{counts}{error}, the classes of {name}; --classes takes some") from None
    elif dataset.pictures is None and len(dataset.classes) < len(net.classes):
        dataset = dataset.with_classes(net.classes)
    else:
        check_suits(net, dataset, name, ValueError)
    return _scaled(net, dataset)


def _scaled(net: Network, dataset: Dataset) -> Dataset:
    """With its samples as the model's were. A model of an earlier version that says nothing takes them as they come."""
    note = net.meta.get(INPUTS_NOTE)
    if note is None:
        return dataset
    inputs, parts = Inputs.from_note(note), (dataset.x_train, dataset.x_test)
    if dataset.pictures:
        x_train, x_test = map(inputs.pictures, parts)
    else:
        x_train, x_test = inputs.rescaled(dataset.name, *parts)
    return replace(dataset, x_train=x_train, x_test=x_test)


PARTS = ("test", "train", "all")  # which samples --on names


def add_on_option(add: argparse._ActionsContainer) -> None:
    """--on, for samples()."""
    usual = "default: test, or all of own data that are not those of the training"
    add.add_argument("--on", choices=PARTS, default="test", help=f"which samples ({usual})")


def samples(dataset: Dataset, on: str) -> tuple[Array, Array]:
    """x and y of the samples that --on names. ValueError: there are none."""
    parts = {"test": (dataset.x_test, dataset.y_test), "train": (dataset.x_train, dataset.y_train)}
    if on == "all":
        return np.concatenate([dataset.x_train, dataset.x_test]), np.concatenate([dataset.y_train, dataset.y_test])
    if on == "test" and not len(dataset.x_test) and dataset.samples_sha256:
        on = "train"  # where nothing was set aside
    x, y = parts[on]
    if not len(x):
        reason = ", as it is not the data of the training" if dataset.samples_sha256 else ""
        raise ValueError(f"{dataset.name} has no samples for {on}ing{reason}; --on names the other ones")
    return x, y


def describe_samples(net: Network, dataset: Dataset, on: str) -> str:
    """Which samples of the data set these are, and how many, in words."""
    count = len(samples(dataset, on)[1])
    if on == "all" or not len(dataset.x_train):
        words = f"{count:,} samples, all there are"
    elif not len(dataset.x_test):
        words = f"{count:,} samples, those it was trained on: none were set aside"
    else:
        words = f"{count:,} samples for {on}ing"
    if dataset.samples_sha256 and len(dataset.x_train) and len(dataset.x_test) and on == "test":
        words += ", those that the training set aside"
    if dataset.samples_sha256 and not len(dataset.x_train) and _same_name(net, dataset):
        words += "; not the same as in the training, but called so: some may have been learnt from"
    return f"{dataset.name}: {words}"
