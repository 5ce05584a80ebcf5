"""The parser of all command lines: it refuses paths that the shell should have replaced."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, TypeAlias

from inspection.config.paths import typed_path

# The type of `add_subparsers`, which argparse has no public name for.
Actions: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


class Parser(argparse.ArgumentParser):
    """Reads every argument of `type=Path` with `typed_path`, in its subparsers too."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.register("type", Path, _path)


def _path(text: str) -> Path:
    try:
        return typed_path(text)
    except ValueError as error:  # argparse shows the message of its own class alone
        raise argparse.ArgumentTypeError(str(error)) from error
