"""Data sets by name and from files."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pynet._ffi import Array
from pynet.data.arrays import Parts
from pynet.data.csv import read_csv
from pynet.data.download import SETS, UnavailableError, read_named
from pynet.data.idx import IDX_PARTS, find_idx, idx_parts, read_idx, read_idx_folder
from pynet.data.npz import read_npz
from pynet.data.splits import split
from pynet.errors import DataError
from pynet.pictures.preparation import Preparation

TEST_SHARE = 0.2  # of the samples of each class, for testing, where a data set has none for it


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples with labels, for training and for testing.

    x_train, x_test: (n, height, width), (n, features) or, pictures in colour, (n, 3, height, width); uint8, which means
    x/255, or float32, taken as it is. y_train, y_test: (n) int32, index into classes. source: one line on where the
    data came from. pictures: how its pictures were prepared, where that is known. skipped: a line for each file that
    was left out.
    """

    name: str
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    classes: tuple[str, ...]
    source: str
    pictures: Preparation | None = None
    skipped: tuple[str, ...] = ()

    def only(self, classes: Sequence[str]) -> Dataset:
        """The samples of these classes alone, relabelled 0, 1, ... in the given order; the names stay.

        A class is given by its name or, where no class is called so, by its number. Raises DataError.
        """
        wanted = [self._class_index(c) for c in classes]
        if not wanted or len(set(wanted)) < len(wanted):
            raise DataError(f"classes {list(classes)}: at least one class is needed, and each only once")
        new_label = np.full(len(self.classes), -1, np.int32)
        new_label[wanted] = np.arange(len(wanted), dtype=np.int32)
        train, test = new_label[self.y_train], new_label[self.y_test]
        if not (train >= 0).any() or not (test >= 0).any():
            raise DataError(f"classes {list(classes)}: {self.name} has no samples of them for training or for testing")
        return replace(
            self,
            x_train=self.x_train[train >= 0],
            y_train=train[train >= 0],
            x_test=self.x_test[test >= 0],
            y_test=test[test >= 0],
            classes=tuple(self.classes[i] for i in wanted),
        )

    def limit(self, n: int) -> Dataset:
        """The first n training samples (all of them if there are fewer) and the whole test set. Raises DataError."""
        if n < 1:
            raise DataError(f"limit {n}: at least 1 training sample is needed")
        return replace(self, x_train=self.x_train[:n], y_train=self.y_train[:n])

    def _class_index(self, name: str) -> int:
        name = str(name)
        if name in self.classes:
            return self.classes.index(name)
        if name.isascii() and name.isdecimal() and int(name) < len(self.classes):
            return int(name)
        raise DataError(f"class {name!r}: {self.name} has the classes {_listed(self.classes)}")


def load(name_or_path: str | Path, pictures: Preparation | None = None) -> Dataset:
    """A data set by name, or from files.

    name_or_path: "mnist", "fashion-mnist" or "digits"; or a folder of pictures, with a sub-folder for each class; a
    folder of IDX files (train|t10k-images-idx3-ubyte[.gz] and -labels-idx1-ubyte[.gz]), a .npz in the Keras layout
    (x_train, y_train, x_test, y_test), or a .csv with the label first (header optional). Write "./mnist" or a Path for
    a folder that is called like a named set. pictures: how those of a folder are prepared; None: glyphs of 28 x 28.

    A named set is looked for in $PYNET_DATA/<name>/, then in the cache, then downloaded; it is not replaced by another.
    The classes of a file are "0", "1", ... up to the highest training label, those of a folder of pictures its
    sub-folders; train/ and test/ may be above them. Where there is no test set, as in a .csv, a fifth of the samples of
    each class, drawn with a fixed seed, becomes one. Pictures that cannot be used are left out and listed in skipped.

    Raises DataError, one line, if the set cannot be had or a file is damaged.
    """
    if isinstance(name_or_path, str):
        name = name_or_path.lower().replace("_", "-")
        if name == "digits":
            return _digits()
        if name in SETS:
            return _named(name)
    return _from_path(Path(os.path.expanduser(name_or_path)), str(name_or_path), pictures)


def default(timeout: float = 5.0) -> Dataset:
    """MNIST if it is at hand or can be downloaded within timeout seconds in all, otherwise the built-in digits.

    The source line says which, and how to get the other. What was downloaded in time stays in the cache, so that the
    next call goes on from there. Raises DataError if $PYNET_DATA/mnist is there but damaged.
    """
    try:
        mnist = _named("mnist", timeout)
        return replace(mnist, source=f'{mnist.source} (the small built-in data set is "digits")')
    except UnavailableError:
        digits = _digits()
        reason = f"MNIST is not on this machine and could not be downloaded within {timeout:g} s"
        remedy = 'load "mnist" by name to try for longer, or put its four files into $PYNET_DATA/mnist'
        return replace(digits, source=f"{digits.source} ({reason}; {remedy})")


def _named(name: str, timeout: float | None = None) -> Dataset:
    parts, source = read_named(name, timeout)
    prepared = Preparation(28, 28, style="mnist" if name == "mnist" else None)
    return Dataset(name, *parts, classes=SETS[name].classes, source=source, pictures=prepared)


def _digits() -> Dataset:
    """The digits in the package; datasets/README.txt tells their authors, licence and how they are divided."""
    from importlib.resources import as_file, files

    folder = files("pynet") / "datasets"
    paths, arrays = [], []
    for part, rank in zip(IDX_PARTS, (3, 1, 3, 1), strict=True):
        with as_file(folder / f"digits-{part}.gz") as path:
            paths.append(path)
            arrays.append(read_idx(path, rank))
    source = "8x8 digits built into pynet (UCI, E. Alpaydin and C. Kaynak 1998, CC BY 4.0)"
    prepared = Preparation(8, 8, style="digits")
    return Dataset("digits", *idx_parts(paths, arrays), tuple("0123456789"), source, prepared)


def _from_path(path: Path, given: str, pictures: Preparation | None) -> Dataset:
    if is_picture_folder(path):
        return _of_pictures(path, pictures or Preparation(28, 28))
    if pictures:
        raise DataError(
            f"{given}: no folder of pictures with a sub-folder for each class, so that none can be prepared"
        )
    if path.is_dir():
        return _numbered(path.resolve().name, read_idx_folder(path), f"IDX files in {path}")
    if not path.is_file():
        names = ["mnist", "fashion-mnist", "digits"]
        near = difflib.get_close_matches(given.lower(), names, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise DataError(
            f"{given!r}: no such file or folder, nor a data set of that name; {hint}"
            f"accepted are {', '.join(names)}, a folder of pictures or of IDX files, a .npz or a .csv"
        )
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _numbered(path.stem, read_npz(path), f"{path}")
    if suffix == ".csv":
        x, y = read_csv(path)
        try:
            x_train, y_train, x_test, y_test = split(x, y, TEST_SHARE)
        except DataError as error:
            raise DataError(f"{path}: no test set can be split off: {error}") from None
        source = f"{path}, a fifth of each class set aside for testing"
        return _numbered(path.stem, Parts(x_train, y_train, x_test, y_test), source)
    raise DataError(f"{path}: not a .npz or .csv file; of IDX files, name the folder they are in")


def is_picture_folder(path: Path) -> bool:
    """Whether load would take this for a folder of pictures: one without IDX files."""
    return path.is_dir() and not any(find_idx(path, part) for part in IDX_PARTS)


def _of_pictures(path: Path, prepared: Preparation) -> Dataset:
    from pynet.data.folders import read_picture_folder

    found = read_picture_folder(path, prepared)
    x, y, test = found.x, found.y, found.test
    source = f"{len(x) + len(found.skipped):,} pictures in {path}"
    source += f", {len(found.skipped):,} of them left out" if found.skipped else ""
    if test is None:
        try:
            parts = Parts(*split(x, y, TEST_SHARE))
        except DataError as error:
            raise DataError(f"{path}: no test set can be split off: {error}") from None
        source += ", a fifth of each class set aside for testing"
    else:
        parts = Parts(x[~test], y[~test], x[test], y[test])
    return Dataset(path.resolve().name or "data", *parts, found.classes, source, prepared, found.skipped)


def _numbered(name: str, parts: Parts, source: str) -> Dataset:
    classes = tuple(map(str, range(int(parts.y_train.max()) + 1)))
    return Dataset(name or "data", *parts, classes=classes, source=source)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 20 else f"{names[0]}, {names[1]}, ... {names[-1]}"
