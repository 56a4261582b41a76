"""A folder of pictures as a data set: a sub-folder for each class, and train/ and test/ above them if you like.

What was prepared is kept in the cache, and taken from there as long as no file, no option and no line of the code that
prepares has changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import __version__ as pillow_version

from pynet._ffi import Array
from pynet.data.arrays import MOST_LABELS
from pynet.data.download import cache_folder
from pynet.data.npz import npz_arrays
from pynet.errors import DataError
from pynet.files import replacing
from pynet.pictures import decode, glyph, ink, preparation, shrink
from pynet.pictures.decode import in_parallel, picture_files, read_picture
from pynet.pictures.glyph import prepare
from pynet.pictures.preparation import Preparation

RACY = 2.0  # a file younger than these seconds may change again under the same time stamp: nothing is cached


class Pictures(NamedTuple):
    """x (n, *shape) uint8 and y (n) int32, in a fixed random order; test: which of them (n) bool are from test/.

    skipped: a line for each file that was left out. test is None where there is no test/.
    """

    x: Array
    y: Array
    test: Array | None
    classes: tuple[str, ...]
    skipped: tuple[str, ...]


class _File(NamedTuple):
    path: Path
    label: int
    test: bool


def class_folders(folder: Path) -> list[Path]:
    """The sub-folders, hidden ones left out, whole numbers in their order before other names."""
    found = [entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    return sorted(
        found, key=lambda entry: (not entry.name.isdecimal(), len(entry.name) * entry.name.isdecimal(), entry.name)
    )


def read_picture_folder(folder: Path, wanted: Preparation) -> Pictures:
    """The pictures of a folder, prepared. Raises DataError: there is none, or test/ has a class that train/ lacks."""
    try:
        files, classes = _files(folder)
        key = _key(files, folder, wanted)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror or error}") from None
    cache, name = cache_folder(), hashlib.sha256(f"{folder.resolve()} {wanted.note()}".encode()).hexdigest()
    place = cache / "pictures" / f"{name}.npz" if cache else None
    found = _cached(place, key) if place else None
    if found is None:
        found = _prepared(files, wanted)
        if place:
            _keep(place, key, found, files, folder, wanted)
    x, y, test, skipped = found
    if not len(x) or test.all():
        raise DataError(
            f"{folder}: none of {len(files)} pictures can be used for training; {skipped[0] if skipped else ''}"
        )
    return Pictures(x, y, test if any(file.test for file in files) else None, classes, tuple(skipped))


def _files(folder: Path) -> tuple[list[_File], tuple[str, ...]]:
    """All the pictures with their labels, and the names of the classes."""
    divided = (folder / "train").is_dir() and bool(class_folders(folder / "train"))
    train = class_folders(folder / "train" if divided else folder)
    test = class_folders(folder / "test") if divided and (folder / "test").is_dir() else []
    if not train:
        raise DataError(
            f"{folder}: neither the four IDX files of a data set nor a sub-folder of pictures for each class"
        )
    classes = tuple(entry.name for entry in train)
    files = [_File(path, label, False) for label, entry in enumerate(train) for path in picture_files(entry)]
    for entry in test:
        if entry.name not in classes:
            raise DataError(f"{entry}: a class that is not in {folder / 'train'}, which has {', '.join(classes)[:200]}")
        files += [_File(path, classes.index(entry.name), True) for path in picture_files(entry)]
    for label, entry in enumerate(train):
        if not any(file.label == label and not file.test for file in files):
            raise DataError(f"{entry}: no pictures in this folder, which is a class by its place")
    if len(classes) > MOST_LABELS:
        raise DataError(f"{folder}: {len(classes)} classes, at most {MOST_LABELS} are accepted")
    return files, classes


def _prepared(files: list[_File], wanted: Preparation) -> tuple[Array, Array, Array, list[str]]:
    """(x, y, test, skipped) of the files; the order is mixed, so that the first n are of all classes."""

    def work(path: Path) -> Array | str:
        try:
            x = prepare(read_picture(path, max(decode.LONGEST, 2 * max(wanted.shape))), wanted)
        except DataError as error:
            return str(error)
        return f"{path}: no ink in this picture" if x is None else x

    results = list(in_parallel(work, [file.path for file in files]))
    good = np.array([i for i, result in enumerate(results) if not isinstance(result, str)], np.intp)
    good = good[np.random.RandomState(np.random.MT19937(0)).permutation(len(good))]  # frozen, see data.split
    x = np.zeros((len(good), *wanted.shape), np.uint8)
    for row, i in enumerate(good):
        x[row] = results[i]
    y = np.array([files[i].label for i in good], np.int32)
    test = np.array([files[i].test for i in good], bool)
    return x, y, test, [result for result in results if isinstance(result, str)]


# ---- the cache ------------------------------------------------------------------------------------------------------


def _key(files: list[_File], folder: Path, wanted: Preparation) -> str:
    """A hash of all that decides the result: the files' places, sizes and times, the options, and the code."""
    digest = hashlib.sha256(f"{wanted.note()} {pillow_version}".encode())
    for module in (decode, glyph, ink, preparation, shrink, sys.modules[__name__]):
        digest.update(inspect.getsource(module).encode())
    for file in files:
        facts = file.path.stat()
        name = os.fsencode(file.path.relative_to(folder))
        digest.update(b"%s\0%d %d %d %d\n" % (name, file.label, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns))
    return digest.hexdigest()


def _cached(place: Path, key: str) -> tuple[Array, Array, Array, list[str]] | None:
    """What _keep wrote under this key, if it is there and whole."""
    try:
        found = npz_arrays(place, ("key", "x", "y", "test", "skipped"), kinds="iufbU")
        if str(found["key"]) != key:
            return None
        skipped = json.loads(str(found["skipped"]))
    except (DataError, ValueError):
        return None
    return found["x"], found["y"], found["test"], [str(line) for line in skipped]


def _keep(
    place: Path,
    key: str,
    found: tuple[Array, Array, Array, list[str]],
    files: list[_File],
    folder: Path,
    wanted: Preparation,
) -> None:
    """Puts the result into the cache, unless a file has changed meanwhile or may yet."""
    x, y, test, skipped = found
    with contextlib.suppress(OSError):  # a cache that cannot be written is no harm
        youngest = max(max(file.path.stat().st_mtime, file.path.stat().st_ctime) for file in files)
        if time.time() - youngest < RACY or _key(_files(folder)[0], folder, wanted) != key:
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place) as partial, partial.open("wb") as file:
            np.savez(file, key=np.array(key), x=x, y=y, test=test, skipped=np.array(json.dumps(skipped)))
