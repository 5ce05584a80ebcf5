"""Runs a line to its end, in a terminal or under systemd."""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Callable

from edge.part.record import InspectionRecord
from edge.pipeline.status import RunSummary
from edge.service.daemon import Daemon, Notifier, watchdog_s_from_environment
from edge.service.served_station import open_served_station
from edge.service.signals import stopped_by_signals, surviving_hangups
from edge.station.config import LineConfig
from inspection.errors import LineError

_log = logging.getLogger(__name__)


def run_line(
    config: LineConfig,
    on_record: Callable[[InspectionRecord], None],
    *,
    parts: int | None = None,
) -> tuple[RunSummary, int]:
    """Runs a line until its recording ends or a signal stops it; SIGHUP opens its files anew.

    Returns:
        The summary, and the number of the signal or 0.

    Args:
        on_record: receives each record, on another thread.
        parts: end after so many records too; None for no such end.
    """
    numbers = itertools.count(1)

    def observe(record: InspectionRecord) -> None:
        on_record(record)
        if next(numbers) == parts:
            station.pipeline.stop()

    with (
        surviving_hangups(),
        open_served_station(config, observe) as station,
        stopped_by_signals(station.pipeline.stop, on_hangup=station.reopen_files) as received,
    ):
        summary = station.with_outboxes(station.pipeline.run())
    return summary, received[0] if received else 0


def run_service(config: LineConfig) -> int:
    """Runs a line under systemd: reports its state, and waits for absent cameras and outputs.

    Returns:
        The exit code.

    Raises:
        LinewardenError: the error that ended the line.
    """
    notifier = Notifier.from_environment()
    daemon = Daemon(notifier, watchdog_s_from_environment())
    daemon.loading()
    with (
        contextlib.closing(notifier),
        surviving_hangups(),
        open_served_station(
            config, log_no_verdict, on_turn=daemon.report, waits_to_open=True
        ) as station,
    ):

        def stop() -> None:
            station.pipeline.stop()
            daemon.stopping()

        with stopped_by_signals(stop, on_hangup=station.reopen_files) as received:
            summary = station.with_outboxes(station.pipeline.run())
    _log.info("%s", "; ".join(describe(summary)))
    # A line that was stopped has ended well, whatever an output did not take.
    if summary.error is not None and not (received and isinstance(summary.error, LineError)):
        raise summary.error
    return 128 + received[0] if received else 0


def log_no_verdict(record: InspectionRecord) -> None:
    """Writes a part without a verdict to the journal."""
    if record.cause is not None:
        _log.warning(
            "%s: no verdict (%s): %s", record.trigger_id, record.cause.value, record.message
        )


def describe(summary: RunSummary) -> list[str]:
    """Returns the lines of a summary."""
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
        "triggers that came while too many parts waited": summary.refused_triggers,
        "verdicts that an output did not take": summary.line_errors,
        "verdicts that came too late to an output, which was told NO_VERDICT": (
            summary.late_verdicts
        ),
        "parts not checked for drift": summary.drift_left_out,
    }
    lines += [f"{name}: {count}" for name, count in counts.items() if count]
    return lines + _outputs(summary) + _drift(summary)


def _outputs(summary: RunSummary) -> list[str]:
    """Returns a line for each output that did not take every verdict."""
    return [
        f"output {name}: {output.undelivered} verdicts not delivered, {output.waiting} waiting"
        for name, output in summary.outputs.items()
        if output.undelivered or output.waiting
    ]


def _drift(summary: RunSummary) -> list[str]:
    if not summary.drift:
        return ["drift was not watched: calibrate with 30 good parts or more"]
    lines = []
    for report in summary.drift:
        lines += [f"drift of {report.view}: {alarm}" for alarm in report.alarms]
        if report.moved is not None:
            lines.append(
                f"drift of {report.view}: {report.moved} still differs from the good parts"
            )
    return lines
