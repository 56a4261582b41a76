"""The processes that mpiexec started for one command: the first one prints and writes files, the others only work."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator, Sequence

from pynet import kernels
from pynet.commands.cli import UsageError, named
from pynet.training.parallel import Processes

# Set by MPICH, Intel MPI and Slurm, by Open MPI, and by others that start processes.
SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MPI_LOCALNRANKS", "PMIX_RANK")
LOCAL_SIZES = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE")  # of those on this machine
THREADS = ("PYNET_NUM_THREADS", "OMP_NUM_THREADS")
OPTION = "--chunks"


def processes_of(argv: Sequence[str]) -> Processes:
    """Those that share the training if --chunks is given; else this one alone, for other options cannot be shared.

    UsageError: mpiexec started this one, and mpi4py is missing.
    """
    size = next((os.environ[name] for name in SIZES if name in os.environ), None)
    if size is None or OPTION not in named(argv):
        return Processes()
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        if size == "1":
            return Processes()
        raise UsageError(
            f"mpiexec started this as one of several processes, which need mpi4py and an MPI ({error}): "
            "pip install pynet-nn[mpi]"
        ) from None
    return Processes(MPI.COMM_WORLD, (UsageError,))


def share_cores(processes: Processes) -> None:
    """Unless the number of threads is set: divides the cores of this machine among the processes on it."""
    local = next((os.environ[name] for name in LOCAL_SIZES if name in os.environ), "")
    if processes.size > 1 and local.isdecimal() and not any(name in os.environ for name in THREADS):
        kernels.set_threads(max(1, kernels.threads() // max(1, int(local))))


def leave_to_first(options: argparse.Namespace) -> None:
    """Drops the options that write files, which only the first process does."""
    options.save = options.history = None
    options.plot = options.explain = False


@contextlib.contextmanager
def only_first_prints(processes: Processes) -> Iterator[None]:
    """Other processes print nothing: all would print the same."""
    if processes.first:
        yield
        return
    with open(os.devnull, "a") as devnull, contextlib.redirect_stdout(devnull), contextlib.redirect_stderr(devnull):
        yield
