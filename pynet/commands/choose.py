"""What a command works on: a model, a data set, and whether the two suit each other."""

from __future__ import annotations

import argparse
import math

from pynet import data
from pynet._ffi import Array
from pynet.commands import cli
from pynet.commands.cli import UsageError
from pynet.data import Dataset
from pynet.errors import DataError
from pynet.inference import MODEL_SUFFIX, preparation_of
from pynet.network import Network
from pynet.pictures.preparation import NOTE, Preparation
from pynet.text import times

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


def dataset(options: argparse.Namespace, net: Network | None = None, like: Network | None = None) -> Dataset:
    """The data set that the options name; without one that of the model's training, or else the default.

    Of a model net that knows fewer classes, only those. Pictures are prepared as those of net, or like, were, unless
    the options say otherwise. Raises DataError, UsageError.
    """
    wanted = _preparation(options, net or like)
    if options.data:
        chosen = data.load(options.data, wanted)
        for line in chosen.skipped[:MOST_SKIPPED]:
            cli.complain("data", f"left out: {line}")
        if len(chosen.skipped) > MOST_SKIPPED:
            cli.complain("data", f"left out: {len(chosen.skipped) - MOST_SKIPPED:,} more")
    elif options.dataset:
        chosen = data.load(options.dataset)
    elif net is None:
        chosen = data.default()
    else:
        name = net.meta.get("dataset", "")
        if name not in NAMED:
            trained = f"the model was trained on {name!r}" if name else "the model does not say what it was trained on"
            raise UsageError(f"{trained}; name data by --data PATH or --dataset NAME")
        chosen = data.load(name)
    classes = options.classes
    if net is not None and classes is None and set(net.classes) < set(chosen.classes) and len(net.classes) > 1:
        classes = net.classes
    if classes is None:
        return chosen
    try:
        return chosen.only(classes)
    except DataError as error:
        raise UsageError(f"argument --classes: {error}") from None


def _preparation(options: argparse.Namespace, net: Network | None) -> Preparation | None:
    """How pictures of --data are prepared: as the options say, else as the model's were; None: nothing is said."""
    if options.size or options.color or options.no_center:
        if not options.data:
            raise UsageError("--size, --color and --no-center are for --data FOLDER, a folder of pictures")
        side = options.size or SIDE
        return Preparation(side, side, options.color, None if options.no_center else "mnist")
    if options.data and data.is_picture_folder(options.data) and net is not None and NOTE in net.meta:
        return preparation_of(net)
    return None


def check_suits(net: Network, chosen: Dataset, what: str, wrong: type[Exception]) -> None:
    """Raises `wrong`, with `what` for the network's name, unless it takes the samples and has an output a class."""
    shape = chosen.x_train.shape[1:]
    takes, gives = math.prod(net.in_shape), math.prod(net.out_shape)
    if takes != math.prod(shape):
        raise wrong(f"{what} takes {takes} inputs, the samples of {chosen.name} have {times(shape)}")
    binary = gives == 1 and len(chosen.classes) == 2 and net.loss_name == "mse"  # one output: above 1/2, or not
    if gives != len(chosen.classes) and not binary:
        raise wrong(f"{what} has {gives} outputs, {chosen.name} has {len(chosen.classes)} classes")


def samples(chosen: Dataset, part: str) -> tuple[Array, Array]:
    """x and y of "train" or "test". ValueError: there are none."""
    x, y = (chosen.x_train, chosen.y_train) if part == "train" else (chosen.x_test, chosen.y_test)
    if not len(x):
        raise ValueError(f"{chosen.name} has no samples for {part}ing; --on names the other ones")
    return x, y
