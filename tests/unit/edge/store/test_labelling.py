"""Labels of people through a running line: records, masks, and what cannot be kept."""

from __future__ import annotations

import gc
import sqlite3
import struct
import threading
import weakref
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from unittest.mock import MagicMock

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge.part.record import InspectionRecord, record_from_settled
from edge.part.result import Settled
from edge.store import station_records
from edge.store.config import ImagesConfig, RecordsConfig
from edge.store.data_set import gather
from edge.store.database import connect
from edge.store.images import ImageArchive
from edge.store.labelling import Labelling
from edge.store.painted import MASK_MAX_BYTES, read_painted
from edge.store.quota import image_files
from edge.store.reader import Filter, RecordReader, StoredRecord
from edge.store.reconcile import ImageNames
from edge.store.station_records import StationRecords
from inspection.errors import FrameError, LinewardenError, RecordsError
from inspection.images import encode_png, read_image
from tests.doubles.waiting import wait_for

MakeSettled = Callable[..., Settled]
PART = "test-000001"


def painted(height: int = 64, width: int = 64) -> bytes:
    """A mask with its upper left quarter painted."""
    image = np.zeros((height, width), np.uint8)
    image[: height // 2, : width // 2] = 255
    return encode_png(image)


@pytest.fixture
def archive(tmp_path: Path) -> ImageArchive:
    config = ImagesConfig(max_bytes=200_000, min_free_bytes=0)
    station = StationRecords(RecordsConfig(folder=tmp_path / "records"), {})
    return ImageArchive(tmp_path / "records/images", config, station.service.now)


@pytest.fixture
def record(archive: ImageArchive, make_settled: MakeSettled) -> InspectionRecord:
    settled = make_settled(1)
    archive.save(settled)
    return record_from_settled(settled, archive.names(settled))


@pytest.fixture
def records(tmp_path: Path, record: InspectionRecord) -> Iterator[StationRecords]:
    station = StationRecords(RecordsConfig(folder=tmp_path / "records"), {})
    with station.open():
        station.on_record(record)
        wait_for(lambda: stored(tmp_path) != [], 20)
        yield station


def stored(tmp_path: Path) -> list[StoredRecord]:
    with RecordReader(tmp_path / "records") as reader:
        return list(reader.find(Filter()))


def frame_of(record: InspectionRecord) -> str:
    return next(name for name in record.images if name.endswith(".frame.png"))


def test_a_label_with_its_mask(
    records: StationRecords, archive: ImageArchive, record: InspectionRecord, tmp_path: Path
) -> None:
    labelling = Labelling(records, archive)
    frame = frame_of(record)
    labelling.label(PART, "dent", author="ann", note="deep", frame=frame, mask=painted(16, 16))
    (found,) = stored(tmp_path)
    assert found.label == "dent"
    assert found.mask is not None
    mask = read_image(tmp_path / "records/images" / found.mask)
    assert mask.shape == (64, 64)  # of the frame
    assert mask[:32, :32].all()
    assert not mask[32:].any()

    labelling.label(PART, "good", author="bob", note="")
    assert stored(tmp_path)[0].label == "disputed"
    assert stored(tmp_path)[0].mask is None
    labelling.withdraw(PART, "bob", by="bob")
    assert stored(tmp_path)[0].mask == found.mask


def test_the_mask_is_in_the_data_set_unless_people_disagree(
    records: StationRecords, archive: ImageArchive, record: InspectionRecord, tmp_path: Path
) -> None:
    labelling, images = Labelling(records, archive), tmp_path / "records/images"
    labelling.label(PART, "dent", author="ann", note="", frame=frame_of(record), mask=painted())
    gather(stored(tmp_path), images, tmp_path / "set", layout="mvtec", take_passes=False)
    assert read_image(tmp_path / f"set/ground_truth/dent/{PART}_mask.png").shape == (64, 64)
    assert (tmp_path / f"set/test/dent/{PART}.png").is_file()
    for label in ("good", "undecided"):
        labelling.label(PART, label, author="bob", note="")
        if label == "good":
            with pytest.raises(RecordsError, match="no labelled part"):
                gather(stored(tmp_path), images, tmp_path / "no", layout="mvtec", take_passes=True)
    assert stored(tmp_path)[0].label == "dent"


def test_the_mask_grows_old_with_its_part_and_is_not_an_image_of_the_record(
    records: StationRecords, archive: ImageArchive, record: InspectionRecord, tmp_path: Path
) -> None:
    images = tmp_path / "records/images"
    name = archive.keep_mask(frame_of(record), read_painted(painted()))
    assert name in [image.name for image in image_files(images)]
    assert ImageNames(images).correct(record).images == tuple(sorted(record.images))
    config = ImagesConfig(max_bytes=200_000, min_free_bytes=0, reject_max_age_days=1)
    later = ImageArchive(images, config, lambda: records.service.now() + timedelta(days=2))
    with pytest.raises(RecordsError, match="deleted to make room"):
        later.keep_mask(frame_of(record), read_painted(painted()))
    assert list(image_files(images)) == []


def rgba(alpha: int) -> bytes:
    image = np.zeros((64, 64, 4), np.uint8)
    image[:8, :8] = 255
    image[..., 3] = alpha
    return bytes(cv2.imencode(".png", image)[1])


def claiming(width: int, height: int) -> bytes:
    """A small file whose head promises a large image, with the right checksum."""
    content = bytearray(painted())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


@pytest.mark.parametrize("alpha", [0, 255])
def test_a_browser_may_send_an_alpha_channel(alpha: int) -> None:
    found: npt.NDArray[np.bool_] = read_painted(rgba(alpha))
    assert found[:8, :8].all()
    assert found.sum() == 64


@pytest.mark.parametrize(
    ("mask", "why"),
    [
        (b"", "the mask is not a PNG"),
        (b"GIF89a" + b"\0" * 100, "the mask is not a PNG"),
        (painted()[:-8], "or damaged"),
        (painted() + b"\0" * MASK_MAX_BYTES, "bytes, and may have 131072"),
        (claiming(60_000, 60_000), "the mask is 60000x60000"),
        (claiming(0, 0), "not a PNG"),
        (encode_png(np.zeros((64, 64), np.uint8)), "nothing is painted"),
    ],
)
def test_a_mask_that_is_none(mask: bytes, why: str) -> None:
    with pytest.raises(FrameError, match=why):
        read_painted(mask)


REFUSED: list[tuple[dict[str, object], str]] = [
    ({"label": "../dent"}, "or the name of a defect"),
    ({"label": "disputed"}, "or the name of a defect"),
    ({"trigger_id": "nobody"}, "no record 'nobody'"),
    ({"frame": "../../secret.frame.png", "mask": painted()}, "names no frame"),
    ({"mask": painted()}, "names no frame"),
    ({"trigger_id": "nobody", "frame": "x.frame.png", "mask": painted()}, "names no frame"),
    ({"frame": "FRAME", "mask": painted(64, 32)}, "paint it over the whole frame"),
    ({"frame": "MASK", "mask": painted()}, "is not a frame of the archive"),
]


@pytest.mark.parametrize(("wrong", "why"), REFUSED)
def test_what_is_refused_leaves_no_label_and_no_file(
    records: StationRecords,
    archive: ImageArchive,
    wrong: dict[str, object],
    why: str,
    tmp_path: Path,
) -> None:
    frame = frame_of(stored(tmp_path)[0].record)
    names = {"FRAME": frame, "MASK": frame.replace("frame", "mask")}
    request = {"trigger_id": PART, "label": "dent", **wrong}
    request["frame"] = names.get(str(wrong.get("frame")), wrong.get("frame"))
    before = list(image_files(tmp_path / "records/images"))
    with pytest.raises(LinewardenError, match=why):
        Labelling(records, archive).label(**request, author="ann", note="")  # type: ignore[arg-type]
    assert stored(tmp_path)[0].label is None
    assert list(image_files(tmp_path / "records/images")) == before


def test_a_line_without_records_or_images_says_so(
    records: StationRecords, record: InspectionRecord
) -> None:
    with pytest.raises(RecordsError, match="the line keeps no records"):
        Labelling(None, None).label(PART, "good", author="ann", note="")
    with pytest.raises(RecordsError, match="the line keeps no images"):
        Labelling(records, None).label(
            PART, "dent", author="ann", note="", frame=frame_of(record), mask=painted()
        )


def test_a_database_that_takes_nothing_changes_nothing(
    records: StationRecords, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process holds it for longer than anybody waits; afterwards labels are taken again."""
    labelling = Labelling(records, None)
    begun, go_on = threading.Event(), threading.Event()

    def held(_connection: sqlite3.Connection) -> None:
        begun.set()
        go_on.wait(20)

    with closing(connect(tmp_path / "records", synchronous="FULL")):
        first = threading.Thread(target=records.change, args=(held,))
        first.start()
        assert begun.wait(20)
        monkeypatch.setattr(station_records, "_CHANGE_S", 0.2)
        with pytest.raises(RecordsError, match="cannot be written now, and nothing was changed"):
            labelling.label(PART, "good", author="ann", note="")
        go_on.set()
        first.join(20)
    assert stored(tmp_path)[0].label is None
    monkeypatch.setattr(station_records, "_CHANGE_S", 20.0)
    labelling.label(PART, "good", author="ann", note="")
    assert stored(tmp_path)[0].label == "good"


def test_a_change_that_nobody_waits_for_takes_no_memory(
    records: StationRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk may last for weeks, and the line asks for a change every few seconds."""
    begun, go_on = threading.Event(), threading.Event()

    def held(_connection: sqlite3.Connection) -> None:
        begun.set()
        go_on.wait(20)

    first = threading.Thread(target=records.change, args=(held,))
    first.start()
    assert begun.wait(20)
    monkeypatch.setattr(station_records, "_CHANGE_S", 0.01)
    changes = [MagicMock() for _ in range(3)]
    kept = [weakref.ref(change) for change in changes]
    while changes:
        with pytest.raises(RecordsError, match="nothing was changed"):
            records.change(changes.pop())
    gc.collect()
    found = [one() for one in kept]
    go_on.set()
    first.join(20)
    assert found == [None] * 3


def test_after_the_end_of_the_line_nothing_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(station_records, "_CHANGE_S", 0.2)
    station = StationRecords(RecordsConfig(folder=tmp_path / "records"), {})
    with station.open():
        pass
    with pytest.raises(RecordsError, match="nothing was changed"):
        Labelling(station, None).label(PART, "good", author="ann", note="")


def test_a_defect_in_a_change_ends_no_writer_and_nobody_waits_for_ever(
    records: StationRecords, tmp_path: Path
) -> None:
    def broken(_connection: sqlite3.Connection) -> None:
        raise ZeroDivisionError("a mistake")

    with pytest.raises(ZeroDivisionError):
        records.change(broken)
    wait_for(lambda: records.status().failure == "a mistake", 20)
    Labelling(records, None).label(PART, "good", author="ann", note="")
    assert records.status().failure is None
    assert stored(tmp_path)[0].label == "good"
