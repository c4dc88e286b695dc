"""What a shell completes: `shtab --shell=bash devserver.config.completion.parser` writes the script for it."""

from __future__ import annotations

import argparse

from devserver.config.command_line import command_line_parser
from devserver.config.settings import SETTINGS
from devserver.config.values import OneOf

FILES, FOLDERS = ("FILE", "GLOB"), ("DIR",)


def parser() -> argparse.ArgumentParser:
    """The command's parser, with what stands behind each option: a file, a folder, or one of some words."""
    from shtab import DIRECTORY, FILE

    made = command_line_parser()
    kinds = {setting.name: setting for setting in SETTINGS if setting.flag}
    made.add_argument("script", nargs="?", metavar="SCRIPT", help="the scoring script").complete = FILE  # type: ignore[attr-defined]
    for action in made._actions:  # argparse has no other way to them; shtab goes it, too
        setting = kinds.get(action.dest)
        if setting is not None and isinstance(setting.parse, OneOf):
            action.choices = setting.parse.words
        elif action.metavar in FILES + FOLDERS:
            action.complete = DIRECTORY if action.metavar in FOLDERS else FILE  # type: ignore[attr-defined]
    return made
