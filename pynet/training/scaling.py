"""Fitting the scaling of a network, its standardize and rescale, to data."""

from __future__ import annotations

import numpy.typing as npt

from pynet.model.net import Net
from pynet.model.samples import Samples, inputs_only, samples, targets_only
from pynet.training.batches import accept_whole_numbers


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
