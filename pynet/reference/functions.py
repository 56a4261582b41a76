"""The kernels as plain NumPy functions, with the names and arguments of `pynet.kernels`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pynet.reference.arrays import Array, floats, labels_below, same


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

    trans_a: a is (k,m); trans_b: b is (n,k). out: array for the result; accumulate: add to its values.
    """
    a, b = floats(a), floats(b)
    c = (a.T if trans_a else a) @ (b.T if trans_b else b)
    if out is None:
        if accumulate:
            raise ValueError("accumulate adds to out, but out is None")
        return c
    same("out has shape", out.shape, c.shape)
    out[...] = out + c if accumulate else c
    return out


def bias(x: ArrayLike, b: ArrayLike) -> Array:
    """y (m,n) = x (m,n) + b (n) in every row."""
    return floats(x) + floats(b)


def bias_grad(dy: ArrayLike) -> Array:
    """db (n) = column sums of dy (m,n): b was added to every row."""
    return np.asarray(floats(dy).sum(axis=0))


def relu(x: ArrayLike) -> Array:
    """y = max(x, 0), the rectified linear unit (Nair & Hinton 2010; Glorot, Bordes & Bengio 2011). NaN stays NaN."""
    x = floats(x)
    return np.where(x <= 0, 0.0, x)  # not x > 0, which is False for NaN and would lose it


def relu_grad(dy: ArrayLike, y: ArrayLike) -> Array:
    """dx = dy where y > 0, else 0. The derivative at 0 is undefined; 0 is used."""
    return np.where(floats(y) > 0, floats(dy), 0.0)


def leaky_relu(x: ArrayLike, slope: float) -> Array:
    """y = x where x > 0, else slope x: with a small gradient for x < 0 (Maas, Hannun & Ng 2013)."""
    x = floats(x)
    return np.where(x <= 0, slope * x, x)


def leaky_relu_grad(dy: ArrayLike, y: ArrayLike, slope: float) -> Array:
    """dx = dy where y > 0, else slope dy."""
    return np.where(floats(y) > 0, floats(dy), slope * floats(dy))


def gelu(x: ArrayLike) -> Array:
    """y = x P(x), P the standard normal distribution function: a smooth ReLU (Hendrycks & Gimpel 2016)."""
    x = floats(x)
    return x * _normal_cdf(x)


def gelu_grad(dy: ArrayLike, x: ArrayLike) -> Array:
    """dx = dy (P(x) + x p(x)), p the density. Takes x, as two values of x can have the same y."""
    x = floats(x)
    return floats(dy) * (_normal_cdf(x) + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi))


def _normal_cdf(x: Array) -> Array:
    """P(x) = erfc(-x / sqrt 2) / 2; a loop, as NumPy has no erfc."""
    values = [math.erfc(-number / math.sqrt(2)) / 2 for number in x.flat]
    return np.array(values, dtype=np.float64).reshape(x.shape)


def sigmoid(x: ArrayLike) -> Array:
    """y = 1 / (1 + exp(-x)), the logistic function (Rumelhart, Hinton & Williams 1986)."""
    x = floats(x)
    z = np.exp(-np.abs(x))  # the argument is never positive: exp overflows above 709
    return np.where(x >= 0, 1 / (1 + z), z / (1 + z))


def sigmoid_grad(dy: ArrayLike, y: ArrayLike) -> Array:
    """dx = dy y (1 - y)."""
    y = floats(y)
    return floats(dy) * y * (1 - y)


def tanh(x: ArrayLike) -> Array:
    """y = tanh(x) = 2 sigmoid(2x) - 1: a sigmoid centred at zero, which trains faster (LeCun et al. 1998)."""
    return np.tanh(floats(x))


def tanh_grad(dy: ArrayLike, y: ArrayLike) -> Array:
    """dx = dy (1 - y^2)."""
    return floats(dy) * (1 - floats(y) ** 2)


def softmax(x: ArrayLike, temperature: float = 1.0) -> Array:
    """p (m,n) = exp(x / temperature), each row divided by its sum: probabilities (Bridle 1990).

    A high temperature flattens the probabilities, a low one sharpens them (Hinton, Vinyals & Dean 2015).
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}, accepted are numbers above 0")
    z = floats(x) / temperature
    z = np.exp(z - z.max(axis=-1, keepdims=True))  # exp cannot overflow, and the factor exp(-max) cancels
    return np.asarray(z / z.sum(axis=-1, keepdims=True))


def softmax_grad(dp: ArrayLike, p: ArrayLike) -> Array:
    """dx (m,n) = p (dp - s), s the sum over the row of dp p: raising one output lowers the others (Bridle 1990)."""
    dp, p = floats(dp), floats(p)
    return np.asarray(p * (dp - (dp * p).sum(axis=-1, keepdims=True)))


def one_hot(labels: ArrayLike, n: int) -> Array:
    """y (m,n) = 1 at each row's label, else 0; labels (m) in [0, n)."""
    labels = labels_below(labels, n)
    y = np.zeros((len(labels), n))
    y[np.arange(len(labels)), labels] = 1
    return y


def gather(x: NDArray[np.uint8], index: ArrayLike | None = None) -> Array:
    """y (m,n) = rows index (m) of x (.., n) / 255, pixels as numbers from 0 to 1; index None is all rows."""
    return floats(x if index is None else x[np.asarray(index)]) / 255
