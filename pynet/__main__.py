"""The `pynet` command, also `python -m pynet`: each subcommand is a module of pynet.commands."""

from __future__ import annotations

import difflib
import importlib
import keyword
import sys
from collections.abc import Sequence

from pynet._ffi import VERSION
from pynet.commands import cli

COMMANDS = {  # each is pynet.commands.<name>, or <name>_ of a keyword, with a main(argv) -> status
    "train": "train a network on a data set and save it",
    "predict": "apply a trained network to pictures or tables",
    "evaluate": "measure a model on a data set, class by class",
    "visualize": "draw a model, its data and its predictions",
    "info": "show what a model file holds",
    "export": "write a model for another program",
    "import": "make a model of a file that another program wrote",
    "play": "draw, look into a network and train one, in the browser",
}


SYNONYMS = {  # what does these things
    "explain": "train --explain",
    "fit": "train",
    "test": "evaluate",
    "plot": "visualize",
    "draw": "visualize",
    "show": "info",
    "summary": "info",
    "classify": "predict",
    "web": "play",
}


def usage() -> str:
    """The help text: all subcommands."""
    lines = [f"  {name:<10}{what}" for name, what in COMMANDS.items()]
    return "\n".join(
        ["usage: pynet COMMAND [options]", "", *lines, "", "pynet COMMAND --help lists its options; pynet --version"]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a subcommand; argv None means sys.argv. Returns the exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    name = given[0] if given else "--help"
    if name in COMMANDS:
        module = f"pynet.commands.{name}{'_' * keyword.iskeyword(name)}"
        return int(importlib.import_module(module).main(given[1:]))
    return cli.run("", lambda: _without_command(name))


def _without_command(name: str) -> int:
    if name in ("-h", "--help"):
        print(usage())
        return 0
    if name == "--version":
        print(f"pynet {VERSION}")
        return 0
    near = SYNONYMS.get(name) or next(iter(difflib.get_close_matches(name, COMMANDS, 1)), "")
    hint = f"did you mean {near!r}?" if near else f"accepted: {', '.join(COMMANDS)}"
    cli.print_stderr("", f"error: no command {name!r}; {hint}")
    return 2


if __name__ == "__main__":
    sys.exit(main())
