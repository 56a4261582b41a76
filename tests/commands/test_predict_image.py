"""predict_image: the forms of a picture, and what is none."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from helpers import handwriting
from PIL import Image, ImageOps

import pynet
from pynet import data
from pynet.data import DataError
from pynet.inference import Prediction, predict_image

ZERO = next(handwriting.pictures(scenes=["mouse"])).content


def test_paths_images_and_arrays_are_the_same_picture(digits_model: Path) -> None:
    net = pynet.load(digits_model)
    Path("mouse-0.png").write_bytes(ZERO)
    image = Image.open("mouse-0.png").convert("L")
    grey = np.asarray(image)
    content = ZERO
    forms = [
        "mouse-0.png",
        Path("mouse-0.png"),
        content,
        bytearray(content),
        io.BytesIO(content),
        image,
        grey,
        grey.tolist(),
        grey[..., None],
        grey[None],
        np.stack([grey] * 3),
        np.stack([grey] * 3) / 255.0,
        (grey / 255).astype(np.float32) * np.float32(1.0000002) - np.float32(1e-7),
        *(grey.astype(kind) for kind in (np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64)),
        grey.astype(np.uint32) * 16843009,
        grey.astype(np.uint16) * 16,
        np.dstack([grey.astype(np.uint16) * 257] * 3),
        np.dstack([grey.astype(np.uint16)] * 3),
        grey.astype(np.float64) / 255,
        grey.astype(np.uint16) * 257,
        np.dstack([grey] * 3),
        np.dstack([grey] * 3 + [np.full_like(grey, 255)]),
    ]
    found = [pynet.predict_image(form, net) for form in forms]
    assert all(isinstance(one, Prediction) and one.prediction == "0" for one in found)
    assert all(np.abs(one.seen.astype(int) - found[0].seen).max() <= 2 for one in found)


def test_an_open_file_is_a_picture(digits_model: Path) -> None:
    Path("mouse-0.png").write_bytes(ZERO)
    with Path("mouse-0.png").open("rb") as file:
        assert predict_image(file, digits_model).prediction == "0"


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_pillow_image_is_as_upright_as_its_file(kind: str, orientation: int) -> None:
    net = pynet.Network("input(784) dense(10) softmax")
    image = Image.new("L", (90, 120), 255)
    image.paste(0, (20, 20, 32, 100))
    image.paste(0, (20, 88, 70, 100))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, kind, exif=exif)
    opened = Image.open(file)
    seen = [
        predict_image(form, net).seen.astype(int) for form in (opened, file.getvalue(), io.BytesIO(file.getvalue()))
    ]
    assert all(np.abs(one - seen[0]).max() <= 2 for one in seen)
    upright = predict_image(ImageOps.exif_transpose(image), net).seen
    assert (np.abs(seen[0] - upright).max() <= 40) == (orientation == 1)


def test_black_and_white_is_a_picture(digits_model: Path) -> None:
    ink = np.zeros((40, 40), bool)
    ink[8:32, 18:22] = True
    seen = [predict_image(one, digits_model).seen for one in (ink, ink[..., None], 255 * ink.astype(np.uint8))]
    assert all(np.array_equal(one, seen[0]) for one in seen)


def test_pictures_of_the_data_set_are_used_unchanged(digits_model: Path) -> None:
    digits, net = data.load("digits"), pynet.load(digits_model)
    found = [predict_image(x, net) for x in digits.x_test[:40]]
    assert [int(one.prediction) for one in found] == net.predict(digits.x_test[:40]).tolist()
    assert all(np.array_equal(one.seen, x) for one, x in zip(found, digits.x_test, strict=False))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(9), np.zeros((0, 5)), np.zeros((4, 4, 2)), np.full((9, 9), 1.5), np.zeros((9, 9), complex),
        np.full((9, 9), 1.0001), np.full((9, 9), -0.0001), np.full((9, 9), np.nan), np.full((9, 9), np.inf),
        np.full((9, 9), -1), np.zeros((9, 9), "M8[D]"), np.full((9, 9), "1"), np.zeros((9, 9), object),
        np.zeros((2, 9, 9)), np.zeros((1, 9, 9, 3)), np.ma.zeros((9, 9)), None,
    ],
)  # fmt: skip
def test_arrays_that_are_not_a_picture(digits_model: Path, array: np.ndarray) -> None:
    with pytest.raises(DataError, match="accepted:"):
        predict_image(array, digits_model)


def test_errors_name_the_numbers_that_are_not_pixels(digits_model: Path) -> None:
    with pytest.raises(DataError, match=r"floats from 0 to 1\.00002 are no picture; accepted: 0\.\.1"):
        predict_image(np.array([[0, 1.00002]] * 2), digits_model)
    with pytest.raises(DataError, match=r"integers from -3 to 255 are no picture; accepted: 0 or more"):
        predict_image(np.array([[-3, 255]] * 2), digits_model)
    for broken in (b"", b"no picture", io.BytesIO(b"\x89PNG\r\n")):
        with pytest.raises(DataError, match=r"^the picture: "):
            predict_image(broken, digits_model)
