"""Check a running line with its reference parts.

The line runs with the same configuration (`linewarden run`), which has `checks` and
a `control_socket`. From now on the line is not READY, and takes the next parts for the
reference parts: show them in the order that this command asks for. The command ends
when all verdicts are right, or at the first wrong one (exit code 7). The line is READY
again only after a check with all verdicts right, also when you stop this command.

examples:
  linewarden check --config configs/line/checked.yaml
  linewarden check --config line.yaml --json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from inspection.errors import LineError
from linewarden import running_line
from linewarden.running_line import RunningLine

_POLL_S = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    running_line.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Starts the check and follows it; raises LineError at the first wrong verdict."""
    line = RunningLine(args)
    begun = check = line.ask("check")["check"]
    _tell(check)
    while check["due"] is not None:
        if check["failed"] > begun["failed"]:
            raise LineError(f"not passed: {check['due']}")
        time.sleep(_POLL_S)
        before, check = check, _check(line)
        if check["due"] != before["due"]:
            _tell(check)
    if args.json:
        print(json.dumps(check))
    else:
        print("all reference parts are right")
    return 0


def _check(line: RunningLine) -> dict[str, Any]:
    check: dict[str, Any] | None = line.ask("state")["check"]
    if check is None:
        raise LineError("the recipe in force has no reference parts")
    return check


def _tell(check: dict[str, Any]) -> None:
    if check["due"] is not None:
        print(check["due"], file=sys.stderr)
