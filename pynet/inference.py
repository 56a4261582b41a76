"""Predictions for pictures, which are prepared like those of the model's data set, and for the rows of tables.

found = predict_image("three.jpg")           with the newest model in the working folder
found.prediction, found.confidence           ("3", 0.987)
found = predict_image("page.png")            with several characters: found.lines has each with its box
found.prediction                             "134678 / 912532"
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pynet._ffi import plain
from pynet.data.inputs import NOTE as INPUTS
from pynet.data.inputs import Inputs
from pynet.data.table_model import encoded, rows_of_numbers
from pynet.errors import DataError
from pynet.metrics import class_scores, score_names
from pynet.network import Network, load
from pynet.pictures.decode import CUT_SHORT, array_picture, in_parallel, opened_picture, read_picture
from pynet.pictures.glyph import NO_INK, Character, prepare, prepare_lines, whole
from pynet.pictures.guess import other_kind
from pynet.pictures.preparation import NOTE, Preparation
from pynet.text import fields_text, printable
from pynet.training import novelty

MODEL_SUFFIX = ".safetensors"
PREVIOUS = "-previous"  # suffix of the name of a better model that was replaced
NOT_PYNET = "it is a safetensors file but holds no pynet network"  # error of load for files of other programs
PAGE = 1200  # pixels; the longer side of a picture is reduced to this, where characters may be small
UNLIKE = "unlike the training pictures"  # the warning of a model that measured how far they are
PLACES = 8  # doubtful characters that the warning for a page names
BARS = 10  # classes that a notebook shows
UNSURE_BELOW = 0.6  # lower confidences get a warning


@dataclass(frozen=True)
class PreparedPicture:
    """A picture by its name: its characters, prepared, line by line; [] where there is no ink.

    note: what is wrong with the file; error: why there is nothing. page: the picture itself, where it has several.
    kind: why it is of another kind than the files that the network learnt from, if it is.
    """

    name: str
    lines: list[list[Character]] = field(default_factory=list)
    note: str | None = None
    error: DataError | None = None
    page: Image.Image | None = None
    kind: str | None = None


@dataclass(frozen=True, eq=False)
class Prediction:
    """The prediction for one picture.

    prediction and confidence are None if the file cannot be read or the picture has no ink. probabilities: by class
    name, with a number where several classes have the same name, as in "a (2)"; without a softmax, the raw outputs. Of
    a regression, prediction is the numbers, with neither confidence nor probabilities; of several labels it is those
    above 1/2, without a confidence. warning: an error, or why the prediction is doubtful. seen: uint8, the network's
    input. readable: False if the picture could not be read.
    """

    file: str
    prediction: str | None = None
    confidence: float | None = None
    probabilities: dict[str, float] | None = None
    warning: str | None = None
    seen: npt.NDArray[np.uint8] | None = None
    readable: bool = True
    box: tuple[int, int, int, int] | None = None
    lines: tuple[tuple[Prediction, ...], ...] = ()
    page: Image.Image | None = None

    def __repr__(self) -> str:
        return fields_text("Prediction", vars(self))

    def _repr_html_(self) -> str:
        """The picture as the network saw it, and the likeliest classes."""
        from pynet import html  # imported here: notebooks alone need it

        words = f"{self.file}: {self.prediction if self.prediction is not None else 'no prediction'}"
        seen = "" if self.seen is None else html.picture(self.seen)
        parts = html.side_by_side(seen, html.bars(self.best(BARS)) if self.probabilities else "")
        return html.line(printable(words)) + parts + (html.line(printable(self.warning)) if self.warning else "")

    def best(self, count: int) -> list[tuple[str, float]]:
        """The `count` likeliest classes with their probabilities, best first."""
        return sorted((self.probabilities or {}).items(), key=lambda item: -item[1])[:count]


def predict_image(
    picture: str | os.PathLike[str] | bytes | IO[bytes] | npt.ArrayLike | Image.Image,
    model: Network | str | os.PathLike[str] | None = None,
    *,
    invert: bool | None = None,
    temperature: float = 1.0,
    single: bool = False,
) -> Prediction:
    """The prediction of a model for a picture, which is prepared like those of the model's data set.

    picture: a file by its name, its content as bytes or an open binary file; a Pillow image; or an array (h, w),
    (h, w, channels) with 1, 3 or 4, or (channels, h, w) with 1 or 3, of uint8, uint16, or floats in 0..1. The same
    picture gives the same result in any of these forms.
    model: a Network, a file, or None for the newest model in the working folder. invert: True: dark ink on light paper,
    False: light on dark, None: detected. temperature: of the softmax; above 1 lowers the confidence.
    single: all ink is one character; otherwise several are found, and each is named.
    Raises DataError (a ValueError) for the picture, OSError or ValueError for the model.
    """
    net = _network(model)
    preparation = preparation_of(net)
    [image] = in_parallel(_decoded, [picture])
    name = os.fspath(picture) if isinstance(picture, (str, os.PathLike)) else "the picture"
    return predictions(net, [prepared_picture(net, name, image, preparation, invert, single)], temperature)[0]


def prepared_picture(
    net: Network, name: str, image: Image.Image, wanted: Preparation, invert: bool | None, single: bool
) -> PreparedPicture:
    """What a network gets of a picture that read_picture gave."""
    if single or net.task != "classes":
        x = prepare(image, wanted, invert)
        lines = [] if x is None else [[Character(x, whole(image))]]
    else:
        lines = prepare_lines(image, wanted, invert)
    several = sum(map(len, lines)) > 1
    of_files = NOTE in net.meta and "data" in net.meta  # trained on a folder of pictures, whose kind was guessed
    kind = other_kind(image, wanted) if of_files and not several else None
    return PreparedPicture(name, lines, image.info.get(CUT_SHORT), page=image if several else None, kind=kind)


def _decoded(picture: Any) -> Image.Image:
    if isinstance(picture, (str, os.PathLike)) or hasattr(picture, "read"):
        return read_picture(picture, PAGE, partly=True)
    if isinstance(picture, (bytes, bytearray, memoryview)):
        return read_picture(io.BytesIO(picture), PAGE, partly=True)
    if isinstance(picture, Image.Image):
        return opened_picture(picture, PAGE)
    try:
        values = plain(picture, "the picture")
    except ValueError as error:  # None, as OpenCV returns for a missing file; a masked array; rows of unequal length
        raise DataError(str(error)) from None
    return array_picture(values, PAGE)


def predictions(net: Network, seen: Sequence[PreparedPicture], temperature: float) -> list[Prediction]:
    """The predictions for prepared pictures, in order; errors and pictures without ink become warnings."""
    inputs = [character.seen for one in seen for line in one.lines for character in line]
    x: npt.NDArray[Any] = np.stack(inputs) if inputs else np.empty(0)
    if inputs and INPUTS in net.meta:
        x = Inputs.from_note(net.meta[INPUTS]).pictures(x)
    outputs = _outputs(net, x, temperature) if inputs else np.empty((0, 0), np.float32)
    results = zip(outputs, _unlike(net, x), strict=True)
    names, found = _class_names(net), []
    for one in seen:
        lines = [
            [_prediction(net.task, names, one.name, character, *next(results)) for character in line]
            for line in one.lines
        ]
        if one.error is not None:
            found.append(Prediction(one.name, warning=str(one.error), readable=False))
        elif not lines:
            found.append(Prediction(one.name, warning=_joined(one.note, NO_INK, one.kind)))
        elif one.page is None:
            found.append(replace(lines[0][0], warning=_joined(one.note, lines[0][0].warning, one.kind)))
        else:
            found.append(_several(one, lines))
    return found


def _several(one: PreparedPicture, lines: list[list[Prediction]]) -> Prediction:
    """The prediction for a picture from those for its characters."""
    flat = [character for line in lines for character in line]
    gap = "" if all(len(character.prediction or "") == 1 for character in flat) else " "
    text = " / ".join(gap.join(character.prediction or "" for character in line) for line in lines)
    doubts: dict[str, list[str]] = {}
    for i, line in enumerate(lines, 1):
        for j, character in enumerate(line, 1):
            if character.warning:
                place = f"line {i}, character {j}" if len(lines) > 1 else f"character {j}"
                doubts.setdefault(character.warning, []).append(f"{character.prediction} ({place})")
    warning = "; ".join(
        f"{doubt}: {len(places)} of {len(flat)} characters, {_first(places)}" for doubt, places in doubts.items()
    )
    least = min(character.confidence or 0 for character in flat)
    shown = tuple(map(tuple, lines))
    return Prediction(one.name, text, least, warning=_joined(one.note, warning), lines=shown, page=one.page)


def _first(places: Sequence[str]) -> str:
    return ", ".join([*places[:PLACES], *(["..."] if len(places) > PLACES else [])])


def _joined(*warnings: str | bool | None) -> str | None:
    return "; ".join(text for text in warnings if isinstance(text, str)) or None


def _outputs(net: Network, x: npt.NDArray[Any], temperature: float) -> npt.NDArray[np.float32]:
    """The outputs for pictures x (n, ...): (n, outputs), or (n, 2) for a binary output, which is one probability."""
    if net.task == "classes":
        return class_scores(net, x, temperature)
    return net.predict_proba(x).reshape(len(x), -1)


def _unlike(net: Network, x: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which of the pictures x (n, ...) are far from the training pictures; none where that is unknown."""
    known = novelty.of(net) if len(x) and net.task == "classes" else None
    return known.far(net, x) if known else np.zeros(len(x), bool)


def _class_names(net: Network) -> list[str]:
    """A name for each output, all different."""
    classes = score_names(net) if net.task == "classes" else net.classes
    return [f"{name} ({i})" if name in classes[:i] else name for i, name in enumerate(classes)]


def _prediction(
    task: str, classes: list[str], name: str, character: Character, output: npt.NDArray[np.float32], unlike: bool
) -> Prediction:
    seen, box = character
    if task == "regression":
        doubt = None if np.isfinite(output).all() else "the outputs are not finite"
        return Prediction(name, ", ".join(f"{value:.6g}" for value in output), warning=doubt, seen=seen, box=box)
    if task == "multi-label":
        labels = [label for label, p in zip(classes, output, strict=True) if p > 0.5]
        shares = dict(zip(classes, output.tolist(), strict=True))
        return Prediction(name, ", ".join(labels) or "none of them", probabilities=shares, seen=seen, box=box)
    best = int(output.argmax())
    confidence = float(output[best])
    doubt = _joined(confidence < UNSURE_BELOW and "the network is unsure", unlike and UNLIKE)
    shares = dict(zip(classes, output.tolist(), strict=True))
    return Prediction(name, classes[best], confidence, shares, doubt, seen, box=box)


# ---- tables ----


@dataclass(frozen=True, eq=False)
class TablePrediction:
    """What a model predicts for the rows of a table.

    values (n): numbers, float32, or the names of classes; probabilities (n, classes) float32, in the order of classes,
    None of numbers; warning: on values that the model does not know, or "".
    """

    values: npt.NDArray[Any]
    probabilities: npt.NDArray[np.float32] | None
    classes: tuple[str, ...]
    warning: str


def predict_table(
    source: Any,
    model: Network | str | os.PathLike[str] | None = None,
    *,
    separator: str | None = None,
    decimal: str | None = None,
    temperature: float = 1.0,
) -> TablePrediction:
    """The predictions of a model that was trained on a table, for each row of a text file or a data frame.

    Columns are found by their names, in any order; other columns and the target are ignored. The prediction for a row
    does not depend on other rows. separator, decimal, temperature: see pynet.data.table
    and predict_image. Raises DataError: a column is missing; ValueError: the model was not trained on a table.
    """
    net = _network(model)
    x, warning = encoded(source, net, separator, decimal)
    return _of_rows(net, x, temperature, warning)


def predict_rows(
    path: Path, net: Network, *, separator: str | None = None, decimal: str | None = None, temperature: float = 1.0
) -> TablePrediction:
    """The same for a network of pixels or other numbers without names: rows of a table as wide as its input.

    A label before them, by the header, is left out. Raises DataError.
    """
    x, note = rows_of_numbers(path, math.prod(net.in_shape), separator, decimal), net.meta.get(INPUTS)
    if note is not None:
        [x] = Inputs.from_note(note).rescaled(str(path), x)
    return _of_rows(net, x, temperature, "")


def _of_rows(net: Network, x: npt.NDArray[Any], temperature: float, warning: str) -> TablePrediction:
    """The predictions for samples x: numbers, or the most likely classes. ValueError: several outputs for each."""
    if net.task == "multi-label" or (net.task == "regression" and net.out_shape != (1,)):
        raise ValueError(f"the model has {net.task} outputs {net.out_shape}; rows of tables take one prediction each")
    if net.task == "regression":
        return TablePrediction(net.predict(x), None, (), warning)
    scores = class_scores(net, x, temperature)
    names = score_names(net)
    return TablePrediction(np.array(names, object)[scores.argmax(axis=1)], scores, tuple(names), warning)


# ---- models ----


def previous_of(path: Path) -> Path:
    """The path where the model at path is kept when a worse one replaces it."""
    return path.with_name(f"{path.stem}{PREVIOUS}{path.suffix}")


def _is_previous(path: Path) -> bool:
    return path.stem.endswith(PREVIOUS) and path.with_stem(path.stem.removesuffix(PREVIOUS)).exists()


def load_model(path: Path | None = None) -> tuple[Path, Network]:
    """The path and network of the model at path, or of the newest model in the working folder.

    The newest one is looked for among all safetensors files but those of other programs and NAME-previous. A damaged
    file is an error rather than skipped: using an older model instead would be a surprise. OSError, ValueError.
    """
    if path is not None:
        return path, load(path)
    found = [
        (entry.stat().st_mtime_ns, entry)
        for entry in Path().glob(f"*{MODEL_SUFFIX}")
        if entry.is_file() and not _is_previous(entry)
    ]
    for _, entry in sorted(found, reverse=True):
        try:
            return entry, load(entry)
        except ValueError as error:
            if NOT_PYNET not in str(error):
                raise ValueError(
                    f"{error}; it is the newest model in this folder; --model FILE names another"
                ) from None
    raise FileNotFoundError("no model in this folder: run `pynet train` first, or name a model by --model FILE")


def _network(model: Network | str | os.PathLike[str] | None) -> Network:
    """The network itself, or that of a file, or the newest in the working folder. OSError, ValueError."""
    return model if isinstance(model, Network) else load_model(None if model is None else Path(model))[1]


def preparation_of(net: Network) -> Preparation:
    """How a network's pictures were prepared: from its notes, else guessed from its input shape. Raises ValueError."""
    note = net.meta.get(NOTE)
    preparation = _preparation_from_shape(net.in_shape) if note is None else Preparation.from_note(note)
    if math.prod(preparation.shape) != math.prod(net.in_shape):
        raise ValueError(f"the model takes {net.in_shape}, but its notes describe pictures of {preparation.shape}")
    return preparation


def _preparation_from_shape(shape: tuple[int, ...]) -> Preparation:
    features = math.prod(shape)
    color = len(shape) == 3 and shape[0] == 3
    height, width = shape[-2:] if len(shape) == 3 else (math.isqrt(features),) * 2
    if features != (3 if color else 1) * height * width or min(height, width) < 4:
        raise ValueError(f"the model takes {features} inputs of shape {shape}, which is not a picture")
    return Preparation(height, width, color, None if color else "digits" if features == 64 else "mnist")
