"""pynet: train and run small neural networks on a CPU, at the speed of the hardware.

>>> import pynet
>>> digits = pynet.data.load("digits")
>>> net = pynet.Network("input(64) dense(64) relu dense(10) softmax")
>>> history = net.fit(digits.x_train, digits.y_train, epochs=20)
>>> net.evaluate(digits.x_test, digits.y_test).accuracy  # doctest: +SKIP
0.97
"""

from pynet import data, kernels, layers, metrics, optim, reference
from pynet._ffi import lib as _lib
from pynet._ffi import text as _text
from pynet.gradcheck import gradient_check
from pynet.layers import Dense, Input, Loss, ReLU, Sigmoid, Softmax, Tanh
from pynet.network import Evaluation, Network, load
from pynet.npz import export_npz, import_npz
from pynet.optim import SGD

__version__ = _text(_lib.pn_version())

__all__ = [
    "SGD",
    "Dense",
    "Evaluation",
    "Input",
    "Loss",
    "Network",
    "ReLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "data",
    "export_npz",
    "gradient_check",
    "import_npz",
    "kernels",
    "layers",
    "load",
    "metrics",
    "optim",
    "reference",
]
