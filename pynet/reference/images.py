"""Convolution and pooling, on images (m, channels, height, width).

Place (i, j) of a kernel sees one shifted picture: the numbers that lie under it wherever the kernel stands. All
functions below are sums over these shifted pictures.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from pynet.reference.arrays import Array, floats

Frame = tuple[tuple[int, int], tuple[int, int]]


def same_frame(height: int, width: int, kernel: int, stride: int) -> Frame:
    """((top, bottom), (left, right)): the zeros that make the output ceil(in / stride) long and wide.

    Both sides share them; an odd one goes to the bottom and the right.
    """

    def share(size: int) -> tuple[int, int]:
        zeros = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        return zeros // 2, zeros - zeros // 2

    return share(height), share(width)


def frame_of(pad: int | str, height: int, width: int, kernel: int, stride: int) -> Frame:
    """The zeros around an image for pad "same", or for the same number on all sides."""
    return same_frame(height, width, kernel, stride) if pad == "same" else ((int(pad),) * 2, (int(pad),) * 2)


def outputs(size: int, window: int, stride: int) -> int:
    """At how many places a window fits; those that the border would cut are left out."""
    return (size - window) // stride + 1


def shifted(x: Array, window: tuple[int, int], stride: int) -> Iterator[tuple[tuple[int, int], Array]]:
    """(i, j) and a view of x (m, c, h, w), the picture (m, c, out_height, out_width) that place (i, j) sees."""
    height, width = (outputs(size, n, stride) for size, n in zip(x.shape[2:], window, strict=True))
    for i in range(window[0]):
        for j in range(window[1]):
            rows = slice(i, i + (height - 1) * stride + 1, stride)
            columns = slice(j, j + (width - 1) * stride + 1, stride)
            yield (i, j), x[:, :, rows, columns]


def conv(x: ArrayLike, W: ArrayLike, b: ArrayLike, stride: int = 1, pad: int | str = 0) -> Array:
    """y (m,n,out_height,out_width) = x (m,c,h,w) * W (kernel,kernel,c,n) + b (n), as LeCun et al. 1989.

    y[:, n, r, s] = b[n] + sum over i, j, c of x[:, c, r stride + i, s stride + j] W[i, j, c, n]: the kernel is not
    turned over, signal processing calls this cross-correlation. pad: zeros around x, a number, or "same" for
    ceil(size / stride) outputs.
    """
    W = floats(W)
    x = padded(x, len(W), stride, pad)
    size = [outputs(n, len(W), stride) for n in x.shape[2:]]
    y = np.zeros((len(x), W.shape[3], *size)) + floats(b).reshape(-1, 1, 1)
    for (i, j), picture in shifted(x, W.shape[:2], stride):
        y += np.einsum("mchw,cn->mnhw", picture, W[i, j])
    return y


def padded(x: ArrayLike, kernel: int, stride: int, pad: int | str) -> Array:
    """x (m,c,h,w) with its zeros around."""
    x = floats(x)
    rows, columns = frame_of(pad, x.shape[2], x.shape[3], kernel, stride)
    return np.pad(x, ((0, 0), (0, 0), rows, columns))


def conv_grad(
    dy: ArrayLike, x: ArrayLike, W: ArrayLike, stride: int = 1, pad: int | str = 0
) -> tuple[Array, Array, Array]:
    """(dx, dW, db), shaped as x, W, b: each number of a patch had its say in y, so dy comes back the same ways."""
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
    """y (m,c,out_height,out_width): the largest number of each window, size by size; NaN where there is one.

    stride None is size: windows side by side.
    """
    return np.asarray(np.max([picture for _, picture in shifted(floats(x), (size, size), stride or size)], axis=0))


def maxpool_grad(dy: ArrayLike, x: ArrayLike, size: int, stride: int | None = None) -> Array:
    """dx: dy goes to the largest number of its window, the first of equals row by row."""
    dy, x, window = floats(dy), floats(x), (size, size)
    dx, best = np.zeros_like(x), largest(x, size, stride)
    for place, (_, picture) in enumerate(shifted(dx, window, stride or size)):
        picture += np.where(best == place, dy, 0)
    return dx


def largest(x: Array, size: int, stride: int | None = None) -> Array:
    """Which place of each window, counted row by row, holds its largest number; the first of equals."""
    return np.asarray(np.argmax([picture for _, picture in shifted(x, (size, size), stride or size)], axis=0))


def avgpool(x: ArrayLike, size: int | tuple[int, int], stride: int | None = None) -> Array:
    """y (m,c,out_height,out_width): the mean of each window, size by size or (height, width)."""
    window = (size, size) if isinstance(size, int) else size
    return np.asarray(np.mean([picture for _, picture in shifted(floats(x), window, stride or window[0])], axis=0))


def avgpool_grad(
    dy: ArrayLike, shape: tuple[int, ...], size: int | tuple[int, int], stride: int | None = None
) -> Array:
    """dx of this shape: every number of a window gets the same share of dy."""
    window = (size, size) if isinstance(size, int) else size
    dx = np.zeros(shape)
    for _, picture in shifted(dx, window, stride or window[0]):
        picture += floats(dy) / (window[0] * window[1])
    return dx
