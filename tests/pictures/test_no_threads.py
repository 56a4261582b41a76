"""Decoding where the system starts no more threads, and listing where it shows no files."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from helpers.data_files import write_pictures
from helpers.permissions import unprivileged

import pynet
from pynet.commands import predict, train
from pynet.data import DataError, folders
from pynet.pictures import decode
from pynet.pictures.decode import in_parallel, picture_files


@pytest.fixture
def pictures(open_folder: Path) -> Path:
    """Six pictures of each of two classes."""
    write_pictures(open_folder, 6)
    return open_folder


@pytest.fixture(params=[0, 1, 3])
def started(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """So many threads can start; every picture is large enough for one."""
    start, left = threading.Thread.start, request.param

    def limited(thread: threading.Thread) -> None:
        nonlocal left
        if not left:
            raise RuntimeError("can't start new thread")
        left -= 1
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    monkeypatch.setattr(decode, "LARGE", 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    return int(request.param)


def test_the_work_is_done(pictures: Path, started: int) -> None:
    given = picture_files(pictures)
    assert list(in_parallel(lambda path: path.name, given)) == [path.name for path in given]


def test_the_commands_go_on(
    pictures: Path, started: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folders, "cache_folder", lambda: tmp_path / "cache")
    options = ["--epochs", "1", "--quiet", "--save", "m.safetensors"]
    assert train.main(["--data", str(pictures), *options]) == 0
    assert predict.main([str(pictures)]) == 0
    out, err = capsys.readouterr()
    assert (out.count(".png: "), err) == (12, "")


def test_an_error_of_the_work_is_not_taken_for_a_missing_thread(pictures: Path) -> None:
    def work(path: Path) -> None:
        raise RuntimeError(path.name)

    with pytest.raises(RuntimeError, match=r"^0\.png$"):
        list(in_parallel(work, picture_files(pictures)))


def test_a_folder_within_that_may_not_be_listed_is_named(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    hidden = pictures / "b" / "more"
    hidden.mkdir(mode=0o000)
    pynet.Network("input(784) dense(2) softmax").save(pictures / "m.safetensors")
    with unprivileged():
        with pytest.raises(DataError, match=f"^{hidden}: cannot be read: Permission denied$"):
            pynet.data.load(pictures)
        status = predict.main(["--model", str(pictures / "m.safetensors"), str(pictures), str(pictures / "a")])
    hidden.chmod(0o755)
    out, err = capsys.readouterr()
    assert (status, out.count(".png: ")) == (1, 6)  # those of a/ are named all the same
    assert err == f"pynet predict: error: {hidden}: cannot be read: Permission denied\n"
