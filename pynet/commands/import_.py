"""`pynet import`: makes a model of a file that another program wrote."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pynet._ffi import VERSION
from pynet.commands import cli
from pynet.commands.outputs import check_new
from pynet.inference import MODEL_SUFFIX
from pynet.network import Network
from pynet.text import printable

EXAMPLES = """\
examples:
  pynet import model.onnx
  pynet import weights.npz --net "input(784) dense(32) relu dense(10) softmax"
  pynet import cnn.safetensors --net "input(1,28,28) conv(8,3) relu maxpool(2) dense(10) softmax" \\
      --map conv1=0,fc1=3 --mean 0.1307 --std 0.3081

A .safetensors file holds a PyTorch state dict: safetensors.torch.save_file(model.state_dict(), "cnn.safetensors").
--mean and --std are those of its Normalize, for inputs from 0 to 1.
"""


SUFFIXES = (".onnx", ".safetensors", ".npz")


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        cli.refuse(text, "numbers, as in 0.1307 or 0.49,0.48,0.45")


def _names(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(name and layer for name, _, layer in pairs) or len({name for name, _, _ in pairs}) < len(pairs):
        cli.refuse(text, "names of modules with numbers of layers, as in conv1=0,fc1=4")
    return {name: layer for name, _, layer in pairs}


def _imported(options: argparse.Namespace) -> Network:
    """The network of the file, by the end of its name."""
    from pynet.formats.torch_tensors import import_torch, standardized

    kind = options.file.suffix.lower()
    if kind == ".safetensors":
        return import_torch(options.file, options.net, names=options.map, mean=options.mean, std=options.std)
    if kind == ".npz":
        from pynet.formats.npz import import_npz

        net = import_npz(options.file, options.net)
    else:
        from pynet.formats.onnx_import import import_onnx

        net = import_onnx(options.file)
    return standardized(net, options.mean or [0.0], options.std or [1.0]) if options.mean or options.std else net


def import_(options: argparse.Namespace) -> None:
    """Runs the command with parsed options."""
    target = options.save or Path(f"{options.file.stem}{MODEL_SUFFIX}")
    if not options.save and target.exists() and target.samefile(options.file):
        target = Path(f"{options.file.stem}-pynet{MODEL_SUFFIX}")
    check_new(target, options.force)
    net = _imported(options)
    net.meta.setdefault("made_by", f"pynet {VERSION}, from {printable(options.file.name)}")
    net.save(target)
    cli.print_stdout(f"file   {printable(options.file)}")
    cli.print_stdout(f"model  {net.spec}")
    cli.print_stdout(f"saved  {printable(target)}, {net.parameters:,} parameters")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.Parser("pynet import", "Makes a model of a file that another program wrote.", EXAMPLES)
    parser.add_argument("file", metavar="FILE", type=cli.path, help=f"a model or weights: {', '.join(SUFFIXES)}")
    parser.add_argument("--net", metavar="TEXT", help="the network that the weights are for, unless FILE has it")
    parser.add_argument(
        "--map", metavar="NAME=LAYER,..", type=_names, help="the layer of each PyTorch module; default: by their shapes"
    )
    parser.add_argument("--mean", metavar="M,..", type=_numbers, help="inputs are standardised: (x - M) / S")
    parser.add_argument("--std", metavar="S,..", type=_numbers, help="one number, or one for each channel")
    parser.add_argument(
        "--save", metavar="FILE", type=cli.path, help="default: the name of FILE, in the working folder"
    )
    parser.add_argument("--force", action="store_true", help="replace a file that exists")
    options = parser.parse_args(argv)
    kind = options.file.suffix.lower()
    if kind not in SUFFIXES:
        parser.error(f"{str(options.file)!r:.80} is not accepted; accepted: {', '.join(SUFFIXES)} files")
    if options.map and kind != ".safetensors":
        parser.error("--map is for .safetensors files")
    if options.net and kind == ".onnx":
        parser.error("--net is for weights; an .onnx file has its network")
    return options


main = cli.command("import", _parse, import_)
