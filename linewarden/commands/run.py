"""Inspect the parts on a line: camera, engine, verdicts, records.

Every frame is a trigger, and every trigger gets exactly one verdict: PASS, REVIEW,
REJECT, or NO_VERDICT with its cause when camera, engine or time failed it. A part
without verdict at its deadline is NO_VERDICT then, also when the engine hangs.

One line per part goes to standard output. SIGINT or SIGTERM stops in order: parts
that were grabbed still get their verdict. A second signal stops at once.

examples:
  linewarden run --config configs/line/replay.yaml
  linewarden run --config line.yaml --set camera.path=recordings/monday --json

files:
  what the configuration names: verdicts as JSON lines, images of rejected parts
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from edge.archive import Archive
from edge.camera import CAMERAS
from edge.config import load_config
from edge.errors import CameraError, LineError
from edge.inspector import Inspector
from edge.line import OUTPUTS
from edge.line_config import LineConfig
from edge.pipeline import Pipeline, RunSummary, Station
from edge.plugins import load_plugin
from edge.records import InspectionRecord
from edge.verdict import Verdict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--config", required=True, type=Path, help="YAML file of the station")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="one setting by its path in the configuration, for instance camera.rate_hz=5",
    )
    parser.add_argument("--json", action="store_true", help="one JSON record per part")


def run(args: argparse.Namespace) -> int:
    """Run until the recording ends or a signal comes."""
    logging.basicConfig(stream=sys.stderr, format="linewarden: %(levelname)s: %(message)s")
    config = load_config(args.config, LineConfig, args.set)
    observe: Callable[[InspectionRecord], None] = print_json if args.json else print_line
    summary, signal_number = run_station(config, observe)
    if not args.json:
        print_summary(summary)
    if summary.line_errors:
        raise LineError(f"{summary.line_errors} verdicts did not reach an output; see above")
    return 128 + signal_number if signal_number else 0


def run_station(
    config: LineConfig, observe: Callable[[InspectionRecord], None]
) -> tuple[RunSummary, int]:
    """Run a station; returns its summary and the number of the signal that stopped it, or 0."""
    engine = config.engine
    with Inspector.open(
        config.bundle,
        config.recipe,
        engine=engine.kind,
        artefact=engine.artefact,
        threads=engine.threads,
    ) as inspector:
        station = Station(
            config.recipe,
            inspector.calibration.artefact_sha256,
            inspector.calibration.seal,
            inspector.calibration.threshold_score,
            config.deadline_ms,
        )
        camera = load_plugin("camera", config.camera.kind, CAMERAS, CameraError)(config.camera)
        outputs = [
            load_plugin("output", output.kind, OUTPUTS, LineError)(output)
            for output in config.outputs
        ]
        archive = Archive(config.archive) if config.archive is not None else None
        pipeline = Pipeline(station, inspector, camera, outputs, archive=archive, observe=observe)
        with stopped_by_signals(pipeline.stop) as received:
            summary = pipeline.run()
        return summary, received[0] if received else 0


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[list[int]]:
    """Call `stop` at the first SIGINT or SIGTERM; the second one acts as it always does.

    Yields the list of received signals.
    """
    received: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def receive(number: int, _: FrameType | None) -> None:
        received.append(number)
        restore()
        stop()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, receive)
    try:
        yield received
    finally:
        restore()


def print_json(record: InspectionRecord) -> None:
    """A record for machines."""
    print(record.to_json(), flush=True)


def print_line(record: InspectionRecord) -> None:
    """A record for people."""
    score = "       -" if record.score is None else f"{record.score:8.3f}"
    print(
        f"{record.time_utc[11:23]}  #{record.trigger_id:<5} {record.verdict.value:<10} {score} / "
        f"{record.threshold:<8.3f} {record.total_ms:6.1f} ms  {record.source}"
        + (f"  {record.message}" if record.message else ""),
        flush=True,
    )


def print_summary(summary: RunSummary) -> None:
    """What a run comes to, for people."""
    counts = ", ".join(f"{summary.verdicts[v]} {v.value}" for v in Verdict if summary.verdicts[v])
    print(f"{summary.triggers} parts: {counts or 'no verdicts'}")
    for cause, count in summary.causes.most_common():
        print(f"  {count} without verdict: {cause.value}")
    if summary.total_ms:
        print(
            f"trigger to verdict: p50 {summary.percentile_ms(50):.1f} ms, p99 "
            f"{summary.percentile_ms(99):.1f} ms; "
            f"{60 * summary.triggers / summary.seconds:.0f} parts per minute"
        )
    if summary.images_dropped or summary.images_failed:
        print(
            f"images not kept: {summary.images_dropped} (disk too slow), "
            f"{summary.images_failed} (disk refused)"
        )
