"""Where commands write pictures, histories and models of other programs, and which files they never overwrite."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pynet.files import check_writable
from pynet.text import DRAWN

if TYPE_CHECKING:
    from matplotlib.figure import Figure


NAME_MAX = 255  # bytes: the longest file name on the usual file systems


def figures_folder(folder: Path, name: str) -> Path:
    """The folder for pictures of a model or a history, as in mnist-figures."""
    return folder / f"{name}-figures"


def check_picture_path(place: Path) -> None:
    """OSError: the picture cannot be written, or would replace a file that pynet did not draw.

    Pictures of pynet contain the text DRAWN.
    """
    if os.path.lexists(place.parent):
        check_writable(place)
    else:  # save_figure makes the folder
        check_writable(place.parent)
        if len(os.fsencode(place.name)) > NAME_MAX:
            raise OSError(errno.ENAMETOOLONG, f"cannot write {place}: {os.strerror(errno.ENAMETOOLONG)}")
    if place.is_file() and DRAWN.encode() not in place.read_bytes():
        raise OSError(f"{place} is not a picture drawn by pynet; it is not overwritten")


def save_figure(figure: Figure, place: Path) -> Path:
    """Writes a figure, making its folder if needed; returns the path."""
    from pynet import figures  # imported here: most commands do not need matplotlib

    place.parent.mkdir(parents=True, exist_ok=True)
    return figures.save(figure, place)


def check_history(place: Path) -> None:
    """OSError: there is a file that is not a history of pynet."""
    if place.is_file() and place.stat().st_size:
        with place.open("rb") as file:
            if not file.read(6).startswith((b"epoch,", b"[")):
                raise OSError(f"{place} is not a history written by pynet; it is not overwritten")


def check_new(place: Path, force: bool) -> None:
    """OSError: the file cannot be written, or exists and is not to be replaced."""
    check_writable(place)
    if os.path.lexists(place) and not force:
        raise OSError(f"{place} exists; --force replaces it, --save FILE writes another")
