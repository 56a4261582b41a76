"""A drawn 7, and a check that the network's input for a picture of it shows that 7."""

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
    """A black 7 on white, off the centre; mode "L"."""
    image = Image.new("L", size, 255)
    ImageDraw.Draw(image).line([(30, 20), (70, 20), (50, 75)], 0, width, joint="curve")
    return image


def content(image: Image.Image, form: str, **options: Any) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, form, **options)
    file.seek(0)
    return file


def seen(image: Image.Image, form: str = "png", **options: Any) -> np.ndarray:
    """The network's input for a picture that was saved and read again."""
    x = mnist_like(read_picture(content(image, form, **options)))
    assert x is not None
    return x.astype(float)


EXPECTED = seen(seven())


def assert_same_glyph(x: np.ndarray, most: float = 4.0, expected: np.ndarray = EXPECTED) -> None:
    """Compares mean grey levels after a shift of at most a pixel. An empty picture differs by 29, a 1 by 33."""
    shifts = [np.roll(x, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    assert min(np.abs(shifted - expected).mean() for shifted in shifts) < most
