"""The command that names pictures: `pynet predict`."""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from PIL.PngImagePlugin import PngInfo

from pynet.commands import cli, data_options, table_options
from pynet.commands.cli import Parser, UsageError, number, path, whole
from pynet.commands.outputs import check_drawn
from pynet.commands.predict_table import predict_table
from pynet.data.read_table import is_table_file
from pynet.data.table_model import table_of
from pynet.errors import DataError
from pynet.files import check_writable, replacing
from pynet.inference import Prediction, Seen, load_model, predictions, preparation_of
from pynet.network import Network
from pynet.pictures.decode import SUFFIXES, in_parallel, picture_files, read_picture
from pynet.pictures.glyph import prepare, sheet
from pynet.pictures.preparation import Preparation
from pynet.text import DRAWN, drawn, figure_text, figure_words, json_text, printable

BATCH = 256  # pictures that go through the network at once
MOST_SEEN = 1000  # pictures on a sheet
MOST_STDIN = 1 << 28  # bytes of a picture from standard input
BAR = 30  # characters of a bar for 100 %

EXAMPLES = """\
examples:
  pynet predict three.jpg                            with the newest model that pynet train saved here
  pynet predict three.jpg --show                     draw what the network sees, too
  pynet predict photos/ more/*.png --top 2           a line for each picture, and its two likeliest classes
  pynet predict - --json < three.png                 an array for programs: file, prediction, confidence, ...
  pynet predict --model letters.safetensors a.png
  pynet predict new.csv > predictions.csv            rows of a table: row,prediction,confidence
  pynet predict test.csv > submission.csv            rows of pixels: ImageId,Label, as Kaggle wants them

A picture is prepared as the model's data set was: the ink found, fitted, centred; --save-seen shows the result.
Status 0: every picture could be read; 1: one could not, the others were named all the same, or another error;
2: wrong options; 130: Ctrl-C.
"""

# ---- the command ----------------------------------------------------------------------------------------------------


def _parser() -> Parser:
    about = "Names pictures with a trained network: drawings, scans, photos; or predicts for the rows of a table."
    parser = Parser("pynet predict", about, EXAMPLES)
    add = parser.add_argument
    add(
        "images",
        metavar="IMAGE",
        nargs="+",
        type=path,
        help="files, folders of pictures, - for standard input; or a table",
    )
    data_options.add_model_option(parser)
    inverted = "dark ink on light paper, or the other way round (default: decided from the picture)"
    add("--invert", action=argparse.BooleanOptionalAction, help=inverted)
    positive = number(1e-3, 1e6, "a number from 0.001 to below 1000000")
    heat = "of the softmax: above 1 the network is less sure of itself (default: 1)"
    add("--temperature", metavar="T", type=positive, default=1.0, help=heat)
    top = "the K likeliest classes of each picture (default: all of a single picture, else the best)"
    add("--top", metavar="K", type=whole(1), help=top)
    add("--show", action="store_true", help="draw what the network sees")
    add("--save-seen", metavar="FILE", type=_png, help="draw what the network sees, enlarged, with names, as a .png")
    table_options.add_reading_options(parser.add_argument_group("tables"))
    as_json = (
        "print an array of {file, prediction, confidence, probabilities, warning}; of a table {row, prediction, ...}"
    )
    add("--json", action="store_true", help=as_json)
    return parser


def _png(text: str) -> Path:
    if Path(text).suffix.lower() != ".png":
        cli.refuse(text, "a file with the suffix .png")
    return Path(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; argv None is the process's own. Returns the exit status: 0, 1, 2 or 130."""
    return cli.run("predict", lambda: predict(_parser().parse_args(argv)))


def predict(options: argparse.Namespace) -> int:
    """The whole run; 1 if a picture could not be read."""
    model, net = load_model(options.model)
    if table_of(net) or any(map(is_table_file, options.images)):
        return predict_table(options, net)
    preparation = preparation_of(net)
    sources = [source for given in options.images for source in _sources(given)]
    if options.save_seen:
        _check_target(options.save_seen, [model, *(source for source in sources if isinstance(source, Path))])
    if not options.json:
        cli.say(_title(model, net))
    single = len(sources) == 1
    status, kept = 0, []
    seen: list[Prediction] = []
    for found in _named(net, preparation, sources, options):
        if not found.readable:
            status = 1
            cli.complain("predict", f"error: {found.warning}")
        elif not options.json:
            cli.say(_text(found, options.top or (math.inf if single else 0)))
            if options.show and found.seen is not None:
                cli.say(drawn(found.seen))
        if options.json:
            kept.append(_json(found, options.top))
        if options.save_seen and found.seen is not None and len(seen) < MOST_SEEN:
            seen.append(found)
    if options.json:
        print(json_text(kept))
    if options.save_seen:
        _save_sheet(options.save_seen, seen)
    return status


def _sources(given: Path) -> list[Path | DataError]:
    """The files that an argument stands for."""
    if not given.is_dir():
        return [given]
    try:
        found: list[Path | DataError] = [*picture_files(given)]
    except OSError as error:
        return [DataError(f"{error.filename}: cannot be read: {error.strerror}")]
    return found or [DataError(f"{given}: no pictures in this folder; known by {', '.join(sorted(SUFFIXES))}")]


def _named(
    net: Network, preparation: Preparation, sources: list[Path | DataError], options: argparse.Namespace
) -> Iterator[Prediction]:
    """The predictions for the sources, in order."""

    def prepared(source: Path | DataError) -> Seen:
        if isinstance(source, DataError):
            return str(source).partition(": ")[0], source
        try:
            image = read_picture(_stdin() if str(source) == "-" else source)
            return str(source), prepare(image, preparation, options.invert)
        except DataError as error:
            return str(source), error

    stream = in_parallel(prepared, sources)
    while batch := list(islice(stream, BATCH)):
        yield from predictions(net, batch, options.temperature)


def _stdin() -> io.BytesIO:
    if sys.stdin is None:
        raise DataError("-: standard input is closed")
    content = sys.stdin.buffer.read(MOST_STDIN + 1)
    if not 0 < len(content) <= MOST_STDIN:
        raise DataError(
            f"-: {len(content):,} bytes on standard input; accepted: a picture of up to {MOST_STDIN:,} bytes"
        )
    file = io.BytesIO(content)
    file.name = "-"
    return file


# ---- what is printed ------------------------------------------------------------------------------------------------


def _title(model: Path, net: Network) -> str:
    facts = []
    if name := net.meta.get("dataset"):
        facts.append(f"trained on {printable(name)}")
    with contextlib.suppress(KeyError, ValueError):  # a note may be missing, or not ours
        figure = "rmse" if net.task == "regression" else "accuracy"
        value = float(net.meta[f"test_{figure}"])
        facts.append(f"test {figure_words(figure)} {figure_text(figure, value)}")
    return f"model {printable(model)}" + (f": {', '.join(facts)}" if facts else "")


def _text(found: Prediction, lines: float) -> str:
    """The answer, and below it the likeliest classes, that many; all are in the network's order."""
    if found.prediction is None:
        return f"{printable(found.file)}: {found.warning}"
    text = f"{printable(found.file)}: {_answer(found)}"
    text += f", {found.warning}" if found.warning else ""
    if found.probabilities is None:
        return text
    shown = found.probabilities.items() if lines == math.inf else found.best(int(lines))
    names = [printable(name) for name, _ in shown]
    width = max(map(len, names), default=0)
    for (name, share), name_shown in zip(shown, names, strict=True):
        bar = "#" * round(BAR * min(max(share, 0), 1))
        mark = ">" if name == found.prediction else " "
        text += f"\n{mark} {name_shown:>{width}} {100 * share:6.2f} %  {bar}".rstrip()
    return text


def _answer(found: Prediction) -> str:
    name = printable(found.prediction or "")
    return name if found.confidence is None else f"{name} ({100 * found.confidence:.1f} %)"


def _json(found: Prediction, top: int | None) -> dict[str, Any]:
    shares = found.probabilities if top is None or found.probabilities is None else dict(found.best(top))
    return {
        "file": found.file,
        "prediction": found.prediction,
        "confidence": found.confidence,
        "probabilities": shares,
        "warning": found.warning,
    }


def _check_target(target: Path, inputs: Iterable[Path]) -> None:
    if os.path.isdir(target):
        raise UsageError(f"argument --save-seen: {target} is a folder")
    check_writable(target)
    if target.exists() and any(target.samefile(other) for other in inputs if other.exists()):
        raise UsageError(f"argument --save-seen: {target} is one of the pictures or the model")
    check_drawn(target)


def _save_sheet(target: Path, seen: list[Prediction]) -> None:
    """Writes the pictures that the network got on a sheet, with files and answers; whole or not at all."""
    if not seen:
        raise ValueError(f"nothing to write to {target}: there is no picture with ink")
    if len(seen) == MOST_SEEN:
        cli.complain("predict", f"{target} shows the first {MOST_SEEN:,} pictures")
    with replacing(target) as file:
        names = [f"{printable(found.file)}\n{_answer(found)}" for found in seen]
        sheet([found.seen for found in seen if found.seen is not None], names).save(file, "PNG", pnginfo=_mark())


def _mark() -> PngInfo:
    info = PngInfo()
    info.add_text("Software", DRAWN)
    return info
