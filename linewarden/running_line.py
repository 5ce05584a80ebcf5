"""Access to a running line, for the commands that control it."""

from __future__ import annotations

import argparse
from typing import Any

from edge.station.config import LineConfig
from edge.station.control import ask
from inspection.config.loading import load_config
from inspection.errors import ConfigError
from linewarden.options import add_line_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options that select the line."""
    add_line_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


class RunningLine:
    """The line that runs with a configuration.

    Raises:
        ConfigError: the configuration is wrong, or the line takes no commands.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.config = load_config(args.config, LineConfig, args.set)
        if self.config.control_socket is None:
            raise ConfigError(
                f"{args.config}: 'control_socket' is not set: the line takes no commands; set it, "
                "such as to line.sock, and start the line again"
            )
        self._socket = self.config.control_socket

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Returns the answer of the line; raises LineError when it does not run or refuses."""
        return ask(self._socket, command, **arguments)
