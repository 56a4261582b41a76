"""Data sets by name and from files."""

from __future__ import annotations

import difflib
import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pynet._ffi import Array
from pynet.data.array_files import array_files, read_array_files, role_of_file
from pynet.data.arrays import TASKS, Parts, PictureLayout
from pynet.data.columns import Columns
from pynet.data.csv import check_label_column, csv_features, read_csv
from pynet.data.download import SETS, UnavailableError, read_named
from pynet.data.idx import IDX_PARTS, idx_parts, read_idx
from pynet.data.npz import holds_one, read_npz
from pynet.data.roles import Found
from pynet.data.splits import split
from pynet.data.tables import Table
from pynet.errors import DataError
from pynet.pictures.preparation import Preparation
from pynet.text import fields_text, percent

NAMED_SETS = (*SETS, "digits")
TEST_FRACTION = 0.2  # of each class, for the test set of data that have none
AS_STORED = PictureLayout()


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training set and a test set.

    x_train, x_test: (n, height, width), (n, features) or, for colour pictures, (n, 3, height, width); uint8, which
    means x/255, or float32, used unchanged. y_train, y_test: (n) int32, index into classes; for regression, (n) or
    (n, outputs) float32, and classes is empty. source: one line on the origin of the data. pictures: how the pictures
    were prepared, if known. skipped: a line for each file that was left out. samples_sha256: for data without a test
    set of their own, the SHA-256 of all samples in order, else "". test_split: the fraction of them in the test set.
    features: names of the inputs, from the header of a .csv, or empty. layout: the layout of pictures in the file, as
    given to load.

    For a table, see pynet.data.table: columns: how rows became samples; means (features): replace missing numbers;
    notes, warnings: decisions and problems; test_rows: the rows of the test set as they were read.
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
    samples_sha256: str = ""
    test_split: float = 0.0
    features: tuple[str, ...] = ()
    columns: Columns | None = None
    means: Array | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    test_rows: Table | None = None
    layout: PictureLayout = AS_STORED

    def __repr__(self) -> str:
        return fields_text("Dataset", vars(self))

    def with_test_set(self, fraction: float = TEST_FRACTION) -> Dataset:
        """With this fraction of each class as the test set, for data loaded with divide=False; others are unchanged.

        The same samples always give the same split; 0: all are for training. DataError: no class has two samples.
        """
        if not self.samples_sha256 or len(self.x_train):
            return self
        if not fraction:
            parts = Parts(self.x_test, self.y_test, self.x_test[:0], self.y_test[:0])
            return replace(self, **parts._asdict(), source=f"{self.source}, all for training")
        fraction_text = "a fifth" if fraction == TEST_FRACTION else percent(fraction)
        try:
            rest, _, aside, _ = split(np.arange(len(self.y_test)), self.y_test, fraction)
        except DataError as error:
            raise DataError(f"{self.source}: no test set can be split off: {error}") from None
        x, y = self.x_test, self.y_test
        of = " of each class" if self.classes else ""
        return replace(
            self,
            **Parts(x[rest], y[rest], x[aside], y[aside])._asdict(),
            source=f"{self.source}, {fraction_text}{of} for testing",
            test_split=fraction,
        )

    def with_classes(self, names: Sequence[str]) -> Dataset:
        """The same samples with labels that are indices into names; classes are matched by name.

        If the data set has only numbers as class names and `names` has none, numbers are indices into names. DataError:
        a class with samples is missing in names, or is there twice.
        """
        if tuple(names) == self.classes:
            return self
        if not self.classes:
            raise DataError(f"{self.name} has numbers to predict, no classes such as {_listed(names)}")
        counts = Counter(names)
        position = {name: i for i, name in enumerate(names) if counts[name] == 1}
        of_files = self.pictures is None and all(map(_is_number, self.classes))
        if of_files and not any(map(_is_number, names)):
            position = {str(i): i for i in range(len(names))}
        table, unknown = np.full(len(self.classes), -1, np.int32), []
        for label in np.union1d(self.y_train, self.y_test):
            name = self.classes[label]
            table[label] = position.get(name, -1)
            if name not in position:
                unknown.append(name)
        if unknown:
            raise DataError(f"{self.name} has the classes {_listed(unknown)}, which are not among {_listed(names)}")
        return replace(self, y_train=table[self.y_train], y_test=table[self.y_test], classes=tuple(names))

    def only(self, classes: Sequence[str]) -> Dataset:
        """Only the samples of these classes, relabelled 0, 1, ... in the given order, with their names.

        A class is given by name or, if there is no such name, by index. Raises DataError.
        """
        if not self.classes:
            raise DataError(f"classes {list(classes)}: {self.name} has numbers to predict, no classes")
        indices = [self._class_index(c) for c in classes]
        if not indices or len(set(indices)) < len(indices):
            raise DataError(f"classes {list(classes)}: at least one class is needed, and each only once")
        new_label = np.full(len(self.classes), -1, np.int32)
        new_label[indices] = np.arange(len(indices), dtype=np.int32)
        train, test = new_label[self.y_train], new_label[self.y_test]
        if any(len(labels) and not (labels >= 0).any() for labels in (train, test)):
            raise DataError(f"classes {list(classes)}: {self.name} has no samples of them for training or for testing")
        return replace(
            self,
            x_train=self.x_train[train >= 0],
            y_train=train[train >= 0],
            x_test=self.x_test[test >= 0],
            y_test=test[test >= 0],
            classes=tuple(self.classes[i] for i in indices),
        )

    def limit(self, n: int) -> Dataset:
        """The first n training samples (or all, if there are fewer) and the whole test set. Raises DataError.

        If a class is missing or rare among the first n, as in a sorted file, the first samples of each class are taken
        instead, in proportion to the classes.
        """
        if n < 1:
            raise DataError(f"limit {n}: at least 1 training sample is needed")
        rows = first_rows(self.y_train, n)
        return replace(self, x_train=self.x_train[rows], y_train=self.y_train[rows])

    def _class_index(self, name: str) -> int:
        name = str(name)
        if name in self.classes:
            return self.classes.index(name)
        if _is_number(name) and int(name) < len(self.classes):
            return int(name)
        raise DataError(f"class {name!r}: {self.name} has the classes {_listed(self.classes)}")


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal()


def first_rows(y: Array, n: int) -> Array | slice:
    """Which n samples to take for all: see Dataset.limit. y (n): labels, or numbers, of which the first are taken."""
    if y.dtype.kind == "f":
        return slice(n)
    _, classes, counts = np.unique(y, return_inverse=True, return_counts=True)
    expected = counts * (n / len(y))
    if n >= len(y) or (3 * np.bincount(classes[:n], minlength=len(counts)) >= expected).all():
        return slice(n)
    position = np.empty(len(y))  # of a sample within its class, from 0 to below 1
    position[np.argsort(classes, kind="stable")] = np.concatenate([np.arange(count) / count for count in counts])
    return np.sort(np.argsort(position, kind="stable")[:n])


def load(
    name_or_path: str | Path,
    pictures: Preparation | None = None,
    *,
    divide: bool = True,
    test_split: float = TEST_FRACTION,
    shape: tuple[int, ...] | None = None,
    transpose: bool | None = None,
    task: str | None = None,
) -> Dataset:
    """A data set by name, or from files.

    name_or_path: "mnist", "fashion-mnist" or "digits"; or a folder of pictures, with a sub-folder for each class; an
    .npz with arrays named x_train, y_train, x_test, y_test or alike; a folder of files with one array each,
    IDX (train|t10k-images-idx3-ubyte[.gz] and -labels-idx1-ubyte[.gz]), .npy or .npz, or one of these files, see
    pynet.data.roles for names; or a .csv with the label first (header optional). Write "./mnist" or a Path for a folder
    with the name of a named set. pictures: how those of a folder are prepared; None: 28 x 28, grey, cropped to the ink.

    Pictures in arrays are (n, height, width), with 1 or 3 channels before or after these. shape: of pictures that are
    stored as rows of numbers, (16, 16) for example, or with channels first or last. transpose: exchange rows and
    columns; None: only in EMNIST's IDX files, which need it. task: "classes" or "number", the meaning of y in arrays;
    None: floats are numbers to predict (regression), unless they are at most 100 whole numbers from 0 or 1, or one-hot
    rows. Such y are (n) or (n, outputs) float32, and classes is empty.

    A named set is looked for in $PYNET_DATA/<name>/, then in the cache, then downloaded. The classes of a file are "0",
    "1", ... up to the highest label, without "0" if no label is 0; those of a folder of pictures are its sub-folders,
    which may be in train/ and test/, see pynet.data.folders. If there is no test set, as in a .csv, it is split off:
    the fraction test_split, from 0 to below 1, of each class, with a fixed seed; with divide False, all samples are in
    the test set. Pictures that cannot be used are left out and listed in skipped.

    Raises DataError, one line, if the set is not available or a file is damaged.
    """
    if isinstance(name_or_path, str):
        name = name_or_path.lower().replace("_", "-")
        if name == "digits":
            return _digits()
        if name in SETS:
            return _named(name)
    if task is not None and task not in TASKS:
        raise DataError(f"task is {task!r:.80}; accepted: {', '.join(TASKS)}")
    path, layout = Path(os.path.expanduser(name_or_path)), PictureLayout(shape, transpose)
    found = _from_path(path, str(name_or_path), pictures, layout, task, divide)
    return found.with_test_set(test_split) if divide else found


def default(timeout: float = 5.0) -> Dataset:
    """MNIST if it is on this machine or can be downloaded within timeout seconds, otherwise the built-in digits.

    source and notes say which, why, and how to load the other. Files that were downloaded in time stay in the cache for
    the next call. Raises DataError if $PYNET_DATA/mnist is damaged.
    """
    try:
        mnist = _named("mnist", timeout)
        return replace(mnist, source=f'{mnist.source} (the small built-in data set is "digits")')
    except UnavailableError as error:
        why = f"MNIST is not on this machine and could not be downloaded within {timeout:g} s: {error.reason}"
        remedy = '--dataset mnist, in Python load("mnist"), tries for longer; or put its files into $PYNET_DATA/mnist'
        return replace(_digits(), notes=(why, remedy))


def _named(name: str, timeout: float | None = None) -> Dataset:
    parts, source = read_named(name, timeout)
    prepared = Preparation(28, 28) if name == "mnist" else Preparation(28, 28, style=None, background="dark")
    return Dataset(name, *parts, classes=SETS[name].classes, source=source, pictures=prepared)


def _digits() -> Dataset:
    """The built-in digits; datasets/README.txt names authors and licence, and describes the split."""
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


def _from_path(
    path: Path, given: str, pictures: Preparation | None, layout: PictureLayout, task: str | None, divide: bool
) -> Dataset:
    if is_picture_folder(path):
        if layout != AS_STORED:
            raise DataError(f"{given}: a folder of pictures, which need neither shape nor transpose")
        return _of_pictures(path, pictures)
    if pictures:
        raise DataError(
            f"{given}: not a folder of pictures with a sub-folder for each class, so pictures= cannot be used"
        )
    if path.suffix.lower() == ".csv" and path.is_file():
        x, y = read_csv(path)
        if divide:
            check_label_column(path, x, y)
        found = _of_arrays(
            path.stem, Found(_all_for_testing(x, y), False, ", labels in the first column"), str(path), layout
        )
        return replace(found, features=() if layout.shape else csv_features(path))
    if path.exists():
        return _of_array_files(path, layout, task)
    near = difflib.get_close_matches(given.lower(), NAMED_SETS, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise DataError(
        f"{given!r}: no such file or folder, nor a data set of that name; {hint}"
        f"accepted are {', '.join(NAMED_SETS)}, a folder of pictures or of arrays, a .npz or a .csv"
    )


def is_picture_folder(path: Path) -> bool:
    """Whether load would take this for a folder of pictures: one without files that hold arrays of a data set."""
    return path.is_dir() and not array_files(path)


def _of_array_files(path: Path, layout: PictureLayout, task: str | None) -> Dataset:
    """The data set in an .npz file, or in files with an array each."""
    several = path.is_dir() or role_of_file(path)
    if path.suffix.lower() == ".npz" and path.is_file() and not (several and holds_one(path)):
        return _of_arrays(path.stem, read_npz(path, task), str(path), layout)
    if not several:
        raise DataError(
            f"{path}: no .csv, nor a .npz, .npy or IDX file with a name that says what it holds, as x_train.npy does"
        )
    name, found = read_array_files(path, task)
    folder = path if path.is_dir() else path.parent
    source = f"files in {folder}"
    if layout.transpose is None and name.startswith("emnist"):
        layout, source = replace(layout, transpose=True), f"{source}, transposed, as the pictures of EMNIST lie"
    return _of_arrays(folder.resolve().name if path.is_dir() or not name else name, found, source, layout)


def _of_arrays(name: str, found: Found, source: str, layout: PictureLayout) -> Dataset:
    """With numbers for classes, from the lowest label, 0 or 1, to the highest; targets have none."""
    parts, sha256 = found.parts, "" if found.divided else digest(found.parts.x_test, found.parts.y_test)
    x_train, x_test = (layout.applied(x, name) for x in (parts.x_train, parts.x_test))
    parts, classes = parts._replace(x_train=x_train, x_test=x_test), tuple[str, ...]()
    if parts.y_test.dtype == np.int32:
        labels = np.union1d(parts.y_train, parts.y_test)
        first = np.int32(labels[0] == 1)
        parts = parts._replace(y_train=parts.y_train - first, y_test=parts.y_test - first)
        classes = tuple(map(str, range(first, labels[-1] + 1)))
    return Dataset(name or "data", *parts, classes, source + found.remark, samples_sha256=sha256, layout=layout)


def _of_pictures(path: Path, pictures: Preparation | None) -> Dataset:
    from pynet.data.folders import guessed, read_picture_folder

    prepared, note = (pictures, "") if pictures else guessed(path)
    found = read_picture_folder(path, prepared)
    x, y, test = found.x, found.y, found.test
    source = f"{len(x) + len(found.skipped):,} pictures in {path}{found.layout}"
    source += f", {len(found.skipped):,} of them left out" if found.skipped else ""
    parts = _all_for_testing(x, y) if test is None else Parts(x[~test], y[~test], x[test], y[test])
    name, sha256 = path.resolve().name or "data", digest(x, y) if test is None else ""
    notes = (f"pictures {note}",) if note else ()
    return Dataset(name, *parts, found.classes, source, prepared, found.skipped, sha256, notes=notes)


def _all_for_testing(x: Array, y: Array) -> Parts:
    """All samples as the test set."""
    return Parts(x[:0], y[:0], x, y)


def digest(x: Array, y: Array) -> str:
    """SHA-256 of samples and labels."""
    digest = hashlib.sha256(f"{x.dtype.str} {x.shape} ".encode())
    digest.update(np.ascontiguousarray(x).data)
    digest.update(np.ascontiguousarray(y).data)
    return digest.hexdigest()


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 20 else f"{names[0]}, {names[1]}, ... {names[-1]}"
