"""Makes pictures of the page from the real one, in a browser without a window: light, dark, and 400 px wide.

python docs/page_pictures.py            (needs chromium, chromedriver and `pip install selenium`)
"""

from __future__ import annotations

import base64
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

import browser  # noqa: E402
from browser import Tab  # noqa: E402
from loop import Loop  # noqa: E402

SCORE = """import json


def init():
    global rates
    rates = {"gold": 0.9, "silver": 0.95}


def run(raw_data):
    rows = json.loads(raw_data)["rows"]
    return {"prices": [round(row["price"] * rates[row["level"]], 2) for row in rows]}
"""
SAMPLE = '{"rows": [{"price": 120, "level": "gold"}, {"price": 80, "level": "silver"}]}'
FOLDER = ROOT / "docs" / "pictures"
VIEWS = {"page": (1000, "light"), "page-dark": (1000, "dark"), "page-narrow": (400, "light")}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        driver = browser.start(Path(made) / "profile")
        try:
            arguments = ("--page", "0", "--request", "sample.json")
            with Loop(Path(made) / "loop", *arguments, score=SCORE, files={"sample.json": SAMPLE}) as loop:
                loop.wait_for("warm")  # so that the times are those of every day
                _show(loop, driver, folder)
        finally:
            driver.quit()


def _show(loop: Loop, driver: Any, folder: Path) -> None:
    tab = Tab(driver, loop.wait_for("page")["url"])
    tab.until(lambda: tab.find("#body").get_attribute("value"), "the sample is in the form")
    tab.click("#send")
    tab.wait_for("#answer-line", "200")
    for number, rate in enumerate(("0.97", "0.96", "0.98"), 2):
        loop.save("score.py", SCORE.replace("0.95", rate))
        loop.wait_for_nth("ready", number)
    tab.wait_for("#since", "generation 4")
    tab.click("#send")
    tab.wait_for("#difference", "changed")
    loop.ask('{"rows": [{"price": 5, "level": "bronze"}]}')
    tab.wait_for("#requests", "KeyError")
    for name, (width, scheme) in VIEWS.items():
        _take(driver, folder / f"{name}.webp", width, scheme)


def _take(driver: Any, path: Path, width: int, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    size = {"width": width, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**size, "height": 600})
    height = driver.execute_script("return document.documentElement.scrollHeight")
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**size, "height": height})
    taken = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "webp", "quality": 70})
    path.write_bytes(base64.b64decode(taken["data"]))


if __name__ == "__main__":
    main(FOLDER)
