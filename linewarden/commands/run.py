"""Inspect the parts on a line until it is stopped or the recording ends.

Each part gives one line on standard error and one verdict on every output of the
configuration. A part without a verdict in time is NO_VERDICT, with its cause. At
the end a summary stands on standard output.

With --json, standard output has one JSON object per part and, as the last line,
{"summary": {...}}; nothing is written for people.

The parts are watched for drift against the good parts of the calibration. An alarm
names what moved (light, focus, position, contrast, texture); it stands on standard
error, and in the summary.

SIGINT (Ctrl-C) and SIGTERM stop the line after the parts in hand; a second signal
stops at once. A lost camera stops the line (exit code 5). A verdict that an output
did not take leaves the line running and gives exit code 7 at the end.

examples:
  linewarden run --config configs/line/replay.yaml
  linewarden run --config line.yaml --set deadline_ms=80 --set camera.loop=true
  linewarden run --config line.yaml --json | jq .verdict

files:
  configs/line/replay.yaml   an example with every key
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TextIO

from edge.config import load_config
from edge.line import JsonLinesConfig
from edge.line.jsonlines import STANDARD_OUTPUT
from edge.line_config import LineConfig
from edge.monitor import DriftReport
from edge.pipeline import Pipeline
from edge.records import InspectionRecord
from edge.station import open_station
from edge.summary import RunSummary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--config", required=True, type=Path, metavar="FILE", help="YAML file of the line"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="replace a setting of the file, such as camera.rate_hz=5; may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="JSON lines on standard output")


def run(args: argparse.Namespace) -> int:
    """Run the line; the error that stopped it is raised after the orderly stop."""
    logging.basicConfig(level=logging.WARNING, format="linewarden: %(message)s")
    config = load_config(args.config, LineConfig, args.set)
    if args.json:
        config = _with_standard_output(config)
    summary, number = run_station(config, _ignore if args.json else print_line)
    if args.json:
        print(json.dumps({"summary": summary.as_json()}))
    else:
        print_summary(summary, sys.stderr if _uses_standard_output(config) else sys.stdout)
    if summary.error is not None:
        raise summary.error
    return 128 + number if number else 0


def run_station(
    config: LineConfig, observe: Callable[[InspectionRecord], None]
) -> tuple[RunSummary, int]:
    """Run a line to its end; its summary, and the signal that stopped it or 0.

    Args:
        observe: receives each record, on another thread.
    """
    with (
        open_station(config, observe) as station,
        _stopped_by_signals(station.pipeline) as received,
    ):
        summary = station.pipeline.run()
    return summary, received[0] if received else 0


def print_line(record: InspectionRecord) -> None:
    """Write one part to standard error. Nobody needs to watch: a closed terminal stops nothing."""
    score = "" if record.score is None else f"{record.score:.4g} / {record.threshold:.4g}"
    line = (
        f"{record.captured_utc:%H:%M:%S.%f}"[:-3]
        + f"  {record.trigger_id}  {record.verdict.value:<10}  {score:<19}"
        + f"  {record.latency_ms.total:7.1f} ms  {record.source or '-'}"
    )
    with contextlib.suppress(OSError):
        sys.stderr.write(line + (f"  {record.message}" if record.message else "") + "\n")


def print_summary(summary: RunSummary, stream: TextIO | None = None) -> None:
    """Write what a run amounts to; `stream` None is standard output."""
    for line in describe(summary):
        print(line, file=stream)


def describe(summary: RunSummary) -> list[str]:
    """The summary for people."""
    verdicts = ", ".join(f"{count} {verdict.value}" for verdict, count in summary.verdicts.items())
    lines = [f"{summary.triggers} parts: {verdicts}"]
    if summary.causes:
        causes = (f"{count} {cause.value}" for cause, count in summary.causes.items())
        lines.append(f"no verdict because of: {', '.join(causes)}")
    if summary.latency_p50_ms is not None:
        lines.append(
            f"latency p50 {summary.latency_p50_ms:.1f} ms, p99 {summary.latency_p99_ms:.1f} ms; "
            f"{summary.parts_per_minute:.0f} parts per minute"
        )
    counts = {
        "results after their deadline": summary.late_results,
        "parts whose images were dropped": summary.images_dropped,
        "parts whose images could not be written": summary.images_failed,
        "verdicts that an output did not take": summary.line_errors,
    }
    lines += [f"{what}: {count}" for what, count in counts.items() if count]
    return lines + _drift(summary.drift)


def _drift(report: DriftReport | None) -> list[str]:
    if report is None:
        return ["drift was not watched: calibrate with 30 good parts or more"]
    lines = [f"drift: {alarm}" for alarm in report.alarms]
    if report.moved is not None:
        lines.append(f"drift: the {report.moved} is still not as on the good parts")
    left_out = report.dropped + report.failed
    return lines + ([f"parts not looked at for drift: {left_out}"] if left_out else [])


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


@contextlib.contextmanager
def _stopped_by_signals(pipeline: Pipeline) -> Iterator[list[int]]:
    """The first SIGINT or SIGTERM stops the pipeline; yields the signals received."""
    received: list[int] = []
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def stop(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        restore()
        pipeline.stop()

    for number in previous:
        signal.signal(number, stop)
    try:
        yield received
    finally:
        restore()
