"""Parts with their images in the archive of the line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge.part.record import InspectionRecord
from edge.store.config import RecordsConfig
from edge.store.station_records import StationRecords
from inspection.images import encode_png
from inspection.verdict import Verdict

MakeRecord = Callable[..., InspectionRecord]


@pytest.fixture
def parts(tmp_path: Path, make_record: MakeRecord) -> list[InspectionRecord]:
    """A reject with a bright left half, two passes that look like it and not, and a NO_VERDICT."""
    left, right = np.zeros((2, 64, 64), np.uint8)
    left[:, :32], right[:, 32:] = 200, 200
    verdicts = (Verdict.REJECT, Verdict.PASS, Verdict.PASS, Verdict.NO_VERDICT)
    images, records = (left, left, right, None), []
    for number, (verdict, image) in enumerate(zip(verdicts, images, strict=True), start=1):
        record = make_record(number, verdict)
        views = tuple(one.model_copy(update={"recipe_number": 1}) for one in record.views)
        record = record.model_copy(update={"recipe_number": 1, "views": views})
        day, stem = f"{record.triggered_utc:%Y-%m-%d}", f"{record.triggered_utc:%H%M%S.%f}"
        name = f"{day}/{stem}_{record.trigger_id}_{verdict.value}.frame.png"
        if image is None:
            records.append(record.model_copy(update={"score": None}))
            continue
        path = tmp_path / "records/images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(image))
        records.append(record.model_copy(update={"images": (name,)}))
    station = StationRecords(RecordsConfig(folder=tmp_path / "records"), {})
    with station.open():
        for record in records:
            station.on_record(record)
    return records
