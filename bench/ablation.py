"""How many handwritten digits a model classifies correctly, with and without each step of the preparation.

python -m bench.ablation MODEL [SEEDS]    a table, over the pictures of tests/helpers/handwriting.py, and over those in
                                          boxes, on lines and on pages of tests/helpers/forms.py, with SEEDS seeds each
"""

from __future__ import annotations

import io
import sys
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image

import pynet
from bench.data import ROOT
from pynet.inference import PAGE, preparation_of
from pynet.pictures import decode as decoding
from pynet.pictures import glyph
from pynet.pictures import ink as finding
from pynet.pictures import lines as lining
from pynet.pictures.decode import flat, read_picture
from pynet.pictures.glyph import prepare, prepare_lines
from pynet.pictures.preparation import Preparation, Style

sys.path.append(str(ROOT / "tests"))
from helpers.forms import forms, pages
from helpers.handwriting import Picture, pictures


def one_light(grey: Any) -> Any:
    """One brightness of the paper for the whole picture."""
    return np.full_like(grey, np.quantile(grey, 0.9))


def whole(ink: Any, height: int, width: int, style: Style) -> Any:
    """The ink in its place: the picture is padded to a square and shrunk."""
    side = max(ink.shape)
    square = np.zeros((side, side), np.float32)
    square[: ink.shape[0], : ink.shape[1]] = ink
    return np.round(255 * finding.resized(square, (height, width))).astype(np.uint8)


def opaque(image: Image.Image) -> Image.Image:
    """The picture without its alpha channel."""
    if image.mode[0] in "IF":
        return flat(image)
    return image.convert("RGB")


def shrunk(image: Image.Image, preparation: Preparation, invert: bool | None = None) -> Any:
    """The picture, only shrunk and, if dark on light, inverted."""
    grey = np.asarray(image.resize((preparation.width, preparation.height)).convert("L"))
    return 255 - grey if np.median(grey) > 127 else grey


def keep(ink: Any, *_: Any, **__: Any) -> Any:
    return ink


EVERYTHING = "everything (only shrunk and inverted)"  # not measured on pages, which it cannot divide

# The replacements that leave out a step: (object, attribute, replacement).
STEPS: dict[str, list[tuple[Any, str, Any]]] = {
    "nothing": [],
    "EXIF orientation": [(decoding.ImageOps, "exif_transpose", keep)],
    "transparency": [(decoding, "flat", opaque)],
    "deciding between dark and light ink": [(finding, "is_dark_on_light", lambda grey: True)],
    "correcting uneven light": [(finding, "paper_light", one_light)],
    "faint parts of strokes": [(finding, "FAINT", finding.FULL)],
    "removing printed boxes and lines": [(finding, "printed_lines", lambda mask: ([], []))],
    "mending strokes across lines": [(lining, "_crossed", lambda rest, line: np.zeros_like(rest))],
    "removing specks and what the edge cuts": [(finding, "without_specks", keep)],
    "cropping and scaling": [(glyph, "set_glyph", whole)],
    "normalising the stroke width": [(glyph, "weighted", keep)],
    "centring by mass (by the box instead)": [
        (glyph, "corner", lambda g, h, w, _: ((h - g.shape[0]) // 2, (w - g.shape[1]) // 2))
    ],
    EVERYTHING: [(sys.modules[__name__], "prepare", shrunk)],
}


def correct(net: pynet.Network, files: list[Picture], preparation: Preparation) -> np.ndarray:
    """(n) bool: the files that are classified correctly; a file without ink counts as wrong."""
    seen = [prepare(read_picture(io.BytesIO(file.content)), preparation) for file in files]
    blank = np.zeros(preparation.shape, np.uint8)
    predictions = net.predict(np.stack([blank if x is None else x for x in seen]))
    right = predictions == np.array([file.digit for file in files])
    return right & np.array([x is not None for x in seen])


def read(net: pynet.Network, files: list[tuple[str, bytes]], preparation: Preparation) -> float:
    """The fraction of correct digits on pages; if a page is divided wrongly, all its digits count as wrong."""
    right = total = 0
    for text, content in files:
        lines = prepare_lines(read_picture(io.BytesIO(content), PAGE), preparation)
        expected = text.split(" / ")
        total += len("".join(expected))
        if [len(line) for line in lines] == [len(line) for line in expected]:
            predictions = net.predict(np.stack([one.seen for line in lines for one in line]))
            right += int((predictions == [int(digit) for digit in "".join(expected)]).sum())
    return right / total


def worst(right: np.ndarray, files: list[Picture]) -> str:
    """The three kinds of pictures with the lowest accuracy, without those above 99.5 %."""
    kinds = np.array([file.scene for file in files])
    fractions = {kind: right[kinds == kind].mean() for kind in dict.fromkeys(kinds)}
    lowest = sorted(fractions.items(), key=lambda item: item[1])[:3]
    return "; ".join(f"{kind} {100 * fraction:.0f} %" for kind, fraction in lowest if fraction < 0.995)


def main(model: str, seeds: int = 1) -> None:
    net = pynet.load(model)
    preparation = preparation_of(net)
    plain, lined, several = (
        [file for seed in range(seeds) for file in kind(seed)] for kind in (pictures, forms, pages)
    )
    digits = sum(len(text.replace(" / ", "")) for text, _ in several)
    print(f"{len(plain):,} pictures, {len(lined):,} on forms and lines, {digits:,} digits on {len(several)} pages")
    print(f"{net.spec}\n\n| left out | pictures | worst | forms and lines | worst | pages |\n|---|---|---|---|---|---|")
    for step, replaced in STEPS.items():
        with ExitStack() as stack:
            for place, name, other in replaced:
                stack.enter_context(patch.object(place, name, other))
            right, on_lines = correct(net, plain, preparation), correct(net, lined, preparation)
            pages_right = f"{100 * read(net, several, preparation):.1f} %" if step != EVERYTHING else ""
        cells = [step, f"{100 * right.mean():.1f} %", worst(right, plain)]
        cells += [f"{100 * on_lines.mean():.1f} %", worst(on_lines, lined), pages_right]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1)
