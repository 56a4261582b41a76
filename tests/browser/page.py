"""The page of `pynet play` as a test uses it: by its elements, and by what its modules know."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

GUARD = 60  # seconds


class Page:
    """Opens the page at this address and waits until it is ready."""

    def __init__(self, driver: WebDriver, address: str) -> None:
        self.driver = driver
        driver.get(address)
        self.wait(lambda: self.js("return document.body.dataset.ready") or self.text("page-message"))
        assert self.text("page-message") == ""

    def wait(self, condition: Callable[[], Any]) -> Any:
        return WebDriverWait(self.driver, GUARD, poll_frequency=0.02).until(lambda _: condition())

    def js(self, script: str, *args: Any) -> Any:
        return self.driver.execute_script(script, *args)

    def module(self, name: str, script: str, *args: Any) -> Any:
        """Runs a script with the exports of a module of the page as `it`, and what the sections share as `session`."""
        head = f"const it = await import('./{name}.js'), {{ session }} = await import('./session.js');"
        return self.js(f"return (async (...args) => {{ {head} {script} }})(...arguments)", *args)

    def element(self, name: str) -> WebElement:
        return self.driver.find_element("id", name)

    def text(self, name: str) -> str:
        return str(self.js("return document.getElementById(arguments[0]).textContent", name))

    def click(self, name: str) -> None:
        """Clicks an element, which must not be covered by another."""
        self.js("document.getElementById(arguments[0]).scrollIntoView({block: 'center', behavior: 'instant'})", name)
        self.element(name).click()

    def enter(self, name: str, text: str) -> None:
        """Sets a field, as typing does."""
        self.js(
            "const [id, text] = arguments, node = document.getElementById(id); node.value = text;"
            "for (const kind of ['input', 'change']) node.dispatchEvent(new Event(kind))",
            name,
            text,
        )

    def choose(self, name: str, value: str) -> None:
        Select(self.element(name)).select_by_value(value)

    def frame(self) -> None:
        """Waits until the page has drawn what is due."""
        self.driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")

    # ---- the drawing ----

    def draw(self, curves: Sequence[npt.NDArray[np.float64]], kind: str = "mouse") -> None:
        """Draws curves (n, 2), fractions of the drawing area's side, by pointer events of this kind."""
        pad = self.element("pad")
        self.js("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", pad)
        box = self.js("const b = arguments[0].getBoundingClientRect(); return [b.left, b.top, b.width]", pad)
        actions = ActionBuilder(self.driver, mouse=PointerInput(kind, kind), duration=0)
        for curve in curves:
            points = [(round(box[0] + x * box[2]), round(box[1] + y * box[2])) for x, y in curve]
            actions.pointer_action.move_to_location(*points[0]).pointer_down()
            for x, y in points[1:]:
                actions.pointer_action.move_to_location(x, y)
            actions.pointer_action.pointer_up()
        actions.perform()
        self.frame()

    def pixels(self) -> npt.NDArray[np.uint8] | None:
        """What the network gets."""
        found = self.module("session", "return session.pixels && Array.from(session.pixels)")
        return None if found is None else np.array(found, np.uint8)

    def scores(self) -> dict[str, Any]:
        """Probabilities, logits and the index of the best class."""
        found = self.module("session", "return session.prediction")
        assert isinstance(found, dict)
        return found

    # ---- the training ----

    def train(self, epochs: int) -> None:
        """Trains to the end."""
        self.enter("train-epochs", str(epochs))
        self.click("train-go")
        self.wait(lambda: self.text("train-go") == "Train on")
        self.wait(lambda: f"Epoch {self.epoch()}," in self.text("train-sum"))

    def epoch(self) -> int:
        return int(self.js("return document.getElementById('train-message').dataset.epoch ?? 0"))

    def trained(self) -> bytes:
        """The file that "Save" offers."""
        script = """
            let saved = null;
            const original = URL.createObjectURL;
            URL.createObjectURL = (blob) => { saved = blob; return original(blob); };
            document.getElementById("train-save").click();
            URL.createObjectURL = original;
            const bytes = new Uint8Array(await saved.arrayBuffer());
            return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
        """
        return base64.b64decode(self.js(f"return (async () => {{ {script} }})()"))

    def drop(self, *files: tuple[str, bytes]) -> None:
        """Drops files on the page."""
        packed = [[name, base64.b64encode(content).decode()] for name, content in files]
        self.js(
            "const data = new DataTransfer();"
            "for (const [name, text] of arguments[0])"
            "  data.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name));"
            "window.dispatchEvent(new DragEvent('drop', {dataTransfer: data, cancelable: true}))",
            packed,
        )

    def message(self, name: str) -> str:
        """The message at this place, as soon as there is one."""
        self.wait(lambda: self.text(name))
        return self.text(name)


def check_quiet(driver: WebDriver, address: str) -> None:
    """Asserts that since the last call the console had no error, and no request went to another host."""
    assert [entry["message"] for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert urls
    assert [url for url in urls if not url.startswith((address, "blob:", "data:"))] == []
