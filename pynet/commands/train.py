"""The command that trains: `pynet train`, also `python -m pynet.train`. The loop itself is pynet.training.fit.

Whatever stops a run, the weights are not lost: Ctrl-C saves what was learnt so far, a loss that is not finite saves
the last epoch whose figures were. What could only fail at the end, such as the target of --save, is tried first.
"""

from __future__ import annotations

import shlex
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
from pynet.commands.cli import EXPECTED, Stopped
from pynet.commands.outputs import save_figure
from pynet.commands.table_options import listed
from pynet.commands.train_options import optimizer_note, parse
from pynet.commands.train_save import Kept, keep_better, learnt_nothing
from pynet.commands.train_task import PLOTS, Task, beside, prepare
from pynet.metrics import confusion_matrix, format_confusion
from pynet.model.task import TaskKind
from pynet.network import Evaluation, RegressionEvaluation
from pynet.text import figure_text, figure_words, json_text, percent, printable
from pynet.training.callbacks import Run
from pynet.training.diagnose import Diagnosis
from pynet.training.history import History, columns_of

MOST_CLASSES = 30  # a larger confusion matrix is not printed
TEST_FIGURES: dict[TaskKind, tuple[str, ...]] = {
    "classes": ("test_accuracy",),
    "multi-label": ("test_accuracy",),
    "regression": ("test_rmse", "test_mae", "test_r2"),
}


@dataclass
class Training:
    """A run of a task: its figures, and the weights after its last epoch with finite ones."""

    task: Task
    history: History = field(default_factory=History)
    test: Evaluation | RegressionEvaluation | None = None  # None: there is no test set, or the training is not over
    unsaved: str = ""  # why the model was not written, where one is that has learnt something
    kept: Kept | None = None  # the model whose place it took, if that was better
    begun: bool = False
    hurried: bool = False  # Ctrl-C twice: no figures

    def __post_init__(self) -> None:
        self._kept = {name: tensor.copy() for name, tensor in self.task.net.tensors.items()}

    def run(self) -> None:
        """Trains and measures."""
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
            verbose=not task.terse,
            callbacks=[self] if task.terse else [self, Diagnosis(_warn)],
        )
        self.test = self._tested()

    def _tested(self) -> Evaluation | RegressionEvaluation | None:
        """The figures on the test set: where each epoch was measured on it, those of the last one."""
        if self.task.folds:
            return self.task.folds.test
        if self.task.own_validation or not self.history.val_accuracy:
            return self._evaluated("test")
        accuracy, samples = self.history.val_accuracy[-1], len(self.task.data.x_test)
        return Evaluation(self.history.val_loss[-1], accuracy, round(accuracy * samples), samples)

    @cached_property
    def confusion(self) -> Array:
        """Of the test set."""
        chosen, folds = self.task.data, self.task.folds
        if folds and folds.confusion is not None:
            return folds.confusion
        return confusion_matrix(chosen.y_test, self.task.net.predict(chosen.x_test), len(chosen.classes))

    def on_train_begin(self, run: Run) -> None:
        """Those of a checkpoint are in the history by now."""
        self.history = run.history
        self.begun = True
        checkpoint = self.task.checkpoint
        if checkpoint and checkpoint.resume:
            self.task.say(f"resumed from {printable(checkpoint.path)}; epochs that are over: {len(self.history.loss)}")
        self._keep()
        self._note_facts()  # checkpoints carry them, too

    def _keep(self) -> None:
        for name, tensor in self.task.net.tensors.items():
            np.copyto(self._kept[name], tensor)

    def _restore(self) -> None:
        for name, tensor in self.task.net.tensors.items():
            np.copyto(tensor, self._kept[name])

    def on_epoch_end(self, run: Run) -> None:
        """Keeps the weights: the figures of this epoch were finite."""
        self._keep()

    def salvage(self, error: BaseException) -> str:
        """After an error, saves the best weights there are, if any were learnt; says so, and how to go on."""
        if isinstance(error, FloatingPointError):
            self._restore()
        resumable = self.begun and self.task.checkpoint and not isinstance(error, FloatingPointError)
        said = [self._saved_after_all()]
        if resumable and self.task.checkpoint:
            said.append(f"--resume goes on from {self.task.checkpoint.path}")
        return f" ({'; '.join(filter(None, said))})" if any(said) else ""

    def _saved_after_all(self) -> str:
        if not self._changed() and not self.history.loss:
            return "nothing was saved"
        try:
            self.test = self._evaluated("test")
        except KeyboardInterrupt:  # a second one: whoever cannot wait gets no figures
            self.hurried = True
        except FloatingPointError:
            self._restore()
        self.save()
        if not self.task.target:
            return ""
        if self.unsaved:
            return f"nothing was learnt; {self.task.target} is as it was"
        return f"what was learnt is in {self.task.target}" + (f"; {self.kept}" if self.kept else "")

    def _evaluated(self, part: str) -> Evaluation | RegressionEvaluation | None:
        """On the "test" or "train" samples; None: there are none."""
        chosen = self.task.data
        x, y = (chosen.x_test, chosen.y_test) if part == "test" else (chosen.x_train, chosen.y_train)
        return self.task.net.evaluate(x, y) if len(x) else None

    def _changed(self) -> bool:
        """Since the last epoch, or the beginning?"""
        return any(not np.array_equal(tensor, self._kept[name]) for name, tensor in self.task.net.tensors.items())

    def _note_facts(self) -> None:
        """In the model: what it is trained on, and how."""
        task, notes = self.task, self.task.net.meta
        for name in TEST_FIGURES["classes"] + TEST_FIGURES["regression"]:
            notes.pop(name, None)
        data_options.remember(task.net, task.data, task.data_path)
        notes["batch_size"], notes["learning_rate"] = str(task.batch_size), str(task.learning_rate)
        notes["optimizer"], notes["schedule"] = task.optimizer.kind, str(task.schedule or "constant")
        if more := optimizer_note(task.optimizer):
            notes["optimizer_options"] = more
        else:
            notes.pop("optimizer_options", None)
        notes["augment"] = str(task.augment or "none")
        if task.class_weight:
            notes["class_weight"] = task.class_weight
        else:
            notes.pop("class_weight", None)
        notes["seed"], notes["made_by"] = str(task.seed), f"pynet {VERSION}"

    def test_figures(self) -> dict[str, float | None]:
        """Those on the test set as notes and JSON name them; None: there is no test set."""
        found = self.test.named() if self.test else {}
        return {name: found.get(name.removeprefix("test_")) for name in TEST_FIGURES[self.task.net.task]}

    def save(self) -> None:
        """Writes the model with the figures of its training, and the history.

        Not the model, if it has learnt nothing and there is one that nobody said to overwrite.
        """
        task, notes = self.task, self.task.net.meta
        before = notes.get("epochs", "") if task.continued else ""
        notes["history"] = History.from_note(notes.get("history", "")).then(self.history).note()
        notes["epochs"] = str(len(self.history.loss) + (int(before) if before.isdecimal() and len(before) < 16 else 0))
        if self.test:
            notes.update({name: str(value) for name, value in self.test_figures().items()})
        if task.target:
            self._save_to(task.target)
        if task.history:
            self.history.save(task.history)

    def _save_to(self, target: Path) -> None:
        """Writes the model, but for one that has learnt nothing in the place of another."""
        if target.exists():
            measured = None if self.hurried or self.task.folds else self.test or self._evaluated("train")
            if measured and not self.task.target_given:
                trained = bool(self.history.loss) or self._changed()
                scores = self.history.columns().get("r2") or self.history.accuracy
                learnt = measured.score if not self.test else scores[-1] if scores else None
                self.unsaved = learnt_nothing(self.task, trained, learnt, self.test.score if self.test else None)
            if self.unsaved:
                return
            self.kept = keep_better(self.task, target, measured.score if measured else None)
        self.task.net.save(target)


# ---- what is printed and drawn ----


def _warn(text: str) -> None:
    cli.complain("train", f"warning: {text}")


def _describe(task: Task) -> None:
    """Data, preprocessing, network and hyperparameters."""
    chosen, net = task.data, task.net
    sizes = f"{len(chosen.x_train):,} samples for training, "
    if task.own_validation and task.validation:
        sizes += f"{len(task.validation[0]):,} for validation, {len(chosen.x_test):,} for testing"
    elif task.folds:
        sizes += f"{len(task.folds.scores)} times all but a part that is tested"
    else:
        sizes += f"{len(chosen.x_test):,} for validation and testing" if task.validation else "none for testing"
    names = ", ".join(chosen.classes) if len(chosen.classes) <= MOST_CLASSES else f"{len(chosen.classes)} classes"
    lowest, highest = chosen.y_train.min(), chosen.y_train.max()
    sizes += f"; classes {printable(names)}" if names else f"; targets from {lowest:g} to {highest:g}"
    plan = f"{task.epochs} epochs, batches of {task.batch_size}, {_how(task)}, loss {net.loss_name}"
    if task.early_stopping:
        plan = f"up to {plan}, stops after {task.early_stopping.patience} without a better one"
    words = " ".join(map(shlex.quote, task.as_trained))
    as_before = f"          as the model was trained before: {words}\n" if words else ""
    notes = "".join(f"          {printable(line)}\n" for line in listed(chosen.notes))
    task.say(
        f"data      {printable(chosen.name)}: {sizes}\n"
        f"source    {printable(chosen.source)}\n{notes}"
        f"inputs    {_inputs(task)}\n"
        f"network   {net.spec}\n\n{net.summary()}\n\n"
        f"training  {plan}, seed {task.seed}\n{as_before}"
        f"machine   {kernels.cpu()} kernels, threads: {kernels.threads()}\n"
    )


def _inputs(task: Task) -> str:
    """What the samples are for the network."""
    x, takes = task.data.x_train, task.net.in_shape
    if columns := task.data.columns:
        return f"{len(columns.names)} values, of {len(columns.inputs)} column{'s' * (len(columns.inputs) > 1)}"
    scaled = "pixels (bytes), divided by 255" if x.dtype == np.uint8 else "values, taken as they are"
    layout = "" if x.shape[1:] == takes else f", {'flattened to' if len(takes) == 1 else 'taken as'} "
    return f"{'x'.join(map(str, x.shape[1:]))} {scaled}{layout}" + ("x".join(map(str, takes)) if layout else "")


def _how(task: Task) -> str:
    """Optimizer, unless it is plain gradient descent, learning rate and schedule in words."""
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
    task.say(f"the first sample that will be learnt from, number {first}, alone:\n\n{step}\n")


def _tell(training: Training) -> None:
    """The figures on the test set, and where the model is."""
    task, test = training.task, training.test
    if isinstance(test, RegressionEvaluation):
        figures = ", ".join(f"{figure_words(name)} {figure_text(name, value)}" for name, value in test.named().items())
        cli.say(f"test {figures} ({test.samples:,} sample{'s' * (test.samples != 1)})")
    elif test:
        cli.say(f"test accuracy {percent(test.accuracy)} ({test.correct:,}/{test.samples:,})")
        if len(task.data.classes) <= MOST_CLASSES and not task.terse:
            task.say(f"\n{format_confusion(training.confusion, task.data.classes)}\n")
    else:
        cli.say("no test samples")
    if not training.unsaved:
        task.say(f"saved to {printable(task.target)}" if task.target else "not saved")


def _plot(training: Training) -> None:
    """Draws curves, weights and confusion matrix into a folder beside the model."""
    from pynet import figures

    task = training.task
    assert task.target
    drawn = {}
    if training.history.loss:
        drawn["curves"] = figures.curves(training.history, name=task.target.stem if task.target else "")
    if any(layer.kind == "dense" for layer in task.net.layers):
        drawn["weights"] = figures.weights(task.net)
    if training.test and task.data.classes:
        drawn["confusion"] = figures.confusion(training.confusion, task.data.classes)
    assert drawn.keys() <= set(PLOTS)  # what was tried before the training
    for name, figure in drawn.items():
        assert task.target
        task.say(f"drew {printable(save_figure(figure, beside(task.target, name)))}")


def _results(training: Training, seconds: float) -> dict[str, Any]:
    """What --json prints."""
    task, kept = training.task, training.kept
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
        "epochs": [{name: row.get(name) for name in columns_of(task.net.task)} for row in training.history.rows()],
        **training.test_figures(),
        **({"folds": task.folds.scores} if task.folds else {}),
        "seconds": seconds,
        "model": str(task.target) if task.target and not training.unsaved else None,
        "previous": {"model": str(kept.place), score: kept.score} if kept else None,
        "weights_sha256": task.net.weights_sha256(),
    }


# ---- the command ----


def _find_lr(task: Task, as_json: bool, quiet: bool) -> None:
    """Prints and draws what find_lr finds."""
    from pynet.training.learning_rate import find_lr

    pair = (task.data.x_train, task.data.y_train)
    found = find_lr(task.net, pair, optimizer=task.optimizer, batch_size=task.batch_size, seed=task.seed)
    if as_json:
        print(json_text({"rates": found.rates, "losses": found.losses, "suggestion": found.suggestion}))
        return
    cli.say(f"suggestion: {found.suggestion:g}" if quiet else found)
    if task.target:
        from pynet import figures

        try:
            figures.require()
        except figures.MissingMatplotlib:
            task.say("(no picture: that needs matplotlib)")
        else:
            task.say(f"drew {printable(save_figure(figures.learning_rates(found), beside(task.target, 'lr')))}")


def train(argv: Sequence[str] | None, begin: float) -> int:
    """The whole run; begin: when it began, by time.perf_counter. Returns the exit status."""
    options = parse(argv)
    task = prepare(options)
    if options.find_lr:
        _find_lr(task, options.json, options.quiet)
        return 0
    training = Training(task)
    try:
        _describe(task)
        if options.explain:
            _explain(task)
        training.run()
    except EXPECTED as error:
        raise Stopped(error, training.salvage(error)) from error
    training.save()
    if options.json:
        print(json_text(_results(training, time.perf_counter() - begin)))
    else:
        _tell(training)
    if training.unsaved:
        what = f"{task.target} is left as it is{', and so are its pictures' if options.plot else ''}"
        cli.complain("train", f"error: nothing was learnt: {training.unsaved}; {what}; --save FILE writes the model")
        return 1
    if options.json:
        return 0
    if options.plot:
        _plot(training)
    if task.target:
        task.say(f"next: {cli.program()} visualize --model {printable(task.target)}, or evaluate, or info")
    if training.kept:
        task.say(training.kept) if not options.quiet else cli.complain("train", str(training.kept))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; argv None is the process's own. Returns the exit status: 0, 1, 2 or 130."""
    begin = time.perf_counter()
    return cli.run("train", lambda: train(argv, begin))
