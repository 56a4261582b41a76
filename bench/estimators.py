"""The CPU time of fit with default options, of PynetClassifier and of scikit-learn's MLPClassifier.

python -m bench.estimators NAME      is one fit: prints its CPU seconds and the accuracy on the test samples
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

from bench.data import ROOT
from bench.measurements import Row, Rows, ratio
from bench.runner import Plan, alternate, pinned

QUESTION = "estimators"
DIGITS = "digits 64-100-10, 200 epochs"
NAMES = ("pynet", "sklearn")


class Fit:
    """Repeats a fit, each time in a new process; keeps the last accuracy."""

    def __init__(self, name: str, threads: int) -> None:
        self.name, self.threads, self.accuracy = name, threads, 0.0

    def __call__(self) -> float:
        with pinned(self.threads) as environment:
            command = [sys.executable, "-m", "bench.estimators", self.name]
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        seconds, self.accuracy = json.loads(done.stdout)
        return float(seconds)


def measure(plan: Plan) -> Rows:
    """Rows in CPU seconds per fit, summed over threads; none if scikit-learn is not among the contestants."""
    if "sklearn" not in plan.contestants:
        return Rows()
    threads = max(plan.threads)
    fits = {name: Fit(name, threads) for name in NAMES}
    found = alternate({**fits}, plan.rounds, 0)
    return Rows(Row(QUESTION, DIGITS, threads, name, s, {"accuracy": fits[name].accuracy}) for name, s in found.items())


def cheaper(rows: Rows) -> float | None:
    """The CPU time of MLPClassifier divided by that of PynetClassifier."""
    return ratio(rows.pick(QUESTION, DIGITS), "pynet", ["sklearn"])


def process(name: str) -> tuple[float, float]:
    """CPU seconds of a fit on scikit-learn's digits, and the accuracy on the quarter of them not used for it."""
    import warnings

    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    from pynet.sklearn import PynetClassifier

    x, y = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(x / 16, y, random_state=0)
    model = {"pynet": PynetClassifier, "sklearn": MLPClassifier}[name](random_state=0)
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both stop after 200 epochs by default, converged or not
        model.fit(x, y)
    return time.process_time() - begin, model.score(x_test, y_test)


if __name__ == "__main__":
    print(json.dumps(process(sys.argv[1])))
