"""Sheets of what a network sees: pixels as squares, each picture over its name."""

from __future__ import annotations

import numpy as np
import pytest

from pynet.pictures.sheet import sheet


@pytest.mark.parametrize("shape", [(28, 28), (3, 28, 28), (8, 8), (300, 200)])
def test_names_fit_below_their_pictures(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).integers(0, 256, (2, *shape), np.uint8)
    short = np.asarray(sheet(x, ["a", "b"]))
    names = ["a folder with a long name/цифра-3.png", "$7\nthe network is unsure"]
    image = np.asarray(sheet(x, names))
    height, width = image.shape[0], image.shape[1] // 2
    assert image.shape[:2] == (short.shape[0] + 13, short.shape[1])  # a line more, no wider
    zoom = max(1, -(-112 // max(shape[-2:])))
    for i, picture in enumerate(x):
        tile = image[:, i * width : (i + 1) * width]
        shown = tile[6::zoom, 6::zoom][: shape[-2], : shape[-1]]
        assert np.array_equal(shown, picture if picture.ndim == 2 else picture.transpose(1, 2, 0))
        below = tile[6 + zoom * shape[-2] :]
        inked = np.flatnonzero((below < 100).reshape(len(below), width, -1).any(axis=(0, 2)))
        assert inked.size
        assert 5 <= inked.min() <= inked.max() <= width - 5
    assert height == zoom * shape[-2] + 2 * 13 + 12
