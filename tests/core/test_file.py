"""The model file: every bit comes back, the official safetensors package agrees, and no file is trusted."""

from __future__ import annotations

import json
import os
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import pynet

TEXT = "input(3) dense(2) relu dense(2) softmax"
SHAPES = {"0.W": (3, 2), "0.b": (2,), "2.W": (2, 2), "2.b": (2,)}
DATA = np.arange(14, dtype=np.float32).tobytes()

TEXTS = [
    TEXT,
    "input(1) dense(1)",
    "input(1,2,3) tanh sigmoid",
    "input(5) dense(4,init=normal) sigmoid dense(3) sigmoid loss(mse)",
]
# A note may hold any character but the zero byte, which ends a C string.
NOTE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
KEY = NOTE.filter(lambda key: not key.startswith("pynet"))


def make_net(text: str = TEXT, seed: int = 0) -> pynet.Network:
    return pynet.Network(text, seed=seed)


def bits(net: pynet.Network) -> dict[str, bytes]:
    return {name: view.tobytes() for name, view in net.tensors.items()}


def make_header() -> dict:
    """The header of a network TEXT as a dictionary, to be damaged."""
    header: dict = {"__metadata__": {"pynet": TEXT, "pynet.seed": "7", "colour": "blue"}}
    at = 0
    for name, shape in SHAPES.items():
        end = at + 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, end]}
        at = end
    return header


def file_bytes(header: dict | str | bytes, data: bytes = DATA, length: int | None = None) -> bytes:
    text = json.dumps(header) if isinstance(header, dict) else header
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def load_bytes(content: bytes) -> pynet.Network:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.safetensors")
        path.write_bytes(content)
        return pynet.load(path)


def save_bytes(net: pynet.Network) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.safetensors")
        net.save(path)
        assert os.listdir(folder) == [path.name]
        return path.read_bytes()


# ---- what goes in comes out ----


@given(
    text=st.sampled_from(TEXTS),
    seed=st.integers(0, 2**64 - 1),
    notes=st.dictionaries(KEY, NOTE, max_size=5),
    data=st.data(),
)
def test_round_trip(text: str, seed: int, notes: dict[str, str], data: st.DataObject) -> None:
    net = make_net(text, seed)
    for view in net.tensors.values():  # any bits: NaN with its payload, infinities, denormals, -0
        view.view(np.uint32)[...] = np.frombuffer(
            data.draw(st.binary(min_size=view.nbytes, max_size=view.nbytes)), np.uint32
        ).reshape(view.shape)
    net.meta.update(notes)
    content = save_bytes(net)
    again = load_bytes(content)
    assert (again.spec, again.seed, bits(again)) == (net.spec, seed, bits(net))
    assert list(again.meta.items()) == list(net.meta.items())
    assert save_bytes(again) == content


@pytest.mark.parametrize(
    "note", ['"', "\\", "a\nb\r\tc", "\x01\x1f\x7f", "é", "€", "😀", "\ufeff", "\u2028", "日本語 " * 1000, ""]
)
def test_odd_notes(tmp_path: Path, note: str) -> None:
    from safetensors import safe_open

    net = make_net()
    net.meta["note"] = note
    net.meta["key " + note] = "value"
    net.save(tmp_path / "m")
    with safe_open(tmp_path / "m", "np") as official:
        metadata = official.metadata()
    assert metadata == {"pynet": TEXT, "pynet.seed": "0", **net.meta}
    assert dict(pynet.load(tmp_path / "m").meta) == {"note": note, "key " + note: "value"}


def test_the_loaded_network_is_the_same(tmp_path: Path) -> None:
    net = make_net("input(64) dense(32) relu dense(3) softmax", seed=2**64 - 1)
    net.classes = ["cat", 'a "dog"', "żaba\n"]
    x = np.random.default_rng(1).random((20, 64), np.float32)
    net.save(tmp_path / "m")
    again = pynet.load(tmp_path / "m")
    assert again.classes == ["cat", 'a "dog"', "żaba\n"]
    assert again.seed == 2**64 - 1
    assert again.forward(x).tobytes() == net.forward(x).tobytes()
    y = np.arange(20) % 3
    assert again.train_step(x, y, pynet.SGD(0.1)) == net.train_step(x, y, pynet.SGD(0.1))
    assert again.weights_sha256() == net.weights_sha256()


def test_exact_bytes() -> None:
    net = make_net("input(1) dense(2)", seed=5)
    net.tensors["0.W"][...] = [[1, -2]]
    net.tensors["0.b"][...] = [0.5, 0]
    net.meta["k"] = 'a"\n'
    header = (
        b'{"__metadata__":{"pynet":"input(1) dense(2)","pynet.seed":"5","k":"a\\"\\u000a"},'
        b'"0.W":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"0.b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}'
    )
    header += b" " * (-len(header) % 8)
    assert save_bytes(net) == struct.pack("<Q", len(header)) + header + struct.pack("<4f", 1, -2, 0.5, 0)


@pytest.mark.parametrize("blanks", range(9))
def test_data_is_aligned(blanks: int) -> None:
    net = make_net()
    net.meta["k"] = "x" * blanks
    content = save_bytes(net)
    assert struct.unpack("<Q", content[:8])[0] % 8 == 0
    assert content[8:9] == b"{"


def test_not_finite_weights_are_kept() -> None:
    net = make_net()
    net.tensors["2.b"][...] = [np.nan, -np.inf]
    b = load_bytes(save_bytes(net)).tensors["2.b"]
    assert np.isnan(b[0]) and b[1] == -np.inf


# ---- the official package ----


@pytest.mark.parametrize("text", TEXTS)
def test_official_reader(tmp_path: Path, text: str) -> None:
    from safetensors.numpy import load_file

    net = make_net(text)
    net.save(tmp_path / "m")
    tensors = load_file(tmp_path / "m")
    assert {name: (t.dtype, t.shape, t.tobytes()) for name, t in tensors.items()} == {
        name: (np.float32, view.shape, view.tobytes()) for name, view in net.tensors.items()
    }


def test_official_writer(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    net = make_net("input(2) " + "dense(3) relu " * 6 + "dense(2) softmax", seed=3)
    tensors = {name: view.copy() for name, view in reversed(net.tensors.items())}
    save_file(tensors, tmp_path / "m", metadata={"colour": "bl\\ue\n", "pynet": net.spec, "pynet.seed": "3"})
    content = (tmp_path / "m").read_bytes()
    assert content.index(b'"10.W"') < content.index(b'"2.W"')  # sorted by name: not our order
    again = pynet.load(tmp_path / "m")
    assert (again.spec, again.seed, bits(again)) == (net.spec, 3, bits(net))
    assert dict(again.meta) == {"colour": "bl\\ue\n"}


def test_foreign_safetensors(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    tensors = {"conv": np.zeros((2, 3, 1, 1, 1, 1, 1, 1, 1, 1), np.float16), "scalar": np.array(1, np.int64)}
    for metadata in (None, {"format": "np"}):
        save_file(tensors, tmp_path / "m", metadata=metadata)
        with pytest.raises(
            ValueError, match=r'm: it is a safetensors file but holds no pynet network \(key "pynet" in __metadata__'
        ):
            pynet.load(tmp_path / "m")


# ---- files that lie ----


def entry(**change: object) -> Callable[[dict], dict]:
    """A header whose last tensor, 2.b, (2,), bytes 48 to 56, has other fields; None removes one."""

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


def renamed(old: str, new: str) -> Callable[[dict], dict]:
    return lambda header: {new if name == old else name: value for name, value in header.items()}


WHOLE = f"expected a whole number from 0 to {2**64 - 1}"
LIES = {
    "hole before": (entry(data_offsets=[52, 56]), "2.b begins at byte 52 of the data, behind a hole at 48"),
    "overlap": (entry(data_offsets=[44, 56]), "2.b begins at byte 44 of the data, inside one that ends at 48"),
    "same place": (entry(data_offsets=[0, 8]), "begins at byte 0 of the data, inside one that ends at 8"),
    "past the end": (
        entry(data_offsets=[48, 64]),
        "its tensors take 64 bytes, but 56 follow the header: it was cut short",
    ),
    "short": (entry(data_offsets=[48, 52]), "its tensors take 52 bytes, but 56 follow the header"),
    "wrong size": (
        replaced(
            '48]}, "2.b": {"dtype": "F32", "shape": [2], "data_offsets": [48,',
            '44]}, "2.b": {"dtype": "F32", "shape": [2], "data_offsets": [44,',
        ),
        r"tensor 2.W of shape \(2, 2\) takes 16 bytes, not 12",
    ),
    "backwards": (entry(data_offsets=[56, 48]), "tensor 2.b begins at 56 and ends at 48"),
    "2**64": (entry(data_offsets=[48, 2**64]), WHOLE),
    "2**64 - 1": (entry(data_offsets=[48, 2**64 - 1]), f"its tensors take {2**64 - 1} bytes"),
    "70 digits": (entry(data_offsets=[48, 10**70]), WHOLE),
    "negative": (entry(data_offsets=[-8, 56]), WHOLE),
    "float": (entry(data_offsets=[48, 56.0]), WHOLE),
    "exponent": (replaced("[48, 56]", "[48, 56e0]"), WHOLE),
    "leading zero": (replaced("[48, 56]", "[48, 056]"), WHOLE),
    "number as text": (entry(data_offsets=["48", 56]), WHOLE),
    "one offset": (entry(data_offsets=[48]), "expected ','"),
    "three offsets": (entry(data_offsets=[48, 50, 56]), "expected ']'"),
    "trailing comma": (replaced("[48, 56]", "[48, 56,]"), "expected ']'"),
    "dtype F16": (entry(dtype="F16"), "tensor 2.b has dtype F16, its network takes F32"),
    "dtype unknown": (entry(dtype="\u00e9\n"), r"tensor 2.b has dtype \u00e9\?, its network takes F32"),
    "shape": (entry(shape=[1, 2]), r"tensor 2.b has shape \(1, 2\), its network takes \(2,\)"),
    "shape 2**64 - 1": (entry(shape=[2**64 - 1]), rf"tensor 2.b has shape \({2**64 - 1},\), its network takes \(2,\)"),
    "shape 2**64": (entry(shape=[2**64]), WHOLE),
    "shape overflow": (entry(shape=[2**63, 2**63, 2]), rf"tensor 2.b has shape \({2**63}, {2**63}, 2\)"),
    "shape rank 0": (entry(shape=[]), r"tensor 2.b has shape \(\)"),
    "shape rank 20": (entry(shape=[1] * 20), r"tensor 2.b has shape \(1, 1, 1, 1, 1, 1, 1, 1, \.\.\.\)"),
    "shape nested": (entry(shape=[[2]]), WHOLE),
    "shape deep": (replaced("[2, 2]", "[" * 200000), WHOLE),
    "deep": (lambda _: '{"a":' * 200000, "unknown field a"),
    "deep note": (notes(colour={"a": {}}), "expected '\"'"),
    "no dtype": (entry(dtype=None), "tensor 2.b lacks dtype, shape or data_offsets"),
    "no shape": (entry(shape=None), "tensor 2.b lacks dtype, shape or data_offsets"),
    "no offsets": (entry(data_offsets=None), "tensor 2.b lacks dtype, shape or data_offsets"),
    "new field": (entry(colour="blue"), "unknown field colour; an entry has dtype, shape and data_offsets"),
    "field twice": (replaced('"shape": [2, 2]', '"shape": [2, 2], "shape": [2, 2]'), "shape for the second time"),
    "tensor twice": (
        lambda h: {**h, "2.b": h["2.b"], "x": {"dtype": "F32", "shape": [0], "data_offsets": [56, 56]}},
        "no tensor x",
    ),
    "name twice": (replaced('"2.b"', '"2.W"'), "tensor 2.W is there twice"),
    "name twice, escaped": (replaced('"2.b"', '"2\\u002eW"'), "tensor 2.W is there twice"),
    "notes twice": (replaced('"2.b"', '"__metadata__": {}, "2.b"'), "__metadata__ for the second time"),
    "note twice": (
        replaced('"colour": "blue"', '"colour": "blue", "colour": "red"'),
        "note colour for the second time",
    ),
    "other name": (renamed("2.b", "2.c"), "tensor 2.b is missing"),
    "long name": (
        lambda h: {**h, "x" * 5000 + "end": {"dtype": "F32", "shape": [0], "data_offsets": [56, 56]}},
        r"no tensor \.\.\.x+end$",
    ),
    "notes no object": (lambda h: {**h, "__metadata__": []}, "expected '{'"),
    "tensor no object": (lambda h: {**h, "2.b": []}, "expected '{'"),
    "note no text": (notes(colour=1), "expected '\"'"),
    "no pynet note": (notes(pynet=None), "it is a safetensors file but holds no pynet network"),
    "no notes": (lambda h: {k: v for k, v in h.items() if k != "__metadata__"}, "holds no pynet network"),
    "empty": (lambda _: "{}", "holds no pynet network"),
    "bad text": (notes(pynet="input(3) dens(2)"), "its network: column 10: .*dense"),
    "no text": (notes(pynet=""), "its network: column 1"),
    "endless text": (
        notes(pynet="input(3) " + "relu " * 15000),
        "the text of its network takes 75009 bytes, at most 65536",
    ),
    "other text": (
        notes(pynet="input(4) dense(2) relu dense(2) softmax"),
        r"0.W has shape \(3, 2\), its network takes \(4, 2\)",
    ),
    "vast text": (
        notes(pynet="input(16777216) dense(100) relu dense(2) softmax"),
        r"its network takes \(16777216, 100\)",
    ),
    "more layers": (notes(pynet=TEXT.replace("softmax", "dense(2)")), "tensor 3.W is missing"),
    "fewer layers": (notes(pynet="input(3) dense(2)"), "its network has no tensor 2.W"),
    "seed negative": (notes(**{"pynet.seed": "-1"}), '"pynet.seed" is -1, not a whole number of 64 bits'),
    "seed 2**64": (notes(**{"pynet.seed": str(2**64)}), "not a whole number of 64 bits"),
    "seed empty": (notes(**{"pynet.seed": ""}), "not a whole number of 64 bits"),
    "4097 notes": (lambda h: {**h, "__metadata__": {str(i): "" for i in range(4097)}}, "more than 4096 notes"),
    "no brace": (lambda h: json.dumps(h)[1:], "byte 0 of the header: expected '{'; this is no safetensors file"),
    "list": (lambda h: f"[{json.dumps(h)}]", "expected '{'; this is no safetensors file"),
    "open end": (lambda h: json.dumps(h)[:-1], "expected ','"),
    "trailing text": (lambda h: json.dumps(h) + "  x", "something after the closing '}'"),
    "trailing zeros": (lambda h: json.dumps(h) + "\0\0", "something after the closing '}'"),
    "zero byte": (replaced("blue", "bl\0ue"), "a string without an end"),
    "zero escape": (replaced("blue", r"bl\u0000ue"), "an escape that stands for no character"),
    "newline": (replaced("blue", "bl\nue"), "a string without an end"),
    "bad escape": (replaced("blue", r"bl\xue"), "an escape that stands for no character"),
    "short escape": (replaced("blue", r"bl\u00g0"), "an escape that stands for no character"),
    "lone high surrogate": (replaced("blue", r"\ud83d"), "an escape that stands for no character"),
    "lone low surrogate": (replaced("blue", r"\ude00"), "an escape that stands for no character"),
    "unclosed text": (lambda _: '{"abc', "a string without an end"),
    "no colon": (replaced('"2.b":', '"2.b"'), "expected ':'"),
    "no comma": (replaced(', "2.b":', '"2.b":'), "expected ','"),
}


@pytest.mark.parametrize("lie", LIES)
def test_lying_header(lie: str) -> None:
    damage, message = LIES[lie]
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
        (b"1234567", "7 bytes are too few"),
        (struct.pack("<Q", 0), "byte 0 of the header: expected '{'"),
        (file_bytes("{}", b"", length=3), "its header claims 3 bytes; at most 100000000 are allowed and 2 are there"),
        (file_bytes("{}", b"", length=2**64 - 1), f"its header claims {2**64 - 1} bytes; at most 100000000"),
        (file_bytes("{}", b"", length=2**63), f"its header claims {2**63} bytes"),
        (b"PK\x03\x04" + bytes(100), "its header claims 67324752 bytes; .*this is no safetensors file"),
    ],
)
def test_lying_length(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_bytes(content)


def test_header_past_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(struct.pack("<Q", 100_000_001) + b"{")
    os.truncate(path, 200_000_000)  # a hole: takes no disk
    with pytest.raises(
        ValueError, match="its header claims 100000001 bytes; at most 100000000 are allowed and 199999992 are there"
    ):
        pynet.load(path)


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


def test_every_prefix_fails(tmp_path: Path) -> None:
    content = file_bytes(make_header())
    path = tmp_path / "m"
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match="cannot read"):
            pynet.load(path)


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


# ---- notes that no file can hold ----


def test_reserved_notes() -> None:
    net = make_net()
    for key in ("pynet", "pynet.seed", "pynet.later"):
        with pytest.raises(ValueError, match="pynet"):
            net.meta[key] = "x"


def test_zero_byte_in_a_note() -> None:
    net = make_net()
    with pytest.raises(ValueError):
        net.meta["a"] = "b\0c"
    with pytest.raises(ValueError):
        net.meta["a\0b"] = "c"
    assert dict(net.meta) == {}


def test_endless_text(tmp_path: Path) -> None:
    net = make_net("input(1) " + "tanh " * 13_200)
    with pytest.raises(ValueError, match="the network's text takes 66008 bytes, a file takes 65536"):
        net.save(tmp_path / "m")
    assert os.listdir(tmp_path) == []


def test_too_many_notes(tmp_path: Path) -> None:
    net = make_net()
    net.meta.update({str(i): "" for i in range(4092)})
    net.save(tmp_path / "m")
    assert len(pynet.load(tmp_path / "m").meta) == 4092
    net.meta["one more"] = ""
    with pytest.raises(ValueError, match="4093 notes are too many, a file takes 4092"):
        net.save(tmp_path / "m")
    assert len(pynet.load(tmp_path / "m").meta) == 4092
