"""Single kernels in NumPy: the best expressions we know, into new arrays and into buffers. The fastest counts.

Every function makes the calls to be timed from the arrays they work on. x (m,n) float32, labels (m) int.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.peers import LEARNING_RATE, Array

Calls = dict[str, Callable[[], Array]]
RATE = np.float32(LEARNING_RATE)


def softmax(x: Array) -> tuple[Calls, Calls]:
    """Each row's exp, divided by its sum."""
    y, row = np.empty_like(x), np.empty((len(x), 1), np.float32)
    ones = np.ones((x.shape[1], 1), np.float32)

    def plain() -> Array:
        e = np.exp(x - x.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True))

    def in_place() -> Array:
        e = x - x.max(axis=1, keepdims=True)
        np.exp(e, out=e)
        e /= e.sum(axis=1, keepdims=True)
        return np.asarray(e)

    def out(by_product: bool) -> Array:
        np.maximum.reduce(x, axis=1, keepdims=True, out=row)
        np.subtract(x, row, out=y)
        np.exp(y, out=y)
        if by_product:
            np.dot(y, ones, out=row)
        else:
            np.add.reduce(y, axis=1, keepdims=True, out=row)
        return np.divide(y, row, out=y)

    return {"plain": plain, "in place": in_place}, {"sum": lambda: out(False), "product": lambda: out(True)}


def cross_entropy_grad(x: Array, labels: Array) -> tuple[Calls, Calls]:
    """(softmax(x) - one-hot) / m; computes the losses, too."""
    m = len(x)
    (plain, in_place), (by_sum, by_product) = (tuple(calls.values()) for calls in softmax(x))
    rows, losses = np.arange(m), np.empty(m, np.float32)

    def finish(p: Array) -> Array:
        right = p[rows, labels]
        np.negative(np.log(right, out=losses), out=losses)
        p[rows, labels] = right - np.float32(1)
        p *= np.float32(1 / m)
        return p

    new = {"plain": lambda: finish(plain()), "in place": lambda: finish(in_place())}
    return new, {"sum": lambda: finish(by_sum()), "product": lambda: finish(by_product())}


def relu(x: Array) -> tuple[Calls, Calls]:
    """max(x, 0)."""
    y, zero = np.empty_like(x), np.float32(0)
    return {"maximum": lambda: np.maximum(x, zero)}, {"maximum": lambda: np.maximum(x, zero, out=y)}


def sgd(start: Array, dw: Array) -> tuple[Calls, Calls]:
    """w -= rate dw, in place either way, each on its own w."""
    w, v, scaled = start.copy(), start.copy(), np.empty_like(start)

    def plain() -> Array:
        return np.subtract(w, RATE * dw, out=w)  # what w -= RATE * dw does

    def out() -> Array:
        np.multiply(dw, RATE, out=scaled)
        return np.subtract(v, scaled, out=v)

    return {"plain": plain}, {"out": out}


def adam(start: Array, dw: Array) -> tuple[Calls, Calls]:
    """The first step of Adam (Kingma and Ba 2015), in place either way, each on its own w, mean and square.

    What makes up for the beginning is multiplied into the constants, once.
    """
    beta1, beta2, epsilon = np.float32(0.9), np.float32(0.999), np.float32(1e-8)
    rest1, rest2 = 1 - beta1, 1 - beta2
    rate, root = RATE / rest1, 1 / np.sqrt(rest2)
    w, mean, square = start.copy(), np.zeros_like(start), np.zeros_like(start)
    v, mean_v, square_v = start.copy(), np.zeros_like(start), np.zeros_like(start)
    step, scale = np.empty_like(start), np.empty_like(start)

    def plain() -> Array:
        np.add(beta1 * mean, rest1 * dw, out=mean)
        np.add(beta2 * square, rest2 * (dw * dw), out=square)
        return np.subtract(w, rate * mean / (root * np.sqrt(square) + epsilon), out=w)

    def out() -> Array:
        np.multiply(mean_v, beta1, out=mean_v)
        np.add(mean_v, np.multiply(dw, rest1, out=step), out=mean_v)
        np.multiply(square_v, beta2, out=square_v)
        np.multiply(dw, dw, out=step)
        np.add(square_v, np.multiply(step, rest2, out=step), out=square_v)
        np.multiply(np.sqrt(square_v, out=scale), root, out=scale)
        np.add(scale, epsilon, out=scale)
        np.divide(np.multiply(mean_v, rate, out=step), scale, out=step)
        return np.subtract(v, step, out=v)

    return {"plain": plain}, {"out": out}


def matmul(a: Array, b: Array, trans_a: bool, trans_b: bool) -> tuple[Calls, Calls]:
    """op(a) op(b); op is the transpose if trans_a or trans_b is set."""
    a, b = a.T if trans_a else a, b.T if trans_b else b
    c = np.empty((a.shape[0], b.shape[1]), np.float32)
    return {"matmul": lambda: a @ b}, {"matmul": lambda: np.matmul(a, b, out=c)}
