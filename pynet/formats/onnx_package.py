"""The onnx package, which reads and writes the protobuf of ONNX files; an extra of pynet."""

from __future__ import annotations

import sys
from types import ModuleType


class MissingOnnx(ImportError, ValueError):
    """The onnx package is not installed."""


def onnx_package() -> ModuleType:
    """The package. MissingOnnx: it is not installed, with the command that installs it."""
    try:
        import onnx
        import onnx.checker
        import onnx.external_data_helper
        import onnx.numpy_helper
    except ImportError:
        raise MissingOnnx(
            f"ONNX files need the onnx package; this installs it: {sys.executable} -m pip install onnx"
        ) from None
    return onnx
