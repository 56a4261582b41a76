"""Serves the files of the page on 127.0.0.1, and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ADDRESS = "127.0.0.1"
INDEX = "index.html"
TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "json": "application/json",
    "wasm": "application/wasm",
    "gz": "application/gzip",
    "npz": "application/zip",
    "safetensors": "application/octet-stream",
}
HEADERS = {
    # Scripts, styles and workers come from this server alone, and the page can send nothing to another.
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def server_of(parts: Mapping[str, bytes], port: int) -> ThreadingHTTPServer:
    """A server of these files by name, at 127.0.0.1:port; 0: a free port. OSError: the port is taken."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 30  # seconds that a silent connection may last

        def do_GET(self) -> None:
            self._respond()

        def do_HEAD(self) -> None:
            self._respond()

        def _respond(self) -> None:
            if self.headers.get("Host") not in hosts:  # another name may stand for 127.0.0.1 in a hostile page
                self._send(HTTPStatus.MISDIRECTED_REQUEST, "html", b"this server is 127.0.0.1 alone\n")
                return
            name = self.path.partition("?")[0].removeprefix("/") or INDEX
            if name in parts:
                self._send(HTTPStatus.OK, name.rpartition(".")[2], parts[name])
            else:
                self._send(HTTPStatus.NOT_FOUND, "html", b"there is no such file here\n")

        def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
            self.send_response(status)
            for header, value in {**HEADERS, "Content-Type": TYPES[kind], "Content-Length": str(len(content))}.items():
                self.send_header(header, value)
            with contextlib.suppress(ConnectionError):  # the browser may have gone on to another page
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the command prints where it serves, no more."""

    server = ThreadingHTTPServer((ADDRESS, port), Handler)
    hosts = [f"{name}:{server.server_port}" for name in (ADDRESS, "localhost")]
    return server
