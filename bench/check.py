"""Checks the results of the contestants against float64, before anything is timed.

    python -m bench.check NAME...

From equal weights and in the same order, an epoch of each contestant must end where float64 ends, and the kernels must
give what their float64 twins give.
"""

from __future__ import annotations

import sys

import numpy as np

from bench import convolution, data, kernels
from bench.peers import CONTESTANTS, LEARNING_RATE, Array, Net, Weights, initial, lenet
from bench.training import CASES, Case

BATCHES = 30  # of an epoch; after more, a ReLU whose sign rounding changed has changed too much else
# The allowed error relative to the change of the weights. Rounding alone causes 1e-6, or about 1e-3 if it changes the
# sign at one ReLU of one sample. A wrong gradient, rate or order causes 0.1 or more.
TOLERANCE = 5e-3


def check_kernels() -> None:
    """Small cases of bench/kernels.py, all ways of pynet and NumPy, against float64. RuntimeError: one is wrong."""
    for case in kernels.SMALL:
        expected = kernel_in_float64(case)
        # a rounded sum of k products of numbers near 1 has the relative error 2^-24 sqrt(k); 1e-5 is well above
        room = 1e-5 * np.abs(expected).max()
        for name in ("pynet", "numpy"):
            for way, call in case.calls(name).items():
                far = np.abs(call() - expected).max()
                if not far <= room:
                    raise RuntimeError(f"{case.name}: {name}, {way} is {far:.1e} from float64, accepted is {room:.1e}")


def kernel_in_float64(case: kernels.Case) -> Array:
    """The expected result of the first call, in float64."""
    from pynet import reference

    first, *more = case.operands()
    if case.function == "matmul":
        return reference.gemm(first, more[0], trans_a=more[1], trans_b=more[2])
    if case.function == "cross_entropy_grad":
        return reference.cross_entropy(first, *more)[1]
    if case.function == "sgd":
        return first - LEARNING_RATE * more[0].astype(np.float64)
    if case.function == "adam":
        w = first.astype(np.float64)
        reference.adam(w, np.zeros(w.shape), np.zeros(w.shape), *more, 1, LEARNING_RATE)
        return w
    return getattr(reference, case.function)(first)


def reference_epoch(weights: Weights, x: Array, y: Array, order: Array, batch: int) -> Weights:
    """The same epoch in float64."""
    from pynet import reference

    layers: list[reference.Layer] = []
    for W, b in weights:
        if W.ndim == 4:
            layers += [reference.Conv(W, b), reference.ReLU(), reference.MaxPool(2)]
        else:
            layers += [reference.Dense(W, b), reference.ReLU()]
    in_shape = (1, 28, 28) if weights[0][0].ndim == 4 else None
    net = reference.Network([*layers[:-1], reference.Softmax()], in_shape=in_shape)
    net.fit(x, y, epochs=1, batch_size=batch, learning_rate=0.1, order=lambda n, epoch: order)
    return [(layer.params["W"], layer.params["b"]) for layer in net.layers if layer.params]


def difference(found: Weights, expected: Weights, start: Weights) -> float:
    """Distance of all weights from the expected ones, relative to the distance of these from the start."""

    def distance(ours: Weights, theirs: Weights) -> float:
        pairs = [(a, b) for o, t in zip(ours, theirs, strict=True) for a, b in zip(o, t, strict=True)]
        return float(np.sqrt(sum(np.sum((a.astype(np.float64) - b) ** 2) for a, b in pairs)))

    return distance(found, expected) / distance(expected, start)


def distance_of(
    case: str,
    name: str,
    net: Net,
    samples: tuple[Array, Array],
    order: Array,
    batch: int,
    weights: Weights,
    expected: Weights,
) -> float:
    """The difference between the expected weights and those after the contestant's epoch. RuntimeError: too large."""
    net.load(*samples)
    net.epoch(batch, order)
    far = difference(net.weights(), expected, weights)
    if not far < TOLERANCE:
        raise RuntimeError(f"{case}: {name} is {far:.1e} from float64, accepted is {TOLERANCE:.0e}")
    return far


def check_case(case: Case, names: list[str], batches: int = BATCHES) -> dict[str, float]:
    """The difference of each contestant from float64 after an epoch. RuntimeError: too large, or wrong classes."""
    from pynet import kernels

    samples = (
        min(batches, 60_000 // case.batch) * case.batch
    )  # whole batches, which all contestants cut in the same way
    x, y = data.read("train", case.data, samples)
    weights, order = initial(list(case.widths)), kernels.shuffle(samples, seed=1, epoch=0)
    expected = reference_epoch(weights, x, y, order, case.batch)
    found = {}
    for name in names:
        net = CONTESTANTS[name].create(weights)
        found[name] = distance_of(case.name, name, net, (x, y), order, case.batch, weights, expected)
        check_classes(name, net.weights(), net.predict(net.ready(x[:1000])), x[:1000])
    return found


def check_classes(name: str, weights: Weights, classes: Array, x: Array) -> None:
    """Raises RuntimeError unless float64 gives the same classes, except where outputs are nearly equal."""
    h = x.astype(np.float64) / (255 if x.dtype == np.uint8 else 1)
    for i, (W, b) in enumerate(weights):
        h = h @ W + b
        h = h if i == len(weights) - 1 else np.maximum(h, 0)
    behind = h.max(axis=1) - h[np.arange(len(h)), classes]
    if behind.max() > 1e-4:
        raise RuntimeError(
            f"{name}: sample {behind.argmax()} has the class {classes[behind.argmax()]}, in float64 another one"
        )


def check_lenet(names: list[str]) -> dict[str, float]:
    """The same for bench.convolution, with a third of the batches, because float64 is slow."""
    from pynet import kernels

    batch, samples = convolution.BATCH, BATCHES // 3 * convolution.BATCH
    x, y = data.read("train", "bytes", samples)
    weights, order = lenet.initial(), kernels.shuffle(samples, seed=1, epoch=0)
    expected = reference_epoch(weights, x, y, order, batch)
    return {
        name: distance_of(convolution.CASE, name, net, (x, y), order, batch, weights, expected)
        for name in names
        for net in [lenet.LENET[name].create(weights)]
    }


def main(names: list[str], batches: int = BATCHES) -> None:
    """Checks all kernels and, if contestants are named, all cases of bench/training.py; prints the differences."""
    check_kernels()
    print("kernels agree with float64", flush=True)
    if names:
        found = check_lenet(convolution.contestants(names))
        print(
            f"{convolution.CASE}: from float64 " + ", ".join(f"{name} {far:.0e}" for name, far in found.items()),
            flush=True,
        )
    for case in CASES if names else ():
        found = check_case(case, [name for name in names if CONTESTANTS[name].orders], batches)
        print(f"{case.name}: from float64 " + ", ".join(f"{name} {far:.0e}" for name, far in found.items()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
