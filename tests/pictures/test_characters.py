"""Several characters in one picture: found, put together from their parts, and read in lines."""

from __future__ import annotations

import io

import numpy as np
import pytest
from helpers import forms, handwriting
from helpers.glyphs import MNIST, assert_same_glyph, seven
from PIL import Image, ImageDraw

from pynet.pictures.characters import characters
from pynet.pictures.decode import SCALE, read_picture
from pynet.pictures.glyph import prepare, prepare_lines
from pynet.pictures.preparation import Preparation


def ink(*strokes: list[tuple[float, float]], size: tuple[int, int] = (300, 120)) -> np.ndarray:
    image = Image.new("L", size)
    for stroke in strokes:
        ImageDraw.Draw(image).line(stroke, 255, 6)
    return np.asarray(image, np.float32) / 255


def found(*strokes: list[tuple[float, float]], size: tuple[int, int] = (300, 120)) -> list[list[tuple]]:
    """The left and the top of each character, line by line, in tens of pixels."""
    lines = characters(ink(*strokes, size=size))
    return [[(round(part.box[0] / 10), round(part.box[1] / 10)) for part in line] for line in lines]


def bar(x: float, top: float, bottom: float) -> list[tuple[float, float]]:
    return [(x, top), (x, bottom)]


def test_reading_order() -> None:
    """From top to bottom and left to right, also where a line slopes."""
    row = [bar(40 + 50 * i, 20 + 4 * i, 60 + 4 * i) for i in range(4)]
    below = [bar(40 + 50 * i, 80 + 4 * i, 110 + 4 * i) for i in range(3)]
    assert found(*below[::-1], *row[::-1], size=(300, 150)) == [
        [(4, 2), (9, 2), (14, 3), (19, 3)],
        [(4, 8), (9, 8), (14, 9)],
    ]


def test_parts_of_a_character_belong_together() -> None:
    five = [[(100, 50), (100, 90), (140, 90)], [(95, 36), (145, 36)]]  # with a bar that does not touch
    four = [[(200, 30), (200, 70), (240, 70)], bar(245, 30, 100)]
    assert found(bar(40, 30, 100), *five, *four) == [[(4, 3), (10, 3), (20, 3)]]
    assert found(*five) == [[(10, 3)]]


def test_halves_of_a_character_belong_together() -> None:
    """Halves are wide and digits are tall: two digits that are as near to each other are two lines."""
    upper, lower = [(40, 60), (40, 30), (90, 30), (90, 60)], [(40, 70), (40, 100), (90, 100), (90, 70)]
    assert found(upper, lower) == [[(4, 3)]]
    assert found(bar(40, 20, 60), bar(70, 20, 60), bar(40, 68, 108), bar(70, 68, 108)) == [
        [(4, 2), (7, 2)],
        [(4, 7), (7, 7)],
    ]


def test_specks_are_no_characters() -> None:
    assert found(bar(40, 30, 100), bar(90, 30, 100), bar(200, 60, 68)) == [[(4, 3), (9, 3)]]
    assert found(bar(40, 30, 100), bar(200, 60, 72)) == [[(4, 3)]]


def page(digits: str, lined: bool = False) -> Image.Image:
    """White paper of 1200 x 300 with digits 90 pixels tall."""
    sheet = np.full((300, 1200), 250.0)
    if lined:
        sheet[20::55] = sheet[21::55] = 120
    for i, digit in enumerate(digits):
        random = np.random.default_rng(int(digit))
        sheet = forms.written(sheet, int(digit), handwriting.MARKER, (120 + 160 * i, 150), 90, random)
    return Image.fromarray(sheet.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("lined", [False, True])
def test_each_is_prepared_as_if_it_were_alone(lined: bool) -> None:
    digits = "2380461"
    [line] = prepare_lines(page(digits, lined), MNIST)
    assert len(line) == len(digits)
    for i, (seen, (left, top, right, bottom)) in enumerate(line):
        alone = prepare(page(digits).crop((40 + 160 * i, 0, 200 + 160 * i, 300)), MNIST)
        assert alone is not None
        assert_same_glyph(seen.astype(float), 14 if lined else 12, alone.astype(float))
        assert 0 <= left - (40 + 160 * i) < right - (40 + 160 * i) <= 160
        assert 95 - 5 <= top < bottom <= 205 + 5


def test_boxes_are_in_pixels_of_the_file() -> None:
    """Boxes do not depend on the size to which the picture was reduced."""
    large, file = page("23").resize((4800, 1200)), io.BytesIO()
    large.save(file, "png")
    expected = np.array([character.box for character in prepare_lines(page("23"), MNIST)[0]])
    image = read_picture(file, 1200)
    assert image.info[SCALE] == 4
    assert np.abs(np.array([one.box for one in prepare_lines(image, MNIST)[0]]) / 4 - expected).max() <= 3


def test_small_characters_are_read_from_the_finer_picture() -> None:
    """25 characters of 22 pixels each, on a page of 1,200: 7 pixels are left of the width of 400."""
    sheet = Image.new("L", (1200, 600), 255)
    seven_small = seven((120, 90)).resize((48, 36)).crop((8, 4, 32, 34))
    for i in range(25):
        sheet.paste(seven_small, (100 + 200 * (i % 5), 60 + 100 * (i // 5)))
    lines = prepare_lines(sheet, MNIST)
    assert [len(line) for line in lines] == [5] * 5
    for line in lines:
        for character in line:
            assert_same_glyph(character.seen.astype(float), 9)


def test_one_character_is_prepared_as_before() -> None:
    for picture in list(handwriting.pictures(scenes=["mouse", "photo, shadow"]))[::5]:
        image = read_picture(io.BytesIO(picture.content))
        [[one]] = prepare_lines(image, MNIST)
        assert np.array_equal(one.seen, prepare(image, MNIST))


def test_a_picture_without_glyphs_is_one_input() -> None:
    image = page("23")
    for wanted in (Preparation(8, 9, style=None), Preparation(8, 8, color=True)):
        [[one]] = prepare_lines(image, wanted)
        assert one.seen.shape == wanted.shape
        assert one.box == (0, 0, 1200, 300)
    assert prepare_lines(Image.new("L", (90, 90), 255), MNIST) == []


def test_pages() -> None:
    """Lines and characters of drawn pages, some ruled, some in uneven light."""
    for text, content in forms.pages(count=6):
        lines = prepare_lines(read_picture(io.BytesIO(content), 1200), MNIST)
        assert [len(line) for line in lines] == [len(line) for line in text.split(" / ")]
