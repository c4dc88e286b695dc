"""The options of the command: made from the table of settings, shown in groups, and guessed where they are misspelt."""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from devserver import __version__
from devserver.config.files import ConfigError
from devserver.config.setting import Setting
from devserver.config.settings import PROGRAM, SETTINGS

GROUPS: Mapping[str, tuple[str, ...]] = {
    "serving": (
        *("entry_script", "model_dir", "deployment", "config_file", "host", "port", "health_port", "worker_count"),
        *("server", "cors_origins", "init"),
    ),
    "reloading": (
        *("reload", "reload_include", "reload_exclude", "reload_poll", "no_warm", "no_keep", "graceful_timeout"),
    ),
    "trying": ("page", "request", "request_content_type", "replay", "run", "run_timeout"),
    "checking": ("check", "check_format"),
    "debugging": ("debug", "debug_wait", "init_vscode", "full_traceback", "events"),
    "telemetry": ("appinsights_key",),
}
OTHER = "other"
NEWER = ("--init", "--page")  # what was an abbreviation before these came stays one
EXAMPLES = (
    ("serve score.py, and reload it on every save", "score.py --model_dir ./model --reload"),
    ("send a sample after each save, too", "score.py --reload --request sample-request.json"),
    ("a gate in a pipeline", "score.py --check --request sample-request.json"),
)
USAGE = f"{PROGRAM} [SCRIPT] [options]"
EPILOG = (
    "Options may be shortened, and written with dashes. SCRIPT is the same as --entry_script; with --reload alone, "
    "score.py is found here, in src or in code. The README lists the environment variables."
)
_FLAGS = (*(setting.flag for setting in SETTINGS if setting.flag and setting.help), "--help", "--version")
NEAR = 0.6  # of two names, from which one may be meant by the other
USUAL_WIDTH = 80  # columns, where nobody knows how many there are


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message} (see {PROGRAM} --help)")


def command_line_parser() -> argparse.ArgumentParser:
    """The parser of the command, made from the table. Errors: it raises `ConfigError` instead of exiting."""
    width = _width() - 2
    parser = _Parser(
        prog=PROGRAM,
        usage=USAGE,
        add_help=False,
        description=f"Azure ML inference HTTP server v{__version__}, for development: serves a scoring script locally "
        "as Azure ML does, and reloads it on every save.",
        epilog=EPILOG,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, width=width),
    )
    groups = {title: parser.add_argument_group(title) for title in (*GROUPS, OTHER)}
    titles = {name: title for title, names in GROUPS.items() for name in names}
    for setting in SETTINGS:
        if setting.flag:
            groups[titles.get(setting.name, OTHER)].add_argument(setting.flag, **_argument(setting))
    other = groups[OTHER]
    other.add_argument("-h", "--help", action="store_true", default=False, help="show this text and exit")
    other.add_argument("--version", action="store_true", default=False, help="show the version and exit")
    return parser


def _width() -> int:
    """The columns of the terminal; asked here because argparse would import compression libraries to find out."""
    given = os.environ.get("COLUMNS", "")
    if given.isdigit() and int(given):
        return int(given)
    try:
        return os.get_terminal_size(1).columns or USUAL_WIDTH
    except OSError:
        return USUAL_WIDTH


def _argument(setting: Setting) -> dict[str, Any]:
    shown = argparse.SUPPRESS
    if setting.help:
        default = "" if setting.switch or not setting.default else f" (default: {setting.default})"
        shown = (setting.help + default).replace("%", "%%")
    facts: dict[str, Any] = {"dest": setting.name, "default": None, "help": shown}
    if setting.switch:
        return {**facts, "action": "store_true"}
    facts |= {"type": _for_argparse(setting.parse), "metavar": setting.metavar}
    if setting.alone is not None:
        facts |= {"nargs": "?", "const": setting.alone}
    return {**facts, "action": "append"} if setting.repeated else facts


def _for_argparse(parse: Callable[[Any], Any]) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


# --- what was typed


def parsed(parser: argparse.ArgumentParser, argv: Sequence[str]) -> dict[str, Any]:
    """What was typed, by the names of settings; None for what was not. Errors: `ConfigError`.

    The one word without an option's name is the script. argparse has positionals, but an optional one is lost where it
    stands behind an option (before Python 3.13).
    """
    found, rest = parser.parse_known_args(_before_script([_spelt_out(_with_underscores(word)) for word in argv]))
    given = vars(found)
    words = [word for word in rest if word != "--"]
    if any(_is_option(word) for word in words) or len(words) > 1:
        parser.error(_unrecognized(words))
    if words and given["entry_script"]:
        parser.error(f"unrecognized arguments: {words[0]}; the script is {given['entry_script']} already")
    return {**given, "entry_script": words[0]} if words else given


def _with_underscores(argument: str) -> str:
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument[2:].partition("=")
    return "--" + name.replace("-", "_") + equals + value


def _spelt_out(argument: str) -> str:
    """The argument, with the option's whole name where it is the beginning of one earlier option, and of newer ones."""
    name, equals, value = argument.partition("=")
    if not name.startswith("--") or name == "--":
        return argument
    meant = [flag for flag in _FLAGS if flag.startswith(name)]
    earlier = [flag for flag in meant if flag not in NEWER]
    return earlier[0] + equals + value if len(earlier) == 1 < len(meant) and name not in meant else argument


def _before_script(words: list[str]) -> list[str]:
    """With the value that is meant where an option that needs none stands before the script: it would take that."""
    alone = {setting.flag: setting.alone for setting in SETTINGS if setting.alone is not None}
    pairs = itertools.zip_longest(words, words[1:], fillvalue="")
    return [f"{word}={alone[word]}" if word in alone and after.endswith(".py") else word for word, after in pairs]


def _is_option(word: str) -> bool:
    return word.startswith("-") and word != "-"


def _unrecognized(words: Sequence[str]) -> str:
    import difflib

    known = [flag[2:] for flag in _FLAGS]
    near: dict[str, None] = {}
    for word in filter(_is_option, words):
        name = word.lstrip("-").partition("=")[0]
        near |= dict.fromkeys(f"--{match}" for match in difflib.get_close_matches(name, known, 1, NEAR))
    meant = f"; did you mean {' and '.join(near)}?" if near else ""
    return f"unrecognized arguments: {' '.join(words)}{meant}"


# --- help


def help_text(parser: argparse.ArgumentParser) -> str:
    """What --help shows: the options in groups, and examples."""
    rows = [f"  {PROGRAM} {line}\n      {what}" for what, line in EXAMPLES]
    return "\n".join([parser.format_help(), "examples:", *rows, ""])
