"""The whole of pynet again in plain float64 NumPy: slow, short, and written to be read.

Here a network is what the textbooks draw: a list of layers, each of which can do two things. `forward` turns its input
x into its output y; `backward` is given dy, the gradient of the loss with respect to that output, and answers with dx,
the gradient with respect to its input, by the chain rule. A layer with parameters keeps their gradients on the way.
Learning is four steps, over and over (Rumelhart, Hinton & Williams 1986, "Learning representations by back-propagating
errors", Nature 323):

    p = net.forward(x)        what does the network say?
    loss = net.loss(y)        how wrong is that, in one number?
    net.backward()            which way would each parameter make it worse?
    net.update(0.1)           a small step the other way

    >>> rng = np.random.default_rng(0)
    >>> net = Network([Dense(*init(784, 64, "he", rng)), ReLU(), Dense(*init(64, 10, "xavier", rng)), Softmax()])
    >>> losses = net.fit(x, y, epochs=10, batch_size=64, learning_rate=0.1)

Shapes: a batch holds one sample a row. m is the number of samples, n the numbers in a row, k the length of an inner
product; a leading d is a gradient. The functions of the first half carry the names and arguments of `pynet.kernels`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
Order = Callable[[int, int], ArrayLike]


def _floats(x: ArrayLike) -> Array:
    return np.asarray(x, dtype=np.float64)


def _rows(x: Array) -> Array:
    """x (m, ...) as (m, n): every sample one flat row. Spelled out, because reshape's -1 fails on an empty batch."""
    return x.reshape(len(x), math.prod(x.shape[1:]))


def _labels(labels: ArrayLike, n: int) -> Labels:
    """Labels (m) as int64. ValueError unless they are whole numbers in [0, n): NumPy would count -1 from the end."""
    array = np.asarray(labels)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(f"labels have shape {array.shape} and type {array.dtype}, expected whole numbers in one row")
    wrong = array[(array < 0) | (array >= n)]
    if wrong.size:
        raise ValueError(f"label {wrong[0]} is out of range, accepted are 0 to {n - 1}")
    return array.astype(np.int64)


def _same(what: str, actual: object, expected: object) -> None:
    if actual != expected:
        raise ValueError(f"{what}: {actual}, expected {expected}")


# ---- kernels: plain functions on arrays -----------------------------------------------------------------------------


def gemm(
    a: ArrayLike,
    b: ArrayLike,
    *,
    trans_a: bool = False,
    trans_b: bool = False,
    out: NDArray[Any] | None = None,
    accumulate: bool = False,
) -> NDArray[Any]:
    """C (m,n) = op(A) (m,k) op(B) (k,n): C[i,j] = sum over p of A[i,p] B[p,j].

    trans_a: a lies as (k,m); trans_b: b lies as (n,k). out takes the result; accumulate adds to what is in it.
    """
    a, b = _floats(a), _floats(b)
    c = (a.T if trans_a else a) @ (b.T if trans_b else b)
    if out is None:
        if accumulate:
            raise ValueError("accumulate adds to out, but out is None")
        return c
    _same("out has shape", out.shape, c.shape)
    out[...] = out + c if accumulate else c
    return out


def bias(x: ArrayLike, b: ArrayLike) -> Array:
    """y (m,n) = x (m,n) + b (n) in every row."""
    return _floats(x) + _floats(b)


def bias_grad(dy: ArrayLike) -> Array:
    """db (n) = column sums of dy (m,n): b went into every row, so every row has its say."""
    return np.asarray(_floats(dy).sum(axis=0))


def relu(x: ArrayLike) -> Array:
    """y = max(x, 0), the rectified linear unit (Nair & Hinton 2010; Glorot, Bordes & Bengio 2011). NaN stays NaN."""
    x = _floats(x)
    return np.where(x <= 0, 0.0, x)  # not x > 0: no comparison with NaN is true, and NaN must come through


def relu_grad(dy: ArrayLike, y: ArrayLike) -> Array:
    """dx = dy where y > 0, else 0. At the kink itself the slope is anything from 0 to 1; we say 0."""
    return np.where(_floats(y) > 0, _floats(dy), 0.0)


def sigmoid(x: ArrayLike) -> Array:
    """y = 1 / (1 + exp(-x)), the logistic function (Rumelhart, Hinton & Williams 1986)."""
    x = _floats(x)
    z = np.exp(-np.abs(x))  # never exp of something positive: it overflows above 709
    return np.where(x >= 0, 1 / (1 + z), z / (1 + z))


def sigmoid_grad(dy: ArrayLike, y: ArrayLike) -> Array:
    """dx = dy y (1 - y)."""
    y = _floats(y)
    return _floats(dy) * y * (1 - y)


def tanh(x: ArrayLike) -> Array:
    """y = tanh(x) = 2 sigmoid(2x) - 1: a sigmoid around zero, which trains faster (LeCun et al. 1998)."""
    return np.tanh(_floats(x))


def tanh_grad(dy: ArrayLike, y: ArrayLike) -> Array:
    """dx = dy (1 - y^2)."""
    return _floats(dy) * (1 - _floats(y) ** 2)


def softmax(x: ArrayLike, temperature: float = 1.0) -> Array:
    """p (m,n) = exp(x / temperature), each row divided by its sum: any numbers become probabilities (Bridle 1990).

    A high temperature evens the probabilities out, a low one sharpens them (Hinton, Vinyals & Dean 2015).
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}, accepted are numbers above 0")
    z = _floats(x) / temperature
    z = np.exp(z - z.max(axis=-1, keepdims=True))  # a common factor cancels; this one keeps exp from overflowing
    return np.asarray(z / z.sum(axis=-1, keepdims=True))


def softmax_grad(dp: ArrayLike, p: ArrayLike) -> Array:
    """dx (m,n) = p (dp - s), s the sum over the row of dp p: raising one output lowers the others (Bridle 1990)."""
    dp, p = _floats(dp), _floats(p)
    return np.asarray(p * (dp - (dp * p).sum(axis=-1, keepdims=True)))


def cross_entropy(x: ArrayLike, labels: ArrayLike, scale: float | None = None) -> tuple[Array, Array]:
    """Softmax and cross-entropy in one: loss (m) = -log softmax(x)[label], dx (m,n) = (softmax(x) - one-hot) scale.

    x (m,n) are logits, the numbers before the softmax; labels (m) in [0, n). scale None is 1/m, which makes dx the
    gradient of the mean loss. Together the two derivatives shrink to p - y (Bridle 1990), and the logarithm never sees
    a probability that was rounded to 0: log softmax(x) = x - log sum exp(x), with the row's maximum taken out first
    (Blanchard, Higham & Higham 2021).
    """
    x = _floats(x)
    m, n = x.shape
    labels = _labels(labels, n)
    _same("number of labels", len(labels), m)
    shifted = x - x.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -log_p[np.arange(m), labels]
    return loss, (np.exp(log_p) - one_hot(labels, n)) * _mean_scale(scale, m)


def squared_error(p: ArrayLike, y: ArrayLike, scale: float | None = None) -> tuple[Array, Array]:
    """loss (m) = half the sum over each row of (p - y)^2; dp (m,n) = (p - y) scale. p, y (m,n); scale None is 1/m.

    The half is there for the derivative's sake (Rumelhart, Hinton & Williams 1986).
    """
    p, y = _floats(p), _floats(y)
    _same("shape of the targets", y.shape, p.shape)
    return np.asarray(0.5 * ((p - y) ** 2).sum(axis=1)), (p - y) * _mean_scale(scale, len(p))


def _mean_scale(scale: float | None, m: int) -> float:
    return 1 / max(m, 1) if scale is None else scale


def sgd(w: NDArray[Any], dw: ArrayLike, learning_rate: float) -> None:
    """w -= learning_rate dw, in place: stochastic gradient descent (Robbins & Monro 1951)."""
    w -= learning_rate * _floats(dw)


def one_hot(labels: ArrayLike, n: int) -> Array:
    """y (m,n) = 1 at each row's label, else 0; labels (m) in [0, n)."""
    labels = _labels(labels, n)
    y = np.zeros((len(labels), n))
    y[np.arange(len(labels)), labels] = 1
    return y


def gather(x: NDArray[np.uint8], index: ArrayLike | None = None) -> Array:
    """y (m,n) = rows index (m) of x (.., n) / 255, pixels as numbers from 0 to 1; index None is every row in turn."""
    return _floats(x if index is None else x[np.asarray(index)]) / 255


# ---- initialisation -------------------------------------------------------------------------------------------------


def init(n_in: int, n_out: int, scheme: str, rng: np.random.Generator) -> tuple[Array, Array]:
    """First weights and biases of a dense layer: W (n_in,n_out) normally distributed around zero, b (n_out) zeros.

    "he": standard deviation sqrt(2 / n_in), which keeps the size of signals through ReLUs (He et al. 2015);
    "xavier": sqrt(2 / (n_in + n_out)), for everything else (Glorot & Bengio 2010);
    "normal": 1, as the older tutorials have it.
    """
    spread = {"he": math.sqrt(2 / n_in), "xavier": math.sqrt(2 / (n_in + n_out)), "normal": 1.0}
    if scheme not in spread:
        raise ValueError(f"unknown initialisation {scheme!r}, accepted are {', '.join(spread)}")
    return rng.normal(0, spread[scheme], (n_in, n_out)), np.zeros(n_out)


# ---- layers ---------------------------------------------------------------------------------------------------------


class Layer:
    """One step of a network. `backward` belongs to the last `forward`; params and grads have the same keys."""

    def __init__(self) -> None:
        self.params: dict[str, Array] = {}
        self.grads: dict[str, Array] = {}

    def forward(self, x: Array) -> Array:
        """y of x; keeps what backward will need."""
        raise NotImplementedError

    def backward(self, dy: Array) -> Array:
        """dx of dy; a layer with parameters fills grads."""
        raise NotImplementedError

    def branch(self) -> NDArray[np.bool_] | None:
        """Which side of its kinks each number of the last forward fell on; None for a smooth layer."""
        return None


class Dense(Layer):
    """y (m,n_out) = x (m,n_in) W (n_in,n_out) + b (n_out). Takes any shape of sample and flattens it."""

    def __init__(self, W: ArrayLike, b: ArrayLike) -> None:
        super().__init__()
        self.params = {"W": np.array(W, dtype=np.float64), "b": np.array(b, dtype=np.float64)}
        _same("shape of b", self.params["b"].shape, self.params["W"].shape[1:])

    def forward(self, x: Array) -> Array:
        """y = x W + b."""
        W, b = self.params["W"], self.params["b"]
        self.shape, self.x = x.shape, _rows(x)
        if self.x.shape[1] != len(W):
            raise ValueError(f"x has shape {x.shape}, this dense layer takes (n, {len(W)})")
        return bias(gemm(self.x, W), b)

    def backward(self, dy: Array) -> Array:
        """dW = x^T dy, db = column sums of dy, dx = dy W^T."""
        # W[p,j] carries x[i,p] to y[i,j] in every row i, so dW[p,j] = sum over i of x[i,p] dy[i,j]
        self.grads["W"] = gemm(self.x, dy, trans_a=True)
        self.grads["b"] = bias_grad(dy)
        # x[i,p] reaches every y[i,j] through W[p,j], so dx[i,p] = sum over j of dy[i,j] W[p,j]
        return gemm(dy, self.params["W"], trans_b=True).reshape(self.shape)


class Activation(Layer):
    """y = f(x), number by number, for an f whose derivative can be told from y alone."""

    f: Callable[[Array], Array]
    f_grad: Callable[[Array, Array], Array]

    def forward(self, x: Array) -> Array:
        """y = f(x)."""
        self.y = self.f(x)
        return self.y

    def backward(self, dy: Array) -> Array:
        """dx = dy f'(x)."""
        return self.f_grad(dy, self.y)


class ReLU(Activation):
    """y = max(x, 0)."""

    f, f_grad = staticmethod(relu), staticmethod(relu_grad)

    def branch(self) -> NDArray[np.bool_]:
        """Where the unit is on."""
        return self.y > 0


class Sigmoid(Activation):
    """y = 1 / (1 + exp(-x))."""

    f, f_grad = staticmethod(sigmoid), staticmethod(sigmoid_grad)


class Tanh(Activation):
    """y = tanh(x)."""

    f, f_grad = staticmethod(tanh), staticmethod(tanh_grad)


class Softmax(Layer):
    """p = exp(x), every sample divided by its sum. As the last layer under cross-entropy its backward is not used."""

    def forward(self, x: Array) -> Array:
        """p = softmax(x)."""
        self.p = softmax(_rows(x)).reshape(x.shape)
        return self.p

    def backward(self, dy: Array) -> Array:
        """dx = p (dy - sum of dy p)."""
        return softmax_grad(_rows(dy), _rows(self.p)).reshape(dy.shape)


ACTIVATIONS: dict[str, type[Layer]] = {"relu": ReLU, "sigmoid": Sigmoid, "tanh": Tanh, "softmax": Softmax}


# ---- the network ----------------------------------------------------------------------------------------------------


class Network:
    """Layers in a row and a loss: "cross_entropy" (the last layer must be Softmax) or "mse".

    in_shape is the shape of one sample, where it matters; paths are the names of the layers, "0", "1", ... if unsaid.
    ValueError: a loss that is unknown, or cross_entropy without a closing Softmax.
    """

    def __init__(
        self,
        layers: list[Layer],
        loss: str = "cross_entropy",
        *,
        in_shape: tuple[int, ...] | None = None,
        paths: list[str] | None = None,
    ) -> None:
        if loss not in ("cross_entropy", "mse"):
            raise ValueError(f"unknown loss {loss!r}, accepted are cross_entropy, mse")
        if loss == "cross_entropy" and not (layers and isinstance(layers[-1], Softmax)):
            raise ValueError("cross_entropy needs Softmax as the last layer")
        self.layers, self.loss_name, self.in_shape = layers, loss, in_shape
        self.paths = [str(i) for i in range(len(layers))] if paths is None else paths
        self.output: Array | None = None
        self._dy: Array | None = None

    @classmethod
    def from_net(cls, net: Any) -> Network:
        """The float64 twin of a pynet.Network: a copy of its parameters as they are now.

        Of net it uses loss_name and, of each of its layers, kind, path, in_shape and, if dense, W and b.
        """
        layers = [_twin(layer) for layer in net.layers]
        in_shape = tuple(net.layers[0].in_shape)
        return cls(layers, net.loss_name, in_shape=in_shape, paths=[layer.path for layer in net.layers])

    def forward(self, x: ArrayLike) -> Array:
        """The output (m, ...) for samples x (m, ...): probabilities, if the last layer is Softmax.

        uint8 means x/255. Every layer keeps what backward needs, until the next forward.
        """
        x = np.asarray(x)
        y = self._shaped(gather(x) if x.dtype == np.uint8 else _floats(x))
        for layer in self.layers:
            self._logits, y = y, layer.forward(y)  # what the last layer takes in are the logits
        self.output, self._dy = y, None
        return y

    def _shaped(self, x: Array) -> Array:
        if self.in_shape is None:
            return x
        if x.ndim < 2 or math.prod(x.shape[1:]) != math.prod(self.in_shape):
            raise ValueError(f"x has shape {x.shape}, this network takes (n, {', '.join(map(str, self.in_shape))})")
        return x.reshape(len(x), *self.in_shape)

    def loss(self, y: ArrayLike) -> float:
        """Mean loss of the last forward, against labels y (m) or rows y (m, outputs); prepares backward.

        Rows must be one-hot for cross-entropy and may be anything for squared error, which turns labels into one-hot
        rows. RuntimeError: no forward yet.
        """
        if self.output is None:
            raise RuntimeError("loss before forward: there is no output to judge")
        output = _rows(self.output)
        if self.loss_name == "cross_entropy":
            losses, dy = cross_entropy(_rows(self._logits), _as_labels(y, output.shape[1]))
        else:
            losses, dy = squared_error(output, _as_targets(y, output.shape[1]))
        self._dy = dy.reshape(self.output.shape)
        return float(losses.sum()) / max(len(losses), 1)

    def backward(self) -> None:
        """The gradient of that loss for every parameter, last layer first. RuntimeError: no loss yet."""
        if self._dy is None:
            raise RuntimeError("backward before loss: call forward, then loss")
        dy = self._dy
        # cross_entropy went back through the closing softmax already
        layers = self.layers[:-1] if self.loss_name == "cross_entropy" else self.layers
        for layer in reversed(layers):
            dy = layer.backward(dy)

    def update(self, learning_rate: float) -> None:
        """One step of gradient descent. RuntimeError: no backward yet."""
        if not 0 < learning_rate < math.inf:
            raise ValueError(f"learning_rate is {learning_rate}, accepted are finite numbers above 0")
        gradients = self.gradients()
        for name, w in self.parameters().items():
            sgd(w, gradients[name], learning_rate)

    def parameters(self) -> dict[str, Array]:
        """Every parameter by name, "0.W", "0.b", ...: the arrays themselves, so that writing changes the network."""
        return self._named([layer.params for layer in self.layers])

    def gradients(self) -> dict[str, Array]:
        """The gradient of the last loss by name of parameter. RuntimeError: no backward yet."""
        gradients = self._named([layer.grads for layer in self.layers])
        if gradients.keys() != self.parameters().keys():
            raise RuntimeError("no gradients before backward")
        return gradients

    def _named(self, of_layers: list[dict[str, Array]]) -> dict[str, Array]:
        pairs = zip(self.paths, of_layers, strict=True)
        return {f"{path}.{name}": array for path, arrays in pairs for name, array in arrays.items()}

    def branches(self) -> list[NDArray[np.bool_]]:
        """Which side of every kink the last forward fell on, layer by layer."""
        return [branch for branch in (layer.branch() for layer in self.layers) if branch is not None]

    def train_step(self, x: ArrayLike, y: ArrayLike, learning_rate: float) -> float:
        """The four steps on one batch; the mean loss before the update."""
        self.forward(x)
        loss = self.loss(y)
        self.backward()
        self.update(learning_rate)
        return loss

    def fit(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        epochs: int = 10,
        batch_size: int = 64,
        learning_rate: float = 0.1,
        seed: int = 0,
        order: Order | None = None,
    ) -> list[float]:
        """Goes epochs times through all samples, batch by batch; the mean loss of each epoch.

        order(n, epoch) says in which order, for instance `lambda n, epoch: pynet.kernels.shuffle(n, seed, epoch)`;
        None shuffles with NumPy's generator and seed.
        """
        x, y, rng = np.asarray(x), np.asarray(y), np.random.default_rng(seed)
        _same("number of answers", len(y), len(x))
        history = []
        for epoch in range(epochs):
            indices = rng.permutation(len(x)) if order is None else np.asarray(order(len(x), epoch))
            total = 0.0
            for start in range(0, len(indices), batch_size):
                batch = indices[start : start + batch_size]
                total += self.train_step(x[batch], y[batch], learning_rate) * len(batch)
            history.append(total / max(len(indices), 1))
        return history

    def predict(self, x: ArrayLike) -> Labels:
        """The class (m) with the largest output for each sample; the first one of equals."""
        return np.asarray(_rows(self.forward(x)).argmax(axis=1), dtype=np.int64)


def _twin(layer: Any) -> Layer:
    """A layer of this module like the given layer of a pynet.Network."""
    if layer.kind == "dense":
        return Dense(layer.W, layer.b)
    if layer.kind not in ACTIVATIONS:
        raise ValueError(f"unknown layer {layer.kind!r}, accepted are dense, {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[layer.kind]()


def _as_labels(y: ArrayLike, n: int) -> Labels:
    """Labels (m) as they are, one-hot rows (m,n) as the labels they stand for."""
    y = np.asarray(y)
    if y.ndim != 2:
        return _labels(y, n)
    _same("width of the one-hot rows", y.shape[1], n)
    labels = np.asarray(y.argmax(axis=1), dtype=np.int64)
    if not np.array_equal(y, one_hot(labels, n)):
        raise ValueError("cross_entropy takes labels or one-hot rows, these rows are not one-hot")
    return labels


def _as_targets(y: ArrayLike, n: int) -> Array:
    """Labels (m) as one-hot rows (m,n), rows as they are."""
    y = np.asarray(y)
    return one_hot(y, n) if y.ndim == 1 else _rows(_floats(y))
