"""Folders of pictures as data sets: layout, classes, files that are left out, the cache, and training on them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.command import results, run
from helpers.data_files import assert_sound, write_idx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

import pynet
from pynet import data
from pynet.data import DataError, folders
from pynet.pictures.decode import read_picture
from pynet.pictures.glyph import prepare
from pynet.pictures.preparation import Preparation

SHAPES: dict[str, Callable[[ImageDraw.ImageDraw, float], None]] = {
    "bar": lambda brush, at: brush.line([30 + at, 12, 34, 66], 0, 6),
    "ring": lambda brush, at: brush.ellipse([16 + at, 16, 62, 62], None, 0, 6),
    "vee": lambda brush, at: brush.line([14, 14 + at, 40, 64, 66, 14], 0, 6, joint="curve"),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A separate cache, which also accepts files that were just written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folders, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(folders, "MIN_AGE", -1.0)
    return tmp_path / "cache" / "pictures"


def draw(path: Path, shape: str, at: float = 0, side: int = 80) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("L", (80, 80), 255)
    SHAPES[shape](ImageDraw.Draw(image), at)
    image.resize((side, side)).save(path)


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    """Ten pictures of each of three shapes, in different formats."""
    folder = tmp_path / "shapes"
    for shape in SHAPES:
        for i in range(10):
            draw(folder / shape / f"{i}.{('png', 'jpg', 'bmp')[i % 3]}", shape, i)
    return folder


def test_classes_are_the_sub_folders(shapes: Path) -> None:
    found = data.load(shapes)
    assert_sound(found)
    assert found.classes == ("bar", "ring", "vee")
    assert found.x_train.shape == (24, 28, 28)
    assert np.bincount(found.y_test).tolist() == [2, 2, 2]
    assert found.name == "shapes"
    assert found.source == f"30 pictures in {shapes}, a fifth of each class for testing"
    assert found.pictures == Preparation(28, 28)
    assert found.skipped == ()
    assert len(set(found.y_train[:8].tolist())) == 3  # shuffled: the first samples have all classes
    pictures = [prepare(read_picture(path), Preparation(28, 28)) for path in sorted((shapes / "ring").iterdir())]
    rings = np.concatenate([found.x_train[found.y_train == 1], found.x_test[found.y_test == 1]])
    assert sorted(x.tobytes() for x in rings) == sorted(x.tobytes() for x in pictures)


def test_train_and_test_above(shapes: Path, tmp_path: Path) -> None:
    folder = tmp_path / "divided"
    folder.mkdir()
    shapes.rename(folder / "train")
    for shape in ("vee", "bar"):
        draw(folder / "test" / shape / "a.png", shape, 3)
    found = data.load(folder)
    assert (len(found.x_train), len(found.x_test)) == (30, 2)
    assert sorted(found.y_test.tolist()) == [0, 2]
    draw(folder / "test" / "star" / "a.png", "vee")
    with pytest.raises(DataError, match="star: a class that is not in"):
        data.load(folder)


def draw_classes(folder: Path, count: int = 3) -> None:
    for shape in ("bar", "ring"):
        for i in range(count):
            draw(folder / shape / f"{i}.png", shape, i)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "test"),
        ("training", "testing"),
        ("Train", "Test"),
        ("TRAINING", "Testing"),
        ("seg_train", "seg_test"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("training_set", "test_set"),
        ("trainset", "testset"),
        ("Training Images", "Test Images"),
        ("asl_alphabet_train", "asl_alphabet_test"),
        ("train", "val"),
        ("train", "valid"),
        ("Train", "Validation"),
        ("training", "dev"),
        ("train-data", "eval"),
    ],
)
def test_names_of_the_parts(tmp_path: Path, train: str, test: str) -> None:
    draw_classes(tmp_path / "set" / train)
    draw_classes(tmp_path / "set" / test, 1)
    found = data.load(tmp_path / "set")
    assert found.classes == ("bar", "ring")
    assert (len(found.x_train), len(found.x_test)) == (6, 2)
    assert f"{test.partition('/')[0]}/ for testing" in found.source


def test_validation_beside_a_test_set_is_for_training(tmp_path: Path) -> None:
    for part, count in (("train", 3), ("val", 2), ("test", 1)):
        draw_classes(tmp_path / "set" / part, count)
    found = data.load(tmp_path / "set")
    assert found.classes == ("bar", "ring")
    assert (len(found.x_train), len(found.x_test)) == (10, 2)
    assert "val/ also for training" in found.source
    draw(tmp_path / "set" / "val" / "vee" / "a.png", "vee")
    with pytest.raises(DataError, match=r"vee: a class that is not in .*train, which has bar, ring"):
        data.load(tmp_path / "set")


def test_folders_without_labels_are_left_out(tmp_path: Path) -> None:
    draw_classes(tmp_path / "set" / "seg_train", 5)
    draw(tmp_path / "set" / "seg_pred" / "a.png", "bar")
    draw(tmp_path / "set" / "test1" / "a.png", "bar")
    found = data.load(tmp_path / "set")
    assert (found.classes, len(found.x_train), len(found.x_test)) == (("bar", "ring"), 8, 2)
    assert "seg_pred/ left out" in found.source and "test1/ left out" in found.source


@pytest.mark.parametrize("around", ["letters", "a/b/c", "letters/letters", "test"])
def test_a_data_set_inside_another_folder(tmp_path: Path, around: str) -> None:
    draw_classes(tmp_path / "unzipped" / around)
    draw(tmp_path / "unzipped" / "__MACOSX" / "letters" / "._a.png", "bar")
    draw(tmp_path / "unzipped" / ".thumbnails" / "a.png", "bar")
    (tmp_path / "unzipped" / "readme.txt").write_text("about it")
    inner = tmp_path / "unzipped" / around
    with pytest.raises(
        DataError, match=f"this folder only contains another one, which has the classes bar, ring; accepted: {inner}$"
    ):
        data.load(tmp_path / "unzipped")
    (inner / "__MACOSX").mkdir()
    (inner / ".DS_Store").mkdir()
    assert data.load(inner).classes == ("bar", "ring")


def test_train_alone_is_split(tmp_path: Path) -> None:
    draw_classes(tmp_path / "set" / "Train", 5)
    (tmp_path / "set" / "__MACOSX" / "Train" / "bar").mkdir(parents=True)
    found = data.load(tmp_path / "set")
    assert (found.classes, len(found.x_train), len(found.x_test)) == (("bar", "ring"), 8, 2)


def test_classes_that_are_called_like_parts(tmp_path: Path) -> None:
    """Folders named train or test are classes if they hold pictures, beside other classes."""
    for name in ("bus", "train", "test"):
        draw(tmp_path / "vehicles" / name / "a.png", "bar")
        draw(tmp_path / "vehicles" / name / "b.png", "ring")
    assert data.load(tmp_path / "vehicles").classes == ("bus", "test", "train")


def test_ambiguous_parts(tmp_path: Path) -> None:
    for part in ("train", "test"):
        draw(tmp_path / "unlabelled" / part / "a.png", "bar")
    with pytest.raises(
        DataError, match="test/ and train/ have no sub-folders; accepted: a sub-folder of pictures for each class"
    ):
        data.load(tmp_path / "unlabelled")
    for part in ("test", "val"):
        draw_classes(tmp_path / "untrained" / part)
    with pytest.raises(DataError, match="are test/, val/ classes, or parts of a data set"):
        data.load(tmp_path / "untrained")
    for part in ("train", "training"):
        draw_classes(tmp_path / "twice" / part)
    with pytest.raises(DataError, match="train/ and training/ are both for train; accepted: one of them"):
        data.load(tmp_path / "twice")
    for part in ("train", "more"):
        draw_classes(tmp_path / "mixed" / part)
    with pytest.raises(DataError, match="are more/, train/ classes, or parts of a data set"):
        data.load(tmp_path / "mixed")


def test_circular_links_end(tmp_path: Path) -> None:
    (tmp_path / "circle").mkdir()
    (tmp_path / "circle" / "again").symlink_to(tmp_path / "circle")
    with pytest.raises(DataError, match="circle: this folder only contains another one, which has the classes again"):
        data.load(tmp_path / "circle")


def test_order_of_classes(tmp_path: Path) -> None:
    for name in ("10", "9", "b", "a", "1"):
        draw(tmp_path / "numbers" / name / "x.png", "bar")
        draw(tmp_path / "numbers" / name / "y.png", "bar")
    (tmp_path / "numbers" / ".git").mkdir()
    assert data.load(tmp_path / "numbers").classes == ("1", "9", "10", "a", "b")


@pytest.mark.parametrize(
    ("preparation", "shape"),
    [
        (Preparation(16, 16), (16, 16)),
        (Preparation(32, 32, color=True), (3, 32, 32)),
        (Preparation(20, 20, style=None), (20, 20)),
        (Preparation(12, 12, color=True, style=None), (3, 12, 12)),
    ],
)
def test_preparations(shapes: Path, preparation: Preparation, shape: tuple[int, ...]) -> None:
    found = data.load(shapes, preparation)
    assert found.x_train.shape[1:] == shape
    assert found.x_train.dtype == np.uint8
    assert found.pictures == preparation


def test_bad_files_are_left_out_and_counted(shapes: Path) -> None:
    (shapes / "bar" / "cut.png").write_bytes((shapes / "bar" / "0.png").read_bytes()[:60])
    (shapes / "ring" / "text.jpg").write_text("no picture")
    (shapes / "ring" / "notes.txt").write_text("not even called a picture")
    Image.new("L", (50, 50), 255).save(shapes / "vee" / "blank.png")
    found = data.load(shapes)
    assert len(found.x_train) + len(found.x_test) == 30
    assert "33 pictures in" in found.source and "3 of them left out" in found.source
    assert [line.split(": ")[0] for line in found.skipped] == [
        str(shapes / name) for name in ("bar/cut.png", "ring/text.jpg", "vee/blank.png")
    ]


def test_refusals(tmp_path: Path, shapes: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="neither the four IDX files of a data set nor a sub-folder of pictures"):
        data.load(tmp_path / "empty")
    (shapes / "star").mkdir()
    with pytest.raises(DataError, match="star: this folder would be a class, but holds no pictures"):
        data.load(shapes)
    (shapes / "star" / "a.png").write_text("no picture")
    assert data.load(shapes).classes == ("bar", "ring", "star", "vee")
    (tmp_path / "bad" / "a").mkdir(parents=True)
    (tmp_path / "bad" / "a" / "a.png").write_text("no picture")
    with pytest.raises(DataError, match="none of 1 pictures can be used"):
        data.load(tmp_path / "bad")
    with pytest.raises(DataError, match="not a folder of pictures"):
        data.load(write_idx(tmp_path / "idx"), Preparation(28, 28))


# ---- the cache -------------------------------------------------------------------------------------------------------


def arrays(found: data.Dataset) -> list[bytes]:
    return [a.tobytes() for a in (found.x_train, found.y_train, found.x_test, found.y_test)]


def never(*_: object) -> None:
    raise AssertionError("prepared again")


def test_the_cache_is_used(shapes: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shapes / "ring" / "text.jpg").write_text("no picture")
    first = data.load(shapes)
    assert len(list(cache.iterdir())) == 1
    monkeypatch.setattr(folders, "_prepared", never)
    second = data.load(shapes)
    assert arrays(first) == arrays(second)
    assert (first.skipped, first.source, first.classes) == (second.skipped, second.source, second.classes)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9)), min_size=1, max_size=4))
def test_the_cache_is_never_wrong(tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]) -> None:
    """After any change of the folder, the result is the same as without a cache."""
    folder = tmp_path_factory.mktemp("changing") / "set"
    for shape in ("bar", "ring"):
        for i in range(4):
            draw(folder / shape / f"{i}.png", shape, i, side=40)
    data.load(folder)
    for kind, i in changes:
        path = folder / ("bar", "ring")[i % 2] / f"{i // 2 % 4}.png"
        if kind == 0:
            draw(path, "vee", i, side=40)
        elif kind == 1:
            path.unlink(missing_ok=True)
        elif kind == 2 and path.exists():
            path.rename(path.with_name(f"new-{i}.png"))
        elif kind == 3:
            draw(folder / "star" / f"{i}.png", "bar", i, side=40)
        elif kind == 4 and path.exists():  # other content, with the same size and modification time
            before = path.stat()
            path.write_bytes(path.read_bytes()[::-1])
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        elif kind == 5 and path.exists():
            path.write_bytes(path.read_bytes()[:50])
        elif kind == 6 and path.exists():
            (folder / "star").mkdir(exist_ok=True)
            path.rename(folder / "star" / path.name)

    def outcome() -> object:
        try:
            found = data.load(folder)
        except DataError as error:
            return str(error)
        return arrays(found), found.classes, found.skipped

    cached = outcome()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folders, "_cached", lambda *_: None)
        assert outcome() == cached


def test_a_damaged_cache_is_made_again(shapes: Path, cache: Path) -> None:
    before = arrays(data.load(shapes))
    [place] = cache.iterdir()
    whole = place.read_bytes()
    for damaged in (b"", whole[:200], whole[:-300], b"x" * len(whole)):
        place.write_bytes(damaged)
        assert arrays(data.load(shapes)) == before
        assert place.read_bytes() == whole


def test_young_files_are_not_cached(shapes: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "MIN_AGE", 60.0)
    data.load(shapes)
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_is_no_harm(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(folders, "cache_folder", lambda: tmp_path / "file")
    assert len(data.load(shapes).x_train) == 24


# ---- from the folder to the prediction -------------------------------------------------------------------------------


def test_train_and_predict(shapes: Path, tmp_path: Path) -> None:
    """The model stores its classes and the preparation of its pictures."""
    found = results("--data", shapes, "--size", "16", "--epochs", "30", "--batch-size", "4")
    assert found["dataset"] == "shapes"
    assert found["test_accuracy"] == 1
    assert found["net"].startswith("input(256)")
    net = pynet.load("shapes.safetensors")
    assert net.classes == ["bar", "ring", "vee"]
    assert json.loads(net.meta["pictures"]) == {"height": 16, "width": 16, "color": False, "style": "mnist"}
    draw(tmp_path / "new.png", "ring", 4.5)
    assert pynet.predict_image("new.png").prediction == "ring"
    again = results("--load", "shapes.safetensors", "--data", shapes, "--epochs", "1")
    assert again["net"] == found["net"]


def test_colour_and_whole_pictures(shapes: Path) -> None:
    options = ("--data", shapes, "--size", "8", "--color", "--no-center", "--epochs", "1")
    assert results(*options)["net"].startswith("input(192)")
    assert json.loads(pynet.load("shapes.safetensors").meta["pictures"])["style"] is None
    assert pynet.predict_image(shapes / "bar" / "0.png").seen.shape == (3, 8, 8)


def test_files_left_out_are_reported(shapes: Path) -> None:
    for i in range(12):
        (shapes / "bar" / f"bad{i}.png").write_text("no picture")
    done = run("--data", shapes, "--epochs", "1")
    assert done.status == 0
    assert done.err.count("left out: ") == 11
    assert done.err.endswith("left out: 2 more\n")
    assert "12 of them left out" in done.out


@pytest.mark.parametrize("options", ["--size 3", "--size x", "--size 28", "--color --dataset digits", "--no-center"])
def test_usage(options: str) -> None:
    done = run(*options.split())
    assert (done.status, done.out) == (2, "")
