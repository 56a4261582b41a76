"""Every kernel of the C core as a function on NumPy arrays.

Arrays of other dtypes are converted to float32; results are new float32 arrays. m, n, k are sizes, a leading d is a
gradient. pynet.reference has functions of the same names in readable float64 NumPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pynet._ffi import (
    FLOAT32,
    UINT8,
    Array,
    array,
    augment_struct,
    batch_of_channels,
    check,
    check_same_shape,
    check_vectors,
    checked_seed,
    cpu_tables,
    ffi,
    floats,
    in_place,
    int_labels,
    is_masked,
    lib,
    location,
    matrix,
    matrix_rows,
    picture_batch,
    plain,
    pointer,
    text,
)
from pynet.augment import Augment

__all__ = ["cpu", "cpu_tables", "set_cpu", "set_threads", "threads"]
__all__ += ["bias", "bias_grad", "gather", "gemm", "one_hot", "shuffle"]
__all__ += ["gelu", "gelu_grad", "leaky_relu", "leaky_relu_grad", "relu", "relu_grad"]
__all__ += ["sigmoid", "sigmoid_grad", "softmax", "softmax_grad", "tanh", "tanh_grad"]
__all__ += ["augmented", "batchnorm", "batchnorm_grad", "dropout", "layernorm", "layernorm_grad"]
__all__ += ["absolute_error", "binary_cross_entropy", "cross_entropy", "huber", "squared_error"]
__all__ += ["rescale", "rescale_grad", "standardize", "standardize_grad"]
__all__ += ["adam", "momentum", "rmsprop", "sgd"]

# ---- which table, how many threads ----


def cpu() -> str:
    """Name of the kernel table in use: "avx512", "avx2", "neon" or "portable"."""
    return text(lib.pn_cpu())


def set_cpu(name: str | None) -> None:
    """Selects the kernel table of the process; None: the one that PYNET_CPU names, or the best for this CPU."""
    if lib.pn_set_cpu(ffi.NULL if name is None else name.encode()):
        raise ValueError(f"kernel table {name!r}; this CPU has {', '.join(cpu_tables())}")


def threads() -> int:
    """The largest number of threads that a call of the core may use."""
    return int(lib.pn_threads())


def set_threads(n: int | None) -> None:
    """Sets the largest number of threads (1 to 64) for a call; None: the default. Results do not depend on it."""
    if (n is not None and not 1 <= n <= 64) or lib.pn_set_threads(n or 0):
        raise ValueError(f"threads is {n}; accepted: 1 to 64, or None for the default")


# ---- calls that several kernels share ----


def _elementwise(kernel: Any, x: npt.ArrayLike, *numbers: float) -> Array:
    a = array(x)
    out = np.empty_like(a)
    kernel(floats(out), floats(a), a.size, *numbers)
    return out


def _rowwise(kernel: Any, *arrays: Array, numbers: tuple[float, ...] = ()) -> Array:
    """Calls a kernel(out, *arrays, m, n, *numbers) for rows (m,n), the first of these arrays; returns out."""
    out = np.empty_like(arrays[0])
    kernel(*map(pointer, (out, *arrays)), *out.shape, *numbers)
    return out


def _with_vectors(kernel: Any, x: npt.ArrayLike, **vectors: npt.ArrayLike) -> Array:
    """The result (m,n) of a kernel on the rows of x (m,n) with these vectors (n)."""
    rows, given = matrix(x, "x"), {name: array(vector, name=name) for name, vector in vectors.items()}
    check_vectors(rows, **given)
    return _rowwise(kernel, rows, *given.values())


def _elementwise_grad(kernel: Any, dy: npt.ArrayLike, y: npt.ArrayLike, *numbers: float) -> Array:
    gradient, a = array(dy), array(y)
    check_same_shape(**{"argument 1": gradient, "argument 2": a})
    out = np.empty_like(a)
    kernel(floats(out), floats(gradient), floats(a), a.size, *numbers)
    return out


def _loss(kernel: Any, x: Array, y: Array, scale: float | None, *numbers: float) -> tuple[Array, Array]:
    """The loss (m) of rows x (m,n) against y, and its gradient (m,n) times scale; None is 1/m."""
    loss, dx = np.empty(len(x), FLOAT32), np.empty_like(x)
    factor = 1 / max(len(x), 1) if scale is None else scale
    kernel(*map(pointer, (loss, dx, x, y)), *x.shape, factor, *numbers)
    return loss, dx


def _pair(**given: npt.ArrayLike) -> tuple[Array, Array]:
    """Two arguments as float32 matrices. ValueError: their shapes differ."""
    arrays = {name: matrix(x, name) for name, x in given.items()}
    check_same_shape(**arrays)
    first, second = arrays.values()
    return first, second


# ---- matrix product ----


def gemm(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    *,
    trans_a: bool = False,
    trans_b: bool = False,
    out: Array | None = None,
    accumulate: bool = False,
) -> Array:
    """C (m,n) = op(a) op(b); op is the transpose if trans_a or trans_b is set.

    out: a float32 array (m,n) for the result, whose rows need not be contiguous; accumulate: add to its values.
    """
    flags = (_TRANS_A if trans_a else 0) | (_TRANS_B if trans_b else 0) | (_ACCUMULATE if accumulate else 0)
    if out is not None and _plain_gemm(out, a, b, flags):
        return out
    left, address_a, lda = matrix_rows(a, "a")
    right, address_b, ldb = matrix_rows(b, "b")
    m, k = left.shape[::-1] if trans_a else left.shape
    k_right, n = right.shape[::-1] if trans_b else right.shape
    if k != k_right:
        raise ValueError(f"op(a) is ({m}, {k}) and op(b) is ({k_right}, {n}); the inner sizes must be equal")
    if out is None:
        if accumulate:
            raise ValueError("accumulate needs out, the array to add to")
        out = np.empty((m, n), FLOAT32)
    fits = out.shape == (m, n) and out.dtype == FLOAT32 and out.flags.writeable and not is_masked(out)
    where = location(out) if fits else None
    if where is None:
        raise ValueError(f"out has shape {out.shape} and dtype {out.dtype}; accepted: writable float32 ({m}, {n}) rows")
    lib.pn_gemm(*where, address_a, lda, address_b, ldb, m, n, k, flags)
    return out


_TRANS_A, _TRANS_B, _ACCUMULATE = lib.PN_TRANS_A, lib.PN_TRANS_B, lib.PN_ACCUMULATE  # looked up once, for speed


def _plain_gemm(out: Array, a: Any, b: Any, flags: int) -> bool:
    """A fast path of gemm for C-ordered float32 arrays of matching shapes; half the time of the full checks.

    Returns False, without doing anything, for other arguments.
    """
    try:
        if not a.dtype is b.dtype is out.dtype is FLOAT32 or not type(a) is type(b) is type(out) is np.ndarray:
            return False
        (m, lda), (k_right, ldb) = a.shape, b.shape
        k, n = lda, ldb
        if flags & _TRANS_A:
            m, k = k, m
        if flags & _TRANS_B:
            k_right, n = n, k_right
        if k != k_right or out.shape != (m, n):
            return False
        to, left, right = floats(out, True), floats(a), floats(b)  # floats() raises unless the array is C-ordered
    except (AttributeError, TypeError, ValueError, BufferError):
        return False
    lib.pn_gemm(to, n, left, lda, right, ldb, m, n, k, flags)
    return True


# ---- bias and activations ----


def bias(x: npt.ArrayLike, b: npt.ArrayLike) -> Array:
    """y (m,n) = x (m,n) + b (n) in every row."""
    return _with_vectors(lib.pn_bias, x, b=b)


def add_to(y: Array, x: Array) -> None:
    """y += x, both (n,) float32 and contiguous; sums that are denormal become 0, as in all kernels."""
    lib.pn_bias(floats(y), floats(y), floats(x), 1, y.size)


def bias_grad(dy: npt.ArrayLike) -> Array:
    """db (n) = column sums of dy (m,n)."""
    rows = matrix(dy, "dy")
    out = np.empty(rows.shape[1], FLOAT32)
    lib.pn_bias_grad(pointer(out), pointer(rows), *rows.shape)
    return out


def relu(x: npt.ArrayLike) -> Array:
    """y = max(x, 0), any shape; NaN stays NaN."""
    return _elementwise(lib.pn_relu, x)


def relu_grad(dy: npt.ArrayLike, y: npt.ArrayLike) -> Array:
    """dx = dy where y = relu(x) is above 0, else 0."""
    return _elementwise_grad(lib.pn_relu_grad, dy, y)


def leaky_relu(x: npt.ArrayLike, slope: float) -> Array:
    """y = x where x > 0, else slope x; any shape; slope >= 0."""
    return _elementwise(lib.pn_leaky_relu, x, _slope(slope))


def leaky_relu_grad(dy: npt.ArrayLike, y: npt.ArrayLike, slope: float) -> Array:
    """dx = dy where y > 0, else slope dy."""
    return _elementwise_grad(lib.pn_leaky_relu_grad, dy, y, _slope(slope))


def _slope(slope: float) -> float:
    if not slope >= 0:
        raise ValueError(f"slope is {slope}; accepted: 0 or more")
    return slope


def gelu(x: npt.ArrayLike) -> Array:
    """y = x P(x), any shape; P is the cumulative distribution function of the standard normal distribution."""
    return _elementwise(lib.pn_gelu, x)


def gelu_grad(dy: npt.ArrayLike, x: npt.ArrayLike) -> Array:
    """dx = dy (P(x) + x exp(-x^2 / 2) / sqrt(2 pi)); takes the input x, not the output."""
    return _elementwise_grad(lib.pn_gelu_grad, dy, x)


def sigmoid(x: npt.ArrayLike) -> Array:
    """y = 1 / (1 + exp(-x)), any shape."""
    return _elementwise(lib.pn_sigmoid, x)


def sigmoid_grad(dy: npt.ArrayLike, y: npt.ArrayLike) -> Array:
    """dx = dy y (1 - y) for y = sigmoid(x)."""
    return _elementwise_grad(lib.pn_sigmoid_grad, dy, y)


def tanh(x: npt.ArrayLike) -> Array:
    """y = tanh(x), any shape."""
    return _elementwise(lib.pn_tanh, x)


def tanh_grad(dy: npt.ArrayLike, y: npt.ArrayLike) -> Array:
    """dx = dy (1 - y^2) for y = tanh(x)."""
    return _elementwise_grad(lib.pn_tanh_grad, dy, y)


def softmax(x: npt.ArrayLike, temperature: float = 1.0) -> Array:
    """p (m,n) = softmax of each row of x (m,n) / temperature (Bridle 1990); the row maximum is subtracted first."""
    if not 1e-38 <= temperature <= 3e38:
        raise ValueError(f"temperature is {temperature}; accepted: 1e-38 to 3e38, a float32 with a float32 inverse")
    return _rowwise(lib.pn_softmax, matrix(x, "x"), numbers=(temperature,))


def softmax_grad(dp: npt.ArrayLike, p: npt.ArrayLike) -> Array:
    """dx (m,n) = p (dp - sum over the row of dp p) for p = softmax(x)."""
    return _rowwise(lib.pn_softmax_grad, *_pair(dp=dp, p=p))


def dropout(x: npt.ArrayLike, p: float, seed: int, layer: int = 0, step: int = 0) -> Array:
    """y (m,n) = x / (1 - p), or 0 with probability p, a function of seed, layer and step; gives dx from dy too."""
    rows = matrix(x, "x")
    if not 0 <= p < 1:
        raise ValueError(f"p is {p}; accepted: 0 to below 1")
    return _rowwise(lib.pn_dropout, rows, numbers=(p, checked_seed(seed), layer, step))


# ---- pictures ----


def augmented(x: npt.ArrayLike, augment: Augment | None = None, seed: int = 0, step: int = 0) -> Array:
    """The batch x (n, height, width) or (n, channels, height, width) as a training step augments it; the same shape.

    x: uint8, which means x/255, or floats. augment: None means the default strengths. seed: of the network; step: the
    number of updates before. ValueError: x or a strength is not accepted.
    """
    pictures = picture_batch(x)
    n, *channels, height, width = pictures.shape
    struct = augment_struct(augment or Augment(), height, width)
    out, err = np.empty(pictures.shape, FLOAT32), ffi.new("char[]", lib.PN_ERRLEN)
    dtype = lib.PN_UINT8 if pictures.dtype == UINT8 else lib.PN_FLOAT32
    channel = channels[0] if channels else 1
    arrays = pointer(out, True), pointer(pictures)
    status = lib.pn_augmented(*arrays, dtype, n, channel, struct, checked_seed(seed), step, err)
    check(status, err)
    return out


# ---- normalisation ----


def batchnorm(
    x: npt.ArrayLike, gamma: npt.ArrayLike, beta: npt.ArrayLike, epsilon: float = 1e-5
) -> tuple[Array, Array, Array]:
    """y, mean (c), variance (c): normalises each channel of x (m, places, c), then y = gamma x + beta."""
    x, gamma, beta = array(x), array(gamma), array(beta)
    m, places, c = batch_of_channels(x, gamma=gamma, beta=beta)
    y, mean, variance = np.empty_like(x), np.empty(c, FLOAT32), np.empty(c, FLOAT32)
    lib.pn_batchnorm(*map(pointer, (y, mean, variance, x, gamma, beta)), m, places, c, epsilon)
    return y, mean, variance


def batchnorm_grad(
    dy: npt.ArrayLike,
    x: npt.ArrayLike,
    mean: npt.ArrayLike,
    variance: npt.ArrayLike,
    gamma: npt.ArrayLike,
    epsilon: float = 1e-5,
) -> tuple[Array, Array, Array]:
    """dx (m, places, c), dgamma (c), dbeta (c); mean and variance are batchnorm's."""
    dy, x, mean, variance, gamma = map(array, (dy, x, mean, variance, gamma))
    check_same_shape(dy=dy, x=x)
    m, places, c = batch_of_channels(x, mean=mean, variance=variance, gamma=gamma)
    dx, dgamma, dbeta = np.empty_like(x), np.empty(c, FLOAT32), np.empty(c, FLOAT32)
    lib.pn_batchnorm_grad(*map(pointer, (dx, dgamma, dbeta, dy, x, mean, variance, gamma)), m, places, c, epsilon)
    return dx, dgamma, dbeta


def layernorm(
    x: npt.ArrayLike, gamma: npt.ArrayLike, beta: npt.ArrayLike, epsilon: float = 1e-5
) -> tuple[Array, Array]:
    """y (m,n): rows of x (m,n) to mean 0, variance 1, times gamma (n) plus beta (n); stats (m,2) for its gradient."""
    rows, gamma, beta = matrix(x, "x"), array(gamma), array(beta)
    check_vectors(rows, gamma=gamma, beta=beta)
    y, stats = np.empty_like(rows), np.empty((len(rows), 2), FLOAT32)
    lib.pn_layernorm(*map(pointer, (y, stats, rows, gamma, beta)), *rows.shape, epsilon)
    return y, stats


def layernorm_grad(
    dy: npt.ArrayLike, x: npt.ArrayLike, stats: npt.ArrayLike, gamma: npt.ArrayLike
) -> tuple[Array, Array, Array]:
    """dx (m,n), dgamma (n), dbeta (n); stats are layernorm's."""
    (gradient, rows), stats, gamma = _pair(dy=dy, x=x), array(stats), array(gamma)
    check_vectors(rows, gamma=gamma)
    if stats.shape != (len(rows), 2):
        raise ValueError(f"stats has shape {stats.shape}; x {rows.shape} takes {(len(rows), 2)}")
    dx, dgamma, dbeta = np.empty_like(rows), np.empty(gamma.shape, FLOAT32), np.empty(gamma.shape, FLOAT32)
    lib.pn_layernorm_grad(*map(pointer, (dx, dgamma, dbeta, gradient, rows, stats, gamma)), *rows.shape)
    return dx, dgamma, dbeta


# ---- scaling ----


def standardize(x: npt.ArrayLike, mean: npt.ArrayLike, scale: npt.ArrayLike) -> Array:
    """y (m,n) = (x - mean) / scale; mean and scale (n)."""
    return _with_vectors(lib.pn_standardize, x, mean=mean, scale=scale)


def standardize_grad(dy: npt.ArrayLike, scale: npt.ArrayLike) -> Array:
    """dx (m,n) = dy / scale; scale (n)."""
    return _with_vectors(lib.pn_standardize_grad, dy, scale=scale)


def rescale(x: npt.ArrayLike, mean: npt.ArrayLike, scale: npt.ArrayLike) -> Array:
    """y (m,n) = x scale + mean; mean and scale (n)."""
    return _with_vectors(lib.pn_rescale, x, mean=mean, scale=scale)


def rescale_grad(dy: npt.ArrayLike, scale: npt.ArrayLike) -> Array:
    """dx (m,n) = dy scale; scale (n)."""
    return _with_vectors(lib.pn_rescale_grad, dy, scale=scale)


# ---- losses ----


def cross_entropy(
    x: npt.ArrayLike, labels: npt.ArrayLike, scale: float | None = None, smoothing: float = 0.0
) -> tuple[Array, Array]:
    """Loss (m) of softmax(x) against labels (m), and dx (m,n) = (softmax(x) - one-hot) * scale.

    The loss is -log p[label], computed from x so that it is finite where p is 0. scale None is 1/m: dx is then the
    gradient of the mean loss. smoothing: label smoothing, this fraction of the target is spread evenly over all
    outputs (Szegedy et al. 2016).
    """
    if not 0 <= smoothing < 1:
        raise ValueError(f"smoothing is {smoothing}; accepted: a number from 0 to below 1")
    rows = matrix(x, "x")
    return _loss(lib.pn_cross_entropy, rows, int_labels(labels, *rows.shape), scale, smoothing)


def binary_cross_entropy(x: npt.ArrayLike, y: npt.ArrayLike, scale: float | None = None) -> tuple[Array, Array]:
    """Loss (m): the sum over each row of -y log p - (1 - y) log(1 - p), p = sigmoid(x), and dx (m,n) = (p - y) * scale.

    x (m,n), y (m,n) in [0, 1]; computed from x so that it is finite where p is 0 or 1. scale None is 1/m.
    """
    return _loss(lib.pn_binary_cross_entropy, *_pair(x=x, y=y), scale)


def squared_error(p: npt.ArrayLike, y: npt.ArrayLike, scale: float | None = None) -> tuple[Array, Array]:
    """Loss (m): half the sum over each row of (p - y)^2, and dp (m,n) = (p - y) * scale; scale None is 1/m."""
    return _loss(lib.pn_squared_error, *_pair(p=p, y=y), scale)


def absolute_error(p: npt.ArrayLike, y: npt.ArrayLike, scale: float | None = None) -> tuple[Array, Array]:
    """Loss (m): the sum over each row of |p - y|, and dp (m,n) = sign(p - y) * scale; scale None is 1/m."""
    return _loss(lib.pn_absolute_error, *_pair(p=p, y=y), scale)


def huber(p: npt.ArrayLike, y: npt.ArrayLike, delta: float = 1.0, scale: float | None = None) -> tuple[Array, Array]:
    """Loss (m): the sum over each row of d^2 / 2, d = p - y, or delta (|d| - delta / 2) where |d| > delta (Huber 1964).

    dp (m,n) = d cut to [-delta, delta], times scale; scale None is 1/m.
    """
    if not 1.2e-38 <= delta <= 3e38:
        raise ValueError(f"delta is {delta}; accepted: 1.2e-38 to 3e38, a float32 above 0")
    return _loss(lib.pn_huber, *_pair(p=p, y=y), scale, delta)


# ---- the rest of a training step ----


def sgd(w: Array, dw: npt.ArrayLike, learning_rate: float) -> None:
    """w -= learning_rate * dw, in place; w: a C-ordered, writable float32 array."""
    lib.pn_sgd(*in_place(dw, w=w), w.size, learning_rate)


def momentum(
    w: Array, velocity: Array, dw: npt.ArrayLike, learning_rate: float, momentum: float = 0.9, nesterov: bool = False
) -> None:
    """velocity = momentum * velocity + dw; w -= learning_rate * velocity, both in place (Polyak 1964).

    nesterov: w -= learning_rate * (momentum * velocity + dw) (Nesterov 1983; Sutskever et al. 2013).
    """
    lib.pn_momentum(*in_place(dw, w=w, velocity=velocity), w.size, learning_rate, momentum, nesterov)


def rmsprop(
    w: Array, square: Array, dw: npt.ArrayLike, learning_rate: float, beta2: float = 0.99, epsilon: float = 1e-8
) -> None:
    """square = beta2 * square + (1 - beta2) * dw^2; w -= learning_rate * dw / (sqrt(square) + epsilon), both in place
    (Tieleman and Hinton 2012)."""
    lib.pn_rmsprop(*in_place(dw, w=w, square=square), w.size, learning_rate, beta2, epsilon)


def adam(
    w: Array,
    mean: Array,
    square: Array,
    dw: npt.ArrayLike,
    step: int,
    learning_rate: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
) -> None:
    """Step number `step`, from 1, of Adam (Kingma and Ba 2015), in place.

    mean = beta1 * mean + (1 - beta1) * dw; square = beta2 * square + (1 - beta2) * dw^2; w -= learning_rate *
    (mean / (1 - beta1^step) / (sqrt(square / (1 - beta2^step)) + epsilon) + weight_decay * w); the decay is that of
    Loshchilov and Hutter 2019.
    """
    if step < 1:
        raise ValueError(f"step is {step}; accepted: 1 or more")
    pointers = in_place(dw, w=w, mean=mean, square=square)
    lib.pn_adam(*pointers, w.size, step, learning_rate, beta1, beta2, epsilon, weight_decay)


def one_hot(labels: npt.ArrayLike, n: int) -> Array:
    """y (m,n) = 1 at each row's label, else 0."""
    classes = int_labels(labels, np.size(labels), n)
    out = np.empty((len(classes), n), FLOAT32)
    lib.pn_one_hot(pointer(out), pointer(classes), *out.shape)
    return out


def gather(x: npt.ArrayLike, index: npt.ArrayLike | None = None) -> Array:
    """Rows index (m) of the bytes x (rows, n), as x/255 correctly rounded; index None is every row."""
    rows = np.ascontiguousarray(plain(x, "x"))
    if rows.ndim != 2 or rows.dtype != np.uint8:
        raise ValueError(f"x has shape {rows.shape} and dtype {rows.dtype}; accepted: uint8 with two axes")
    places = np.arange(len(rows)) if index is None else plain(index, "index")
    which = int_labels(places, places.size, len(rows))
    out = np.empty((len(which), rows.shape[1]), FLOAT32)
    lib.pn_gather(pointer(out), pointer(rows), pointer(which), *out.shape)
    return out


def shuffle(n: int, seed: int = 0, epoch: int = 0) -> Array:
    """0..n-1 (int32) in the order of the samples in this training epoch (Fisher and Yates 1938)."""
    out = np.empty(n, np.int32)
    lib.pn_shuffle(pointer(out), n, checked_seed(seed), epoch)
    return out
