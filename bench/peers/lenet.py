"""The LeNet-like network of bench.convolution, and its contestants: two convolutions of 5 by 5, each with ReLU and a
maxpool of 2 by 2, then two dense layers.

The contestants do the same work as those of bench.peers on dense networks. Weights are in the layout of pynet: W of a
convolution is (5, 5, channels in, channels out).
"""

from __future__ import annotations

import numpy as np

from bench.peers import Contestant, Weights

TEXT = "input(1,28,28) conv(8,5) relu maxpool(2) conv(16,5) relu maxpool(2) dense(128) relu dense(10) softmax"
SHAPES = [(5, 5, 1, 8), (5, 5, 8, 16), (256, 128), (128, 10)]
PLACES = [24 * 24, 8 * 8, 1, 1]  # number of uses of each weight by a sample

LENET = {
    "pynet": Contestant("lenet_pynet", "PynetLenet", "pynet"),
    "numpy": Contestant("lenet_numpy", "NumpyLenet", "NumPy, patches copied to a matrix"),
    "torch": Contestant("lenet_torch", "TorchLenet", "PyTorch nn + SGD"),
    "torch-channels-last": Contestant("lenet_torch", "TorchChannelsLast", "PyTorch nn + SGD, channels last"),
    "jax": Contestant("lenet_jax", "JaxLenet", "JAX, epoch in one lax.scan"),
}


def flops_per_sample() -> int:
    """Operations of forward, weight gradients, and input gradients except the first layer's."""
    products = [int(np.prod(shape)) * places for shape, places in zip(SHAPES, PLACES, strict=True)]
    return 2 * (3 * sum(products) - products[0])


def initial(seed: int = 0) -> Weights:
    """The weights that every contestant starts from: normal, He et al. 2015."""
    rng = np.random.default_rng(seed)
    return [
        (rng.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape).astype(np.float32), np.zeros(shape[-1], np.float32))
        for shape in SHAPES
    ]
