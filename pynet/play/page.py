"""The files of the page, and the same page as one file of HTML.

The page is plain ES modules, HTML and CSS; what it computes with is the C core as WebAssembly, which `make wasm` builds
into this folder. See page.js for where it begins, and session.js for what its sections share.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from pynet._ffi import Array
from pynet.data.columns import NOTE as TABLE
from pynet.data.idx import IDX_PARTS
from pynet.data.toys import line, moons, spirals
from pynet.inference import preparation_of
from pynet.network import Network
from pynet.pictures.preparation import STYLES
from pynet.training.layer_step import FORMULAS

FOLDER = Path(__file__).parent
KINDS = (".html", ".css", ".js", ".wasm")
TITLE = b"<title>pynet play</title>"  # by which a page that one_file wrote is known
START, WORKER = "page.js", "worker.js"
WASM = ("pynet-relaxed.wasm", "pynet-simd.wasm")
DIGITS = tuple(f"digits-{part}.gz" for part in IDX_PARTS)
TOYS = {"moons": (moons, 300), "spirals": (spirals, 400), "line": (line, 100)}
MODEL, FACTS = "model.safetensors", "facts.json"
SHIPPED = FOLDER / "digits.safetensors"  # made by `make play-model`

IMPORT = re.compile(r'^import \{ ([^}]+) \} from "\./(\w+)\.js";$', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|class) (\w+))", re.MULTILINE)


def check_drawable(net: Network) -> None:
    """ValueError: the network does not name what is drawn on a sheet: it takes no grey pictures, or has no classes."""
    if net.task != "classes":
        raise ValueError(f"the model predicts {net.task}; accepted: a model that names classes of pictures")
    if TABLE in net.meta:
        raise ValueError("the model was trained on a table; accepted: a model that names classes of pictures")
    if preparation_of(net).color:
        raise ValueError(
            "the model takes pictures in colour, which cannot be drawn; accepted: a model of grey pictures"
        )


def page_files(model: bytes, name: str) -> dict[str, bytes]:
    """All files of the page by name; model: the file of the network to draw with, name: how the page calls it.

    FileNotFoundError: the core was not compiled to WebAssembly.
    """
    missing = [file for file in WASM if not (FOLDER / file).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{missing[0]} is not in {FOLDER}: run `make wasm` in the clone, or install a wheel that has it"
        )
    found = {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir()) if path.suffix in KINDS}
    found |= {file: (FOLDER.parent / "datasets" / file).read_bytes() for file in DIGITS}
    found |= {f"{toy}.npz": _toy(make, count) for toy, (make, count) in TOYS.items()}
    styles = {style: look._asdict() for style, look in STYLES.items()}
    facts = {"name": name, "styles": styles, "formulas": FORMULAS}
    return found | {MODEL: model, FACTS: json.dumps(facts).encode()}


def _toy(make: Callable[..., tuple[Array, Array]], count: int) -> bytes:
    """An .npz file of these points, for training (seed 0) and testing (seed 1)."""
    content = io.BytesIO()
    (x_train, y_train), (x_test, y_test) = make(count, seed=0), make(count // 2, seed=1)
    np.savez_compressed(content, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return content.getvalue()


# ---- one file ----


def one_file(parts: Mapping[str, bytes]) -> str:
    """The page with everything inside, for a browser to open from disk; parts: its page_files."""
    script = bundle(parts, START)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"default-src 'none'; script-src 'sha256-{digest}' 'wasm-unsafe-eval' blob:; worker-src blob:; "
    policy = (
        f'<meta http-equiv="Content-Security-Policy" content="{allowed}style-src \'unsafe-inline\'; img-src data:">'
    )
    data = {name: content for name, content in parts.items() if not name.endswith((".js", ".html", ".css"))}
    blocks = [f'<script type="text/plain" id="{name}">{_packed(content)}</script>' for name, content in data.items()]
    blocks.append(f'<script type="text/plain" id="worker-source">{bundle(parts, WORKER)}</script>')
    html = parts["index.html"].decode()
    for old, new in (
        ('<meta charset="utf-8">', f'<meta charset="utf-8">\n{policy}'),
        ('<link rel="stylesheet" href="style.css">', f"<style>\n{parts['style.css'].decode()}</style>"),
        (f'<script type="module" src="{START}"></script>\n', ""),
        ("</body>", "\n".join([*blocks, f'<script type="module">{script}</script>', "</body>"])),
    ):
        assert html.count(old) == 1, old
        html = html.replace(old, new)
    return html


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()


def bundle(parts: Mapping[str, bytes], start: str) -> str:
    """A module and all that it imports as one classic script: each module is a function that returns its exports.

    Modules import by `import { a, b } from "./x.js";` on one line, and export by `export` before a declaration.
    """
    done: dict[str, str] = {}

    def add(name: str) -> None:
        source = parts[name].decode()
        imports = [(names, f"{stem}.js") for names, stem in IMPORT.findall(source)]
        for _, other in imports:
            if other not in done:
                add(other)
        exports = ", ".join(EXPORT.findall(source))
        inner = IMPORT.sub("", EXPORT.sub("", source)).strip()
        heads = [f"const {{ {names} }} = {_variable(other)};" for names, other in imports]
        lines = "\n".join([*heads, inner, f"return {{ {exports} }};"])
        done[name] = f"const {_variable(name)} = (() => {{\n{lines}\n}})();\n"

    add(start)
    script = '"use strict";\n' + "".join(done.values())
    assert "</script" not in script and not re.search(r"^(?:im|ex)port ", script, re.MULTILINE)
    return script


def _variable(file: str) -> str:
    return f"module_{file.removesuffix('.js')}"
