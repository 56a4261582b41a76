"""Random damage to values, texts and JSON; the rest stays well-formed."""

from __future__ import annotations

import json
import random
import re
from typing import Any

WHOLE = (0, -1, 1, 2, 127, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53 + 1, 2**62)
WHOLE += (2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**31), -(2**63), 10**30)
REAL = (0.5, -0.5, -0.0, 1e-320, 1e-30, 1e30, 3.5e38, 1e308, float("nan"), float("inf"), float("-inf"))
TEXTS = (
    "",
    "0",
    "1.5",
    "a",
    "null",
    "[]",
    "{}",
    "\x1b[31mred\x1b]0;title\x07",
    "\x9b2J",
    "\u202egnp",
    "\u2028",
    "\x00",
    "\x7f",
)
TEXTS += (
    "\ud800",
    "\uffff",
    "\U0001f600",
    "é" * 300,
    "x" * 5000,
    "../../etc/passwd",
    "%s%n",
    "a\nb\r\nc",
    "١٢",
    "1_000",
    "0x10",
    "NaN",
)
SPECIAL = "()[]{},:=\"'\\ \t\n\r\0.-+eE0123456789_/%;#\x1b\x7f\x9b\u202e\ud800é"


def whole(draw: random.Random) -> int:
    return draw.choice(WHOLE) if draw.random() < 0.7 else draw.randint(-1000, 100000)


def anything(draw: random.Random) -> Any:
    """A value that JSON can hold, of any type."""
    kind = draw.randrange(8)
    if kind == 0:
        return whole(draw)
    if kind == 1:
        return draw.choice(REAL)
    if kind == 2:
        return draw.choice(TEXTS)
    if kind == 3:
        return draw.choice((None, True, False))
    if kind == 4:
        return [anything(draw) for _ in range(draw.randint(0, 4))]
    if kind == 5:
        return {draw.choice(TEXTS): anything(draw) for _ in range(draw.randint(0, 3))}
    if kind == 6:
        return draw.choice(([0] * 1000, [[]], [[1, 2], [3]], {"0": {}}, [None], [True], ["1"], 10**400))
    return nested(draw.choice((10, 100, 900)))


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def damaged_text(draw: random.Random, text: str) -> str:
    """A text with some characters, words or numbers changed."""
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        numbers = list(re.finditer(r"\d+(\.\d+)?", text))
        kind = draw.randrange(6)
        at, end = sorted(draw.randint(0, len(text)) for _ in range(2))
        end = min(end, at + draw.choice((1, 3, 20)))
        if kind <= 1 and numbers:
            found = draw.choice(numbers)
            number = draw.choice((whole(draw), whole(draw), draw.choice(REAL)))
            text = f"{text[: found.start()]}{number}{text[found.end() :]}"
        elif kind == 2:
            text = text[:at] + draw.choice(SPECIAL) + text[at:]
        elif kind == 3:
            text = text[:at] + text[end:]
        elif kind == 4:
            text = text[:end] + text[at:end] * draw.choice((1, 1, 2, 50)) + text[end:]
        else:
            text = text[:at] + draw.choice(TEXTS) + text[end:]
    return text


def paths(tree: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all values in a tree of lists and dicts; () is the tree itself."""
    found = [before]
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        found += paths(value, (*before, key))
    return found


def damaged_tree(draw: random.Random, tree: Any) -> Any:
    """A copy of a JSON value with one part changed, moved, duplicated, renamed or removed."""
    try:
        tree = json.loads(json.dumps(tree))
        places = [path for path in paths(tree) if path]
    except RecursionError:  # earlier changes nested it too deep for another one
        return tree
    if not places:
        return anything(draw)
    path = draw.choice(places)
    holder = tree
    for key in path[:-1]:
        holder = holder[key]
    key, value, kind = path[-1], holder[path[-1]], draw.randrange(7)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[draw.choice((*TEXTS, f"{key}x", str(key).upper()))] = holder.pop(key)
    elif kind == 2 and isinstance(holder, list):
        holder.insert(key, value)
    elif kind == 3 and isinstance(value, str):
        holder[key] = damaged_text(draw, value)
    elif kind == 4 and isinstance(value, (int, float)) and not isinstance(value, bool):
        holder[key] = draw.choice((value + 1, value - 1, -value, 2 * value, float(value), str(value), whole(draw)))
    elif kind == 5:
        other = draw.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        holder[key], holder[other] = holder[other], holder[key]
    else:
        holder[key] = anything(draw)
    return tree


def dumps(tree: Any, **options: Any) -> str:
    """The value as JSON; brackets without end if it is nested deeper than json encodes."""
    try:
        return json.dumps(tree, **options)
    except RecursionError:
        return "[" * 100000


def as_json(draw: random.Random, tree: Any) -> str:
    """The value as JSON, sometimes with a changed character or in another notation."""
    text = dumps(tree, ensure_ascii=draw.random() < 0.5, indent=draw.choice((None, None, 1)))
    return damaged_text(draw, text) if draw.random() < 0.05 else text
