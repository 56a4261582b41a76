"""`pynet visualize`: draws the figures of pynet.figures."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pynet import data, figures
from pynet._ffi import Array
from pynet.commands import cli, data_options, table_options
from pynet.commands.cli import UsageError
from pynet.commands.outputs import check_picture_path, figures_folder, save_figure
from pynet.data import Dataset
from pynet.data.table_model import table_of
from pynet.inference import load_model
from pynet.metrics import class_scores, measure, permutation_importance
from pynet.network import Network
from pynet.optim import SGD
from pynet.text import printable
from pynet.training.history import History

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXAMPLES = """\
what can be drawn:
{what}

examples:
  pynet visualize                                   all figures that fit the newest model
  pynet visualize weights mistakes --model mnist.safetensors
  pynet visualize curves --history a.csv b.json     compare several trainings
  pynet visualize preferred --layer 0 --units 0,1  the inputs that excite these units most
  pynet visualize saliency --sample 8               which pixels of sample 8 decide its class
  pynet visualize boundary --toy spirals            trains a small network first
  pynet visualize predicted residuals importance    a model of a table
"""

TOYS: dict[str, tuple[Callable[[], tuple[Array, Array]], str]] = {
    "moons": (data.moons, "input(2) dense(16) tanh dense(16) tanh dense(2) softmax"),
    "spirals": (data.spirals, "input(2) dense(32) tanh dense(32) tanh dense(2) softmax"),
    "line": (data.line, "input(1) dense(1) loss(mse)"),
}
TARGET_CONFIDENCE = 0.7  # of the sample for `temperatures`: a near certain prediction hardly changes with temperature


class Task:
    """The options, and the model and data they name, which are loaded when a figure needs them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options

    @cached_property
    def model(self) -> tuple[Path, Network]:
        """The model's path and network."""
        return load_model(self.options.model)

    @property
    def net(self) -> Network:
        """The network."""
        return self.model[1]

    @property
    def features(self) -> Sequence[str] | None:
        """Names of the inputs of a model of a table; None of others. They need no data."""
        table = table_of(self.net)
        return table.columns.names if table else None

    @cached_property
    def data(self) -> Dataset:
        """The data set, matched to the network."""
        return data_options.adapted(
            self.net, data_options.load_dataset(self.options, self.net), f"the model {self.model[0]}"
        )

    @property
    def samples(self) -> tuple[Array, Array]:
        """x and y of the part that --on names."""
        return data_options.samples(self.data, self.options.on)

    @property
    def sample(self) -> tuple[Array, Any]:
        """The sample that --sample names, or the first, and its label or target."""
        return self._sample(self.options.sample or 0)

    @property
    def uncertain_sample(self) -> tuple[Array, Any]:
        """The sample of --sample, or the one with a confidence nearest to TARGET_CONFIDENCE, and its label."""
        if self.options.sample is not None:
            return self.sample
        confidence = class_scores(self.net, self.samples[0]).max(axis=1)
        return self._sample(int(abs(confidence - TARGET_CONFIDENCE).argmin()))

    def _sample(self, i: int) -> tuple[Array, Any]:
        x, y = self.samples
        if i >= len(x):
            raise UsageError(f"argument --sample: {i} is not accepted; accepted: 0 to {len(x) - 1}")
        return x[i], y[i]

    @property
    def stem(self) -> str:
        """The beginning of the pictures' names."""
        if self.options.toy:
            return str(self.options.toy)
        return (self.options.history[0] if self.options.history else self.model[0]).stem

    def picture_path(self, kind: str) -> Path:
        """The path of a picture; options that change its content are part of the name."""
        options = self.options
        given = {name: getattr(options, name) for name in KINDS[kind].options}
        parts = [self.stem, kind, *(f"{name}-{value}" for name, value in given.items() if value not in (None, "test"))]
        folder = options.out or figures_folder(Path(), self.stem)
        return folder / f"{'-'.join(parts)}.{options.format}"


def _curves(task: Task) -> Figure:
    if task.options.history:
        return figures.curves({str(path): History.load(path) for path in task.options.history})
    history = History.from_note(task.net.meta.get("history", ""))
    if not history.loss:
        raise ValueError(f"{task.model[0]} holds no training history; --history names a file")
    return figures.curves(history, name=task.stem)


def _confusion(task: Task) -> Figure:
    return figures.confusion(measure(task.net, *task.samples, task.data.classes).confusion, task.data.classes)


def _mistakes(task: Task) -> Figure:
    return figures.mistakes(task.net, *task.samples, task.data.classes, features=task.data.features)


def _samples(task: Task) -> Figure:
    title = f"{task.data.name}, {data_options.part(task.data, task.options.on)} samples"
    return figures.samples(*task.samples, task.data.classes, title=title, features=task.data.features)


def _saliency(task: Task) -> Figure:
    x, y = task.sample
    return figures.saliency(task.net, x, classes=task.data.classes, truth=int(y), features=task.data.features)


def _temperatures(task: Task) -> Figure:
    x, y = task.uncertain_sample
    return figures.temperatures(task.net, x, classes=task.data.classes, truth=int(y), features=task.data.features)


def _boundary(task: Task) -> Figure:
    if not task.options.toy:
        return figures.boundary(task.net, *task.samples, features=task.data.features)
    make, text = TOYS[task.options.toy]
    x, y = make()
    net = Network(text)
    net.fit(x, y, epochs=300, batch_size=20, optimizer=SGD(0.1), verbose=0)
    return figures.boundary(net, x, y)


def _preferred(task: Task) -> Figure:
    layer, units = task.options.layer, task.options.units
    return figures.preferred_inputs(task.net, layer=layer, units=units, features=task.features)


def _numbers(task: Task, draw: Callable[..., Figure]) -> Figure:
    if task.net.task != "regression":
        raise ValueError(f"{task.model[0]} predicts classes; this figure is for numbers")
    x, y = task.samples
    name = task.data.columns.target.name if task.data.columns else task.data.name
    return draw(y, task.net.predict(x), name=name)


def _importance(task: Task) -> Figure:
    columns = task.data.columns
    if not columns:
        raise ValueError(f"{task.data.name} is not a table; this figure compares the columns of a table")
    falls = permutation_importance(task.net, *task.samples, columns.spans)
    score = "R2" if task.net.task == "regression" else "accuracy"
    return figures.importance(falls, [column.name for column in columns.inputs], score=score)


class Kind(NamedTuple):
    """A figure: what it shows, the function that draws it, the options that change its content, and whether the network
    has to be a classifier."""

    about: str
    draw: Callable[[Task], Figure]
    options: tuple[str, ...] = ()
    of_classes: bool = False


KINDS: dict[str, Kind] = {
    "curves": Kind("loss and accuracy over the epochs", _curves),
    "weights": Kind(
        "the weights of each unit of a layer", lambda t: figures.weights(t.net, layer=t.options.layer), ("layer",)
    ),
    "filters": Kind(
        "the filters of a convolution", lambda t: figures.filters(t.net, layer=t.options.layer), ("layer",)
    ),
    "maps": Kind(
        "the feature maps of a convolution for one sample",
        lambda t: figures.feature_maps(t.net, t.sample[0], layer=t.options.layer),
        ("layer", "sample"),
    ),
    "samples": Kind("some samples of each class", _samples, ("on",), of_classes=True),
    "confusion": Kind("the confusion matrix", _confusion, ("on",), of_classes=True),
    "mistakes": Kind("the most confident mistakes", _mistakes, ("on",), of_classes=True),
    "saliency": Kind("which pixels of one sample decide its class", _saliency, ("sample",), of_classes=True),
    "preferred": Kind("the input that excites each class or unit most", _preferred, ("layer", "units")),
    "noise": Kind(
        "predictions for random inputs", lambda t: figures.noise(t.net, features=t.features), of_classes=True
    ),
    "temperatures": Kind(
        "the softmax of one sample at several temperatures", _temperatures, ("sample",), of_classes=True
    ),
    "boundary": Kind("the decision boundary of a network with two inputs", _boundary),
    "predicted": Kind("predicted numbers against the true ones", lambda t: _numbers(t, figures.predicted), ("on",)),
    "residuals": Kind("the errors of predicted numbers", lambda t: _numbers(t, figures.residuals), ("on",)),
    "importance": Kind("what each column of a table is worth", _importance, ("on",)),
}


def visualize(options: argparse.Namespace) -> None:
    """Runs the command with parsed options."""
    figures.require()
    if options.toy and options.what not in ([], ["boundary"]):
        raise UsageError("--toy trains a network and draws its boundary; it can be used only with `boundary`")
    task = Task(options)
    if not (options.toy or options.history):
        _ = task.model  # fails early if there is none
    requested = options.what or (["boundary"] if options.toy else ["curves"] if options.history else list(KINDS))
    skipped = []
    for kind in requested:
        picture_path = task.picture_path(kind)
        check_picture_path(picture_path)
        try:
            if KINDS[kind].of_classes and not task.options.toy and task.net.task != "classes":
                gives = "numbers" if task.net.task == "regression" else "several labels at once"
                raise ValueError(f"{task.model[0]} predicts {gives}; this figure is for classes")
            figure = KINDS[kind].draw(task)
        except (ValueError, UsageError) as error:
            if len(requested) < len(KINDS):  # named by the user
                raise
            skipped.append(f"{kind}: {printable(error)}")
            continue
        if not figure.axes:
            skipped.append(f"{'no ' if options.what else ''}{kind}: {figure.get_suptitle()}")
            continue
        save_figure(figure, picture_path)
        cli.print_stdout(f"{printable(picture_path)}  {figure.get_suptitle()}")
    if skipped and not options.what:
        cli.print_stdout("these do not fit the model or its data:")
    for line in skipped:
        cli.print_stdout(line if options.what else f"  {line}")


class Units(list[int]):
    """Indices of units; str() joins them for a file name."""

    def __str__(self) -> str:
        return "-".join(map(str, self))


def _units(text: str) -> Units:
    return Units(cli.wholes(0, "as in 0,3")(text))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    listed = "\n".join(f"  {name:<14}{kind.about}" for name, kind in KINDS.items())
    parser = cli.Parser("pynet visualize", "Draws a model, its data and its predictions.", EXAMPLES.format(what=listed))
    add = parser.add_argument
    add("what", metavar="WHAT", nargs="*", help=f"{', '.join(KINDS)} (default: all that fit)")
    data_options.add_model_option(parser)
    data_options.add_data_options(parser.add_argument_group("data"), "the one that the model was trained on")
    table_options.add_reading_options(parser.add_argument_group("tables"))
    data_options.add_on_option(parser)
    add("--history", metavar="FILE", nargs="+", type=cli.path, help="curves: files written by pynet train --history")
    add("--layer", metavar="N", help="weights, filters, maps, preferred: the layer, as pynet info numbers them")
    add("--units", metavar="N,N,..", type=_units, help="preferred: the units of that layer (default: the first 20)")
    sample = "maps, saliency, temperatures: which sample (default: 0; temperatures: one of medium confidence)"
    add("--sample", metavar="N", type=cli.whole(0), help=sample)
    add("--toy", choices=list(TOYS), help="boundary: train a small network on this toy data")
    add("--out", metavar="FOLDER", type=cli.path, help="output folder (default: MODEL-figures in the working folder)")
    add("--format", choices=["png", "svg", "pdf"], default="png", help="file format (default: png)")
    options = parser.parse_args(argv)
    for name in options.what:
        if name not in KINDS:
            near = parser.similar_option(name)
            raise UsageError(
                f"{name!r} cannot be drawn; {f'did you mean {near}?' if near else cli.meant(name, list(KINDS))}"
            )
    return options


main = cli.command("visualize", _parse, visualize)
