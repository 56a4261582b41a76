"""Convolution and pooling, on images (m, channels, height, width).

As the kernel slides over x, its element (i, j) meets a shifted copy of x. All functions are sums or maxima over these
shifted copies, see shifted().
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from pynet.reference.arrays import Array, floats

Frame = tuple[tuple[int, int], tuple[int, int]]


def same_frame(height: int, width: int, kernel: int, stride: int) -> Frame:
    """((top, bottom), (left, right)): the padding for an output size of ceil(size / stride).

    It is divided evenly; an odd zero goes to the bottom or the right.
    """

    def padding(size: int) -> tuple[int, int]:
        zeros = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        return zeros // 2, zeros - zeros // 2

    return padding(height), padding(width)


def frame_of(pad: int | str, height: int, width: int, kernel: int, stride: int) -> Frame:
    """The padding of an image: for "same", or the same number of zeros on all sides."""
    return same_frame(height, width, kernel, stride) if pad == "same" else ((int(pad),) * 2, (int(pad),) * 2)


def outputs(size: int, window: int, stride: int) -> int:
    """The number of positions of a window along one axis, without those that cross the border."""
    return (size - window) // stride + 1


def shifted(x: Array, window: tuple[int, int], stride: int) -> Iterator[tuple[tuple[int, int], Array]]:
    """For each element (i, j) of the window, the view (m, c, out_height, out_width) of x (m, c, h, w) that it meets."""
    height, width = (outputs(size, n, stride) for size, n in zip(x.shape[2:], window, strict=True))
    for i in range(window[0]):
        for j in range(window[1]):
            rows = slice(i, i + (height - 1) * stride + 1, stride)
            columns = slice(j, j + (width - 1) * stride + 1, stride)
            yield (i, j), x[:, :, rows, columns]


def conv(x: ArrayLike, W: ArrayLike, b: ArrayLike, stride: int = 1, pad: int | str = 0) -> Array:
    """y (m,n,out_height,out_width) = x (m,c,h,w) * W (kernel,kernel,c,n) + b (n), as LeCun et al. 1989.

    y[:, n, r, s] = b[n] + sum over i, j, c of x[:, c, r stride + i, s stride + j] W[i, j, c, n]: the kernel is not
    flipped, so signal processing calls this cross-correlation. pad: number of zeros around x, or "same" for an output
    size of ceil(size / stride).
    """
    W = floats(W)
    x = padded(x, len(W), stride, pad)
    size = [outputs(n, len(W), stride) for n in x.shape[2:]]
    y = np.zeros((len(x), W.shape[3], *size)) + floats(b).reshape(-1, 1, 1)
    for (i, j), picture in shifted(x, W.shape[:2], stride):
        y += np.einsum("mchw,cn->mnhw", picture, W[i, j])
    return y


def padded(x: ArrayLike, kernel: int, stride: int, pad: int | str) -> Array:
    """x (m,c,h,w) with padding."""
    x = floats(x)
    rows, columns = frame_of(pad, x.shape[2], x.shape[3], kernel, stride)
    return np.pad(x, ((0, 0), (0, 0), rows, columns))


def conv_grad(
    dy: ArrayLike, x: ArrayLike, W: ArrayLike, stride: int = 1, pad: int | str = 0
) -> tuple[Array, Array, Array]:
    """(dx, dW, db), shaped as x, W, b: the sums of dy over all uses of each number in y."""
    dy, x, W = floats(dy), floats(x), floats(W)
    (top, _), (left, _) = frame_of(pad, x.shape[2], x.shape[3], len(W), stride)
    framed = padded(x, len(W), stride, pad)
    dframed, dW = np.zeros_like(framed), np.zeros_like(W)
    pictures = shifted(framed, W.shape[:2], stride)
    for ((i, j), picture), (_, dpicture) in zip(pictures, shifted(dframed, W.shape[:2], stride), strict=True):
        dW[i, j] = np.einsum("mchw,mnhw->cn", picture, dy)
        dpicture += np.einsum("mnhw,cn->mchw", dy, W[i, j])
    return dframed[:, :, top : top + x.shape[2], left : left + x.shape[3]], dW, dy.sum(axis=(0, 2, 3))


def maxpool(x: ArrayLike, size: int, stride: int | None = None) -> Array:
    """y (m,c,out_height,out_width): the largest number of each window (size, size), or NaN if it has one.

    stride None is size, windows without overlap.
    """
    return np.asarray(np.max([picture for _, picture in shifted(floats(x), (size, size), stride or size)], axis=0))


def maxpool_grad(dy: ArrayLike, x: ArrayLike, size: int, stride: int | None = None) -> Array:
    """dx: dy is passed to the largest number of its window, the first one in row order if several are equal."""
    dy, x, window = floats(dy), floats(x), (size, size)
    dx, best = np.zeros_like(x), largest(x, size, stride)
    for place, (_, picture) in enumerate(shifted(dx, window, stride or size)):
        picture += np.where(best == place, dy, 0)
    return dx


def largest(x: Array, size: int, stride: int | None = None) -> Array:
    """The index, in row order, of the largest number of each window; the first one if several are equal."""
    return np.asarray(np.argmax([picture for _, picture in shifted(x, (size, size), stride or size)], axis=0))


def avgpool(x: ArrayLike, size: int | tuple[int, int], stride: int | None = None) -> Array:
    """y (m,c,out_height,out_width): the mean of each window (size, size) or (height, width)."""
    window = (size, size) if isinstance(size, int) else size
    return np.asarray(np.mean([picture for _, picture in shifted(floats(x), window, stride or window[0])], axis=0))


def avgpool_grad(
    dy: ArrayLike, shape: tuple[int, ...], size: int | tuple[int, int], stride: int | None = None
) -> Array:
    """dx (shape): dy is divided evenly over its window."""
    window = (size, size) if isinstance(size, int) else size
    dx = np.zeros(shape)
    for _, picture in shifted(dx, window, stride or window[0]):
        picture += floats(dy) / (window[0] * window[1])
    return dx
