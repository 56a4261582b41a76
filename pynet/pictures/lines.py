"""Finds printed lines in a mask of ink, such as ruled or squared paper and the boxes of a form, and takes them away.

A printed line is straight, of constant thickness, and longer than a stroke: it runs from edge to edge of the picture,
or ends at other lines, as those of a box do. Candidates come from a Hough transform of the upper edges in the mask
(R. Duda and P. Hart 1972); each is then traced, pixel column by pixel column, which also follows a slight bend.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pynet._ffi import Array
from pynet.pictures.pixels import Mask, components, grown

STEEPEST = 0.09  # of a line, pixels down for one across: 5 degrees
SHORTEST = 0.3  # of the picture's side; shorter ones are not looked for
THICKEST = 0.06  # of the picture's shorter side
MOST = 60  # lines of one direction
BEYOND = 2  # pixels; a stroke that crosses a line reaches as far at least on both sides

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Line:
    """A line from left to right, or, in a transposed mask, from top to bottom.

    The ink's columns are start to stop; at each column of the picture it covers the rows top to bottom, inclusive.
    """

    start: int
    stop: int
    top: Rows
    bottom: Rows
    spans: bool  # with gaps, it goes from edge to edge of the picture

    @property
    def thickness(self) -> int:
        """In pixels, the median over the columns."""
        return int(np.median(self.bottom - self.top)) + 1

    def pixels(self, shape: tuple[int, ...]) -> Mask:
        """(h, w): the line's pixels."""
        rows = np.arange(shape[0])[:, None]
        on = (rows >= self.top) & (rows <= self.bottom)
        on[:, : self.start] = on[:, self.stop + 1 :] = False
        return on

    def between(self, one: Array, other: Array) -> bool:
        """Whether two points (y, x) are on different sides of the line."""
        sides = [y < self.top[min(max(int(x), 0), len(self.top) - 1)] for y, x in (one, other)]
        return bool(sides[0] != sides[1])

    def hugs(self, height: int) -> bool:
        """Whether it runs along the upper or the lower edge of the picture."""
        near = 2 + self.thickness
        part = slice(self.start, self.stop + 1)
        return bool(np.median(self.top[part]) < near or np.median(self.bottom[part]) >= height - near)


Lines: TypeAlias = tuple[list[Line], list[Line]]


def printed_lines(mask: Mask) -> Lines:
    """The printed lines: those across, and those down, which are lines of the transposed mask."""
    shape = mask.shape
    across, down = _candidates(mask), _candidates(mask.T)
    count = -1
    while count != len(across) + len(down):  # a line that ends at one that is none is none either
        count = len(across) + len(down)
        across = _closed(across, down, shape)
        down = _closed(down, across, shape[::-1])
    if (across and down) or not (across or down):
        return across, down
    if across:
        return _longer_than_strokes(mask, across), []
    return [], _longer_than_strokes(mask.T, down)


def _candidates(mask: Mask) -> list[Line]:
    """What is straight and of constant thickness, from left to right; the longest first."""
    height, width = mask.shape
    edge = mask.copy()
    edge[1:] &= ~mask[:-1]
    y, x = np.nonzero(edge)
    slopes = np.linspace(-STEEPEST, STEEPEST, 2 * round(STEEPEST * width / 2) + 1)
    reach = math.ceil(STEEPEST * width / 2) + 2
    size = height + 2 * reach
    rows = y - np.round(slopes[:, None] * (x - width / 2)).astype(np.intp) + reach  # (slopes, edges)
    place = rows + size * np.arange(len(slopes))[:, None]
    votes = np.bincount(place.ravel(), minlength=len(slopes) * size).reshape(len(slopes), size)
    found: list[Line] = []
    for _ in range(MOST):
        near = votes[:, :-2] + votes[:, 1:-1] + votes[:, 2:]
        s, row = np.unravel_index(near.argmax(), near.shape)
        if near[s, row] < 0.8 * SHORTEST * width:
            break
        line = _traced(mask, slopes[s], int(row) + 1 - reach)
        if line is not None:
            found.append(line)
        used = np.abs(rows[s] - (row + 1)) <= 2
        votes -= np.bincount(place[:, used].ravel(), minlength=votes.size).reshape(votes.shape)
        rows, place = rows[:, ~used], place[:, ~used]
    return found


def _traced(mask: Mask, slope: float, row: int) -> Line | None:
    """The line whose upper edge is near this row in the middle of the picture; None: it is no line."""
    height, width = mask.shape
    thickest = max(4, math.ceil(THICKEST * min(mask.shape)))
    x = np.arange(width)
    centre = np.round(row + slope * (x - width / 2)).astype(np.intp)

    def at(rows: Rows) -> Mask:
        return np.asarray((rows >= 0) & (rows < height) & mask[np.clip(rows, 0, height - 1), x])

    near = np.stack([at(centre + k) for k in (0, 1, -1)])
    on: Mask = np.asarray(near.any(axis=0))
    first = centre + np.array([0, 1, -1])[near.argmax(axis=0)]
    start, stop = _longest_run(on, gap=2 + width // 50)
    run = slice(start, stop + 1)
    if stop - start < SHORTEST * width or on[run].mean() < 0.85:
        return None
    above, below = (_run_of(np.stack([at(first + way * k) for k in range(1, thickest + 3)])) for way in (-1, 1))
    thickness = 1 + above + below
    usual = int(np.median(thickness[run][on[run]]))
    plain = on & (np.abs(thickness - usual) <= 1 + usual // 4)
    plain[:start] = plain[stop + 1 :] = False
    if usual > thickest or plain.sum() < 0.6 * on[run].sum():
        return None
    top = np.round(np.interp(x, x[plain], (first - above)[plain])).astype(np.intp)
    bottom = np.round(np.interp(x, x[plain], (first + below)[plain])).astype(np.intp)
    margin = _margin(width)
    spans = on.mean() > 0.8 and on[: margin + 1].any() and on[-margin - 1 :].any()
    return Line(start, stop, top, bottom, bool(spans))


def _margin(width: int) -> int:
    """How many pixels may be between the end of a line and what it ends at."""
    return 2 + width // 40


def _run_of(on: Mask) -> Rows:
    """(n) how many of the first rows of (k, n) are all True."""
    return np.asarray(np.logical_and.accumulate(on).sum(axis=0), np.intp)


def _longest_run(on: Mask, gap: int) -> tuple[int, int]:
    """The first and the last place of the longest run of True in (n), gaps up to that length ignored."""
    places = np.flatnonzero(on)
    if not len(places):
        return 0, 0
    breaks = np.flatnonzero(np.diff(places) > gap + 1)
    first, last = np.r_[places[0], places[breaks + 1]], np.r_[places[breaks], places[-1]]
    best = int((last - first).argmax())
    return int(first[best]), int(last[best])


def _closed(lines: list[Line], others: list[Line], shape: tuple[int, ...]) -> list[Line]:
    """The lines that end at an edge of the picture or at one of the others, which run crosswise.

    One alone goes from edge to edge: a box has two sides, whereas a stroke may end at two ruled lines by chance.
    """
    found = [line for line in lines if _ends(line, others, *shape)]
    return found if len(found) > 1 else [line for line in found if _ends(line, [], *shape)]


def _ends(line: Line, others: list[Line], height: int, width: int) -> bool:
    """Whether both ends are at an edge of the picture, or at one of the other lines, which run crosswise.

    These are as thick: the strokes of a broad pen end on thin lines, too.
    """
    margin = _margin(width)
    if line.spans:
        return True

    def closed(end: int) -> bool:
        row = int(line.top[end] + line.bottom[end]) // 2
        if min(end, width - 1 - end, row, height - 1 - row) <= margin:
            return True
        return any(
            other.top[row] - margin <= end <= other.bottom[row] + margin
            and other.start - margin <= row <= other.stop + margin
            for other in others
            if line.thickness <= 1 + 1.5 * other.thickness
        )

    return closed(line.start) and closed(line.stop)


def _longer_than_strokes(mask: Mask, lines: list[Line]) -> list[Line]:
    """The lines, all from left to right, that are none of a glyph's strokes, such as the bar of a 7 in a tight crop."""
    height, width = mask.shape
    rest = without_lines(mask, (lines, []))
    if not rest.any():
        return []
    label, _ = components(rest)
    largest = label == np.bincount(label[rest]).argmax()
    columns = np.flatnonzero(largest.any(axis=0))
    long = 0.85 * width > np.ptp(columns) + 1
    kept = []
    for line in lines:
        if line.hugs(height):
            far = largest[-1] if line.top[width // 2] < height // 2 else largest[0]
            stroke = far.any() and (grown(line.pixels(mask.shape)) & largest).any()
            kept += [] if stroke else [line]
        elif long:
            kept.append(line)
    return kept


def pixels(lines: Lines, shape: tuple[int, ...]) -> Mask:
    """(h, w): the pixels of the lines."""
    on = np.zeros(shape, bool)
    for line in lines[0]:
        on |= line.pixels(shape)
    for line in lines[1]:
        on |= line.pixels(shape[::-1]).T
    return on


def without_lines(mask: Mask, lines: Lines) -> Mask:
    """The mask without these lines; the strokes that cross one are mended."""
    rest: Array = mask & ~pixels(lines, mask.shape)
    found = rest.copy()
    for line in lines[0]:
        found |= _crossed(rest, line)
    for line in lines[1]:
        found |= _crossed(rest.T, line).T
    return found


def _crossed(rest: Mask, line: Line) -> Mask:
    """The pixels of a line that lie between ink above and ink below it, at up to 45 degrees.

    That ink is BEYOND pixels high or more: what is left of the line's own edge is less.
    """
    height, width = rest.shape
    x = np.arange(width)
    found = np.zeros_like(rest)
    deep = line.thickness + 1

    def inked(rows: Rows, columns: Rows) -> Mask:
        good = (rows >= 0) & (rows < height) & (columns >= line.start) & (columns <= line.stop)
        return np.asarray(good & rest[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)])

    for lean in (0.0, -0.5, 0.5, -1.0, 1.0):
        for k in range(1, deep):  # the row of the line, counted from the one above it
            rows = line.top - 1 + k
            mended = (rows >= 0) & (rows < height) & (rows <= line.bottom)
            up, down = np.round(x - lean * k).astype(np.intp), np.round(x + lean * (deep - k)).astype(np.intp)
            top, bottom = line.top[np.clip(up, 0, width - 1)] - 1, line.bottom[np.clip(down, 0, width - 1)] + 1
            for j in range(BEYOND):
                out = round(lean * j)
                mended &= inked(top - j, up - out) & inked(bottom + j, down + out)
            found[rows[mended], x[mended]] = True
    return found
