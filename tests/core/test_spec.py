"""The text of a network: its meaning, its canonical form, and messages with the column of an error."""

from __future__ import annotations

import string
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from pynet import Dense, Input, Loss, Network, ReLU, Sigmoid, Softmax, Tanh

# ---- canonical form ----

INITS = st.sampled_from(["", ",init=he", ",init=xavier", ",init=normal"])
DENSE = st.builds("dense({}{})".format, st.integers(1, 30), INITS)
LAYERS = st.lists(DENSE | st.sampled_from(["relu", "sigmoid", "tanh", "softmax"]), min_size=1, max_size=12)
INPUTS = st.lists(st.integers(1, 9), min_size=1, max_size=3).filter(lambda shape: len(shape) != 2)


@st.composite
def canonical_texts(draw: st.DrawFn) -> str:
    words = draw(LAYERS)
    words.insert(0, f"input({','.join(map(str, draw(INPUTS)))})")
    if words[-1] == "softmax" and draw(st.booleans()):
        words.append("loss(mse)")
    return " ".join(words)


BLANKS = st.text(" \t\n\r\f\v", max_size=3)


@st.composite
def rewritten_text(draw: st.DrawFn, text: str) -> str:
    """The same network in another form: more blanks, empty parentheses, optional names."""
    rewritten = ""
    for word in text.split():
        name, _, rest = word.partition("(")
        arguments = rest.rstrip(")").split(",") if rest else []
        if name == "dense" and draw(st.booleans()):
            arguments[0] = f"units={arguments[0]}"
            if len(arguments) == 1 and draw(st.booleans()):
                arguments.append("init=auto")
            if draw(st.booleans()):
                arguments.reverse()
        elif name == "dense" and len(arguments) == 2 and draw(st.booleans()):
            arguments[1] = arguments[1].removeprefix("init=")
        parts = [
            draw(BLANKS) + part.replace("=", f"{draw(BLANKS)}={draw(BLANKS)}") + draw(BLANKS) for part in arguments
        ]
        rewritten += draw(BLANKS) + name
        rewritten += f"({','.join(parts)})" if parts else draw(st.sampled_from([" ", "()", "( )"]))
    if not text.endswith("loss(mse)"):
        default = "cross_entropy" if text.endswith("softmax") else "mse"
        rewritten += draw(st.sampled_from(["", f" loss({default})", f"loss(name={default})"]))
    return rewritten + draw(BLANKS)


@given(st.data())
def test_the_canonical_form_is_unchanged(data: st.DataObject) -> None:
    text = data.draw(canonical_texts())
    assert Network(text).spec == text
    written = data.draw(rewritten_text(text))
    net = Network(written)
    assert net.spec == text
    assert str(net) == text
    assert net.loss_name == ("cross_entropy" if text.endswith("softmax") else "mse")


@given(canonical_texts())
def test_layers_are_the_words(text: str) -> None:
    net = Network(text)
    words = [word for word in text.split() if not word.startswith(("input", "loss"))]
    assert [layer.text for layer in net.layers] == words
    assert [layer.kind for layer in net.layers] == [word.partition("(")[0] for word in words]
    assert [layer.path for layer in net.layers] == [str(i) for i in range(len(words))]
    assert eval(text.split()[0].removeprefix("input").replace(")", ",)")) == net.in_shape
    shape = net.in_shape
    for layer in net.layers:
        assert layer.in_shape == shape
        shape = (int(layer.text[6:].split(",")[0].rstrip(")")),) if layer.kind == "dense" else shape
        assert layer.out_shape == shape
        size = int(np.prod(layer.in_shape)) + 1
        assert layer.parameters == (size * shape[0] if layer.kind == "dense" else 0)
    assert net.out_shape == shape
    assert net.parameters == sum(layer.parameters for layer in net.layers)


def test_objects_are_the_same_as_text() -> None:
    objects = [Input(1, 4, 7), Dense(16, init="normal"), ReLU(), Dense(5), Sigmoid(), Tanh(), Softmax(), Loss("mse")]
    text = "input(1,4,7) dense(16,init=normal) relu dense(5) sigmoid tanh softmax loss(mse)"
    assert " ".join(map(str, objects)) == text
    net = Network(objects, seed=3)
    assert net.spec == text
    assert net.weights_sha256() == Network(text, seed=3).weights_sha256()
    assert Network(iter(objects[:2])).spec == "input(1,4,7) dense(16,init=normal)"
    assert Network(["input(3)", Dense(2), "relu"]).spec == "input(3) dense(2) relu"


def test_objects_compare_by_their_text() -> None:
    assert Dense(3) == Dense(3) != Dense(4)
    assert Dense(3) != "dense(3)"
    assert {Dense(3), Dense(3), Dense(3, init=None), Dense(3, init="he")} == {Dense(3), Dense(3, init="he")}
    assert repr(Dense(3, init="he")) == "<Dense dense(3,init=he)>"


def test_wrong_objects_are_refused_by_the_core() -> None:
    with pytest.raises(ValueError, match="column 10: dense needs its units"):
        Network([Input(4), Dense()])
    with pytest.raises(ValueError, match=r"column 16: units of dense is 2\.5; accepted: a whole number"):
        Network([Input(4), Dense(2.5)])


@pytest.mark.parametrize(("init", "deviation"), [("he", (2 / 400) ** 0.5), ("xavier", (2 / 700) ** 0.5), ("normal", 1)])
def test_initialisation(init: str, deviation: float) -> None:
    net = Network(f"input(400) dense(300,init={init})", seed=11)
    W = net.layers[0].W
    assert W.std() == pytest.approx(deviation, rel=0.01)  # 120,000 numbers: a deviation of 0.2 %
    assert W.mean() == pytest.approx(0, abs=0.01 * deviation * 1.5)
    normal = W.ravel() / deviation
    assert (abs(normal) > 1.96).mean() == pytest.approx(0.05, abs=0.003)
    assert abs(normal).max() < 6
    assert not net.layers[0].b.any()


def test_default_initialisation() -> None:
    net = Network("input(50) dense(40) relu dense(40) sigmoid dense(40) dense(40) softmax", seed=5)
    words = "dense(40,init=he) relu dense(40,init=xavier) sigmoid dense(40,init=xavier) dense(40,init=xavier) softmax"
    rewritten = Network("input(50) " + words, seed=5)
    assert net.weights_sha256() == rewritten.weights_sha256()
    assert not np.array_equal(net.layers[2].W, net.layers[4].W)


def test_seeds_give_different_pinned_weights() -> None:
    text = "input(3) dense(2) relu dense(2) softmax"
    hashes = {Network(text, seed=seed).weights_sha256() for seed in (0, 1, 2, 2**32, 2**63, 2**64 - 1)}
    assert len(hashes) == 6
    assert Network(text, seed=2**64 - 1).seed == 2**64 - 1
    assert Network(text, seed=np.int64(7)).seed == 7  # type: ignore[arg-type]
    # the C library computes in double, so its last bit does not change the float32 results
    assert_array_equal(Network(text).layers[0].W.ravel(), np.array(PINNED_WEIGHTS, np.float32))


PINNED_WEIGHTS = [1.59623003, 1.06961024, -0.297197968, 0.200683579, -0.918412387, 0.149125606]


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_bad_seed(seed: int) -> None:
    with pytest.raises(ValueError, match=f"seed is {seed}; accepted: 0 to 2\\^64 - 1"):
        Network("input(4) relu", seed=seed)


# ---- messages ----

LAYER_NAMES = (
    "accepted: input, standardize, dense, conv, maxpool, avgpool, globalavgpool, relu, leaky_relu, gelu, sigmoid, "
    "tanh, softmax, flatten, dropout, batchnorm, layernorm, residual, rescale, loss"
)
UNITS = "accepted: a whole number from 1 to 16777216"
NINES = "9" * 500


# One of each kind; more are in tests/c/spec/test_spec.c.
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" \n ", "column 4: the network has no layers; for example: input(784) dense(10) softmax"),
        ("input(4) Dense(3)", 'column 10: unknown layer "Dense"; did you mean dense?'),
        ("input(4) relu6", 'column 10: unknown layer "relu6"; did you mean relu?'),
        ("input(4) tahn", 'column 10: unknown layer "tahn"; did you mean tanh?'),
        ("input(4) dense(3) los(mse)", 'column 19: unknown layer "los"; did you mean loss?'),
        ("input(4) frobnicate", f'column 10: unknown layer "frobnicate"; {LAYER_NAMES}'),
        ("input(4) dense(3,xavir)", 'column 18: dense has no init "xavir"; did you mean xavier?'),
        ("input() relu", "column 1: input needs its size, as in input(784)"),
        ("input(4) dense(init=he)", "column 10: dense needs its units, as in dense(128)"),
        ("input(4) dense(3,init=he,init=he)", "column 26: init of dense is given twice"),
        ("input(4) dense(3,)", "column 18: ')' where init is expected"),
        ("input(4) dense(((((((((3", "column 16: '(' where units is expected"),
        (f"input({NINES}) relu", f"column 7: size of input is {NINES[:30]}; {UNITS}"),
        (
            "input(16777216,16777216,16777216) relu",
            "column 1: input has 4722366482869645213696 features; accepted: at most 268435456",
        ),
        (
            "input(4) dense(16777216) dense(128)",
            "column 26: dense(128) after 16777216 features has 2147483648 weights; accepted: at most 2147483647",
        ),
        ("input(4,5) relu", "column 1: input takes (n) or (channels, height, width)"),
        ("input(4) relu input(4)", "column 15: input appears a second time"),
        ("input(4) relu loss(mse) relu", "column 25: relu comes after the loss, which must be last"),
        ("input(4) loss(cross_entropy)", "column 10: loss(cross_entropy) needs softmax as the last layer"),
        ("input(4) relu loss(bce)", "column 15: loss(bce) needs sigmoid as the last layer"),
        ("input(4) relu loss(mse,0.1)", "column 15: smoothing is for loss(cross_entropy)"),
        ("input(4) relu loss(mae,delta=2)", "column 15: delta is for loss(huber)"),
        ("input(4) rescale relu", "column 18: relu comes after rescale, which must be last"),
        ("input(4) residual(rescale)", "column 19: rescale is inside a residual; it is the last layer"),
        ("input(4) residual(input(4))", "column 19: input is inside a residual, which takes layers"),
        ("784 128 10", "column 1: '7' where a layer is expected"),
        ("input(4) dense(３)", "column 16: byte 0xef where units is expected"),
        ("input(4) relu \x7f", "column 15: byte 0x7f where a layer is expected"),
        ("\ufeffinput(4) relu", "column 1: byte 0xef where a layer is expected"),
    ],
)
def test_message(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Network(text)
    assert str(caught.value) == message


def test_zero_bytes() -> None:
    with pytest.raises(ValueError, match="NUL"):
        Network("input(4) relu\0 dense(3)")


def test_lone_surrogates() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        Network("input(4) relu \udc80")


@given(st.text(string.ascii_lowercase + "_0123456789", min_size=1, max_size=30))
def test_any_unknown_word(word: str) -> None:
    with pytest.raises(ValueError) as unknown:
        Network("input(4) qqqqqqqqqq")
    assume(word not in str(unknown.value).partition("accepted: ")[2].split(", "))
    with pytest.raises(ValueError, match=r"^column 10: "):
        Network(f"input(4) {word} relu")


WORDS = ["input(", "dense(", "relu", "softmax", "loss(mse)", "init", "he", "=", ",", "(", ")", "4", " ", "é"]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=20).map("".join))
def test_any_text_gives_a_network_or_a_column(text: str) -> None:
    assume("\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text))
    size = len(text.encode())
    try:
        spec = Network(text).spec
    except ValueError as error:
        message = str(error)
        assert message.startswith("column ")
        assert 1 <= int(message.split(":")[0].removeprefix("column ")) <= size + 1
        assert "\n" not in message or "\n" in text
    else:
        assert Network(spec).spec == spec


@pytest.mark.parametrize(("word", "count"), [("relu", 10_000), ("dense(1)", 7_000), ("dense(1,init=xavier)", 3_000)])
def test_thousands_of_layers(word: str, count: int) -> None:
    text = "input(1)" + f" {word}" * count
    net = Network(text)
    assert net.spec == text
    assert len(net.layers) == count
    assert net.layers[-1].path == str(count - 1)
    assert net.parameters == (0 if word == "relu" else 2 * count)
    assert net.predict_proba(np.ones((2, 1))).shape == (2, 1)


def test_a_long_wrong_text_is_quoted_in_short() -> None:
    with pytest.raises(ValueError) as caught:
        Network("input(4) " + "x" * 100_000)
    assert len(str(caught.value)) < 256
    with pytest.raises(ValueError, match=r"^column 70010: '@' where a layer is expected"):
        Network("input(4) " + "relu() " * 10_000 + "@")


@pytest.mark.parametrize("wrong", [None, 3, b"input(4) relu", [None]])
def test_specs_that_are_not_text(wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        Network(wrong)
