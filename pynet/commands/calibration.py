"""The samples for `pynet export --int8`: some to calibrate with, others to measure what the integers cost."""

from __future__ import annotations

import argparse
from dataclasses import replace

from pynet.commands import cli, data_options, table_options
from pynet.data import Dataset
from pynet.data.dataset import NAMED_SETS
from pynet.network import Network
from pynet.text import figure_text, figure_words

MOST = 5000  # samples for calibration, spread over those for training
HELD_OUT = 5  # every fifth sample is for measuring, where the data have no test samples


def samples(net: Network, calibrate: str, dataset: str | None) -> Dataset:
    """Training samples to calibrate with and test samples, of --dataset if it is given.

    calibrate: the value of --calibrate, a name or a path. ValueError: they do not fit the network; DataError.
    """
    found = _loaded(net, calibrate).with_test_set()
    if dataset:
        other = _loaded(net, dataset)
        found = replace(found, name=other.name, x_test=other.x_test, y_test=other.y_test)
    elif not len(found.x_test):
        x, y, held = found.x_train, found.y_train, slice(HELD_OUT - 1, None, HELD_OUT)
        kept = [i for i in range(len(x)) if i % HELD_OUT < HELD_OUT - 1]
        found = replace(found, x_train=x[kept], y_train=y[kept], x_test=x[held], y_test=y[held])
    if not len(found.x_test):
        raise ValueError(f"{found.name} has too few samples to measure the accuracy; --dataset NAME names others")
    return replace(found, x_train=found.x_train[:: -(-len(found.x_train) // MOST) or 1])


def _loaded(net: Network, name: str) -> Dataset:
    """A data set as the model takes it, by name or path, read as `pynet evaluate` reads it."""
    parser = cli.Parser("pynet export", "", "")
    data_options.add_data_options(parser.add_argument_group(), "")
    table_options.add_reading_options(parser.add_argument_group())
    named = name.lower().replace("_", "-") in NAMED_SETS
    options: argparse.Namespace = parser.parse_args(["--dataset" if named else "--data", name])
    return data_options.adapted(net, data_options.load_dataset(options, net), "the model")


def report(net: Network, scores: tuple[float, ...], found: Dataset) -> str:
    """A line on the accuracy in floating point and in integers, or the errors of numbers."""
    name = "rmse" if net.task == "regression" else "accuracy"
    before, after = (figure_text(name, score) for score in scores)
    return (
        f"int8   {figure_words(name)} {before} in floating point, {after} in integers "
        f"({len(found.x_test):,} samples of {found.name} for testing); "
        f"calibrated on {len(found.x_train):,} others"
    )
