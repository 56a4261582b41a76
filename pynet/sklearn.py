"""Networks as estimators of scikit-learn, for its pipelines and searches. Needs scikit-learn 1.6 or newer.

>>> from pynet.sklearn import PynetClassifier
>>> make_pipeline(StandardScaler(), PynetClassifier(net="dense(64) relu dropout(0.2)", random_state=0)).fit(X, y)
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

try:
    from scipy.sparse import issparse
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import r2_score
    from sklearn.model_selection import train_test_split
    from sklearn.utils import check_random_state, column_or_1d, compute_sample_weight
    from sklearn.utils.multiclass import check_classification_targets, type_of_target
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        f"{error}: pynet.sklearn needs scikit-learn 1.6 or newer; pip install 'scikit-learn>=1.6'"
    ) from None

from pynet._ffi import Array
from pynet.network import Network, OptimizerState
from pynet.optim import SGD, Adam, AdamW, Momentum, Nesterov, Optimizer, RMSProp
from pynet.schedules import Schedule
from pynet.training.callbacks import EarlyStopping, check
from pynet.training.history import History
from pynet.training.scaling import unscaled
from pynet.training.sklearn_parts import Adaptive, InverseScaling, LastRate, check_range

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["PynetClassifier", "PynetRegressor"]

MAX_BATCH = 200  # rows in a batch of size "auto"
ACTIVATIONS = {"identity": "", "logistic": "sigmoid"}  # scikit-learn's names; the others are words of a network
WORDS = ("tanh", "relu", "leaky_relu", "gelu", "sigmoid")
CLOSING = re.compile(r"\b(softmax|rescale|loss\([^()]*\))\s*$")  # words that close a network
LOSSES = {"squared_error": "mse", "absolute_error": "mae"}
CHOICES = {
    "solver": ("adam", "adamw", "sgd", "momentum", "nesterov", "rmsprop"),
    "learning_rate": ("constant", "invscaling", "adaptive"),
}
DTYPES: dict[str, Any] = {"dtype": [np.float32, np.float64, np.uint8], "accept_sparse": "csr"}


class Rows(NamedTuple):
    """Samples (n, features), float32, uint8 or sparse, their targets for the network, and their weights (n,)."""

    X: Any
    y: Array
    weight: Array

    def only(self, rows: Array) -> Rows:
        """The rows with these indices, or those where rows is True."""
        return Rows(*(part[rows] for part in self))


def arranged(rows: Rows, most: int) -> tuple[Any, Array, Array | None]:
    """Samples, targets and weights for training, in batches of at most `most` rows.

    Rows with weight 0 are dropped. If one batch holds all rows, they are sorted, and integer weights become copies of
    the row, so that weights give the same bits as repeated rows in any order. Otherwise weights are scaled to mean 1.
    """
    rows = rows.only(rows.weight > 0)
    n = len(rows.y)
    if n <= most:
        dense = rows.X.toarray() if issparse(rows.X) else rows.X  # one batch, which the core makes dense, too
        parts = [np.ascontiguousarray(part).reshape(n, -1).view(np.uint8) for part in (dense, rows.y)]
        keys = np.concatenate(parts, axis=1)
        order = np.argsort(keys.view(f"V{keys.shape[1]}")[:, 0], kind="stable")
        rows = rows.only(order)
        if (rows.weight == np.floor(rows.weight)).all() and rows.weight.sum() <= most:
            copies = np.repeat(np.arange(n), rows.weight.astype(np.intp))
            return rows.X[copies], rows.y[copies], None
    return rows.X, rows.y, rows.weight / rows.weight.mean()


@dataclass(eq=False, repr=False)
class _Estimator(BaseEstimator):
    """The common part of both estimators; see PynetClassifier."""

    hidden_layer_sizes: int | Sequence[int] = (100,)
    activation: str = "relu"
    _: KW_ONLY
    net: str | None = None
    dropout: float = 0.0
    loss: str | None = None
    solver: str = "adam"
    alpha: float = 0.0001
    batch_size: int | str = "auto"
    learning_rate: str = "constant"
    learning_rate_init: float = 0.001
    power_t: float = 0.5
    schedule: Schedule | str | None = None
    max_iter: int = 200
    shuffle: bool = True
    random_state: Any = None
    tol: float = 1e-4
    verbose: bool | int | str = False
    warm_start: bool = False
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    early_stopping: bool = False
    validation_fraction: float = 0.1
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    n_iter_no_change: float = 10
    max_fun: int = 15000
    callbacks: Any = ()

    # Each estimator defines: _numeric; _learn_targets(y, classes) -> text of the output layer; _targets(y) and
    # _weights(y, weight) for the network; _prepare(y) for a new network; _strata(y) to stratify the validation split;
    # _decided(outputs) -> predicted targets; _score(y, decided, weight).

    # ---- fit ----

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Trains until the loss, or with early_stopping the score on validation data, no longer improves.

        X (n, features), y (n,) or (n, outputs); sample_weight (n,): 0 or more. X_val, y_val, sample_weight_val:
        validation data, evaluated after each epoch and used for early stopping; without them, early_stopping splits
        off a part of X. ConvergenceWarning: max_iter epochs were not enough. ValueError: arguments that do not fit.
        """
        self._check_parameters()
        begins = not (self.warm_start and hasattr(self, "net_"))
        rows = self._first(X, y, sample_weight) if begins else self._further(X, y, sample_weight)
        if not begins:
            self.net_.optimizer_state = OptimizerState("sgd", 0, {})
        if X_val is not None:
            held_out: Rows | None = self._further(X_val, y_val, sample_weight_val)
        elif y_val is not None or sample_weight_val is not None:
            raise ValueError("y_val and sample_weight_val are for X_val, which is None")
        elif self.early_stopping:
            rows, held_out = self._split(rows)
        else:
            held_out = None
        self._train(rows, held_out)
        return self

    def _first(self, X: Any, y: Any, sample_weight: Any, classes: Any = None, stacklevel: int = 3) -> Rows:
        """Creates the network for a new training; returns its samples. stacklevel: that of the user's line."""
        frame = hasattr(X, "columns")  # whose bytes are numbers, as in pynet.data.table
        X, y, weight = self._checked(X, y, sample_weight, reset=True)
        self._bytes = X.dtype == np.uint8 and not frame
        X, y, weight = X[weight > 0], y[weight > 0], weight[weight > 0]
        outputs = self._learn_targets(y, classes)
        rows = self._rows(X, y, weight)
        inside = self._hidden()
        begin = "" if inside.startswith("input(") else f"input({X.shape[1]}) "
        self.net_ = Network(f"{begin}{inside} {outputs}", self._seed())
        if self.net_.layers[0].kind == "standardize":
            self.net_.adapt(rows.X)
        remedy = f"make_pipeline({'MaxAbsScaler' if issparse(X) else 'StandardScaler'}(), {type(self).__name__}(...))"
        if text := unscaled(self.net_, X if self._bytes else rows.X, "X", f"{remedy} scales it"):
            warnings.warn(text, UserWarning, stacklevel=stacklevel)
        self.net_._scale_known = True
        self._prepare(arranged(rows, self._most)[1])
        self.loss_curve_: list[float] = []
        self.validation_loss_curve_: list[float] | None = None
        self.validation_scores_: list[float] | None = None
        self.best_loss_: float | None = None
        return rows

    def _further(self, X: Any, y: Any, sample_weight: Any) -> Rows:
        """Samples for the existing network."""
        X, y, weight = self._checked(X, y, sample_weight, reset=False)
        return self._rows(X[weight > 0], y[weight > 0], weight[weight > 0])

    def _rows(self, X: Array, y: Array, weight: Array) -> Rows:
        return Rows(self._inputs(X), self._targets(y), self._weights(y, weight))

    def _continue(self, X: Any, y: Any, sample_weight: Any, classes: Any = None) -> Self:
        """Trains one epoch; the optimizer keeps its state."""
        if self.early_stopping:
            raise ValueError("early_stopping is True; accepted for partial_fit: False")
        self._check_parameters()
        begins = not hasattr(self, "net_")
        rows = self._first(X, y, sample_weight, classes, 4) if begins else self._further(X, y, sample_weight)
        self.n_iter_ = len(self._epochs(rows, 1, callbacks=check(self.callbacks)).loss)
        self.best_loss_ = min(self.loss_curve_)
        return self

    def _checked(self, X: Any, y: Any, sample_weight: Any, reset: bool) -> tuple[Array, Array, Array]:
        X, y = validate_data(self, X, y, reset=reset, **DTYPES, multi_output=True, y_numeric=self._numeric)
        if issparse(y):
            y = y.toarray()
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if not weight.any():
            raise ValueError("sample_weight is 0 for all samples; accepted: some above 0")
        return X, y, weight

    def _inputs(self, X: Any) -> Any:
        """Samples for the network, in the scale of fit: if that was given bytes, x/255."""
        check_range(X)
        if not self._bytes:
            return X.astype(np.float32, copy=False)
        if issparse(X):
            return type(X)((X.data.astype(np.float32) / np.float32(255), X.indices, X.indptr), shape=X.shape)
        return X if X.dtype == np.uint8 else X.astype(np.float32) / np.float32(255)

    def _outputs(self, X: Any) -> Array:
        check_is_fitted(self)
        return self.net_.predict_proba(self._inputs(validate_data(self, X, reset=False, **DTYPES)))

    @property
    def _most(self) -> int:
        """The maximum number of rows in a batch."""
        return MAX_BATCH if self.batch_size == "auto" else int(self.batch_size)

    def _seed(self) -> int:
        if isinstance(self.random_state, (int, np.integer)) and self.random_state >= 0:
            return int(self.random_state)  # so that Network(text, seed=random_state) is the same
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _hidden(self) -> str:
        """The text of the hidden layers."""
        if self.net is not None:
            return self.net.strip()
        sizes = np.atleast_1d(np.asarray(self.hidden_layer_sizes, np.int64))
        activation = ACTIVATIONS.get(self.activation, self.activation)
        dropout = f"dropout({self.dropout})" if self.dropout else ""
        return " ".join(f"dense({size}) {activation} {dropout}" for size in sizes)

    def _split(self, rows: Rows) -> tuple[Rows, Rows]:
        """(training samples, validation samples)."""
        training, held_out = train_test_split(
            np.arange(len(rows.y)),
            test_size=self.validation_fraction,
            random_state=self.net_.seed % 2**32,
            stratify=self._strata(rows.y),
        )
        return rows.only(training), rows.only(held_out)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # ---- training ----

    def _train(self, rows: Rows, held_out: Rows | None) -> None:
        """Trains to the end, and sets the attributes that describe the training."""
        patience = min(self.n_iter_no_change, self.max_iter) + 1
        callbacks = check(self.callbacks)
        rate = self._rate(len(rows.y))
        if isinstance(rate, Adaptive):
            callbacks.append(LastRate(rate, self.learning_rate_init))
            patience = self.max_iter + 1
        stopping = EarlyStopping(int(patience), self.tol, "loss", restore_best=False)
        if held_out is not None and self.early_stopping:
            stopping = EarlyStopping(int(patience), self.tol, "val_score", mode="max")
        options = {"schedule": rate, "early_stopping": stopping, "callbacks": callbacks}
        history = self._epochs(rows, self.max_iter, held_out, **options)
        self.n_iter_ = len(history.loss)
        self.best_loss_ = None if self.early_stopping else min(self.loss_curve_)
        if self.n_iter_ == self.max_iter and not stopping.is_over(history.columns()[stopping.monitor]):
            reached = f"Maximum iterations ({self.max_iter}) reached and the optimization hasn't converged yet."
            warnings.warn(reached, ConvergenceWarning, stacklevel=3)

    def _epochs(self, rows: Rows, epochs: int, held_out: Rows | None = None, **options: Any) -> History:
        """Trains for this number of epochs; appends to the curves."""
        X, y, weight = arranged(rows, self._most)
        batch, net = min(self._most, len(y)), self.net_
        if held_out is not None:
            scale = held_out.weight / held_out.weight.mean()
            options["validation"] = (held_out.X, held_out.y, scale)
            options["metrics"] = {"score": lambda y, p: self._score(y, self._decided(p), scale)}
        history = net.fit(
            X,
            y,
            epochs=epochs,
            batch_size=batch,
            optimizer=self._optimizer(batch),
            sample_weight=weight,
            shuffle=self.shuffle,
            seed=(net.seed + net.updates) % 2**64,
            verbose=self.verbose,
            **options,
        )
        self.loss_curve_ += history.loss
        if held_out is not None:
            self.validation_loss_curve_ = (self.validation_loss_curve_ or []) + history.val_loss
            self.validation_scores_ = (self.validation_scores_ or []) + history.columns()["val_score"]
        return history

    def _optimizer(self, batch: int) -> Optimizer:
        """The optimizer, with MLPClassifier's penalty: alpha / 2 times the squared weights, over the batch size."""
        rate, l2 = self.learning_rate_init, self.alpha / batch
        if self.solver == "adamw":
            return AdamW(rate, self.beta_1, self.beta_2, self.epsilon, weight_decay=self.alpha)
        if self.solver == "adam":
            return Adam(rate, self.beta_1, self.beta_2, self.epsilon, l2=l2)
        if self.solver == "rmsprop":
            return RMSProp(rate, self.beta_2, self.epsilon, l2=l2)
        if self.solver == "sgd" and not self.momentum:
            return SGD(rate, l2=l2)
        nesterov = self.solver == "nesterov" or (self.solver == "sgd" and self.nesterovs_momentum)
        return (Nesterov if nesterov else Momentum)(rate, self.momentum, l2=l2)

    def _rate(self, samples: int) -> Schedule | str | None:
        """The schedule; as in MLPClassifier, learning_rate is only for gradient descent."""
        if self.schedule is not None or self.solver not in ("sgd", "momentum", "nesterov"):
            return self.schedule
        if self.learning_rate == "invscaling":
            return InverseScaling(samples, self.power_t)
        return Adaptive(self.tol, self.n_iter_no_change) if self.learning_rate == "adaptive" else None

    def _check_parameters(self) -> None:
        """Raises ValueError for parameters that pynet itself would not check, or would call by another name."""
        for name, accepted in CHOICES.items():
            if getattr(self, name) not in accepted:
                raise ValueError(f"{name} is {getattr(self, name)!r:.80}; accepted: {', '.join(map(repr, accepted))}")
        for name, least in (("max_iter", 1), ("n_iter_no_change", 1), ("batch_size", 1), ("alpha", 0), ("tol", 0)):
            value = getattr(self, name)
            if not (name == "batch_size" and value == "auto") and not value >= least:
                raise ValueError(f"{name} is {value!r:.80}; accepted: {least} or more")
        activation = str(self.activation).partition("(")[0]
        if self.net is None and activation not in (*ACTIVATIONS, *WORDS):
            choices = ", ".join(map(repr, (*ACTIVATIONS, *WORDS)))
            raise ValueError(f"activation is {self.activation!r:.80}; accepted: {choices}")
        if self.net is not None and (closing := CLOSING.search(self.net)):
            raise ValueError(f"net ends in {closing[1]!r:.80}: {self.net!r:.200}; accepted: the hidden layers only")
        if not 0 < self.validation_fraction < 1:
            raise ValueError(f"validation_fraction is {self.validation_fraction}; accepted: between 0 and 1")

    @property
    def coefs_(self) -> list[Array]:
        """The weights of each layer (n_in, n_out), as live views."""
        return [layer.W for layer in self._layers()]

    @property
    def intercepts_(self) -> list[Array]:
        """The biases of each layer with weights (n_out,)."""
        return [layer.b for layer in self._layers() if "b" in layer.tensors]

    def _layers(self) -> list[Any]:
        if not hasattr(self, "net_"):
            raise AttributeError(f"this {type(self).__name__} is not fitted yet")
        return [layer for layer in self.net_.layers if "W" in layer.tensors]


@dataclass(eq=False, repr=False)
class PynetClassifier(ClassifierMixin, _Estimator):
    """A network for classification, also of several labels at once, with the parameters and defaults of MLPClassifier.

    Beyond those: net, the text of the hidden layers, as in "dense(64) relu dropout(0.2)", in place of
    hidden_layer_sizes, activation and dropout; one that begins with input(...), of as many numbers as X has features,
    also gives their shape. dropout: after each hidden layer. activation: also a word of a network, "gelu". loss: the
    text of a loss, "cross_entropy, smoothing=0.1"; None is log loss. solver: also "adamw", whose weight_decay alpha is,
    "momentum", "nesterov" and "rmsprop", which takes beta_2; there is no "lbfgs". schedule: of the learning rate, see
    pynet.schedules. class_weight: {class: weight}, or "balanced". callbacks: see pynet.Callback. max_fun has no effect.

    X of uint8 means x/255, and is kept as it is; predict then takes other numbers x as x/255, too. Of a data frame,
    uint8 columns are numbers. Scale X, by StandardScaler or net="standardize dense(64) relu", whose first layer is
    fitted to X; UserWarning, unless that is standardize or batchnorm: a feature's root mean square is above 20, or
    bytes are 0 and 1 alone.

    net_ is the pynet.Network. loss_curve_, validation_loss_curve_ and validation_scores_, the accuracy, have a number
    an epoch, of all calls that trained net_; those of the validation are None without validation data. n_iter_: epochs
    of the last call.

    sample_weight: where all rows, counted by their weights, fit in one batch (sum of weights <= batch_size, whole
    weights), a fit with weights has the bits of one with repeated rows. With more rows the batches, and with
    early_stopping the validation data, are drawn among other rows, and the two differ as two seeds do; then weights
    scale the losses alone, and the mean and variance of batchnorm count each row once.
    """

    class_weight: Any = field(default=None, kw_only=True)

    _numeric: ClassVar[bool] = False

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Trains one epoch on these samples; the optimizer keeps its state.

        classes: all that there will be, for the first call; the labels of several at once need none.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight is {self.class_weight!r}; accepted for partial_fit: {{class: weight}}, None"
            )
        if classes is not None and hasattr(self, "net_") and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"classes is {classes!r:.80}; it was {self.classes_.tolist()!r:.80} in the first call")
        if classes is None and not hasattr(self, "net_") and not type_of_target(y).startswith("multilabel"):
            raise ValueError("classes must be passed on the first call to partial_fit: all that there will be")
        return self._continue(X, y, sample_weight, classes)

    def predict(self, X: Any) -> Array:
        """The class of each sample (n,); for several labels, 0 or 1 for each (n, labels)."""
        decided = self._decided(self._outputs(X))
        return decided if self._several else self.classes_[decided.astype(np.intp)]

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class, or of each label (n, classes), float32."""
        outputs = self._outputs(X)
        return np.concatenate([1 - outputs, outputs], axis=1) if outputs.shape[1] == 1 else outputs

    def predict_log_proba(self, X: Any) -> Array:
        """The logarithm of predict_proba."""
        with np.errstate(divide="ignore"):  # a probability may be 0
            return np.log(self.predict_proba(X))

    def _learn_targets(self, y: Array, classes: Any) -> str:
        check_classification_targets(y)
        self._several = type_of_target(y) == "multilabel-indicator"
        if y.ndim > 1 and not self._several:
            raise ValueError(f"y has shape {y.shape}; accepted: (n,) classes, or (n, labels) of 0 and 1")
        self.classes_ = np.arange(y.shape[1]) if self._several else np.unique(y if classes is None else classes)
        count = len(self.classes_)
        if count < 2:
            raise ValueError(f"y has one class, {self.classes_.tolist()[0]!r}; accepted: two classes or more")
        usual = self.loss in (None, "log_loss", "bce")
        if self._several and not usual:
            raise ValueError(f"loss is {self.loss!r:.80}; accepted for several labels: None")
        self.n_outputs_ = 1 if usual and count == 2 and not self._several else count
        if self._several or self.n_outputs_ == 1:
            return f"dense({self.n_outputs_}) sigmoid loss(bce)"
        return f"dense({count}) softmax" + ("" if usual else f" loss({self.loss})")

    def _targets(self, y: Array) -> Array:
        if self._several:
            if y.ndim != 2 or y.shape[1] != self.n_outputs_:
                raise ValueError(f"y has shape {y.shape}; accepted: (n, {self.n_outputs_}), as in the first call")
            return y.astype(np.float32)
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(f"y has the class {unknown.tolist()[0]!r}; accepted: {self.classes_.tolist()!r:.200}")
        places = np.searchsorted(self.classes_, y)
        return places.astype(np.float32)[:, None] if self.n_outputs_ == 1 else places.astype(np.int32)

    def _weights(self, y: Array, weight: Array) -> Array:
        if self.class_weight is None:
            return weight
        if self._several or not isinstance(self.class_weight, str):
            return weight * compute_sample_weight(self.class_weight, y)
        if self.class_weight != "balanced":
            raise ValueError(
                f"class_weight is {self.class_weight!r:.80}; accepted: 'balanced', {{class: weight}}, None"
            )
        _, places = np.unique(y, return_inverse=True)
        totals = np.bincount(places, weight)  # a weight counts like copies of its row
        return weight * (weight.sum() / (len(totals) * totals))[places]

    def _prepare(self, y: Array) -> None:
        self.net_.task = "multi-label" if self._several else "classes"
        if not self._several:
            self.net_.classes = [str(label) for label in self.classes_]

    def _strata(self, y: Array) -> Array | None:
        return None if self._several else y

    def _decided(self, outputs: Array) -> Array:
        if self._several:
            return (outputs > 0.5).astype(np.int64)
        return outputs[:, 0] > 0.5 if outputs.shape[1] == 1 else outputs.argmax(axis=1)

    def _score(self, y: Array, decided: Array, weight: Array) -> float:
        right = (y == decided).all(axis=1) if self._several else y.ravel() == decided
        return float(np.average(right, weights=weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


@dataclass(eq=False, repr=False)
class PynetRegressor(RegressorMixin, _Estimator):
    """A network that predicts numbers, with the parameters and the defaults of MLPRegressor.

    loss: "squared_error", "absolute_error", or the text of a loss, "huber, delta=0.5"; None is the first of them.
    scale_y: the network learns targets of mean 0 and standard deviation 1, those of the samples that it saw first, and
    gives numbers in the unit of y; the loss is that of the scaled targets. validation_scores_ is R2. All else is as for
    PynetClassifier.
    """

    scale_y: bool = field(default=True, kw_only=True)

    _numeric: ClassVar[bool] = True

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Trains one epoch on these samples; the optimizer keeps its state."""
        return self._continue(X, y, sample_weight)

    def predict(self, X: Any) -> Array:
        """The numbers (n,) or (n, outputs), float32."""
        return self._decided(self._outputs(X))

    def _learn_targets(self, y: Array, classes: Any) -> str:
        self.n_outputs_ = 1 if y.ndim == 1 else y.shape[1]
        loss = LOSSES.get(self.loss or "squared_error", self.loss)
        return f"dense({self.n_outputs_}) {'rescale' if self.scale_y else ''} loss({loss})"

    def _targets(self, y: Array) -> Array:
        rows = y.reshape(len(y), -1)
        if rows.shape[1] != self.n_outputs_:
            raise ValueError(f"y has shape {y.shape}; accepted: {self.n_outputs_} outputs, as in the first call")
        return rows.astype(np.float32)

    def _weights(self, y: Array, weight: Array) -> Array:
        return weight

    def _prepare(self, y: Array) -> None:
        if self.scale_y:
            self.net_.adapt(y=y)
        else:
            self.net_.task = "regression"

    def _strata(self, y: Array) -> Array | None:
        return None

    def _decided(self, outputs: Array) -> Array:
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def _score(self, y: Array, decided: Array, weight: Array) -> float:
        return float(r2_score(y, decided, sample_weight=weight))
