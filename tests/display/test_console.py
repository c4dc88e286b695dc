"""What the console says of one thing after another: repeats, what is past, how long it took, what has an effect."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from devserver import __version__, lifecycle
from devserver.config.settings import Config
from devserver.display import banner, console, screen
from devserver.display.console import Console, Repeats
from devserver.records.changes import ChangeSet
from devserver.records.diagnostic import Cause, Diagnostic, ProcessEnd, Request
from devserver.records.messages import Listening, LoadReport, Look, Times, WorkerReplaced

ERROR = Diagnostic(
    "error",
    "run",
    "KeyError",
    "'a'",
    "/p/score.py",
    7,
    3,
    hint="the request has the fields 'b'",
    request=Request("POST", "/score", "", 9, '{"b": 1}'),
    status=500,
)
LOADED = LoadReport(True, times=Times(0.0, 5.0, 3.0))
Show = Callable[[object], None]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shown(clock: Clock) -> Console:
    return Console(Config(entry_script="score.py", reload=True), colour=False, clock=clock)


def failed(error: Diagnostic = ERROR, generation: int = 1) -> lifecycle.Noted:
    return lifecycle.Noted(generation, error)


def is_whole(text: str) -> bool:
    return "request: POST" in text


# ----------------------------------------------------------------------- repeats


@pytest.mark.parametrize(
    "other",
    [
        replace(ERROR, hint="the request has the fields 'c'"),
        replace(ERROR, request=replace(ERROR.request, body='{"c": 1}')) if ERROR.request else ERROR,
        replace(ERROR, causes=(Cause("cause", "ValueError", "b"),)),
        replace(ERROR, column=5),
        replace(ERROR, status=503),
        replace(ERROR, thread="two"),
        replace(ERROR, facts=ProcessEnd(1)),
    ],
)
def test_another_error_on_the_same_line_is_another(other: Diagnostic) -> None:
    """Whatever it is that differs."""
    repeats = Repeats(lambda: 1.0)
    assert [repeats.count(each, 1) for each in (ERROR, other, ERROR, other)] == [1, 1, 2, 2]


def test_another_generation_is_another(shown: Console, capfd: pytest.CaptureFixture[str]) -> None:
    """The same error of other code is shown whole, also where an older request fails late."""
    for generation, whole in ((1, True), (1, False), (2, True), (2, False), (1, False)):
        shown.show(failed(generation=generation))
        assert is_whole(capfd.readouterr().out) == whole


@pytest.mark.parametrize(
    "between",
    [
        lifecycle.Restarting(ChangeSet()),
        lifecycle.Died(1, lifecycle.Death(exit_code=3), 0.0, False),
        Look("clear"),
    ],
    ids=["reload", "death", "clear"],
)
def test_what_was_shown_whole_before_is_shown_whole_again(
    shown: Console, capfd: pytest.CaptureFixture[str], between: object
) -> None:
    """A reload, a death or a cleared terminal lies between."""
    shown.show(failed())
    shown.show(failed())
    assert "(2 times)" in capfd.readouterr().out
    shown.show(between)
    capfd.readouterr()
    shown.show(failed())
    assert is_whole(capfd.readouterr().out)


# -------------------------------------------------------------------------- past


def traceback(shown: Console, capfd: pytest.CaptureFixture[str]) -> str:
    capfd.readouterr()
    shown.show(Look("traceback"))
    return capfd.readouterr().out


def test_a_repaired_error_is_called_so(shown: Console, capfd: pytest.CaptureFixture[str]) -> None:
    """The traceback of the last error is there, with a word about what has been since."""
    broken = replace(ERROR, phase="load", type="SyntaxError", request=None)
    shown.show(lifecycle.NotReady(1, LoadReport(False, error=broken)))
    assert traceback(shown, capfd).startswith("/p/score.py:7:3: error: SyntaxError")
    shown.show(lifecycle.Ready(2, LOADED))
    text = traceback(shown, capfd)
    assert text.startswith("[azmlinfsrv] the last error was repaired") and "error: SyntaxError" in text
    shown.show(failed(generation=2))
    assert traceback(shown, capfd).startswith("/p/score.py:7:3: error: KeyError")
    shown.show(lifecycle.Ready(3, LOADED))
    assert traceback(shown, capfd).startswith("[azmlinfsrv] the last error is from before the last load")


# ------------------------------------------------------------------------ seconds


def test_a_pause_is_no_loading(shown: Console, clock: Clock, capfd: pytest.CaptureFixture[str]) -> None:
    """A process that is started again in 4 s has not taken these to load."""
    shown.show(lifecycle.Died(1, lifecycle.Death(exit_code=3), 4.0, False))
    clock.now += 4.5
    shown.show(lifecycle.Ready(2, LOADED))
    assert "ready in 500 ms" in capfd.readouterr().out


def test_a_worker_in_place_of_another_is_timed_from_its_own_start(
    shown: Console, clock: Clock, capfd: pytest.CaptureFixture[str]
) -> None:
    """And not from the start of the command."""
    shown.tell(LOADED)
    clock.now += 7.0
    shown.tell(WorkerReplaced())
    clock.now += 0.2
    capfd.readouterr()
    shown.tell(LOADED)
    assert "ready in 200 ms" in capfd.readouterr().out


# ------------------------------------------------------------------------- banner


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (Config(worker_timeout=30), "30 s"),
        (Config(worker_timeout=0), "none"),
        (Config(worker_timeout=30, server="waitress"), "none (waitress has none)"),
    ],
)
def test_worker_timeout_of_the_banner(config: Config, says: str) -> None:
    """0 is no limit, and waitress knows none."""
    assert banner.worker_timeout(config) == says


@pytest.mark.parametrize(
    ("origins", "installed", "says"),
    [
        (None, True, "off"),
        (" , ", True, "off"),
        ("https://a.example,https://b.example", True, "for https://a.example, https://b.example"),
        ("*", False, "off: flask-cors is not installed"),
    ],
)
def test_cors_of_the_banner(monkeypatch: pytest.MonkeyPatch, origins: str | None, installed: bool, says: str) -> None:
    """Only what is there has an effect."""
    monkeypatch.setattr(banner, "find_spec", lambda _name: object() if installed else None)
    assert banner.cors(Config(cors_origins=origins)) == says


def test_telemetry_of_the_banner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the exporter nothing is sent."""
    import importlib.metadata

    on = Config(appinsights_enabled=True, appinsights_key="12345678-1234-1234-1234-123456789012")

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", lambda _name: "1.0")
    assert (banner.telemetry(Config()), banner.telemetry(on)) == ("off", "on")
    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert banner.telemetry(on) == "off: azure-monitor-opentelemetry-exporter is not installed"


def test_server_of_the_banner() -> None:
    """What waitress has several of are threads."""
    found = [banner.server(Config(server=name, worker_count=2)) for name in ("gunicorn", "waitress")]
    assert found == ["gunicorn, 2 workers", "waitress, 2 threads"]


def test_the_facts_are_written(capfd: pytest.CaptureFixture[str]) -> None:
    """All of them without --reload, as Azure's server does; in the loop where everything is logged."""
    assert console.banner is banner
    config = Config(entry_script="score.py", server="gunicorn")
    for each in (config, replace(config, reload=True, log_level="DEBUG")):
        Console(each, colour=False).facts()
        assert "Worker timeout:       300 s\n" in capfd.readouterr().out


HERE, EVERYWHERE = (
    Listening("127.0.0.1", 5001, "127.0.0.1:5001"),
    Listening("", 5001, "127.0.0.1:5001", "", "[::9]:5001"),
)


@pytest.mark.parametrize(("on", "network"), [(HERE, "not reachable from outside"), (EVERYWHERE, "http://[::9]:5001")])
def test_the_banner_of_the_loop(on: Listening, network: str) -> None:
    """Four lines: what is served, where it can be called, and that there are keys."""
    config = Config(entry_script="src/score.py", model_dir="model", base="/p", reload=True)
    assert banner.short(config, on, keys=True).splitlines() == [
        f"azmlinfsrv {__version__}: {os.path.join('src', 'score.py')}, model_dir model",
        "  Local    http://127.0.0.1:5001",
        f"  Network  {network}",
        "  Keys     press h for help and details, r to send again, q to quit",
    ]
    assert len(banner.short(config, on, keys=False).splitlines()) == 3
    assert "  Local    http://127.0.0.1:5001 (page: http://127.0.0.1:5002/)" in banner.short(
        config, on, True, "http://127.0.0.1:5002/"
    )
    with_health = banner.short(config, replace(on, health="127.0.0.1:5000"), keys=True).splitlines()
    assert with_health[1].endswith(" (health: http://127.0.0.1:5000/)") and len(with_health) == 4


def test_the_keys_are_told_once(shown: Console, capfd: pytest.CaptureFixture[str]) -> None:
    """In the banner, or by a line where they come later; `h` shows them with all facts."""
    shown.show(HERE)
    shown.facts()
    assert "press h" not in capfd.readouterr().out
    shown.show(Look("keys"))
    assert capfd.readouterr().out == f"[azmlinfsrv] {banner.KEYS}\n"
    shown.show(Look("help", "  q  quit"))
    out = capfd.readouterr().out
    assert out.startswith("[azmlinfsrv] keys:\n  q  quit\nAzure ML inference HTTP server v") and "Watched:" in out


def test_a_sample_beside_the_script_is_offered_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """When there are keys, and nobody has named another."""
    (tmp_path / "sample-request.json").write_text("{}")
    config = Config(entry_script="score.py", base=str(tmp_path), reload=True)
    named = (replace(config, request=(str(tmp_path / "other.json"),)), replace(config, replay="last"))
    for each, keys, offers in ((config, True, 1), (config, False, 0), *((other, True, 0) for other in named)):
        shown = Console(each, colour=False)
        if keys:
            shown.show(Look("keys"))
        for generation in (1, 2):
            shown.show(lifecycle.Ready(generation, LOADED))
        assert capfd.readouterr().out.count("[azmlinfsrv] press r to send sample-request.json") == offers


def test_a_blank_line_stands_before_each_report(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In a terminal reports begin with it; what belongs to one has none inside."""
    monkeypatch.setattr(screen, "is_terminal", lambda _stream: True)
    shown = Console(Config(entry_script="score.py", reload=True), colour=False)
    shown.show(failed())
    shown.show(failed(replace(ERROR, line=9)))
    shown.show(lifecycle.Restarting(ChangeSet()))
    shown.show(lifecycle.Ready(2, LOADED))
    lines = capfd.readouterr().out.split("\n")
    begins = [number for number, line in enumerate(lines) if "request failed" in line or "restarting" in line]
    assert [number - 1 for number in begins] == [number for number, line in enumerate(lines[:-1]) if not line]


def test_the_configuration_is_not_called_repaired(shown: Console, capfd: pytest.CaptureFixture[str]) -> None:
    """A load that goes well with the values from before has mended nothing."""
    shown.config_kept(replace(ERROR, phase="config", path="/p/deployment.yml"))
    shown.show(lifecycle.Ready(2, LOADED))
    assert traceback(shown, capfd).startswith("/p/deployment.yml:7:3: error: KeyError")


# ------------------------------------------------------------------- what is slow


def test_lines_about_what_is_slow(shown: Console, capfd: pytest.CaptureFixture[str]) -> None:
    """Where there is no terminal, one at 10, 30, 60 s and so on, however the looks fall; the next one begins anew."""
    for phase, moments in (("init", (9.9, 11.2, 12.3, 29.9, 31.0)), ("run", (65.0, 66.0, 3.0, 12.0)), ("run", (11.0,))):
        for seconds in moments:
            shown.show(lifecycle.Slow(1, seconds, phase))  # type: ignore[arg-type]
    told = [line.partition("still ")[2] for line in capfd.readouterr().out.splitlines()]
    assert told == [
        *("in init(), 10 s", "in init(), 30 s"),
        *("in run(), 60 s", "in run(), 10 s", "in run(), 10 s"),
    ]
