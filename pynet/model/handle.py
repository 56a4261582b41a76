"""Owns a pn_net of the core: locked calls, and its parameters and gradients as arrays."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from pynet._ffi import Array, check, check_environment, ffi, lib, pointer, tensor_view, text, view


class Handle:
    """A pn_net and the lock that allows one call at a time."""

    def _attach(self, create: Callable[[Any, Any], int]) -> None:
        """Takes ownership of the net that create(pn_net **, err) makes."""
        check_environment()
        out, err = ffi.new("pn_net **"), ffi.new("char[]", lib.PN_ERRLEN)
        check(create(out, err), err)
        self._ptr = ffi.gc(out[0], lib.pn_net_free)
        self._lock = threading.RLock()
        self._rows = 0
        tensors = [self._tensor(i) for i in range(self._info.tensors)]
        self._tensors = {text(tensor.name): tensor_view(tensor, self._ptr) for tensor in tensors}
        _alive.add(self)

    def _call(self, function: Any, *args: Any) -> None:
        """Calls function(pn_net *, *args) with the lock held; raises if the status is an error."""
        with self._lock:
            status = function(self._ptr, *args)
            if status:
                check(status, lib.pn_net_error(self._ptr))

    def _tensor(self, index: int) -> Any:
        tensor = ffi.new("pn_tensor *")
        self._call(lib.pn_net_tensor, index, tensor)
        return tensor

    @property
    def _info(self) -> Any:
        """A new pn_net_info *."""
        info = ffi.new("pn_net_info *")
        lib.pn_net_describe(self._ptr, info)
        return info

    @property
    def tensors(self) -> dict[str, Array]:
        """The parameters by name, {"0.W": (784, 128), "0.b": (128,), ...}, then the running statistics, which are not
        trained. Live views: writing to them changes the network."""
        return dict(self._tensors)

    @property
    def gradients(self) -> dict[str, Array]:
        """Copies of the gradients of the last backward(), by the names of the parameters."""
        found = {}
        with self._lock:  # another thread's call may move them before they are copied
            for i, (name, tensor) in enumerate(self._tensors.items()):
                entry = self._tensor(i)
                if not entry.trained:
                    continue
                if entry.grad == ffi.NULL:
                    raise RuntimeError(f"{name} has no gradient yet; call backward() first")
                values = np.frombuffer(ffi.buffer(entry.grad, tensor.nbytes), np.float32)
                found[name] = values.reshape(tensor.shape).copy()
        return found

    @property
    def _gradient_block(self) -> Array:
        """All gradients, (parameters,): a live view, which may be changed before _step."""
        block, n = ffi.new("float **"), ffi.new("int64_t *")
        self._call(lib.pn_net_gradient_block, block, n)
        return view(block[0], (n[0],), self._ptr)

    def _gradient(self, samples: Any, order: Array, parts: Array, batch_rows: int, stats: Any) -> None:
        """Gradients of parts of a batch, added in a fixed tree, of their losses divided by batch_rows; adds to stats.

        order (int32): numbers of samples. parts (parts, 3) int64: of each its place in order, number of rows, and
        first row within the batch, whose size is batch_rows.
        """
        part = ffi.from_buffer("pn_part[]", parts)
        self._call(lib.pn_net_gradient, samples.data, pointer(order), part, len(parts), batch_rows, stats)

    def _step(self, opt: Any, rates: Array | None = None) -> None:
        """A step of the optimizer (pn_optim *) with the gradients in _gradient_block; rates[0] replaces its rate."""
        opt.rates = ffi.NULL if rates is None else ffi.from_buffer("double[]", rates)
        self._call(lib.pn_net_update, opt)


_alive: weakref.WeakSet[Handle] = weakref.WeakSet()


def _renew_locks() -> None:
    """A forked child has only one thread, so a lock that another thread held at the fork is never released."""
    for net in _alive:
        net._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)
