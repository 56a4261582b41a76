"""All files that pynet writes: complete or not at all, and only at the path of a regular file."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
from helpers.permissions import unprivileged

import pynet
from pynet import files
from pynet.files import check_writable, replacing
from pynet.training.history import History


def put(path: Path, content: bytes = b"new") -> None:
    with replacing(path) as file:
        file.write(content)


@contextmanager
def refused(path: Path, code: int, reason: str) -> Iterator[None]:
    """Asserts that a write fails with this error and path, and that check_writable raises the same error before."""
    with pytest.raises(OSError) as asked:
        check_writable(path)
    with pytest.raises(OSError) as caught:
        yield
    assert (caught.value.errno, caught.value.strerror) == (code, f"cannot write {path}: {reason}")
    assert str(asked.value) == str(caught.value)


# ---- what is replaced ----


def test_a_new_file_is_replaced(tmp_path: Path) -> None:
    for content in (b"first", b""):
        put(tmp_path / "f", content)
        assert (os.listdir(tmp_path), (tmp_path / "f").read_bytes()) == (["f"], content)


def save(path: Path) -> None:
    """As the core writes: a model, of seed 9."""
    pynet.Network("input(3) dense(2) softmax", seed=9).save(path)


either_writer = pytest.mark.parametrize("write", [put, save])


@either_writer
@pytest.mark.parametrize(
    ("umask", "old", "expected"),
    [(0o022, None, 0o644), (0o077, None, 0o600), (0o077, 0o664, 0o664), (0o022, 0o600, 0o600)],
)
def test_mode(tmp_path: Path, umask: int, old: int | None, expected: int, write: Callable[[Path], None]) -> None:
    path = tmp_path / "f"
    if old is not None:
        path.touch()
        path.chmod(old)
    was = os.umask(umask)
    try:
        write(path)
    finally:
        os.umask(was)
    assert stat.S_IMODE(path.stat().st_mode) == expected


@either_writer
def test_link_stays_a_link(tmp_path: Path, write: Callable[[Path], None]) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "f").write_bytes(b"old")
    (tmp_path / "middle").symlink_to("real/f")
    (tmp_path / "link").symlink_to("middle")
    write(tmp_path / "link")
    write(tmp_path / "new")
    assert (tmp_path / "link").readlink() == Path("middle")
    assert not (tmp_path / "real" / "f").is_symlink()
    assert (tmp_path / "real" / "f").read_bytes() == (tmp_path / "new").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["link", "middle", "new", "real"]


@either_writer
def test_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None]) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("f"))
    assert os.listdir() == ["f"]


def test_the_longest_names(tmp_path: Path) -> None:
    """No name is refused because its temporary file would need a longer one."""
    put(tmp_path / ("n" * 255))
    assert os.listdir(tmp_path) == ["n" * 255]


def test_content_is_synchronised_before_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    fsync, rename = os.fsync, os.rename

    def note_fsync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else f"{os.fstat(descriptor).st_size} bytes"
        calls.append(f"fsync {kind}")
        fsync(descriptor)

    def note_rename(*args: str, **options: int) -> None:
        calls.append(f"rename to {args[1]}")
        rename(*args, **options)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "rename", note_rename)
    put(tmp_path / "f", b"12345")
    assert calls == ["fsync 5 bytes", "rename to f", "fsync folder"]


# ---- what is not ----


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    for error in (ZeroDivisionError, KeyboardInterrupt):
        with pytest.raises(error), replacing(path) as file:
            file.write(b"half")
            raise error
        assert (os.listdir(tmp_path), path.read_bytes()) == (["f"], b"old")


@pytest.mark.parametrize("name", ["fsync", "rename"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_disk_that_fails_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, name, fail)
        with pytest.raises(OSError, match=f"cannot write {path}: {os.strerror(code)}") as caught:
            put(path)
    assert caught.value.errno == code
    assert (os.listdir(tmp_path), path.read_bytes()) == (["f"], b"old")


def test_a_read_only_file(open_folder: Path) -> None:
    path = open_folder / "f"
    path.write_bytes(b"precious")
    path.chmod(0o444)
    with unprivileged(), refused(path, errno.EACCES, "it is write-protected"):
        put(path)
    assert (os.listdir(open_folder), path.read_bytes()) == (["f"], b"precious")


def test_a_read_only_folder(open_folder: Path) -> None:
    open_folder.chmod(0o555)
    with unprivileged(), refused(open_folder / "f", errno.EACCES, f"folder {open_folder}: Permission denied"):
        put(open_folder / "f")
    assert os.listdir(open_folder) == []


@either_writer
def test_no_regular_file(tmp_path: Path, write: Callable[[Path], None]) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "to-null").symlink_to("/dev/null")
    for path in (tmp_path / "pipe", Path("/dev/null"), Path("/dev/full"), tmp_path / "to-null"):
        with refused(path, errno.EINVAL, "it is not a regular file"):
            write(path)
    for path in (tmp_path, Path("/")):
        with refused(path, errno.EISDIR, "it is a folder"):
            write(path)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert sorted(os.listdir(tmp_path)) == ["pipe", "to-null"]


@either_writer
def test_links_to_nothing(tmp_path: Path, write: Callable[[Path], None]) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    with refused(tmp_path / "link", errno.ENOENT, "it is a link to a file that does not exist"):
        write(tmp_path / "link")
    with refused(tmp_path / "loop", errno.ELOOP, os.strerror(errno.ELOOP)):
        write(tmp_path / "loop")
    assert sorted(os.listdir(tmp_path)) == ["link", "loop"]


def test_no_such_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with refused(tmp_path / "none" / "f", errno.ENOENT, f"folder {tmp_path}/none: No such file or directory"):
        put(tmp_path / "none" / "f")
    for name, code in (("file/f", errno.ENOTDIR), ("n" * 256, errno.ENAMETOOLONG), ("é" * 128, errno.ENAMETOOLONG)):
        with refused(tmp_path / name, code, os.strerror(code)):
            put(tmp_path / name)
    assert os.listdir(tmp_path) == ["file"]


def test_checking_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"old")
    check_writable(tmp_path / "old")
    check_writable(tmp_path / "new")
    assert (os.listdir(tmp_path), (tmp_path / "old").read_bytes()) == (["old"], b"old")


# ---- temporary files ----


def test_a_planted_link_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link at a guessed temporary name is not followed."""
    monkeypatch.setattr(os, "urandom", bytes)
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    planted = tmp_path / f".pynet-{os.getpid()}-{'0' * 16}.tmp"
    planted.symlink_to("victim")
    with pytest.raises(FileExistsError, match=r"cannot write .*/f: folder .*: File exists"):
        put(tmp_path / "f")
    assert victim.read_bytes() == b"precious"
    assert sorted(os.listdir(tmp_path)) == [planted.name, "victim"]


def test_files_of_killed_processes_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes in different containers can have the same process id."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    left = [tmp_path / f".pynet-1-{i}.tmp" for i in range(1100)]
    for path in left:
        path.touch()
    for _ in range(3):
        put(tmp_path / "f")
    assert len(os.listdir(tmp_path)) == 1101


# ---- NUL ----

DOORS: dict[str, Callable[[Path], object]] = {
    "replacing": put,
    "check_writable": check_writable,
    "save": save,
    "load": pynet.load,
    "export_npz": lambda path: pynet.export_npz(pynet.Network("input(3) dense(2) softmax"), path),
    "import_npz": pynet.import_npz,
    "history": lambda path: History([1.0]).save(path.with_suffix(".csv")),
    "load history": History.load,
    "checkpoint": lambda path: fit_some(pynet.Checkpoint(path)),
    "resume": lambda path: fit_some(pynet.Checkpoint(path, resume=True)),
    "data": pynet.data.load,
    "figure": lambda path: pynet.figures.save(pynet.figures.curves(History([1.0])), path.with_suffix(".png")),
}


def fit_some(checkpoint: pynet.Checkpoint) -> None:
    x = np.zeros((4, 3), np.float32)
    pynet.Network("input(3) dense(2) softmax").fit(x, [0, 1, 0, 1], epochs=1, checkpoint=checkpoint)


@pytest.mark.parametrize("door", list(DOORS))
def test_a_path_is_not_cut_at_nul(tmp_path: Path, door: str) -> None:
    if door == "figure":
        pytest.importorskip("matplotlib")
    pynet.Network("input(3) dense(2) softmax", seed=7).save(tmp_path / "kept.safetensors")
    before = (tmp_path / "kept.safetensors").read_bytes()
    with pytest.raises(ValueError):
        DOORS[door](tmp_path / "kept.safetensors\0.png")
    assert os.listdir(tmp_path) == ["kept.safetensors"]
    assert (tmp_path / "kept.safetensors").read_bytes() == before


def test_the_message_shows_the_nul() -> None:
    with pytest.raises(ValueError, match=r"embedded null byte in the path 'a\\x00b'; accepted: names without NUL"):
        files.path_bytes("a\0b")


# ---- every writer is this one ----

WRITERS: dict[str, Callable[[Path], object]] = {
    "h.csv": lambda path: History([1.0], [0.5]).save(path),
    "h.json": lambda path: History([1.0], [0.5]).save(path),
    "m.npz": DOORS["export_npz"],
    "c.png": lambda path: pynet.figures.save(pynet.figures.curves(History([1.0])), path),
    "c.svg": lambda path: pynet.figures.save(pynet.figures.curves(History([1.0])), path),
    "m.safetensors": DOORS["save"],
}


@pytest.mark.parametrize("name", list(WRITERS))
def test_every_writer_keeps_links_and_modes(tmp_path: Path, name: str) -> None:
    if name.startswith("c."):
        pytest.importorskip("matplotlib")
    old, link = tmp_path / "old", tmp_path / name
    old.write_bytes(b"")
    old.chmod(0o600)
    link.symlink_to("old")
    WRITERS[name](link)
    assert link.is_symlink()
    assert stat.S_IMODE(old.stat().st_mode) == 0o600
    assert old.stat().st_size > 0
    pipe = tmp_path / f"pipe{Path(name).suffix}"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match=f"cannot write {pipe}: it is not a regular file"):
        WRITERS[name](pipe)
    assert sorted(os.listdir(tmp_path)) == sorted(["old", name, pipe.name])


def test_no_other_module_writes_files() -> None:
    """Only files.py opens files for writing."""
    package = Path(pynet.__file__).parent
    found = [
        f"{path.name}: {line.strip()}"
        for path in package.rglob("*.py")
        if path.name not in ("files.py", "cli.py")  # cli.py opens only os.devnull, for missing streams
        for line in path.read_text("utf-8").splitlines()
        if any(call in line for call in (".write_text(", ".write_bytes(", "mkstemp(", '"wb"', '"w"', "NamedTemporary"))
    ]
    assert found == []


def test_two_writers_at_once(tmp_path: Path) -> None:
    """Each has its own temporary file; the last one to finish is kept, complete."""
    path, both = tmp_path / "f", Barrier(2, timeout=60)

    def write(content: bytes) -> None:
        with replacing(path) as file:
            both.wait()
            file.write(content)
            both.wait()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, [b"a" * 1000, b"b" * 1000]))
    assert path.read_bytes() in (b"a" * 1000, b"b" * 1000)
    assert os.listdir(tmp_path) == ["f"]
