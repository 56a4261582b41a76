"""`pynet predict`: classifies pictures."""

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

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pynet.commands import cli, data_options, table_options
from pynet.commands.cli import Parser, UsageError, number, path, whole
from pynet.commands.outputs import check_picture_path
from pynet.commands.predict_table import predict_table
from pynet.data.read_table import is_table_file
from pynet.data.table_model import table_of
from pynet.errors import DataError
from pynet.files import check_writable, replacing
from pynet.inference import PAGE, Prediction, PreparedPicture, load_model, predictions, preparation_of, prepared_picture
from pynet.network import Network
from pynet.pictures.decode import SCALE, SUFFIXES, in_parallel, picture_files, read_picture
from pynet.pictures.preparation import Preparation
from pynet.pictures.sheet import marked, sheet, stacked
from pynet.text import DRAWN, drawn, figure_text, figure_words, json_text, printable

BATCH_SIZE = 256  # pictures in one call of the network
MAX_SHEET = 1000  # pictures drawn by --save-seen
MAX_PAGES = 20  # pages of several characters drawn by --save-seen
MAX_STDIN = 1 << 28  # bytes of a picture from standard input
BAR_WIDTH = 30  # characters of a bar for 100 %

EXAMPLES = """\
examples:
  pynet predict three.jpg                            with the newest model in this folder
  pynet predict three.jpg --show                     also draw the network's input
  pynet predict photos/ more/*.png --top 2           for each picture the two likeliest classes
  pynet predict page.png                             several characters: each is named, line by line
  pynet predict - --json < three.png                 a JSON array: file, prediction, confidence, ...
  pynet predict --model letters.safetensors a.png
  pynet predict new.csv > predictions.csv            rows of a table: row,prediction,confidence
  pynet predict test.csv > submission.csv            rows of pixels: ImageId,Label, as Kaggle wants them

A picture is prepared like those of the model's data set: the ink is found, cropped and centred; --save-seen shows the
result. Exit status 0: all pictures were read; 1: some were not (the others are classified), or another error; 2: wrong
options; 130: Ctrl-C.
"""

# ---- the command ----------------------------------------------------------------------------------------------------


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
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
    inverted = "dark ink on light paper, or with --no-invert light on dark (default: detected)"
    add("--invert", action=argparse.BooleanOptionalAction, help=inverted)
    positive = number(1e-3, 1e6, "a number from 0.001 to below 1000000")
    temperature = "of the softmax; above 1 lowers the confidence (default: 1)"
    add("--temperature", metavar="T", type=positive, default=1.0, help=temperature)
    top = "print the K likeliest classes, of rows, too (default: all for a single picture, else the best)"
    add("--top", metavar="K", type=whole(1), help=top)
    single = "take all ink as one character (default: find several, and name each, line by line)"
    add("--single", action="store_true", help=single)
    add("--show", action="store_true", help="draw the network's input as text")
    seen = "draw the network's inputs with their predictions as a .png; a page with its characters framed"
    add("--save-seen", metavar="FILE", type=_png, help=seen)
    table_options.add_reading_options(parser.add_argument_group("tables"))
    as_json = "print an array of {file, prediction, confidence, probabilities, ...}; of a table {row, prediction, ...}"
    add("--json", action="store_true", help=as_json)
    return parser.parse_args(argv)


def _png(text: str) -> Path:
    if Path(text).suffix.lower() != ".png":
        cli.refuse(text, "a file with the suffix .png")
    return Path(text)


def predict(options: argparse.Namespace) -> int:
    """Runs the command with parsed options; returns 1 if a picture could not be read."""
    model, net = load_model(options.model)
    if table_of(net) or any(map(is_table_file, options.images)):
        return predict_table(options, net)
    preparation = preparation_of(net)
    sources = [source for given in options.images for source in _sources(given)]
    if options.save_seen:
        _check_target(options.save_seen, [model, *(source for source in sources if isinstance(source, Path))])
    if not options.json:
        cli.print_stdout(_title(model, net))
    single = len(sources) == 1
    status, objects = 0, []
    seen: list[Prediction] = []
    pages: list[Prediction] = []
    for prediction in _predictions(net, preparation, sources, options):
        if not prediction.readable:
            status = 1
            cli.print_stderr("predict", f"error: {prediction.warning}")
        elif not options.json:
            cli.print_stdout(_text(prediction, options.top or (math.inf if single else 0)))
            for one in _each(prediction) if options.show else ():
                if one.seen is not None:
                    cli.print_stdout(drawn(one.seen))
        if options.json:
            objects.append(_json(prediction, options.top))
        if options.save_seen and prediction.prediction is not None:
            if prediction.page is None and len(seen) < MAX_SHEET:
                seen.append(prediction)
            elif prediction.page is not None and len(pages) < MAX_PAGES:
                pages.append(prediction)
    if options.json:
        print(json_text(objects))
    if options.save_seen:
        _save_sheet(options.save_seen, pages, seen)
    return status


main = cli.command("predict", _parse, predict)


def _sources(given: Path) -> list[Path | DataError]:
    """The picture files of an argument: a file, or those in a folder."""
    if not given.is_dir():
        return [given]
    try:
        files: list[Path | DataError] = [*picture_files(given)]
    except OSError as error:
        return [DataError(f"{error.filename}: cannot be read: {error.strerror}")]
    return files or [
        DataError(f"{given}: no pictures in this folder; accepted suffixes: {', '.join(sorted(SUFFIXES))}")
    ]


def _predictions(
    net: Network, preparation: Preparation, sources: list[Path | DataError], options: argparse.Namespace
) -> Iterator[Prediction]:
    """The predictions for the sources, in order."""

    def prepared(source: Path | DataError) -> PreparedPicture:
        if isinstance(source, DataError):
            return PreparedPicture(str(source).partition(": ")[0], error=source)
        try:
            image = read_picture(_stdin() if str(source) == "-" else source, PAGE, partly=True)
            return prepared_picture(net, str(source), image, preparation, options.invert, options.single)
        except DataError as error:
            return PreparedPicture(str(source), error=error)

    stream = in_parallel(prepared, sources)
    while batch := list(islice(stream, BATCH_SIZE)):
        yield from predictions(net, batch, options.temperature)


def _stdin() -> io.BytesIO:
    if sys.stdin is None:
        raise DataError("-: standard input is closed")
    content = sys.stdin.buffer.read(MAX_STDIN + 1)
    if not 0 < len(content) <= MAX_STDIN:
        raise DataError(
            f"-: {len(content):,} bytes on standard input; accepted: a picture of up to {MAX_STDIN:,} bytes"
        )
    file = io.BytesIO(content)
    file.name = "-"
    return file


# ---- what is printed ------------------------------------------------------------------------------------------------


def _title(model: Path, net: Network) -> str:
    facts = []
    if name := net.meta.get("dataset"):
        facts.append(f"trained on {printable(name)}")
    with contextlib.suppress(KeyError, ValueError):  # the note may be missing or not a number
        figure = "rmse" if net.task == "regression" else "accuracy"
        value = float(net.meta[f"test_{figure}"])
        facts.append(f"test {figure_words(figure)} {figure_text(figure, value)}")
    return f"model {printable(model)}" + (f": {', '.join(facts)}" if facts else "")


def _text(prediction: Prediction, lines: float) -> str:
    """The predicted class, and below it the probabilities of that many classes; all (inf) in the network's order."""
    if prediction.prediction is None:
        return f"{printable(prediction.file)}: {prediction.warning}"
    text = f"{printable(prediction.file)}: {_prediction_text(prediction)}"
    text += f", {prediction.warning}" if prediction.warning else ""
    for line in prediction.lines if lines else ():
        row = [[(character.prediction or "", character.confidence or 0)] for character in line]
        if lines != math.inf:
            row = [character.best(int(lines)) for character in line]
        cells = ["  ".join(f"{printable(name)} {100 * share:.1f} %" for name, share in best) for best in row]
        text += "\n" + ("    ".join(cells) if lines == math.inf else "\n".join(cells))
    if prediction.probabilities is None:
        return text
    shown = prediction.probabilities.items() if lines == math.inf else prediction.best(int(lines))
    names = [printable(name) for name, _ in shown]
    width = max(map(len, names), default=0)
    for (name, share), name_shown in zip(shown, names, strict=True):
        bar = "#" * round(BAR_WIDTH * min(max(share, 0), 1))
        mark = ">" if name == prediction.prediction else " "
        text += f"\n{mark} {name_shown:>{width}} {100 * share:6.2f} %  {bar}".rstrip()
    return text


def _prediction_text(prediction: Prediction) -> str:
    name = printable(prediction.prediction or "")
    if prediction.confidence is None:
        return name
    share = f"{100 * prediction.confidence:.1f} %"
    if prediction.lines:
        share = f"each {share}" + (" or more" if share != "100.0 %" else "")
    return f"{name} ({share})"


def _each(prediction: Prediction) -> list[Prediction]:
    """The predictions for the characters of a picture."""
    return [character for line in prediction.lines for character in line] or [prediction]


def _json(prediction: Prediction, top: int | None) -> dict[str, Any]:
    shares = prediction.probabilities if top is None or prediction.probabilities is None else dict(prediction.best(top))
    text: dict[str, Any] = {
        "file": prediction.file,
        "prediction": prediction.prediction,
        "confidence": prediction.confidence,
        "probabilities": shares,
        "warning": prediction.warning,
        "box": prediction.box,
    }
    if prediction.lines:
        text["lines"] = [[_json(character, top) for character in line] for line in prediction.lines]
    return text


def _check_target(target: Path, inputs: Iterable[Path]) -> None:
    if os.path.isdir(target):
        raise UsageError(f"argument --save-seen: {target} is a folder")
    check_writable(target)
    if target.exists() and any(target.samefile(other) for other in inputs if other.exists()):
        raise UsageError(f"argument --save-seen: {target} is one of the pictures or the model")
    check_picture_path(target)


def _save_sheet(target: Path, pages: list[Prediction], seen: list[Prediction]) -> None:
    """Writes pages with their characters framed, and what the network got of other pictures; whole or not at all."""
    if not pages and not seen:
        raise ValueError(f"nothing to write to {target}: there is no picture with ink")
    for kind, shown, most in (("pages", pages, MAX_PAGES), ("pictures", seen, MAX_SHEET)):
        if len(shown) == most:
            cli.print_stderr("predict", f"{target} shows the first {most:,} {kind}")
    images = [_marked(prediction) for prediction in pages]
    if seen:
        names = [f"{printable(prediction.file)}\n{_prediction_text(prediction)}" for prediction in seen]
        images.append(sheet([prediction.seen for prediction in seen if prediction.seen is not None], names))
    with replacing(target) as file:
        stacked(images).save(file, "PNG", pnginfo=_mark())


def _marked(prediction: Prediction) -> Image.Image:
    """A page with its characters framed and named."""
    assert prediction.page is not None
    named = [(one.box, printable(one.prediction or "")) for one in _each(prediction) if one.box is not None]
    return marked(prediction.page, prediction.page.info.get(SCALE, 1), named)


def _mark() -> PngInfo:
    info = PngInfo()
    info.add_text("Software", DRAWN)
    return info
