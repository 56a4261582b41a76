"""JAX: the whole epoch is one compiled lax.scan over mini-batches; a shorter last batch is one more step in it.

The CPU affinity of the process and XLA_FLAGS, set by bench.runner, limit the cores that it uses.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bench.peers import LEARNING_RATE, Array, Weights, to_float


def logits(params: Any, x: Any) -> Any:
    for W, b in params[:-1]:
        x = jax.nn.relu(x @ W + b)
    W, b = params[-1]
    return x @ W + b


def epoch_of(logits: Callable[[Any, Any], Any]) -> Any:
    """A compiled epoch of gradient descent on the cross-entropy of these logits."""

    def loss(params: Any, x: Any, y: Any) -> Any:
        log_p = jax.nn.log_softmax(logits(params, x))
        return -jnp.take_along_axis(log_p, y[:, None], axis=1).mean()

    def step(params: Any, x: Any, y: Any) -> Any:
        return jax.tree.map(lambda w, dw: w - LEARNING_RATE * dw, params, jax.grad(loss)(params, x, y))

    @partial(jax.jit, static_argnames="batch", donate_argnums=0)
    def epoch(params: Any, x: Any, y: Any, order: Any, batch: int) -> Any:
        whole = len(order) // batch * batch
        params, _ = jax.lax.scan(
            lambda p, index: (step(p, x[index], y[index]), None), params, order[:whole].reshape(-1, batch)
        )
        rest = order[whole:]
        return step(params, x[rest], y[rest]) if len(rest) else params

    return epoch


epoch = epoch_of(logits)


@partial(jax.jit)
def classes(params: Any, x: Any) -> Any:
    return logits(params, x).argmax(1)


class JaxNet:
    """The functions above, and their parameters."""

    run_epoch, classes = staticmethod(epoch), staticmethod(classes)

    def __init__(self, weights: Weights) -> None:
        self.params = [(jnp.array(W), jnp.array(b)) for W, b in weights]
        self.rng = np.random.default_rng(0)

    def load(self, x: Array, y: Array) -> None:
        self.x, self.y = jnp.array(to_float(x)), jnp.array(y)

    def epoch(self, batch: int, order: Array | None = None) -> None:
        order = self.rng.permutation(len(self.x)) if order is None else order
        self.params = self.run_epoch(self.params, self.x, self.y, order.astype(np.int32), batch)
        jax.block_until_ready(self.params)

    def weights(self) -> Weights:
        return [(np.array(W), np.array(b)) for W, b in self.params]

    def ready(self, x: Array) -> Any:
        return jnp.array(to_float(x))

    def predict(self, x: Any) -> Array:
        return np.asarray(self.classes(self.params, x))
