"""`pynet train`, also `python -m pynet.train`: trains and saves a network. The loop is pynet.training.fit.

A run that is stopped does not lose its weights: Ctrl-C saves them as they are; a loss that is not finite saves those
of the last epoch with a finite loss. What could fail after the training, such as writing to --save, is checked first.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pynet import kernels
from pynet._ffi import VERSION, Array
from pynet.commands import cli, data_options
from pynet.commands.cli import EXPECTED_ERRORS, Stopped
from pynet.commands.outputs import save_figure
from pynet.commands.processes import only_first_prints, processes_of
from pynet.commands.table_options import listed
from pynet.commands.train_options import optimizer_note, parse
from pynet.commands.train_save import PreviousModel, keep_better_model, learnt_nothing
from pynet.commands.train_task import PLOTS, Task, beside, prepare
from pynet.metrics import MOST_PRINTED, absent, confusion_matrix, format_confusion, uneven
from pynet.model.task import TaskKind
from pynet.network import Evaluation, RegressionEvaluation
from pynet.text import figure_text, figure_words, json_text, percent, printable
from pynet.training import novelty
from pynet.training.callbacks import Run
from pynet.training.diagnose import Diagnosis
from pynet.training.history import History, columns_of
from pynet.training.parallel import Processes

TEST_FIGURES: dict[TaskKind, tuple[str, ...]] = {
    "classes": ("test_accuracy",),
    "multi-label": ("test_accuracy",),
    "regression": ("test_rmse", "test_mae", "test_r2"),
}


@dataclass
class Training:
    """A run of a task: its figures, and the weights of the last epoch with a finite loss."""

    task: Task
    history: History = field(default_factory=History)
    test: Evaluation | RegressionEvaluation | None = None  # None: there is no test set, or the training has not ended
    unsaved: str = ""  # why the model was not saved; "": it was
    previous: PreviousModel | None = None  # the model that it replaced, if that was better
    started: bool = False
    interrupted_twice: bool = False  # a second Ctrl-C: skip the evaluation

    def __post_init__(self) -> None:
        self._finite_weights = {name: tensor.copy() for name, tensor in self.task.net.tensors.items()}

    def run(self) -> None:
        """Trains, then evaluates on the test set."""
        task = self.task
        task.net.fit(
            task.data.x_train,
            task.data.y_train,
            epochs=task.epochs,
            batch_size=task.batch_size,
            optimizer=task.optimizer,
            schedule=task.schedule,
            validation=task.validation,
            augment=task.augment,
            class_weight=task.class_weight,
            seed=task.seed,
            early_stopping=task.early_stopping,
            checkpoint=task.checkpoint,
            chunks=task.chunks,
            comm=task.processes.comm,
            verbose=not task.terse,
            callbacks=[self]
            if task.terse
            else [self, Diagnosis(lambda text: cli.print_stderr("train", f"warning: {text}"))],
        )
        if task.processes.first:
            self.test = self._test_figures()

    def _test_figures(self) -> Evaluation | RegressionEvaluation | None:
        """Loss and accuracy on the test set; if it was the validation set too, those of the last epoch."""
        if self.task.folds:
            return self.task.folds.test
        if self.task.own_validation or not self.history.val_accuracy:
            return self._evaluated("test")
        accuracy, samples = self.history.val_accuracy[-1], len(self.task.data.x_test)
        return Evaluation(self.history.val_loss[-1], accuracy, round(accuracy * samples), samples)

    @cached_property
    def confusion(self) -> Array:
        """The confusion matrix of the test set."""
        dataset, folds = self.task.data, self.task.folds
        if folds and folds.confusion is not None:
            return folds.confusion
        return confusion_matrix(dataset.y_test, self.task.net.predict(dataset.x_test), len(dataset.classes))

    def on_train_begin(self, run: Run) -> None:
        """Prints where a resumed training continues, and writes the notes that checkpoints contain."""
        self.history = run.history
        self.started = True
        checkpoint = self.task.checkpoint
        if checkpoint and checkpoint.resume:
            done = len(self.history.loss)
            self.task.print_info(f"resumed from {printable(checkpoint.path)}; epochs completed: {done}")
        self.on_epoch_end(run)
        self._note_facts()

    def _restore_weights(self) -> None:
        for name, tensor in self.task.net.tensors.items():
            np.copyto(tensor, self._finite_weights[name])

    def on_epoch_end(self, run: Run) -> None:
        """Stores the weights: the loss of this epoch was finite."""
        for name, tensor in self.task.net.tensors.items():
            np.copyto(self._finite_weights[name], tensor)

    def save_after_error(self, error: BaseException) -> str:
        """After an error, saves the model if it has learnt anything; returns a note for the message."""
        if isinstance(error, FloatingPointError):
            self._restore_weights()
        notes = [self._save_partial()]
        if self.started and self.task.checkpoint and not isinstance(error, FloatingPointError):
            notes.append(f"--resume continues from {self.task.checkpoint.path}")
        return f" ({'; '.join(filter(None, notes))})" if any(notes) else ""

    def _save_partial(self) -> str:
        if not self._changed() and not self.history.loss:
            return "nothing was saved"
        try:
            self.test = self._evaluated("test")
        except KeyboardInterrupt:
            self.interrupted_twice = True
        except FloatingPointError:
            self._restore_weights()
        self.save()
        if not self.task.target:
            return ""
        if self.unsaved:
            return f"nothing was learnt; {self.task.target} is unchanged"
        return f"the model so far was saved to {self.task.target}" + (f"; {self.previous}" if self.previous else "")

    def _evaluated(self, part: str) -> Evaluation | RegressionEvaluation | None:
        """Evaluates on the "test" or "train" samples; None: there are none."""
        dataset = self.task.data
        x, y = (dataset.x_test, dataset.y_test) if part == "test" else (dataset.x_train, dataset.y_train)
        return self.task.net.evaluate(x, y) if len(x) else None

    def _changed(self) -> bool:
        """Whether the weights changed since the last completed epoch, or since the start."""
        return any(
            not np.array_equal(tensor, self._finite_weights[name]) for name, tensor in self.task.net.tensors.items()
        )

    def _note_facts(self) -> None:
        """Writes notes on data set and hyperparameters into the model."""
        task, notes = self.task, self.task.net.meta
        notes.replace(dict.fromkeys(TEST_FIGURES["classes"] + TEST_FIGURES["regression"]))
        data_options.add_notes(task.net, task.data, task.data_path)
        notes.replace(
            {
                "batch_size": str(task.batch_size),
                "learning_rate": str(task.learning_rate),
                "optimizer": task.optimizer.kind,
                "schedule": str(task.schedule or "constant"),
                "optimizer_options": optimizer_note(task.optimizer),
                "chunks": str(task.chunks or ""),
                "augment": str(task.augment or "none"),
                "class_weight": task.class_weight,
                "seed": str(task.seed),
                "made_by": f"pynet {VERSION}",
            }
        )

    def test_figures(self) -> dict[str, float | None]:
        """Those on the test set as notes and JSON name them; None: there is no test set."""
        found = self.test.named() if self.test else {}
        return {name: found.get(name.removeprefix("test_")) for name in TEST_FIGURES[self.task.net.task]}

    def save(self) -> None:
        """Writes the model, with the history of its training, and the --history file.

        A model that has learnt nothing does not replace another one unless --save names it.
        """
        task, notes = self.task, self.task.net.meta
        before = notes.get("epochs", "") if task.continued else ""
        notes["history"] = History.from_note(notes.get("history", "")).then(self.history).note()
        notes["epochs"] = str(len(self.history.loss) + (int(before) if before.isdecimal() and len(before) < 16 else 0))
        if self.test:
            notes.update({name: str(value) for name, value in self.test_figures().items()})
        if task.target:
            self._note_novelty()
            self._save_to(task.target)
        if task.history:
            self.history.save(task.history)

    def _note_novelty(self) -> None:
        """In the model: how far pictures may be from the training samples before predict warns of them."""
        task, found = self.task, None
        if task.data.pictures and task.net.task == "classes" and not self.interrupted_twice:
            found = novelty.measured(task.net, task.data.x_train, task.data.y_train, task.data.x_test)
        task.net.meta.replace({novelty.NOTE: found.note(task.net) if found else None})

    def _save_to(self, target: Path) -> None:
        """See save."""
        if target.exists():
            measured = None if self.interrupted_twice or self.task.folds else self.test or self._evaluated("train")
            if measured and not self.task.target_given:
                trained = bool(self.history.loss) or self._changed()
                self.unsaved = learnt_nothing(self.task, trained)
            if self.unsaved:
                return
            self.previous = keep_better_model(self.task, target, measured.score if measured else None)
        self.task.net.save(target)


# ---- what is printed and drawn ----


def _print_plan(task: Task) -> None:
    """Prints data set, preprocessing, network and hyperparameters."""
    dataset, net = task.data, task.net
    sizes = f"{len(dataset.x_train):,} samples for training, "
    if task.own_validation and task.validation:
        sizes += f"{len(task.validation[0]):,} for validation, {len(dataset.x_test):,} for testing"
    elif task.folds:
        sizes += f"{len(task.folds.scores)} times all but a part that is tested"
    else:
        sizes += f"{len(dataset.x_test):,} for validation and testing" if task.validation else "none for testing"
    names = ", ".join(dataset.classes) if len(dataset.classes) <= MOST_PRINTED else f"{len(dataset.classes)} classes"
    lowest, highest = dataset.y_train.min(), dataset.y_train.max()
    sizes += f"; classes {printable(names)}" if names else f"; targets from {lowest:g} to {highest:g}"
    plan = f"{task.epochs} epoch{'s' * (task.epochs != 1)}, batches of {task.batch_size}, {_method_text(task)}"
    plan += f", loss {net.loss_name}"
    plan += f", each batch in {task.chunks} chunk{'s' * (task.chunks > 1)}" if task.chunks else ""
    processes = f", processes: {task.processes.size}" if task.processes.size > 1 else ""
    if task.early_stopping:
        plan = f"up to {plan}, stops after {task.early_stopping.patience} without a better one"
    words = " ".join(map(shlex.quote, task.inherited))
    tried = f"          {task.trial}\n" if task.trial else ""
    as_before = f"          options of the loaded model: {words}\n" if words else ""
    notes = "".join(f"          {printable(line)}\n" for line in listed(dataset.notes))
    task.print_info(
        f"data      {printable(dataset.name)}: {sizes}\n"
        f"source    {printable(dataset.source)}\n{notes}"
        f"inputs    {_inputs(task)}\n"
        f"network   {net.spec}\n\n{net.summary()}\n\n"
        f"training  {plan}, seed {task.seed}\n{as_before}{tried}"
        f"machine   {kernels.cpu()} kernels, threads: {kernels.threads()}{processes}\n"
    )


def _inputs(task: Task) -> str:
    """What the samples are for the network."""
    x, takes = task.data.x_train, task.net.in_shape
    if columns := task.data.columns:
        return f"{len(columns.names)} values, of {len(columns.inputs)} column{'s' * (len(columns.inputs) > 1)}"
    scaled = "pixels (bytes), divided by 255" if x.dtype == np.uint8 else "values, taken as they are"
    layout = "" if x.shape[1:] == takes else f", {'flattened to' if len(takes) == 1 else 'taken as'} "
    return f"{'x'.join(map(str, x.shape[1:]))} {scaled}{layout}" + ("x".join(map(str, takes)) if layout else "")


def _method_text(task: Task) -> str:
    """Optimizer (unless plain SGD), learning rate, schedule and augmentation as text."""
    kind = "" if task.optimizer.kind == "sgd" else f"{task.optimizer.kind}, "
    schedule = f", schedule {task.schedule}" if task.schedule else ""
    augment = f", augmentation {task.augment}" if task.augment else ""
    weights = f", class weights {task.class_weight}" if task.class_weight else ""
    decay = f", weight decay {task.optimizer.weight_decay:g}" if task.optimizer.weight_decay else ""
    return f"{kind}learning rate {task.learning_rate:g}{decay}{schedule}{augment}{weights}"


def _explain(task: Task) -> None:
    from pynet.training.explain import explain

    first = int(kernels.shuffle(len(task.data.x_train), task.seed, 0)[0])
    step = explain(task.net, task.data.x_train[first], task.data.y_train[first], task.optimizer)
    text = f"one training step on one sample, number {first:,} of those for training, the first in the shuffled order;"
    task.print_info(f"{text}\nit is taken by a copy of the network: the training itself follows below\n\n{step}\n")


def _print_result(training: Training) -> None:
    """Prints the test accuracy and where the model was saved."""
    task, test = training.task, training.test
    if isinstance(test, RegressionEvaluation):
        figures = ", ".join(f"{figure_words(name)} {figure_text(name, value)}" for name, value in test.named().items())
        cli.print_stdout(f"test {figures} ({test.samples:,} sample{'s' * (test.samples != 1)})")
    elif test:
        shown = len(task.data.classes) <= MOST_PRINTED and not task.terse  # else the test set is not predicted again
        hidden = uneven(training.confusion, task.data.classes) if shown else absent(task.data.y_test, task.data.classes)
        accuracy = f"{percent(test.accuracy)} ({test.correct:,}/{test.samples:,})"
        cli.print_stdout(f"test accuracy {accuracy}{printable(hidden)}")
        if shown:
            table = format_confusion(training.confusion, task.data.classes, width=cli.width())
            task.print_info(f"\n{table}\n")
    else:
        cli.print_stdout("no test samples")
    if not training.unsaved:
        task.print_info(f"saved to {printable(task.target)}" if task.target else "not saved")


def _plot(training: Training) -> None:
    """Draws curves, weights and confusion matrix into a folder beside the model."""
    from pynet import figures

    task, target = training.task, training.task.target
    assert target
    figures_ = {}
    if training.history.loss:
        figures_["curves"] = figures.curves(training.history, name=target.stem)
    if any(layer.kind == "dense" for layer in task.net.layers):
        figures_["weights"] = figures.weights(task.net)
    if training.test and task.data.classes:
        figures_["confusion"] = figures.confusion(training.confusion, task.data.classes)
    assert figures_.keys() <= set(PLOTS)  # these paths were checked before the training
    for name, figure in figures_.items():
        task.print_info(f"drew {printable(save_figure(figure, beside(target, name)))}")


def _json_results(training: Training, seconds: float) -> dict[str, Any]:
    """The object that --json prints."""
    task, previous = training.task, training.previous
    score = TEST_FIGURES[task.net.task][-1]
    return {
        "dataset": task.data.name,
        "train_samples": len(task.data.x_train),
        "test_samples": len(task.data.x_test),
        "net": task.net.spec,
        "parameters": task.net.parameters,
        "threads": kernels.threads(),
        "cpu": kernels.cpu(),
        "seed": task.seed,
        "trial": vars(task.trial) if task.trial else None,
        "epochs": [{name: row.get(name) for name in columns_of(task.net.task)} for row in training.history.rows()],
        **training.test_figures(),
        **({"folds": task.folds.scores} if task.folds else {}),
        "seconds": seconds,
        "model": str(task.target) if task.target and not training.unsaved else None,
        "previous": {"model": str(previous.place), score: previous.score} if previous else None,
        "weights_sha256": task.net.weights_sha256(),
    }


# ---- the command ----


def _find_lr(task: Task, as_json: bool, quiet: bool) -> None:
    """Runs the learning-rate range test, prints and draws the result."""
    from pynet.training.learning_rate import find_lr

    pair = (task.data.x_train, task.data.y_train)
    found = find_lr(task.net, pair, optimizer=task.optimizer, batch_size=task.batch_size, seed=task.seed)
    if as_json:
        print(json_text({"rates": found.rates, "losses": found.losses, "suggestion": found.suggestion}))
        return
    cli.print_stdout(f"suggestion: {found.suggestion:g}" if quiet else found)
    if task.target:
        from pynet import figures

        try:
            figures.require()
        except figures.MissingMatplotlib:
            task.print_info("(no picture: matplotlib is not installed)")
        else:
            task.print_info(f"drew {printable(save_figure(figures.learning_rates(found), beside(task.target, 'lr')))}")


def train(argv: Sequence[str], begin: float, processes: Processes) -> int:
    """Runs the command; begin: start time by time.perf_counter. Returns the exit status."""
    with processes.ending_together(), processes.sharing():
        options = parse(argv)
        task = prepare(options, processes)
    if options.find_lr:
        _find_lr(task, options.json, options.quiet)
        return 0
    training = Training(task)
    try:
        _print_plan(task)
        if options.explain:
            _explain(task)
        training.run()
    except EXPECTED_ERRORS as error:
        raise Stopped(error, training.save_after_error(error) if processes.first else "") from error
    if not processes.first:
        return 0
    training.save()
    if options.json:
        print(json_text(_json_results(training, time.perf_counter() - begin)))
    else:
        _print_result(training)
    if training.unsaved:
        what = f"{task.target} is unchanged{', and so are its pictures' if options.plot else ''}"
        cli.print_stderr("train", f"error: nothing was learnt: {training.unsaved}; {what}; --save FILE saves it anyway")
        return 1
    if options.json:
        return 0
    if options.plot:
        _plot(training)
    if task.target:
        task.print_info(f"next: {cli.program()} visualize --model {printable(task.target)}, or evaluate, or info")
    if training.previous:
        task.print_info(training.previous) if not options.quiet else cli.print_stderr("train", str(training.previous))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; argv None means sys.argv. Returns the exit status: 0, 1, 2 or 130."""
    begin, arguments = time.perf_counter(), sys.argv[1:] if argv is None else list(argv)

    def together() -> int:
        processes = processes_of(arguments)
        with only_first_prints(processes):
            return cli.run("train", lambda: train(arguments, begin, processes))

    return cli.run("train", together)
