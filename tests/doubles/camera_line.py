"""A whole line around one camera, and an account of its parts."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.camera import CameraConfig
from edge.camera.isolated import IsolatedCamera
from edge.part.record import InspectionRecord
from edge.pipeline.status import RunSummary
from edge.station.assembly import open_station
from edge.station.config import LineConfig
from edge.store.reader import Filter, RecordReader
from inspection.inspector import Inspection
from inspection.layout import PreparedFrame
from inspection.verdict import Cause
from tests.doubles.cameras import process_of
from tests.doubles.waiting import wait_for
from tests.tiny_bundle import build

PATIENCE_S = 60.0


@dataclass(frozen=True)
class Account:
    """The triggers of a run, as checked by `CameraLine.account`.

    Attributes:
        records: rows in SQLite, one for each trigger.
        causes: causes of the parts without a verdict.
        scores: scores of the parts with a verdict.
        part_ids: ids of the parts that have one.
    """

    triggers: int
    records: int
    verdicts: int
    causes: dict[str, int]
    scores: set[float]
    part_ids: set[str]


class CameraLine:
    """One camera, the tiny bundle, JSON lines and records; runs on another thread.

    Args:
        module: module of the camera process; None for that of the product.
        changes: settings of the `LineConfig`.
    """

    def __init__(
        self,
        folder: Path,
        camera: CameraConfig,
        *,
        frame: tuple[int, int],
        channels: int = 1,
        module: str | None = None,
        **changes: Any,
    ) -> None:
        build(folder / "bundle", frame=frame, channels=channels)
        self.camera_config = camera
        self._folder = folder
        self._module = module
        self._told: list[tuple[float, Cause | None]] = []
        self._summary: RunSummary | None = None
        self.infer_s = 0.0  # extra time of each inference
        self._config = LineConfig.model_validate(
            {
                "bundle": folder / "bundle",
                "engine": {"threads": 1},
                "camera": camera,
                "deadline_ms": 2000.0,
                "outputs": [{"kind": "jsonlines", "path": folder / "parts.jsonl"}],
                "records": {"folder": folder / "records"},
                **changes,
            }
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Runs the line until the end of the block, and stops it in order."""
        with open_station(self._config, self._note, waits_to_open=True) as station:
            self.pipeline = station.pipeline
            view = self.pipeline._views[0]
            self.camera = view.camera
            if self._module is not None:
                assert isinstance(self.camera, IsolatedCamera)
                self.camera._module = self._module
            infer = view.inspector.infer

            def slowly(prepared: PreparedFrame, deadline_ns: int | None = None) -> Inspection:
                time.sleep(self.infer_s)
                return infer(prepared, deadline_ns)

            view.inspector.infer = slowly  # type: ignore[method-assign]
            thread = threading.Thread(target=self._run)
            thread.start()
            try:
                yield
            finally:
                self.pipeline.stop()
                thread.join(PATIENCE_S)

    @property
    def camera_process(self) -> int:
        """Process id of the camera."""
        assert isinstance(self.camera, IsolatedCamera)
        return process_of(self.camera)

    @property
    def parts(self) -> int:
        """Number of parts with a record."""
        return len(self._told)

    def wait_for_parts(self, parts: int, limit_s: float = PATIENCE_S) -> None:
        """Waits for so many more parts."""
        wanted = self.parts + parts
        wait_for(lambda: self.parts >= wanted, limit_s)

    def wait_for_end(self, limit_s: float) -> None:
        """Waits for the end of a recording."""
        wait_for(lambda: self._summary is not None, limit_s)

    def wait_for_cause(self, cause: Cause, since: int) -> None:
        """Waits for a part after the first `since` parts that has this cause."""
        wait_for(lambda: any(why is cause for _, why in self._told[since:]), PATIENCE_S)

    def verdict_after(self, since: int) -> float:
        """Returns the time of the first verdict after the last failure; waits for five verdicts."""

        def is_back() -> bool:
            latest = [why for _, why in self._told[since:]][-5:]
            return len(latest) == 5 and not any(latest)

        wait_for(is_back, PATIENCE_S)
        told = self._told[since:]
        last = max((place for place, (_, why) in enumerate(told) if why), default=-1)
        return told[last + 1][0]

    def account(self) -> Account:
        """Accounts for each trigger after the run.

        Raises:
            AssertionError: a trigger does not have exactly one record in SQLite and one line in
                the output, with the same verdict.
        """
        assert self._summary is not None
        assert self._summary.error is None
        with RecordReader(self._folder / "records") as reader:
            records = [_outcome(one.record) for one in reader.find(Filter())]
        lines = (self._folder / "parts.jsonl").read_text().splitlines()
        told = [InspectionRecord.model_validate(json.loads(line)) for line in lines]
        assert len({record[0] for record in records}) == len(records) == self._summary.triggers
        assert sorted(records) == sorted(_outcome(record) for record in told)
        return Account(
            triggers=self._summary.triggers,
            records=len(records),
            verdicts=sum(record.cause is None for record in told),
            causes=dict(Counter(record.cause.value for record in told if record.cause)),
            scores={record.score for record in told if record.score is not None},
            part_ids={record.part_id for record in told if record.part_id is not None},
        )

    def _run(self) -> None:
        self._summary = self.pipeline.run()

    def _note(self, record: InspectionRecord) -> None:
        self._told.append((time.monotonic(), record.cause))


def _outcome(record: InspectionRecord) -> tuple[str, str, str]:
    return record.trigger_id, record.verdict.value, record.cause.value if record.cause else ""
