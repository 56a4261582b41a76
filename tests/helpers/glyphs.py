"""A 7 drawn on paper, and whether what a network sees of a picture is that 7."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from pynet.pictures.decode import read_picture
from pynet.pictures.glyph import prepare
from pynet.pictures.preparation import Preparation

MNIST = Preparation(28, 28)


def mnist_like(image: Image.Image, invert: bool | None = None) -> np.ndarray | None:
    return prepare(image, MNIST, invert)


def seven(size: tuple[int, int] = (120, 90), width: int = 8) -> Image.Image:
    """Black on white, "L": a 7 off the centre."""
    image = Image.new("L", size, 255)
    ImageDraw.Draw(image).line([(30, 20), (70, 20), (50, 75)], 0, width, joint="curve")
    return image


def content(image: Image.Image, form: str, **options: Any) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, form, **options)
    file.seek(0)
    return file


def seen(image: Image.Image, form: str = "png", **options: Any) -> np.ndarray:
    """What the network gets of the picture, after the way through a file."""
    x = mnist_like(read_picture(content(image, form, **options)))
    assert x is not None
    return x.astype(float)


EXPECTED = seen(seven())


def assert_same_glyph(x: np.ndarray, most: float = 4.0, expected: np.ndarray = EXPECTED) -> None:
    """Mean difference in grey levels, after a shift by at most a pixel; an empty picture is 29 away, a 1 is 33."""
    shifts = [np.roll(x, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    assert min(np.abs(shifted - expected).mean() for shifted in shifts) < most
