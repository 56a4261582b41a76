"""Printed lines, boxes and the edge of the page: they go, the strokes that cross them are mended, the glyph stays."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.glyphs import assert_same_glyph, mnist_like, seen, seven
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from pynet.pictures.ink import find_ink
from pynet.pictures.lines import pixels, printed_lines, without_lines

PLAIN = np.asarray(seven((200, 150), 9))
BOX = [[(12, 9), (188, 9)], [(12, 140), (188, 140)], [(12, 9), (12, 140)], [(188, 9), (188, 140)]]


def ruled(lines: list, width: int, tilt: float = 0, shade: int = 0, image: np.ndarray = PLAIN) -> Image.Image:
    """The picture with such lines below it, turned by so many degrees."""
    sheet = Image.new("L", (image.shape[1], image.shape[0]), 255)
    for line in lines:
        ImageDraw.Draw(sheet).line(line, shade, width)
    turned = np.asarray(sheet.rotate(tilt, Image.Resampling.BILINEAR, fillcolor=255))
    return Image.fromarray(np.minimum(turned, image))


def level(step: int, first: int) -> list:
    return [[(-100, y), (300, y)] for y in range(first - 2 * step, 300, step)]


@given(st.integers(2, 8), st.floats(-3, 3), st.sampled_from([0, 60]), st.booleans())
def test_a_box_goes(width: int, tilt: float, shade: int, pencil: bool) -> None:
    """Its lines are thinner or thicker than the stroke, as dark or much darker."""
    image = np.maximum(PLAIN, 110) if pencil else PLAIN
    assert_same_glyph(seen(ruled(BOX, width, tilt, shade, image)), 8)


@pytest.mark.parametrize("width", [3, 5])
def test_what_is_in_the_neighbouring_cells_goes(width: int) -> None:
    drawn = Image.fromarray(PLAIN.copy())
    for place in [(60, 144, 90, 152), (-6, 50, 5, 90), (194, 20, 204, 60)]:
        ImageDraw.Draw(drawn).ellipse(place, 0)
    cross = [[(0, 9), (200, 9)], [(0, 138), (200, 138)], [(12, 0), (12, 150)], [(188, 0), (188, 150)]]
    assert_same_glyph(seen(ruled(cross, width, image=np.asarray(drawn))), 6)


@pytest.mark.parametrize("tilt", [-2, 0, 1.5])
@pytest.mark.parametrize(("step", "first"), [(40, 8), (30, 30), (25, 12)])
def test_a_glyph_taller_than_the_distance_of_the_lines(step: int, first: int, tilt: float) -> None:
    """The 7 is 55 pixels tall; lines cross its stem, or touch its bar."""
    assert_same_glyph(seen(ruled(level(step, first), 2, tilt)), 8)


@pytest.mark.parametrize("degrees", [-3, -1, 1, 3])
@pytest.mark.parametrize("shade", [60, 150])
def test_a_page_askew_on_a_desk(degrees: float, shade: int) -> None:
    image = Image.fromarray(PLAIN).rotate(degrees, Image.Resampling.BILINEAR, fillcolor=shade)
    assert_same_glyph(seen(image), 12 if abs(degrees) == 3 else 8)  # the 7 is turned, too


@pytest.mark.parametrize("side", ["top", "bottom", "left", "right"])
@pytest.mark.parametrize("width", [2, 5])
def test_what_is_left_of_a_line_at_the_edge_goes(side: str, width: int) -> None:
    image = PLAIN.copy()
    rows = {"top": np.s_[:width], "bottom": np.s_[-width:], "left": np.s_[:, :width], "right": np.s_[:, -width:]}
    image[rows[side]] = 20
    assert_same_glyph(seen(Image.fromarray(image)), 4)


def test_a_crossing_stroke_is_mended() -> None:
    """At any lean up to 45 degrees, nearly as it was."""
    for lean in (-40, -20, 0, 20, 40):
        image = Image.new("L", (200, 200))
        ImageDraw.Draw(image).line([(100 - lean, 50), (100 + lean, 150)], 255, 9)
        stroke = np.asarray(image) > 0
        lined = stroke.copy()
        lined[97:102] = True
        found = printed_lines(lined)
        assert (len(found[0]), len(found[1])) == (1, 0)
        assert pixels(found, lined.shape)[97:102].all()
        mended = without_lines(lined, found)
        assert (mended ^ stroke)[97:102].sum() <= 0.35 * stroke[97:102].sum()
        assert np.array_equal(mended[:97], stroke[:97])


def test_straight_strokes_are_no_lines() -> None:
    """A square 0, a 1 from top to bottom beside a 0 as tall, the cross of an upright 4."""
    square, four = np.zeros((120, 120), bool), np.zeros((120, 120), bool)
    square[10:110, 10:110] = True
    square[16:104, 16:104] = False
    four[10:60, 20:26] = four[54:60, 20:100] = four[10:110, 70:76] = True
    sheet = Image.new("1", (120, 120))
    ImageDraw.Draw(sheet).ellipse((50, 2, 117, 117), outline=1, width=7)
    pair = np.array(sheet)
    pair[:, 20:27] = True
    for mask in (pair, four):
        assert printed_lines(mask) == ([], [])
    ink = find_ink(1 - square.astype(np.float32))
    assert ink is not None
    assert np.array_equal(ink > 0.5, square)


def test_lines_alone_are_what_there_is() -> None:
    found = mnist_like(ruled(BOX, 4, image=np.full_like(PLAIN, 255)))
    assert found is not None
    assert (found > 128).sum() > 40
