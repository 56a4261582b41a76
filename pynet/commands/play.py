"""`pynet play`: opens a page in the browser, to draw, look inside a network and train one."""

from __future__ import annotations

import argparse
import errno
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from pynet.commands import cli
from pynet.files import replacing
from pynet.network import load
from pynet.play.page import SHIPPED, TITLE, check_drawable, one_file, page_files
from pynet.play.server import ADDRESS, server_of
from pynet.text import printable

EXAMPLES = """\
examples:
  pynet play
  pynet play --model letters.safetensors      draw with a model of your own
  pynet play --save digits.html               one file that needs no server, to give away
"""


def _page(options: argparse.Namespace) -> dict[str, bytes]:
    """The files of the page with the model of the options."""
    path = options.model
    if path is None:
        if not SHIPPED.is_file():
            raise FileNotFoundError(f"{SHIPPED} is missing: run `make play-model`, or name a model by --model FILE")
        return page_files(SHIPPED.read_bytes(), "of the package, trained on MNIST")
    try:
        check_drawable(load(path))
    except ValueError as error:
        raise ValueError(f"{error}" if str(path) in str(error) else f"{path}: {error}") from None
    return page_files(path.read_bytes(), path.name)


def _save(page: dict[str, bytes], place: Path) -> None:
    if place.suffix.lower() not in (".html", ".htm"):
        raise cli.UsageError(f"--save {str(place)!r:.80} is not accepted; accepted: a file that ends in .html")
    if place.is_file():
        with place.open("rb") as old:
            if TITLE not in old.read(4096):
                raise OSError(f"{place} is not a page written by pynet; it is not overwritten")
    with replacing(place) as file:
        file.write(one_file(page).encode())
    cli.print_stdout(f"saved to {place}: {place.stat().st_size / 1000:,.0f} kB, for any browser, without a server")


def _serve(page: dict[str, bytes], name: str, port: int, browser: bool) -> None:
    try:
        server = server_of(page, port)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise OSError(f"port {port}: {error.strerror}; without --port a free one is used") from None
    url = f"http://{ADDRESS}:{server.server_port}/"
    with server:
        try:
            cli.print_stdout(f"{url} (Ctrl-C ends it), draws with the model {printable(name)}")
            if browser and not webbrowser.open(url):
                cli.print_stdout("no browser could be started: open this address in one")
            server.serve_forever()
        except cli.Terminated:
            raise
        except KeyboardInterrupt:  # the way to end it
            cli.print_stdout("")


def play(options: argparse.Namespace) -> None:
    """Runs the command with parsed options."""
    if options.save and (options.port or options.no_browser):
        raise cli.UsageError("--save writes a file, --port and --no-browser are for a server: accepted is one of them")
    page = _page(options)
    if options.save:
        _save(page, options.save)
    else:
        _serve(page, str(options.model or "of the package, trained on MNIST"), options.port, not options.no_browser)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    what = "Opens a page in the browser: draw digits, look into the network, train one, with everything computed there."
    parser = cli.Parser("pynet play", what, EXAMPLES)
    add = parser.add_argument
    add("--model", metavar="FILE", type=cli.path, help="the network to draw with (default: one that pynet comes with)")
    add("--port", metavar="N", type=cli.whole(0, 65535), default=0, help="the port on 127.0.0.1 (default: a free one)")
    add("--no-browser", action="store_true", help="print the address, open no browser")
    add("--save", metavar="FILE", type=cli.path, help="write the page as one .html file instead, which needs no server")
    return parser.parse_args(argv)


main = cli.command("play", _parse, play)
