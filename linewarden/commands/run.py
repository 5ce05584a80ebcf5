"""Inspect the parts on a line until it is stopped or the recording ends.

Each part gives one line on standard error and one verdict on every output of the
configuration. A part without a verdict in time is NO_VERDICT, with its cause. At
the end a summary stands on standard output.

With --service the line runs under systemd: it tells systemd when it works and
while it works (Type=notify, watchdog), and waits for a camera or an output that is
absent at the start instead of giving up. No line is written for each part; the
journal has what goes wrong, as JSON. See docs/guides/deployment.md.

With --json, standard output has one JSON object per part and, as the last line,
{"summary": {...}}; nothing is written for people.

The parts are watched for drift against the good parts of the calibration. An alarm
names what moved (light, focus, position, contrast, texture); it stands on standard
error, and in the summary.

SIGINT (Ctrl-C), SIGTERM and SIGHUP (the terminal is closed) stop the line after the
parts in hand; a second signal stops at once. A lost camera is opened again, with
`lost_camera: stop` it stops the line (exit code 5). A verdict that an output did not
take leaves the line running and gives exit code 7 at the end; not under --service,
where a line that was stopped is well (143).

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
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TextIO

from edge.drift.monitor import DriftReport
from edge.line import JsonLinesConfig
from edge.line.jsonlines import STANDARD_OUTPUT
from edge.part.record import InspectionRecord
from edge.pipeline.pipeline import Pipeline
from edge.pipeline.status import RunSummary
from edge.service import logs
from edge.service.daemon import Daemon, Notifier, watchdog_s_from_environment
from edge.service.served_station import open_served_station
from edge.station.config import LineConfig
from inspection.config.loading import load_config
from inspection.errors import LineError, LinewardenError

_log = logging.getLogger(__name__)


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
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="JSON lines on standard output")
    shown.add_argument("--service", action="store_true", help="run under systemd")


def run(args: argparse.Namespace) -> int:
    """Run the line; the error that stopped it is raised after the orderly stop."""
    logs.configure(logging.INFO if args.service else logging.WARNING)
    if args.service:
        return _as_service(args)
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


def _as_service(args: argparse.Namespace) -> int:
    """Run under systemd; an error goes to the journal with its severity."""
    try:
        return serve(load_config(args.config, LineConfig, args.set))
    except LinewardenError as error:
        _log.error("%s", error)
        return error.exit_code


def serve(config: LineConfig) -> int:
    """Run the line under systemd; the exit code. An error that ended it is raised."""
    notifier = Notifier.from_environment()
    daemon = Daemon(notifier, watchdog_s_from_environment())
    daemon.loading()
    with (
        contextlib.closing(notifier),
        open_served_station(
            config, _log_no_verdict, on_turn=daemon.report, waits_to_open=True
        ) as station,
        _stopped_by_signals(station.pipeline, daemon.stopping) as received,
    ):
        summary = station.pipeline.run()
    _log.info("%s", "; ".join(describe(summary)))
    if summary.error is not None and not (received and isinstance(summary.error, LineError)):
        raise summary.error
    return 128 + received[0] if received else 0


def run_station(
    config: LineConfig, observe: Callable[[InspectionRecord], None]
) -> tuple[RunSummary, int]:
    """Run a line to its end; its summary, and the signal that stopped it or 0.

    Args:
        observe: receives each record, on another thread.
    """
    with (
        open_served_station(config, observe) as station,
        _stopped_by_signals(station.pipeline) as received,
    ):
        summary = station.pipeline.run()
    return summary, received[0] if received else 0


def print_line(record: InspectionRecord) -> None:
    """Write one part to standard error. Nobody needs to watch: a closed terminal stops nothing."""
    score = "" if record.score is None else f"{record.score:.4g} / {record.threshold:.4g}"
    line = (
        f"{record.triggered_utc:%H:%M:%S.%f}"[:-3]
        + f"  {record.trigger_id}  {record.verdict.value:<10}  {score:<19}"
        + f"  {record.latency_ms.total:7.1f} ms  {_origin(record)}"
    )
    with contextlib.suppress(OSError):
        sys.stderr.write(line + (f"  {record.message}" if record.message else "") + "\n")


def _origin(record: InspectionRecord) -> str:
    """Part, view where there are several, and frame."""
    view = record.view if len(record.views) > 1 else None
    return "  ".join(filter(None, [record.part_id, view, record.source or "-"]))


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
        "triggers within the debounce time of another": summary.bounced_triggers,
        "frames that belonged to no part": summary.stray_frames,
        "parts whose images were dropped": summary.images_dropped,
        "parts whose images could not be written": summary.images_failed,
        "verdicts that an output did not take": summary.line_errors,
        "parts not looked at for drift": summary.drift_left_out,
    }
    lines += [f"{what}: {count}" for what, count in counts.items() if count]
    return lines + _drift(summary.drift)


def _drift(reports: Sequence[DriftReport]) -> list[str]:
    if not reports:
        return ["drift was not watched: calibrate with 30 good parts or more"]
    return [line for report in reports for line in _drift_of(report)]


def _drift_of(report: DriftReport) -> list[str]:
    lines = [f"drift of {report.view}: {alarm}" for alarm in report.alarms]
    if report.moved is not None:
        lines.append(f"drift of {report.view}: {report.moved} is still not as on the good parts")
    return lines


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


def _log_no_verdict(record: InspectionRecord) -> None:
    if record.cause is not None:
        _log.warning(
            "%s: no verdict (%s): %s", record.trigger_id, record.cause.value, record.message
        )


@contextlib.contextmanager
def _stopped_by_signals(
    pipeline: Pipeline, on_stop: Callable[[], None] = lambda: None
) -> Iterator[list[int]]:
    """The first SIGINT, SIGTERM or SIGHUP stops the pipeline; yields the signals received."""
    received: list[int] = []
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if (before := signal.getsignal(signal.SIGHUP)) is not signal.SIG_IGN:  # else as by nohup
        previous[signal.SIGHUP] = before

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def stop(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        restore()
        pipeline.stop()
        on_stop()

    for number in previous:
        signal.signal(number, stop)
    try:
        yield received
    finally:
        restore()
