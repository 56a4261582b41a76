"""Files that are written whole or not at all. Those of the core are in core/test_file_system.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from pynet.files import replacing


def test_what_was_written_takes_the_name(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_what_fails_leaves_all_as_it_was(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as partial:
        partial.write_text("ne")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_at_once_do_not_meet(tmp_path: Path) -> None:
    """Each has a partial file of its own; the last one to finish is what stays, whole."""
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier

    path, both = tmp_path / "a.txt", Barrier(2, timeout=60)

    def write(text: str) -> None:
        with replacing(path) as partial:
            both.wait()
            partial.write_text(text)
            both.wait()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, ["a" * 1000, "b" * 1000]))
    assert path.read_text() in ("a" * 1000, "b" * 1000)
    assert list(tmp_path.iterdir()) == [path]
