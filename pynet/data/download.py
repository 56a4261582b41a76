"""The named data sets: finding, downloading and verifying their files.

A set is looked for in $PYNET_DATA/<name>/, then in the cache folder, then on its mirrors. Files in $PYNET_DATA belong
to the user: they are never written, and a damaged one is an error. A damaged file in the cache is downloaded again. A
download goes to a temporary file and is renamed after its content has been verified.

Verified means that the SHA-256 of the gz file is known, or that of the unpacked content (a re-compressed MNIST is
MNIST). For Fashion-MNIST only the hashes of the gz files are known, so other compressions cannot be verified: in
$PYNET_DATA they are accepted if sizes and class counts are those of Fashion-MNIST, and the source line says that they
are not verified; in the cache they count as damaged. Unpacked files are cached too (idx.py), and verified like
the gz files.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pynet._ffi import Array
from pynet.data.arrays import Parts, reading
from pynet.data.idx import IDX_PARTS, find_idx, find_unpacked, idx_parts, read_idx_hashed, store_unpacked
from pynet.errors import DataError
from pynet.files import replacing, sha256_of

STALL = 15.0  # seconds without data, after which the next mirror is tried
MAX_BYTES = 64 << 20  # larger than any file of a named set; more from a mirror is an error

MIRRORS: dict[str, tuple[str, ...]] = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    "fashion-mnist": ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
}


@dataclass(frozen=True)
class NamedSet:
    """A named set: the SHA-256 of its four gz files, and of their contents if known, in the order of IDX_PARTS."""

    title: str
    classes: tuple[str, ...]
    gz_sha256: tuple[str, ...]
    content_sha256: tuple[str, ...] = ()
    train: int = 60_000
    test: int = 10_000


SETS: dict[str, NamedSet] = {
    "mnist": NamedSet(
        "MNIST",
        tuple("0123456789"),
        gz_sha256=(
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
        content_sha256=(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
    "fashion-mnist": NamedSet(
        "Fashion-MNIST",
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        gz_sha256=(
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
}


class _MirrorError(Exception):
    """A download from a mirror failed; the message is the reason."""


class UnavailableError(DataError):
    """A named set is not on this machine and cannot be downloaded now; reason: why, of the last attempt."""

    reason = ""


def read_named(name: str, timeout: float | None = None) -> tuple[Parts, str]:
    """The arrays of a named set and one line on their origin.

    timeout: seconds for all downloads together; None: no limit while data arrive. Raises UnavailableError, whose
    message lists what was tried, or DataError if a file in $PYNET_DATA is damaged or missing.
    """
    named_set = SETS[name]
    tried = ["$PYNET_DATA is not set"]
    if root := os.environ.get("PYNET_DATA"):
        folder = Path(os.path.expanduser(root)) / name
        if any(find_idx(folder, part) for part in IDX_PARTS):
            return _read_user_folder(folder, named_set)
        tried = [f"no data in $PYNET_DATA: {folder}"]
    cache_root = cache_folder()
    if cache_root is None:
        tried.append("no cache folder: this user has no home folder, and XDG_CACHE_HOME is not set")
        raise _unavailable(name, tried)
    cache = cache_root / name
    arrays, faults = _read_cached(cache, named_set)
    if all(array is not None for array in arrays):
        source = f"{named_set.title} from the cache {cache}"
    else:
        _Download(name, cache, timeout, tried + faults).fetch_missing(arrays)
        source = f"{named_set.title}, downloaded to {cache}"
    paths = [cache / f"{part}.gz" for part in IDX_PARTS]
    return idx_parts(paths, [array for array in arrays if array is not None]), source


def cache_folder() -> Path | None:
    """The folder for downloads, ~/.cache/pynet or the system's equivalent; None: the user has no home folder."""
    import platformdirs

    try:
        path = platformdirs.user_cache_path("pynet")
    except RuntimeError:
        return None
    return path if path.is_absolute() else None  # some versions return "~/..." unexpanded


# ---- verifying -------------------------------------------------------------------------------------------------------


def _read_part(path: Path, named_set: NamedSet, i: int) -> tuple[Array, bool | None]:
    """(array, verified) of file i of IDX_PARTS. verified None: an unknown hash, as after another compression."""
    rank, cache = 3 if i % 2 == 0 else 1, cache_folder()
    gz_sha256, copies = _sha256(path), cache / "unpacked" if cache else None
    copy = find_unpacked(copies, gz_sha256, rank) if copies else None
    array, content_sha256 = copy or read_idx_hashed(path, rank)
    verified: bool | None = gz_sha256 == named_set.gz_sha256[i] or None
    if named_set.content_sha256:
        verified = content_sha256 == named_set.content_sha256[i]
    is_new = not copy and verified is not False and gz_sha256 != content_sha256
    if copies and is_new and _sha256(path) == gz_sha256:  # it was not changed meanwhile
        store_unpacked(copies, gz_sha256, array, content_sha256)
    return array, verified


def _sha256(path: Path) -> str:
    with reading(path):
        return sha256_of(path)


def _wrong_hash(path: Path, named_set: NamedSet, i: int) -> str:
    content_sha256 = f", nor has its content {named_set.content_sha256[i]}" if named_set.content_sha256 else ""
    return f"{path}: damaged, or not {named_set.title}: its SHA-256 is not {named_set.gz_sha256[i]}{content_sha256}"


def _read_user_folder(folder: Path, named_set: NamedSet) -> tuple[Parts, str]:
    """The set from the user's folder in $PYNET_DATA."""
    paths, arrays, unverified = list[Path](), list[Array](), False
    for i, part in enumerate(IDX_PARTS):
        path = find_idx(folder, part)
        if path is None:
            raise DataError(f"{folder}: no {part}[.gz], but some of the four files of {named_set.title}; add it")
        array, verified = _read_part(path, named_set, i)
        if verified is False:
            raise DataError(_wrong_hash(path, named_set, i) + "; replace the file")
        unverified |= verified is None
        paths.append(path)
        arrays.append(array)
    parts = idx_parts(paths, arrays)
    if unverified:
        _check_sizes(parts, named_set, folder)
    note = ", not verified: its files are not compressed as published" if unverified else ""
    return parts, f"{named_set.title} from {folder}{note}"


def _check_sizes(parts: Parts, named_set: NamedSet, folder: Path) -> None:
    """DataError unless sizes and class counts are those of the set, whose content could not be verified."""
    for x, y, n in ((parts.x_train, parts.y_train, named_set.train), (parts.x_test, parts.y_test, named_set.test)):
        counts = np.bincount(y, minlength=len(named_set.classes)).tolist()
        if x.shape != (n, 28, 28) or counts != [n // len(named_set.classes)] * len(named_set.classes):
            raise DataError(
                f"{folder}: images of shape {x.shape} with {counts} of each class, {named_set.title} has ({n}, 28, 28) "
                f"with {n // len(named_set.classes)} of each"
            )


def _read_cached(cache: Path, named_set: NamedSet) -> tuple[list[Array | None], list[str]]:
    """The arrays from the cache, None for those to download, and the reasons."""
    arrays: list[Array | None] = [None] * len(IDX_PARTS)
    faults, missing = [], []
    for i, part in enumerate(IDX_PARTS):
        path = cache / f"{part}.gz"
        if not path.is_file():
            missing.append(path.name)
            continue
        try:
            array, verified = _read_part(path, named_set, i)
        except DataError as error:
            faults.append(str(error))
            continue
        if verified:
            arrays[i] = array
        else:
            faults.append(_wrong_hash(path, named_set, i))
    if missing:
        what = ", ".join(missing) if len(missing) < len(IDX_PARTS) else "data"
        faults.insert(0, f"no {what} in the cache {cache}")
    return arrays, faults


# ---- downloading -----------------------------------------------------------------------------------------------------


class _Download:
    """Downloads the missing files of a set into the cache, with one deadline for all."""

    def __init__(self, name: str, cache: Path, timeout: float | None, tried: list[str]) -> None:
        self.name = name
        self.named_set = SETS[name]
        self.cache = cache
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.mirrors = list(MIRRORS[name])
        self.tried = tried

    def fetch_missing(self, arrays: list[Array | None]) -> None:
        """Downloads the arrays that are None. Raises UnavailableError."""
        try:
            self.cache.mkdir(parents=True, exist_ok=True)
            for i, array in enumerate(arrays):
                if array is None:
                    arrays[i] = self._fetch(i)
        except OSError as error:
            raise self._unavailable(f"{self.cache}: cannot be written: {error.strerror or error}") from None

    def _fetch(self, i: int) -> Array:
        """Downloads file i of IDX_PARTS from the first mirror that has it, and stores it, verified, in the cache."""
        file_name = f"{IDX_PARTS[i]}.gz"
        faults = []
        for n, mirror in enumerate(list(self.mirrors)):
            path = self.cache
            try:
                with replacing(self.cache / file_name) as file:
                    path = Path(file.name)
                    self._copy(mirror + file_name, file, mirrors_left=len(self.mirrors) - n)
                    file.flush()
                    array, verified = _read_part(path, self.named_set, i)
                    if not verified:
                        raise DataError(_wrong_hash(path, self.named_set, i))
                self.mirrors.insert(0, self.mirrors.pop(n))  # try this mirror first for the next file
                return array
            except (_MirrorError, DataError) as error:
                faults.append(f"{mirror}{file_name}: {str(error).removeprefix(f'{path}: ')}")
        raise self._unavailable(*faults)

    def _copy(self, url: str, file: Any, mirrors_left: int) -> None:
        """Downloads url into file, with a progress bar if stderr is a terminal."""
        from tqdm import tqdm

        left = None if self.deadline is None else self.deadline - time.monotonic()
        if left is not None and left <= 0:
            raise _MirrorError("not tried, the time limit is reached")
        timeout_seconds = STALL if left is None else min(STALL, left / mirrors_left)  # leave time for the other mirrors
        pieces = _pieces(url, timeout_seconds, self.deadline)
        with (
            contextlib.closing(pieces),
            tqdm(unit="B", unit_scale=True, desc=url.rsplit("/", 1)[1], disable=None, leave=False) as bar,
        ):
            received = 0
            for total, piece in pieces:
                received += len(piece)
                if received > MAX_BYTES:
                    raise _MirrorError(f"sends more than {MAX_BYTES} bytes")
                file.write(piece)
                bar.total = total
                bar.update(len(piece))

    def _unavailable(self, *faults: str) -> UnavailableError:
        return _unavailable(self.name, [*self.tried, *faults], self.cache)


def _unavailable(name: str, tried: list[str], cache: Path | None = None) -> UnavailableError:
    places = f"$PYNET_DATA/{name}" + (f" or {cache}" if cache else "")
    error = UnavailableError(
        f"{SETS[name].title} is not available: {'; '.join(tried)}. Put its four files "
        f"(train|t10k-images-idx3-ubyte.gz, train|t10k-labels-idx1-ubyte.gz) into {places}, "
        f'or use the built-in data set "digits"'
    )
    error.reason = re.sub(r"^\[Errno -?\d+\] ", "", tried[-1].rpartition(": ")[2])
    return error


def _pieces(
    url: str, timeout_seconds: float, deadline: float | None
) -> Generator[tuple[int | None, bytes], None, None]:
    """Yields (total length if known, next piece) of the content at url.

    timeout_seconds: for the first piece. The request runs in a thread, because a name lookup can block for a minute and
    has no timeout.
    """
    received: queue.SimpleQueue[tuple[int | None, bytes] | str] = queue.SimpleQueue()
    stop = threading.Event()
    try:
        threading.Thread(target=_request, args=(url, received, stop), name="pynet download", daemon=True).start()
    except RuntimeError as error:  # no more threads available
        raise _MirrorError(f"no request possible: {error}") from None
    try:
        while True:
            left = timeout_seconds if deadline is None else min(timeout_seconds, deadline - time.monotonic())
            try:
                item = received.get(timeout=max(left, 0.0))
            except queue.Empty:
                raise _MirrorError(
                    "no response in time" if timeout_seconds < STALL else f"no data for {STALL:g} s"
                ) from None
            if isinstance(item, str):
                raise _MirrorError(item)
            if not item[1]:
                return
            yield item
            timeout_seconds = STALL
    finally:
        stop.set()


def _request(url: str, received: queue.SimpleQueue[tuple[int | None, bytes] | str], stop: threading.Event) -> None:
    """Puts the pieces of the content of url into a queue, then an empty piece; or a str, the error."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    try:
        with urlopen(Request(url, headers={"User-Agent": "pynet"}), timeout=STALL) as response:
            total = response.length
            while not stop.is_set():
                piece = response.read1(1 << 16)
                received.put((total, piece))
                if not piece:
                    return
    except HTTPError as error:
        received.put(f"HTTP {error.code} {error.reason}")
        error.close()
    except Exception as error:  # any error must reach the waiting thread
        received.put(str(getattr(error, "reason", error)) or type(error).__name__)
