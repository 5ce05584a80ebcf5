"""Trigger one part on a running line, as a PLC would.

The line runs with the same configuration (`linewarden run`), which has a
`control_socket` and a trigger that is told of parts: software, interval, encoder,
modbus or mqtt. The id of the trigger stands on standard output; the verdict goes
where all verdicts go.

examples:
  linewarden trigger --config configs/line/software.yaml
  linewarden trigger --config line.yaml --part-id A-17
  linewarden trigger --config line.yaml --json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edge.config import load_config
from edge.control import ask
from edge.errors import ConfigError
from edge.line_config import LineConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--config", required=True, type=Path, metavar="FILE", help="YAML file of the line"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="as for 'linewarden run'"
    )
    parser.add_argument("--part-id", help="what the part is called in its record")
    parser.add_argument("--json", action="store_true", help="the answer as JSON")


def run(args: argparse.Namespace) -> int:
    """Ask the line; a refusal is raised."""
    config = load_config(args.config, LineConfig, args.set)
    if config.control_socket is None:
        raise ConfigError(f"{args.config}: 'control_socket' is not set: the line takes no commands")
    answer = ask(config.control_socket, "trigger", part_id=args.part_id)
    if args.json:
        print(json.dumps(answer))
    else:
        print(answer["trigger_id"] or "no part: within debounce_ms of the trigger before")
    return 0
