"""What the commands share: how options refuse, how an error becomes one line, and the exit status."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import math
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from pynet.text import printable

EXPECTED = (OSError, ValueError, ArithmeticError, MemoryError, KeyboardInterrupt)  # anything else is a fault of ours

SYNONYMS = {  # what options are called elsewhere
    "learning-rate": "--lr",
    "rate": "--lr",
    "validation-split": "--val-split",
    "early-stopping": "--patience",
    "layers": "--hidden",
    "output": "--save",
}


class UsageError(Exception):
    """What was asked for cannot be: exit status 2."""


class Stopped(Exception):
    """A command ended early, for `cause`; `note` says what became of its work."""

    def __init__(self, cause: BaseException, note: str) -> None:
        self.cause, self.note = cause, note


# ---- options --------------------------------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises UsageError, takes no abbreviations and prints its epilog as it stands."""

    def __init__(self, prog: str, description: str, epilog: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raises UsageError."""
        raise UsageError(message)

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: None = None
    ) -> argparse.Namespace:
        """As usual, but for an option that there is not it names the one that was meant, if it can tell."""
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            name = unknown[0].partition("=")[0]
            near = self._meant(name)
            kind = "option" if name.startswith("-") else "argument"
            self.error(f"there is no {kind} {name!r:.80}" + (f", did you mean {near}?" if near else ""))
        return options

    def _meant(self, name: str) -> str | None:
        known = [option for option in self._option_string_actions if option.startswith("--")]
        plain = name.lower().replace("_", "-")
        synonym = SYNONYMS.get(plain.lstrip("-"))
        if synonym in known:
            return synonym
        return next(iter(difflib.get_close_matches(f"--{plain.lstrip('-')}", known, 1, 0.7)), None)


def refuse(text: str, accepted: str) -> NoReturn:
    """Says that an option's value is not accepted, and what is."""
    raise argparse.ArgumentTypeError(f"{text!r:.80} is not accepted; accepted: {accepted}")


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """An option's type: whole numbers from least to most."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            refuse(text, f"a whole number, {least} or more" if most is None else f"a whole number, {least} to {most}")
        return value

    return read


def number(least: float, below: float, accepted: str) -> Callable[[str], float]:
    """An option's type: numbers from least to below `below`."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value < below:
            refuse(text, accepted)
        return value

    return read


def path(text: str) -> Path:
    """An option's type: the name of a file or folder."""
    if not text:
        refuse(text, "the name of a file")
    return Path(text)


def program() -> str:
    """How this pynet is called from here: "pynet", its path, or a module of its Python."""
    script = sys.argv[0]
    if os.path.basename(script) != "pynet":
        return f"{_nearer(sys.executable)} -m pynet"
    found = shutil.which("pynet")
    return "pynet" if found and os.path.realpath(found) == os.path.realpath(script) else _nearer(script)


def _nearer(place: str) -> str:
    """A path from the working folder, if it lies in there."""
    relative = os.path.relpath(place)
    return place if relative.startswith("..") else relative


# ---- running --------------------------------------------------------------------------------------------------------


def run(name: str, body: Callable[[], int | None]) -> int:
    """Runs the body of `pynet name`. Returns the exit status: its own or 0, 1 (error), 2 (options), 130 (Ctrl-C)."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name may be no text
    try:
        status = body()
        print(end="", flush=True)  # what cannot be written shall fail here
        return status or 0
    except Stopped as stopped:
        return _fail(name, stopped.cause, stopped.note)
    except (UsageError, *EXPECTED) as error:
        return _fail(name, error)


def _fail(name: str, error: BaseException, note: str = "") -> int:
    """Says in one line what went wrong; the exit status."""
    if isinstance(error, KeyboardInterrupt):
        complain(name, f"stopped{note}")
        return 130
    if isinstance(error, OSError):
        _abandon_stdout()
    message = " ".join(str(error).split()) or "out of memory"
    if isinstance(error, BrokenPipeError):
        message = "nobody reads the output any more"
    if isinstance(error, UsageError):
        note = f"{'' if message.endswith('?') else ';'} pynet {name} --help lists the options"
    complain(name, f"error: {message}{note}")
    return 2 if isinstance(error, UsageError) else 1


def say(text: object) -> None:
    """Prints lines on stdout; all that commands print but JSON goes through here or complain().

    A name from a file may hold line ends, too: whoever puts one into a line makes it printable() first.
    """
    print("\n".join(printable(line) for line in str(text).split("\n")), flush=True)


def complain(name: str, text: str) -> None:
    """One line on stderr."""
    with contextlib.suppress(OSError):  # a broken stderr leaves the exit status to tell
        print(f"pynet {name}: {printable(text)}", file=sys.stderr)


def _abandon_stdout() -> None:
    """If stdout takes no more, what it still holds must not fail again when Python ends."""
    try:
        print(end="", flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
