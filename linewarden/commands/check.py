"""Check a running line with its reference parts.

The line runs with the same configuration (`linewarden run`), which has `checks` and
a `control_socket`. From now on it is not READY, and the parts that it sees next are
taken for the reference parts: show them in the order that this command says. It ends
when all of them were judged rightly, or with the first one that was not (exit code
7). The line stays not READY until all are right, also when this command is stopped.

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
    """Declare the options."""
    running_line.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Begin the check and follow it; a part that was judged wrongly is raised."""
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
        raise LineError("the recipe that is in force now has no reference parts")
    return check


def _tell(check: dict[str, Any]) -> None:
    if check["due"] is not None:
        print(check["due"], file=sys.stderr)
