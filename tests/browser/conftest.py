"""`make test-browser`: the page of `pynet play` in Chromium. Every test fails on an error in the console, or on a
request to another host."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser.page import Page, check_quiet
from helpers.command import GUARD, stream
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

import pynet
from pynet.play.page import SHIPPED

NETWORK = "input(1,28,28) conv(8,5) relu maxpool(2) conv(16,5) relu maxpool(2) dense(64) relu dense(10) softmax"


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """The model that the page draws with: the one of the package, or one trained here."""
    if SHIPPED.exists():
        return SHIPPED
    mnist = request.getfixturevalue("mnist")
    net = pynet.Network(NETWORK, seed=0)
    augment = pynet.Augment(shift=2, rotate=10, scale=0.1)
    net.fit(mnist.x_train, mnist.y_train, epochs=2, optimizer="adam", augment=augment, verbose=0)
    path = tmp_path_factory.mktemp("model") / "mnist.safetensors"
    net.save(path)
    return path


@pytest.fixture(scope="session")
def address(model: Path) -> Iterator[str]:
    """Where `pynet play` serves the page."""
    command = [sys.executable, "-m", "pynet", "play", "--no-browser", "--model", str(model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            found = re.match(r"http://127\.0\.0\.1:\d+/", stream(server.stdout).readline())
            assert found
            yield found[0]
        finally:
            server.terminate()
            server.wait(GUARD)


@pytest.fixture(scope="session")
def driver() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"):
        options.add_argument(flag)
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1")
    options.binary_location = "/usr/bin/chromium"
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    found.set_script_timeout(GUARD)
    still = [{"name": "prefers-reduced-motion", "value": "reduce"}]  # no smooth scrolling
    found.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": still})
    yield found
    found.quit()


@pytest.fixture
def page(driver: webdriver.Chrome, address: str) -> Iterator[Page]:
    """The page, just loaded; in the end no error may be in the console, and no request may have left this machine."""
    opened = Page(driver, address)
    yield opened
    check_quiet(driver, address)
