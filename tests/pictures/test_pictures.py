"""Pictures: decoding every format and mode, what is refused, finding the ink, fitting the glyph, the preparation."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
from helpers.glyphs import EXPECTED, MNIST, assert_same_glyph, content, mnist_like, seen, seven
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageDraw

from pynet import data
from pynet.data import DataError
from pynet.pictures.decode import CUT_SHORT, flat, in_parallel, picture_files, read_picture
from pynet.pictures.glyph import is_set, prepare, set_glyph
from pynet.pictures.ink import find_ink, is_dark_on_light
from pynet.pictures.pixels import components
from pynet.pictures.preparation import STYLES, Preparation

FORMATS = ["png", "jpeg", "bmp", "gif", "webp", "tiff", "ppm"]


# ---- formats and modes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_formats(form: str) -> None:
    assert_same_glyph(seen(seven(), form))


OLD_PILLOW = pytest.mark.skipif(int(PIL.__version__.split(".")[0]) < 13, reason="Pillow cannot read its own YCbCr TIFF")
YCBCR = pytest.param("YCbCr", marks=OLD_PILLOW)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", YCBCR, "I", "I;16", "F"])
def test_modes(mode: str) -> None:
    image = seven()
    if mode in ("I", "I;16"):
        image = Image.fromarray(np.asarray(image).astype({"I": np.int32, "I;16": np.uint16}[mode]) * 257)
    elif mode == "F":
        image = Image.fromarray(np.asarray(image, np.float32) / 255)
    else:
        image = image.convert(mode)
    assert image.mode == mode
    assert_same_glyph(seen(image, "tiff" if mode in ("CMYK", "YCbCr", "F", "I") else "png"), 5)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_sixteen_bits_of_which_few_are_used(bits: int) -> None:
    values = np.asarray(seven(), np.uint32) * (2**bits - 1) // 255
    assert_same_glyph(seen(Image.fromarray(values.astype(np.uint16))), 5)


@pytest.mark.parametrize("shade", ["black", "white"])
@pytest.mark.parametrize("below", ["black", "white", "red"])
def test_transparent(shade: str, below: str) -> None:
    """Only the alpha channel holds the glyph; what colour the invisible pixels have says nothing."""
    ink = Image.eval(seven(), lambda v: 255 - v)
    image = Image.new("RGBA", ink.size, below)
    image.paste(Image.new("RGBA", ink.size, shade), mask=ink)
    image.putalpha(ink)
    assert_same_glyph(seen(image), 5)


def test_palette_with_a_transparent_colour() -> None:
    image = seven().convert("P")
    assert_same_glyph(seen(image, "gif", transparency=255))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int) -> None:
    T = Image.Transpose
    back = {2: T.FLIP_LEFT_RIGHT, 3: T.ROTATE_180, 4: T.FLIP_TOP_BOTTOM, 5: T.TRANSPOSE, 6: T.ROTATE_90}
    back |= {7: T.TRANSVERSE, 8: T.ROTATE_270}
    image = seven()
    stored = image.transpose(back[orientation]) if orientation > 1 else image
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert_same_glyph(seen(stored, "jpeg", exif=exif, quality=95))


def test_first_picture_of_an_animation() -> None:
    others = [Image.new("L", (120, 90), 255)] * 2
    assert_same_glyph(seen(seven(), "gif", save_all=True, append_images=others))


@pytest.mark.parametrize("scale", [1, 3, 12])
@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_size_does_not_matter(scale: int, form: str) -> None:
    large = seven().resize((120 * scale, 90 * scale), Image.Resampling.BICUBIC)
    assert_same_glyph(seen(large, form), 5)
    assert max(read_picture(content(large, form)).size) <= 400


# ---- what is refused -------------------------------------------------------------------------------------------------


def refusal(source: Any) -> str:
    with pytest.raises(DataError) as caught:
        list(in_parallel(read_picture, [source]))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def png_of(width: int, height: int) -> bytes:
    """A PNG that says it is so large, and holds next to nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rows + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(10_000, 10_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_decompression_bomb(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of(*size))
    assert "pictures of up to 89 million pixels are accepted" in refusal(path)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kept", [0.1, 0.4, 0.8])
def test_truncated(tmp_path: Path, form: str, kept: float) -> None:
    path = tmp_path / "cut"
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8))
    whole = content(noise, form).getvalue()
    path.write_bytes(whole[: int(kept * len(whole))])
    assert str(path) in refusal(path)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_lacks_its_end_is_read_in_part(tmp_path: Path, mode: str, progressive: bool) -> None:
    path = tmp_path / "cut.jpg"
    image = seven((120, 90)).convert(mode)
    image.paste(255, (0, 80, 120, 90))
    whole = content(image.crop((0, 0, 120, 88)), "jpeg", progressive=progressive, quality=95).getvalue()
    for kept in (len(whole) - 1, len(whole) - 2, len(whole) - 9):
        path.write_bytes(whole[:kept])
        assert "truncated" in refusal(path)
        found = read_picture(path, partly=True)
        assert found.info[CUT_SHORT].startswith("the file is cut short")
        x = mnist_like(found)
        assert x is not None
        assert_same_glyph(x.astype(float), 5)
    path.write_bytes(whole[: len(whole) // 3])
    if not progressive:  # whose first pass has all rows
        with pytest.raises(DataError, match="truncated"):
            read_picture(path, partly=True)
    assert CUT_SHORT not in read_picture(io.BytesIO(whole), partly=True).info


def test_no_picture(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "notes.png").write_text("a text")
    (tmp_path / "page.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    assert "an empty file" in refusal(tmp_path / "empty.png")
    assert "no picture that is known here" in refusal(tmp_path / "notes.png")
    assert "no picture that is known here" in refusal(tmp_path / "page.eps")
    assert "No such file" in refusal(tmp_path / "away.png")
    assert "is a folder" in refusal(tmp_path)


def test_numbers_that_are_not_finite() -> None:
    assert "not finite" in refusal(content(Image.fromarray(np.full((9, 9), np.nan, np.float32)), "tiff"))


@given(st.binary(max_size=300), st.sampled_from(FORMATS), st.integers(0, 2000), st.integers(1, 30))
def test_damaged_bytes_are_refused_or_read(junk: bytes, form: str, at: int, cut: int) -> None:
    whole = content(seven((40, 30)), form).getvalue()
    at %= len(whole)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for damaged in (junk, whole[:at] + junk + whole[at + cut :]):
            try:
                image = read_picture(io.BytesIO(damaged))
            except DataError as error:
                assert "\n" not in str(error)
            else:
                assert image.mode in ("L", "RGB", "F")


# ---- the preparation -------------------------------------------------------------------------------------------------


def page(glyph: np.ndarray, scale: int = 8, size: tuple[int, int] = (300, 400), at: tuple[int, int] = (30, 90)) -> Any:
    """A glyph of light ink, 0..1, enlarged and written in dark ink on a page of that brightness: float32."""
    image = Image.fromarray(glyph.astype(np.float32))
    large = np.asarray(image.resize((scale * glyph.shape[1], scale * glyph.shape[0]), Image.Resampling.BICUBIC))
    sheet = np.ones(size, np.float32)
    sheet[at[0] : at[0] + large.shape[0], at[1] : at[1] + large.shape[1]] -= 0.9 * large.clip(0, 1)
    return sheet


@pytest.mark.mnist
def test_mnist_comes_back(mnist: data.Dataset) -> None:
    """The geometry is MNIST's own: its digits, enlarged and written on paper, come back nearly as they were."""
    x = mnist.x_test[:100]
    for picture in x:
        assert is_set(picture / np.float32(255), 28, 28, STYLES["mnist"])
        assert np.array_equal(mnist_like(Image.fromarray(picture)), picture)
    back = np.array([set_glyph(find_ink(page(p / 255)), 28, 28, STYLES["mnist"]) for p in x])
    away = np.abs(back.astype(float) - x).mean(axis=(1, 2)) / x.mean(axis=(1, 2))
    assert np.median(away) < 0.2  # a shift by one pixel is 0.55 away, another digit 1.3
    rows = np.arange(28)
    for axis in (1, 2):
        centre, expected = ((p.sum(axis).astype(float) @ rows) / p.sum((1, 2)) for p in (back, x))
        assert np.median(np.abs(centre - expected)) < 0.3  # whole pixels, rounded twice
    assert 0.9 < np.median(back.sum((1, 2)) / x.sum((1, 2))) < 1.1


@pytest.mark.parametrize("shade", [15, 45, 90])
def test_grey_paper_is_not_taken_as_it_is(shade: int) -> None:
    """A glyph of the right size and place, but on paper that is not black."""
    random = np.random.default_rng(0)
    grey = np.maximum(EXPECTED, shade) + random.normal(0, 2, EXPECTED.shape).round()
    x = mnist_like(Image.fromarray(grey.clip(0, 255).astype(np.uint8)))
    assert x is not None
    assert np.median(x) == 0
    assert_same_glyph(x.astype(float), 6)
    nearly = np.maximum(EXPECTED, random.integers(0, 4, EXPECTED.shape)).astype(np.uint8)  # as a JPEG file has it
    assert np.array_equal(mnist_like(Image.fromarray(nearly)), nearly)


@pytest.mark.parametrize("least", [0.3, 0.5])
def test_the_faint_part_of_a_stroke_is_ink(least: float) -> None:
    """The pen runs dry from left to right."""
    paper, fade = 255 - np.asarray(seven(), np.float32), np.linspace(1, least, 60)
    paper[:, 20:80] *= fade
    x = mnist_like(Image.fromarray((220 - 0.8 * paper).clip(0, 255).astype(np.uint8)))
    assert x is not None
    assert (x[EXPECTED > 200] > 60).all()


def test_digits_are_taken_as_they_are() -> None:
    digits = data.load("digits")
    small = Preparation(8, 8, style="digits")
    for picture in digits.x_test:
        assert np.array_equal(prepare(Image.fromarray(picture), small), picture)


@given(st.floats(0.03, 0.2), st.integers(0, 3), st.tuples(st.integers(60, 300), st.integers(60, 300)), st.booleans())
def test_geometry(width: float, corner: int, size: tuple[int, int], light: bool) -> None:
    """Wherever the glyph is, however thick, dark or light: it fills a box of 20, its centre of mass in the middle."""
    side = min(size)
    sheet = Image.new("L", size, 255)
    x, y = (corner % 2) * (size[0] - side) + 0.2 * side, (corner // 2) * (size[1] - side) + 0.2 * side
    tall = 0.6 * side
    path = [(x, y), (x + 0.7 * tall, y), (x + 0.3 * tall, y + tall)]
    ImageDraw.Draw(sheet).line(path, 0, max(2, round(width * tall)), joint="curve")
    picture = mnist_like(Image.eval(sheet, lambda v: 255 - v) if light else sheet)
    assert picture is not None
    on = picture > 40
    rows, columns = np.flatnonzero(on.any(1)), np.flatnonzero(on.any(0))
    assert 18 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 20
    mass = picture / picture.sum()
    assert abs(mass.sum(1) @ np.arange(28) - 14) < 0.75
    assert abs(mass.sum(0) @ np.arange(28) - 14) < 0.75


@pytest.mark.parametrize("width", [1, 2, 4, 8, 16])
def test_stroke_weight(width: int) -> None:
    """A hair and a broad brush, 0.3 and 5.5 pixels wide, both come nearer to MNIST's strokes of 2 to 4 pixels."""
    x = seen(seven(width=width)) / 255
    assert 1.4 < x[14:20].sum() / 6 < 4.9  # the stem of the 7, cut across


def test_invert() -> None:
    """What is to be seen as ink can be said, against what the picture suggests."""
    image = seven()
    mostly_ink = Image.eval(seven(width=8), lambda v: 255 - v)
    assert is_dark_on_light(np.asarray(image, np.float32) / 255)
    assert not is_dark_on_light(np.asarray(mostly_ink, np.float32) / 255)
    as_said, other = mnist_like(image, True), mnist_like(image, False)
    assert np.array_equal(as_said, EXPECTED)
    assert other is None or np.abs(other - EXPECTED).mean() > 15
    whole = Preparation(30, 40, style=None)
    assert np.array_equal(prepare(image, whole, True), 255 - prepare(image, whole))


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_no_ink(shade: int) -> None:
    random = np.random.default_rng(1)
    blank = np.full((200, 300), shade, np.float32)
    slope = np.linspace(0, 40, 300, dtype=np.float32)
    for paper in (blank, blank + random.normal(0, 4, blank.shape), blank * 0.7 + slope):
        image = Image.fromarray(paper.clip(0, 255).astype(np.uint8))
        assert mnist_like(image) is None


@pytest.mark.parametrize(("side", "width", "height"), [(300, 2, 80), (300, 1, 75), (1200, 8, 300), (3000, 3, 900)])
def test_few_pixels_are_ink(side: int, width: int, height: int) -> None:
    image = Image.new("L", (side, side), 255)
    ImageDraw.Draw(image).rectangle([side // 2, side // 4, side // 2 + width - 1, side // 4 + height - 1], 0)
    x = mnist_like(image)
    assert x is not None
    rows, columns = np.nonzero(x > 127)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1 in (2, 3, 4)) == (20, True)


def test_specks_alone_are_no_ink() -> None:
    paper = np.full((300, 400), 230, np.uint8)
    paper[40:270:60, 30:380:70] = paper[100, 50:60] = 60
    assert mnist_like(Image.fromarray(paper)) is None


@pytest.mark.parametrize("row", [0, 600, -1])
def test_thin_lines_along_and_between_the_edges_are_no_ink(row: int) -> None:
    paper = np.full((1200, 1000), 230, np.uint8)
    paper[row] = 30
    for picture in (paper, np.ascontiguousarray(paper.T)):
        assert mnist_like(Image.fromarray(picture)) is None


def test_lines_of_the_paper_go_and_the_glyph_stays() -> None:
    plain = np.asarray(seven((240, 180), 9)).copy()
    for squared in (False, True):
        lined = plain.copy()
        lined[4::22] = 0
        if squared:
            lined[:, 7::22] = 0
        assert_same_glyph(seen(Image.fromarray(lined)), 9 if squared else 6)


def test_tight_crops_are_no_lines() -> None:
    """The bar of a 7 may go from edge to edge, and the stem of a 1 from top to bottom."""
    image = seven((120, 90), 8).crop((27, 17, 74, 78))
    assert_same_glyph(seen(image), 8)
    stem = np.full((100, 100), 255, np.uint8)
    stem[:, 46:54] = 0
    x = mnist_like(Image.fromarray(stem))
    assert x is not None
    assert (x > 128).sum() >= 20


def test_specks_and_the_desk_go() -> None:
    sheet = np.asarray(seven((240, 180), 9)).copy()
    sheet[[5, 100, 170], [220, 200, 8]] = 0
    desk = np.full((240, 300), 60, np.uint8)
    desk[25:205, 30:270] = sheet
    assert_same_glyph(seen(Image.fromarray(desk)), 6)


@given(arrays.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_components(mask: np.ndarray) -> None:
    """Against flooding, one pixel at a time."""
    label, count = components(mask)
    left = {(int(y), int(x)) for y, x in zip(*np.nonzero(mask), strict=True)}
    pieces = []
    while left:
        todo = [left.pop()]
        piece = set(todo)
        while todo:
            y, x = todo.pop()
            near = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            piece |= near
            todo += near
        pieces.append(piece)
    assert count == len(pieces)
    assert ((label > 0) == mask).all()
    assert {frozenset(zip(*map(np.ndarray.tolist, np.nonzero(label == i + 1)), strict=True)) for i in range(count)} == {
        frozenset(piece) for piece in pieces
    }


SPECKS = np.zeros((21, 38), np.uint8)
SPECKS[[0, 0, 20], [0, 1, 20]] = 26


@example(SPECKS, Preparation(1, 1), None)  # which vanish in a single pixel
@given(
    arrays.arrays(np.uint8, st.tuples(st.integers(1, 70), st.integers(1, 70))),
    st.sampled_from([Preparation(28, 28), Preparation(8, 8, style="digits"), Preparation(5, 9), Preparation(1, 1)]),
    st.sampled_from([None, True, False]),
)
def test_any_picture_gives_the_shape_or_nothing(values: np.ndarray, preparation: Preparation, invert: Any) -> None:
    x = prepare(Image.fromarray(values), preparation, invert)
    assert x is None or (x.shape == preparation.shape and x.dtype == np.uint8 and x.any())


def test_colour() -> None:
    """A glyph in colour keeps its colours; it is as large and as central as the grey one."""
    red = np.full((90, 120, 3), 240, np.uint8)
    red[np.asarray(seven()) < 128] = (200, 10, 30)
    x = prepare(Image.fromarray(red), Preparation(32, 32, color=True))
    assert x is not None
    assert x.shape == (3, 32, 32)
    ink = x[1] < 120
    assert 20 <= np.ptp(np.flatnonzero(ink.any(1))) + 1 <= 25
    assert np.abs(np.median(x[:, ink], axis=1) - (200, 10, 30)).max() < 25
    assert np.abs(x[:, 0, 0].astype(int) - 240).max() < 5
    whole = prepare(Image.fromarray(red), Preparation(9, 12, color=True, style=None))
    assert whole is not None
    assert whole.shape == (3, 9, 12)


def test_note() -> None:
    for preparation in (MNIST, Preparation(8, 9, True, None), Preparation(8, 8, style="digits")):
        assert Preparation.from_note(preparation.note()) == preparation
    for text in ("", "{}", "[]", '{"height": 0, "width": 1}', '{"height": 8, "width": 8, "style": "x"}', '{"a": 1}'):
        with pytest.raises(ValueError, match="note on how its pictures were prepared is damaged"):
            Preparation.from_note(text)


# ---- many pictures ---------------------------------------------------------------------------------------------------


def test_picture_files(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "notes.txt", ".hidden.png", "sub/c.tif", ".git/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [str(path.relative_to(tmp_path)) for path in picture_files(tmp_path)] == ["a.jpg", "b.PNG", "sub/c.tif"]


def test_in_parallel_keeps_the_order(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.bin" for i in range(70)]
    for i, path in enumerate(paths):
        path.write_bytes(b"x" * (40_000 if i % 3 else 10))
    assert list(in_parallel(lambda path: path.stem, paths)) == [path.stem for path in paths]


def test_flat_leaves_grey_alone() -> None:
    assert flat(seven()).mode == "L"
