"""Inspect the parts on a line until it is stopped or the recording ends.

Each part gives one line on standard error and one verdict on every output of the
configuration. A part without a verdict in time is NO_VERDICT, with its cause. At the
end the line prints a summary to standard output.

With --service the line runs under systemd: it reports to systemd when and while it
inspects (Type=notify, watchdog), and waits for a camera or an output that is absent at
the start. It prints no line for each part; the journal has the problems, as JSON. See
docs/guides/deployment.md.

With --json, standard output has one JSON object per part and, as the last line,
{"summary": {...}}; standard error has no line for each part.

The line compares the parts with the good parts of the calibration. A drift alarm names
the change (light, focus, position, contrast, texture) on standard error and in the
summary.

SIGINT (Ctrl-C), SIGTERM and the end of its terminal stop the line after the parts in
hand; a second signal ends the process at once. SIGHUP makes the line open its files
anew, as after a log rotation. The line opens a lost camera again; with `lost_camera:
stop` it stops (exit code 5). When an output does not take a verdict, the line runs on
and ends with exit code 7; under --service, a line that was stopped ends with the code
of the signal (143).

examples:
  linewarden run --config configs/line/replay.yaml
  linewarden run --config line.yaml --set deadline_ms=80 --set camera.loop=true
  linewarden run --config line.yaml --json | jq .verdict

files:
  configs/line/replay.yaml   an example with every key ('linewarden example replay' prints it)
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from functools import partial
from typing import TextIO

from edge.line import JsonLinesConfig
from edge.line.jsonlines import STANDARD_OUTPUT
from edge.part.record import InspectionRecord
from edge.pipeline.status import RunSummary
from edge.service import logs
from edge.service.run import describe, run_line, run_service
from edge.service.unblocked import UnblockedStream
from edge.station.config import LineConfig
from inspection.config.loading import load_config
from inspection.digits import comparable
from inspection.errors import LinewardenError
from linewarden.options import add_line_arguments

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    add_line_arguments(parser)
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="JSON lines on standard output")
    shown.add_argument("--service", action="store_true", help="run under systemd")


def run(args: argparse.Namespace) -> int:
    """Runs the line; raises the error that stopped it after the orderly stop."""
    if args.service:
        logs.configure(logging.INFO)
        return _as_service(args)
    terminal = UnblockedStream(sys.stderr)
    logs.configure(logging.WARNING, terminal)
    config = load_config(args.config, LineConfig, args.set, files=True)
    if args.json:
        config = _with_standard_output(config)
    summary, number = run_line(config, _ignore if args.json else partial(print_line, terminal))
    terminal.close()
    if args.json:
        print(json.dumps({"summary": summary.as_json()}))
    else:
        print_summary(summary, sys.stderr if _uses_standard_output(config) else sys.stdout)
    if summary.error is not None:
        raise summary.error
    return 128 + number if number else 0


def _as_service(args: argparse.Namespace) -> int:
    """Runs under systemd; an error goes to the journal with its severity."""
    try:
        return run_service(load_config(args.config, LineConfig, args.set, files=True))
    except LinewardenError as error:
        _log.error("%s", error)
        return error.exit_code


def print_line(stream: UnblockedStream, record: InspectionRecord) -> None:
    """Writes one part."""
    score, threshold = record.score, record.threshold
    shown = "" if score is None else " / ".join(comparable(score, threshold))
    line = (
        f"{record.triggered_utc:%H:%M:%S.%f}"[:-3]
        + f"  {record.trigger_id}  {record.verdict.value:<10}  {shown:<19}"
        + f"  {record.latency_ms.total:7.1f} ms  {_origin(record)}"
    )
    stream.write(line + (f"  {record.message}" if record.message else "") + "\n")


def _origin(record: InspectionRecord) -> str:
    """Returns part, view where there are several, and frame."""
    view = record.view if len(record.views) > 1 else None
    return "  ".join(filter(None, [record.part_id, view, record.source or "-"]))


def print_summary(summary: RunSummary, stream: TextIO | None = None) -> None:
    """Writes the summary of a run; `stream` None is standard output."""
    for line in describe(summary):
        print(line, file=stream)


def _uses_standard_output(config: LineConfig) -> bool:
    return any(
        isinstance(output, JsonLinesConfig) and output.path == STANDARD_OUTPUT
        for output in config.outputs
    )


def _with_standard_output(config: LineConfig) -> LineConfig:
    if _uses_standard_output(config):
        return config
    added = JsonLinesConfig(kind="jsonlines", path=STANDARD_OUTPUT)
    return config.model_copy(update={"outputs": (*config.outputs, added)})


def _ignore(_record: InspectionRecord) -> None:
    pass
