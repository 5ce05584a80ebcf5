"""Check before the first part that a line has everything it needs.

  check   list what is there and what is missing: configuration, secrets and certificates,
          bundle, calibration and engine, packages, files and rights, ports, peers, cameras,
          disk and clock; each missing thing with the command that mends it

It opens the cameras, so stop the line first. It sends nothing to a PLC, but connects to each
peer. The exit code is 0 when the line is ready, 3 when its configuration cannot be read, and
12 when something is missing.

examples:
  linewarden line check --config configs/line/modbus.yaml
  linewarden line check --config line.yaml --json | jq '.checks[] | select(.is_met | not)'
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from edge.station.config import LineConfig
from edge.station.screening import screened
from inspection.config.loading import load_config
from inspection.engine.preflight import Check
from inspection.errors import ConfigError
from linewarden.commands.doctor import describe
from linewarden.exit_codes import NOT_READY
from linewarden.options import add_line_arguments

_PUT = "put the file there, readable for the user of the line"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("action", choices=("check",), help="check")
    add_line_arguments(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def run(args: argparse.Namespace) -> int:
    """Checks and reports; returns 12 when something is missing."""
    config = load_config(args.config, LineConfig, args.set)
    checks = [*_files(args.config, args.set)]
    for check in checks if not args.json else ():
        print("\n".join(describe([check])), flush=True)
    for check in screened(config):
        checks.append(check)
        if not args.json:  # a camera may take its time: each line when it is known
            print("\n".join(describe([check])), flush=True)
    missing = sum(not check.is_met for check in checks)
    if args.json:
        report = {"is_ready": not missing, "checks": [asdict(check) for check in checks]}
        print(json.dumps(report, indent=2))
    else:
        print(f"{args.config}: {f'{missing} things are missing' if missing else 'ready'}")
    return NOT_READY if missing else 0


def _files(path: Path, settings: list[str]) -> list[Check]:
    """Returns a check for each problem of secrets and certificates, which `run` refuses too."""
    try:
        load_config(path, LineConfig, settings, files=True)
    except ConfigError as error:
        flaws = [line.partition("; ") for line in str(error).splitlines()]
        return [
            Check("common", "configuration", is_met=False, found=what, mend=mend or _PUT)
            for what, _, mend in flaws
        ]
    return [Check("common", "configuration", is_met=True, found=f"{path}, secrets, certificates")]
