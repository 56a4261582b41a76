"""Model files with false headers or damaged bytes: each is refused with one line."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from helpers.model_file import DATA, SHAPES, TEXT, bits, file_bytes, load_bytes, make_header
from hypothesis import example, given
from hypothesis import strategies as st


def entry(**change: object) -> Callable[[dict], dict]:
    """Changes fields of the header's last tensor, 2.b, (2,), bytes 48 to 56; None removes one."""

    def damage(header: dict) -> dict:
        header["2.b"] = {key: value for key, value in {**header["2.b"], **change}.items() if value is not None}
        return header

    return damage


def notes(**change: object) -> Callable[[dict], dict]:
    def damage(header: dict) -> dict:
        header["__metadata__"] = {
            key: value for key, value in {**header["__metadata__"], **change}.items() if value is not None
        }
        return header

    return damage


def replaced(old: str, new: str) -> Callable[[dict], str]:
    def damage(header: dict) -> str:
        text = json.dumps(header)
        assert text.count(old) == 1
        return text.replace(old, new)

    return damage


WHOLE = f"expected a whole number from 0 to {2**64 - 1}"

# More of them, with the byte that each message names, are in tests/c/file/test_damaged.c.
FALSE_HEADERS = {
    "same place": (entry(data_offsets=[0, 8]), "begins at byte 0 of the data, inside one that ends at 8"),
    "70 digits": (entry(data_offsets=[48, 10**70]), WHOLE),
    "exponent": (replaced("[48, 56]", "[48, 56e0]"), WHOLE),
    "number as text": (entry(data_offsets=["48", 56]), WHOLE),
    "shorter twice": (
        lambda h: json.dumps(h).replace("48", "44"),
        r"tensor 2.W of shape \(2, 2\) takes 16 bytes, not 12",
    ),
    "three offsets": (entry(data_offsets=[48, 50, 56]), "expected ']'"),
    "dtype unknown": (entry(dtype="\u00e9\n"), r"tensor 2.b has dtype \u00e9\?, its network takes F32"),
    "shape 2**64 - 1": (entry(shape=[2**64 - 1]), rf"tensor 2.b has shape \({2**64 - 1},\), its network takes \(2,\)"),
    "shape 2**64": (entry(shape=[2**64]), WHOLE),
    "shape overflow": (entry(shape=[2**63, 2**63, 2]), rf"tensor 2.b has shape \({2**63}, {2**63}, 2\)"),
    "shape nested": (entry(shape=[[2]]), WHOLE),
    "shape deep": (replaced("[2, 2]", "[" * 200000), WHOLE),
    "deep": (lambda _: '{"a":' * 200000, "unknown field a"),
    "deep note": (notes(colour={"a": {}}), "expected '\"'"),
    "no dtype": (entry(dtype=None), "tensor 2.b lacks dtype, shape or data_offsets"),
    "no offsets": (entry(data_offsets=None), "tensor 2.b lacks dtype, shape or data_offsets"),
    "field twice": (replaced('"shape": [2, 2]', '"shape": [2, 2], "shape": [2, 2]'), "shape is given twice"),
    "name twice": (replaced('"2.b"', '"2.W"'), "tensor 2.W is given twice"),
    "notes twice": (replaced('"2.b"', '"__metadata__": {}, "2.b"'), "__metadata__ is given twice"),
    "note twice": (replaced('"colour": "blue"', '"colour": "", "colour": ""'), "note colour is given twice"),
    "long name": (
        lambda h: {**h, "x" * 5000 + "end": {"dtype": "F32", "shape": [0], "data_offsets": [56, 56]}},
        r"no tensor \.\.\.x+end$",
    ),
    "notes no object": (lambda h: {**h, "__metadata__": []}, "expected '{'"),
    "tensor no object": (lambda h: {**h, "2.b": []}, "expected '{'"),
    "no notes": (lambda h: {k: v for k, v in h.items() if k != "__metadata__"}, "holds no pynet network"),
    "empty": (lambda _: "{}", "holds no pynet network"),
    "no text": (notes(pynet=""), "its network: column 1"),
    "endless text": (
        notes(pynet="input(3) " + "relu " * 15000),
        "the text of its network takes 75009 bytes, at most 65536",
    ),
    "seed empty": (notes(**{"pynet.seed": ""}), "not a whole number of 64 bits"),
    "4097 notes": (lambda h: {**h, "__metadata__": {str(i): "" for i in range(4097)}}, "more than 4096 notes"),
    "no brace": (lambda h: json.dumps(h)[1:], "byte 0 of the header: expected '{'; this is no safetensors file"),
    "open end": (lambda h: json.dumps(h)[:-1], "expected ','"),
    "trailing zeros": (lambda h: json.dumps(h) + "\0\0", "something after the closing '}'"),
    "zero byte": (replaced("blue", "bl\0ue"), "a string without an end"),
    "bad escape": (replaced("blue", r"bl\xue"), "an escape that is not a character"),
    "short escape": (replaced("blue", r"bl\u00g0"), "an escape that is not a character"),
    "lone low surrogate": (replaced("blue", r"\ude00"), "an escape that is not a character"),
    "unclosed text": (lambda _: '{"abc', "a string without an end"),
    "no colon": (replaced('"2.b":', '"2.b"'), "expected ':'"),
    "no comma": (replaced(', "2.b":', '"2.b":'), "expected ','"),
}


@pytest.mark.parametrize("case", FALSE_HEADERS)
def test_false_header(case: str) -> None:
    damage, message = FALSE_HEADERS[case]
    with pytest.raises(ValueError, match=rf"^cannot read .*m\.safetensors: .*{message}") as caught:
        load_bytes(file_bytes(damage(make_header())))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 256


BAD_UTF8 = [
    b"\xff",
    b"\x80",
    b"\xc3",
    b"\xc0\x80",
    b"\xe0\x80\x80",
    b"\xed\xa0\x80",
    b"\xf0\x80\x80\x80",
    b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80",
]


@pytest.mark.parametrize("text", BAD_UTF8)
def test_header_is_utf8(text: bytes) -> None:
    with pytest.raises(UnicodeDecodeError):
        text.decode()
    with pytest.raises(ValueError, match="text that is not UTF-8"):
        load_bytes(file_bytes(json.dumps(make_header()).encode().replace(b"blue", text)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 bytes are too few"),
        (file_bytes("{}", b"", length=3), "its header claims 3 bytes; at most 33554432 are allowed and 2 are there"),
        (file_bytes("{}", b"", length=2**63), f"its header claims {2**63} bytes"),
        (b"PK\x03\x04" + bytes(100), "its header claims 67324752 bytes; .*this is no safetensors file"),
    ],
)
def test_false_length(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_bytes(content)


def test_the_undamaged_header_loads() -> None:
    net = load_bytes(file_bytes(make_header()))
    assert (net.spec, net.seed, dict(net.meta)) == (TEXT, 7, {"colour": "blue"})
    assert b"".join(bits(net).values()) == DATA


@pytest.mark.parametrize(
    "damage",
    [
        lambda h: json.dumps(h, indent=3),
        lambda h: json.dumps(h).replace(" ", "\t\r\n "),
        lambda h: json.dumps(h) + " " * 100,
        lambda h: json.dumps(dict(reversed(h.items()))),
        lambda h: json.dumps({k: dict(reversed(v.items())) for k, v in h.items()}),
        lambda h: json.dumps(h).replace("colour", r"\u0063\u006Flour").replace("/", r"\/"),
        notes(**{"pynet.later": "a fact of a later version"}),
    ],
)
def test_other_ways_to_write_the_same(damage: Callable[[dict], dict | str]) -> None:
    header = damage(make_header())
    if isinstance(header, str):
        header = header.replace('"input(3)\t\r\n dense(2)\t\r\n relu\t\r\n dense(2)\t\r\n softmax"', f'"{TEXT}"')
    net = load_bytes(file_bytes(header))
    assert (net.spec, net.seed, dict(net.meta)) == (TEXT, 7, {"colour": "blue"})
    assert b"".join(bits(net).values()) == DATA


def test_escapes() -> None:
    header = replaced("blue", r"\"\\\/\b\f\n\r\t\u00e9\u20AC\ud83d\uDE00\ufffd")(make_header())
    assert load_bytes(file_bytes(header)).meta["colour"] == '"\\/\b\f\n\r\té€😀\ufffd'


def test_without_a_seed() -> None:
    assert load_bytes(file_bytes(notes(**{"pynet.seed": None})(make_header()))).seed == 0


@given(extra=st.binary(min_size=1, max_size=100))
def test_every_extension_fails(extra: bytes) -> None:
    with pytest.raises(ValueError, match=f"its tensors take 56 bytes, but {56 + len(extra)} follow the header$"):
        load_bytes(file_bytes(make_header()) + extra)


@given(
    places=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=5),
    cut=st.tuples(st.floats(0, 1), st.integers(0, 20), st.binary(max_size=20)),
)
@example(places=[], cut=(0.0, 0, b""))
def test_damage(places: list[tuple[float, int]], cut: tuple[float, int, bytes]) -> None:
    content = bytearray(file_bytes(make_header()))
    for where, byte in places:
        content[int(where * len(content))] = byte
    start = int(cut[0] * len(content))
    content[start : start + cut[1]] = cut[2]
    try:
        net = load_bytes(bytes(content))
    except ValueError:
        return
    assert {name: view.shape for name, view in net.tensors.items()} == SHAPES


@given(
    header=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda v: st.lists(v) | st.dictionaries(st.text(), v),
    )
)
def test_any_json(header: object) -> None:
    with pytest.raises(ValueError, match="cannot read"):
        load_bytes(file_bytes(json.dumps(header)))
