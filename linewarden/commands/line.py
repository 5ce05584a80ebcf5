"""Check before the first part that a line has everything it needs, and test its wiring.

  check   list what is there and what is missing: configuration, secrets and certificates,
          bundle, calibration and engine, packages, files and rights, ports, peers, cameras,
          disk and clock; each missing thing with the command that mends it
  pulse   show one signal of one output for a moment, then the safe state

Both need the outputs or cameras, so stop the line first. The check sends nothing to a PLC, but
connects to each peer. Its exit code is 0 when the line is ready, 3 when its configuration
cannot be read, and 12 when something is missing.

A pulse is refused while the line runs, which `control_socket` tells. The PLC must be allowed
to act on it: it is a real signal, with the number of no part. It ends in the safe state, also
at SIGTERM and Ctrl-C. After kill -9 or a power cut the words in a PLC stay as they are, and the
PLC must take the still heartbeat for a dead station.

examples:
  linewarden line check --config configs/line/modbus.yaml
  linewarden line check --config line.yaml --json | jq '.checks[] | select(.is_met | not)'
  linewarden line pulse --config line.yaml --output modbus REJECT --ms 500
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from edge.station.config import LineConfig
from edge.station.pulse import SECONDS_MAX, SIGNALS, pulse
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
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    checking = actions.add_parser("check", help="list what is there and what is missing")
    add_line_arguments(checking)
    checking.add_argument("--json", action="store_true", help="one JSON object on standard output")
    pulsing = actions.add_parser("pulse", help="show one signal of one output for a moment")
    add_line_arguments(pulsing)
    pulsing.add_argument("--output", required=True, metavar="NAME", help="as the records name it")
    pulsing.add_argument(
        "signal", choices=tuple(SIGNALS), metavar="SIGNAL", help=", ".join(SIGNALS)
    )
    pulsing.add_argument("--ms", type=_milliseconds, default=500.0, help="default: %(default)g")


def run(args: argparse.Namespace) -> int:
    """Does one of the actions; a check returns 12 when something is missing."""
    config = load_config(args.config, LineConfig, args.set, files=args.action == "pulse")
    if args.action == "check":
        return _check(config, args)
    # The default of SIGTERM would end the process within the pulse.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    pulse(config, args.output, args.signal, args.ms / 1e3)
    print(f"{args.output}: {args.signal} for {args.ms:g} ms, then the safe state")
    return 0


def _milliseconds(text: str) -> float:
    value = float(text)
    if not 10 <= value <= SECONDS_MAX * 1e3:
        raise argparse.ArgumentTypeError(f"give 10 to {SECONDS_MAX * 1e3:g} ms")
    return value


def _check(config: LineConfig, args: argparse.Namespace) -> int:
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
        things = "thing is" if missing == 1 else "things are"
        print(f"{args.config}: {f'{missing} {things} missing' if missing else 'ready'}")
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
