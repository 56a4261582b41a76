"""The interface to the compiled core: status -> exception, arrays <-> pointers, views of the core's memory."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

try:
    import numpy as np
    import numpy.typing as npt

    from pynet._core import ffi as ffi
    from pynet._core import lib as lib
except ModuleNotFoundError as error:
    clone = Path(__file__).resolve().parent.parent
    if not (clone / "csrc").is_dir():
        raise
    raise ModuleNotFoundError(
        f"{error.msg}: pynet was imported from the clone in {clone}, which is not built for {sys.executable}; "
        f"run `make train` there and use {clone}/.venv/bin/python, or start Python in another folder to import an "
        "installed pynet",
        name=error.name,
    ) from None

from pynet.augment import Augment
from pynet.errors import LossNotFiniteError
from pynet.optim import Optimizer, as_optimizer

Array = npt.NDArray[Any]

_EXCEPTIONS: dict[int, type[Exception]] = {
    lib.PN_ERR_MEMORY: MemoryError,
    lib.PN_ERR_ARGUMENT: ValueError,
    lib.PN_ERR_SPEC: ValueError,
    lib.PN_ERR_STATE: RuntimeError,
    lib.PN_ERR_NONFINITE: LossNotFiniteError,
    lib.PN_ERR_PARAMETER: FloatingPointError,
    lib.PN_ERR_FORMAT: ValueError,
}

# Looked up once: each lookup of a dtype or C type by name takes a quarter of a microsecond.
FLOAT32, INT32, UINT8 = np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.uint8)
_CTYPES = {FLOAT32: ffi.typeof("float[]"), INT32: ffi.typeof("int32_t[]"), UINT8: ffi.typeof("uint8_t[]")}


def text(chars: Any) -> str:
    """A C string as str; bytes that are not UTF-8, as in a message that quotes bad input, become U+FFFD."""
    return str(ffi.string(chars).decode("utf-8", "replace"))


VERSION = text(lib.pn_version())


def get_include() -> str:
    """The folder with `pynet.h`, for the `-I` option of a C compiler."""
    installed = Path(__file__).resolve().parent / "include"
    return str(installed if installed.is_dir() else installed.parents[1] / "csrc")


def check(status: int, message: Any) -> None:
    """Raises the exception for a status other than PN_OK, with the core's message (char *)."""
    if status == lib.PN_OK:
        return
    if status == lib.PN_ERR_IO:
        raise OSError(ffi.errno, text(message))
    raise _EXCEPTIONS[status](text(message))


def plain(x: npt.ArrayLike | None, name: str) -> Array:
    """x as an array. ValueError: it is None, or a masked array, whose mask would be ignored. name: for the message."""
    if type(x) is np.ndarray:
        return x
    if x is None:
        raise ValueError(f"{name} is None; accepted: an array")
    if any(map(is_masked, x if isinstance(x, (list, tuple)) else (x,))):
        raise ValueError(f"{name} is a masked array; accepted: arrays without a mask; drop or fill the masked values")
    return np.asarray(x)


def is_masked(x: object) -> bool:
    """Whether x is a masked array. Avoids the import of numpy.ma for all other arrays."""
    return isinstance(x, np.ndarray) and type(x) is not np.ndarray and isinstance(x, np.ma.MaskedArray)


def numbers(x: npt.ArrayLike | None, name: str) -> Array:
    """As plain, for real numbers. ValueError: dates, text, complex numbers or objects."""
    a = x if type(x) is np.ndarray else plain(x, name)
    if a.dtype.kind not in "biuf":
        raise ValueError(f"{name} has dtype {a.dtype}; accepted: real numbers")
    return a


def array(x: npt.ArrayLike, dtype: npt.DTypeLike = FLOAT32, name: str = "an argument") -> Array:
    """x as a C-ordered array of this dtype, without a copy if it is one. ValueError: it does not hold real numbers."""
    if type(x) is np.ndarray and x.dtype is dtype:  # the common case, and faster
        return np.ascontiguousarray(x)
    return np.ascontiguousarray(numbers(x, name), dtype)


def matrix(x: npt.ArrayLike, name: str) -> Array:
    """x as a C-ordered float32 array with two axes. ValueError: it has another number of axes."""
    a = array(x, name=name)
    if a.ndim != 2:
        raise ValueError(f"{name} has shape {a.shape}; accepted: two axes")
    return a


def check_same_shape(**arrays: Array) -> None:
    """ValueError unless all arrays have the same shape."""
    shapes = [a.shape for a in arrays.values()]
    if shapes.count(shapes[0]) < len(shapes):
        raise ValueError("shapes differ: " + ", ".join(f"{name} {a.shape}" for name, a in arrays.items()))


def check_vectors(x: Array, **vectors: Array) -> None:
    """ValueError unless each vector is as long as the last axis of x."""
    for name, vector in vectors.items():
        if vector.shape != x.shape[-1:]:
            raise ValueError(f"{name} has shape {vector.shape}; x {x.shape} takes {x.shape[-1:]}")


def int_labels(labels: npt.ArrayLike, m: int, n: int) -> Array:
    """labels (m) as int32. ValueError: another shape or dtype, or not all in 0..n-1."""
    given = plain(labels, "labels")
    if given.shape != (m,) or (given.size and not np.issubdtype(given.dtype, np.integer)):
        raise ValueError(f"labels have shape {given.shape} and dtype {given.dtype}; accepted: integers ({m},)")
    if given.size and not (given.min() >= 0 and given.max() < n):
        raise ValueError(f"labels run from {given.min()} to {given.max()}; accepted: 0 to {n - 1}")
    return array(given, np.int32)


def pointer(x: Array, writable: bool = False) -> Any:
    """The address of a C-ordered array; the pointer keeps the array alive."""
    return ffi.from_buffer(_CTYPES[x.dtype], x, writable)


# pointer(x, writable) for float32 arrays, a third faster
floats = partial(ffi.from_buffer, _CTYPES[FLOAT32])


def batch_of_channels(x: Array, **vectors: Array) -> tuple[int, int, int]:
    """The sizes of x (m, places, c). ValueError: it is empty or has other axes, or the vectors are not (c)."""
    if x.ndim != 3 or not x.size:
        raise ValueError(f"x has shape {x.shape}; accepted: (samples, places, channels), at least one of each")
    check_vectors(x, **vectors)
    return x.shape


def picture_batch(x: npt.ArrayLike) -> Array:
    """x as C-ordered uint8 or float32 pictures. ValueError: it has another dtype, or not three or four axes."""
    a = plain(x, "x")
    if a.dtype != UINT8 and a.dtype.kind != "f":
        raise ValueError(f"x has dtype {a.dtype}; accepted: uint8 (pixels, taken as x/255), float32, float64")
    if a.ndim not in (3, 4):
        raise ValueError(f"x has shape {a.shape}; accepted: (n, height, width) or (n, channels, height, width)")
    return array(a, UINT8 if a.dtype == UINT8 else FLOAT32)


def matrix_rows(x: npt.ArrayLike, name: str) -> tuple[Array, Any, int]:
    """x as a float32 matrix, its address and row distance in floats; copied if its layout does not allow that."""
    a = np.asarray(numbers(x, name), FLOAT32)
    where = location(a) if a.ndim == 2 else None
    if where is None:
        a = matrix(a, name)
        where = floats(a), a.shape[1]
    return a, *where


def location(x: Array) -> tuple[Any, int] | None:
    """The address of x (m,n) and its row distance in floats; None unless each row is contiguous."""
    if x.flags.c_contiguous:
        return floats(x), x.shape[1]
    (rows, columns), (row, column) = x.shape, x.strides
    if (columns < 2 or column == 4) and (rows < 2 or (row % 4 == 0 and row >= 4 * columns)):
        return ffi.cast("float *", x.ctypes.data), row // 4 if rows > 1 else columns
    return None


def in_place(dw: npt.ArrayLike, **changed: Array) -> list[Any]:
    """Pointers to writable arrays of dw's shape, then to dw."""
    grad, pointers, same = array(dw), [], True
    for name, x in changed.items():
        fits = isinstance(x, np.ndarray) and x.dtype == FLOAT32 and x.flags.c_contiguous and x.flags.writeable
        if not fits or is_masked(x):
            raise ValueError(f"{name} must be a C-ordered, writable float32 array: it is changed in place")
        same = same and x.shape == grad.shape
        pointers.append(floats(x, True))
    if not same:
        check_same_shape(**changed, dw=grad)
    return [*pointers, floats(grad)]


def view(data: Any, shape: tuple[int, ...], owner: Any) -> Array:
    """The core's memory at `data` (float *) as a live, writable array that keeps `owner` (pn_net *) alive."""
    size = int(np.prod(shape)) * 4
    kept = ffi.gc(data, lambda _, keep=owner: None)
    return np.frombuffer(ffi.buffer(kept, size), dtype=np.float32).reshape(shape)


def tensor_view(tensor: Any, owner: Any) -> Array:
    """The numbers of a pn_tensor, as view gives them."""
    return view(tensor.data, tuple(tensor.shape)[: tensor.rank], owner)


def optimizer_struct(given: Optimizer | str) -> Any:
    """pn_optim * for an optimizer; the core's defaults where a field is None."""
    optimizer = as_optimizer(given)
    opt = ffi.new("pn_optim *")
    lib.pn_optim_default(opt, getattr(lib, f"PN_{optimizer.kind.upper()}"))
    for name, value in vars(optimizer).items():
        if value is not None:
            setattr(opt, name, value)
    return opt


def augment_struct(augment: Augment, height: int, width: int) -> Any:
    """pn_augment * for pictures of this size; the core's defaults where a field is None."""
    if not isinstance(augment, Augment):
        raise TypeError(f"augment is {augment!r:.80}; accepted: pynet.Augment(...) or None")
    struct = ffi.new("pn_augment *")
    lib.pn_augment_default(struct, height, width)
    for name, value in vars(augment).items():
        if value is not None:
            setattr(struct, name, value)
    return struct


def checked_seed(seed: int) -> int:
    """The seed as int. TypeError, ValueError: it is not a whole number of 64 bits."""
    if isinstance(seed, bool) or not hasattr(seed, "__index__"):  # NumPy integers have __index__ too
        raise TypeError(f"seed is {seed!r:.80}; accepted: a whole number, 0 to 2^64 - 1")
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed is {seed}; accepted: 0 to 2^64 - 1")
    return int(seed)


def cpu_tables() -> list[str]:
    """Names of the kernel tables that this CPU can run, best first."""
    names: list[str] = []
    while (name := lib.pn_cpu_table(len(names))) != ffi.NULL:
        names.append(text(name))
    return names


def check_environment() -> None:
    """ValueError if PYNET_CPU or PYNET_NUM_THREADS is invalid: the core would ignore it silently."""
    requested = os.environ.get("PYNET_CPU")
    if requested and requested not in cpu_tables():
        raise ValueError(f"PYNET_CPU is {requested!r}; this CPU has {', '.join(cpu_tables())}")
    threads = os.environ.get("PYNET_NUM_THREADS")
    if threads and not (threads.isdecimal() and 1 <= int(threads) <= 64):
        raise ValueError(f"PYNET_NUM_THREADS is {threads!r}; accepted: 1 to 64")
