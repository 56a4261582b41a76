"""A second implementation of pynet in plain float64 NumPy: slow, short, and written to be read.

A network is a list of layers with two methods. `forward` computes the output y of an input x; `backward` takes dy, the
gradient of the loss with respect to y, and returns dx, the gradient with respect to x, by the chain rule. Layers with
parameters store the gradients of these, too. Training repeats four steps (Rumelhart, Hinton & Williams 1986, "Learning
representations by back-propagating errors", Nature 323):

    p = net.forward(x)        compute the prediction
    loss = net.loss(y)        measure its error
    net.backward()            compute the gradient of the loss for each parameter
    net.update(0.1)           take a small step against the gradient

    >>> rng = np.random.default_rng(0)
    >>> net = Network([Dense(*init(784, 64, "he", rng)), ReLU(), Dense(*init(64, 10, "xavier", rng)), Softmax()])
    >>> losses = net.fit(x, y, epochs=10, batch_size=64, learning_rate=0.1)

Shapes: a batch holds one sample a row. m is the number of samples, n the numbers in a row, k the length of an inner
product; a leading d is a gradient. The functions carry the names and arguments of `pynet.kernels`.

The modules: `functions` on arrays, `images` on those with channels, height and width, and `augment`, their random
distortions; layers in `layers`, `norms` and `scaling`; `losses`; `optimizers`; `network`, which combines all of these,
and `conversion`, which makes the layers of a `pynet.Network` into layers of this package.
"""

from __future__ import annotations

from pynet.reference.arrays import Array, Labels
from pynet.reference.augment import augmented
from pynet.reference.functions import (
    bias,
    bias_grad,
    gather,
    gelu,
    gelu_grad,
    gemm,
    leaky_relu,
    leaky_relu_grad,
    one_hot,
    relu,
    relu_grad,
    sigmoid,
    sigmoid_grad,
    softmax,
    softmax_grad,
    tanh,
    tanh_grad,
)
from pynet.reference.images import avgpool, avgpool_grad, conv, conv_grad, maxpool, maxpool_grad
from pynet.reference.layers import (
    GELU,
    Activation,
    AvgPool,
    Conv,
    Dense,
    Flatten,
    Layer,
    LeakyReLU,
    MaxPool,
    ReLU,
    Residual,
    Sigmoid,
    Softmax,
    Tanh,
    init,
)
from pynet.reference.losses import absolute_error, binary_cross_entropy, cross_entropy, huber, squared_error
from pynet.reference.network import Network, Order
from pynet.reference.norms import BatchNorm, Dropout, LayerNorm, dropout
from pynet.reference.optimizers import Optimizer, adam, momentum, rmsprop, sgd
from pynet.reference.scaling import Rescale, Standardize, rescale, rescale_grad, standardize, standardize_grad

__all__ = ["Array", "Labels", "Network", "Optimizer", "Order", "init"]
__all__ += ["Activation", "AvgPool", "BatchNorm", "Conv", "Dense", "Dropout", "Flatten", "GELU", "Layer", "LayerNorm"]
__all__ += ["LeakyReLU", "MaxPool", "ReLU", "Rescale", "Residual", "Sigmoid", "Softmax", "Standardize", "Tanh"]
__all__ += ["avgpool", "avgpool_grad", "bias", "bias_grad", "conv", "conv_grad", "gather", "gemm", "maxpool"]
__all__ += ["maxpool_grad", "one_hot"]
__all__ += ["gelu", "gelu_grad", "leaky_relu", "leaky_relu_grad", "relu", "relu_grad"]
__all__ += ["sigmoid", "sigmoid_grad", "softmax", "softmax_grad", "tanh", "tanh_grad"]
__all__ += ["absolute_error", "augmented", "binary_cross_entropy", "cross_entropy", "dropout", "huber"]
__all__ += ["squared_error"]
__all__ += ["rescale", "rescale_grad", "standardize", "standardize_grad"]
__all__ += ["adam", "momentum", "rmsprop", "sgd"]
