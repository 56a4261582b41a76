"""A folder of pictures as a data set: a sub-folder for each class, optionally inside train/ and test/.

Common spellings are accepted: training/ and testing/, Train/ and Test/, seg_train/ and seg_test/, and val/, which is
the test set if there is no test/, else training data. Hidden folders and __MACOSX are left out. An additional folder
around the data, as unzipping makes it, is refused: it would be the only class.

Prepared pictures are cached until a file, an option or the preparing code changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import __version__ as pillow_version

from pynet._ffi import Array
from pynet.data.arrays import MAX_LABELS
from pynet.data.download import cache_folder
from pynet.data.npz import npz_arrays
from pynet.errors import DataError
from pynet.files import replacing
from pynet.pictures import decode, glyph, ink, preparation, shrink
from pynet.pictures.decode import SUFFIXES, in_parallel, picture_files, read_picture
from pynet.pictures.glyph import NO_INK, prepare
from pynet.pictures.guess import Look, guess, look
from pynet.pictures.preparation import Preparation
from pynet.text import parsed_json

MAX_WRAPPERS = 8  # nested folders that hold only one folder; a link could make an endless chain
MIN_AGE = 2.0  # seconds: a newer file could change again within the same time stamp, so nothing is cached
LOOKED_AT = 240  # pictures: enough to recognise their kind


class Pictures(NamedTuple):
    """x (n, *shape) uint8 and y (n) int32, in a fixed random order; test: (n) bool, True for those in test/, or None.

    skipped: a line for each file that was left out. layout: a note on how the folder was read, to follow its name.
    """

    x: Array
    y: Array
    test: Array | None
    classes: tuple[str, ...]
    skipped: tuple[str, ...]
    layout: str = ""


class _File(NamedTuple):
    path: Path
    label: int
    test: bool


def class_folders(folder: Path) -> list[Path]:
    """The sub-folders without hidden ones, numbers first, in numerical order."""
    found = [entry for entry in folder.iterdir() if entry.is_dir() and not _is_hidden(entry.name)]
    return sorted(
        found, key=lambda entry: (not entry.name.isdecimal(), len(entry.name) * entry.name.isdecimal(), entry.name)
    )


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


# Names of folders for parts of a data set, as in train, Testing, seg_train, training_set, validation.
_PART = re.compile(
    r"(?:.*[ _.-])?(?:(train)(?:ing)?|(test)(?:ing)?|(val)(?:id|idation)?|dev|eval(?:uation)?)"
    r"(?:[ _.-]?(?:set|data|dataset|split|images|pictures|samples))?",
    re.IGNORECASE,
)


def part_of(name: str) -> str | None:
    """ "train", "test" or "val" for a folder with a name of this kind, else None."""
    found = _PART.fullmatch(name)
    return None if found is None else "train" if found[1] else "test" if found[2] else "val"


class _Layout(NamedTuple):
    """The class folders of the training set and of the test set (empty without one), and a note for the source line."""

    train: list[Path]
    test: list[Path]
    note: str


def _layout(folder: Path) -> _Layout:
    """Finds the classes of a folder. Raises DataError if it is ambiguous."""
    parts: dict[str, Path] = {}
    others: list[Path] = []
    entries = class_folders(folder)
    for entry in entries:
        part = part_of(entry.name)
        if part is None or not class_folders(entry):
            others.append(entry)
        elif part in parts:
            raise DataError(
                f"{folder}: {parts[part].name}/ and {entry.name}/ are both for {part}; accepted: one of them"
            )
        else:
            parts[part] = entry
    if "train" not in parts and _unwrapped(folder) != folder:
        inner = _unwrapped(folder)
        names = ", ".join(entry.name for entry in class_folders(inner))[:200]
        raise DataError(
            f"{folder}: this folder only contains another one, which has the classes {names}; accepted: {inner}"
        )
    if not parts:
        if entries and all(part_of(entry.name) for entry in entries):
            names = " and ".join(f"{entry.name}/" for entry in entries)
            raise DataError(f"{folder}: {names} have no sub-folders; accepted: a sub-folder of pictures for each class")
        return _Layout(entries, [], "")
    nested = [entry.name for entry in others if class_folders(entry)]
    if "train" not in parts or nested:
        names = ", ".join(f"{entry.name}/" for entry in entries)[:200]
        raise DataError(
            f"{folder}: are {names} classes, or parts of a data set? Accepted: a sub-folder for each class, or train/ "
            f"and, if there are any, test/ and val/, with a sub-folder for each class in them"
        )
    below = {part: class_folders(_unwrapped(entry)) for part, entry in parts.items()}
    if "test" in below and "val" in below:
        note = f", {parts['val'].name}/ also for training"
        return _Layout(below["train"] + below["val"], below["test"], note + _left_out(others))
    test_folder = parts.get("test") or parts.get("val")
    note = f", {test_folder.name}/ for testing" if test_folder else ""
    return _Layout(below["train"], below.get("test") or below.get("val") or [], note + _left_out(others))


def _left_out(others: list[Path]) -> str:
    return "".join(f", {entry.name}/ left out" for entry in others)


def _unwrapped(folder: Path) -> Path:
    """Follows folders that only contain one folder with sub-folders; returns the last."""
    for _ in range(MAX_WRAPPERS):
        inside = class_folders(folder)
        if len(inside) != 1 or not class_folders(inside[0]) or _has_pictures(folder):
            break
        folder = inside[0]
    return folder


def _has_pictures(folder: Path) -> bool:
    return any(entry.suffix.lower() in SUFFIXES and not _is_hidden(entry.name) for entry in folder.iterdir())


def read_picture_folder(folder: Path, options: Preparation) -> Pictures:
    """The pictures of a folder, prepared. Raises DataError: there is none, or test/ has a class that train/ lacks."""
    files, classes, note = _files(folder)
    key = _key(files, folder, options)
    cache, name = cache_folder(), hashlib.sha256(f"{folder.resolve()} {options.note()}".encode()).hexdigest()
    cache_file = cache / "pictures" / f"{name}.npz" if cache else None
    found = _cached(cache_file, key) if cache_file else None
    if found is None:
        found = _prepared(files, options)
        if cache_file:
            _store(cache_file, key, found, files, folder, options)
    x, y, test, skipped = found
    if not len(x) or test.all():
        raise DataError(
            f"{folder}: none of {len(files)} pictures can be used for training; {skipped[0] if skipped else ''}"
        )
    return Pictures(x, y, test if any(file.test for file in files) else None, classes, tuple(skipped), note)


def guessed(folder: Path) -> tuple[Preparation, str]:
    """How the pictures of a folder are best prepared, from some of each class, and that in words. Raises DataError."""
    files = [file for file in _files(folder)[0] if not file.test]
    some = files[:: -(-len(files) // LOOKED_AT)]
    looks, labels = [], []
    for file, found in zip(some, in_parallel(_look, [file.path for file in some]), strict=True):
        if found:
            looks.append(found)
            labels.append(file.label)
    prepared = guess(looks, labels) if looks else Preparation(28, 28)
    return prepared, _described(prepared, len(looks))


def _look(path: Path) -> Look | None:
    try:
        return look(read_picture(path))
    except DataError:  # it will be listed among those left out
        return None


def _described(found: Preparation, count: int) -> str:
    """A preparation in words, with the options that change it."""
    kind = "glyphs, fitted and centred (else --no-center)" if found.style else "pictures taken whole (else --center)"
    color = "in colour (else --no-color)" if found.color else "in grey (else --color)"
    ground = f", things on a {found.background} background" if found.background else ""
    return f"guessed from {count:,} of them: {found.width} pixels a side (else --size), {color}, {kind}{ground}"


def _files(folder: Path) -> tuple[list[_File], tuple[str, ...], str]:
    """All pictures with their labels, the class names, and a note on the layout. Raises DataError."""
    try:
        return _listed(folder)
    except OSError as error:
        raise DataError(f"{error.filename or folder}: cannot be read: {error.strerror or error}") from None


def _listed(folder: Path) -> tuple[list[_File], tuple[str, ...], str]:
    train, test, note = _layout(folder)
    if not train:
        raise DataError(
            f"{folder}: has neither the four IDX files of a data set nor a sub-folder of pictures for each class"
        )
    first = [entry for entry in train if entry.parent == train[0].parent]
    classes = tuple(entry.name for entry in first)
    files = []
    for entry in [*train, *test]:
        if entry.name not in classes:
            raise DataError(f"{entry}: a class that is not in {train[0].parent}, which has {', '.join(classes)[:200]}")
        label, is_test = classes.index(entry.name), entry in test
        files += [_File(path, label, is_test) for path in picture_files(entry)]
    for label, entry in enumerate(first):
        if not any(file.label == label and not file.test for file in files):
            raise DataError(f"{entry}: this folder would be a class, but holds no pictures")
    if len(classes) > MAX_LABELS:
        raise DataError(f"{folder}: {len(classes)} classes, at most {MAX_LABELS} are accepted")
    return files, classes, note


def _prepared(files: list[_File], options: Preparation) -> tuple[Array, Array, Array, list[str]]:
    """(x, y, test, skipped) of the files, shuffled, so that the first n have all classes."""

    def work(path: Path) -> Array | str:
        try:
            x = prepare(read_picture(path, max(decode.LONGEST, 2 * max(options.shape))), options)
        except DataError as error:
            return str(error)
        return f"{path}: {NO_INK}" if x is None else x

    results = list(in_parallel(work, [file.path for file in files]))
    usable = np.array([i for i, result in enumerate(results) if not isinstance(result, str)], np.intp)
    usable = usable[np.random.RandomState(np.random.MT19937(0)).permutation(len(usable))]  # fixed, as in data.split
    x = np.zeros((len(usable), *options.shape), np.uint8)
    for row, i in enumerate(usable):
        x[row] = results[i]
    y = np.array([files[i].label for i in usable], np.int32)
    test = np.array([files[i].test for i in usable], bool)
    return x, y, test, [result for result in results if isinstance(result, str)]


# ---- the cache ------------------------------------------------------------------------------------------------------


def _key(files: list[_File], folder: Path, options: Preparation) -> str:
    """A hash of everything that determines the result: paths, sizes and times of the files, options, and code."""
    digest = hashlib.sha256(f"{options.note()} {pillow_version}".encode())
    for module in (decode, glyph, ink, preparation, shrink, sys.modules[__name__]):
        digest.update(inspect.getsource(module).encode())
    for file in files:
        name, part = os.fsencode(file.path.relative_to(folder)), (file.label, file.test)
        try:
            facts = file.path.stat()
        except OSError as error:  # it will be listed as skipped
            digest.update(b"%s\0%d %d %s\n" % (name, *part, str(error.errno).encode()))
            continue
        digest.update(b"%s\0%d %d %d %d %d\n" % (name, *part, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns))
    return digest.hexdigest()


def _cached(cache_file: Path, key: str) -> tuple[Array, Array, Array, list[str]] | None:
    """The cached result, if it has this key and is valid."""
    try:
        found = npz_arrays(cache_file, ("key", "x", "y", "test", "skipped"), kinds="iufbU")
        if str(found["key"]) != key:
            return None
        skipped = parsed_json(str(found["skipped"]))
    except (DataError, ValueError):
        return None
    return found["x"], found["y"], found["test"], [str(line) for line in skipped]


def _store(
    cache_file: Path,
    key: str,
    found: tuple[Array, Array, Array, list[str]],
    files: list[_File],
    folder: Path,
    options: Preparation,
) -> None:
    """Writes the result to the cache, unless a file changed meanwhile or is so new that it may still change."""
    x, y, test, skipped = found
    with contextlib.suppress(OSError):  # writing the cache may fail
        facts = [file.path.stat() for file in files if file.path.exists()]
        newest = max(max(fact.st_mtime, fact.st_ctime) for fact in facts)
        if time.time() - newest < MIN_AGE or _key(_listed(folder)[0], folder, options) != key:
            return
        cache_file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(cache_file) as file:
            np.savez(file, key=np.array(key), x=x, y=y, test=test, skipped=np.array(json.dumps(skipped)))
