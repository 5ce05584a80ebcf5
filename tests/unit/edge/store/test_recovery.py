"""What can be read of a damaged database is saved, wherever the damage is."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from edge.part.record import InspectionRecord
from edge.store.database import FILE_NAME, connect, transaction
from edge.store.labels import add_label
from edge.store.reader import Filter, RecordReader
from edge.store.recovery import LOST, Recovered, recover
from edge.store.rows import write_record
from inspection.errors import RecordsError
from tests.doubles.damage import INNER, LEAF, overwrite, pages_of

MakeRecord = Callable[..., InspectionRecord]
RECORDS = 800


@pytest.fixture
def folder(tmp_path: Path, make_record: MakeRecord) -> Path:
    """Returns a folder with records, one label, and a verdict that waits."""
    folder = tmp_path / "records"
    folder.mkdir()
    write(folder, [made(make_record, number) for number in range(RECORDS)])
    add_label(folder, "t-000000", "good", author="Ann", note="dust")
    with closing(connect(folder, synchronous="FULL")) as connection:
        connection.execute("INSERT INTO outbox (output, record) VALUES ('mqtt', 800)")
    return folder


def made(make: MakeRecord, number: int) -> InspectionRecord:
    return make(number % 60).model_copy(update={"trigger_id": f"t-{number:06d}"})


def write(folder: Path, records: list[InspectionRecord]) -> None:
    with closing(connect(folder, synchronous="FULL")) as connection, transaction(connection):
        for record in records:
            write_record(connection, record)


def saved(folder: Path) -> dict[str, InspectionRecord]:
    with RecordReader(folder) as reader:
        return {one.record.trigger_id: one.record for one in reader.find(Filter())}


def one_and(folder: Path, to: Path) -> Recovered:
    recovered = recover([folder / FILE_NAME], to)
    with closing(sqlite3.connect(to / FILE_NAME)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    assert len(saved(to)) == recovered.records
    return recovered


def root(folder: Path, table: str) -> int:
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        found = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)
        ).fetchone()
    return int(found[0])


def test_a_sound_database_comes_back_whole(
    folder: Path, tmp_path: Path, make_record: MakeRecord
) -> None:
    before = saved(folder)
    assert one_and(folder, tmp_path / "new") == Recovered(RECORDS, 1, 0, 0, 0, {"mqtt": 1})
    assert saved(tmp_path / "new") == before
    with RecordReader(tmp_path / "new") as reader:
        assert next(reader.find(Filter(trigger_id="t-000000"))).label == "good"
        assert list(reader.waiting()) == ["mqtt"]


@pytest.mark.parametrize("pages", ["header", "inner", "index"])
def test_damage_beside_the_rows_costs_none(folder: Path, tmp_path: Path, pages: str) -> None:
    before = saved(folder)
    where = {
        "header": [1],
        "inner": pages_of(folder / FILE_NAME, INNER),
        "index": [root(folder, "sqlite_autoindex_records_1"), root(folder, "records_by_time")],
    }
    assert where[pages]
    overwrite(folder / FILE_NAME, where[pages])
    assert one_and(folder, tmp_path / "new").records == RECORDS
    assert saved(tmp_path / "new") == before


def test_an_overwritten_leaf_costs_its_rows_alone(folder: Path, tmp_path: Path) -> None:
    before = saved(folder)
    leaves = pages_of(folder / FILE_NAME, LEAF)
    overwrite(folder / FILE_NAME, leaves[len(leaves) // 2 : len(leaves) // 2 + 2])
    recovered = one_and(folder, tmp_path / "new")
    assert RECORDS - 40 < recovered.records < RECORDS
    assert recovered.missing == RECORDS - recovered.records
    assert saved(tmp_path / "new").items() <= before.items()


def test_a_file_that_lost_its_end(folder: Path, tmp_path: Path) -> None:
    path = folder / FILE_NAME
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 + 100])
    assert RECORDS / 4 < one_and(folder, tmp_path / "new").records < RECORDS


def test_records_outlive_their_identity(folder: Path, tmp_path: Path) -> None:
    overwrite(folder / FILE_NAME, [root(folder, "identities")])
    recovered = one_and(folder, tmp_path / "new")
    assert (recovered.records, recovered.without_identity) == (RECORDS, RECORDS)
    record = saved(tmp_path / "new")["t-000007"]
    assert (record.recipe, record.score) == (LOST, 3.25)


def test_a_row_without_sense_is_left_out(folder: Path, tmp_path: Path) -> None:
    path = folder / FILE_NAME
    content = path.read_bytes()
    place = content.rindex(b'"views"')  # not of the first or the last record
    path.write_bytes(content[:place] + b"\0\0\0" + content[place + 3 :])
    recovered = one_and(folder, tmp_path / "new")
    assert (recovered.records, recovered.unreadable) == (RECORDS - 1, 1)
    path.write_bytes(content[:place] + b"\xff\xff\xff" + content[place + 3 :])
    recovered = one_and(folder, tmp_path / "other")
    assert (recovered.records, recovered.missing) == (RECORDS - 1, 1)


def with_log(folder: Path, to: Path, records: list[InspectionRecord]) -> None:
    """Copies a database as a kill leaves it, with records that are in the log alone."""
    with closing(connect(folder, synchronous="FULL")) as connection:
        for record in records:
            with transaction(connection):
                write_record(connection, record)
        shutil.copytree(folder, to)


def test_records_in_the_log_are_saved(
    folder: Path, tmp_path: Path, make_record: MakeRecord
) -> None:
    late = [made(make_record, number) for number in range(RECORDS, RECORDS + 40)]
    killed = tmp_path / "killed"
    with_log(folder, killed, late)
    shutil.copytree(killed, tmp_path / "damaged")
    shutil.copytree(killed, tmp_path / "alone")
    assert one_and(killed, tmp_path / "new").records == RECORDS + 40
    log = tmp_path / "damaged" / f"{FILE_NAME}-wal"
    for place in (1, 20):  # its head, and within
        overwrite(log, [place])
    assert one_and(tmp_path / "damaged", tmp_path / "other").records > RECORDS + 20
    (tmp_path / "alone" / FILE_NAME).unlink()
    assert one_and(tmp_path / "alone", tmp_path / "third").records >= 40


def test_rows_longer_than_a_page(tmp_path: Path, make_record: MakeRecord) -> None:
    record = make_record(1).model_copy(update={"message": "x" * 30_000})
    write(tmp_path, [record, make_record(2)])
    assert one_and(tmp_path, tmp_path / "new").records == 2
    assert saved(tmp_path / "new")["test-000001"] == record


def test_several_databases_become_one(tmp_path: Path, make_record: MakeRecord) -> None:
    for name, numbers in (("a", range(5)), ("b", range(3, 9))):
        (tmp_path / name).mkdir()
        write(tmp_path / name, [made(make_record, number) for number in numbers])
        add_label(tmp_path / name, f"t-{numbers[-1]:06d}", name, author="", note="")
    recovered = recover([tmp_path / name / FILE_NAME for name in "ab"], tmp_path / "new")
    assert (recovered.records, recovered.labels) == (9, 2)
    with RecordReader(tmp_path / "new") as reader:
        labels = {one.record.trigger_id: one.label for one in reader.find(Filter())}
    assert (labels["t-000004"], labels["t-000008"]) == ("a", "b")


def test_nothing_to_save_is_an_error(folder: Path, tmp_path: Path) -> None:
    path = folder / FILE_NAME
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(RecordsError, match="no record can be read; the files stay as they are"):
        recover([path], tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with pytest.raises(RecordsError, match="exists already; give another folder"):
        recover([path], folder)


def test_the_images_are_linked(folder: Path, tmp_path: Path) -> None:
    images = folder / "images"
    images.mkdir()
    (images / "a.png").write_bytes(b"image")
    recover([folder / FILE_NAME], tmp_path / "new", images)
    assert (tmp_path / "new" / "images" / "a.png").read_bytes() == b"image"
    assert (images / "a.png").exists()


@pytest.mark.parametrize("seed", range(12))
def test_random_damage_ends_in_no_other_error(folder: Path, tmp_path: Path, seed: int) -> None:
    before = saved(folder)
    size = (folder / FILE_NAME).stat().st_size // 4096
    overwrite(folder / FILE_NAME, range(seed % 7 + 1, size, 5), seed)
    recovered = one_and(folder, tmp_path / "new")
    assert recovered.records > RECORDS / 2
    if not recovered.without_identity:
        assert saved(tmp_path / "new").items() <= before.items()
