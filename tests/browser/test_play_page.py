"""The page of `pynet play` in Chromium: what it draws, computes, trains, saves and refuses, against Python."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser.page import Page, check_quiet
from helpers import handwriting
from selenium import webdriver

import pynet
from pynet.data.inputs import Inputs
from pynet.kernels import shuffle
from pynet.pictures.glyph import set_glyph
from pynet.pictures.preparation import STYLES, Preparation
from pynet.play.page import one_file, page_files

DRAWINGS = 250
NAMED = 0.97  # of the drawings, at least, with the model of the package


def curves(digit: int, seed: int, tall: float = 0.7, middle: tuple[float, float] = (0.5, 0.5)) -> list[Any]:
    """A digit as a hand writes it, for the drawing area."""
    random = np.random.default_rng([seed, digit])
    return [np.array(middle) + tall * curve for curve in handwriting.strokes(digit, random)]


def coarse(found: list[Any]) -> list[Any]:
    """With every sixth point: pointer events are slow to send."""
    return [np.concatenate([curve[:-1:6], curve[-1:]]) for curve in found]


# ---- drawing ----


def test_ten_digits_drawn_by_pointers_are_named(page: Page, model: Path) -> None:
    net = pynet.load(model)
    named = []
    for digit in range(10):
        place = (0.3 + 0.04 * digit, 0.7 - 0.04 * digit)  # off-centre, too
        page.draw(coarse(curves(digit, 3, tall=0.45, middle=place)), ("mouse", "touch", "pen")[digit % 3])
        pixels = page.pixels()
        assert pixels is not None
        p = net.predict_proba(pixels.reshape(1, *net.in_shape))[0]
        assert np.allclose(page.scores()["p"], p, atol=1e-6)
        assert page.text("prediction-name") == net.classes[p.argmax()]
        named.append(page.text("prediction-name"))
        page.click("clear")
        page.frame()
    assert named == list("0123456789")


def test_a_blank_gets_no_prediction(page: Page) -> None:
    page.draw(coarse(curves(3, 0)))
    assert page.text("prediction-name") == "3"
    for _ in handwriting.WAYS[3][0].split(",") if not page.text("prediction-name") else range(9):
        page.click("undo")
    page.frame()
    assert (page.text("prediction-name"), page.pixels()) == ("–", None)
    assert "no prediction" in page.text("prediction-message")


def test_the_drawing_area_does_not_scroll(page: Page) -> None:
    assert page.js("return getComputedStyle(document.getElementById('pad')).touchAction") == "none"


def test_edited_pixels_change_the_prediction_as_in_python(page: Page, model: Path) -> None:
    net = pynet.load(model)
    page.click("random")
    page.frame()
    seen = page.element("seen")
    for keys in ("\ue015" * 5, "255", "\ue014\ue014" + "7", " "):  # arrows, digits, a space
        seen.send_keys(keys)
        pixels = page.pixels()
        assert pixels is not None
        expected = net.predict_proba(pixels.reshape(1, *net.in_shape))[0]
        assert np.allclose(page.scores()["p"], expected, rtol=0, atol=1e-6)
    before = page.pixels()
    page.enter("pixel-value", "300")
    assert "300 is no pixel; accepted" in page.text("draw-message")
    assert np.array_equal(page.pixels(), before)
    page.enter("temperature", "0.5")
    warm = net.predict_proba(before.reshape(1, *net.in_shape), temperature=10**0.5)[0]
    assert np.allclose(page.scores()["p"], warm, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("style", "height", "width"), [("mnist", 28, 28), ("digits", 8, 8), ("mnist", 20, 28)])
def test_strokes_are_redrawn_as_python_redraws_pictures(page: Page, style: str, height: int, width: int) -> None:
    random = np.random.default_rng(1)
    for digit, thick in ((2, 0.02), (5, 0.06), (8, 0.2)):
        size = tuple(map(int, random.integers(60, 200, 2)))
        pen = handwriting.Pen(thick, (0, 0, 0))
        middle, tall = np.array(size) / 2, 0.6 * min(size)
        ink = handwriting.inked(handwriting.strokes(digit, random), pen, size, middle, tall, random).astype(np.float32)
        wanted = {"height": height, "width": width, "style": STYLES[style]._asdict()}
        found = page.module(
            "glyph",
            "const [h, w, a, wanted] = args; return Array.from(it.prepared({h, w, a: Float32Array.from(a)}, wanted))",
            *ink.shape,
            ink.ravel().tolist(),
            wanted,
        )
        expected = set_glyph(ink, height, width, STYLES[style]).ravel().astype(int)
        assert np.abs(np.array(found) - expected).max() <= 1  # the order of a sum may differ


def test_drawings_are_named(page: Page) -> None:
    """As pointer events draw them, but without the time that these take."""
    right = 0
    for k in range(DRAWINGS):
        drawing = [curve.tolist() for curve in curves(k % 10, k // 10)]
        right += page.module("draw", "it.drawStrokes(args[0]); return session.prediction.best", drawing) == k % 10
    print(f"{right} of {DRAWINGS} drawings are named")
    assert right >= NAMED * DRAWINGS


# ---- looking inside ----


def test_layers_show_sums(page: Page, model: Path) -> None:
    net = pynet.load(model)
    page.click("random")
    page.js("document.getElementById('layers').scrollIntoView({behavior: 'instant'})")
    page.wait(lambda: page.js("return document.querySelectorAll('#layer-list canvas').length") == len(net.layers))
    pixels = page.pixels()
    assert pixels is not None
    net.forward(pixels.reshape(1, *net.in_shape), training=False)
    for i, layer in enumerate(net.layers):
        canvas = page.driver.find_elements("css selector", "#layer-list article > div:first-of-type canvas")[i]
        canvas.send_keys("\ue014")  # selects the first
        detail = page.driver.find_elements("css selector", ".detail")[i].text
        value = float(layer.output[0].ravel()[0])
        shown = float(detail.splitlines()[0].split(": ")[1].split()[0].replace("−", "-"))
        assert shown == pytest.approx(value, rel=1e-4, abs=1e-5), layer
        if layer.kind in ("dense", "conv"):
            total = float(detail.split(" = ")[-1].split()[0].replace("−", "-"))
            assert total == pytest.approx(value, rel=1e-3, abs=1e-4), layer


def test_a_convolution_with_the_same_size_shows_its_sum(page: Page) -> None:
    net = pynet.Network("input(1,8,8) conv(3,4,pad=same) dense(2) softmax", seed=3)
    page.drop(("same.safetensors", saved(net)))
    page.wait(lambda: page.text("network-text") == net.spec)
    page.click("random")
    page.js("document.getElementById('layers').scrollIntoView({behavior: 'instant'})")
    page.wait(lambda: page.js("return document.querySelectorAll('#layer-list canvas').length") == len(net.layers))
    page.driver.find_elements("css selector", "#layer-list article > div:first-of-type canvas")[0].send_keys("\ue014")
    for _ in range(27):  # into the picture
        page.driver.find_elements("css selector", "#layer-list canvas")[0].send_keys("\ue014")
    words = page.driver.find_elements("css selector", ".detail")[0].text.replace("−", "-")
    pixels = page.pixels()
    assert pixels is not None
    net.forward(pixels.reshape(1, 1, 8, 8), training=False)
    expected = pytest.approx(float(net.layers[0].output[0].ravel()[27]), rel=1e-3, abs=1e-4)
    assert float(words.split(": ")[1].split()[0]) == expected
    assert float(words.split(" = ")[-1].split()[0]) == expected


def test_four_steps_have_the_numbers_of_explain(page: Page) -> None:
    digits = pynet.data.load("digits")
    net = pynet.Network("input(64) dense(16) relu dense(10) softmax", seed=0)
    order = shuffle(len(digits.x_train), 0, 0)
    page.js("document.getElementById('steps').scrollIntoView({behavior: 'instant'})")
    page.wait(lambda: page.text("steps-place"))
    assert not page.element("steps-label").is_displayed()
    for step in range(3):
        x, y = digits.x_train[order[step]], digits.y_train[order[step]]
        found = pynet.explain(net, x, y)
        assert page.text("steps-truth") == f"label: {y}"
        for i in range(10):
            assert f"{found.logits[i]:.4f}" in page.text("steps-body").replace("−", "-")
        page.click("steps-next")
        assert f"= {found.loss:.4f}" in page.text("steps-body")
        page.click("steps-next")
        for i in range(10):
            assert f"{found.error[i]:+.4f}" in page.text("steps-body").replace("−", "-")
        page.click("steps-next")
        words = page.text("steps-body").replace("−", "-")
        assert f"is {found.loss_after:.4f} instead of {found.loss:.4f}" in words
        name, change = next(iter(found.changes.items()))
        place = np.unravel_index(np.abs(change).argmax(), change.shape)
        assert f"{found.parameters[name][place]:+.5f}" in words
        page.click("steps-next")
        net.train_step(x[None], np.array([y]), pynet.SGD())
    assert page.text("steps-place").startswith("step 4 ")
    for _ in range(9):
        page.click("steps-back")
    assert page.text("steps-place").startswith("step 1 ")


def test_softmax_and_its_loss(page: Page) -> None:
    logits = np.array([2, 1, 0.1, -1])
    p = np.exp(logits) / np.exp(logits).sum()
    assert [f"{share:.4f}" in page.text("softmax-bars") for share in p] == [True] * 4
    assert f"{-np.log(p[0]):.4f}" in page.text("softmax-loss")
    page.driver.find_elements("css selector", "#softmax-bars button")[3].click()
    assert f"{-np.log(p[3]):.4f}" in page.text("softmax-loss")
    assert f"{p[3] - 1:.4f}".replace("-", "−") in page.text("softmax-gradients")
    page.enter("softmax-p", "0.5")
    assert page.text("softmax-loss").startswith("loss = −log 0.5")


# ---- training ----


@pytest.mark.parametrize("variant", ["relaxed", "simd"])
def test_forty_epochs_have_the_bits_of_python(
    driver: webdriver.Chrome, address: str, variant: str, tmp_path: Path
) -> None:
    page = Page(driver, f"{address}?core={variant}")
    page.train(40)
    digits = pynet.data.load("digits")
    net = pynet.Network("input(64) dense(64) relu dense(10) softmax", seed=0)
    pynet.kernels.set_cpu("portable" if variant == "simd" else None)
    net.fit(digits.x_train, digits.y_train, epochs=40, verbose=0)
    assert page.text("train-sum").endswith(net.weights_sha256())
    (tmp_path / "m.safetensors").write_bytes(page.trained())
    saved = pynet.load(tmp_path / "m.safetensors")
    assert saved.weights_sha256() == net.weights_sha256()
    assert Preparation.from_note(saved.meta["pictures"]) == Preparation(8, 8, style="digits")
    accuracy = net.evaluate(digits.x_test, digits.y_test).accuracy
    assert float(saved.meta["test_accuracy"]) == pytest.approx(accuracy, abs=1e-9)
    check_quiet(driver, address)


@pytest.mark.parametrize("name", ["three", "moons", "spirals", "line"])
def test_data_sets_train(page: Page, name: str, tmp_path: Path) -> None:
    page.choose("train-data", name)
    page.train(3)
    (tmp_path / "m.safetensors").write_bytes(page.trained())
    saved = pynet.load(tmp_path / "m.safetensors")
    assert saved.spec == page.js("return document.getElementById('train-text').value")
    if name in ("moons", "spirals"):
        x, y = getattr(pynet.data, name)({"moons": 300, "spirals": 400}[name], seed=0)
        net = pynet.Network(saved.spec, seed=0)
        net.fit(x, y, epochs=3, verbose=0)
        assert saved.weights_sha256() == net.weights_sha256()


def test_any_network_and_optimizer(page: Page) -> None:
    text = "input(1,8,8) conv(4,3,pad=1) batchnorm relu flatten residual(dense(256)) dropout(0.2) dense(10) softmax"
    page.enter("train-text", text)
    page.choose("train-optimizer", "adamw")
    page.enter("train-batch", "100")
    page.enter("train-seed", "7")
    page.wait(lambda: "parameters" in page.text("train-message"))
    page.train(2)
    digits = pynet.data.load("digits")
    net = pynet.Network(text, seed=7)
    net.fit(digits.x_train, digits.y_train, epochs=2, batch_size=100, optimizer="adamw", verbose=0)
    assert page.text("train-sum").endswith(net.weights_sha256())


def test_draw_with_the_trained_network(page: Page) -> None:
    page.train(40)
    page.click("train-draw")
    page.draw(coarse(curves(0, 1)))
    pixels = page.pixels()
    assert pixels is not None
    assert pixels.shape == (64,)
    assert page.text("prediction-name") == "0"


def test_a_stopped_training_continues_with_the_same_bits(page: Page) -> None:
    text = "input(64) dense(512) relu dense(512) relu dense(10) softmax"
    page.enter("train-text", text)
    page.enter("train-epochs", "100000")
    page.click("train-go")
    page.wait(lambda: page.epoch() > 0)
    page.click("train-go")
    page.wait(lambda: page.text("train-go") == "Train on")
    stopped = page.epoch()
    assert 0 < stopped < 100000
    page.train(2)
    assert page.epoch() == stopped + 2
    digits = pynet.data.load("digits")
    net = pynet.Network(text, seed=0)
    net.fit(digits.x_train, digits.y_train, epochs=page.epoch(), verbose=0)
    assert page.text("train-sum").endswith(net.weights_sha256())


def test_dropped_data(page: Page) -> None:
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (60, 12, 10)).astype(np.uint8)
    y = np.arange(60) % 4
    file = io.BytesIO()
    np.savez_compressed(file, x_train=x, y_train=y, x_test=x[:20], y_test=y[:20])
    page.drop(("mine.npz", file.getvalue()))
    page.wait(lambda: "60 samples for training, 20 for testing; 4 classes" in page.text("train-about"))
    page.train(2)
    net = pynet.Network("input(120) dense(64) relu dense(4) softmax", seed=0)
    net.fit(x, y.astype(np.int32), epochs=2, verbose=0)
    assert page.text("train-sum").endswith(net.weights_sha256())


# ---- what is refused, and where that is said ----


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("text", "input(64) dense(64) rellu dense(10) softmax", "column"),
        ("text", "input(64) dense(9) softmax", "the network has 9 outputs, the data have 10"),
        ("text", "input(3) dense(10) softmax", "the network has 3 inputs, the data have 64"),
        ("text", "input(64) dense(30000) dense(30000) dense(10) softmax", "memory"),
        ("rate", "NaN", "learning"),
        ("rate", "", "learning"),
        ("rate", "-1", "learning"),
        ("batch", "0", "the batch is 0; accepted"),
        ("batch", "x", "the batch is NaN; accepted"),
        ("seed", "-1", "seed"),
    ],
)
def test_wrong_settings_are_refused(page: Page, field: str, value: str, message: str) -> None:
    page.enter(f"train-{field}", value)
    page.wait(lambda: "error" in page.js("return document.getElementById('train-message').className"))
    assert message in page.text("train-message")
    page.click("train-go")
    page.wait(lambda: page.text("train-go") == "Train" and page.text("train-message"))
    assert message in page.text("train-message")


def test_a_loss_that_is_not_finite_ends_the_training(page: Page) -> None:
    page.enter("train-rate", "1e30")
    page.click("train-go")
    page.wait(lambda: "error" in page.js("return document.getElementById('train-message').className"))
    assert "finite" in page.text("train-message")


def files() -> Iterator[tuple[str, bytes, str]]:
    net = pynet.Network("input(64) dense(10) softmax")
    yield "broken.safetensors", b"\x08\0\0\0\0\0\0\0{}      ", "broken.safetensors"
    yield "short.npz", b"PK\3\4", "short.npz"
    yield "cat.jpg", b"\xff\xd8\xff\xe0 a picture", "cat.jpg is no data file that is known here; accepted: .npz"
    yield "empty.npz", b"", "empty.npz"
    file = io.BytesIO()
    np.savez(file, x=np.zeros((3, 4)), y=np.array([0, 1, 2.5]))
    yield "odd.npz", file.getvalue(), "y[2] is 2.5; accepted: whole numbers"
    file = io.BytesIO()
    np.savez(file, x=np.full((9, 4), 7, np.uint8), y=np.arange(9) % 2)
    yield "flipped.npz", file.getvalue().replace(b"\7\7\7\7", b"\7\7\7\6", 1), "the checksum of x.npy is wrong"
    yield "train-images-idx3-ubyte", b"\0\0\x08\x03" + b"\xff" * 12 + b"1", "but 1 follow"
    yield (
        "regression.safetensors",
        saved(pynet.Network("input(64) dense(1)")),
        "accepted here: a model that names",
    )
    yield "columns.safetensors", saved(pynet.Network("input(3) dense(2) softmax")), "which are no picture"
    yield "colour.safetensors", saved(pynet.Network("input(3,8,8) dense(2) softmax")), "in colour"
    for key in ("pictures", "inputs"):
        noted = pynet.Network("input(64) dense(10) softmax")
        noted.meta[key] = '{"style": "digits"'
        yield f"{key}.safetensors", saved(noted), f'the model\'s note "{key}" is damaged: {{"style": "digits"'
    content = bytearray(saved(net))
    content[-4:] = b"\0\0\xc0\x7f"
    yield "nan.safetensors", bytes(content), "nan.safetensors"


def saved(net: pynet.Network) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.safetensors")
        net.save(path)
        return path.read_bytes()


def test_files_that_are_refused(page: Page) -> None:
    text = page.text("network-text")
    for name, content, message in files():
        page.js("document.getElementById('open-message').textContent = ''")
        page.drop((name, content))
        assert message in page.message("open-message"), name
        assert "error" in page.js("return document.getElementById('open-message').className"), name
        assert page.text("network-text") == text
    page.click("random")
    page.frame()
    assert page.text("prediction-name") != "–"


def test_a_model_of_ones_own(page: Page, tmp_path: Path) -> None:
    net = pynet.Network("input(64) dense(16) residual(dense(16) relu) relu dense(3) softmax", seed=2)
    net.classes = ["<b>no</b>", "yes", "ž"]
    net.save(tmp_path / "mine.safetensors")
    page.element("open-file").send_keys(str(tmp_path / "mine.safetensors"))
    page.wait(lambda: page.text("network-text") == net.spec)
    page.draw(coarse(curves(4, 0)))
    pixels = page.pixels()
    assert pixels is not None
    assert np.allclose(page.scores()["p"], net.predict_proba(pixels[None])[0], atol=1e-6)
    assert page.text("prediction-name") in net.classes


def test_one_output_names_two_classes(page: Page) -> None:
    net = pynet.Network("input(64) dense(8) relu dense(1) sigmoid loss(bce)", seed=1)
    net.classes = ["low", "high"]
    page.drop(("two.safetensors", saved(net)))
    page.wait(lambda: page.text("network-text") == net.spec)
    page.draw(coarse(curves(4, 0)))
    pixels = page.pixels()
    assert pixels is not None
    p = float(net.predict_proba(pixels[None])[0, 0])
    assert page.scores()["p"] == pytest.approx([1 - p, p], abs=1e-6)
    assert page.text("prediction-name") == net.classes[p > 0.5]
    page.click("why")
    page.choose("steps-from", "drawing")
    assert "Predicted: " in page.text("steps-body")
    page.click("steps-next")
    page.click("steps-next")
    assert (
        page.driver.find_elements("css selector", "#steps-body .bars span")[0].text == "high"
    )  # whose probability p is
    for _ in range(3):
        page.click("steps-next")
    assert page.text("steps-message") == ""


def test_outputs_that_are_no_probabilities_are_shown_as_they_are(page: Page) -> None:
    net = pynet.Network("input(64) dense(3) loss(mae)", seed=1)
    net.classes = ["a", "b", "c"]
    page.drop(("plain.safetensors", saved(net)))
    page.wait(lambda: page.text("network-text") == net.spec)
    page.draw(coarse(curves(4, 0)))
    assert "%" not in page.text("prediction-sure") + page.text("bars")
    pixels = page.pixels()
    assert pixels is not None
    shown = float(page.text("prediction-sure").replace("−", "-"))
    assert shown == pytest.approx(float(net.predict_proba(pixels[None]).max()), rel=1e-2)
    page.choose("steps-from", "drawing")
    page.click("steps-next")
    page.click("steps-next")
    assert "of which the sign alone counts" in page.text("steps-body")


def test_pictures_of_dark_ink_are_drawn_in_dark_ink(page: Page, tmp_path: Path) -> None:
    digits = pynet.data.load("digits")
    x, y = 255 - digits.x_train.reshape(-1, 8, 8), digits.y_train
    few = (x // 16).astype(np.float32)  # of 0..15, which are no bytes
    for name, values, white in (("bytes", x, 255), ("few", few, 15)):
        file = io.BytesIO()
        np.savez(file, x=values, y=y)
        page.drop((f"{name}.npz", file.getvalue()))
        page.wait(lambda name=name: page.text("open-message").startswith(f"{name}.npz"))
        page.train(3)
        (tmp_path / "m.safetensors").write_bytes(page.trained())
        net = pynet.load(tmp_path / "m.safetensors")
        assert Preparation.from_note(net.meta["pictures"]) == Preparation(8, 8, style=None, background="light")
        assert Inputs.from_note(net.meta["inputs"]) == Inputs.of(values)
        page.click("train-draw")
        page.draw(coarse(curves(0, 1)))
        pixels = page.pixels()
        assert pixels is not None
        assert pixels[0] == 255
        scaled = pixels if white == 255 else pixels * np.float32(white / 255)
        assert np.allclose(page.scores()["p"], net.predict_proba(scaled[None])[0], atol=1e-6)
        page.click("random")
        seen = page.pixels()
        assert seen is not None
        assert (255 - np.concatenate([digits.x_train, digits.x_test]) == seen.reshape(8, 8)).all(axis=(1, 2)).any()


def test_the_page_reacts_while_a_large_network_is_checked_or_trained(page: Page) -> None:
    page.enter("train-text", "input(64) dense(3000) relu dense(3000) relu dense(10) softmax")
    page.enter("train-batch", "1442")
    page.wait(lambda: "parameters" in page.text("train-message"))
    page.click("train-go")
    page.draw(coarse(curves(3, 0)))
    assert page.text("prediction-name") == "3"
    page.click("train-go")
    page.wait(lambda: page.text("train-go") in ("Train", "Train on"))
    page.enter("train-text", "input(64) dense(10) softmax")
    page.wait(lambda: page.text("train-message").startswith("650 parameters"))


# ---- the page as one file ----


def test_one_file_from_disk(driver: webdriver.Chrome, model: Path, tmp_path: Path) -> None:
    place = tmp_path / "page.html"
    place.write_text(one_file(page_files(model.read_bytes(), model.name)))
    assert place.stat().st_size < 700_000
    page = Page(driver, place.as_uri())
    page.draw(coarse(curves(3, 0)))
    assert page.text("prediction-name") == "3"
    page.train(40)
    assert "accuracy" in page.text("train-message")
    digits = pynet.data.load("digits")
    net = pynet.Network("input(64) dense(64) relu dense(10) softmax", seed=0)
    net.fit(digits.x_train, digits.y_train, epochs=40, verbose=0)
    assert page.text("train-sum").endswith(net.weights_sha256())
    check_quiet(driver, place.as_uri())
