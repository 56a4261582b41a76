"""Threads: the same bits for every number of them, several callers at once, forks, and the environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from pynet import SGD, Adam, Network, data, kernels

Array = np.ndarray[Any, Any]

# Enough work in a batch of 32 for several threads; widths that do not divide evenly.
SPEC = "input(70) dense(130) relu dense(61) tanh dense(50) relu dense(10) softmax"
SPECS = [
    SPEC,
    "input(784) dense(128) relu dense(64) relu dense(10) softmax",
    "input(500) dense(17) sigmoid dense(300) softmax dense(9) sigmoid",
    "input(3,20,20) relu dense(40) relu dense(2)",
    "input(3,20,20) conv(8,3,pad=1) relu maxpool(2) conv(20,3,stride=2) relu avgpool(2) dense(30) softmax",
    "input(20) dense(400) relu dense(300) tanh dense(3) softmax",
    # images whose sums are added up in the cache, eleven at a time: the first layer's, odd channels, and of a residual
    "input(3,20,20) batchnorm conv(17,3) batchnorm relu residual(conv(17,1) batchnorm) maxpool(3) dense(4) softmax",
]
COUNTS = (1, 2, 3, 4, 8)


def samples(net: Network, n: int = 101, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (n, *net.in_shape), np.uint8)
    return x * (rng.random(x.shape) > 0.5 * (seed % 2)), rng.integers(0, net.out_shape[0], n)


def results(spec: str, seed: int = 0) -> tuple[object, ...]:
    """The results of everything that a network can do, as bits."""
    net = Network(spec, seed=seed)
    x, y = samples(net, seed=seed)
    history = net.fit(x, y, epochs=2, batch_size=32, validation=(x, y))
    for batch in data.batches(x, y, 32, seed=1):
        net.forward(batch[0])
        net.loss(batch[1])
        net.backward()
        net.update(SGD(0.1))
    p = net.predict_proba(x, 0.7)
    return (
        net.weights_sha256(),
        history.loss,
        history.accuracy,
        history.val_loss,
        net.evaluate(x, y),
        p.tobytes(),
        *(gradient.tobytes() for gradient in net.gradients.values()),
    )


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("spec", SPECS)
def test_every_number_of_threads_gives_the_same_bits(table: str, spec: str, seed: int) -> None:
    found = []
    for count in COUNTS:
        kernels.set_threads(count)
        assert kernels.threads() == count
        found.append(results(spec, seed))
    assert all(result == found[0] for result in found)


def test_large_layers_in_a_row_have_the_same_bits() -> None:
    """Each thread updates some of the weights and reads all activations; many steps, so that a race would show."""
    net = Network("input(300) dense(256) relu dense(256) relu dense(256) dense(10) softmax")
    start = {name: tensor.copy() for name, tensor in net.tensors.items()}
    x, y = samples(net, 6400)
    found = set()
    for count in (1, 2, 3, 2, 4, 2):
        kernels.set_threads(count)
        for name, tensor in net.tensors.items():
            tensor[...] = start[name]
        net.fit(x, y, epochs=1, batch_size=64)
        found.add(net.weights_sha256())
    assert len(found) == 1


@pytest.mark.parametrize("optimizer", [SGD(0.1), Adam(0.001)])
@pytest.mark.parametrize("batch_size", [64, 65, 128, 200, 301])
@pytest.mark.parametrize("spec", SPECS[1:3])
def test_large_batches_have_the_bits_of_the_four_steps(
    table: str, spec: str, batch_size: int, optimizer: SGD | Adam
) -> None:
    """Training gathers the inputs of more than 64 samples in pieces, the steps by hand all at once."""
    found = set()
    for count in COUNTS[:3]:
        kernels.set_threads(count)
        trained, stepped = Network(spec), Network(spec)
        x, y = samples(trained, 301, seed=1)
        trained.fit(x, y, epochs=1, batch_size=batch_size, optimizer=optimizer, seed=3)
        with pytest.raises(RuntimeError, match="has no gradient yet"):  # partial sums are not gradients
            _ = trained.gradients
        for batch in data.batches(x, y, batch_size, seed=3):
            stepped.forward(batch[0])
            stepped.loss(batch[1])
            stepped.backward()
            stepped.update(optimizer)
        found |= {trained.weights_sha256(), stepped.weights_sha256()}
    assert len(found) == 1


@pytest.mark.parametrize("spec", [*SPECS, "input(3,20,20) conv(8,3) layernorm gelu dense(30) layernorm softmax"])
def test_a_new_network_gives_the_same_bits(spec: str) -> None:
    """Before training, its work memory has one copy of the inputs, and the memory of all threads."""
    found = set()
    for count in COUNTS:
        kernels.set_threads(count)
        x, y = samples(Network(spec), 301)
        found.add((Network(spec).predict_proba(x).tobytes(), Network(spec).evaluate(x, y)))
    assert len(found) == 1


@pytest.mark.parametrize("density", [1.0, 0.2])
def test_few_rows_of_large_layers_have_the_bits_of_many(table: str, density: float) -> None:
    """All threads compute them together; more rows are partitioned among the threads. Below a density products skip
    zeros."""
    net = Network(
        "input(301) dense(1201) relu residual(dense(1201,bias=no) gelu) layernorm dense(37) sigmoid "
        "dense(700) dense(5) softmax"
    )
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (40, 301), np.uint8) * (rng.random((40, 301)) < density).astype(np.uint8)
    y = np.arange(40) % 5
    kernels.set_threads(1)
    want, loss = net.predict_proba(x, 0.7), net.evaluate(x[:3], y[:3])
    for count in COUNTS:
        kernels.set_threads(count)
        for rows in (1, 2, 7, 16, 17):
            assert_array_equal(net.predict_proba(x[40 - rows :], 0.7), want[40 - rows :])
        assert net.evaluate(x[:3], y[:3]) == loss


def test_a_row_wider_than_the_work_memory_of_one_thread() -> None:
    net = Network("input(1000000) dense(2) relu dense(300) dense(2)")  # 4 MB a row
    x = np.random.default_rng(0).random((9, 1_000_000), np.float32)
    kernels.set_threads(1)
    want = net.predict_proba(x)
    kernels.set_threads(3)
    assert_array_equal(net.predict_proba(x), want)


def test_more_threads_than_there_is_work_for() -> None:
    kernels.set_threads(64)
    many = results(SPEC)
    kernels.set_threads(1)
    assert results(SPEC) == many


def test_busy_cores_change_nothing() -> None:
    kernels.set_threads(1)
    alone = results(SPEC)
    net = Network(SPEC)
    x, y = samples(net, 20_000)  # many batches, in each of which other threads can be delayed
    p, evaluation = net.predict_proba(x), net.evaluate(x, y)
    spin = "import signal; signal.alarm(60)\nwhile True: pass"
    others = [subprocess.Popen([sys.executable, "-c", spin]) for _ in range(len(os.sched_getaffinity(0)))]
    kernels.set_threads(4)
    try:
        for _ in range(8):
            assert results(SPEC) == alone
            assert (net.predict_proba(x) == p).all()
            assert net.evaluate(x, y) == evaluation
    finally:
        for other in others:
            other.kill()
            other.wait()


def test_networks_in_several_threads_at_once() -> None:
    kernels.set_threads(2)
    jobs = [(spec, seed) for spec in SPECS[:2] for seed in (0, 1, 2)]
    alone = [results(*job) for job in jobs]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda job: results(*job), jobs)) == alone


def test_kernels_in_several_threads_at_once(table: str) -> None:
    def run(seed: int) -> list[bytes]:
        rng = np.random.default_rng(seed)
        a, b = rng.normal(size=(50, 300)), rng.normal(size=(70, 300))
        return [kernels.gemm(a, b, trans_b=True).tobytes() for _ in range(20)]

    alone = [run(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(4))) == alone


def test_large_kernels_give_the_same_bits_for_every_number_of_threads(table: str) -> None:
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(1003, 1501)).astype(np.float32)  # neither divides evenly
    narrow, labels = wide[:, :7].copy().repeat(40, axis=0), rng.integers(0, 7, 40 * len(wide))
    grad = wide[::-1].copy()

    def all_kernels() -> list[bytes]:
        found = [getattr(kernels, name)(wide) for name in ("relu", "gelu", "sigmoid", "tanh", "softmax")]
        found += [
            getattr(kernels, f"{name}_grad")(grad, wide) for name in ("relu", "gelu", "sigmoid", "tanh", "softmax")
        ]
        found += [kernels.softmax(narrow, 0.5), *kernels.cross_entropy(narrow, labels, smoothing=0.1)]
        w, mean, square = wide.copy(), np.zeros_like(wide), np.zeros_like(wide)
        kernels.sgd(w, grad, 0.1)
        kernels.momentum(w, mean, grad, 0.1)
        kernels.adam(w, mean, square, grad, 1, 0.1)
        return [x.tobytes() for x in (*found, w, mean, square)]

    kernels.set_threads(1)
    alone = all_kernels()
    for count in COUNTS[1:]:
        kernels.set_threads(count)
        assert all_kernels() == alone


@pytest.mark.parametrize("bad", [0, -1, 65, 10**6])
def test_bad_number_of_threads(bad: int) -> None:
    kernels.set_threads(3)
    with pytest.raises(ValueError, match=f"threads is {bad}; accepted: 1 to 64, or None for the default"):
        kernels.set_threads(bad)
    assert kernels.threads() == 3


def test_default_number_of_threads() -> None:
    kernels.set_threads(5)
    kernels.set_threads(None)
    if not {"PYNET_NUM_THREADS", "OMP_NUM_THREADS"} & os.environ.keys():
        assert kernels.threads() == min(len(os.sched_getaffinity(0)), 64)


# ---- in processes of their own: what may crash or hang, and the environment ----


def python(script: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def printed(script: str) -> str:
    done = python(script)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


VARIABLES = ("PYNET_NUM_THREADS", "OMP_NUM_THREADS", "PYNET_CPU")


def printed_with(script: str, *environments: dict[str, str]) -> list[str]:
    """What a script prints with each of these variables: in a fork each of one process that has not used the core."""
    return json.loads(
        printed(f"""
import contextlib, io, json, os, signal, sys
import pynet, pynet.train
from pynet import kernels
found = []
for environment in {environments!r}:
    r, w = os.pipe()
    if os.fork() == 0:
        signal.alarm(60)
        for name in {VARIABLES!r}:
            os.environ.pop(name, None)
        os.environ.update(environment)
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            try:
                exec({script!r})
            except ValueError as error:
                print(f"ValueError: {{error}}")
        os.write(w, out.getvalue().encode())
        os._exit(0)
    os.close(w)
    with open(r) as pipe:
        found.append(pipe.read().strip())
    assert os.wait()[1] == 0
print(json.dumps(found))
""")
    )


THREADS = "print(kernels.threads())"


def test_threads_from_the_environment() -> None:
    cases = [
        ("3", None, "3"),
        (None, "5", "5"),
        ("3", "5", "3"),
        (None, "4,2", "4"),
        ("1000", None, "64"),
        ("junk", "6", "6"),
        ("0", "6", "6"),
        ("-2", "6", "6"),
    ]
    environments = [
        {name: value for name, value in zip(VARIABLES, values, strict=False) if value} for *values, _ in cases
    ]
    found = printed_with(THREADS, *environments)
    assert [(*values, count) for (*values, _), count in zip(cases, found, strict=True)] == cases


def test_threads_are_the_cores_of_the_process() -> None:
    environments = [{}, *({"PYNET_NUM_THREADS": text} for text in ("", "junk", "0"))]
    one_core = f"os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}}); {THREADS}"
    assert printed_with(one_core, *environments) == ["1"] * 4
    cores = str(min(len(os.sched_getaffinity(0)), 64))
    assert printed_with(THREADS, *environments) == [cores] * 4


def test_the_table_from_the_environment_or_the_best() -> None:
    script = 'print(kernels.cpu()); kernels.set_cpu("portable"); kernels.set_cpu(None); print(kernels.cpu())'
    tables = kernels.cpu_tables()
    found = printed_with(script, *({"PYNET_CPU": name} for name in tables), {}, {"PYNET_CPU": ""})
    assert [text.split() for text in found] == [[name] * 2 for name in (*tables, tables[0], tables[0])]


NEW = "pynet.Network('input(2) relu')"


def test_a_table_that_does_not_exist() -> None:
    names = ("sse9", "AVX2", "avx2 ")
    messages = [f"PYNET_CPU is {name!r}; this CPU has {', '.join(kernels.cpu_tables())}" for name in names]
    environments = [{"PYNET_CPU": name} for name in names]
    assert printed_with(NEW, *environments) == [f"ValueError: {message}" for message in messages]
    command = "print(pynet.train.main(['--dataset', 'digits']))"
    assert printed_with(command, *environments) == [f"pynet train: error: {message}\n1" for message in messages]


def test_bad_numbers_of_threads_in_the_environment() -> None:
    counts = ("many", "0", "-1", "65", "2.5")
    expected = [f"ValueError: PYNET_NUM_THREADS is {count!r}; accepted: 1 to 64" for count in counts]
    assert printed_with(NEW, *({"PYNET_NUM_THREADS": count} for count in counts)) == expected


FORK = f"""
import os, signal, sys
import numpy as np
from pynet import Network, kernels
signal.alarm(60)
kernels.set_threads(3)
x = np.random.default_rng(0).integers(0, 256, (101, 70), np.uint8)
y = np.arange(101) % 10

def more(net):
    net.fit(x, y, epochs=2, batch_size=32)
    return net.weights_sha256()

net = Network({SPEC!r})
first = more(net)
readers = []
for generation in range(3):
    r, w = os.pipe()
    if os.fork() == 0:
        signal.alarm(60)  # a child does not inherit it
        if generation == 1:
            kernels.set_threads(2)
        os.write(w, more(net).encode())
        os._exit(0)
    os.close(w)
    readers.append(r)
second = more(net)
print(first, second, *(os.read(r, 64).decode() for r in readers))
for _ in readers:
    assert os.wait()[1] == 0
"""


def test_fork_in_the_middle() -> None:
    net = Network(SPEC)
    x, y = np.random.default_rng(0).integers(0, 256, (101, 70), np.uint8), np.arange(101) % 10
    expected = []
    for _ in range(2):
        net.fit(x, y, epochs=2, batch_size=32)
        expected.append(net.weights_sha256())
    assert printed(FORK).split() == [expected[0], *[expected[1]] * 4]


FORK_WHILE_ANOTHER_TRAINS = f"""
import os, signal, threading
import numpy as np
from pynet import Network, kernels
signal.alarm(60)
kernels.set_threads(2)
x = np.random.default_rng(0).integers(0, 256, (2000, 70), np.uint8)
y = np.arange(2000) % 10
busy, free = Network({SPEC!r}), Network({SPEC!r})
begun, forked = threading.Event(), threading.Event()

class Waits:
    def on_batch_end(self, run):
        begun.set()

    def on_epoch_end(self, run):
        if run.epoch == 14:
            forked.wait()

thread = threading.Thread(target=busy.fit, args=(x, y), kwargs=dict(epochs=15, callbacks=[Waits()]))
thread.start()
begun.wait()
for _ in range(10):
    if os.fork() == 0:
        signal.alarm(60)
        free.fit(x[:64], y[:64], epochs=1)
        busy.predict(x[:64])  # its lock was held by a thread that the child does not have
        os._exit(0)
    assert os.wait()[1] == 0
forked.set()
thread.join()
print(busy.weights_sha256())
"""


def test_fork_while_another_thread_trains() -> None:
    net = Network(SPEC)
    net.fit(np.random.default_rng(0).integers(0, 256, (2000, 70), np.uint8), np.arange(2000) % 10, epochs=15)
    assert printed(FORK_WHILE_ANOTHER_TRAINS) == net.weights_sha256()


ONE_NET = """
import sys, threading
import numpy as np
from pynet import Network, SGD
sys.setswitchinterval(1e-6)
net = Network("input(4) dense(3000) relu dense(2000)")
expected = net.predict_proba(np.ones((1, 4)))
over = threading.Event()
failures = []

def loop(m, rounds):
    x = np.ones((m, 4), np.float32)
    while rounds > 0 or (rounds < 0 and not over.is_set()):
        rounds -= 1
        y = net.forward(x)
        try:
            net.layers[0].output
        except RuntimeError:  # the other thread called predict in between
            pass
        if y.shape != (m, 2000) or (y != expected).any() or len(net.predict(x)) != m:
            failures.append(y.shape)

others = [threading.Thread(target=loop, args=args) for args in ((300, 8), (1, -1))]
for thread in others: thread.start()
others[0].join()
over.set()
others[1].join()
print(failures)
"""


def test_one_net_in_two_threads_is_one_call_after_another() -> None:
    assert printed(ONE_NET) == "[]"


def test_two_threads_train_one_net_step_by_step() -> None:
    net = Network(SPEC)
    x, y = samples(net, 32)
    with ThreadPoolExecutor(2) as pool:
        losses = list(pool.map(lambda _: net.train_step(x, y, SGD(0.1)), range(40)))
    twin = Network(SPEC)
    assert sorted(losses) == sorted(twin.train_step(x, y, SGD(0.1)) for _ in range(40))
    assert_array_equal(net.layers[0].W, twin.layers[0].W)
