"""The page of all commands, from the help that each prints."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from importlib import import_module

from linewarden.command_line import COMMANDS
from linewarden.parser import Parser

_COLUMNS = "96"  # of the help texts, which wrap at the width of the terminal
_HEAD = (
    "`linewarden COMMAND --help` prints these texts. Every command ends with one of the"
    " [exit codes](exit-codes.md)."
)


def page() -> str:
    """Returns the page, in Markdown."""
    os.environ["COLUMNS"] = _COLUMNS
    parts = ["# Commands", _HEAD]
    for name, command in COMMANDS.items():
        parts += [f"## {name}", f"{command.summary[0].upper()}{command.summary[1:]}."]
        parts += [f"```text\n{parser.format_help().rstrip()}\n```" for parser in _parsers(name)]
    return "\n\n".join(parts) + "\n"


def _parsers(name: str) -> Iterator[argparse.ArgumentParser]:
    module = import_module(COMMANDS[name].module)
    parser = Parser(
        prog=f"linewarden {name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    yield parser
    for action in parser._actions:  # argparse has no other way to its subparsers
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.values()
