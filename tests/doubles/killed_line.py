"""A line with real records that runs until a test kills it."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from pathlib import Path

from edge.camera.base import EndOfRecording
from edge.line.base import StationState
from edge.part.frame import Frame
from edge.part.record import InspectionRecord
from edge.part.result import ONLY_VIEW
from edge.pipeline.pipeline import Pipeline
from edge.pipeline.settings import Hooks, PartLimits, RunSettings, View
from edge.store.config import ImagesConfig, RecordsConfig
from edge.store.images import ImageArchive
from edge.store.station_records import IMAGES_NAME, StationRecords
from tests.doubles.pipelines import FakeInspector, frame


class Belt:
    """A camera with frames at random moments; `parts` None never ends."""

    waits = False

    def __init__(self, parts: int | None) -> None:
        self._numbers = itertools.count() if parts is None else iter(range(parts))

    def open(self) -> None:
        pass

    def read(self, timeout_s: float) -> Frame | None:
        time.sleep(random.random() * 3e-3)
        for number in self._numbers:
            return frame(number)
        raise EndOfRecording

    def close(self) -> None:
        pass


class Notes:
    """An output that writes a line `trigger_id verdict` for each part to a file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def open(self) -> None:
        pass

    def send(self, record: InspectionRecord) -> None:
        os.write(self._file, f"{record.trigger_id} {record.verdict.value}\n".encode())

    def show(self, state: StationState) -> None:
        pass

    def close(self) -> None:
        pass


def run(folder: Path, parts: int | None = None) -> None:
    """Inspects, and writes `told`, `consumed` and `records` into the folder."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    config = RecordsConfig(folder=folder / "records", max_outbox=1_000_000)
    station = StationRecords(
        config, {"mqtt test": Notes(folder / "consumed")}, {"mqtt test": "test"}
    )
    images = ImagesConfig(max_bytes=200_000, min_free_bytes=0)
    with station.open():
        Pipeline(
            views=[View(ONLY_VIEW, Belt(parts), FakeInspector())],
            outputs={"notes": Notes(folder / "told"), "test": station.outputs[0]},
            settings=RunSettings(PartLimits(deadline_ms=30_000)),
            archive=ImageArchive(config.folder / IMAGES_NAME, images, station.service.now),
            hooks=Hooks(
                on_trigger=station.on_trigger,
                on_verdict=station.on_verdict,
                on_pending=station.on_pending,
                on_record=station.on_record,
            ),
        ).run()
