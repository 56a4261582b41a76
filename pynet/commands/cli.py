"""What the commands share: how options refuse, how an error becomes one line, and the exit status."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import math
import os
import re
import shlex
import shutil
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from pynet.text import printable

# Printed as one line; any other exception is a bug in pynet and shows its traceback.
EXPECTED_ERRORS = (OSError, ValueError, ArithmeticError, MemoryError, KeyboardInterrupt)

SYNONYMS = {  # names of these options in other programs
    "learning-rate": "--lr",
    "rate": "--lr",
    "validation-split": "--val-split",
    "early-stopping": "--patience",
    "layers": "--hidden",
    "output": "--save",
}


class UsageError(Exception):
    """The options are wrong or do not go together: exit status 2."""


class Stopped(Exception):
    """A command ended early because of `cause`; `note`, for the message, is what was saved."""

    def __init__(self, cause: BaseException, note: str) -> None:
        self.cause, self.note = cause, note


# ---- options --------------------------------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises UsageError, accepts no abbreviations and prints its epilog unchanged."""

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

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """As argparse does, with the accepted value that was probably meant."""
        if action.choices is not None and value not in action.choices:
            known = list(map(str, action.choices))
            raise argparse.ArgumentError(action, f"invalid choice: {value!r:.80}; {meant(str(value), known)}")

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: None = None
    ) -> argparse.Namespace:
        """As argparse does, but an unknown option is an error that suggests a similar one."""
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            name = unknown[0].partition("=")[0]
            near = self._with_comma(args, name) or self.similar_option(name)
            kind = "option" if name.startswith("-") else "argument"
            self.error(f"there is no {kind} {name!r:.80}" + (f", did you mean {near}?" if near else ""))
        return options

    def _with_comma(self, args: Sequence[str] | None, name: str) -> str | None:
        """The option whose list with commas this word was to continue: --hidden 64,32 of --hidden 64 32."""
        words = list(sys.argv[1:] if args is None else args)
        before = words[: words.index(name)] if name in words else []
        action = self._option_string_actions.get(before[-2]) if len(before) > 1 else None
        if action is None or "," not in str(action.metavar):
            return None
        return f"{before[-2]} {before[-1].rstrip(',')},{name.strip(',')}"

    def similar_option(self, name: str) -> str | None:
        """The option that was probably meant by a word that is none, or the one that a file belongs to."""
        known = [option for option in self._option_string_actions if option.startswith("--")]
        if not name.startswith("-"):
            options = ("--model", "--load") if name.endswith(".safetensors") else ("--data",)
            meant = next((option for option in options if option in known), None)
            return f"{meant} {shlex.quote(name)}" if meant and os.path.exists(name) else None
        plain = name.lower().replace("_", "-")
        synonym = SYNONYMS.get(plain.lstrip("-"))
        if synonym in known:
            return synonym
        return next(iter(difflib.get_close_matches(f"--{plain.lstrip('-')}", known, 1, 0.7)), None)


def meant(word: str, known: Sequence[str]) -> str:
    """What is accepted in place of a word, for a message, and which of it was probably meant."""
    near = difflib.get_close_matches(word.lower(), known, 1)
    return f"{f'did you mean {near[0]!r}? ' if near else ''}accepted: {', '.join(known)}"


def refuse(text: str, accepted: str) -> NoReturn:
    """Raises argparse's error for an option's value, with what is accepted."""
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


def wholes(least: int, example: str) -> Callable[[str], list[int]]:
    """An option's type: whole numbers from least on, with commas between them."""

    def read(text: str) -> list[int]:
        parts = text.removesuffix(",").split(",")
        for part in parts:
            if not part.strip().isdecimal() or int(part) < least:
                refuse(part, f"whole numbers, {least} or more, with commas between them, {example}")
        return [int(part) for part in parts]

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
    """An option's type: a path that is not empty."""
    if not text:
        refuse(text, "the name of a file")
    return Path(text)


def program() -> str:
    """The words that start this pynet in a shell: "pynet", its path, or "PYTHON -m pynet"."""
    script = sys.argv[0]
    if os.path.basename(script) != "pynet":
        installed = os.path.join(os.path.dirname(sys.executable), "pynet")
        return _relative(installed) if os.path.exists(installed) else f"{_relative(sys.executable)} -m pynet"
    found = shutil.which("pynet")
    return "pynet" if found and os.path.realpath(found) == os.path.realpath(script) else _relative(script)


def _relative(place: str) -> str:
    """The path relative to the working folder, if it is inside that folder."""
    try:
        relative = os.path.relpath(place)
    except OSError:  # the working folder was deleted
        return place
    return place if relative.startswith("..") else relative


def flag(name: str) -> str:
    """The option that sets this attribute: "--batch-size" of batch_size."""
    return f"--{name.replace('_', '-')}"


def named(arguments: Sequence[str]) -> set[str]:
    """The names of the options that are given: "--lr" of "--lr=0.1"."""
    return {word.partition("=")[0] for word in arguments}


def width() -> int:
    """The columns of the terminal, or of $COLUMNS; 120 where there is neither, as in a pipe."""
    return shutil.get_terminal_size((120, 24)).columns


# ---- running --------------------------------------------------------------------------------------------------------


def run(name: str, body: Callable[[], int | None]) -> int:
    """Runs the body of `pynet name`, or of pynet itself where name is "".

    Returns the exit status: that of the body or 0, 1 (error), 2 (options), 130 (Ctrl-C), 143 (SIGTERM), 129 (SIGHUP),
    141 (the reader of stdout closed it).
    Signal handlers, warning filters and streams are restored afterwards.
    """
    with _streams(), _signals(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")  # its warnings about pictures are of no use to the user
        try:
            try:
                status = body()
            except SystemExit:  # raised by --help
                print(end="", flush=True)
                raise
            print(end="", flush=True)  # a full disk or closed pipe must fail here, not when Python exits
            return status or 0
        except Stopped as stopped:
            return _fail(name, stopped.cause, stopped.note)
        except (UsageError, *EXPECTED_ERRORS) as error:
            return _fail(name, error)


def command(
    name: str,
    parse: Callable[[Sequence[str] | None], argparse.Namespace],
    body: Callable[[argparse.Namespace], int | None],
) -> Callable[[Sequence[str] | None], int]:
    """The main(argv) of `pynet name`, which returns the exit status; argv None means sys.argv."""

    def main(argv: Sequence[str] | None = None) -> int:
        return run(name, lambda: body(parse(argv)))

    return main


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: handled like Ctrl-C."""

    def __init__(self, number: int) -> None:
        self.number = number


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """Makes SIGTERM and SIGHUP raise Terminated, unless the process already handles or ignores them."""

    def handle(number: int, _: object) -> NoReturn:
        raise Terminated(number)

    handled = []
    if threading.current_thread() is threading.main_thread():
        known = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
        handled = [number for number in known if signal.getsignal(number) == signal.SIG_DFL]
    for number in handled:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def _streams() -> Iterator[None]:
    """Makes sure that all three standard streams exist and that stdout can print any file name.

    A process can be started with a stream closed. Then the next file to be opened would get the stream's number, and
    what is printed to a missing stderr would go to stdout; devnull takes its place.
    """
    with contextlib.ExitStack() as stack:
        for name, mode in (("stdin", "r"), ("stdout", "a"), ("stderr", "a")):
            if getattr(sys, name) is None:
                devnull = stack.enter_context(open(os.devnull, mode))
                if mode == "a":
                    setattr(sys, name, devnull)
                    stack.callback(setattr, sys, name, None)
        if isinstance(sys.stdout, io.TextIOWrapper):
            stack.callback(_set_errors, sys.stdout, sys.stdout.errors)
            _set_errors(sys.stdout, "backslashreplace")  # a file name may hold bytes that are not text
        yield


def _set_errors(stream: io.TextIOWrapper, errors: str | None) -> None:
    with contextlib.suppress(OSError, ValueError):  # the stream may be broken or closed
        stream.reconfigure(errors=errors)


def _fail(name: str, error: BaseException, note: str = "") -> int:
    """Prints the error in one line; returns the exit status."""
    if isinstance(error, KeyboardInterrupt):
        print_stderr(name, f"stopped{note}")
        return 128 + (error.number if isinstance(error, Terminated) else signal.SIGINT)
    if isinstance(error, OSError):
        _discard_stdout()
    message = " ".join(str(error).split()) or "out of memory"
    message = re.sub(r"^\[Errno -?\d+\] ", "", message)  # the words that follow say the same
    if isinstance(error, BrokenPipeError):
        if not note:  # such as `| head`, which has read enough
            return 128 + signal.SIGPIPE
        message = "the output pipe was closed"
    if isinstance(error, UsageError):
        note = f"{'' if message.endswith('?') else ';'} pynet {name} --help lists the options"
    print_stderr(name, f"error: {message}{note}")
    return 2 if isinstance(error, UsageError) else 1


def print_stdout(text: object) -> None:
    """Prints lines on stdout. Everything that commands print, except JSON, goes through this function or print_stderr.

    A name from a file may contain line ends: the caller passes it through printable() first.
    """
    print("\n".join(printable(line) for line in str(text).split("\n")), flush=True)


def print_stderr(name: str, text: str) -> None:
    """Prints one line on stderr."""
    with contextlib.suppress(OSError):  # without stderr, the exit status alone reports the error
        print(f"{'pynet ' + name if name else 'pynet'}: {printable(text)}", file=sys.stderr)


def _discard_stdout() -> None:
    """If stdout is broken, discards its buffer: flushing it would fail again when Python exits."""
    try:
        print(end="", flush=True)
    except OSError:
        with open(os.devnull, "a") as devnull:
            os.dup2(devnull.fileno(), sys.stdout.fileno())
        print(end="", flush=True)
