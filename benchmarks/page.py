"""What the page costs: throughput of the server with it open, its memory, and how late it is after the terminal.

python benchmarks/page.py            (Linux; needs chromium, chromedriver and selenium)

Where other programs have the machine's cores, a rate says more of them than of the page. So the time that tool, browser
and clients have a processor is counted, too, and how much of it is the page's process and the browser's: this is what
the clients' rate can lose on a machine that has nothing else to do.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

import browser  # noqa: E402
from browser import Tab  # noqa: E402
from loop import Loop, answering  # noqa: E402

BODY = '{"data": [[1, 2, 3]]}'
CLIENTS = 2


def rate(loop: Loop, count: int) -> float:
    """Requests a second, from as many clients as the machine has use for."""
    begun = time.perf_counter()

    def work() -> None:
        for _ in range(count // CLIENTS):
            assert loop.ask(BODY).status == 200

    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return count / (time.perf_counter() - begun)


def memory(pid: int) -> float:
    """Resident megabytes of this process."""
    line = next(each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def page_process(loop: Loop) -> int:
    """The process of the page, by its command line."""
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in loop.processes()}
    return next(pid for pid, words in commands.items() if b"page" in words)


def family(pid: int) -> list[int]:
    """This process and all that descend from it."""
    found, parents = [pid], {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            parents[int(name)] = int(_stat(int(name))[1])
        except OSError:
            continue
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def busy(pids: Iterable[int]) -> float:
    """Seconds for which these processes have had a processor."""
    ticks = 0
    for pid in pids:
        try:
            ticks += sum(int(each) for each in _stat(pid)[11:13])
        except OSError:
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def throughput(loop: Loop, driver: Any, rounds: int, count: int) -> None:
    url = loop.wait_for("page")["url"]
    rates: list[float] = []
    shares: list[float] = []
    rate(loop, count)
    for number in range(rounds):
        found = {}
        for is_open in (True, False) if number % 2 else (False, True):
            if is_open:
                Tab(driver, url).wait_until_answering()
            else:
                driver.get("about:blank")
            time.sleep(1)  # until the browser has done what it does with a new page
            shown = {page_process(loop), *family(driver.service.process.pid)}
            everybody = {*family(os.getpid()), *loop.processes()}
            before = busy(shown), busy(everybody)
            found[is_open] = rate(loop, count)
            if is_open:
                shares.append((busy(shown) - before[0]) / (busy(everybody) - before[1]))
        rates.append(found[True] / found[False])
        both = f"closed {found[False]:.0f}/s, open {found[True]:.0f}/s: {rates[-1]:.3f}"
        print(f"  {both}; {shares[-1]:.1%} of the time for the page", flush=True)
    print(f"throughput with the page open: {statistics.median(rates):.3f} of that without, median of {rounds}")
    print(f"page and browser had {statistics.median(shares):.1%} of the time, worst {max(shares):.1%}")


def growth(loop: Loop, driver: Any) -> None:
    Tab(driver, loop.wait_for("page")["url"]).wait_until_answering()
    page = page_process(loop)
    for sent in range(0, 2001, 500):
        heap = driver.execute_cdp_cmd("Runtime.getHeapUsage", {})["usedSize"] / 1e6
        print(f"  after {sent}: page's process {memory(page):.1f} MB, the tool {memory(loop.process.pid):.1f} MB, "
              f"heap in the browser {heap:.1f} MB", flush=True)  # fmt: skip
        rate(loop, 500)


def lateness(loop: Loop, driver: Any, saves: int) -> None:
    tab = Tab(driver, loop.wait_for("page")["url"])
    tab.wait_until_answering()
    driver.execute_script(
        "window.seen = []; const part = document.querySelector('#problem-shown'); new MutationObserver(() =>"
        "window.seen.push([Date.now(), part.textContent])).observe(part, {childList: true})"
    )
    late = []
    for number in range(1, saves + 1):
        loop.save("score.py", f"import no_such_module_{number:03}\n")
        told = loop.wait_for_nth("not_ready", number)["at"] * 1000
        tab.wait_for("#problem-shown", f"no_such_module_{number:03}")
        seen = driver.execute_script("return window.seen")
        late.append(next(at for at, text in seen if f"no_such_module_{number:03}" in text) - told)
    print(f"the page after the terminal: {statistics.median(late):.0f} ms, median of {saves}; worst {max(late):.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--count", type=int, default=4000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        driver = browser.start(Path(folder) / "profile")
        try:
            with Loop(Path(folder) / "loop", "--page", "0", score=answering([1])) as loop:
                throughput(loop, driver, given.rounds, given.count)
                growth(loop, driver)
                lateness(loop, driver, 20)
        finally:
            driver.quit()


if __name__ == "__main__":
    main()
