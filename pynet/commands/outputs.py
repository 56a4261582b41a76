"""Where commands put pictures, and what they do not overwrite."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pynet.files import check_writable
from pynet.text import DRAWN

if TYPE_CHECKING:
    from matplotlib.figure import Figure


NAME_MAX = 255  # bytes of a file name on all usual file systems


def figures_folder(folder: Path, name: str) -> Path:
    """The folder of a model's pictures, or of a history's: mnist-figures."""
    return folder / f"{name}-figures"


def check_picture_path(place: Path) -> None:
    """OSError: the picture cannot be written there, or there is a file that is none of pynet's, which carry a mark."""
    if os.path.lexists(place.parent):
        check_writable(place)
    else:  # save_figure makes the folder
        check_writable(place.parent)
        if len(os.fsencode(place.name)) > NAME_MAX:
            raise OSError(errno.ENAMETOOLONG, f"cannot write {place}: {os.strerror(errno.ENAMETOOLONG)}")
    if place.is_file() and DRAWN.encode() not in place.read_bytes():
        raise OSError(f"{place} is no picture that pynet drew; it is left as it is")


def save_figure(figure: Figure, place: Path) -> Path:
    """Draws into the folder, which is made if there is none; returns the place."""
    from pynet import figures  # and NumPy's friends: not needed by most commands

    place.parent.mkdir(parents=True, exist_ok=True)
    return figures.save(figure, place)


def check_history(place: Path) -> None:
    """OSError: there is a file that is no history of pynet's."""
    if place.is_file() and place.stat().st_size:
        with place.open("rb") as file:
            if not file.read(6).startswith((b"epoch,", b"[")):
                raise OSError(f"{place} is no history that pynet wrote; it is left as it is")
