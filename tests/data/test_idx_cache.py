"""Unpacked copies of a named set's gz files: used, checked, replaced; loading without a cache."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.data_files import ARRAYS, X_TRAIN, assert_same, idx_bytes, write_idx

from pynet import data
from pynet.data import DataError, download, idx
from pynet.data.download import NamedSet
from pynet.data.idx import IDX_PARTS

IMAGES = f"{IDX_PARTS[0]}.gz"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(params=["mnist", "fashion-mnist"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four gz files of a named set (pynet has content hashes of MNIST alone), an empty cache, no mirror."""
    made = write_idx(tmp_path / "given" / request.param, packed=True)
    packed = tuple(sha256((made / f"{part}.gz").read_bytes()) for part in IDX_PARTS)
    content = tuple(sha256(idx_bytes(array)) for array in ARRAYS) if request.param == "mnist" else ()
    known = NamedSet("This", ("0", "1", "2"), packed, content)
    monkeypatch.setitem(download.SETS, request.param, known)
    monkeypatch.setattr(download, "MIRRORS", {request.param: ()})
    monkeypatch.setattr(download, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setenv("PYNET_DATA", str(tmp_path / "given"))
    return made


@pytest.fixture
def unpacks(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """A function that returns how many files were unpacked since its last call."""
    counted = []

    class Counting(gzip.GzipFile):
        def __init__(self, **arguments: object) -> None:
            counted.append(arguments)
            super().__init__(**arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(gzip, "GzipFile", Counting)

    def since() -> int:
        n = len(counted)
        counted.clear()
        return n

    return since


def copies(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache/unpacked").iterdir())


def assert_loads(folder: Path) -> None:
    found = data.load(folder.name)
    assert_same(found)
    assert found.source == f"This from {folder}"


def test_second_run_unpacks_nothing(folder: Path, tmp_path: Path, unpacks: Callable[[], int]) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    for expected in (4, 0, 0):
        assert_loads(folder)
        assert unpacks() == expected
    assert {path.read_bytes() for path in copies(tmp_path)} == {idx_bytes(array) for array in ARRAYS}
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("damage", [lambda c: c[:-1], lambda c: c[:-1] + b"\xff", lambda c: c + b"\0", lambda _: b""])
def test_damaged_copy_is_replaced(
    folder: Path, tmp_path: Path, unpacks: Callable[[], int], damage: Callable[[bytes], bytes]
) -> None:
    assert_loads(folder)
    sound = {path: path.read_bytes() for path in copies(tmp_path)}
    for path, content in sound.items():
        path.write_bytes(damage(content))
    unpacks()
    assert_loads(folder)
    assert unpacks() == 4
    assert {path: path.read_bytes() for path in copies(tmp_path)} == sound


def test_copy_under_a_wrong_name_is_not_used(folder: Path, tmp_path: Path, unpacks: Callable[[], int]) -> None:
    assert_loads(folder)
    for path in copies(tmp_path):
        if path.stat().st_size > 80:  # the two files of images
            path.write_bytes(idx_bytes(X_TRAIN[::-1]))
    unpacks()
    assert_loads(folder)
    assert unpacks() == 2


def test_changed_file_is_unpacked_anew(folder: Path, tmp_path: Path, unpacks: Callable[[], int]) -> None:
    assert_loads(folder)
    (folder / IMAGES).write_bytes(gzip.compress(idx_bytes(X_TRAIN[::-1])))
    unpacks()
    with pytest.raises(DataError, match=r"its SHA-256 is not|images of shape"):
        data.load(folder.name)
    assert unpacks() == 1
    assert len(copies(tmp_path)) == (4 if folder.name == "mnist" else 5)  # a copy known to be wrong is deleted


def test_file_that_changes_meanwhile_leaves_no_copy(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = download.read_idx_hashed

    def change_and_read(path: Path, rank: int) -> object:
        content = gzip.decompress(path.read_bytes())
        path.write_bytes(gzip.compress(content, 1))
        return read(path, rank)

    monkeypatch.setattr(download, "read_idx_hashed", change_and_read)
    assert_loads(folder)
    assert not (tmp_path / "cache").exists()


def test_cache_that_cannot_be_written(folder: Path, tmp_path: Path, unpacks: Callable[[], int]) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    for _ in range(2):
        assert_loads(folder)
        assert unpacks() == 4


def test_disk_that_is_full(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(idx, "replacing", full)
    assert_loads(folder)
    assert copies(tmp_path) == []


def test_raw_files_are_not_copied(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    write_idx(folder)
    if folder.name == "mnist":
        assert_loads(folder)
    assert not (tmp_path / "cache").exists()


def test_many_at_once(folder: Path, tmp_path: Path) -> None:
    faults: list[BaseException] = []

    def load() -> None:
        try:
            for _ in range(5):
                assert_loads(folder)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(copies(tmp_path)) == 4
