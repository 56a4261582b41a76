"""Entries of a folder of pictures that cannot be read: left out with a note, or named in the error."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

import numpy as np
import pytest
from helpers.data_files import write_pictures
from helpers.permissions import unprivileged
from PIL import Image

from pynet import data
from pynet.commands import predict, train
from pynet.data import DataError, folders


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A separate cache, which also accepts files that were just written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folders, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(folders, "MIN_AGE", -1.0)
    return tmp_path / "cache"


@pytest.fixture
def pictures(open_folder: Path) -> Path:
    """Eight pictures of each of two classes."""
    write_pictures(open_folder, 8)
    return open_folder


def dangling(path: Path) -> str:
    path.symlink_to("nowhere.png")
    return "No such file or directory"


def loop(path: Path) -> str:
    path.symlink_to(path.name)
    return "Too many levels of symbolic links"


def pipe(path: Path) -> str:
    os.mkfifo(path)
    return "an empty file"


def device(path: Path) -> str:
    path.symlink_to("/dev/zero")
    return "an empty file"


@pytest.mark.parametrize("entry", [dangling, loop, pipe, device])
def test_one_that_cannot_be_read_is_left_out(pictures: Path, entry: object, cache: Path) -> None:
    place = pictures / "a" / "odd.png"
    reason = entry(place)  # type: ignore[operator]
    for _ in range(2):  # the second time it is loaded from the cache
        found = data.load(pictures)
        assert (len(found.x_train) + len(found.x_test), len(found.skipped)) == (16, 1)
        assert found.skipped[0].startswith(f"{place}: ")
        assert reason in found.skipped[0]
    assert len(list(cache.glob("pictures/*.npz"))) == 1
    place.unlink()
    Image.fromarray(np.eye(28, dtype=np.uint8) * 255).save(place)
    found = data.load(pictures)
    assert (len(found.x_train) + len(found.x_test), found.skipped) == (17, ())


def test_the_commands_continue(pictures: Path) -> None:
    dangling(pictures / "a" / "odd.png")
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = train.main(["--data", str(pictures), "--epochs", "1", "--quiet", "--save", "m.safetensors"])
        named = predict.main([str(pictures / "a")])
    assert (status, named) == (
        0,
        1,
    )  # the picture was named on the command line, so it is an error; the others are predicted
    reason = f"{pictures}/a/odd.png: cannot be read: No such file or directory"
    assert err.getvalue() == f"pynet data: left out: {reason}\npynet predict: error: {reason}\n"
    assert out.getvalue().count(".png: ") == 8


def test_a_class_without_read_permission_is_named(pictures: Path) -> None:
    (pictures / "b").chmod(0o000)
    with unprivileged(), pytest.raises(DataError, match=f"^{pictures}/b: cannot be read: Permission denied$"):
        data.load(pictures)
    (pictures / "b").chmod(0o755)


def test_links_that_are_not_classes(pictures: Path) -> None:
    (pictures / "gone").symlink_to("nowhere")
    (pictures / "loop").symlink_to("loop")
    assert data.load(pictures).classes == ("a", "b")
