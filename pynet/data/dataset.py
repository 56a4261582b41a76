"""Data sets by name and from files; splits and batches."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pynet.augment import Augment
from pynet.data.arrays import (
    IDX_PARTS,
    Array,
    DataError,
    Parts,
    find_idx,
    idx_parts,
    read_csv,
    read_idx,
    read_idx_folder,
    read_npz,
)
from pynet.data.download import SETS, UnavailableError, read_named
from pynet.data.toys import line, moons, spirals
from pynet.pictures.preparation import Preparation

__all__ = [
    "DataError",
    "Dataset",
    "augmented",
    "batches",
    "default",
    "line",
    "load",
    "moons",
    "one_hot",
    "spirals",
    "split",
]

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
    return _from_path(Path(name_or_path).expanduser(), str(name_or_path), pictures)


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


def split(x: npt.ArrayLike, y: npt.ArrayLike, fraction: float, seed: int = 0) -> tuple[Array, Array, Array, Array]:
    """(x_train, y_train, x_val, y_val): x and y with this fraction of each class set aside, the order kept.

    x: (n, ...), y: (n) integer labels, 0 < fraction < 1. A class of two samples or more keeps at least one on each
    side, a class of one goes to training. The same seed gives the same split with every NumPy. Raises DataError.
    """
    x, y = np.asarray(x), np.asarray(y)
    if not 0 < fraction < 1:
        raise DataError(f"fraction {fraction}: must lie between 0 and 1, for example 0.1")
    if y.ndim != 1 or y.dtype.kind not in "iu" or len(x) != len(y):
        raise DataError(f"x of shape {x.shape}, y {y.dtype} of shape {y.shape}: y must be (n,) integers, x (n, ...)")
    random = np.random.RandomState(np.random.MT19937(seed))  # its shuffle is frozen, that of a Generator is not
    aside = np.zeros(len(y), bool)
    for c in np.unique(y):
        members = np.flatnonzero(y == c)
        count = min(max(round(len(members) * fraction), 1), len(members) - 1)
        aside[random.permutation(members)[:count]] = True
    if not aside.any():
        raise DataError(f"{len(y)} samples, no class with two of them: nothing can be set aside")
    return x[~aside], y[~aside], x[aside], y[aside]


def validation_split(
    x: npt.ArrayLike, y: npt.ArrayLike, fraction: float, seed: int = 0
) -> tuple[Array, Array, Array, Array]:
    """As split, but DataError if a class has no sample left to validate it with."""
    parts = split(x, y, fraction, seed)
    missing = np.setdiff1d(parts[1], parts[3])
    if len(missing):
        raise DataError(
            f"class {missing[0]} has a single sample, so that the validation set would have none of it"
            f"{f' (and {len(missing) - 1:,} more such classes)' if len(missing) > 1 else ''}; leave such classes out"
        )
    return parts


def shuffled_labels(y: npt.ArrayLike, seed: int = 0) -> Array:
    """The labels y (n) in another order: nothing is left to learn but each sample by heart (Zhang et al. 2017)."""
    random = np.random.RandomState(np.random.MT19937(seed))
    shuffled: Array = random.permutation(np.asarray(y))
    return shuffled


def one_hot(y: npt.ArrayLike, classes: int) -> npt.NDArray[np.float32]:
    """(n, classes) float32: 1 at each row's label, else 0. y: (n) integers in 0..classes-1. Raises DataError."""
    y = np.asarray(y)
    if y.ndim != 1 or (y.dtype.kind not in "iu" and y.size):
        raise DataError(f"y is {y.dtype} of shape {y.shape}, labels are integers of shape (n,)")
    good = (y >= 0) & (y < classes)
    if not good.all():
        i = int(np.argmin(good))
        raise DataError(f"label {y[i]} at index {i}, accepted are 0..{classes - 1}")
    rows = np.zeros((len(y), classes), np.float32)
    rows[np.arange(len(y)), y.astype(np.intp)] = 1
    return rows


def batches(
    x: npt.ArrayLike, y: npt.ArrayLike, batch_size: int = 64, seed: int = 0, epoch: int = 0
) -> Iterator[tuple[Array, Array]]:
    """The samples of one epoch in mini-batches (x (m, ...), y (m, ...)), in the order that fit uses.

    x: (n, ...), y: (n) labels or (n, outputs) targets; the batches are copies in the same dtype. There are
    ceil(n / batch_size) of them; where batch_size does not divide n, they are made as equal as can be, the larger ones
    first. Raises DataError.
    """
    from pynet.kernels import shuffle

    x, y = np.asarray(x), np.asarray(y)
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
        raise DataError(f"x has shape {x.shape}, y has shape {y.shape}: they must be of one length")
    if batch_size < 1:
        raise DataError(f"batch_size {batch_size}: must be at least 1")
    order = shuffle(len(x), seed, epoch)
    count = -(-len(order) // batch_size)
    return ((x[rows], y[rows]) for rows in (np.array_split(order, count) if count else []))


def augmented(x: npt.ArrayLike, augment: Augment | None = None, seed: int = 0, step: int = 0) -> Array:
    """What a network with this seed sees, after so many updates, of the batch x of pictures.

    x: (n, height, width) or (n, channels, height, width); the answer is float32 of that shape, of bytes x/255.
    augment: None has the usual strengths. ValueError: x or a strength is not accepted.

    >>> seen = pynet.data.augmented(digits.x_train[:8], pynet.Augment(rotate=20), seed=0, step=100)
    """
    from pynet.kernels import augmented

    return augmented(x, augment, seed, step)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 20 else f"{names[0]}, {names[1]}, ... {names[-1]}"
