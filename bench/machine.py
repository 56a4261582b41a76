"""Describes the machine of a measurement."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

from bench.runner import cores

LIBRARIES = ["numpy", "torch", "jax", "jaxlib", "scikit-learn", "keras"]


def describe() -> dict[str, Any]:
    """Machine, versions and the load at this moment."""
    from pynet import __version__, kernels

    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": cpu_name(),
        "cores": cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "pynet": f"{__version__}, kernels for {kernels.cpu()}",
        "libraries": {name: version for name in LIBRARIES if (version := _version(name))} | {"blas": blas()},
        "load": load(),
    }


def load() -> float:
    """The load average of the last minute."""
    return round(os.getloadavg()[0], 2)


def cpu_name() -> str:
    """The system's name of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name, family, model = (facts.get(key, "?") for key in ("model name", "cpu family", "model"))
    return f"{name} (family {family}, model {model})"


def blas() -> str:
    """The BLAS library that NumPy uses."""
    import numpy as np

    found = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{found['name']} {found['version']}"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
