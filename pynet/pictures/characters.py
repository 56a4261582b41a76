"""Several characters in one picture: the ink divided into characters, and these into lines, in reading order.

A character is made of connected components: one, or several that belong together, such as the bar of a 5 that does not
touch the rest. All lengths are relative to the height of the characters.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np

from pynet.pictures.pixels import Boxes, Floats, Labels, boxes, components, grown

INKED = 0.3  # of full ink; what is fainter is a soft edge
BROKEN = 0.1  # parts that are no farther from each other belong together
LOOSE = 0.3  # a small part, or one that is wider than tall, belongs to what is no farther away
OVERLAP = 0.5  # of the smaller one's width, or height
TALL = 0.5  # a character is at least so tall, of the height of the others
MOST = 1000  # characters in a picture; more are noise


Box: TypeAlias = tuple[int, int, int, int]  # left, top, right, bottom; the last two are exclusive


class Part(NamedTuple):
    """The ink of one character, and where it is."""

    ink: Floats
    box: Box


def characters(ink: Floats) -> list[list[Part]]:
    """The characters of a picture's ink: lines from top to bottom, each from left to right."""
    rows, columns = (np.flatnonzero((ink > INKED).any(axis=axis)) for axis in (1, 0))
    top, left, bottom, right = int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
    if len(rows) == bottom - top >= len(columns) == right - left:  # taller than wide, without a gap: there is one
        return [[Part(ink, (left, top, right, bottom))]]
    label, count = components(ink > INKED)
    box = boxes(label, count)
    group = _joined(box)
    groups = [np.flatnonzero(group == i) for i in np.unique(group)]
    outline = np.array([_around(box[members]) for members in groups])
    size = (outline[:, 2:] - outline[:, :2]).max(axis=1)
    kept = [i for i in np.argsort(-size) if size[i] >= TALL * _usual(size)][:MOST]
    return [[_part(ink, label, groups[kept[i]], outline[kept[i]]) for i in line] for line in _lines(outline[kept])]


def _part(ink: Floats, label: Labels, members: Boxes, outline: Boxes) -> Part:
    """The ink of these components, with its soft edges."""
    top, left = np.maximum(outline[:2] - 1, 0).tolist()
    bottom, right = (outline[2:] + 1).tolist()
    mine = grown(np.isin(label[top:bottom, left:right], members + 1))
    box = (int(outline[1]), int(outline[0]), int(outline[3]), int(outline[2]))
    return Part(np.where(mine, ink[top:bottom, left:right], np.float32(0)), box)


def height_of(lines: list[list[Part]]) -> float:
    """The median height of the characters."""
    return float(np.median([part.box[3] - part.box[1] for line in lines for part in line]))


def _usual(size: Boxes) -> float:
    """The size of the larger characters: all but specks and what is left of something else."""
    return float(np.median(size[size >= TALL * size.max()]))


def _around(box: Boxes) -> Boxes:
    """(4): the smallest rectangle around boxes (n, 4)."""
    return np.concatenate([box[:, :2].min(axis=0), box[:, 2:].max(axis=0)])


def _joined(box: Boxes) -> Boxes:
    """(n): the number of the group that each box belongs to; the smallest join first."""
    size = (box[:, 2:] - box[:, :2]).max(axis=1)
    tall = _usual(size)
    group, outline = np.arange(len(box)), box.copy()
    for i in np.argsort(size)[:-1]:
        others = np.flatnonzero((group == np.arange(len(box))) & (np.arange(len(box)) != i))
        if group[i] != i or not len(others):
            continue
        distance = _distances(outline[i], outline[others], tall)
        if distance.min() <= 1:
            into = others[distance.argmin()]
            group[group == i] = into
            outline[into] = _around(outline[[i, into]])
    return group


def _distances(small: Boxes, large: Boxes, tall: float) -> Floats:
    """(n): how far a part is from each of n others; up to 1: they belong together."""
    gap = np.maximum(np.maximum(small[:2] - large[:, 2:], large[:, :2] - small[2:]), 0)
    shared = np.minimum(small[2:], large[:, 2:]) - np.maximum(small[:2], large[:, :2])
    mine, others = small[2:] - small[:2], large[:, 2:] - large[:, :2]  # height, width
    height, width = np.minimum(mine, others).T
    lies = (mine[0] < mine[1]) | (others[:, 0] < others[:, 1])
    above = np.where((height < TALL * tall) | lies, LOOSE, BROKEN)  # or below
    beside = np.where(np.minimum(mine.max(), others.max(axis=1)) < TALL * tall, LOOSE, BROKEN / 2)
    reach = np.where(shared[:, 1] > OVERLAP * np.maximum(width, 1), above, beside)
    return np.asarray(np.hypot(*gap.T) / (reach * tall), np.float32)


def _lines(box: Boxes) -> list[list[int]]:
    """The numbers of the boxes (n, 4), line by line: each is in the line of that to the left which is on its height."""
    lines: list[list[int]] = []
    for i in np.argsort(box[:, 1] + box[:, 3]):
        top, bottom = box[i, 0], box[i, 2]
        best, line_of = 0.0, None
        for line in lines:
            above, below = box[line[-1], 0], box[line[-1], 2]
            part = (min(bottom, below) - max(top, above)) / min(bottom - top, below - above)
            if part > max(best, OVERLAP):
                best, line_of = part, line
        if line_of is None:
            lines.append([int(i)])
        else:
            line_of.append(int(i))
    return sorted(lines, key=lambda line: float(np.mean(box[line, 0] + box[line, 2])))
