"""A network of the C core: checks arguments and calls the core, which does all arithmetic."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pynet._ffi import (
    FLOAT32,
    Array,
    array,
    checked_seed,
    ffi,
    floats,
    lib,
    optimizer_struct,
    pointer,
    tensor_view,
    text,
)
from pynet.augment import Augment
from pynet.files import path_bytes
from pynet.layers import Layer
from pynet.model.evaluation import Evaluation, RegressionEvaluation, measured
from pynet.model.handle import Handle
from pynet.model.samples import Samples, Signature, check_targets, inputs_only, samples, targets_only
from pynet.model.task import NOTE as TASK
from pynet.model.task import TaskKind, possible_tasks, task_of_targets, task_of_text
from pynet.model.views import LayerView, Notes, layers_inside, summary_rows
from pynet.optim import OPTIMIZERS, Optimizer
from pynet.text import parsed_json

if TYPE_CHECKING:
    from typing_extensions import Self

LOSSES = {
    lib.PN_CROSS_ENTROPY: "cross_entropy",
    lib.PN_MSE: "mse",
    lib.PN_BCE: "bce",
    lib.PN_MAE: "mae",
    lib.PN_HUBER: "huber",
}
EVALUATE_ROWS = 512  # samples in one call of the core: 50 ms for 784-2048-2048-10 on one thread


class OptimizerState(NamedTuple):
    """The optimizer's kind ("adam"), its number of steps, and its state tensors: {"0.W.mean": (784, 128), ...}."""

    kind: str
    steps: int
    tensors: dict[str, Array]

    def copy(self) -> OptimizerState:
        """A copy that is not a view of a network."""
        return self._replace(tensors={name: np.array(tensor) for name, tensor in self.tensors.items()})


class Net(Handle):
    """The base of Network, without fit and partial_fit; see Network."""

    def __init__(self, spec: str | Iterable[Layer | str], seed: int = 0) -> None:
        words = spec if isinstance(spec, str) else " ".join(_text(layer) for layer in spec)
        if "\0" in words:
            raise ValueError("the text of a network holds a NUL character")
        number = checked_seed(seed)
        self._attach(lambda out, err: lib.pn_net_new(out, words.encode(), number, err))

    @classmethod
    def _load(cls, path: str | os.PathLike[str]) -> Self:
        """A model that save wrote."""
        net = cls.__new__(cls)
        net._attach(lambda out, err: lib.pn_net_load(out, path_bytes(path), err))
        return net

    def _attach(self, create: Callable[[Any, Any], int]) -> None:
        super()._attach(create)
        info = self._info
        self.seed = int(info.seed)
        self.parameters = int(info.parameters)
        self.loss_name = LOSSES[info.loss]
        self.label_smoothing = float(info.smoothing)
        self.huber_delta = float(info.delta)
        self.in_shape: tuple[int, ...] = tuple(info.in_shape)[: info.in_rank]
        self.out_shape: tuple[int, ...] = tuple(info.out_shape)[: info.out_rank]
        self._out_features = int(info.out_features)
        self.layers = [LayerView(self, i) for i in range(info.layers)]
        self._last = layers_inside(self.layers, "")[-1]
        self._closing = self.loss_name, self._out_features, self._last.kind
        labels = self._last.kind != "rescale"
        self._signature = Signature(self.in_shape, self.out_shape, self.loss_name, labels=labels)
        self._tasks = possible_tasks(*self._closing)
        self._scale_known = False  # whether fit need not check the scale of inputs
        self._for_classes = False  # known without a look at the notes, which takes as long as a small step

    # ---- description ----

    @property
    def spec(self) -> str:
        """The canonical text: Network(net.spec) has the same layers."""
        return text(lib.pn_net_spec(self._ptr))

    def __str__(self) -> str:
        return self.spec

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.spec!r}, seed={self.seed})"

    @property
    def updates(self) -> int:
        """The number of training steps so far, by any optimizer; dropout masks depend on it."""
        return int(self._info.updates)

    @property
    def meta(self) -> Notes:
        """Notes that are saved in the model file, text by key; a mutable mapping."""
        return Notes(self)

    @property
    def classes(self) -> list[str]:
        """Names of the classes; "0", "1", ... unless set. A single output may have two: below and above 1/2."""
        try:
            names = parsed_json(self.meta.get("classes", "null"))
        except ValueError:
            names = None
        named = isinstance(names, list) and len(names) in self._class_counts
        if named and all(isinstance(name, (str, int, float)) for name in names):
            return [str(name) for name in names]
        return [str(i) for i in range(self._out_features)]

    @classes.setter
    def classes(self, names: Iterable[str]) -> None:
        given = [str(name) for name in names]
        if len(given) not in self._class_counts:
            raise ValueError(f"{len(given)} class names for {self._out_features} outputs")
        no_text = any("\ud800" <= c <= "\udfff" for name in given for c in name)  # as in names of folders
        self.meta["classes"] = json.dumps(given, ensure_ascii=no_text)

    @property
    def task(self) -> TaskKind:
        """What predict and evaluate take the outputs for: "classes", "multi-label" or "regression".

        Before training it follows from the text: a network that ends in softmax or sigmoid, or whose classes have
        names, classifies; others predict numbers. fit sets it by its targets, see pynet.model.task. Set it for networks
        trained step by step, or by an earlier version. ValueError: this network cannot be trained for that task.
        """
        if len(self._tasks) == 1:  # of most networks; the notes take as long as a small prediction
            return self._tasks[0]
        return self._noted_task or task_of_text(*self._closing, named="classes" in self.meta)

    @task.setter
    def task(self, kind: TaskKind) -> None:
        if kind not in self._tasks:
            raise ValueError(f"task is {kind!r:.80}; accepted for this network: {', '.join(self._tasks)}")
        self._for_classes = kind == "classes"
        if not kind == self.task == "classes":  # which needs no note: files of classifiers stay as they are
            self.meta[TASK] = kind

    @property
    def _noted_task(self) -> TaskKind | None:
        noted = self.meta.get(TASK) if len(self._tasks) > 1 else None
        return next((kind for kind in self._tasks if kind == noted), None)

    def _learns_labels(self, samples: Samples) -> None:
        """Sets the task in a single step: labels imply classes. The targets of one batch are too few to decide it."""
        if samples.arrays[1] is not None and not self._for_classes:
            self.task = "classes"

    def _task_of(self, samples: Samples) -> TaskKind:
        """The task that these labels or targets stand for."""
        return task_of_targets(self._tasks, self._noted_task, samples) if samples.n else self.task

    @property
    def _class_counts(self) -> tuple[int, ...]:
        """The accepted numbers of class names."""
        two = self._out_features == 1 and self.loss_name != "cross_entropy"
        return (1, 2) if two else (self._out_features,)

    def weights_sha256(self) -> str:
        """SHA-256 of all parameters, float32 little-endian in network order: equal after equal trainings."""
        import hashlib

        digest = hashlib.sha256()
        for tensor in self._tensors.values():
            digest.update(tensor.astype("<f4", copy=False).data)
        return digest.hexdigest()

    def summary(self) -> str:
        """A table of the layers: output shapes, parameters of each and in total."""
        rows = summary_rows(self.in_shape, self.layers, self.parameters)
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = [f"{a:>{widths[0]}}  {b:<{widths[1]}}  {c:<{widths[2]}}  {d:>{widths[3]}}" for a, b, c, d in rows]
        return "\n".join(line.rstrip() for line in lines)

    def _repr_html_(self) -> str:
        """The summary."""
        from pynet import html  # imported here: notebooks alone need it

        head, *rows = summary_rows(self.in_shape, self.layers, self.parameters)
        return html.line(repr(self)) + html.table(head, rows)

    # ---- input ----

    def _samples(
        self,
        x: npt.ArrayLike | None,
        y: npt.ArrayLike | None,
        sample_weight: npt.ArrayLike | None = None,
        augment: Augment | None = None,
    ) -> Samples:
        return samples(self._signature, x, y, sample_weight, augment)

    def _adapt(self, samples: Samples) -> None:
        """Fits standardize to their inputs, and rescale to their targets."""
        self._call(lib.pn_net_adapt, samples.data, ffi.NULL, samples.n)

    # ---- training ----

    def forward(self, x: npt.ArrayLike, training: bool = True, augment: Augment | None = None) -> Array:
        """The outputs (n, *out_shape) for a batch; stores the activations, which loss and backward need.

        training False: inference, without dropout and augmentation, for looking at activations; loss cannot follow.
        augment: see pynet.Augment.
        """
        samples = inputs_only(self._signature, x, augment)
        with self._lock:
            self._call(lib.pn_net_forward if training else lib.pn_net_infer, samples.data, ffi.NULL, samples.n)
            self._rows = samples.n
            return self._last.output

    def loss(self, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:
        """Mean loss of the last forward's batch for labels or targets y; sample_weight (n,): factor of each loss."""
        samples = targets_only(self._signature, y, sample_weight)
        self._learns_labels(samples)
        mean = ffi.new("double *")
        self._call(lib.pn_net_loss, samples.data, ffi.NULL, samples.n, mean)
        return float(mean[0])

    def backward(self) -> None:
        """The gradient of that loss for every parameter: net.gradients, layers[i].dW, layers[i].db."""
        self._call(lib.pn_net_backward)

    def update(self, optimizer: Optimizer | str) -> None:
        """One step of the optimizer with the gradient of the last backward."""
        self._call(lib.pn_net_update, optimizer_struct(optimizer))

    def train_step(
        self,
        x: npt.ArrayLike,
        y: npt.ArrayLike,
        optimizer: Optimizer | str,
        sample_weight: npt.ArrayLike | None = None,
        augment: Augment | None = None,
    ) -> float:
        """Forward, loss, backward and update on one batch, in one call; returns the mean loss before the update."""
        samples = self._samples(x, y, sample_weight, augment)
        self._learns_labels(samples)
        stats = new_stats()
        self._train(samples, None, max(samples.n, 1), optimizer_struct(optimizer), stats)
        return float(stats.loss / samples.n) if samples.n else 0.0

    def _train(
        self,
        samples: Samples,
        rows: Array | None,
        batch: int,
        opt: Any,
        stats: Any = ffi.NULL,
        rates: Array | None = None,
    ) -> None:
        """Trains on the samples `rows` (int32; None: all), in that order, in batches of this size; adds to stats.

        opt: pn_optim *; rates: the learning rate of each step, float64, instead of that of opt.
        """
        n, order = (samples.n, ffi.NULL) if rows is None else (len(rows), pointer(rows))
        opt.rates = ffi.NULL if rates is None else ffi.from_buffer("double[]", rates)
        self._call(lib.pn_net_train, samples.data, order, n, batch, opt, stats)

    def input_gradient(
        self, x: npt.ArrayLike, y: npt.ArrayLike | None = None, *, dy: npt.ArrayLike | None = None, layer: int = -1
    ) -> Array:
        """The gradient with respect to the inputs, (n, *in_shape).

        With y: of the mean loss on these samples. With dy (n, *out_shape of layers[layer]): of the sum of dy times that
        layer's output, so that dy = 1 for one unit and 0 for the others gives the gradient of that unit. For bytes:
        with respect to x/255. The network runs as in predict, without dropout.
        """
        if (y is None) == (dy is None):
            raise ValueError("accepted: y, for the gradient of the loss, or dy, for that of a layer's output")
        samples, seed = inputs_only(self._signature, x) if y is None else self._samples(x, y), ffi.NULL
        check_targets(samples)
        if not -len(self.layers) <= layer < len(self.layers):
            raise ValueError(f"layer is {layer}; this network has 0 to {len(self.layers) - 1}")
        index = layer % len(self.layers)
        if dy is not None:
            expected = (samples.n, *self.layers[index].out_shape)
            if np.shape(dy) != expected:
                raise ValueError(f"dy has shape {np.shape(dy)}; for layer {index} and these samples it is {expected}")
            gradient = array(dy, name="dy")
            if not np.isfinite(gradient).all():
                raise ValueError(f"dy holds {gradient[~np.isfinite(gradient)][0]}; accepted: finite numbers")
            seed = pointer(gradient)
        dx = np.empty((samples.n, *self.in_shape), np.float32)
        self._call(lib.pn_net_input_gradient, samples.data, samples.n, index, seed, pointer(dx, writable=True))
        return dx

    @property
    def optimizer_state(self) -> OptimizerState:
        """The optimizer state: its kind, number of steps, and tensors as live views."""
        info, tensors = ffi.new("pn_state_info *"), {}
        with self._lock:
            lib.pn_net_state(self._ptr, info)
            for i in range(info.tensors):
                tensor = ffi.new("pn_tensor *")
                self._call(lib.pn_net_state_tensor, i, tensor)
                tensors[text(tensor.name)] = tensor_view(tensor, self._ptr)
        return OptimizerState(list(OPTIMIZERS)[info.kind], int(info.steps), tensors)

    @optimizer_state.setter
    def optimizer_state(self, state: OptimizerState) -> None:
        """Sets the state, of this network or one with the same layers; OptimizerState("sgd", 0, {}) resets it."""
        if state.kind not in OPTIMIZERS:
            raise ValueError(f"optimizer {state.kind!r}; accepted: {', '.join(OPTIMIZERS)}")
        with self._lock:
            given, before = state.copy(), self.optimizer_state.copy()  # copies, as state may hold views of this network
            self._call(lib.pn_net_set_state, list(OPTIMIZERS).index(state.kind), state.steps)
            own = self.optimizer_state.tensors
            expected, got = ({name: t.shape for name, t in tensors.items()} for tensors in (own, given.tensors))
            if expected != got:
                self.optimizer_state = before
                raise ValueError(f"{state.kind} takes the tensors {expected}, got {got}")
            for name, tensor in own.items():
                tensor[...] = given.tensors[name]

    def copy(self) -> Self:
        """A network of its own with the same parameters, notes, optimizer state and count of updates.

        Trained alike, both end with the same bits. pickle, copy.deepcopy and joblib make such networks, too.
        """
        clone = type(self).__new__(type(self))
        clone.__setstate__(self.__getstate__())
        return clone

    def __getstate__(self) -> dict[str, Any]:
        """What pickle, copy.deepcopy and joblib take: all that predict and a further training depend on."""
        with self._lock:
            return {
                "spec": self.spec,
                "seed": self.seed,
                "updates": self.updates,
                "tensors": {name: tensor.copy() for name, tensor in self._tensors.items()},
                "optimizer": tuple(self.optimizer_state.copy()),
                "notes": dict(self.meta),
                "whole_numbers": self._signature.whole_numbers,
            }

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Makes the network anew from what __getstate__ gave."""
        self._attach(lambda out, err: lib.pn_net_new(out, state["spec"].encode(), state["seed"], err))
        self._restore(state["tensors"], OptimizerState(*state["optimizer"]), state["updates"])
        self.meta.update(state["notes"])
        self._signature = self._signature._replace(whole_numbers=state["whole_numbers"])

    def _state(self) -> tuple[dict[str, Array], OptimizerState, int]:
        """What _restore sets, as copies."""
        with self._lock:
            return {name: t.copy() for name, t in self._tensors.items()}, self.optimizer_state.copy(), self.updates

    def _restore(self, tensors: Mapping[str, Array], state: OptimizerState, updates: int) -> None:
        """Sets the state of a training: parameters, optimizer state, count of updates."""
        for name, tensor in tensors.items():
            self._tensors[name][...] = tensor
        self.optimizer_state = state
        self._call(lib.pn_net_set_updates, updates)

    # ---- use ----

    def predict_proba(self, x: npt.ArrayLike, temperature: float = 1.0) -> Array:
        """The outputs (n, *out_shape), float32. temperature: of a final softmax; above 1 flattens it."""
        return self._outputs(inputs_only(self._signature, x), temperature)

    def predict(self, x: npt.ArrayLike) -> npt.NDArray[Any]:
        """What the network takes each sample for, by its task.

        "classes": the class (n,) int64 with the largest output; a single output: is it above 1/2? "multi-label": int64
        (n, outputs), 1 where an output is above 1/2. "regression": the outputs, (n,) float32 of a single one, else
        (n, *out_shape).
        """
        return self._labels_of(self.predict_proba(x), self.task)

    def _labels_of(self, scores: Array, task: TaskKind) -> npt.NDArray[Any]:
        """What outputs (n, *out_shape) stand for in this task."""
        if task == "regression":
            return scores[:, 0] if scores.shape[1:] == (1,) else scores
        if scores.ndim != 2:
            scores = scores.reshape(len(scores), self._out_features)
        if task == "multi-label":
            return (scores > 0.5).astype(np.int64)
        if self._out_features == 1 and self.loss_name != "cross_entropy":
            return (scores[:, 0] > 0.5).astype(np.int64)
        classes: npt.NDArray[np.int64] = scores.argmax(axis=1)
        return classes

    def evaluate(
        self, x: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> Evaluation | RegressionEvaluation:
        """How good the network is on a data set; changes nothing. Weights (n,) are for the loss alone.

        Loss and accuracy, an Evaluation, where y stands for classes or several labels; loss, RMSE, MAE and R2, a
        RegressionEvaluation, where it is numbers.
        """
        samples = self._samples(x, y, sample_weight)
        found = self._evaluate(samples)
        if self._task_of(samples) != "regression" or samples.targets is None:
            return found
        return measured(found.loss, samples.targets, self._outputs(samples))

    def _outputs(self, samples: Samples, temperature: float = 1.0) -> Array:
        """The outputs (n, *out_shape) of all samples."""
        out = np.empty((samples.n, *self.out_shape), FLOAT32)
        self._call(lib.pn_net_predict, samples.data, samples.n, temperature, floats(out))
        return out

    def _evaluate(self, samples: Samples, order: Array | None = None, stats: Any = None) -> Evaluation:
        """Loss and correct predictions of samples `order` (int32; None: all), and of those that stats has counted."""
        stats = stats or new_stats()
        order = np.arange(samples.n, dtype=np.int32) if order is None else order
        for start in range(0, max(len(order), 1), EVALUATE_ROWS):  # short calls: Ctrl-C waits for the current one
            rows = order[start : start + EVALUATE_ROWS]
            self._call(lib.pn_net_evaluate, samples.data, pointer(rows), len(rows), stats)
        n = max(stats.samples, 1)
        return Evaluation(stats.loss / n, stats.correct / n, int(stats.correct), int(stats.samples))

    # ---- files ----

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a safetensors file, whole or not at all.

        OSError: it cannot be written. FloatingPointError: a parameter is not finite or out of its range, so that
        pynet.load would refuse it.
        """
        self._call(lib.pn_net_save, path_bytes(path))

    def _save_checkpoint(self, path: str | os.PathLike[str], words: str, tensors: Mapping[str, Array]) -> None:
        """Writes a model file with an additional text and tensors, whole or not at all."""
        entries, names = ffi.new("pn_tensor[]", len(tensors)), [ffi.new("char[]", name.encode()) for name in tensors]
        for entry, name, tensor in zip(entries, names, tensors.values(), strict=True):
            entry.name, entry.data, entry.size = name, pointer(tensor), tensor.size
            entry.rank, entry.shape = tensor.ndim, tensor.shape
        chars = ffi.new("char[]", words.encode())
        checkpoint = ffi.new("pn_checkpoint *", {"text": chars, "tensors": len(tensors), "tensor": entries})
        self._call(lib.pn_net_save_checkpoint, checkpoint, path_bytes(path))

    @classmethod
    def _load_checkpoint(cls, path: str | os.PathLike[str]) -> tuple[Self, str, dict[str, Array]]:
        """Reads what _save_checkpoint wrote: the network, the text and the additional tensors."""
        checkpoint = ffi.gc(ffi.new("pn_checkpoint *"), lib.pn_checkpoint_free)
        net = cls.__new__(cls)
        net._attach(lambda out, err: lib.pn_net_load_checkpoint(out, checkpoint, path_bytes(path), err))
        entries = [checkpoint.tensor[i] for i in range(checkpoint.tensors)]
        tensors = {text(entry.name): tensor_view(entry, checkpoint).copy() for entry in entries}
        return net, text(checkpoint.text), tensors


STATS = ("loss", "correct", "samples", "steps")


def new_stats(**numbers: float) -> Any:
    """pn_stats *: the numbers of STATS, summed over calls; 0 unless given."""
    return ffi.new("pn_stats *", numbers)


def stats_numbers(stats: Any) -> dict[str, float]:
    """The numbers of a pn_stats *, as new_stats takes them."""
    return {name: getattr(stats, name) for name in STATS}


def _text(layer: Layer | str) -> str:
    if isinstance(layer, type):
        raise TypeError(f"a layer is the class {layer.__name__}; accepted: an instance, {layer.__name__}(...)")
    return str(layer)
