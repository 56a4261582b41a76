"""The model file: every bit is restored, and the official safetensors package reads and writes the same."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from helpers.model_file import TEXT, bits, load_bytes, make_net, save_bytes
from hypothesis import given
from hypothesis import strategies as st

import pynet

TEXTS = [
    TEXT,
    "input(1) dense(1)",
    "input(1,2,3) tanh sigmoid",
    "input(5) dense(4,init=normal) sigmoid dense(3) sigmoid loss(mse)",
]
# A note may hold any character but the zero byte, which ends a C string.
NOTE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
KEY = NOTE.filter(lambda key: not key.startswith("pynet"))


# ---- what goes in comes out ----


@given(
    text=st.sampled_from(TEXTS),
    seed=st.integers(0, 2**64 - 1),
    notes=st.dictionaries(KEY, NOTE, max_size=5),
    data=st.data(),
)
def test_round_trip(text: str, seed: int, notes: dict[str, str], data: st.DataObject) -> None:
    net = make_net(text, seed)
    for view in net.tensors.values():  # any finite floats: denormals, -0, the largest
        drawn = data.draw(st.binary(min_size=view.nbytes, max_size=view.nbytes))
        bits_of = np.frombuffer(drawn, np.uint32).reshape(view.shape)
        view.view(np.uint32)[...] = np.where(bits_of >> 23 & 255 == 255, bits_of ^ 1 << 23, bits_of)
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


@pytest.mark.parametrize("blanks", range(9))
def test_data_is_aligned(blanks: int) -> None:
    net = make_net()
    net.meta["k"] = "x" * blanks
    content = save_bytes(net)
    assert struct.unpack("<Q", content[:8])[0] % 8 == 0
    assert content[8:9] == b"{"


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
    assert content.index(b'"10.W"') < content.index(b'"2.W"')  # sorted by name, which is not pynet's order
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


# ---- notes that no file can hold ----


def test_reserved_notes() -> None:
    net = make_net()
    for key in ("pynet", "pynet.seed", "pynet.later"):
        with pytest.raises(ValueError, match="pynet"):
            net.meta[key] = "x"


def test_endless_text() -> None:
    with pytest.raises(ValueError, match="the text of the network takes 66008 bytes; accepted: at most 65536"):
        make_net("input(1) " + "tanh " * 13_200)


def test_thousands_of_notes_are_read_one_by_one() -> None:
    """The core finds each note; no dict of all notes is made for each of them."""
    net = make_net()
    net.meta.update({f"n{i}": str(i) for i in range(2000)})
    made = []
    net.meta._items = lambda: made.append(1) or {}  # type: ignore[method-assign,func-returns-value]
    assert [net.meta[f"n{i}"] for i in range(2000)] == [str(i) for i in range(2000)]
    assert made == []
    with pytest.raises(KeyError, match="n2000"):
        net.meta["n2000"]
    assert "a\0b" not in net.meta
    assert 3 not in net.meta
