"""JAX on images, pixel by pixel, which its convolutions on CPUs prefer; the epoch is one compiled lax.scan."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from bench.peers import Array, to_float
from bench.peers.jax_net import JaxNet, epoch_of


def logits(params: Any, x: Any) -> Any:
    for W, b in params[:2]:
        x = jax.lax.conv_general_dilated(x, W, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = jax.nn.relu(x + b)
        x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
    (W, b), (W_last, b_last) = params[2:]
    return jax.nn.relu(x @ W + b) @ W_last + b_last


epoch = epoch_of(logits)


class JaxLenet(JaxNet):
    """The functions above, and their parameters."""

    run_epoch, classes = staticmethod(epoch), staticmethod(jax.jit(lambda params, x: logits(params, x).argmax(1)))

    def load(self, x: Array, y: Array) -> None:
        super().load(to_float(x).reshape(-1, 28, 28, 1), y)

    def ready(self, x: Array) -> Any:
        return super().ready(to_float(x).reshape(-1, 28, 28, 1))
