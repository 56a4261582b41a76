"""Random networks against the float64 reference, and their bits by every API, kernel table and number of threads.

Layers of all kinds, nested residuals, norms, paddings, strides, losses, optimizers and batch sizes are drawn at
random. The core must come as near to the reference as float32 allows. How near that is shows in the reference itself:
by how much its results change when its inputs, its parameters and the results of each layer get errors of float32's
size. And all settings must give the same bits.
"""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from part import Part, last_line

from pynet import SGD, Adam, AdamW, Momentum, Nesterov, Network, RMSProp, kernels, reference
from pynet.model.csr import CSR
from pynet.optim import Optimizer

Array = npt.NDArray[Any]
TABLES = [name for name in kernels.cpu_tables() if name != "portable"] or ["portable"]  # those with fused multiply-add
THREADS = (1, 2, 3)
ROUNDING = 2.0**-22  # relative error that the reference gets
MARGIN = 60  # allowed error, in changes of the reference: large, because three tries show little of long sums
FLOOR = 2e-6  # allowed error relative to the largest number of a tensor, for numbers that cancel to nearly zero
MAGNIFIED = 10  # a batchnorm that multiplies rounding errors by more than this multiplies the allowed error as well

# ---- random networks ------------------------------------------------------------------------------------------------


def random_words(
    draw: random.Random, shape: tuple[int, ...], length: int, depth: int
) -> tuple[list[str], tuple[int, ...]]:
    """Words of layers for samples of this shape, and the output shape."""
    words = []
    for _ in range(length):
        word, shape = random_word(draw, shape, depth)
        words.append(word)
    return words, shape


def random_word(draw: random.Random, shape: tuple[int, ...], depth: int) -> tuple[str, tuple[int, ...]]:
    kinds = ["dense", "dense", "activation", "activation", "norm", "dropout", "residual"]
    if len(shape) == 3:
        kinds = ["conv", "conv", "conv", "pool", "activation", "activation", "norm", "dropout", "residual", "rare"]
    kind = draw.choice(kinds)
    if kind == "residual" and depth < 2:
        inside, out = random_words(draw, shape, draw.randint(1, 3), depth + 1)
        computes = any(not word.startswith("flatten") for word in inside)
        if computes and (len(out) == 1 or out[1:] == shape[1:]):  # otherwise no projection fits
            return f"residual({' '.join(inside)})", out
        kind = "activation"
    if kind == "dense" or (kind == "rare" and draw.random() < 0.3):
        units = draw.choice([1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 100, draw.randint(1, 130)])
        return f"dense({units}{draw.choice(['', '', ',init=he', ',init=xavier', ',bias=no'])})", (units,)
    if kind == "conv":
        return random_convolution(draw, shape)
    if kind == "pool":
        size = draw.randint(1, min(3, *shape[1:]))
        stride = draw.choice([size, draw.randint(1, 3)])
        out = tuple((side - size) // stride + 1 for side in shape[1:])
        return f"{draw.choice(['maxpool', 'avgpool'])}({size},stride={stride})", (shape[0], *out)
    if kind == "rare":
        return draw.choice([("globalavgpool", (shape[0], 1, 1)), ("flatten", (int(np.prod(shape)),))])
    if kind == "norm":
        return draw.choice(
            ["batchnorm", "batchnorm(eps=0.001,momentum=0.3)", "layernorm", "layernorm(eps=0.01)"]
        ), shape
    if kind == "dropout":
        return f"dropout({draw.choice([0, 0.1, 0.5, 0.9])})", shape
    activations = ["relu", "relu", "leaky_relu", "leaky_relu(0.2)", "gelu", "sigmoid", "tanh", "softmax"]
    return draw.choice(activations), shape


def random_convolution(draw: random.Random, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    channels, height, width = draw.choice([1, 2, 3, 8, 15, 16, 17, draw.randint(1, 20)]), *shape[1:]
    kernel = draw.randint(1, min(5, height, width))
    stride = draw.choice([1, 1, 2, 3])
    pad = draw.choice(["0", "same", str(draw.randint(0, kernel))])
    if pad == "same":
        out = tuple(-(-side // stride) for side in (height, width))
    else:
        out = tuple((side + 2 * int(pad) - kernel) // stride + 1 for side in (height, width))
    bias = draw.choice(["", "", ",bias=no"])
    return f"conv({channels},{kernel},stride={stride},pad={pad}{bias})", (channels, *out)


def random_network(draw: random.Random) -> tuple[str, str]:
    """The text of a network, and its loss."""
    shape: tuple[int, ...] = (draw.choice([1, 5, 16, 17, 33, 64, draw.randint(1, 200)]),)
    if draw.random() < 0.6:
        shape = (draw.randint(1, 3), draw.randint(3, 12), draw.randint(3, 12))
    words, out = random_words(draw, shape, draw.randint(1, 7), 0)
    if draw.random() < 0.3:
        words.insert(0, "standardize")
    if len(out) > 1 or draw.random() < 0.7:
        out = (draw.randint(1, 12),)
        words.append(f"dense({out[0]})")
    loss = draw.choice(["cross_entropy", "cross_entropy", "mse", "bce", "mae", "huber"])
    words += {"cross_entropy": ["softmax"], "bce": ["sigmoid"]}.get(loss) or draw.choice([[], ["rescale"]])
    smoothing = ["", ",smoothing=0.1"] if out != (1,) else [""]  # of one class, its gradient is only rounding errors
    options = {"cross_entropy": smoothing, "huber": ["", ",delta=0.2"]}.get(loss, [""])
    loss_text = f" loss({loss}{draw.choice(options)})"
    return f"input({','.join(map(str, shape))}) {' '.join(words)}{loss_text}", loss


def created(text: str, seed: int, x: Array, y: Array) -> Network:
    """The network, its scaling fitted to these samples."""
    net = Network(text, seed=seed)
    if net.layers[0].kind == "standardize" or net.layers[-1].kind == "rescale":
        net.adapt(x, y)
    return net


def random_optimizer(draw: random.Random) -> tuple[Optimizer, reference.Optimizer]:
    """A random optimizer of the core, and the same of the reference."""
    clip = draw.choice([{}, {}, {"clip_norm": 0.5}, {"clip_value": 0.1}])
    decay = draw.choice([{}, {}, {"l2": 0.01}, {"weight_decay": 0.02}, {"l2": 0.01, "decay_all": True}])
    given: dict[str, Any] = {**clip, **decay}
    rate = draw.choice([0.01, 0.003])
    kind = draw.choice([SGD, Momentum, Nesterov, RMSProp, Adam, AdamW])
    if kind is AdamW:
        given.setdefault("weight_decay", 0.01)
    if kind in (RMSProp, Adam, AdamW):
        given["epsilon"] = 0.01  # with less, a gradient of rounding errors would cause a full step
    if kind is RMSProp:
        given["beta2"] = 0.99  # the reference has one value for all optimizers
    name = "adam" if kind is AdamW else kind.kind
    return kind(rate, **given), reference.Optimizer(name, rate, **given)


def random_samples(draw: random.Random, net: Network, n: int) -> tuple[Array, Array, Array | None]:
    """x, many of them zero, as floats or bytes; y; weights or none."""
    rng = np.random.default_rng(draw.randrange(1 << 63))
    x: Array = rng.standard_normal((n, *net.in_shape)) * (rng.random((n, *net.in_shape)) < 0.7)
    x = x.astype(np.float32)
    if draw.random() < 0.3:
        x = rng.integers(0, 256, x.shape, dtype=np.uint8)
    outputs = int(np.prod(net.out_shape))
    y: Array = rng.integers(0, outputs, n)
    if net.loss_name != "cross_entropy":
        y = rng.random((n, outputs), dtype=np.float32)
    weights = rng.random(n, dtype=np.float32) if draw.random() < 0.3 else None
    return x, y, weights


# ---- against the reference ------------------------------------------------------------------------------------------

Results = dict[str, Array]


def results_of(net: Any, x: Array, y: Array, weights: Array | None, optimizer: Any) -> Results:
    """The results of a training step, by the core or by the reference."""
    found = {"output": np.array(net.forward(x))}
    found["loss"] = np.array(net.loss(y, weights))
    net.backward()
    gradients = net.gradients() if callable(net.gradients) else net.gradients
    found |= {f"gradient of {name}": np.array(g) for name, g in gradients.items()}
    net.update(optimizer)
    tensors = net.parameters() if hasattr(net, "named_layers") else net.tensors
    found |= {name: np.array(w) for name, w in tensors.items()}
    return found


def moved(exact: Array, rng: np.random.Generator, scale: float) -> Array:
    """These numbers with random relative errors up to `scale` roundings; denormals are flushed to zero."""
    noise = scale * rng.uniform(-1, 1, exact.shape)
    return np.asarray(exact + noise * np.where(exact == 0, 0, abs(exact) * ROUNDING + np.finfo(np.float32).tiny))


def roughened(twin: reference.Network, rng: np.random.Generator, scale: float) -> reference.Network:
    """The reference, with such errors added to each layer's results."""

    def rough(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
        return lambda x: moved(function(x), rng, scale)

    def rough_terms(norm: reference.BatchNorm | reference.LayerNorm) -> Callable[[Array], Array]:
        """Its gradient: rounded terms nearly cancel; of two samples or features, all but a fraction eps / variance."""
        function = norm.backward

        def backward(dy: Array) -> Array:
            axes, gamma = (1,), norm.params["gamma"]
            if isinstance(norm, reference.BatchNorm):
                axes, gamma = norm.axes, gamma.reshape(1, -1, *[1] * (dy.ndim - 2))
            terms = abs(dy.reshape(norm.x.shape) * gamma).max(axis=axes, keepdims=True)
            terms = terms / np.sqrt(norm.x.var(axis=axes, keepdims=True) + norm.eps)
            noise = scale * ROUNDING * rng.uniform(-1, 1, norm.x.shape) * terms
            return function(dy) + noise.reshape(dy.shape)

        return backward

    for w in twin.parameters().values():
        w[...] = moved(w, rng, scale)
    for layer in twin.named_layers.values():
        if isinstance(layer, (reference.BatchNorm, reference.LayerNorm)):
            layer.backward = rough_terms(layer)  # type: ignore[method-assign]
        layer.forward, layer.backward = rough(layer.forward), rough(layer.backward)  # type: ignore[method-assign]
    return twin


def spread(net: Network, x: Array, samples: Any, optimizer: Any, exact: Results, tries: int, scale: float) -> Results:
    """The largest changes of the reference's results in `tries` runs with rounding errors."""
    rng = np.random.default_rng(0)
    most = {name: np.zeros_like(value, float) for name, value in exact.items()}
    for _ in range(tries):
        twin = roughened(reference.Network.from_net(net), rng, scale)
        inputs = x / 255 if x.dtype == np.uint8 else x.astype(float)
        other = results_of(twin, moved(inputs, rng, scale), *samples, fresh(optimizer))
        for name, value in other.items():
            most[name] = np.maximum(most[name], abs(value - exact[name]))
    return most


def fresh(optimizer: reference.Optimizer) -> reference.Optimizer:
    """A copy of an optimizer, in its state before the first step."""
    found = copy.copy(optimizer)
    found.steps, found.state = 0, {}
    return found


def worst(found: Results, exact: Results, moves: Results) -> tuple[float, str]:
    """The largest error of the core, in multiples of the allowed error, and its place."""
    most, place = 0.0, ""
    largest = max((float(abs(value).max(initial=0)) for name, value in exact.items() if "gradient" in name), default=0)
    for name, value in exact.items():
        size = max(float(abs(value).max(initial=0)), largest)  # a zero gradient is a sum of nonzero terms
        # numbers of a tensor depend on each other, so the largest change in the tensor counts for each, too
        allowed = MARGIN * np.maximum(moves[name], moves[name].max(initial=0) / 10) + FLOOR * size + 1e-7
        off = float((abs(found[name].reshape(value.shape) - value) / allowed).max(initial=0))
        if not off <= most:
            most, place = off, name
    return most, place


def compare(
    net: Network, samples: tuple[Array, Array, Array | None], optimizers: tuple[Optimizer, Any]
) -> tuple[float, str]:
    """See worst. An excess may be due to a kink of a ReLU; then larger errors in the reference show it, too."""
    x, *others = samples
    exact = results_of(reference.Network.from_net(net), x, *others, fresh(optimizers[1]))
    off, place = 0.0, ""
    with np.errstate(all="ignore"):
        for tries, scale in ((3, 1.0), (20, 1.0), (40, 8.0)):
            twin = net.copy()
            moves = spread(net, x, others, optimizers[1], exact, tries, scale)
            off, place = worst(results_of(twin, x, *others, optimizers[0]), exact, moves)
            if off <= 1:
                break
    return off, place


def magnification(net: Network, x: Array) -> float:
    """By how much norms multiply rounding errors if a batchnorm does, of a feature that hardly varies; otherwise 1."""
    twin, factors = reference.Network.from_net(net), {"batch": 1.0, "layer": 1.0}

    def watched(layer: reference.BatchNorm | reference.LayerNorm) -> Callable[[Array], Array]:
        function = layer.forward
        kind, kept = ("batch", 1) if isinstance(layer, reference.BatchNorm) else ("layer", 0)

        def forward(h: Array) -> Array:
            variance = h.var(axis=tuple(axis for axis in range(h.ndim) if axis != kept))
            factors[kind] *= max(1, float((variance.min() + layer.eps) ** -0.5))
            return function(h)

        return forward

    for layer in twin.named_layers.values():
        if isinstance(layer, (reference.BatchNorm, reference.LayerNorm)):
            layer.forward = watched(layer)  # type: ignore[method-assign]
    twin.forward(x)
    return factors["batch"] * factors["layer"] if factors["batch"] > MAGNIFIED else 1


# ---- the same bits --------------------------------------------------------------------------------------------------


def bits(
    text: str, seed: int, samples: tuple[Array, Array, Array | None], batch: int, optimizer: Optimizer
) -> set[Any]:
    """The hashes after training by each API, table and number of threads; all should be equal."""
    x, y, weights = samples
    sparse = x.ndim == 2 and x.dtype == np.float32 and " standardize " not in text
    apis = [by_fit, by_train_step, by_four_steps, *([by_sparse_rows] if sparse else [])]
    found = set()
    for table in TABLES:
        kernels.set_cpu(table)
        for threads in THREADS:
            kernels.set_threads(threads)
            for api in apis:
                net = created(text, seed, x, y)
                try:
                    api(net, x, y, weights, batch, optimizer)
                    p = net.predict_proba(x)
                    if not np.isfinite(p).all():
                        raise FloatingPointError("the last step diverged")
                    found.add((net.weights_sha256(), p.tobytes(), net.input_gradient(x, y).tobytes()))
                except FloatingPointError:  # fit undoes the last step, the others do not
                    found.add("diverged")
    kernels.set_cpu(None)
    kernels.set_threads(None)
    return found


def by_fit(net: Network, x: Array, y: Array, weights: Array | None, batch: int, optimizer: Optimizer) -> None:
    net.fit(x, y, epochs=2, batch_size=batch, optimizer=optimizer, sample_weight=weights, seed=3)


def by_sparse_rows(net: Network, x: Array, y: Array, weights: Array | None, batch: int, optimizer: Optimizer) -> None:
    sample, column = np.nonzero(x)
    starts = np.searchsorted(sample, np.arange(len(x) + 1))
    sparse: Any = CSR(x[sample, column], column.astype(np.int32), starts, x.shape)
    by_fit(net, sparse, y, weights, batch, optimizer)
    dense = x + np.float32(0)  # without -0.0, which sparse rows do not store
    if net.predict_proba(sparse).tobytes() != net.predict_proba(dense).tobytes():
        raise AssertionError("the predictions for sparse rows have other bits")


def batches(n: int, batch: int) -> list[Array]:
    """The samples of each step of by_fit: batches as equal as possible, the larger ones first."""
    steps = -(-n // batch)
    rows = [np.array_split(kernels.shuffle(n, 3, epoch), steps) for epoch in range(2)]
    return [part for epoch in rows for part in epoch]


def by_train_step(net: Network, x: Array, y: Array, weights: Array | None, batch: int, optimizer: Optimizer) -> None:
    for rows in batches(len(x), batch):
        net.train_step(x[rows], y[rows], optimizer, None if weights is None else weights[rows])


def by_four_steps(net: Network, x: Array, y: Array, weights: Array | None, batch: int, optimizer: Optimizer) -> None:
    for rows in batches(len(x), batch):
        net.forward(x[rows])
        net.loss(y[rows], None if weights is None else weights[rows])
        net.backward()
        net.update(optimizer)


# ---- all of it ------------------------------------------------------------------------------------------------------


def fault_of(draw: random.Random, description: list[str]) -> str | None:
    """Draws and tests a network; returns what is wrong, or None. description: receives network and training."""
    text, _ = random_network(draw)
    seed, n = draw.randrange(1 << 32), draw.choice([2, 3, 8, 17, draw.randint(2, 70)])
    description.append(text)
    samples, optimizers = random_samples(draw, Network(text), n), random_optimizer(draw)
    net = created(text, seed, *samples[:2])
    given = ", ".join(f"{name}={value}" for name, value in vars(optimizers[0]).items() if value is not None)
    description.append(f"{n} samples, {optimizers[0].kind}({given})")
    kernels.set_cpu(draw.choice(kernels.cpu_tables()))
    off, place = compare(net, samples, optimizers)
    kernels.set_cpu(None)
    if not off <= 1 and not off <= magnification(net, samples[0]):
        return f"{place} is {off:.1f} times as far from the reference as is allowed"
    batch = max(draw.choice([3, 7, n, draw.randint(2, n), draw.randint(2, n)]), 3)
    batch = n if n < 2 * batch else batch  # batchnorm refuses a batch of one
    found = bits(text, seed, samples, max(batch, n // 6), optimizers[0])
    return None if len(found) == 1 else f"{len(found)} different results in batches of {batch}"


def main() -> int:
    part = Part("networks", __doc__ or "")
    case = 0
    seen: set[str] = set()
    while not part.is_over() or part.only:
        name, description = part.only or str(case), list[str]()
        try:
            why = fault_of(part.random(name), description)
        except Exception:
            why = last_line()
        if why:
            part.finding(name, f"{why}; {', '.join(description)}")
        seen |= {word.partition("(")[0] for word in description[0].replace("residual(", "residual ").split()}
        case += 1
        if part.only:
            break
    settings = len(TABLES) * len(THREADS) * 3
    return part.finish(
        f"{case} networks of {len(seen)} words against float64, each in {settings} settings for its bits, "
        "and as sparse rows where it takes them"
    )


if __name__ == "__main__":
    sys.exit(main())
