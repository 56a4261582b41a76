"""What does a fit of scikit-learn's kind cost? PynetClassifier and MLPClassifier, in CPU seconds.

python -m bench.estimators NAME CASE      is one fit: prints its CPU seconds, its accuracy and its memory at the peak
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from typing import Any

from bench.data import ROOT
from bench.measurements import Row, Rows, ratio
from bench.runner import Plan, alternate, pinned

QUESTION = "estimators"
DIGITS = "digits 64-100-10, 200 epochs"
SPARSE = "10,000 x 50,000 of density 0.1 %, 50000-32-1, 2 epochs"
NAMES = ("pynet", "sklearn")


class Fit:
    """A fit in a process of its own, again and again; keeps the last accuracy and the last memory in MB."""

    def __init__(self, name: str, case: str, threads: int) -> None:
        self.words, self.threads, self.facts = [name, case], threads, dict[str, float]()

    def __call__(self) -> float:
        with pinned(self.threads) as environment:
            command = [sys.executable, "-m", "bench.estimators", *self.words]
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        seconds, accuracy, peak = json.loads(done.stdout)
        self.facts = {"accuracy": accuracy, "peak_mb": peak}
        return float(seconds)


def measure(plan: Plan) -> Rows:
    """Rows in CPU seconds a fit, of all threads together; none without scikit-learn among the contestants."""
    rows, threads = Rows(), max(plan.threads)
    for case in (DIGITS, SPARSE) if "sklearn" in plan.contestants else ():
        fits = {name: Fit(name, case, threads) for name in NAMES}
        found = alternate({**fits}, plan.rounds, 0)
        rows += [Row(QUESTION, case, threads, name, s, fits[name].facts) for name, s in found.items()]
    return rows


def cheaper(rows: Rows) -> float | None:
    """How many times the CPU time of PynetClassifier MLPClassifier takes on the digits."""
    return ratio(rows.pick(QUESTION, DIGITS), "pynet", ["sklearn"])


def samples(case: str) -> tuple[Any, Any, dict[str, Any]]:
    """x, y and the parameters of both."""
    import numpy as np
    from scipy import sparse
    from sklearn.datasets import load_digits

    if case == DIGITS:
        x, y = load_digits(return_X_y=True)
        return x / 16, y, {}
    rng = np.random.default_rng(0)
    starts, columns = np.arange(0, 500_001, 50), rng.integers(0, 50_000, 500_000)
    x = sparse.csr_matrix((rng.random(500_000, np.float32), columns, starts), shape=(10_000, 50_000))
    return x, (columns[::50] < 25_000).astype(int), {"hidden_layer_sizes": (32,), "max_iter": 2}


def process(name: str, case: str) -> tuple[float, float, float]:
    """CPU seconds of a fit, the accuracy on a quarter of the samples, which it has not seen, and MB at the peak."""
    import warnings

    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    from pynet.sklearn import PynetClassifier

    x, y, options = samples(case)
    x, x_test, y, y_test = train_test_split(x, y, random_state=0)
    model = {"pynet": PynetClassifier, "sklearn": MLPClassifier}[name](random_state=0, **options)
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the epochs are what is measured, enough or not
        model.fit(x, y)
    seconds = time.process_time() - begin
    return seconds, model.score(x_test, y_test), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    print(json.dumps(process(*sys.argv[1:])))
