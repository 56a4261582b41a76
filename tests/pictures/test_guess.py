"""The preparation that pynet chooses for a folder of pictures: glyphs or whole pictures, colour, size, background."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pynet._ffi import Array
from pynet.pictures.glyph import prepare
from pynet.pictures.guess import background_of, guess, look, other_kind
from pynet.pictures.preparation import Preparation

RNG = np.random.default_rng(0)


def scene(i: int, side: int = 32) -> Image.Image:
    """Colours that run into each other, and something before them."""
    image = Image.fromarray(RNG.integers(0, 256, (5, 5, 3)).astype(np.uint8)).resize(
        (side, side), Image.Resampling.BICUBIC
    )
    x, y = RNG.uniform(0.2, 0.6, 2) * side
    ImageDraw.Draw(image).ellipse((x, y, x + side / 3, y + side / 3), tuple(RNG.integers(0, 256, 3).tolist()))
    return image


def letter(i: int, pen: str = "black", paper: str = "white", side: int = 60) -> Image.Image:
    image = Image.new("RGB", (side, side), paper)
    x, y = RNG.integers(8, 14, 2).tolist()
    ends = [(x, y, x + 30, y + 38), (x, y + 38, x + 30, y)][: 1 + i % 2]
    for end in ends:
        ImageDraw.Draw(image).line(end, pen, 5)
    return image


def garment(i: int, shade: int = 180, ground: int = 0, side: int = 28) -> Image.Image:
    """A filled outline, as large as the picture, on an even background."""
    image = Image.new("L", (side, side), ground)
    width = 6 + i % 4
    ImageDraw.Draw(image).rectangle((14 - width, 2, 14 + width, 25), shade)
    ImageDraw.Draw(image).rectangle((3, 3, 24, 7 + i % 3), shade)
    return image


PENS = ("red", "blue")


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        (scene, Preparation(32, 32, color=True, style=None)),
        (lambda i: scene(i, 150), Preparation(32, 32, color=True, style=None)),
        (lambda i: scene(i, 24), Preparation(24, 24, color=True, style=None)),
        (lambda i: scene(i).convert("L"), Preparation(32, 32, style=None)),
        (lambda i: scene(i).convert("L").convert("RGB"), Preparation(32, 32, style=None)),
        (letter, Preparation(28, 28)),
        (lambda i: letter(i, "white", "black"), Preparation(28, 28)),
        (lambda i: letter(i, "navy", "beige"), Preparation(28, 28)),
        (lambda i: letter(i, PENS[i % 3 % 2]), Preparation(28, 28)),  # two pens, in both classes
        (lambda i: letter(i, PENS[i % 2]), Preparation(28, 28, color=True)),  # a pen for each class
        (garment, Preparation(28, 28, style=None, background="dark")),
        (lambda i: garment(i, 90, 255), Preparation(28, 28, style=None, background="light")),
        (lambda i: garment(i, 120, 255 * (i % 4 == 0), 64), Preparation(32, 32, style=None, background="dark")),
    ],
)
def test_guesses(drawn: Callable[[int], Image.Image], expected: Preparation) -> None:
    labels = [i % 2 for i in range(40)]
    assert guess([look(drawn(i)) for i in range(40)], labels) == expected


def test_a_background_is_inverted_where_it_is_the_other() -> None:
    dark = Preparation(28, 28, style=None, background="dark")
    light = Preparation(28, 28, style=None, background="light")
    on_black, on_white = garment(1, 200, 0), garment(1, 55, 255)
    wanted = np.asarray(on_black)
    for picture in (on_black, on_white):
        seen = prepare(picture, dark)
        assert seen is not None
        np.testing.assert_array_equal(seen, wanted)
        np.testing.assert_array_equal(prepare(picture, light), 255 - wanted)
    np.testing.assert_array_equal(prepare(on_white, dark, invert=False), np.asarray(on_white))
    np.testing.assert_array_equal(prepare(on_black, dark, invert=True), np.asarray(on_white))
    grey = scene(0).convert("L")  # no even background: it stays as it is
    np.testing.assert_array_equal(prepare(grey, Preparation(32, 32, style=None, background="dark")), np.asarray(grey))


@pytest.mark.parametrize("form", [np.uint8, np.float32])
def test_background_of_arrays(form: type) -> None:
    scale = 1 if form is np.uint8 else 255

    def arrays(ground: int) -> Array:
        return (np.stack([np.asarray(garment(i, 120, ground)) for i in range(12)]) / scale).astype(form)

    assert (background_of(arrays(0)), background_of(arrays(255)), background_of(arrays(130))) == ("dark", "light", None)


@pytest.mark.parametrize(
    ("picture", "wanted", "said"),
    [
        (letter(1), Preparation(28, 28), None),
        (letter(1, "white", "black"), Preparation(28, 28), None),
        (scene(0), Preparation(32, 32, color=True, style=None), None),
        (garment(0), Preparation(28, 28, style=None, background="dark"), None),
        (letter(1), Preparation(32, 32, color=True, style=None), "it looks like a glyph on paper"),
        (scene(0).convert("L"), Preparation(32, 32, color=True, style=None), "a grey picture"),
        (
            Image.fromarray(RNG.integers(0, 256, (40, 40)).astype(np.uint8)),
            Preparation(28, 28),
            "no glyph on even paper",
        ),
    ],
)
def test_pictures_of_another_kind(picture: Image.Image, wanted: Preparation, said: str | None) -> None:
    found = other_kind(picture, wanted)
    assert found == said or (found is not None and said is not None and found.startswith(said))


def test_notes_of_a_background() -> None:
    for preparation in (Preparation(28, 28), Preparation(28, 28, style=None, background="light")):
        assert Preparation.from_note(preparation.note()) == preparation
    assert "background" not in Preparation(28, 28).note()  # as earlier versions wrote and read it
    with pytest.raises(ValueError, match="damaged"):
        Preparation.from_note('{"height": 28, "width": 28, "background": "pink"}')
