"""fit and partial_fit of the estimators: results, weights of samples, and recorded attributes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers.interruptions import Stop
from numpy.testing import assert_allclose, assert_array_equal

pytest.importorskip("sklearn", "1.6", reason="needs scikit-learn 1.6: .ci/run and `make test-peers` have it")

from scipy.sparse import csr_matrix
from sklearn.datasets import load_diabetes, load_digits, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor

from pynet import SGD, Adam, Network
from pynet.kernels import shuffle
from pynet.sklearn import PynetClassifier, PynetRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_digits(return_X_y=True)
X = X / 16
rng = np.random.default_rng(0)
Z, NUMBERS = rng.normal(size=(120, 4)), rng.normal(size=(120, 2))
NAMES = np.array(["apple", "pear", "plum"])[(Z[:, :3]).argmax(axis=1)]


def quick(**options: Any) -> PynetClassifier:
    return PynetClassifier(random_state=0, **({"hidden_layer_sizes": 16, "max_iter": 3} | options))


def number(**options: Any) -> PynetRegressor:
    return PynetRegressor(random_state=0, **({"hidden_layer_sizes": 16, "max_iter": 3} | options))


def bits(model: Any) -> str:
    return str(model.net_.weights_sha256())


# ---- the parameters ----


@pytest.mark.parametrize(("own", "peer"), [(PynetClassifier, MLPClassifier), (PynetRegressor, MLPRegressor)])
def test_names_and_defaults_are_those_of_scikit_learn(own: Callable[[], Any], peer: Callable[[], Any]) -> None:
    ours, theirs = own().get_params(), peer().get_params()
    theirs.pop("loss", None)  # the regressor has a loss since 1.7
    assert {name: ours[name] for name in theirs} == theirs


def test_the_bits_are_those_of_the_network_itself() -> None:
    net = Network("input(64) dense(30) tanh dropout(0.1) dense(20) tanh dropout(0.1) dense(10) softmax", seed=3)
    net.fit(X, Y, epochs=3, batch_size=100, optimizer=Adam(0.002, l2=0.01 / 100))
    model = PynetClassifier(
        (30, 20), "tanh", dropout=0.1, batch_size=100, learning_rate_init=0.002, alpha=0.01, max_iter=3, random_state=3
    )
    assert bits(model.fit(X, Y)) == net.weights_sha256()
    assert bits(model.set_params(net="dense(30) tanh dropout(0.1) dense(20) tanh dropout(0.1)").fit(X, Y)) == bits(
        model
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "input(64) dense(16) relu dense(10) softmax"),
        ({"activation": "logistic"}, "input(64) dense(16) sigmoid dense(10) softmax"),
        ({"activation": "identity"}, "input(64) dense(16) dense(10) softmax"),
        ({"activation": "gelu", "hidden_layer_sizes": ()}, "input(64) dense(10) softmax"),
        ({"loss": "cross_entropy, smoothing=0.1"}, "loss(cross_entropy,smoothing=0.1)"),
        ({"loss": "mse"}, "dense(10) softmax loss(mse)"),
        ({"net": "dense(8) gelu layernorm"}, "input(64) dense(8) gelu layernorm dense(10) softmax"),
        ({"net": "input(1,8,8) conv(2,3) relu flatten"}, "input(1,8,8) conv(2,3) relu flatten dense(10) softmax"),
    ],
)
def test_the_text_of_the_network(options: dict[str, Any], text: str) -> None:
    model = quick(max_iter=1, **options).fit(X[:300], Y[:300])
    assert text in model.net_.spec
    assert model.predict_proba(X[:5]).shape == (5, 10)


@pytest.mark.parametrize("solver", ["sgd", "adam", "adamw", "momentum", "nesterov", "rmsprop"])
def test_every_solver_learns(solver: str) -> None:
    rate = 0.001 if solver in ("adam", "adamw", "rmsprop") else 0.1
    model = PynetClassifier(32, solver=solver, learning_rate_init=rate, max_iter=30, random_state=0).fit(X, Y)
    assert model.score(X, Y) > 0.9
    kinds = {"sgd": "nesterov", "adamw": "adamw"}
    assert model.net_.optimizer_state.kind == kinds.get(solver, solver)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solver": "lbfgs"}, "solver is 'lbfgs'; accepted: 'adam', 'adamw', 'sgd', 'momentum', 'nesterov', 'rmsprop'"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast'; accepted: 'constant', 'invscaling', 'adaptive'"),
        ({"batch_size": 0}, "batch_size is 0; accepted: 1 or more"),
        ({"max_iter": 0}, "max_iter is 0; accepted: 1 or more"),
        ({"alpha": -1}, "alpha is -1; accepted: 0 or more"),
        ({"tol": -1}, "tol is -1; accepted: 0 or more"),
        ({"n_iter_no_change": 0}, "n_iter_no_change is 0; accepted: 1 or more"),
        ({"validation_fraction": 1}, "validation_fraction is 1; accepted: between 0 and 1"),
        ({"learning_rate_init": 0.0}, "learning rate is 0; accepted"),
        ({"activation": "step"}, "step"),
        ({"dropout": 1.5}, "1.5"),
        ({"schedule": "slow"}, "unknown schedule 'slow'"),
        ({"class_weight": "even"}, "class_weight is 'even'; accepted: 'balanced'"),
        ({"loss": "mile"}, "mile"),
    ],
)
def test_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        quick(**options).fit(X, Y)
    assert message in str(caught.value)


def test_targets_that_are_refused() -> None:
    with pytest.raises(ValueError, match="y has one class, 'a'; accepted: two classes or more"):
        quick().fit(X[:3], ["a"] * 3)
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        quick().fit(Z, NUMBERS[:, 0])
    with pytest.raises(ValueError, match=r"sample_weight is 0 for all samples|at least one non-zero"):
        quick().fit(X, Y, np.zeros(len(Y)))
    with pytest.raises(ValueError, match="y_val and sample_weight_val are for X_val"):
        quick().fit(X, Y, y_val=Y)
    with pytest.raises(ValueError, match=r"y has the class 9; accepted: \[0, 1, 2"):
        quick().fit(X[Y < 9], Y[Y < 9], X_val=X, y_val=Y)


# ---- targets ----


@pytest.mark.parametrize(
    "labels", [NAMES, NAMES.astype(object), NAMES == "pear", np.where(NAMES == "pear", "yes", "no")]
)
def test_names_and_truth_values(labels: Any) -> None:
    model = quick(max_iter=100, learning_rate_init=0.05).fit(Z, labels)
    assert_array_equal(model.classes_, np.unique(labels))
    assert model.classes_.dtype == labels.dtype
    assert model.score(Z, labels) > 0.9
    p = model.predict_proba(Z)
    assert p.shape == (120, len(model.classes_))
    assert_allclose(p.sum(axis=1), 1, rtol=1e-6)
    assert_array_equal(model.classes_[p.argmax(axis=1)], model.predict(Z))
    assert_allclose(np.exp(model.predict_log_proba(Z)), p, rtol=1e-5)
    assert model.net_.classes == [str(label) for label in model.classes_]


def test_several_labels_at_once() -> None:
    x, y = make_multilabel_classification(n_samples=150, n_classes=3, random_state=0)
    model = quick(max_iter=100, learning_rate_init=0.02).fit(x / 10, y)
    assert_array_equal(model.predict(x / 10), model.predict_proba(x / 10) > 0.5)
    assert model.score(x / 10, y) > 0.7
    assert model.net_.task == "multi-label"
    by_pieces = quick().partial_fit(x, y).partial_fit(x, y)
    assert by_pieces.classes_.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match=r"y has shape \(150, 2\); accepted: \(n, 3\)"):
        by_pieces.partial_fit(x, y[:, :2])


def test_several_numbers_at_once() -> None:
    model = number().fit(Z, NUMBERS)
    assert model.predict(Z).shape == (120, 2)
    assert number().fit(Z, NUMBERS[:, 0]).predict(Z).shape == (120,)
    with pytest.raises(ValueError, match=r"y has shape \(120,\); accepted: 2 outputs"):
        model.partial_fit(Z, NUMBERS[:, 0])


@pytest.mark.parametrize("loss", [None, "squared_error", "absolute_error", "huber, delta=0.5"])
def test_losses_of_numbers(loss: str | None) -> None:
    x, y = load_diabetes(return_X_y=True)
    model = PynetRegressor(loss=loss, random_state=0).fit(x, y)
    assert model.score(x, y) > 0.4
    assert model.net_.task == "regression"


def test_targets_in_their_unit_are_learnt_worse() -> None:
    x, y = load_diabetes(return_X_y=True)
    x, test, y, truth = train_test_split(x, y, random_state=0)
    scaled, raw = (PynetRegressor(scale_y=scale, random_state=0).fit(x, y) for scale in (True, False))
    assert scaled.score(test, truth) > 0.3 > raw.score(test, truth)
    assert_allclose(scaled.net_.layers[-1].mean, y.mean(), rtol=1e-6)


# ---- weights ----


@pytest.mark.parametrize("model", [quick(), number()])
def test_whole_weights_count_as_copies_where_a_batch_holds_all(model: Any) -> None:
    x, y, weight = Z[:60], (NAMES if model._numeric is False else NUMBERS[:, 0])[:60], rng.integers(0, 4, 60)
    weighted = bits(model.fit(x, y, weight))
    order = rng.permutation(np.repeat(np.arange(60), weight))
    assert bits(model.fit(x[order], y[order])) == weighted
    kept = weight > 0
    assert bits(model.fit(x[kept], y[kept], weight[kept])) == weighted != bits(model.fit(x, y))


def test_weights_of_zero_drop_the_row_in_batches_of_any_size() -> None:
    weight = rng.integers(0, 2, len(Y)) * 1.5
    kept = weight > 0
    assert bits(quick().fit(X, Y, weight)) == bits(quick().fit(X[kept], Y[kept]))
    assert bits(quick(early_stopping=True).fit(X, Y, weight)) == bits(quick(early_stopping=True).fit(X[kept], Y[kept]))


def test_the_scale_of_weights_does_not_matter() -> None:
    weight = np.linspace(0.5, 2, len(Y))
    one, ten = (quick().fit(X, Y, factor * weight) for factor in (1, 16))
    assert bits(one) == bits(ten) != bits(quick().fit(X, Y))


def test_weights_of_classes() -> None:
    few = (Y > 0) | (np.arange(len(Y)) % 20 == 0)
    rare = {**dict.fromkeys(range(10), 1.0), 0: (Y[few] > 0).sum() / 9 / (Y[few] == 0).sum()}
    totals = np.bincount(Y[few])
    balanced = {label: len(Y[few]) / (10 * total) for label, total in enumerate(totals)}
    assert bits(quick(class_weight="balanced").fit(X[few], Y[few])) == bits(
        quick(class_weight=balanced).fit(X[few], Y[few])
    )
    options: dict[str, Any] = {"max_iter": 10, "learning_rate_init": 0.01}
    plain, weighted = (quick(class_weight=given, **options).fit(X[few], Y[few]) for given in (None, rare))
    zeros = X[Y == 0]
    assert (weighted.predict(zeros) == 0).mean() > (plain.predict(zeros) == 0).mean()
    with pytest.raises(ValueError, match="class_weight is 'balanced'; accepted for partial_fit"):
        quick(class_weight="balanced").partial_fit(X, Y, range(10))


# ---- bytes ----


@pytest.mark.parametrize("model", [quick(), number()])
def test_bytes_stay_bytes(model: Any) -> None:
    pixels = (X * 255).astype(np.uint8)
    by_bytes = model.fit(pixels, Y)
    found, prints = by_bytes.predict(pixels), bits(by_bytes)
    for same in (pixels.astype(float), pixels.astype(np.int64), pixels.astype(np.float32)):
        assert_array_equal(by_bytes.predict(same), found)
    assert bits(model.fit(pixels.astype(np.float32) / 255, Y)) == prints
    assert_array_equal(model.predict((X > 0.5).astype(np.uint8)), model.predict((X > 0.5).astype(float)))


# ---- the course of a training ----


def test_curves_and_recorded_attributes() -> None:
    model = quick(max_iter=5).fit(X[:1000], Y[:1000], X_val=X[1000:], y_val=Y[1000:])
    assert model.n_iter_ == 5 == len(model.loss_curve_) == len(model.validation_loss_curve_)
    assert model.best_loss_ == min(model.loss_curve_)
    assert model.n_features_in_ == 64
    assert [W.shape for W in model.coefs_] == [(64, 16), (16, 10)]
    assert [b.shape for b in model.intercepts_] == [(16,), (10,)]
    assert model.validation_scores_[-1] == model.score(X[1000:], Y[1000:])
    assert_allclose(model.validation_loss_curve_[-1], model.net_.evaluate(X[1000:], Y[1000:]).loss)
    assert quick().fit(X, Y).validation_scores_ is None
    assert not hasattr(quick(), "coefs_")


def test_weights_of_the_validation_data() -> None:
    weight = rng.integers(0, 3, 797).astype(float)
    model = quick().fit(X[:1000], Y[:1000], X_val=X[1000:], y_val=Y[1000:], sample_weight_val=weight)
    expected = accuracy_score(Y[1000:], model.predict(X[1000:]), sample_weight=weight)
    assert_allclose(model.validation_scores_[-1], expected)
    repeated = model.net_.evaluate(np.repeat(X[1000:], weight.astype(int), 0), np.repeat(Y[1000:], weight.astype(int)))
    assert_allclose(model.validation_loss_curve_[-1], repeated.loss, rtol=1e-6)


@pytest.mark.parametrize("given", [{}, {"X_val": X[1500:], "y_val": Y[1500:]}])
def test_early_stopping_keeps_the_best_weights(given: dict[str, Any]) -> None:
    model = quick(max_iter=300, early_stopping=True, n_iter_no_change=3, learning_rate_init=0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X[:1500], Y[:1500], **given)
    scores = model.validation_scores_
    assert model.n_iter_ == len(scores) < 300
    best = int(np.argmax(np.array(scores) > max(scores) - 1e-12))
    assert max(scores) > 0.9
    assert model.n_iter_ - 1 - best <= 4 + 3
    if given:
        assert max(scores) - 1e-4 <= model.score(X[1500:], Y[1500:]) <= max(scores)
    assert model.best_loss_ is None


def test_a_training_that_has_not_converged_warns() -> None:
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(2\) reached"):
        quick(max_iter=2).fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert quick(tol=10, n_iter_no_change=2, max_iter=50).fit(X, Y).n_iter_ == 4


def test_warm_start_continues_and_partial_fit_keeps_the_optimizer_state() -> None:
    model = quick(warm_start=True).fit(X, Y)
    net, updates = model.net_, model.net_.updates
    model.fit(X, Y)
    assert model.net_ is net
    assert net.updates == 2 * updates
    assert net.optimizer_state.steps == updates
    assert (len(model.loss_curve_), model.n_iter_) == (6, 3)
    by_pieces = quick().partial_fit(X[:900], Y[:900], range(10)).partial_fit(X[900:], Y[900:])
    assert by_pieces.net_.optimizer_state.steps == by_pieces.net_.updates == 10
    assert by_pieces.n_iter_ == 1
    with pytest.raises(ValueError, match="early_stopping is True; accepted for partial_fit: False"):
        quick(early_stopping=True).partial_fit(X, Y, range(10))
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        quick().partial_fit(X, Y)


@pytest.mark.parametrize(("learning_rate", "rates"), [("invscaling", [1, 1798**-0.5]), ("adaptive", [1, 1, 1, 0.2])])
def test_learning_rates_of_gradient_descent(learning_rate: str, rates: list[float]) -> None:
    """The first loss counts as an improvement, so with patience 1 the rate falls after the third epoch."""
    options: dict[str, Any] = {"max_iter": len(rates), "solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.01}
    model = quick(learning_rate=learning_rate, tol=1.0, n_iter_no_change=1, alpha=0.0, **options).fit(X, Y)
    twin = Network(model.net_.spec, seed=0)
    for epoch, rate in enumerate(rates):
        order = shuffle(len(X), 0, epoch)
        twin.fit(X[order], Y[order], epochs=1, batch_size=200, optimizer=SGD(0.01 * rate), shuffle=False)
    assert bits(model) == twin.weights_sha256()


def test_an_adapted_rate_ends_the_training() -> None:
    options: dict[str, Any] = {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 1e-5}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = quick(tol=1.0, n_iter_no_change=1, max_iter=100, **options).fit(X, Y)
    assert model.n_iter_ == 7


def test_callbacks_and_words(capsys: pytest.CaptureFixture[str]) -> None:
    model = quick(callbacks=Stop("on_epoch_end", 1), verbose=True, max_iter=9).fit(X, Y)
    assert model.n_iter_ == 1
    assert "epoch 1/9  loss" in capsys.readouterr().out
    quick(schedule="cosine").fit(X, Y)
    assert capsys.readouterr().out == ""


def test_without_shuffling_the_order_counts() -> None:
    assert bits(quick(shuffle=False).fit(X, Y)) != bits(quick(shuffle=False).fit(X[::-1], Y[::-1]))


# ---- what is refused, and warned of ----


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "swish"}, r"activation is 'swish'; accepted: 'identity', 'logistic', 'tanh', 'relu', "),
        ({"net": "dense(64) relu dense(3) softmax"}, r"net ends in 'softmax': .*; accepted: the hidden layers only"),
        ({"net": "dense(64) relu dense(1) rescale"}, "net ends in 'rescale'"),
        ({"net": "dense(64) relu loss(mse) "}, r"net ends in 'loss\(mse\)'"),
    ],
)
def test_parameters_of_other_layers_are_refused(options: dict[str, Any], message: str) -> None:
    for model in (quick(**options), number(**options)):
        with pytest.raises(ValueError, match=message):
            model.fit(Z, Z[:, 0] > 0)


def test_numbers_beyond_float32_are_named() -> None:
    with pytest.raises(ValueError, match=r"X holds -\d\.\d+e\+40; accepted: finite numbers of float32, up to 3.4e\+38"):
        quick().fit(Z * [1, 1, -1e40, 1] * (Z > 0), NAMES)


@pytest.mark.parametrize("form", [np.asarray, csr_matrix])
@pytest.mark.parametrize("early", [False, True])
def test_inputs_that_are_not_scaled_get_a_warning(form: Any, early: bool) -> None:
    x = form(Z * [1, 1, 1000, 1])
    with pytest.warns(
        UserWarning, match=r"feature 2 is 1\d\d\d?(\.\d+)?, .*(Standard|MaxAbs)Scaler\(\), PynetRegressor\(\.\.\.\)\)"
    ) as found:
        number(early_stopping=early).fit(x, NUMBERS)
    assert found[0].filename == __file__


@pytest.mark.parametrize("fit", ["fit", "partial_fit"])
def test_a_warning_points_at_the_line_of_the_caller_and_comes_once(fit: str) -> None:
    model = number(max_iter=3)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        for _ in range(2 if fit == "partial_fit" else 1):
            getattr(model, fit)(Z * 1000, NUMBERS)
    assert [str(one.message)[:15] for one in found] == ["X is not scaled"]
    assert found[0].filename == __file__


def test_batchnorm_scales_inputs_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = number(net="batchnorm dense(16) relu").fit(Z * 1000, NUMBERS)
    assert model.net_.layers[0].kind == "batchnorm"


def test_sparse_inputs_cannot_be_standardized() -> None:
    with pytest.raises(ValueError, match=r"sparse.*standardize; accepted: dense x"):
        number(net="standardize dense(16) relu").fit(csr_matrix(Z), NUMBERS)


def test_a_network_that_standardizes_learns_the_scale_of_x() -> None:
    x = Z * [1, 10, 1000, 1] + [0, 50, 0, -7]
    model = number(net="standardize dense(16) relu", max_iter=40).fit(x, NUMBERS)
    assert_allclose(model.net_.layers[0].mean, x.mean(axis=0), rtol=1e-4)
    assert_allclose(model.net_.layers[0].scale, x.std(axis=0), rtol=1e-4)


@pytest.mark.parametrize("form", [np.asarray, csr_matrix])
def test_bytes_of_flags_get_a_warning_and_frames_hold_numbers(form: Any) -> None:
    flags = (Z > 0).astype(np.uint8)
    with pytest.warns(UserWarning, match="X is uint8, which means x/255, and holds nothing above 1: flags"):
        quick().fit(form(flags), NAMES)
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(flags, columns=list("abcd"))
    plain = quick().fit(flags.astype(np.float32), NAMES)
    assert bits(quick().fit(frame, NAMES)) == bits(plain)
