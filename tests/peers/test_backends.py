"""Many trainings at once, on the engines that people have: a grid on each backend of joblib, seeds on a pool of MPI."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pynet
from pynet import data

NEEDED = "needs scikit-learn: .ci/run and `make test-peers` have it"
joblib = pytest.importorskip("joblib", reason=NEEDED)
model_selection = pytest.importorskip("sklearn.model_selection", reason=NEEDED)

pytestmark = pytest.mark.filterwarnings("ignore:Maximum iterations")
GUARD = 60  # seconds: a process that takes longer hangs


def scores(backend: str, **options: Any) -> list[list[float]]:
    """The score of each network of a grid on each fold."""
    from pynet.sklearn import PynetClassifier

    digits = data.load("digits")
    x, y = digits.x_train[:300].reshape(300, -1) / np.float32(16), digits.y_train[:300]
    model = PynetClassifier(hidden_layer_sizes=(16,), max_iter=3, random_state=0)
    grid = model_selection.GridSearchCV(model, {"alpha": [0.0, 0.1], "batch_size": [16, 32]}, cv=3, n_jobs=2)
    with joblib.parallel_backend(backend, **options):
        grid.fit(x, y)
    return [grid.cv_results_[f"split{i}_test_score"].tolist() for i in range(3)]


@pytest.fixture(scope="module")
def expected() -> list[list[float]]:
    found = scores("sequential")
    assert len({score for fold in found for score in fold}) > 4
    return found


@pytest.mark.parametrize("backend", ["threading", "loky", "multiprocessing"])
def test_a_grid_has_the_same_scores_on_each_backend(backend: str, expected: list[list[float]]) -> None:
    assert scores(backend) == expected


@pytest.mark.filterwarnings("ignore")  # those of Dask are its own
def test_a_grid_has_the_same_scores_on_dask(expected: list[list[float]]) -> None:
    distributed = pytest.importorskip("distributed", reason="needs dask[distributed]: .ci/run has it")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster),
    ):
        assert scores("dask") == expected


SEEDS = """
from mpi4py.futures import MPIPoolExecutor
import pynet

def trained(seed):
    digits = pynet.data.load("digits")
    net = pynet.Network("input(64) dense(16) relu dense(10) softmax", seed=seed)
    net.fit(digits.x_train[:300], digits.y_train[:300], epochs=2, verbose=0)
    return net.weights_sha256()

if __name__ == "__main__":
    with MPIPoolExecutor() as pool:
        found = list(pool.map(trained, range(4)))
    assert found == list(map(trained, range(4))) and len(set(found)) == 4
    print("alike")
"""


def test_seeds_on_a_pool_of_mpi_are_those_of_one_process(tmp_path: Path) -> None:
    pytest.importorskip("mpi4py", reason="needs mpi4py and an MPI: .ci/run has them")
    (tmp_path / "seeds.py").write_text(SEEDS)
    command = [Path(sys.executable).parent / "mpiexec", "-n", "3", sys.executable, "-m", "mpi4py.futures", "seeds.py"]
    env = {"PYTHONPATH": str(Path(pynet.__file__).parent.parent), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=GUARD)
    assert done.stdout == "alike\n", done.stderr
