"""Trigger one part on a running line, as a PLC would.

The line runs with the same configuration (`linewarden run`), which has a
`control_socket` and a trigger that announces parts: software, interval, encoder,
modbus, s7, ethernet_ip or mqtt. The command prints the id of the trigger; the
verdict goes to the outputs of the line.

examples:
  linewarden trigger --config configs/line/software.yaml
  linewarden trigger --config line.yaml --part-id A-17
  linewarden trigger --config line.yaml --json
"""

from __future__ import annotations

import argparse
import json

from linewarden import running_line
from linewarden.running_line import RunningLine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    running_line.add_arguments(parser)
    parser.add_argument("--part-id", help="id of the part in its record")


def run(args: argparse.Namespace) -> int:
    """Asks the line; raises LineError when it refuses."""
    answer = RunningLine(args).ask("trigger", part_id=args.part_id)
    if args.json:
        print(json.dumps(answer))
    else:
        print(answer["trigger_id"] or "no part: within debounce_ms of the trigger before")
    return 0
