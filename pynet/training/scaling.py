"""The scale of data: fitting the standardize and rescale of a network to it, and a warning of inputs without any."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pynet.model.csr import is_sparse, rows_of
from pynet.model.net import Net
from pynet.model.samples import Samples, inputs_only, samples, targets_only
from pynet.training.batches import accept_whole_numbers

LARGE = 20.0  # root mean square of a feature: pixels of 0 to 16 are learnt well, ages and prices are not


def adapt(net: Net, x: npt.ArrayLike | None = None, y: npt.ArrayLike | None = None) -> None:
    """Fits `standardize` to x (n, *in_shape) and a closing `rescale` to the targets y (n, outputs), before a training.

    Mean and scale become the mean and the standard deviation (divided by n) of each feature, of each channel of images,
    of each output: layers[0].mean, layers[0].scale, live arrays that can also be written to. The scale of what does not
    vary is 1. x counts where the network begins with standardize, y where it ends in rescale; without one of them that
    layer stays as it is. uint8 means x/255. The name is Keras'.

    ValueError: the network has nothing to fit to what is given, or a number is not finite; nothing has changed then.
    """
    if net.layers[0].kind != "standardize":
        x = None
    if net.layers[-1].kind != "rescale":
        y = None
    if x is not None:
        accept_whole_numbers(net, x)
    if y is None:
        data = Samples(None, None, None, 0) if x is None else inputs_only(net._signature, x)
    else:
        data = targets_only(net._signature, y) if x is None else samples(net._signature, x, y)
    net._adapt(data)


def unscaled(net: Net, x: Any, name: str = "x", remedy: str = "a layer standardize, fitted by adapt, scales it") -> str:
    """A warning of inputs x (n, ...), dense or sparse, that no first layer scales; "" if there is none.

    Bytes, which mean x/255, are 0 and 1 alone; or the root mean square of a feature, of images a channel, is above 20.
    """
    first = next((layer.kind for layer in net.layers if layer.kind != "flatten"), "")
    if first in ("standardize", "batchnorm") or not x.shape[0]:
        return ""
    if getattr(x, "dtype", None) == np.uint8:
        flags = f"{name} is uint8, which means x/255, and holds nothing above 1: flags? As float32 they are 0 and 1"
        return flags if x.max() == 1 else ""
    if is_sparse(x):
        rows = rows_of(x)
        columns = rows.columns % rows.shape[1]  # the core names those that do not exist
        squares = np.bincount(columns, np.square(rows.values, dtype=np.float64), minlength=1) / len(rows)
    else:
        values = np.reshape(x, (len(x), net.in_shape[0], -1))
        squares = np.einsum("nfp,nfp->f", values, values, dtype=float, casting="unsafe") / values[:, 0].size
    size = float(np.sqrt(squares.max()))
    if not LARGE < size < np.inf:
        return ""
    part = f"{'feature' if len(net.in_shape) == 1 else 'channel'} {squares.argmax()}"
    return (
        f"{name} is not scaled: the root mean square of {part} is {size:.4g}, and networks learn badly from numbers "
        f"far above 1; {remedy}"
    )
