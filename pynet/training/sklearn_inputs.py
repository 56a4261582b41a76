"""What the estimators of pynet.sklearn warn of and refuse in the inputs X, (n, features) dense or sparse."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from pynet._ffi import Array
from pynet.model.csr import is_sparse

LARGE = 20.0  # root mean square of a feature; pixels of 0 to 16 are learnt well, ages and prices are not
LARGEST = float(np.finfo(np.float32).max)


def check_range(X: Any) -> None:
    """ValueError: X holds a finite number that float32 does not."""
    values = X.data if is_sparse(X) else X
    if values.dtype == np.float64 and values.size and max(-values.min(), values.max()) > LARGEST:
        worst = values.flat[int(np.abs(values).argmax())]
        raise ValueError(f"X holds {worst:g}; accepted: finite numbers of float32, up to {LARGEST:.1e}")


def warn_of_scale(X: Any, estimator: str, as_bytes: bool, stacklevel: int) -> None:
    """UserWarning: a feature is far from mean 0 and variance 1, or bytes, which mean x/255, are 0 and 1 alone."""
    if as_bytes:
        if X.max() <= 1:
            text = (
                "X is uint8, which means x/255, and holds nothing above 1: flags? "
                "X.astype(np.float32) takes them as 0 and 1; as they are, they are hardly learnt"
            )
            warnings.warn(text, UserWarning, stacklevel=stacklevel)
        return
    sizes = _sizes(X)
    if sizes.max() > LARGE:
        scaler = "MaxAbsScaler" if is_sparse(X) else "StandardScaler"
        text = (
            f"X is not scaled: the root mean square of feature {sizes.argmax()} is {sizes.max():.4g}, and networks "
            f"learn numbers far above 1 badly; make_pipeline({scaler}(), {estimator}(...)) scales them"
        )
        warnings.warn(text, UserWarning, stacklevel=stacklevel)


def _sizes(X: Any) -> Array:
    """The root mean square of each feature (features,) float64."""
    if is_sparse(X):
        squares: Array = np.asarray(X.astype(np.float64).power(2).sum(axis=0)).ravel()
    else:
        squares = np.einsum("ij,ij->j", X, X, dtype=np.float64)
    sizes: Array = np.sqrt(squares / X.shape[0])
    return sizes
