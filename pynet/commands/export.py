"""`pynet export`: writes a model for another program."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pynet.commands import cli
from pynet.commands.outputs import check_new
from pynet.inference import load_model
from pynet.network import Network
from pynet.text import printable

EXAMPLES = """\
examples:
  pynet export mnist.safetensors --format onnx    mnist.onnx: the model for onnxruntime and others
  pynet export mnist.safetensors --format npz     mnist.npz: arrays for NumPy, pynet.import_npz reads it, too
  pynet export mnist.safetensors --format torch   mnist-torch.safetensors: weights for PyTorch's load_state_dict
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


# Each with the end of the file's name.
FORMATS: dict[str, tuple[str, Callable[[Network, Path, argparse.Namespace], Any]]] = {
    "onnx": (".onnx", _onnx),
    "npz": (".npz", _npz),
    "torch": ("-torch.safetensors", _torch),
}


def export(options: argparse.Namespace) -> None:
    """Runs the command with parsed options."""
    place, net = load_model(options.model)
    suffix, write = FORMATS[options.format]
    target = options.save or Path(f"{place.stem}{suffix}")
    check_new(target, options.force)
    write(net, target, options)
    cli.print_stdout(f"model  {printable(place)}: {net.spec}")
    cli.print_stdout(f"saved  {printable(target)}, {target.stat().st_size:,} bytes")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.Parser("pynet export", "Writes a model for another program.", EXAMPLES)
    newest = "default: the newest in the working folder"
    parser.add_argument("model", metavar="MODEL", nargs="?", type=cli.path, help=f"a model that pynet saved ({newest})")
    parser.add_argument("--format", choices=FORMATS, required=True, help="what the other program reads")
    parser.add_argument(
        "--input", choices=("float32", "uint8"), help="of ONNX: uint8 for bytes, divided by 255 (default: float32)"
    )
    parser.add_argument("--logits", action="store_true", help="of ONNX: leave out a closing softmax or sigmoid")
    parser.add_argument(
        "--save", metavar="FILE", type=cli.path, help="default: the model's name, in the working folder"
    )
    parser.add_argument("--force", action="store_true", help="replace a file that exists")
    options = parser.parse_args(argv)
    if options.format != "onnx" and (options.input or options.logits):
        parser.error("--input and --logits are for --format onnx")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; argv None means sys.argv. Returns the exit status: 0, 1, 2 or 130."""
    return cli.run("export", lambda: export(_parse(argv)))
