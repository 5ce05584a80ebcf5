"""Runs both halves of the handshake, kills them in turn, and compares what each of them noted."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

from edge.store.reader import Filter, RecordReader
from inspection.verdict import Verdict
from tests.doubles import handshake_line
from tests.doubles.line_peers import free_port

_SHOWN = {Verdict.PASS: "Passed", Verdict.REJECT: "Rejected", Verdict.NO_VERDICT: "NoVerdict"}


@dataclass(frozen=True)
class Account:
    """What became of the parts.

    Attributes:
        parts: that the PLC sent, each told once.
        judged: of them with PASS or REJECT, which is that of the record of the same part.
        without: of them without a verdict: the PLC rejects them.
        records: of the station, one for each trigger.
        kills: of the station, of the PLC.
        cycle_ms: from one part to the next: median, and the worst of a hundred.
    """

    parts: int
    judged: int
    without: int
    records: int
    kills: tuple[int, int]
    cycle_ms: tuple[float, float]


def run(kind: str, folder: Path, *, parts: int, kills: int, limit_s: float) -> Account:
    """Runs until the PLC has sent `parts`; `kills` of either half come at random moments."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.doubles.handshake_line"])
    port = free_port()
    notes = folder / "plc.jsonl"
    made: dict[str, Callable[[], BaseProcess]] = {
        "station": lambda: processes.Process(
            target=handshake_line.run_station, args=(kind, port, folder)
        ),
        "plc": lambda: processes.Process(
            target=handshake_line.run_plc, args=(kind, port, folder, parts)
        ),
    }
    halves = {name: make() for name, make in made.items()}
    for half in halves.values():
        half.start()
    moments = {name: _moments(parts, kills) for name in made}
    count = {"station": 0, "plc": 0}
    ends = time.monotonic() + limit_s
    try:
        while halves["plc"].exitcode != 0:
            assert time.monotonic() < ends, f"{_noted(notes)} of {parts} parts in {limit_s:g} s"
            time.sleep(0.002)
            for name, mine in moments.items():
                if mine and _noted(notes) >= mine[0]:
                    mine.pop(0)
                    time.sleep(random.uniform(0.0, 0.02))
                    halves[name].kill()
                    halves[name].join()
                    halves[name] = made[name]()
                    halves[name].start()
                    count[name] += 1
    finally:
        for half in halves.values():
            half.kill()
            half.join()
    _finish_records(folder)
    return _compare(folder, (count["station"], count["plc"]))


def _moments(parts: int, kills: int) -> list[int]:
    """Returns at how many parts the kills come."""
    return sorted(random.sample(range(parts // 50, parts - parts // 50), kills))


def _noted(notes: Path) -> int:
    return notes.read_bytes().count(b"\n") if notes.exists() else 0


def _finish_records(folder: Path) -> None:
    """Starts the records once more, which writes the rows of parts in hand at the last kill."""
    process = multiprocessing.get_context("forkserver").Process(
        target=handshake_line.finish_records, args=(folder,)
    )
    process.start()
    process.join(60.0)
    assert process.exitcode == 0


def _compare(folder: Path, kills: tuple[int, int]) -> Account:
    told = [json.loads(line) for line in (folder / "plc.jsonl").read_text().splitlines()]
    with RecordReader(folder / "records") as reader:
        records = {one.record.trigger_id: one.record for one in reader.find(Filter())}
        rows = len(list(reader.find(Filter())))
    assert rows == len(records)
    named = [record.part_id for record in records.values()]
    assert len(named) == len(set(named)), "one record for each part that the station saw"
    assert len({one["part"] for one in told}) == len(told), "one answer for each part"
    judged = 0
    for one in told:
        (shown,) = one["told"]
        if shown == "NoVerdict":
            continue
        judged += 1
        record = records[one["trigger"]]
        assert record.part_id == one["part"], "the verdict is that of the part"
        assert _SHOWN[record.verdict] == shown
    gaps = sorted(1e3 * (b["at"] - a["at"]) for a, b in itertools.pairwise(told))
    return Account(
        parts=len(told),
        judged=judged,
        without=len(told) - judged,
        records=len(records),
        kills=kills,
        cycle_ms=(statistics.median(gaps), gaps[int(0.99 * len(gaps))]),
    )
