"""The page in a real browser: what a person sees of saves and mistakes, and what comes of a request sent from it."""

from __future__ import annotations

import json
import shlex
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
import pytest
from browser import Tab
from loop import Loop, answering

SUMMING = 'import json\n\ndef init():\n    pass\n\ndef run(data):\n    return {"sum": sum(json.loads(data)["data"])}\n'
KINDS = """
import base64
import flask
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
def init(): pass
def run(data):
    if "large" in data:
        return "x" * 20_000_000
    if "image" in data:
        return flask.Response(PNG, mimetype="image/png")
    return flask.Response(bytes(range(256)), mimetype="application/octet-stream")
"""
BROKEN = SUMMING.replace('["data"]', '["data"')


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    started = browser.start(tmp_path_factory.mktemp("profile"))
    yield started
    started.quit()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    folder, files = tmp_path_factory.mktemp("loop"), {"a.json": '{"data": [1, 2]}'}
    with Loop(folder, "--page", "0", "--request", "a.json", score=SUMMING, files=files) as started:
        started.wait_for("warm")  # a start without that takes as long as the machine is busy
        yield started


@pytest.fixture
def loop(running: Loop) -> Loop:
    """The script that sums is loaded, and no problem is left of the test before."""
    if (running.project / "score.py").read_text() != SUMMING:
        save(running, SUMMING)
    return running


@pytest.fixture
def tab(driver: Any, loop: Loop) -> Tab:
    driver.set_window_size(1200, 1600)
    opened = Tab(driver, loop.wait_for("page")["url"])
    driver.execute_script("sessionStorage.clear()")
    opened.driver.refresh()
    opened.wait_until_answering()
    opened.until(lambda: opened.find("#no-problem").is_displayed(), "no problem is shown")
    opened.until(lambda: opened.find("#body").get_attribute("value"), "the sample is in the form")
    return opened


def save(loop: Loop, text: str, event: str = "ready") -> None:
    """Save the script, and wait until that is loaded."""
    number = loop.count(event) + 1
    loop.save("score.py", text)
    loop.wait_for_nth(event, number)


def generation(loop: Loop) -> int:
    return int([event for event in loop.events() if event["event"] == "ready"][-1]["generation"])


def test_first_paint_and_names(tab: Tab, loop: Loop) -> None:
    """What stands there at once, under the names that assistive tools read."""
    roles = {
        (each.aria_role, each.accessible_name)
        for each in tab.driver.find_elements("css selector", "section, textarea, button, table")
        if each.is_displayed()
    }
    wanted = {("region", "Status"), ("region", "Problem"), ("region", "Answer"), ("textbox", "Request body")}
    assert wanted | {("button", "Send"), ("table", "Requests")} <= roles
    assert f"POST http://127.0.0.1:{loop.port}/score" in tab.text("#status")
    assert "last load" in tab.text("#chart-text") and tab.text("#no-problem") == "none"
    tab.wait_for("#requests", "200")  # of the sample
    assert tab.problems() == []


def test_a_broken_save_and_its_repair(tab: Tab, loop: Loop) -> None:
    """The problem stands there within a second of the save, with its line, and goes with the repair."""
    taken = []
    for number in (1, 2):
        begun = time.monotonic()
        loop.save("score.py", BROKEN)
        tab.wait_for("#problem-shown", "SyntaxError")
        taken.append(time.monotonic() - begun)
        if number == 1:
            save(loop, SUMMING)
            tab.until(lambda: tab.find("#no-problem").is_displayed(), "the problem is gone")
    assert min(taken) < 1.0, taken
    assert "score.py:7:" in tab.text("#problem-shown .headline") and tab.text("#state") == "not ready"
    assert "> 7 |" in tab.text("#problem-shown pre") and tab.find("#problem-shown mark").text
    link = tab.find("#problem-shown a").get_attribute("href")
    assert link.startswith(f"vscode://file{loop.project}/score.py:7:")
    loop.save("score.py", SUMMING)
    tab.until(lambda: tab.find("#no-problem").is_displayed(), "the problem is gone")
    tab.wait_until_answering()


def test_send_and_compare(tab: Tab, loop: Loop) -> None:
    """The answer with its times; what differs after an edit; and once more by itself after the next save."""
    tab.click("#send")
    assert "run()" in tab.wait_for("#answer-line", "200") and "in all" in tab.text("#answer-line")
    assert json.loads(tab.text("#answer-text")) == {"sum": 3}
    save(loop, SUMMING.replace("sum(", "10 * sum("))
    tab.wait_for("#since", f"generation {generation(loop)}")
    tab.click("#send")
    tab.wait_for("#difference", "$.sum: 3 -> 30")
    tab.click("#again")
    save(loop, SUMMING.replace("sum(", "100 * sum("))
    tab.wait_for("#difference", "$.sum: 30 -> 300")
    tab.click("#again")


def test_by_keyboard_only(tab: Tab) -> None:
    """From the top of the page to the answer without a mouse."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    keys = ActionChains(tab.driver)
    keys.send_keys(Keys.TAB).send_keys(Keys.ENTER).perform()  # the link to the request
    tab.until(lambda: tab.driver.execute_script("return location.hash") == "#body", "the link was followed")
    assert tab.driver.execute_script("return document.activeElement.id") == "body"
    select_all = ActionChains(tab.driver).key_down(Keys.CONTROL).send_keys("a").key_up(Keys.CONTROL)
    select_all.send_keys('{"data": [5]}').key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(Keys.CONTROL).perform()
    tab.wait_for("#answer-text", '"sum": 5')


def test_narrow_and_dark(tab: Tab) -> None:
    """At 400 px nothing is wider than the page; the colours follow the system."""
    command = "Emulation.setDeviceMetricsOverride"
    tab.driver.execute_cdp_cmd(command, {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False})
    try:
        assert tab.driver.execute_script("return document.documentElement.scrollWidth") <= 400
        tab.click("#send")
        tab.wait_for("#answer-line", "200")
        assert tab.driver.execute_script("return document.documentElement.scrollWidth") <= 400
        ground = "return getComputedStyle(document.body).backgroundColor"
        light = tab.driver.execute_script(ground)
        dark = [{"name": "prefers-color-scheme", "value": "dark"}]
        tab.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": dark})
        assert tab.driver.execute_script(ground) != light
    finally:
        tab.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        tab.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_late_comer_sees_what_was(driver: Any, loop: Loop) -> None:
    """Reloads, the problem and the requests from elsewhere, with the error of the failed one."""
    save(loop, SUMMING.replace('["data"]', '["other"]'))
    loop.ask('{"mine": 1}')
    tab = Tab(driver, loop.wait_for("page")["url"])
    assert "KeyError: 'other'" in tab.wait_for("#requests", "KeyError")
    tab.wait_for("#problem-shown", "score.py:7:")
    assert f"generation {generation(loop)}," in tab.text("#since")


def test_script_text_is_shown_as_letters(tab: Tab, loop: Loop) -> None:
    """Neither a message nor an answer, nor a body, becomes a part of the page."""
    evil = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
    save(loop, f"def init():\n    pass\n\ndef run(data):\n    raise ValueError({evil!r})\n")
    tab.click("#send")
    tab.wait_for("#problem-shown", "<script>document.title='taken'</script>")
    assert "<script>" in tab.wait_for("#answer-text", "<script>")
    tab.wait_for("#requests", "<script>")
    save(loop, answering(evil))
    tab.click("#send")
    tab.wait_for("#answer-text", "onerror=")
    assert tab.driver.find_elements("css selector", "section script, section img[src='x']") == []
    assert "taken" not in tab.driver.title


def test_answers_that_are_no_short_text(tab: Tab, loop: Loop) -> None:
    """Of 20 MB the first part and the size, an image as such, of other bytes the size and the type."""
    save(loop, KINDS)
    for body, told, size in (("large", "20.0 MB", 65536), ("image", "image/png", 0), ("else", "256 B", 0)):
        tab.write("#body", body)
        tab.click("#send")
        tab.wait_for("#answer-line", told)
        assert len(tab.text("#answer-text")) == size
        shown = tab.driver.execute_script("return document.querySelector('#image').naturalWidth")
        assert tab.find("#image").is_displayed() == (body == "image") and (shown == 1) == (body == "image")
        assert "not JSON" in tab.text("#answer-notes")
    assert "application/octet-stream" in tab.text("#answer-line") and "no text" in tab.text("#answer-line")


def test_kept_and_copied(tab: Tab, loop: Loop) -> None:
    """The request as a file of the project, and as a command line that does the same; no file is written elsewhere."""
    tab.write("#body", """{"data": [4, 5], "it's": 1}""")
    tab.click("#curl")
    tab.wait_for("#form-note", "command line")
    command = tab.find("#curl-text").get_attribute("value")
    assert command.startswith(f"curl 'http://127.0.0.1:{loop.port}/score' -H 'Content-Type: application/json' ")
    assert shlex.split(command)[-2:] == ["--data-raw", """{"data": [4, 5], "it's": 1}"""]
    for name, told in (("../kept.json", "inside the project"), ("kept.json", "kept as")):
        tab.write("#sample-name", name)
        tab.click("#keep")
        tab.wait_for("#form-note", told)
    assert (loop.project / "kept.json").read_text() == """{"data": [4, 5], "it's": 1}"""
    assert not (loop.project.parent / "kept.json").exists()
    tab.wait_for("#fill", "kept.json")


def test_a_run_that_hangs_is_cancelled(tab: Tab, loop: Loop) -> None:
    save(loop, "import time\ndef init():\n    pass\ndef run(data):\n    time.sleep(3)\n    return 1\n")
    tab.click("#send")
    tab.until(lambda: tab.find("#cancel").is_displayed(), "there is something to cancel")
    tab.click("#cancel")
    tab.wait_for("#answer-line", "cancelled", deadline=3.0)
    assert not tab.find("#cancel").is_displayed()


def test_nothing_serious_for_assistive_tools(tab: Tab, loop: Loop) -> None:
    """axe-core finds nothing serious, light or dark, with a problem and an answer shown."""
    axe = pytest.importorskip("axe_core_python", reason="axe-core-python is not installed (extra test)")
    script = (Path(axe.__file__).parent / "axe.min.js").read_text()
    save(loop, SUMMING.replace('["data"]', '["other"]'))
    tab.click("#send")
    tab.wait_for("#answer-line", "500")
    tab.click("#document summary")
    tab.wait_for("#document-shown", "POST /score")
    # not as a <script> of the page, which its policy forbids
    tab.driver.execute_script(script)
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        tab.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        found = tab.driver.execute_async_script("axe.run().then(arguments[0])")
        bad = [each for each in found["violations"] if each["impact"] in ("serious", "critical")]
        shown = [(each["id"], [node["html"][:150] for node in each["nodes"]]) for each in bad]
        assert shown == [], scheme
    tab.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_as_soon_as_in_the_terminal(tab: Tab, loop: Loop) -> None:
    """From the terminal's line to the page: at most 150 ms, the median of some saves."""
    watch = (
        "window.seen = []; new MutationObserver(() => window.seen.push([Date.now(), document.querySelector("
        "'#problem-shown').textContent])).observe(document.querySelector('#problem-shown'), {childList: true})"
    )
    tab.driver.execute_script(watch)
    late = []
    before = loop.count("not_ready")
    for number in range(1, 7):
        loop.save("score.py", f"import no_such_module_{number}\n")
        told = loop.wait_for_nth("not_ready", before + number)["at"]
        tab.wait_for("#problem-shown", f"no_such_module_{number}")
        shown = tab.driver.execute_script("return window.seen").copy()
        at = next(at for at, text in shown if f"no_such_module_{number}" in text)
        late.append(at - told * 1000)
    assert statistics.median(late) < 150, late


def test_the_tool_ends_and_is_back(tab: Tab, loop: Loop, tmp_path: Path) -> None:
    """The page says so, and goes on with the next run on the same port, with a token of that. The last test here."""
    url = loop.wait_for("page")["url"]
    assert loop.stop() == 0
    tab.wait_for("#state", "stopped")
    tab.wait_for("#connection", "ended")
    with Loop(tmp_path, "--page", url.rsplit(":")[-1].strip("/"), score=answering("second")) as second:
        assert second.wait_for("page")["url"] == url
        tab.wait_until_answering()
        tab.wait_for("#connection", str(second.project))
        tab.write("#body", "{}")
        tab.click("#send")
        tab.wait_for("#answer-text", "second")
