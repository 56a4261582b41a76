"""`pynet info FILE`: shows what a model file holds."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pynet.commands import cli
from pynet.data.columns import NOTE as TABLE_NOTE
from pynet.data.columns import Columns
from pynet.files import sha256_of
from pynet.inference import load_model
from pynet.network import Network
from pynet.text import json_text, printable
from pynet.training import novelty
from pynet.training.history import History

EXAMPLES = """\
examples:
  pynet info mnist.safetensors
  pynet info                                 the newest model in the working folder
  pynet info mnist.safetensors --json
"""
FIRST_NOTES: tuple[str, ...] = ("dataset", "epochs", "batch_size", "learning_rate", "seed")
FIRST_NOTES += ("test_accuracy", "test_rmse", "test_mae", "test_r2", "made_by")


def facts(path: Path, net: Network) -> dict[str, Any]:
    """Everything known about a model file, as JSON values."""
    notes = dict(net.meta)
    notes.pop("classes", None)
    if novelty.NOTE in notes:
        notes[novelty.NOTE] = "measured"  # thousands of numbers
    rows = History.from_note(notes.pop("history", "")).rows()
    known = [name for name in FIRST_NOTES if name in notes]
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "sha256": sha256_of(path),
        "net": net.spec,
        "loss": net.loss_name,
        "task": net.task,
        "seed": net.seed,
        "classes": net.classes,
        "parameters": net.parameters,
        "tensors": {name: list(tensor.shape) for name, tensor in net.tensors.items()},
        "weights_sha256": net.weights_sha256(),
        "history": [{name: value if math.isfinite(value) else None for name, value in row.items()} for row in rows],
        "notes": {name: notes[name] for name in [*known, *(name for name in notes if name not in known)]},
    }


def _text(found: dict[str, Any], net: Network) -> str:
    size = 4 * net.parameters
    lines = [
        f"file        {printable(found['file'])}, {found['bytes']:,} bytes",
        f"sha256      {found['sha256']}",
        f"network     {net.spec}",
        f"loss        {net.loss_name}",
        f"classes     {printable(', '.join(net.classes))}" if net.task != "regression" else "outputs     numbers",
        f"parameters  {net.parameters:,} ({size:,} bytes), sha256 {found['weights_sha256']}",
        "",
        net.summary(),
        "",
    ]
    width = max([len(name) for name in found["notes"]], default=0)
    shown = {name: _columns(note) if name == TABLE_NOTE else note for name, note in found["notes"].items()}
    lines += [f"{printable(name):<{width}}  {printable(value)}" for name, value in shown.items()]
    return "\n".join(lines if found["notes"] else [*lines, "no notes on the training"])


def _columns(note: str) -> str:
    """The note on a table in words; as it is if it is damaged."""
    try:
        columns = Columns.from_note(note)
    except ValueError:
        return note
    names = ", ".join(column.name for column in columns.inputs)
    return f"{columns.target.name} ({columns.target.task}) from {names}"


def info(options: argparse.Namespace) -> None:
    """Runs the command with parsed options."""
    path, net = load_model(options.file)
    found = facts(path, net)
    if options.json:
        print(json_text(found))
    else:
        cli.print_stdout(_text(found, net))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.Parser("pynet info", "Shows what a model file holds: network, sizes, training, checksums.", EXAMPLES)
    newest = "default: the newest in the working folder"
    parser.add_argument("file", metavar="FILE", nargs="?", type=cli.path, help=f"a model that pynet saved ({newest})")
    parser.add_argument("--json", action="store_true", help="print one JSON object, and nothing else")
    return parser.parse_args(argv)


main = cli.command("info", _parse, info)
