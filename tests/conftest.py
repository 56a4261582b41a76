"""Fixtures that all tests share: MNIST, the kernel tables, the C library, and settings of hypothesis."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from pynet.data import Dataset

pytest.register_assert_rewrite("helpers")

# The same examples run each time, without a time limit; HYPOTHESIS_PROFILE=random draws new ones.
settings.register_profile("fixed", deadline=None, derandomize=True)
settings.register_profile("random", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "table" in metafunc.fixturenames:
        from pynet import kernels

        metafunc.parametrize("table", kernels.cpu_tables(), indirect=True)


@pytest.fixture(autouse=True)
def default_kernels() -> Iterator[None]:
    """The best kernel table and the default number of threads again after each test."""
    yield
    if kernels := sys.modules.get("pynet.kernels"):
        kernels.set_cpu(None)
        kernels.set_threads(None)


@pytest.fixture
def table(request: pytest.FixtureRequest) -> str:
    """Name of the kernel table in use: a test that takes it runs once on each table of this CPU."""
    from pynet import kernels

    kernels.set_cpu(request.param)
    assert kernels.cpu() == request.param
    return request.param


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that an unprivileged user can access, unlike tmp_path."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        yield Path(name)


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """The folder with MNIST's four files. PYNET_DATA unset: skips. Set, but without them: fails."""
    root = os.environ.get("PYNET_DATA")
    if not root:
        pytest.skip("needs MNIST: set PYNET_DATA to the folder that holds mnist/")
    folder = Path(root, "mnist")
    parts = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    missing = [part for part in parts if not (folder / part).exists() and not (folder / f"{part}.gz").exists()]
    if missing:
        pytest.fail(f"PYNET_DATA is {root}, but {folder} lacks {', '.join(missing)} (or .gz)")
    return folder


@pytest.fixture(scope="session")
def mnist(mnist_root: Path) -> Dataset:
    """MNIST as pynet.data loads it; one copy for all tests, so leave it unchanged."""
    from pynet import data

    return data.load("mnist")


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """The built-in digits; one copy for all tests, too."""
    from pynet import data

    return data.load("digits")


@pytest.fixture(scope="session")
def libpynet() -> Path:
    """The folder with libpynet.a, libpynet.so and obj/*.o, brought up to date by `make lib`."""
    from helpers import ROOT, make

    make("lib")
    return ROOT / "build"
