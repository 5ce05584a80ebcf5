"""Measures the cost of records: on the way of a part, and behind it.

    python tests/bench/bench_records.py [FOLDER]

FOLDER is on the disk to measure (default: the temporary folder). Runs 2000 parts at 100 a second,
with an outbox that nothing empties; then writes 300 rows with a commit for each.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import numpy as np

from edge.line.base import StationState
from edge.part.frame import Frame
from edge.part.record import InspectionRecord, record_from_settled
from edge.part.result import ONLY_VIEW, Settled, ViewResult
from edge.part.trigger import Trigger
from edge.store.config import RecordsConfig
from edge.store.database import connect, transaction
from edge.store.rows import write_record
from edge.store.station_records import StationRecords
from inspection.bundle.calibration_file import RecipeIdentity
from inspection.errors import LineError
from inspection.inspector import Inspection, StageTimes
from inspection.verdict import Thresholds, Verdict

PARTS, INTERVAL_S = 2000, 0.01
IDENTITY = RecipeIdentity("default", Thresholds(2.5, 1.5, review=2.0), "a" * 64, "b" * 64)


class Away:
    """An output whose peer never answers."""

    def open(self) -> None:
        raise LineError("away")

    def send(self, record: InspectionRecord) -> None:
        raise LineError("away")

    def show(self, state: StationState) -> None:
        pass

    def close(self) -> None:
        pass


def main(folder: Path) -> None:
    settled = [part(number) for number in range(PARTS)]
    records = [record_from_settled(one) for one in settled]
    station = StationRecords(RecordsConfig(folder=folder / "a"), {"away": Away()})
    times: dict[str, list[float]] = {"on_trigger": [], "send to the outbox": [], "on_record": []}
    backlog = []
    with station.open():
        for one, record in zip(settled, records, strict=True):
            times["on_trigger"].append(
                timed(partial(station.on_trigger, one.trigger, lambda: None))
            )
            for output in station.outputs:
                times["send to the outbox"].append(timed(partial(output.send, record)))
            times["on_record"].append(timed(partial(station.on_record, record)))
            time.sleep(INTERVAL_S)
            backlog.append(station.status().backlog)
    print(f"{PARTS} parts at {1 / INTERVAL_S:.0f} in a second; ms")
    for what, measured in times.items():
        print(f"  {what:<22} {percentiles(measured)}")
    print(f"  records that waited for the disk: at most {max(backlog)}")
    (folder / "b").mkdir()
    print("one commit for each part, synchronous FULL; ms")
    print(f"  insert and commit      {percentiles(commits(folder / 'b', records[:300]))}")


def part(number: int) -> Settled:
    trigger = Trigger(
        trigger_id=f"3f9a2c1d-{number:06d}",
        triggered_utc=datetime.now(timezone.utc),
        triggered_ns=0,
        frames_due_ns=20_000_000,
        deadline_ns=40_000_000,
        recipes={ONLY_VIEW: IDENTITY},
    )
    empty = np.zeros((8, 8), dtype=np.float32)
    times = StageTimes(1_000_000, 9_000_000, 500_000)
    inspection = Inspection(
        verdict=Verdict.PASS,
        score=1.0,
        thresholds=IDENTITY.thresholds,
        anomaly_map=empty,
        mask=empty > 0,
        times=times,
    )
    frame = Frame(np.zeros((8, 8), np.uint8), 0, number, "40012345")
    view = ViewResult(ONLY_VIEW, IDENTITY, frame, inspection, 12_000_000)
    return Settled(trigger, inspection, (view,), 12_500_000)


def commits(folder: Path, records: list[InspectionRecord]) -> list[float]:
    connection = connect(folder, synchronous="FULL")

    def commit(record: InspectionRecord) -> None:
        with transaction(connection):
            write_record(connection, record)

    seconds = [timed(partial(commit, record)) for record in records]
    connection.close()
    return seconds


def timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def percentiles(seconds: list[float]) -> str:
    p50, p99, p999 = np.percentile(seconds, [50, 99, 99.9]) * 1e3
    return f"p50 {p50:.3f}  p99 {p99:.3f}  p99.9 {p999:.3f}  max {max(seconds) * 1e3:.3f}"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as scratch:
        main(Path(scratch))
