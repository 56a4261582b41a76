"""Named sets: $PYNET_DATA, the cache, the mirrors (servers on 127.0.0.1), checksums and the deadline of default()."""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import queue
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers.data_files import ARRAYS, X_TRAIN, assert_sound, idx_bytes, write_idx
from tqdm import tqdm

from pynet import data
from pynet.data import DataError, download
from pynet.data.download import NamedSet, UnavailableError
from pynet.data.idx import IDX_PARTS

CONTENT = [idx_bytes(array) for array in ARRAYS]
PACKED = [gzip.compress(content, mtime=0) for content in CONTENT]
FILES = [f"{part}.gz" for part in IDX_PARTS]
IMAGES = FILES[0]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


SMALL = NamedSet("MNIST", ("0", "1", "2"), tuple(map(sha256, PACKED)), tuple(map(sha256, CONTENT)))


@pytest.fixture(autouse=True)
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small MNIST and a smaller Fashion-MNIST, an empty cache, no mirror, no $PYNET_DATA."""
    monkeypatch.delenv("PYNET_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setitem(download.SETS, "mnist", SMALL)
    monkeypatch.setitem(download.SETS, "fashion-mnist", NamedSet("Fashion-MNIST", SMALL.classes, SMALL.gz_sha256))
    monkeypatch.setattr(download, "MIRRORS", {"mnist": (), "fashion-mnist": ()})
    monkeypatch.setattr(download, "STALL", 60.0)  # on a busy machine a server may pause for long


class Mirror:
    """An HTTP server of the four files; self.answers replaces its response for a file."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.responses: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rsplit("/", 1)[1]
                mirror.asked.append(name)
                mirror.responses.get(name, mirror.send(dict(zip(FILES, PACKED, strict=True))[name]))(self)

            def log_message(self, *_: object) -> None:
                """Logs nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/mnist/"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    @staticmethod
    def send(content: bytes, status: int = 200, promise: int | None = None) -> Callable[[BaseHTTPRequestHandler], None]:
        def response(request: BaseHTTPRequestHandler) -> None:
            request.send_response(status)
            request.send_header("Content-Length", str(len(content) if promise is None else promise))
            request.end_headers()
            request.wfile.write(content)

        return response


@pytest.fixture
def mirrors(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Mirror]]:
    """Two mirrors."""
    both = [Mirror(), Mirror()]
    use(monkeypatch, *(mirror.url for mirror in both))
    yield both
    for mirror in both:
        mirror.server.shutdown()
        mirror.server.server_close()


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


def use(monkeypatch: pytest.MonkeyPatch, *urls: str) -> None:
    monkeypatch.setattr(download, "MIRRORS", {"mnist": urls, "fashion-mnist": urls})


def assert_small(found: data.Dataset) -> None:
    assert_sound(found)
    np.testing.assert_array_equal(found.x_train, X_TRAIN)


def cached(tmp_path: Path, name: str = "mnist") -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache" / name).iterdir())


# ---- downloading -----------------------------------------------------------------------------------------------------


def test_download_then_cache(tmp_path: Path, mirrors: list[Mirror], capfd: pytest.CaptureFixture[str]) -> None:
    found = data.load("mnist")
    assert_small(found)
    assert found.source == f"MNIST, downloaded to {tmp_path}/cache/mnist"
    assert mirrors[0].asked == FILES
    assert mirrors[1].asked == []
    assert cached(tmp_path) == sorted(FILES)
    assert (tmp_path / "cache/mnist" / IMAGES).read_bytes() == PACKED[0]
    assert (tmp_path / "cache/mnist" / IMAGES).stat().st_mode & 0o777 == 0o644
    again = data.load("MNIST")
    assert_small(again)
    assert again.source == f"MNIST from the cache {tmp_path}/cache/mnist"
    assert len(mirrors[0].asked) == 4
    assert capfd.readouterr() == ("", "")  # no terminal, no progress bar


def test_fashion_mnist(tmp_path: Path, mirrors: list[Mirror]) -> None:
    assert_small(data.load("fashion_mnist"))
    assert cached(tmp_path, "fashion-mnist") == sorted(FILES)


def test_recompressed_mirror_is_taken(tmp_path: Path, mirrors: list[Mirror]) -> None:
    other = gzip.compress(CONTENT[0], 1, mtime=5)
    mirrors[0].responses[IMAGES] = Mirror.send(other)
    assert_small(data.load("mnist"))
    assert (tmp_path / "cache/mnist" / IMAGES).read_bytes() == other


@pytest.mark.parametrize(
    "response",
    [
        Mirror.send(b"gone", 404),
        Mirror.send(b"<html>log in first</html>"),
        Mirror.send(PACKED[0][:-20]),
        Mirror.send(PACKED[0][:-20], promise=len(PACKED[0])),
        Mirror.send(gzip.compress(idx_bytes(X_TRAIN[::-1]))),
        Mirror.send(b""),
        lambda request: request.connection.close(),
        lambda request: request.wfile.write(b"what?\r\n\r\n") and None,
    ],
)
def test_the_next_mirror_helps(
    tmp_path: Path, mirrors: list[Mirror], response: Callable[[BaseHTTPRequestHandler], None]
) -> None:
    mirrors[0].responses[IMAGES] = response
    assert_small(data.load("mnist"))
    assert mirrors[0].asked == [IMAGES]
    assert mirrors[1].asked == FILES  # the second mirror serves the remaining files, too
    assert cached(tmp_path) == sorted(FILES)


def test_no_mirror_helps(tmp_path: Path, mirrors: list[Mirror]) -> None:
    mirrors[0].responses[FILES[1]] = Mirror.send(b"gone", 404)
    mirrors[1].responses[FILES[1]] = Mirror.send(gzip.compress(idx_bytes(X_TRAIN)))
    with pytest.raises(DataError) as caught:
        data.load("mnist")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("MNIST is not available: $PYNET_DATA is not set; no data in the cache")
    assert f"{mirrors[0].url}{FILES[1]}: HTTP 404 Not Found" in message
    assert f"{mirrors[1].url}{FILES[1]}: magic 0x00000803" in message
    assert "$PYNET_DATA/mnist or " in message
    assert 'the built-in data set "digits"' in message
    assert cached(tmp_path) == [IMAGES]  # only verified files are kept


def test_endless_mirror(mirrors: list[Mirror], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "MAX_BYTES", 1000)
    for mirror in mirrors:
        mirror.responses[IMAGES] = Mirror.send(bytes(5000))
    with pytest.raises(UnavailableError, match="sends more than 1000 bytes"):
        data.load("mnist")


def test_mirror_that_stops_sending(monkeypatch: pytest.MonkeyPatch, silent: str) -> None:
    monkeypatch.setattr(download, "STALL", 0.1)
    use(monkeypatch, silent)
    with pytest.raises(UnavailableError, match=r"no data for 0\.1 s|timed out"):
        data.load("mnist")


def test_unwritable_cache(tmp_path: Path, mirrors: list[Mirror]) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(UnavailableError, match=r"cache/mnist: cannot be written: (Not a directory|File exists)"):
        data.load("mnist")
    assert data.default().name == "digits"


def test_interrupted_download_leaves_nothing(
    tmp_path: Path, mirrors: list[Mirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        assert len(cached(tmp_path)) == 1  # the temporary file
        raise KeyboardInterrupt

    monkeypatch.setattr(download, "_read_part", interrupted)
    with pytest.raises(KeyboardInterrupt):
        data.load("mnist")
    assert cached(tmp_path) == []


def test_progress_bar_on_a_terminal(mirrors: list[Mirror], monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr("tqdm.tqdm", partial(tqdm, mininterval=0))  # the bar is removed at the end, so print each step
    data.load("mnist")
    for name in FILES:
        assert f"{name}: 100%" in terminal.getvalue()


# ---- the cache -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [b"", b"rubbish", PACKED[0][:-1], gzip.compress(idx_bytes(X_TRAIN[::-1]))])
def test_damaged_cache_is_fetched_again(tmp_path: Path, mirrors: list[Mirror], damage: bytes) -> None:
    data.load("mnist")
    (tmp_path / "cache/mnist" / IMAGES).write_bytes(damage)
    assert_small(data.load("mnist"))
    assert mirrors[0].asked == [*FILES, IMAGES]
    assert (tmp_path / "cache/mnist" / IMAGES).read_bytes() == PACKED[0]


def test_damaged_cache_that_cannot_be_fetched(tmp_path: Path) -> None:
    write_idx(tmp_path / "cache/mnist", packed=True)
    path = tmp_path / "cache/mnist" / IMAGES
    path.write_bytes(PACKED[0][:-1])
    with pytest.raises(UnavailableError, match=f"{path}: damaged gz data"):
        data.load("mnist")
    assert path.read_bytes() == PACKED[0][:-1]


def test_recompressed_fashion_in_the_cache_is_fetched_again(tmp_path: Path, mirrors: list[Mirror]) -> None:
    write_idx(tmp_path / "cache/fashion-mnist", packed=True, level=0)
    assert_small(data.load("fashion-mnist"))
    assert mirrors[0].asked == FILES


# ---- $PYNET_DATA -----------------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYNET_DATA", str(tmp_path / "given"))
    return tmp_path / "given"


@pytest.mark.parametrize("packed", [False, True])
def test_given(root: Path, mirrors: list[Mirror], packed: bool) -> None:
    write_idx(root / "mnist", packed=packed, level=1)  # re-compressed: its content is verified
    found = data.load("mnist")
    assert_small(found)
    assert found.source == f"MNIST from {root}/mnist"
    assert data.default(timeout=0).name == "mnist"
    assert mirrors[0].asked == []


def test_given_folder_without_the_set(root: Path, mirrors: list[Mirror], monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "mnist").mkdir(parents=True)
    assert_small(data.load("mnist"))
    use(monkeypatch)
    with pytest.raises(UnavailableError, match=rf"no data in \$PYNET_DATA: {root}/fashion-mnist; "):
        data.load("fashion-mnist")


@pytest.mark.parametrize("load", [lambda: data.load("mnist"), lambda: data.default(timeout=0)])
def test_damaged_given_is_an_error(root: Path, mirrors: list[Mirror], load: Callable[[], data.Dataset]) -> None:
    path = write_idx(root / "mnist", packed=True) / IMAGES
    wrong = gzip.compress(idx_bytes(X_TRAIN[::-1]))
    for content, message in (
        (wrong, f"not MNIST: its SHA-256 is not {SMALL.gz_sha256[0]}, nor"),
        (wrong[:30], "damaged gz"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"{path}: .*{message}") as caught:
            load()
        assert not isinstance(caught.value, UnavailableError)
        assert path.read_bytes() == content
    path.unlink()
    with pytest.raises(DataError, match=r"mnist: no train-images-idx3-ubyte\[\.gz\], but some of the four files"):
        load()
    assert mirrors[0].asked == []


def fashion_like(root: Path, n: int = 6, side: int = 28) -> None:
    """Four raw files in the layout of Fashion-MNIST, with 2n and n images of three classes."""
    x, y = np.zeros((2 * n, side, side), np.uint8), (np.arange(2 * n) % 3).astype(np.uint8)
    (root / "fashion-mnist").mkdir(parents=True)
    for part, array in zip(IDX_PARTS, (x, y, x[:n], y[:n]), strict=True):
        (root / "fashion-mnist" / part).write_bytes(idx_bytes(array))


def test_given_fashion_with_an_unknown_hash(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        download.SETS, "fashion-mnist", NamedSet("Fashion-MNIST", SMALL.classes, SMALL.gz_sha256, train=12, test=6)
    )
    fashion_like(root)
    found = data.load("fashion-mnist")
    assert_sound(found)
    assert found.source.endswith("fashion-mnist, not verified: its files are not compressed as published")


@pytest.mark.parametrize(("n", "side"), [(9, 28), (7, 28), (6, 27)])
def test_given_fashion_of_another_shape(root: Path, monkeypatch: pytest.MonkeyPatch, n: int, side: int) -> None:
    monkeypatch.setitem(
        download.SETS, "fashion-mnist", NamedSet("Fashion-MNIST", SMALL.classes, SMALL.gz_sha256, train=12, test=6)
    )
    fashion_like(root, n, side)
    with pytest.raises(DataError, match=r"Fashion-MNIST has \(12, 28, 28\) with 4 of each"):
        data.load("fashion-mnist")


# ---- default() and its deadline --------------------------------------------------------------------------------------


class Silence(float):
    """Seconds in which nothing arrives."""


FOREVER = Silence(math.inf)


class Clock:
    """A clock that advances only by the silences of mirrors, one before each piece of a download."""

    def __init__(self) -> None:
        self.now = 0.0
        self.silences: dict[str, Silence] = {}  # by the end of the URL
        self._request = download._request

    def monotonic(self) -> float:
        return self.now

    def request(self, url: str, arrived: Any, stop: threading.Event) -> None:
        """Replaces pynet.download._request."""
        silence = next((silence for end, silence in self.silences.items() if url.endswith(end)), None)
        if silence == FOREVER:
            arrived.put(FOREVER)
        elif silence is None:
            self._request(url, arrived, stop)
        else:
            pieces: queue.SimpleQueue[Any] = queue.SimpleQueue()
            self._request(url, pieces, stop)
            while not pieces.empty():
                arrived.put(silence)
                arrived.put(pieces.get())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replaces the clock of pynet.download."""
    clock = Clock()

    class Arrivals(queue.Queue[Any]):
        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            item = super().get(timeout=60)
            if not isinstance(item, Silence):
                return item
            assert timeout is not None
            clock.now += min(item, timeout)
            if item >= timeout:
                raise queue.Empty
            return self.get(timeout=timeout - item)

    monkeypatch.setattr(download, "time", clock)
    monkeypatch.setattr(download, "queue", SimpleNamespace(SimpleQueue=Arrivals, Empty=queue.Empty))
    monkeypatch.setattr(download, "_request", clock.request)
    return clock


def test_default_downloads(mirrors: list[Mirror], clock: Clock) -> None:
    found = data.default()
    assert_small(found)
    assert found.source.endswith('(the small built-in data set is "digits")')


def assert_digits(timeout: float) -> None:
    found = data.default(timeout=timeout)
    assert found.name == "digits"
    why, remedy = found.notes
    assert re.fullmatch(f"MNIST is not on this machine and could not be downloaded within {timeout:g} s: .+", why)
    assert '"mnist"' in remedy and "--dataset mnist" in remedy
    assert "\n" not in found.source + why + remedy
    assert max(map(len, (found.source, why, remedy))) < 110


def test_default_with_a_closed_port(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
    use(monkeypatch, url, url)
    assert_digits(5)
    assert clock.now == 0


def test_default_with_silent_mirrors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    use(monkeypatch, "http://pynet.invalid/a/", "http://pynet.invalid/b/")
    clock.silences[".gz"] = FOREVER
    assert_digits(0.4)
    assert clock.now == pytest.approx(0.4)
    assert cached(tmp_path) == []


def test_default_with_a_name_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uses the real clock: default() does not wait for the name server."""
    response, request_ended = threading.Event(), threading.Event()

    def lookup(*_: object, **__: object) -> None:
        response.wait(60)
        request_ended.set()
        raise socket.gaierror(socket.EAI_AGAIN, "no name server")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    use(monkeypatch, "http://pynet.invalid/")
    assert_digits(0.3)
    assert not request_ended.is_set()
    response.set()


def test_default_after_one_dead_mirror(monkeypatch: pytest.MonkeyPatch, clock: Clock, mirrors: list[Mirror]) -> None:
    """A dead mirror uses only its part of the time, and is asked only once."""
    dead = "http://pynet.invalid/"
    use(monkeypatch, dead, mirrors[1].url)
    clock.silences |= {dead + name: FOREVER for name in FILES}
    assert_small(data.default(timeout=2.0))
    assert clock.now == 1


def test_default_with_a_slow_download(tmp_path: Path, mirrors: list[Mirror], clock: Clock) -> None:
    """The download is too slow for the deadline; files that are complete stay in the cache."""
    clock.silences[FILES[2]] = Silence(0.5)  # before the first bytes, and before the end
    assert_digits(0.6)
    assert clock.now == pytest.approx(0.6)
    assert cached(tmp_path) == sorted(FILES[:2])


def test_default_without_time_asks_nobody(mirrors: list[Mirror]) -> None:
    assert_digits(0)
    assert mirrors[0].asked == []


def test_the_real_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert download.cache_folder().name == "pynet"


@pytest.mark.parametrize(("name", "contents"), [("mnist", 4), ("fashion-mnist", 0)])
def test_known_checksums(monkeypatch: pytest.MonkeyPatch, name: str, contents: int) -> None:
    monkeypatch.undo()
    known = download.SETS[name]
    assert (len(known.gz_sha256), len(known.content_sha256)) == (4, contents)
    assert all(len(digest) == 64 and int(digest, 16) for digest in known.gz_sha256 + known.content_sha256)
    assert len(known.classes) == 10
    assert all(mirror.startswith("http") and mirror.endswith("/") for mirror in download.MIRRORS[name])
    assert download.MIRRORS[name]
