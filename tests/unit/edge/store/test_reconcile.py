"""After a kill the rows name the image files that there are."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from edge.part.record import InspectionRecord, record_from_settled
from edge.part.result import Settled
from edge.store.config import ImagesConfig, RecordsConfig
from edge.store.database import connect, connect_to_read
from edge.store.images import ImageArchive
from edge.store.reader import Filter, RecordReader
from edge.store.reconcile import ImageNames, reconcile
from edge.store.rows import write_record
from edge.store.station_records import IMAGES_NAME, JOURNAL_NAME, StationRecords
from tests.doubles.waiting import wait_for

MakeSettled = Callable[..., Settled]
MakeRecord = Callable[..., InspectionRecord]


def archive(folder: Path) -> ImageArchive:
    config = ImagesConfig(max_bytes=10_000_000, min_free_bytes=0)
    station = StationRecords(RecordsConfig(folder=folder), {})
    return ImageArchive(folder / IMAGES_NAME, config, station.service.now)


def write(folder: Path, *records: InspectionRecord) -> None:
    with closing(connect(folder, synchronous="FULL")) as connection:
        for record in records:
            write_record(connection, record)


def images(folder: Path) -> dict[str, tuple[str, ...]]:
    with RecordReader(folder) as reader:
        return {one.record.trigger_id: one.record.images for one in reader.find(Filter())}


def checked(folder: Path) -> int:
    with closing(connect_to_read(folder)) as connection:
        row = connection.execute("SELECT number FROM checked").fetchone()
    return 0 if row is None else int(row["number"])


def run(folder: Path, rows: int) -> None:
    with StationRecords(RecordsConfig(folder=folder), {}).open():
        wait_for(lambda: checked(folder) == rows)


def test_a_row_names_no_image_that_a_kill_prevented(
    tmp_path: Path, make_settled: MakeSettled, caplog: pytest.LogCaptureFixture
) -> None:
    kept, lost = make_settled(1), make_settled(2)
    store = archive(tmp_path)
    names = store.names(kept)
    write(tmp_path, record_from_settled(kept, names), record_from_settled(lost, store.names(lost)))
    store.save(kept)
    run(tmp_path, 2)
    assert images(tmp_path) == {"test-000001": tuple(sorted(names)), "test-000002": ()}
    assert "1 rows of an earlier process name the images that there are now" in caplog.text


def test_a_row_names_the_images_that_a_kill_left_without_one(
    tmp_path: Path, make_settled: MakeSettled
) -> None:
    settled = make_settled(1)
    store = archive(tmp_path)
    write(tmp_path, record_from_settled(settled))
    store.save(settled)
    run(tmp_path, 1)
    assert images(tmp_path) == {"test-000001": tuple(sorted(store.names(settled)))}


def test_rows_from_the_journal_name_the_images_that_there_are(
    tmp_path: Path, make_settled: MakeSettled
) -> None:
    kept, lost = make_settled(1), make_settled(2)
    store = archive(tmp_path)
    store.save(kept)
    left = [record_from_settled(one, store.names(one)) for one in (kept, lost)]
    lines = [f"{record.trigger_id} {record.model_dump_json()}\n" for record in left]
    (tmp_path / JOURNAL_NAME).write_text("".join(lines))
    run(tmp_path, 0)
    assert images(tmp_path) == {
        "test-000001": tuple(sorted(store.names(kept))),
        "test-000002": (),
    }


def test_rows_are_compared_once(tmp_path: Path, make_settled: MakeSettled) -> None:
    settled = make_settled(1)
    store = archive(tmp_path)
    names = tuple(sorted(store.names(settled)))
    store.save(settled)
    write(tmp_path, record_from_settled(settled, names))
    run(tmp_path, 1)
    for name in names:
        (tmp_path / IMAGES_NAME / name).unlink()  # as the quota does
    run(tmp_path, 1)
    assert images(tmp_path) == {"test-000001": names}


def test_many_rows_take_a_bounded_time(
    tmp_path: Path, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    records = [
        make_record(1).model_copy(update={"trigger_id": f"t-{number:06d}", "images": ("x.png",)})
        for number in range(1200)
    ]
    write(tmp_path, *records)
    with closing(connect(tmp_path, synchronous="FULL")) as connection:
        reconcile(connection, ImageNames(tmp_path / IMAGES_NAME), limit_s=-1.0)
    assert "1200 rows are not compared with their images: too many" in caplog.text
    assert checked(tmp_path) == 1200
