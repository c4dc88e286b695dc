"""The page as a person sees it: a browser without a window, driven by chromedriver."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
DRIVER = shutil.which("chromedriver")
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--window-size=1200,1600"),
)
DEADLINE = 15.0

NEEDED = "no browser is installed (Debian: apt-get install chromium chromium-driver)"


def start(folder: Path) -> Any:
    """A new browser with a profile of its own. The test is skipped where there is none."""
    if CHROMIUM is None or DRIVER is None:
        pytest.skip(NEEDED)
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (extra test)")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in (*OPTIONS, f"--user-data-dir={folder}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    env = {**os.environ, "HOME": str(folder)}
    return webdriver.Chrome(options=options, service=Service(DRIVER, env=env))


class Tab:
    """One tab with the page in it."""

    def __init__(self, driver: Any, url: str) -> None:
        self.driver = driver
        driver.get(url)

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def text(self, selector: str) -> str:
        return str(self.driver.execute_script("return document.querySelector(arguments[0]).innerText", selector))

    def until(self, true: Callable[[], object], what: str, deadline: float = DEADLINE) -> None:
        end = time.monotonic() + deadline
        while not true():
            assert time.monotonic() < end, f"not within {deadline:g} s: {what}; the page shows\n{self.text('body')}"
            time.sleep(0.01)

    def wait_for(self, selector: str, text: str, deadline: float = DEADLINE) -> str:
        """Until this text stands there; returns all that stands there."""
        self.until(lambda: text in self.text(selector), f"{text!r} in {selector}", deadline)
        return self.text(selector)

    def wait_until_answering(self) -> None:
        """Until the state says that the code answers, with an init() that was run or kept."""
        self.until(lambda: self.text("#state") in ("ready", "kept"), "the code answers")

    def write(self, selector: str, text: str) -> None:
        self.driver.execute_script(
            "const e = document.querySelector(arguments[0]); e.value = arguments[1];"
            "e.dispatchEvent(new Event('input', {bubbles: true}))",
            *(selector, text),
        )

    def click(self, selector: str) -> None:
        self.find(selector).click()

    def problems(self) -> list[str]:
        """What the browser's console complains of."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
