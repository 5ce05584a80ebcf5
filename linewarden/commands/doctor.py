"""Check this machine for everything that the engines need, and say how to get the rest.

Checks driver, device nodes, groups, libraries, Python packages, JetPack version and
disk space, and changes nothing. Without --engine it checks ONNX Runtime, and TensorRT
where there is an NVIDIA device. A PC with an RTX card and without TensorRT runs the
engine tensorrt-rtx.

The exit code is 0 when the machine is ready, and 6 when something is missing.

examples:
  linewarden doctor
  linewarden doctor --engine tensorrt
  linewarden doctor --engine tensorrt-rtx
  linewarden doctor --json | jq '.checks[] | select(.is_met | not)'
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from inspection.engine.preflight import ENGINES, Check, Machine, engines_here, examine
from inspection.errors import ConfigError, EngineError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--engine", choices=ENGINES, help="check for this engine only")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(),
        help="folder of the bundles (default: the current folder)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def run(args: argparse.Namespace) -> int:
    """Examines and reports; returns 6 when something is missing."""
    if not args.folder.is_dir():
        raise ConfigError(
            f"{args.folder}: no such folder; give the folder of the bundles as --folder"
        )
    machine = Machine()
    engines = engines_here(machine) if args.engine is None else (args.engine,)
    checks = examine(machine, args.folder.resolve(), engines)
    is_ready = all(check.is_met for check in checks)
    if args.json:
        report = {"is_ready": is_ready, "engines": engines, "checks": [asdict(c) for c in checks]}
        print(json.dumps(report, indent=2))
    else:
        for line in describe(checks):
            print(line)
        print(f"{', '.join(engines)}: {'ready' if is_ready else 'something is missing'}")
    return 0 if is_ready else EngineError.exit_code


def describe(checks: list[Check]) -> list[str]:
    """Returns the checks as text, with the remedy of each missing item."""
    lines = []
    for check in checks:
        lines.append(f"{'ok     ' if check.is_met else 'MISSING'}  {check.name}: {check.found}")
        if not check.is_met and check.mend:
            lines.append(f"         {check.mend}")
    return lines
