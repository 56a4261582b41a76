"""`pynet play`: what its server gives away, what it refuses, and the page as one file; `make test-browser` uses it.

The core as WebAssembly is not needed here: any bytes stand for it."""

from __future__ import annotations

import base64
import gzip
import http.client
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.command import GUARD, one_line, run, save_model, stream

import pynet
from pynet.commands import play
from pynet.data import columns
from pynet.play import page
from pynet.play.server import server_of

WASM = b"\0asm, for a test"


@pytest.fixture(autouse=True)
def built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of the page, with files in the place of the compiled core."""
    folder = tmp_path / "pynet" / "play"
    shutil.copytree(page.FOLDER, folder, ignore=shutil.ignore_patterns("*.wasm", "__pycache__"))
    shutil.copytree(page.FOLDER.parent / "datasets", folder.parent / "datasets")
    for name in page.WASM:
        (folder / name).write_bytes(WASM)
    monkeypatch.setattr(page, "FOLDER", folder)
    return folder


@pytest.fixture
def parts() -> dict[str, bytes]:
    return page.page_files(b"a model", "its name")


@pytest.fixture
def port(parts: dict[str, bytes]) -> Iterator[int]:
    """Where a server gives these files."""
    with server_of(parts, 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def answer(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=GUARD)
    connection.request(method, path, headers=headers)
    found = connection.getresponse()
    content = found.read()
    connection.close()
    return found.status, dict(found.getheaders()), content


def test_the_server_gives_its_own_files_alone(port: int, parts: dict[str, bytes]) -> None:
    for name, content in parts.items():
        assert answer(port, f"/{name}")[::2] == (200, content)
    assert answer(port, "/")[2] == answer(port, "/?core=simd")[2] == parts["index.html"]
    assert answer(port, "/index.html", "HEAD")[::2] == (200, b"")
    for path in ("/page.py", "/../page.py", "/%2e%2e/page.py", "//etc/passwd", "/./page.js", "/datasets/", "/page.js/"):
        assert answer(port, path)[0] == 404, path
    assert answer(port, "/", "POST")[0] == 501


def test_the_server_is_strict(port: int) -> None:
    kinds = {"/": "text/html", "/page.js": "text/javascript", "/style.css": "text/css"}
    kinds["/pynet-simd.wasm"] = "application/wasm"
    for path, kind in kinds.items():
        _, headers, _ = answer(port, path)
        assert headers["Content-Type"].startswith(kind)
        assert headers["X-Content-Type-Options"] == "nosniff"
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "connect-src 'self'" in policy
        assert not re.search(r"unsafe-inline|'unsafe-eval'|https?:|\*", policy)
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", ""):
        assert answer(port, "/", Host=host)[0] == 421, host
    assert answer(port, "/", Host=f"localhost:{port}")[0] == 200


def test_the_page_names_no_other_host(parts: dict[str, bytes]) -> None:
    text = b"\n".join(content for name, content in parts.items() if name.endswith((".js", ".html", ".css"))).decode()
    found = set(re.findall(r"https?://([\w.]+)", text))
    assert found <= {"www.w3.org", "numpy.org"}  # the namespace of SVG, a comment
    assert not re.search(r"\b(eval|Function|innerHTML|insertAdjacentHTML|document\.write)\b", text)


def test_ctrl_c_ends_it(folder: Path) -> None:
    """In a process of its own, with the real folder of the page and without a core."""
    code = f"""
import signal
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a process in the background ignores
from pynet.play import page
page.FOLDER = Path({str(page.FOLDER)!r})
from pynet.commands import play
raise SystemExit(play.main(["--no-browser", "--model", "m.safetensors"]))
"""
    save_model("m.safetensors")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], text=True, **pipes) as process:  # type: ignore[call-overload]
        line = stream(process.stdout).readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(GUARD) == 0
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/ .*, draws with the model m\.safetensors\n", line)
        assert stream(process.stderr).read() == ""


def test_models_that_cannot_be_drawn_with(folder: Path) -> None:
    cases = {
        "number": ("input(64) dense(1)", "regression"),
        "columns": ("input(3) dense(2) softmax", "not a picture"),
        "colour": ("input(3,8,8) dense(2) softmax", "colour"),
    }
    for name, (text, message) in cases.items():
        pynet.Network(text).save(f"{name}.safetensors")
        one_line(run("--no-browser", "--model", f"{name}.safetensors", command=play), 1, message)
    net = pynet.Network("input(64) dense(2) softmax")
    net.meta[columns.NOTE] = "{}"
    net.save("table.safetensors")
    one_line(run("--no-browser", "--model", "table.safetensors", command=play), 1, "trained on a table")
    Path("broken.safetensors").write_bytes(b"no model")
    one_line(run("--save", "x.html", "--model", "broken.safetensors", command=play), 1, "broken.safetensors")
    one_line(run("--model", "missing.safetensors", command=play), 1, "missing.safetensors")
    assert not Path("x.html").exists()


def test_options_that_are_refused(folder: Path, built: Path) -> None:
    save_model("m.safetensors")
    one_line(run("--port", "65536", command=play), 2, "a whole number, 0 to 65535")
    one_line(run("--model", "m.safetensors", "--save", "page.txt", command=play), 2, "a file that ends in .html")
    one_line(run("--save", "page.html", "--port", "8000", command=play), 2, "accepted is one of them")
    with server_of({}, 0) as server:
        taken = str(server.server_port)
        one_line(run("--no-browser", "--port", taken, "--model", "m.safetensors", command=play), 1, f"port {taken}")
    (built / page.WASM[1]).unlink()
    one_line(run("--no-browser", "--model", "m.safetensors", command=play), 1, "run `make wasm`")


def test_one_file_has_everything_inside(folder: Path) -> None:
    save_model("m.safetensors")
    done = run("--model", "m.safetensors", "--save", "page.html", command=play)
    assert done.status == 0
    html = Path("page.html").read_text("utf-8")
    assert f"{Path('page.html').stat().st_size / 1000:,.0f} kB" in done.out
    blocks = dict(re.findall(r'<script type="text/plain" id="([\w.-]+)">([^<]*)</script>', html))
    inside = {name: gzip.decompress(base64.b64decode(text)) for name, text in blocks.items() if "." in name}
    assert inside["model.safetensors"] == Path("m.safetensors").read_bytes()
    assert inside["pynet-simd.wasm"] == inside["pynet-relaxed.wasm"] == WASM
    assert set(inside) == {name for name in page.page_files(b"", "") if not name.endswith((".js", ".html", ".css"))}
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", html)
    assert run("--model", "m.safetensors", "--save", "page.html", command=play).status == 0
    Path("mine.html").write_text("<title>my page</title>")
    one_line(run("--model", "m.safetensors", "--save", "mine.html", command=play), 1, "not a page written by pynet")
    assert Path("mine.html").read_text() == "<title>my page</title>"
    Path("folder.html").mkdir()
    one_line(run("--model", "m.safetensors", "--save", "folder.html", command=play), 1, "it is a folder")


def test_a_bundle_runs_each_module_once_after_those_it_imports() -> None:
    sources = {
        "a.js": 'import { two, Three } from "./b.js";\nimport { one } from "./c.js";\none(two, Three);\n',
        "b.js": 'import { one } from "./c.js";\nexport const two = one(1);\nexport class Three {}\n',
        "c.js": "export async function one(x) {}\n",
    }
    script = page.bundle({name: text.encode() for name, text in sources.items()}, "a.js")
    assert re.findall(r"^const module_(\w) =", script, re.MULTILINE) == ["c", "b", "a"]
    assert script.count("async function one") == 1
    assert "return { two, Three };" in script
    assert not re.search(r"^\s*(import|export)\b", script, re.MULTILINE)


def test_modules_can_be_bundled(parts: dict[str, bytes]) -> None:
    """Each import and export is of the form that bundle knows, and no module imports itself through others."""
    for name, content in parts.items():
        if name.endswith(".js"):
            text = content.decode()
            assert len(re.findall(r"^import\b", text, re.MULTILINE)) == len(page.IMPORT.findall(text)), name
            assert len(re.findall(r"^export\b", text, re.MULTILINE)) == len(page.EXPORT.findall(text)), name
            assert len(text.splitlines()) <= 500
    page.bundle(parts, page.START)
    page.bundle(parts, page.WORKER)


def test_words_can_be_read_in_both_themes(parts: dict[str, bytes]) -> None:
    """The contrast of text is at least 4.5, of lines and marks 3: level AA of the guidelines WCAG 2.1."""
    light, dark = re.findall(r":root \{(.*?)\}", parts["style.css"].decode(), re.DOTALL)
    for theme in (light, light + dark):
        colours = dict(re.findall(r"--([\w-]+): #([0-9a-f]{6})", theme))
        for words in ("ink", "soft", "accent", "error", "good"):
            for paper in ("paper", "raised"):
                assert contrast(colours[words], colours[paper]) >= 4.5, (words, paper)
        assert contrast(colours["on-accent"], colours["accent"]) >= 4.5
        for mark in ("plus", "minus", "accent", "soft"):
            assert contrast(colours[mark], colours["paper"]) >= 3, mark


def contrast(one: str, other: str) -> float:
    """The ratio of relative luminances of two colours: https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio"""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
