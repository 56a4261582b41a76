"""`pynet export`: writes a model for another program."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pynet.commands import cli, data_options, table_options
from pynet.commands.outputs import check_new
from pynet.data import Dataset
from pynet.data.dataset import NAMED_SETS
from pynet.inference import load_model
from pynet.network import Network
from pynet.text import figure_text, figure_words, printable

MOST = 5000  # samples for calibration, spread over those for training
HELD_OUT = 5  # every fifth sample is for measuring, where the data have no test samples

EXAMPLES = """\
examples:
  pynet export mnist.safetensors --format onnx    mnist.onnx: the model for onnxruntime and others
  pynet export mnist.safetensors --format npz     mnist.npz: arrays for NumPy, pynet.import_npz reads it, too
  pynet export mnist.safetensors --format torch   mnist-torch.safetensors: weights for PyTorch's load_state_dict
  pynet export mnist.safetensors --format c       mnist.c and mnist.h: a function in C that needs no library
  pynet export mnist.safetensors --format c --int8 --calibrate mnist
                                                  the same in integers of 8 bits, for chips without floating point

DATA is mnist, fashion-mnist or digits, or a path as for `pynet evaluate --data`. Its training samples calibrate, those
for testing, or a fifth that is set aside, measure the accuracy before and after.
"""


def _npz(net: Network, place: Path, options: argparse.Namespace) -> None:
    from pynet.formats.npz import export_npz

    export_npz(net, place)


def _torch(net: Network, place: Path, options: argparse.Namespace) -> None:
    from pynet.formats.torch_tensors import export_torch

    export_torch(net, place)


def _onnx(net: Network, place: Path, options: argparse.Namespace) -> None:
    from pynet.formats.onnx_export import export_onnx

    export_onnx(net, place, input=options.input or "float32", logits=options.logits)


def _c(net: Network, place: Path, options: argparse.Namespace) -> list[str]:
    from pynet.formats.c_source import export_c
    from pynet.formats.int8_layers import folded

    found = None
    if options.int8:
        folded(net)  # refuses layers before any data are read
        found = _samples(net, options.calibrate, options.dataset)
    file = export_c(
        net,
        place,
        input=options.input,
        selftest=options.selftest,
        calibrate=None if found is None else found.x_train,
        test=None if found is None else (found.x_test, found.y_test),
        model=options.place,
    )
    lines = [f"needs  {file.constants:,} bytes for constants, and the code; {file.work:,} bytes of work memory"]
    return lines if found is None else [*lines, _report(net, file.scores, found)]


# ---- the samples of --int8: some to calibrate with, others to measure what the integers cost ----


def _samples(net: Network, calibrate: str, dataset: str | None) -> Dataset:
    """Training samples to calibrate with and test samples, of --dataset if it is given.

    calibrate: the value of --calibrate, a name or a path. ValueError: they do not fit the network; DataError.
    """
    found = _loaded(net, calibrate).with_test_set()
    if dataset:
        other = _loaded(net, dataset)
        found = replace(found, name=other.name, x_test=other.x_test, y_test=other.y_test)
    elif not len(found.x_test):
        x, y, held = found.x_train, found.y_train, slice(HELD_OUT - 1, None, HELD_OUT)
        kept = [i for i in range(len(x)) if i % HELD_OUT < HELD_OUT - 1]
        found = replace(found, x_train=x[kept], y_train=y[kept], x_test=x[held], y_test=y[held])
    if not len(found.x_test):
        raise ValueError(f"{found.name} has too few samples to measure the accuracy; --dataset NAME names others")
    return replace(found, x_train=found.x_train[:: -(-len(found.x_train) // MOST) or 1])


def _loaded(net: Network, name: str) -> Dataset:
    """A data set as the model takes it, by name or path, read as `pynet evaluate` reads it."""
    parser = cli.Parser("pynet export", "", "")
    data_options.add_data_options(parser.add_argument_group(), "")
    table_options.add_reading_options(parser.add_argument_group())
    named = name.lower().replace("_", "-") in NAMED_SETS
    options: argparse.Namespace = parser.parse_args(["--dataset" if named else "--data", name])
    return data_options.adapted(net, data_options.load_dataset(options, net), "the model")


def _report(net: Network, scores: tuple[float, ...], found: Dataset) -> str:
    """A line on the accuracy in floating point and in integers, or the errors of numbers."""
    name = "rmse" if net.task == "regression" else "accuracy"
    before, after = (figure_text(name, score) for score in scores)
    return (
        f"int8   {figure_words(name)} {before} in floating point, {after} in integers "
        f"({len(found.x_test):,} samples of {found.name} for testing); "
        f"calibrated on {len(found.x_train):,} others"
    )


# ---- the command ----

# Each with the end of the file's name. What is printed after the file is written is returned.
FORMATS: dict[str, tuple[str, Callable[[Network, Path, argparse.Namespace], Any]]] = {
    "onnx": (".onnx", _onnx),
    "npz": (".npz", _npz),
    "torch": ("-torch.safetensors", _torch),
    "c": (".c", _c),
}


def _default(place: Path, kind: str) -> Path:
    """The file for a model, in the working folder."""
    from pynet.formats.c_source import c_name

    return Path(f"{c_name(place.stem) if kind == 'c' else place.stem}{FORMATS[kind][0]}")


def export(options: argparse.Namespace) -> None:
    """Runs the command with parsed options."""
    place, net = load_model(options.model)
    options.place = place
    target = options.save or _default(place, options.format)
    written = [target, target.with_suffix(".h")] if options.format == "c" else [target]
    for file in written:
        check_new(file, options.force)
    _, write = FORMATS[options.format]
    lines = write(net, target, options) or []
    cli.print_stdout(f"model  {printable(place)}: {net.spec}")
    cli.print_stdout(f"saved  {', '.join(f'{printable(file)}, {file.stat().st_size:,} bytes' for file in written)}")
    for line in lines:
        cli.print_stdout(printable(line))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.Parser("pynet export", "Writes a model for another program.", EXAMPLES)
    newest = "default: the newest in the working folder"
    parser.add_argument("model", metavar="MODEL", nargs="?", type=cli.path, help=f"a model that pynet saved ({newest})")
    parser.add_argument("--format", choices=FORMATS, required=True, help="what the other program reads")
    kinds = "of ONNX and C: uint8 for bytes, divided by 255 (default: float32; in C, what the model was trained on)"
    parser.add_argument("--input", choices=("float32", "uint8"), help=kinds)
    parser.add_argument("--logits", action="store_true", help="of ONNX: leave out a closing softmax or sigmoid")
    selftest = "of C: add a main that returns 0 if ten samples give what they give here"
    parser.add_argument("--selftest", action="store_true", help=selftest)
    parser.add_argument("--int8", action="store_true", help="of C: in integers of 8 bits; needs --calibrate")
    parser.add_argument("--calibrate", metavar="DATA", help="of --int8: samples that the scales are taken from")
    parser.add_argument("--dataset", metavar="NAME", help="of --int8: measure on the test samples of this data set")
    parser.add_argument(
        "--save", metavar="FILE", type=cli.path, help="default: the model's name, in the working folder"
    )
    parser.add_argument("--force", action="store_true", help="replace files that exist")
    options = parser.parse_args(argv)
    if options.format not in ("onnx", "c") and options.input:
        parser.error("--input is for --format onnx and c")
    if options.format != "onnx" and options.logits:
        parser.error("--logits is for --format onnx")
    if options.format != "c" and (options.selftest or options.int8):
        parser.error("--selftest and --int8 are for --format c")
    if options.int8 != (options.calibrate is not None):
        parser.error("--int8 needs --calibrate DATA, samples like those of the training, and --calibrate needs --int8")
    if options.dataset and not options.int8:
        parser.error("--dataset is for --int8")
    return options


main = cli.command("export", _parse, export)
