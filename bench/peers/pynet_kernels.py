"""Single kernels in pynet: the functions of pynet.kernels, into new arrays, and the C calls, into buffers.

The twin of numpy_kernels.py, function by function.
"""

from __future__ import annotations

import numpy as np

from bench.peers import LEARNING_RATE, Array
from bench.peers.numpy_kernels import Calls
from pynet import kernels
from pynet._ffi import lib, pointer


def softmax(x: Array) -> tuple[Calls, Calls]:
    """Each row's exp, divided by its sum."""
    y = np.empty_like(x)

    def out() -> Array:
        lib.pn_softmax(pointer(y), pointer(x), *x.shape, 1.0)
        return y

    return {"function": lambda: kernels.softmax(x)}, {"C": out}


def cross_entropy_grad(x: Array, labels: Array) -> tuple[Calls, Calls]:
    """(softmax(x) - one-hot) / m; computes the losses, too."""
    m, n = x.shape
    losses, dx = np.empty(m, np.float32), np.empty_like(x)

    def out() -> Array:
        lib.pn_cross_entropy(pointer(losses), pointer(dx), pointer(x), pointer(labels), m, n, 1 / m, 0.0)
        return dx

    return {"function": lambda: kernels.cross_entropy(x, labels)[1]}, {"C": out}


def relu(x: Array) -> tuple[Calls, Calls]:
    """max(x, 0)."""
    y = np.empty_like(x)

    def out() -> Array:
        lib.pn_relu(pointer(y), pointer(x), x.size)
        return y

    return {"function": lambda: kernels.relu(x)}, {"C": out}


def sgd(start: Array, dw: Array) -> tuple[Calls, Calls]:
    """w -= rate dw, in place either way, each on its own w."""
    w, v = start.copy(), start.copy()

    def function() -> Array:
        kernels.sgd(w, dw, LEARNING_RATE)
        return w

    def out() -> Array:
        lib.pn_sgd(pointer(v), pointer(dw), v.size, LEARNING_RATE)
        return v

    return {"function": function}, {"C": out}


def adam(start: Array, dw: Array) -> tuple[Calls, Calls]:
    """The first step of Adam, in place either way, each on its own w, mean and square."""
    w, mean, square = start.copy(), np.zeros_like(start), np.zeros_like(start)
    v, mean_v, square_v = start.copy(), np.zeros_like(start), np.zeros_like(start)

    def function() -> Array:
        kernels.adam(w, mean, square, dw, 1, LEARNING_RATE)
        return w

    def out() -> Array:
        lib.pn_adam(*map(pointer, (v, mean_v, square_v, dw)), v.size, 1, LEARNING_RATE, 0.9, 0.999, 1e-8, 0.0)
        return v

    return {"function": function}, {"C": out}


def matmul(a: Array, b: Array, trans_a: bool, trans_b: bool) -> tuple[Calls, Calls]:
    """op(a) op(b); op is the transpose if trans_a or trans_b is set. The function also writes into a buffer."""
    c = np.empty((a.shape[1 if trans_a else 0], b.shape[0 if trans_b else 1]), np.float32)
    new = {"function": lambda: kernels.gemm(a, b, trans_a=trans_a, trans_b=trans_b)}
    return new, {"function": lambda: kernels.gemm(a, b, trans_a=trans_a, trans_b=trans_b, out=c)}
