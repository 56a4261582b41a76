"""The role of each array of a data set, read from its name, and the training and test sets made from the arrays.

    x_train, X_test                    Keras, and what most programs write
    train_images, val_labels           MedMNIST
    kmnist-train-imgs                  KMNIST, a file for each array
    emnist-letters-test-labels-idx1-ubyte, t10k-images-idx3-ubyte, images, y

A name says the kind, samples or labels; it may say the part, as train or test; what is left is the name of the set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from pynet._ffi import Array
from pynet.data.arrays import Parts, are_pixels, are_targets, check_shapes, checked, labels, pixels, targets
from pynet.errors import DataError

ACCEPTED = "x and y, or x_train, y_train, x_test, y_test; train_images, train_labels, ... are known, too"

_KINDS = {
    "x": ("x", "image", "images", "img", "imgs", "feature", "features", "input", "inputs"),
    "y": ("y", "label", "labels", "target", "targets"),
}
_PARTS = {
    "train": ("train", "training"),
    "test": ("test", "testing", "t10k"),
    "val": ("val", "valid", "validation", "dev"),
}
_KIND_OF = {word: kind for kind, words in _KINDS.items() for word in words} | {"data": "x"}
_PART_OF = {word: part for part, words in _PARTS.items() for word in words}
_TOGETHER = re.compile(r"([xy])(train|test|val)|(train|test|val)([xy])")  # Xtrain, testY
_FORMAT = re.compile(r"idx\d|ubyte")


class Role(NamedTuple):
    """The role of an array. set: the rest of its name; part: train, test, val or ""; kind: x or y."""

    set: str
    part: str
    kind: str


class Source(NamedTuple):
    """An array not yet read: its name for messages, the shape that its header states, and the function that reads."""

    name: str
    shape: tuple[int, ...]
    read: Callable[[], Array]


class Found(NamedTuple):
    """A data set put together from arrays. parts: samples as bytes or numbers, with labels or targets.

    divided: whether there is a test set; if not, all samples are in x_test. remark: how the arrays were used, for
    messages, after the name of the file.
    """

    parts: Parts
    divided: bool
    remark: str


def role_of(name: str) -> Role | None:
    """The role of an array, or of a file without its suffix, by its name; None: the name gives none."""
    words: list[str] = []
    for word in re.split(r"[ _.-]+", name.lower()):
        together = _TOGETHER.fullmatch(word)
        words += filter(None, together.groups()) if together else [] if _FORMAT.fullmatch(word) else [word]
    kinds = [word for word in words if word in _KIND_OF]
    if len(kinds) > 1 and "data" in kinds:  # as in train_data_x
        kinds.remove("data")
    parts = [word for word in words if word in _PART_OF]
    if len(kinds) != 1 or len(parts) > 1:
        return None
    rest = "-".join(word for word in words if word not in _KIND_OF and word not in parts)
    return Role(rest, _PART_OF[parts[0]] if parts else "", _KIND_OF[kinds[0]])


def one_set(roles: Iterable[Role], place: object) -> str:
    """The name of the only set, or "" if one has no name. Raises DataError: there are several sets with names."""
    names = sorted({role.set for role in roles if role.kind == "x"})
    if len(names) > 1 and names[0]:
        raise DataError(f"{place}: holds several sets, {', '.join(names)}; accepted: one, or the name of one's file")
    return names[0] if names else ""


def read_parts(sources: Mapping[Role, Source], place: object, task: str | None = None) -> Found:
    """The arrays of a set. Their shapes are compared before they are read.

    task: "classes" if y holds labels, "number" if it holds targets; None: are_targets decides. The part val is the test
    set if there is no other; else it is used for training, as in folders of pictures. Raises DataError.
    """
    pairs = _pairs(sources)
    learnt, held = _division(set(pairs), place)
    names = {part: (pairs[part][0].name, pairs[part][1].name) for part in pairs}
    read = {part: (x.read(), y.read()) for part, (x, y) in pairs.items()}
    as_bytes = are_pixels(*(x for x, _ in read.values()))
    is_number = are_targets(*(y for _, y in read.values())) if task is None else task == "number"
    learnt_from = targets if is_number else labels
    arrays = {
        part: (pixels(x, names[part][0], as_bytes), learnt_from(y, names[part][1])) for part, (x, y) in read.items()
    }
    remark = f", {names['val'][0].split(': ')[-1]} for training, too" if "val" in learnt and held else ""
    remark += f", {names['val'][0].split(': ')[-1]} for testing" if held == "val" else ""
    if not held:
        x, y = arrays[learnt[0]]
        return Found(Parts(x[:0], y[:0], x, y), False, remark)
    first = _together([arrays[part] for part in learnt], [names[part] for part in learnt])
    return Found(checked(Parts(*first, *arrays[held]), (*names[learnt[0]], *names[held])), True, remark)


def _pairs(sources: Mapping[Role, Source]) -> dict[str, tuple[Source, Source]]:
    """The samples and labels of each part."""
    pairs = {}
    for role, source in sources.items():
        other = sources.get(role._replace(kind="y" if role.kind == "x" else "x"))
        if other is None:
            lonely = "samples without labels" if role.kind == "x" else "labels without samples"
            beside = ", ".join(one.name.split(": ")[-1] for one in sources.values())
            raise DataError(f"{source.name}: {lonely}, as there are {beside} alone; accepted: {ACCEPTED}")
        if role.kind == "x":
            check_shapes(source.shape, other.shape, source.name, other.name)
            pairs[role.part] = (source, other)
    return pairs


def _division(parts: set[str], place: object) -> tuple[list[str], str]:
    """The parts for training, and the part for testing, "" if there is none."""
    if len(parts) == 1:
        return sorted(parts), ""
    learnt, held = sorted(parts & {"", "train"}), "test" if "test" in parts else "val"
    if len(learnt) != 1:
        raise DataError(f"{place}: its arrays are for {', '.join(sorted(parts)) or 'nothing'}; accepted: {ACCEPTED}")
    return learnt + ["val"] * ("val" in parts and held == "test"), held


def _together(pairs: list[tuple[Array, Array]], names: list[tuple[str, str]]) -> tuple[Array, Array]:
    """The samples and labels of several parts as one."""
    for (x, _), (name, _) in zip(pairs, names, strict=True):
        if (x.shape[1:], x.dtype) != (pairs[0][0].shape[1:], pairs[0][0].dtype):
            raise DataError(
                f"{name} holds {x.dtype} samples of shape {x.shape[1:]}, {names[0][0]} holds {pairs[0][0].dtype} "
                f"samples of shape {pairs[0][0].shape[1:]}: they must be alike"
            )
    if len(pairs) == 1:
        return pairs[0]
    return np.concatenate([x for x, _ in pairs]), np.concatenate([y for _, y in pairs])
