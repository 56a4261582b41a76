"""pynet: train and run small neural networks on a CPU, at the speed of the hardware.

>>> import pynet
>>> digits = pynet.data.load("digits")
>>> net = pynet.Network("input(64) dense(64) relu dense(10) softmax")
>>> history = net.fit(digits.x_train, digits.y_train, epochs=20)
>>> net.evaluate(digits.x_test, digits.y_test).accuracy  # doctest: +SKIP
0.97
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pynet._ffi import VERSION, get_include
from pynet.augment import Augment
from pynet.layers import (
    GELU,
    AvgPool,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    Input,
    LayerNorm,
    LeakyReLU,
    Loss,
    MaxPool,
    ReLU,
    Rescale,
    Residual,
    Sigmoid,
    Softmax,
    Standardize,
    Tanh,
)
from pynet.network import Evaluation, Network, RegressionEvaluation, load
from pynet.optim import SGD, Adam, AdamW, Momentum, Nesterov, RMSProp

if TYPE_CHECKING:
    from pynet import data, figures, kernels, layers, metrics, optim, reference, schedules
    from pynet.formats.c_source import export_c
    from pynet.formats.npz import export_npz, import_npz
    from pynet.formats.onnx_export import export_onnx
    from pynet.formats.onnx_import import import_onnx
    from pynet.formats.torch_tensors import export_torch, import_torch
    from pynet.inference import predict_image, predict_table
    from pynet.training.callbacks import Callback, EarlyStopping
    from pynet.training.checkpoint import Checkpoint
    from pynet.training.diagnose import Diagnosis
    from pynet.training.explain import explain
    from pynet.training.gradient_check import gradient_check
    from pynet.training.history import History
    from pynet.training.learning_rate import find_lr

__all__ = ["Evaluation", "Network", "RegressionEvaluation", "load"]
__all__ += [
    "AvgPool",
    "BatchNorm",
    "Conv",
    "Dense",
    "Dropout",
    "Flatten",
    "GELU",
    "GlobalAvgPool",
    "Input",
    "LayerNorm",
]
__all__ += ["LeakyReLU", "Loss", "MaxPool", "ReLU", "Rescale", "Residual", "Sigmoid", "Softmax", "Standardize", "Tanh"]
__all__ += ["Adam", "AdamW", "Augment", "Momentum", "Nesterov", "RMSProp", "SGD"]
__all__ += ["Callback", "Checkpoint", "Diagnosis", "EarlyStopping", "History"]
__all__ += ["explain", "find_lr", "get_include", "gradient_check", "predict_image", "predict_table"]
__all__ += ["export_c", "export_npz", "export_onnx", "export_torch", "import_npz", "import_onnx", "import_torch"]
__all__ += ["data", "figures", "kernels", "layers", "metrics", "optim", "reference", "schedules"]

__version__ = VERSION

# Imported on first use: a program that only loads a model and predicts needs none of them.
_MODULES = {"data", "figures", "kernels", "metrics", "reference", "schedules"}
_FUNCTIONS = {
    "Callback": "training.callbacks",
    "Diagnosis": "training.diagnose",
    "find_lr": "training.learning_rate",
    "Checkpoint": "training.checkpoint",
    "EarlyStopping": "training.callbacks",
    "History": "training.history",
    "explain": "training.explain",
    "export_c": "formats.c_source",
    "export_npz": "formats.npz",
    "export_onnx": "formats.onnx_export",
    "export_torch": "formats.torch_tensors",
    "gradient_check": "training.gradient_check",
    "import_npz": "formats.npz",
    "import_onnx": "formats.onnx_import",
    "import_torch": "formats.torch_tensors",
    "predict_image": "inference",
    "predict_table": "inference",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"pynet.{name}")
    if name in _FUNCTIONS:
        return getattr(import_module(f"pynet.{_FUNCTIONS[name]}"), name)
    raise AttributeError(f"module 'pynet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
