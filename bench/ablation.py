"""How many handwritten digits a model names, and how many when a step of the preparation is left out.

python -m bench.ablation MODEL [SEEDS]    a table, over the pictures of tests/helpers/handwriting.py with SEEDS seeds
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image

import pynet
from bench.data import ROOT
from pynet.inference import preparation_of
from pynet.pictures import decode as decoding
from pynet.pictures import glyph
from pynet.pictures import ink as finding
from pynet.pictures.decode import flat, read_picture
from pynet.pictures.glyph import prepare
from pynet.pictures.preparation import Preparation, Style

sys.path.append(str(ROOT / "tests"))
from helpers.handwriting import Picture, pictures


def one_light(grey: Any) -> Any:
    """The brightness of the paper, the same for the whole picture."""
    return np.full_like(grey, np.quantile(grey, 0.9))


def whole(ink: Any, height: int, width: int, style: Style) -> Any:
    """The ink where it is on the picture, which is made square and shrunk."""
    side = max(ink.shape)
    square = np.zeros((side, side), np.float32)
    square[: ink.shape[0], : ink.shape[1]] = ink
    return np.round(255 * finding.resized(square, (height, width))).astype(np.uint8)


def opaque(image: Image.Image) -> Image.Image:
    """The picture without regard to its transparency."""
    if image.mode[0] in "IF":
        return flat(image)
    return image.convert("RGB")


def shrunk(image: Image.Image, wanted: Preparation, invert: bool | None = None) -> Any:
    """The picture, shrunk and turned light on dark: no more."""
    grey = np.asarray(image.resize((wanted.width, wanted.height)).convert("L"))
    return 255 - grey if np.median(grey) > 127 else grey


def keep(ink: Any, *_: Any, **__: Any) -> Any:
    return ink


# What is replaced: (object, name, by what).
STEPS: dict[str, list[tuple[Any, str, Callable[..., Any]]]] = {
    "all steps": [],
    "EXIF orientation": [(decoding.ImageOps, "exif_transpose", keep)],
    "transparency": [(decoding, "flat", opaque)],
    "dark or light decided": [(finding, "is_dark_on_light", lambda grey: True)],
    "uneven light": [(finding, "paper_light", one_light)],
    "lines of the paper": [(finding, "without_lines", keep)],
    "specks and the desk": [(finding, "without_specks", keep)],
    "crop and fit": [(glyph, "set_glyph", whole)],
    "stroke weight": [(glyph, "weighted", keep)],
    "centre of mass (box instead)": [
        (glyph, "corner", lambda g, h, w, _: ((h - g.shape[0]) // 2, (w - g.shape[1]) // 2))
    ],
    "everything (shrunk, inverted)": [(sys.modules[__name__], "prepare", shrunk)],
}


def named(net: pynet.Network, files: list[Picture], wanted: Preparation) -> np.ndarray:
    """Which of the files (n) are named right; no ink is wrong."""
    seen = [prepare(read_picture(io.BytesIO(file.content)), wanted) for file in files]
    blank = np.zeros(wanted.shape, np.uint8)
    answers = net.predict(np.stack([blank if x is None else x for x in seen]))
    right = answers == np.array([file.digit for file in files])
    return right & np.array([x is not None for x in seen])


def main(model: str, seeds: int = 1) -> None:
    net = pynet.load(model)
    wanted = preparation_of(net)
    files = [file for seed in range(seeds) for file in pictures(seed)]
    scenes = np.array([file.scene for file in files])
    print(f"{len(files):,} pictures, {net.spec}\n")
    print("| left out | named right | worst scenes |\n|---|---|---|")
    for step, replaced in STEPS.items():
        with ExitStack() as stack:
            for place, name, other in replaced:
                stack.enter_context(patch.object(place, name, other))
            right = named(net, files, wanted)
        shares = {scene: right[scenes == scene].mean() for scene in dict.fromkeys(scenes)}
        worst = [
            f"{scene} {100 * s:.0f} %" for scene, s in sorted(shares.items(), key=lambda item: item[1])[:3] if s < 0.995
        ]
        print(f"| {step if replaced else 'nothing'} | {100 * right.mean():.1f} % | {'; '.join(worst)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1)
