"""The network: a thin, checked hold on the C core's. All arithmetic happens there."""

from __future__ import annotations

import json
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pynet._ffi import (
    FLOAT32,
    Array,
    array,
    check,
    check_environment,
    checked_seed,
    ffi,
    floats,
    lib,
    optimizer_struct,
    pointer,
    text,
    view,
)
from pynet.augment import Augment
from pynet.layers import Layer
from pynet.model.samples import Samples, samples
from pynet.optim import OPTIMIZERS, Optimizer
from pynet.training import diagnose
from pynet.training import fit as training

__all__ = ["Evaluation", "LayerView", "Network", "load"]

LOSSES = {lib.PN_CROSS_ENTROPY: "cross_entropy", lib.PN_MSE: "mse", lib.PN_BCE: "bce"}
EVALUATE_ROWS = 512  # samples in one call: 50 ms for 784-2048-2048-10 on one thread


class Evaluation(NamedTuple):
    """Mean loss and share of right answers on a data set."""

    loss: float
    accuracy: float
    correct: int
    samples: int


class OptimizerState(NamedTuple):
    """The optimizer's kind ("adam"), the steps it took, and what it remembers: {"0.W.mean": (784, 128), ...}."""

    kind: str
    steps: int
    tensors: dict[str, Array]

    def copy(self) -> OptimizerState:
        """Of its own, no view of a network."""
        return self._replace(tensors={name: np.array(tensor) for name, tensor in self.tensors.items()})


class Notes(MutableMapping[str, str]):
    """The notes that travel in the model file: text by key, kept by the core."""

    def __init__(self, net: Network) -> None:
        self._net = net

    def _items(self) -> dict[str, str]:
        found: dict[str, str] = {}
        while (key := lib.pn_net_meta_key(self._net._ptr, len(found))) != ffi.NULL:
            found[text(key)] = text(lib.pn_net_meta_value(self._net._ptr, len(found)))
        return found

    def __getitem__(self, key: str) -> str:
        return self._items()[key]

    def __setitem__(self, key: str, value: str) -> None:
        for name, part in (("key", key), ("value", value)):
            if not isinstance(part, str) or "\0" in part:
                raise ValueError(f"{name} of a note is {part!r:.60}; accepted: text without NUL")
        self._net._call(lib.pn_net_set_meta, key.encode(), value.encode())

    def __delitem__(self, key: str) -> None:
        if key not in self._items():
            raise KeyError(key)
        self._net._call(lib.pn_net_set_meta, key.encode(), ffi.NULL)

    def __iter__(self) -> Iterator[str]:
        return iter(self._items())

    def __len__(self) -> int:
        return len(self._items())

    def __repr__(self) -> str:
        return repr(self._items())


class LayerView:
    """One layer of a network: what it is, and its parameters as live arrays: `.W` (n_in, n_out), `.b` (n_out).

    path is its place in the text, "3" or "3.0"; options are its word's arguments, those left unsaid included."""

    def __init__(self, net: Network, index: int) -> None:
        info = ffi.new("pn_layer_info *")
        net._call(lib.pn_net_layer, index, info)
        self._net = net
        self.path = text(info.path)
        self.kind = text(info.kind)
        self.text = text(info.text)
        self.in_shape: tuple[int, ...] = tuple(info.in_shape)[: info.in_rank]
        self.out_shape: tuple[int, ...] = tuple(info.out_shape)[: info.out_rank]
        self.parameters = int(info.parameters)
        self.options: dict[str, float] = {text(info.arg_name[i]): info.arg[i] for i in range(info.args)}
        self.index = index

    @property
    def tensors(self) -> dict[str, Array]:
        """Live views of this layer's parameters by their short name, "W"."""
        return {
            name.rpartition(".")[2]: tensor
            for name, tensor in self._net.tensors.items()
            if name.rpartition(".")[0] == self.path
        }

    @property
    def output(self) -> Array:
        """A copy of what this layer put out in the last forward: (n, *out_shape)."""
        with self._net._lock:
            out = np.empty((self._net._rows, *self.out_shape), np.float32)
            self._net._call(lib.pn_net_activation, self.index, len(out), pointer(out))
        return out

    def __getattr__(self, name: str) -> Array:
        if not name.startswith("_"):
            tensors = self.tensors
            if name in tensors:
                return tensors[name]
            if name[0] == "d" and name[1:] in tensors and f"{self.path}.{name[1:]}" in self._net.gradients:
                return self._net.gradients[f"{self.path}.{name[1:]}"]
        raise AttributeError(f"layer {self.path} ({self.text}) has no {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if "index" in self.__dict__ and name not in self.__dict__:  # what __init__ set are plain attributes
            tensor = getattr(self, name)
            if name not in self.tensors or np.shape(value) != tensor.shape:
                raise ValueError(f"{name} of layer {self.path} takes {tensor.shape}, got {np.shape(value)}")
            tensor[...] = value
        else:
            super().__setattr__(name, value)

    def __repr__(self) -> str:
        return f"<layer {self.path} {self.text}: {self.in_shape} -> {self.out_shape}, {self.parameters:,} parameters>"


class Network:
    """A network, built from its text or from layer objects; see pynet.layers.

    >>> net = Network("input(784) dense(128) relu dense(10) softmax", seed=0)

    x is (n, ...) with trailing axes that multiply to the input's features: uint8 means x/255, float32 and float64 are
    taken as they are. y is (n,) integer labels, or (n, outputs): one-hot rows for cross-entropy, any targets for
    squared error. What does not fit raises ValueError with the shape at hand and the one wanted.
    """

    def __init__(self, spec: str | Iterable[Layer | str], seed: int = 0) -> None:
        words = spec if isinstance(spec, str) else " ".join(str(layer) for layer in spec)
        if "\0" in words:
            raise ValueError("the text of a network holds a NUL character")
        number = checked_seed(seed)
        self._attach(lambda out, err: lib.pn_net_new(out, words.encode(), number, err))

    def _attach(self, create: Callable[[Any, Any], int]) -> None:
        """Takes hold of the net that create(pn_net **, err) makes."""
        check_environment()
        out, err = ffi.new("pn_net **"), ffi.new("char[]", lib.PN_ERRLEN)
        check(create(out, err), err)
        self._ptr = ffi.gc(out[0], lib.pn_net_free)
        self._lock = threading.RLock()
        self._rows = 0
        info = ffi.new("pn_net_info *")
        lib.pn_net_describe(self._ptr, info)
        self.seed = int(info.seed)
        self.parameters = int(info.parameters)
        self.loss_name = LOSSES[info.loss]
        self.label_smoothing = float(info.smoothing)
        self.in_shape: tuple[int, ...] = tuple(info.in_shape)[: info.in_rank]
        self.out_shape: tuple[int, ...] = tuple(info.out_shape)[: info.out_rank]
        self._in_features, self._out_features = int(info.in_features), int(info.out_features)
        self._tensors = self._views()
        self.layers = [LayerView(self, i) for i in range(info.layers)]
        self._last = [layer for layer in self.layers if "." not in layer.path][-1]
        _alive.add(self)

    def _call(self, function: Any, *args: Any) -> None:
        """A call on the core's net: one at a time, status checked."""
        with self._lock:
            status = function(self._ptr, *args)
            if status:
                check(status, lib.pn_net_error(self._ptr))

    # ---- what it is ----

    @property
    def spec(self) -> str:
        """The canonical text: Network(net.spec) has the same layers."""
        return text(lib.pn_net_spec(self._ptr))

    def __str__(self) -> str:
        return self.spec

    def __repr__(self) -> str:
        return f"Network({self.spec!r}, seed={self.seed})"

    @property
    def updates(self) -> int:
        """How many steps it was trained so far, by whatever optimizer; which units dropout drops depends on it."""
        info = ffi.new("pn_net_info *")
        lib.pn_net_describe(self._ptr, info)
        return int(info.updates)

    @property
    def meta(self) -> Notes:
        """Notes that travel in the model file, text by key: change it like a dict."""
        return Notes(self)

    @property
    def classes(self) -> list[str]:
        """Names of the outputs; "0", "1", ... unless set."""
        try:
            names = json.loads(self.meta.get("classes", "null"))
        except ValueError:
            names = None
        if isinstance(names, list) and len(names) == self._out_features:
            return [str(name) for name in names]
        return [str(i) for i in range(self._out_features)]

    @classes.setter
    def classes(self, names: Iterable[str]) -> None:
        given = [str(name) for name in names]
        if len(given) != self._out_features:
            raise ValueError(f"{len(given)} class names for {self._out_features} outputs")
        self.meta["classes"] = json.dumps(given, ensure_ascii=False)

    def _tensor(self, index: int) -> Any:
        tensor = ffi.new("pn_tensor *")
        self._call(lib.pn_net_tensor, index, tensor)
        return tensor

    def _views(self) -> dict[str, Array]:
        info = ffi.new("pn_net_info *")
        lib.pn_net_describe(self._ptr, info)
        tensors = [self._tensor(i) for i in range(info.tensors)]
        return {text(t.name): view(t.data, tuple(t.shape)[: t.rank], self._ptr) for t in tensors}

    @property
    def tensors(self) -> dict[str, Array]:
        """The parameters by name, {"0.W": (784, 128), "0.b": (128,), ...}, then the running statistics, which are not
        trained: live views, writing changes the network."""
        return dict(self._tensors)

    @property
    def gradients(self) -> dict[str, Array]:
        """Copies of the gradients of the last backward(), by the same names."""
        found = {}
        for i, (name, tensor) in enumerate(self._tensors.items()):
            entry = self._tensor(i)
            grad = entry.grad
            if not entry.trained:
                continue
            if grad == ffi.NULL:
                raise RuntimeError(f"the gradient of {name} is there after backward()")
            found[name] = np.frombuffer(ffi.buffer(grad, tensor.nbytes), np.float32).reshape(tensor.shape).copy()
        return found

    def weights_sha256(self) -> str:
        """SHA-256 of all parameters, float32 little-endian in network order: equal for equal training."""
        import hashlib

        digest = hashlib.sha256()
        for tensor in self._tensors.values():
            digest.update(tensor.astype("<f4", copy=False).data)
        return digest.hexdigest()

    def summary(self) -> str:
        """A table of the layers: output shapes, parameters of each and in total."""
        rows = [("", "layer", "output", "parameters"), ("", f"input{_shape(self.in_shape)}", _shape(self.in_shape), "")]
        rows += [
            (layer.path, layer.text, _shape(layer.out_shape), f"{layer.parameters:,}" if layer.parameters else "")
            for layer in self.layers
        ]
        rows.append(("", "total", "", f"{self.parameters:,}"))
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = [f"{a:>{widths[0]}}  {b:<{widths[1]}}  {c:<{widths[2]}}  {d:>{widths[3]}}" for a, b, c, d in rows]
        return "\n".join(line.rstrip() for line in lines)

    # ---- what goes in ----

    def _samples(
        self,
        x: npt.ArrayLike | None,
        y: npt.ArrayLike | None,
        sample_weight: npt.ArrayLike | None = None,
        augment: Augment | None = None,
    ) -> Samples:
        return samples(self, x, y, sample_weight, augment)

    # ---- training ----

    def forward(self, x: npt.ArrayLike, training: bool = True, augment: Augment | None = None) -> Array:
        """The outputs (n, *out_shape) for a batch; keeps the activations, and what loss and backward need.

        training False: as predict runs it, with nothing dropped; to look at the activations, no loss can follow.
        augment: how training changes the pictures x; see pynet.Augment.
        """
        samples = self._samples(x, None, augment=augment)
        with self._lock:
            self._call(lib.pn_net_forward if training else lib.pn_net_infer, samples.data, ffi.NULL, samples.n)
            self._rows = samples.n
            return self._last.output

    def loss(self, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:
        """Mean loss of the last forward's batch against its answers; sample_weight (n,): what each sample counts."""
        samples = self._samples(None, y, sample_weight)
        mean = ffi.new("double *")
        self._call(lib.pn_net_loss, samples.data, ffi.NULL, samples.n, mean)
        return float(mean[0])

    def backward(self) -> None:
        """The gradient of that loss for every parameter: net.gradients, layers[i].dW, layers[i].db."""
        self._call(lib.pn_net_backward)

    def update(self, optimizer: Optimizer) -> None:
        """One step of the optimizer with the gradient of the last backward."""
        self._call(lib.pn_net_update, optimizer_struct(optimizer))

    def train_step(
        self,
        x: npt.ArrayLike,
        y: npt.ArrayLike,
        optimizer: Optimizer,
        sample_weight: npt.ArrayLike | None = None,
        augment: Augment | None = None,
    ) -> float:
        """Forward, loss, backward and update on one batch, in one call; returns the mean loss before the update."""
        samples = self._samples(x, y, sample_weight, augment)
        stats = self._train(samples, ffi.NULL, samples.n, max(samples.n, 1), optimizer_struct(optimizer))
        return float(stats.loss / samples.n) if samples.n else 0.0

    def _train(self, samples: Samples, order: Any, n: int, batch: int, opt: Any, stats: Any = None) -> Any:
        stats = stats or ffi.new("pn_stats *")
        self._call(lib.pn_net_train, samples.data, order, n, batch, opt, stats)
        return stats

    fit = training.fit
    partial_fit = training.partial_fit
    gradient_stats = diagnose.gradient_stats

    def input_gradient(
        self, x: npt.ArrayLike, y: npt.ArrayLike | None = None, *, dy: npt.ArrayLike | None = None, layer: int = -1
    ) -> Array:
        """The gradient with respect to the inputs, (n, *in_shape): which way each number of x would raise something.

        With y that is the mean loss on these samples; with dy (n, *out_shape of that layer) it is the sum of dy times
        the output of layers[layer]: 1 for one unit of it and 0 for the others asks what that unit looks for.
        For bytes it is the gradient with respect to x/255. The network is the one that predict uses.
        """
        if (y is None) == (dy is None):
            raise ValueError("the gradient of what? Give y for the loss, or dy for the output of a layer")
        samples, seed = self._samples(x, y), ffi.NULL
        if not -len(self.layers) <= layer < len(self.layers):
            raise ValueError(f"layer is {layer}; this network has 0 to {len(self.layers) - 1}")
        index = layer % len(self.layers)
        if dy is not None:
            wanted = (samples.n, *self.layers[index].out_shape)
            if np.shape(dy) != wanted:
                raise ValueError(f"dy has shape {np.shape(dy)}; for layer {index} and these samples it is {wanted}")
            seed = pointer(array(dy))
        dx = np.empty((samples.n, *self.in_shape), np.float32)
        self._call(lib.pn_net_input_gradient, samples.data, samples.n, index, seed, pointer(dx, writable=True))
        return dx

    @property
    def optimizer_state(self) -> OptimizerState:
        """What the optimizer remembers: its kind, the steps it took, its tensors as live views."""
        info = ffi.new("pn_state_info *")
        lib.pn_net_state(self._ptr, info)
        tensors = {}
        for i in range(info.tensors):
            tensor = ffi.new("pn_tensor *")
            self._call(lib.pn_net_state_tensor, i, tensor)
            tensors[text(tensor.name)] = view(tensor.data, tuple(tensor.shape)[: tensor.rank], self._ptr)
        return OptimizerState(list(OPTIMIZERS)[info.kind], int(info.steps), tensors)

    @optimizer_state.setter
    def optimizer_state(self, state: OptimizerState) -> None:
        """Takes over a state, of this network or one like it; OptimizerState("sgd", 0, {}) begins anew."""
        if state.kind not in OPTIMIZERS:
            raise ValueError(f"optimizer {state.kind!r}; accepted: {', '.join(OPTIMIZERS)}")
        given, before = state.copy(), self.optimizer_state.copy()  # copies: the views may be our own
        self._call(lib.pn_net_set_state, list(OPTIMIZERS).index(state.kind), state.steps)
        own = self.optimizer_state.tensors
        wanted, got = ({name: t.shape for name, t in tensors.items()} for tensors in (own, given.tensors))
        if wanted != got:
            self.optimizer_state = before
            raise ValueError(f"{state.kind} takes the tensors {wanted}, got {got}")
        for name, tensor in own.items():
            tensor[...] = given.tensors[name]

    # ---- use ----

    def predict_proba(self, x: npt.ArrayLike, temperature: float = 1.0) -> Array:
        """The outputs (n, *out_shape), float32; a closing softmax at this temperature (above 1 is flatter)."""
        given = samples(self, x, None)
        out = np.empty((given.n, *self.out_shape), FLOAT32)
        self._call(lib.pn_net_predict, given.data, given.n, temperature, floats(out))
        return out

    def predict(self, x: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """The class (n,) with the largest output for each sample; a single one: is it above 1/2?"""
        scores = self.predict_proba(x)
        if scores.ndim != 2:
            scores = scores.reshape(len(scores), self._out_features)
        if self._out_features == 1 and self.loss_name != "cross_entropy":
            return (scores[:, 0] > 0.5).astype(np.int64)
        classes: npt.NDArray[np.int64] = scores.argmax(axis=1)
        return classes

    def evaluate(self, x: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Evaluation:
        """Mean loss and accuracy on a data set; changes nothing. Weights (n,) are for the loss alone."""
        return self._evaluate(self._samples(x, y, sample_weight))

    def _evaluate(self, samples: Samples) -> Evaluation:
        stats = ffi.new("pn_stats *")
        order = np.arange(samples.n, dtype=np.int32)
        for rows in np.split(order, range(EVALUATE_ROWS, samples.n, EVALUATE_ROWS)):  # Ctrl-C waits for a call to end
            self._call(lib.pn_net_evaluate, samples.data, pointer(rows), len(rows), stats)
        n = max(samples.n, 1)
        return Evaluation(stats.loss / n, stats.correct / n, int(stats.correct), samples.n)

    # ---- files ----

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a safetensors file, whole or not at all; OSError if it cannot be written."""
        self._call(lib.pn_net_save, os.fsencode(path))


def load(path: str | os.PathLike[str]) -> Network:
    """Reads a model that save wrote. OSError: it cannot be read; ValueError: it is no pynet model, or damaged."""
    net = Network.__new__(Network)
    net._attach(lambda out, err: lib.pn_net_load(out, os.fsencode(path), err))
    return net


def _shape(shape: tuple[int, ...]) -> str:
    return f"({','.join(str(size) for size in shape)})"


_alive: weakref.WeakSet[Network] = weakref.WeakSet()


def _renew_locks() -> None:
    """In a forked child no thread is left that could release a lock taken before the fork."""
    for net in _alive:
        net._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)
