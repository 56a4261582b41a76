"""What notebooks show of an object: tables, curves, bars and pictures as HTML and SVG text."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT = 360, 160  # of a curve's plot, in pixels
# Okabe and Ito 2008: distinguishable with colour blindness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MOST_PIXELS = 224  # the longer side of a picture, enlarged


def table(head: Sequence[str], rows: Sequence[Sequence[str]], shades: npt.ArrayLike | None = None) -> str:
    """A table; shades (rows, columns): how blue each cell is, 0 to 1."""
    lines = [f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>"]
    for i, row in enumerate(rows):
        cells = [f"<td{_shade(shades, i, j)}>{escape(cell)}</td>" for j, cell in enumerate(row)]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _shade(shades: npt.ArrayLike | None, row: int, column: int) -> str:
    share = 0.0 if shades is None else float(np.asarray(shades)[row, column])
    return f' style="background:rgba(0,114,178,{0.7 * share:.2f})"' if share else ""


def line(text: str) -> str:
    """A paragraph."""
    return f"<p>{escape(text)}</p>"


def side_by_side(*parts: str) -> str:
    """Parts beside each other, as far as the page is wide."""
    cells = "".join(f"<div>{part}</div>" for part in parts if part)
    return f'<div style="display:flex;flex-wrap:wrap;gap:24px;align-items:flex-start">{cells}</div>'


def curves(series: Mapping[str, Sequence[float]], what: str) -> str:
    """Numbers of each epoch as lines on one scale; numbers that are not finite are gaps. Nothing without two epochs."""
    known = [value for values in series.values() for value in values if math.isfinite(value)]
    most = max(map(len, series.values()), default=0)
    if not known or most < 2:
        return ""
    low, high = min(known), max(known)
    scale = (high - low) or 1.0
    left, top, below = 56, 22, 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + WIDTH + 12}" height="{top + HEIGHT + below}" '
        'font-family="sans-serif" font-size="11" fill="currentColor">',
        f'<rect x="{left}" y="{top}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>',
        f'<text x="{left - 4}" y="{top + 8}" text-anchor="end">{high:.4g}</text>',
        f'<text x="{left - 4}" y="{top + HEIGHT}" text-anchor="end">{low:.4g}</text>',
        f'<text x="{left}" y="{top + HEIGHT + 16}">epoch 1</text>',
        f'<text x="{left + WIDTH}" y="{top + HEIGHT + 16}" text-anchor="end">{most}</text>',
        f'<text x="{left}" y="14">{escape(what)}</text>',
    ]
    for i, (name, values) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        points = [
            f"{left + WIDTH * at / (most - 1):.1f},{top + HEIGHT * (high - value) / scale:.1f}"
            if math.isfinite(value)
            else ""
            for at, value in enumerate(values)
        ]
        for stretch in " ".join(point or "|" for point in points).split("|"):
            if stretch.strip():
                parts.append(f'<polyline points="{stretch.strip()}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        place = left + WIDTH - 100 * (len(series) - i - 1)
        parts.append(f'<text x="{place}" y="14" text-anchor="end" fill="{colour}">{escape(name)}</text>')
    return "".join(parts) + "</svg>"


def bars(shares: Sequence[tuple[str, float]]) -> str:
    """A bar for each name with its fraction of 1."""
    rows = []
    for name, share in shares:
        width = 160 * min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0
        bar = f'<div style="width:{width:.0f}px;height:12px;background:{COLOURS[0]}"></div>'
        rows.append(f"<tr><td>{escape(name)}</td><td>{bar}</td><td>{share:.4f}</td></tr>")
    return f"<table>{''.join(rows)}</table>"


def picture(seen: npt.NDArray[np.uint8]) -> str:
    """A picture (h, w) or (3, h, w), small ones enlarged."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(seen if seen.ndim == 2 else np.moveaxis(seen, 0, 2)).save(content, "PNG")
    height, width = seen.shape[-2:]
    factor = max(1, MOST_PIXELS // max(height, width))
    data = base64.b64encode(content.getvalue()).decode()
    size = f'width="{width * factor}" height="{height * factor}"'
    return f'<img src="data:image/png;base64,{data}" {size} style="image-rendering:pixelated"/>'
