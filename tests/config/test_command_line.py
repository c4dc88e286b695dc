"""What may be typed: the script as one word, options that are shortened, and what a misspelt one may have meant."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from live import environment

from devserver.config.command_line import GROUPS, OTHER, command_line_parser, parsed
from devserver.config.files import ConfigError
from devserver.config.settings import PAGE_PORT, SETTINGS
from devserver.config.sources import HelpAsked, read_config

# the options before NEWER came; what was an abbreviation of one of them stays one
EARLIER = (
    *("entry_script", "model_dir", "host", "port", "health_port", "worker_count", "server", "config_file"),
    *("deployment", "access_control_allow_origins", "appinsights_instrumentation_key", "rest", "reload"),
    *("reload_include", "reload_exclude", "reload_poll", "no_warm", "no_keep", "graceful_timeout", "events", "request"),
    *("request_content_type", "replay", "check", "check_format", "run", "run_timeout", "debug", "debug_wait"),
    *("init_vscode", "full_traceback", "help", "version"),
)
TAKEN = {"init"}  # which is an option now
PLAIN = "def init(): pass\ndef run(data): return data\n"


def refusal(*argv: str, folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_config(argv, {}, str(folder))
    assert caught.value.exit_code == 1 and "\n" not in str(caught.value)
    return str(caught.value)


def script_of(*argv: str, folder: Path) -> str | None:
    return read_config(argv, {}, str(folder)).entry_script


# --- the script


@pytest.mark.parametrize(
    "argv",
    [
        ("score.py",),
        ("score.py", "--reload"),
        ("--reload", "score.py"),
        ("--port", "80", "score.py", "--reload"),
        ("--reload_include", "*.txt", "score.py"),
        ("--reload", "--", "score.py"),
        ("--entry", "score.py"),
        ("--reload", "--page", "score.py"),
        ("--reload", "--page", "0", "score.py"),
    ],
)
def test_the_script_is_the_word_without_an_option(tmp_path: Path, argv: tuple[str, ...]) -> None:
    """Wherever it stands; it is the same as --entry_script."""
    config = read_config(argv, {"AZUREML_ENTRY_SCRIPT": "other.py"}, str(tmp_path))
    assert (config.entry_script, config.sources["entry_script"]) == ("score.py", "command line")
    assert config.script == str(tmp_path / "score.py")
    assert config.page == (None if "--page" not in argv else 0 if "0" in argv else PAGE_PORT)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("a.py", "b.py"), "unrecognized arguments: a.py b.py"),
        (("--entry_script", "a.py", "b.py"), "b.py; the script is a.py already"),
        (("--port", "80", "a.py", "b.py"), "a.py b.py"),
    ],
)
def test_one_word_only(tmp_path: Path, argv: tuple[str, ...], words: str) -> None:
    """A second word is a mistake, as every word was before."""
    assert words in refusal(*argv, folder=tmp_path)


@pytest.mark.parametrize("place", ["score.py", "src/score.py", "code/score.py"])
def test_reload_alone_finds_the_script(tmp_path: Path, place: str) -> None:
    """It says so in one line, and the configuration beside the script counts."""
    script = tmp_path / place
    script.parent.mkdir(exist_ok=True)
    script.write_text(PLAIN)
    script.with_name("config.json").write_text('{"SERVICE_NAME": "here"}')
    config = read_config(["--reload"], {}, str(tmp_path))
    assert (config.script, config.service_name) == (str(script), "here")
    assert config.notes == (f"no script was named: {place} is served",)


def test_several_scripts_are_named(tmp_path: Path) -> None:
    """None of them is guessed; the one that was found at the start stays when another comes."""
    for place in ("src", "code"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "score.py").write_text(PLAIN)
    told = refusal("--reload", folder=tmp_path)
    assert told.startswith("which script? src/score.py and code/score.py are here")
    assert read_config(["--reload"], {}, str(tmp_path), "code/score.py").entry_script == "code/score.py"


def test_nothing_is_found_where_a_script_is_named_or_nobody_reloads(tmp_path: Path) -> None:
    """The variable, the file and the option come first; without --reload the refusal is as it was."""
    (tmp_path / "score.py").write_text(PLAIN)
    assert read_config(["--reload"], {"AZUREML_ENTRY_SCRIPT": "a.py"}, str(tmp_path)).entry_script == "a.py"
    assert refusal(folder=tmp_path).endswith("or give a --deployment or --config_file")
    (tmp_path / "config.json").write_text('{"AZUREML_ENTRY_SCRIPT": "b.py"}')
    config = read_config(["--reload"], {}, str(tmp_path))
    assert (config.entry_script, config.notes) == ("b.py", ())


def test_no_script_anywhere(tmp_path: Path) -> None:
    """The line says where it was looked for, and what writes one."""
    told = refusal("--reload", folder=tmp_path)
    assert "there is no score.py, src/score.py or code/score.py here" in told and "--init" in told


# --- options


def test_every_abbreviation_of_before_means_the_same() -> None:
    """A new option takes none of them away, but for --init itself."""
    parser = command_line_parser()
    names = {setting.flag[2:]: setting.name for setting in SETTINGS if setting.flag}
    for option in EARLIER:
        for end in range(1, len(option)):
            short = option[:end]
            if [one for one in EARLIER if one.startswith(short)] == [option] and short not in TAKEN:
                setting = next((each for each in SETTINGS if each.flag == f"--{option}"), None)
                value = [] if setting is None or setting.switch else ["failed" if option == "replay" else "5"]
                value = ["waitress"] if option == "server" else ["json"] if option == "check_format" else value
                assert parsed(parser, [f"--{short}", *value])[names.get(option, option)] not in (None, False)


def test_a_newer_option_is_told_from_an_earlier_one(tmp_path: Path) -> None:
    """The whole name counts, and what only it begins with; a value may follow with `=`."""
    assert read_config(["--p=7000", "a.py"], {}, str(tmp_path)).port == 7000
    assert read_config(["--init"], {}, str(tmp_path)).init
    assert not read_config(["--ini", "a.py"], {}, str(tmp_path)).init
    assert "ambiguous" in refusal("--reload_", folder=tmp_path)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--relaod", "--reload"),
        ("--entry-scrpt", "--entry_script"),
        ("--script", "--entry_script"),
        ("--prot=80", "--port"),
        ("-reload", "--reload"),
        ("--modeldir", "--model_dir"),
        ("--initvscode", "--init_vscode"),
    ],
)
def test_did_you_mean(tmp_path: Path, typed: str, meant: str) -> None:
    """A misspelt option is told with the one that is near."""
    told = refusal("--entry_script", "score.py", typed, folder=tmp_path)
    assert "unrecognized arguments" in told and f"did you mean {meant}?" in told


def test_nothing_is_near(tmp_path: Path) -> None:
    """Nothing is guessed then."""
    told = refusal("score.py", "--zzzz", folder=tmp_path)
    assert "did you mean" not in told and "--zzzz" in told


# --- help


def test_every_option_has_its_group() -> None:
    """Each option that is shown stands in one group of the help, under its title."""
    grouped = [name for names in GROUPS.values() for name in names]
    shown = [setting.name for setting in SETTINGS if setting.flag and setting.help]
    assert sorted(grouped) == sorted(shown)


@pytest.mark.parametrize("columns", [80, 120])
def test_help_fits(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The titles stand in their order, three examples at the end, and no line is longer than the terminal is wide."""
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(HelpAsked) as asked:
        read_config(["--help"], {})
    lines = str(asked.value).splitlines()
    titles = [line[:-1] for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert titles == [*GROUPS, OTHER, "examples"]
    assert max(map(len, lines)) <= columns
    assert sum(line.startswith("  azmlinfsrv ") for line in lines) == 3


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("azmlinfsrv --relo", {"--reload", "--reload_include", "--reload_exclude", "--reload_poll"}),
        ("azmlinfsrv --reload --server ", {"gunicorn", "waitress"}),
        ("azmlinfsrv --entry_script sc", {"score.py"}),
        ("azmlinfsrv --model_dir m", {"model"}),
        ("azmlinfsrv sc", {"score.py"}),
    ],
)
def test_bash_completes(tmp_path: Path, typed: str, completed: set[str]) -> None:
    """Options, words, files and folders, as the script does that the README's command writes."""
    shtab = pytest.importorskip("shtab")
    from devserver.config.completion import parser

    (tmp_path / "score.py").write_text(PLAIN)
    (tmp_path / "model").mkdir()
    words = typed.split(" ")
    ask = f"COMP_WORDS=({' '.join(words)}{' ' + repr('') if not words[-1] else ''}); COMP_CWORD={len(words) - 1}\n"
    ask += "_shtab_azmlinfsrv azmlinfsrv\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n"
    done = subprocess.run(
        ["bash", "-c", f"{shtab.complete(parser(), shell='bash')}\n{ask}"],
        cwd=tmp_path, capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    assert {word.strip() for word in done.stdout.splitlines()} == completed, done.stderr


def test_help_needs_little(tmp_path: Path) -> None:
    """Whoever only asks what there is does not wait for what serves, shows or guesses."""
    program = (
        "import sys; before = set(sys.modules); from devserver.cli import run; run(['--help']); "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment({}), capture_output=True, text=True, timeout=20
    )
    came = set(done.stdout.splitlines()[-1].split())
    assert "argparse" in came
    assert not came & {"json", "shutil", "subprocess", "difflib", "importlib.metadata", "flask", "yaml", "tomllib"}
    assert not [
        name for name in came if name.startswith(("devserver.display", "devserver.worker", "devserver.supervisor"))
    ]
