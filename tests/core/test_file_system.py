"""Saving and loading with errors of the file system: full disks, permissions, links, devices, other processes."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.permissions import unprivileged

import pynet


def make_net(text: str = "input(3) dense(2) relu dense(2) softmax", seed: int = 0) -> pynet.Network:
    return pynet.Network(text, seed=seed)


# ---- errors of the file system ----


@contextmanager
def raises_errno(code: int, message: str) -> Iterator[None]:
    with pytest.raises(OSError, match=message) as caught:
        yield
    assert caught.value.errno == code


def test_unwritable_folder(open_folder: Path) -> None:
    net = make_net()
    net.save(open_folder / "m")
    before = (open_folder / "m").read_bytes()
    os.chmod(open_folder, 0o555)
    with unprivileged(), raises_errno(errno.EACCES, r"cannot write .*/m: Permission denied"):
        net.save(open_folder / "m")
    assert (os.listdir(open_folder), (open_folder / "m").read_bytes()) == (["m"], before)


def test_read_only_file(open_folder: Path) -> None:
    path = open_folder / "m"
    path.write_bytes(b"precious")
    os.chmod(path, 0o444)
    with unprivileged(), raises_errno(errno.EACCES, r"cannot write .*/m: Permission denied"):
        make_net().save(path)
    assert (os.listdir(open_folder), path.read_bytes()) == (["m"], b"precious")


def test_unreadable_file(open_folder: Path) -> None:
    path = open_folder / "m"
    make_net().save(path)
    os.chmod(path, 0)
    with unprivileged(), raises_errno(errno.EACCES, r"cannot read .*/m: Permission denied"):
        pynet.load(path)


@pytest.mark.parametrize("old", [None, b"precious"])
def test_file_size_limit(tmp_path: Path, old: bytes | None) -> None:
    path = tmp_path / "m"
    if old is not None:
        path.write_bytes(old)
    net = make_net("input(100) dense(100)")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))  # Python ignores SIGXFSZ, so write() fails with EFBIG
    try:
        with raises_errno(errno.EFBIG, "cannot write .*/m: File too large"):
            net.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == ({} if old is None else {"m": old})


def test_full_disk(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system takes root")
    try:
        make_net("input(100) dense(80)").save(tmp_path / "m")  # 32 kB: old and new file do not both fit
        before = (tmp_path / "m").read_bytes()
        with raises_errno(errno.ENOSPC, "cannot write .*/m: No space left on device"):
            make_net("input(100) dense(120)").save(tmp_path / "m")
        assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"m": before}
        assert pynet.load(tmp_path / "m").spec == "input(100) dense(80)"
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_reading_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # it must not wait for a writer
    for path in (tmp_path / "pipe", Path("/dev/full"), Path("/dev/null")):
        with raises_errno(errno.EINVAL, f"cannot read {path}: it is not a regular file"):
            pynet.load(path)
    for path in (tmp_path, Path("/")):
        with raises_errno(errno.EISDIR, "cannot read .*: it is a folder"):
            pynet.load(path)


def test_no_such_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path, code in (("none/m", errno.ENOENT), ("file/m", errno.ENOTDIR), ("n" * 300, errno.ENAMETOOLONG)):
        with raises_errno(code, "cannot write"):
            make_net().save(tmp_path / path)
        with raises_errno(code, "cannot read"):
            pynet.load(tmp_path / path)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("end", ["a", "aa"])
def test_long_path_keeps_the_reason(tmp_path: Path, end: str) -> None:
    with raises_errno(errno.ENOENT, rf"cannot read \.\.\.é+{end}: No such file or directory$"):
        pynet.load(tmp_path / ("é" * 100 + end))


# ---- company ----


def test_leftover_of_a_crash(tmp_path: Path) -> None:
    """The temporary file of an earlier process with the same number is neither used nor removed."""
    leftover = tmp_path / f".pynet-{os.getpid()}-0.tmp"
    leftover.write_bytes(b"left")
    make_net(seed=2).save(tmp_path / "m")
    assert (leftover.read_bytes(), pynet.load(tmp_path / "m").seed) == (b"left", 2)


def test_many_savers_and_a_reader(tmp_path: Path) -> None:
    """A reader sees one of the models at any time, complete."""
    path = tmp_path / "m"
    nets = [make_net("input(50) dense(50)", seed) for seed in range(4)]
    expected = {net.seed: net.weights_sha256() for net in nets}
    nets[0].save(path)
    errors: list[Exception] = []

    def save(net: pynet.Network) -> None:
        try:
            for _ in range(10):
                net.save(path)
        except Exception as error:
            errors.append(error)

    savers = [threading.Thread(target=save, args=[net]) for net in nets]
    for saver in savers:
        saver.start()
    reads = 0
    while reads < 20 or any(saver.is_alive() for saver in savers):
        net = pynet.load(path)
        assert net.weights_sha256() == expected[net.seed]
        reads += 1
    for saver in savers:
        saver.join()
    assert (errors, os.listdir(tmp_path)) == ([], ["m"])
