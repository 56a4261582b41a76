"""`pynet evaluate`: measures a model on a data set."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict

from pynet.commands import cli, data_options, table_options
from pynet.data import Dataset
from pynet.inference import load_model
from pynet.metrics import MOST_PRINTED, Report, format_confusion, format_report, measure, uneven
from pynet.network import Evaluation, Network, RegressionEvaluation
from pynet.text import figure_text, figure_words, json_text, percent, printable

EXAMPLES = """\
examples:
  pynet evaluate                                       the newest model, on the test samples of its data set
  pynet evaluate --model mnist.safetensors --on train  on its training samples
  pynet evaluate --data more.csv                       on other data with the same classes, all samples
  pynet evaluate --data own.npz --json > report.json
  pynet evaluate --data new.csv                        a table, for a model of one

RMSE and MAE: the root of the mean squared error and the mean absolute error, in the unit of the targets. R2: 1 minus
the sum of squared errors over that of the mean of the targets for all: 1 is perfect, 0 is no better than the mean.

calibration error: the mean gap between confidence and accuracy, over 15 intervals of confidence (Guo et al. 2017).
A network is well calibrated if 8 of 10 predictions with a confidence of 80 % are right.
"""


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.Parser("pynet evaluate", "Measures a model on a data set.", EXAMPLES)
    data_options.add_model_option(parser)
    data_options.add_data_options(parser.add_argument_group("data"), "the one that the model was trained on")
    table_options.add_reading_options(parser.add_argument_group("tables"))
    data_options.add_on_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object, and nothing else")
    return parser.parse_args(argv)


def evaluate(options: argparse.Namespace) -> None:
    """Runs the command with parsed options."""
    place, net = load_model(options.model)
    dataset = data_options.adapted(net, data_options.load_dataset(options, net), f"the model {place}")
    x, y = data_options.samples(dataset, options.on)
    if dataset.classes:
        report = measure(net, x, y, dataset.classes)
        classes = [asdict(row) for row in report.classes]
        found = vars(report) | {"classes": classes, "confusion": report.confusion.tolist()}
        text = _text(report, net, dataset)
    else:
        figures = net.evaluate(x, y)
        found, text = figures._asdict(), _of_numbers(figures, net)
    if options.json:
        on = options.on if len(dataset.x_train) else "all"
        print(json_text({"model": str(place), "dataset": dataset.name, "on": on} | found))
    else:
        cli.print_stdout(f"model        {printable(place)}: {net.spec}")
        cli.print_stdout(f"data         {printable(data_options.describe_samples(net, dataset, options.on))}")
        for line in dataset.notes:
            cli.print_stdout(f"             {printable(line)}")
        cli.print_stdout(text)


def _of_numbers(figures: Evaluation | RegressionEvaluation, net: Network) -> str:
    lines = [f"{figure_words(name):<13}{figure_text(name, value)}" for name, value in figures.named().items()]
    lines.append(f"loss         {figures.loss:.4g} ({net.loss_name})")
    return "\n".join([*lines, "", "`pynet visualize predicted residuals` draws where it is wrong"])


def _text(report: Report, net: Network, dataset: Dataset) -> str:
    lines = [
        f"accuracy     {percent(report.accuracy)} ({report.correct:,}/{report.samples:,})"
        f"{printable(uneven(report.confusion, dataset.classes))}",
        f"loss         {report.loss:.4f} ({net.loss_name})",
    ]
    if report.confidence is None or report.calibration_error is None:
        lines.append("calibration  undefined: the outputs are not between 0 and 1")
    else:
        tendency = "overconfident" if report.confidence > report.accuracy else "underconfident"
        lines.append(
            f"calibration  error {percent(report.calibration_error)}; "
            f"mean confidence {percent(report.confidence)}: {tendency}"
        )
    if report.roc_auc is not None:
        lines.append(f"ROC AUC      {report.roc_auc:.4f}")
    lines += ["", format_report(report.classes)]
    if len(report.classes) <= MOST_PRINTED:
        lines += ["", format_confusion(report.confusion, dataset.classes, width=cli.width())]
    if report.correct < report.samples:
        lines += ["", "`pynet visualize mistakes` draws the most confident mistakes"]
    return "\n".join(lines)


main = cli.command("evaluate", _parse, evaluate)
