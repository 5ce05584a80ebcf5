"""A damaged database is set aside, and the line goes on with a new one."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from edge.line.base import StationState
from edge.part.record import InspectionRecord
from edge.station.status import StationStatus
from edge.store import writer
from edge.store.config import RecordsConfig
from edge.store.damage import damaged_files
from edge.store.database import FILE_NAME, connect, transaction
from edge.store.labels import add_label
from edge.store.outbox_table import OutboxTable
from edge.store.reader import Filter, RecordReader, empty_outbox
from edge.store.recovery import recover
from edge.store.rows import write_record
from edge.store.station_records import StationRecords
from inspection.errors import LineError, RecordsError
from tests.doubles.damage import INNER, LEAF, overwrite, pages_of
from tests.doubles.waiting import wait_for

MakeRecord = Callable[..., InspectionRecord]
RECORDS = 800


class Receiver:
    """An output that can be away."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.is_away = False

    def open(self) -> None:
        pass

    def send(self, record: InspectionRecord) -> None:
        if self.is_away:
            raise LineError("nobody there")
        self.seen.append(record.trigger_id)

    def show(self, state: StationState) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def folder(tmp_path: Path, make_record: MakeRecord) -> Path:
    folder = tmp_path / "records"
    folder.mkdir()
    write(folder, make_record, range(RECORDS))
    return folder


def write(folder: Path, make: MakeRecord, numbers: range) -> None:
    with closing(connect(folder, synchronous="FULL")) as connection, transaction(connection):
        for number in numbers:
            row = write_record(connection, made(make, number))
            if number % 100 == 0:
                connection.execute(
                    "INSERT INTO outbox (output, record) VALUES ('mqtt test', ?)", (row,)
                )


def made(make: MakeRecord, number: int) -> InspectionRecord:
    return make(number % 60).model_copy(update={"trigger_id": f"t-{number:06d}"})


def station(folder: Path, receiver: Receiver | None = None) -> StationRecords:
    outputs = {"mqtt test": receiver} if receiver is not None else {}
    return StationRecords(RecordsConfig(folder=folder), outputs)


def deliver(records: StationRecords, record: InspectionRecord) -> None:
    for output in records.outputs:
        output.send(record)
    records.on_record(record)


def stored(folder: Path) -> list[str]:
    try:
        with RecordReader(folder) as reader:
            return [one.record.trigger_id for one in reader.find(Filter())]
    except RecordsError:
        return []


def damage(folder: Path, where: str) -> None:
    path = folder / FILE_NAME
    leaves = pages_of(path, LEAF)
    pages = {
        "header": [1],
        "inner": pages_of(path, INNER),
        "leaf": leaves[len(leaves) // 2 :],
        "all": range(1, 999),
    }
    assert pages[where]
    overwrite(path, pages[where])


@pytest.mark.parametrize("where", ["header", "inner", "leaf", "all"])
def test_a_line_starts_with_a_damaged_database(
    folder: Path, make_record: MakeRecord, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    damage(folder, where)
    damaged = (folder / FILE_NAME).read_bytes()
    receiver = Receiver()
    with station(folder, receiver).open() as records:
        deliver(records, made(make_record, 1000))
        wait_for(lambda: receiver.seen == ["t-001000"], 30.0)
        wait_for(lambda: stored(folder) == ["t-001000"])
        (aside,) = damaged_files(folder)
        assert aside.read_bytes()[: len(damaged)] == damaged
        wait_for(lambda: records.status().outboxes == {"mqtt test": 0})
        status = records.status()
        assert status.set_aside == (aside.name,)
        assert "is a damaged database of records: save what can" in status.alarms[0]
    assert f"it is now {aside.name}, and a new one is begun" in caplog.text
    with station(folder).open() as records:  # until somebody moves it away
        assert records.status().set_aside == (aside.name,)
    aside.rename(folder.parent / "away")
    with station(folder).open() as records:
        assert records.status().set_aside == ()


@pytest.mark.parametrize("where", ["header", "inner", "leaf"])
def test_damage_while_the_line_runs(
    folder: Path, make_record: MakeRecord, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver()
    receiver.is_away = True
    with station(folder, receiver).open() as records:
        deliver(records, made(make_record, 1000))
        wait_for(lambda: records.status().outboxes == {"mqtt test": 9})
        wait_for(lambda: records.status().backlog == 0)
        checkpoint(folder)
        damage(folder, where)
        numbers = iter(range(1001, 9999))

        def is_set_aside() -> bool:
            if not records.status().set_aside:
                deliver(records, made(make_record, next(numbers)))
            return bool(records.status().set_aside)

        wait_for(is_set_aside, 60.0)
        deliver(records, made(make_record, 9999))
        receiver.is_away = False
        wait_for(lambda: "t-009999" in stored(folder), 60.0)
        wait_for(lambda: "t-009999" in receiver.seen, 60.0)
        wait_for(lambda: records.status().outboxes == {"mqtt test": 0}, 60.0)
        assert records.status().failure is None
    (aside,) = damaged_files(folder)
    assert "will not be by themselves: " in caplog.text
    kept = set(stored(folder))
    recovered = recover([aside], folder.parent / "new")
    assert recovered.records > 0
    both = kept | set(stored(folder.parent / "new"))
    told = {f"t-{number:06d}" for number in range(1000, next(numbers))}
    assert len(told - both) <= 60  # at most those on the overwritten leaves
    assert integrity(folder) == "ok"


def checkpoint(folder: Path) -> None:
    """Has everything in the file itself; it waits for those that read the log just now."""
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        wait_for(lambda: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)


def integrity(folder: Path) -> str:
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


def test_damage_that_only_the_outbox_reads(folder: Path, make_record: MakeRecord) -> None:
    with closing(connect(folder, synchronous="FULL")) as connection:
        connection.execute("INSERT INTO checked VALUES ('images', ?)", (RECORDS,))
    content = (folder / FILE_NAME).read_bytes()
    (folder / FILE_NAME).write_bytes(content.replace(b'"views"', b'\0\xff\0ews"'))
    receiver = Receiver()
    with station(folder, receiver).open() as records:
        wait_for(lambda: records.status().set_aside, 30.0)
        deliver(records, made(make_record, 1000))
        wait_for(lambda: receiver.seen[-1:] == ["t-001000"], 30.0)
        wait_for(lambda: records.status().outboxes == {"mqtt test": 0})


def test_a_verdict_of_a_database_that_was_replaced_confirms_none_of_the_new(
    folder: Path, tmp_path: Path, make_record: MakeRecord
) -> None:
    table = OutboxTable("mqtt test", folder, on_damage=lambda _: None)
    table.add(8)
    old = table.read()[-1]
    with table.replaced() as waiting:
        assert waiting == 8
        (folder / FILE_NAME).rename(tmp_path / "aside")
    write(folder, make_record, range(101))
    assert not table.confirm(old)
    entries = table.read()
    assert [entry.record.trigger_id for entry in entries] == ["t-000000", "t-000100"]
    assert table.confirm(entries[0])
    assert [entry.record.trigger_id for entry in table.read()] == ["t-000100"]
    table.close()


def test_damage_that_pruning_meets(
    folder: Path, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_PRUNE_EVERY_S", 0.01)
    with station(folder).open() as records:
        checkpoint(folder)
        damage(folder, "all")
        wait_for(lambda: records.status().set_aside, 30.0)
        deliver(records, made(make_record, 1000))
        wait_for(lambda: stored(folder) == ["t-001000"], 30.0)


def test_a_disk_that_damages_every_database_is_not_filled_with_them(
    folder: Path, make_record: MakeRecord
) -> None:
    damage(folder, "header")
    with station(folder).open() as records:
        deliver(records, made(make_record, 1000))
        wait_for(lambda: stored(folder) == ["t-001000"])
        records._writer.report_damage("damaged again")
        wait_for(lambda: len(damaged_files(folder)) == 2)
        records._writer.report_damage("damaged again")
        wait_for(lambda: records.status().failure == "damaged again")
        assert len(damaged_files(folder)) == 2


def killed_after_writes(folder: Path, tmp_path: Path, make_record: MakeRecord) -> Path:
    """Returns a copy of the records as a kill leaves them: 40 of them are in the log alone."""
    killed = tmp_path / "killed"
    with closing(connect(folder, synchronous="FULL")) as connection:
        for number in range(1000, 1040):
            with transaction(connection):
                write_record(connection, made(make_record, number))
        shutil.copytree(folder, killed)
    return killed


def test_the_end_of_a_damaged_log_is_kept(
    folder: Path, tmp_path: Path, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    killed = killed_after_writes(folder, tmp_path, make_record)
    log = killed / f"{FILE_NAME}-wal"
    overwrite(log, [log.stat().st_size // 4096 // 2])
    before = log.read_bytes()
    with station(killed).open() as records:
        (name,) = records.status().set_aside
        deliver(records, made(make_record, 2000))
        wait_for(lambda: "t-002000" in stored(killed))
    assert (killed / name).read_bytes() == before
    assert "the log of the database is damaged, and the last records in it" in caplog.text
    recover(damaged_files(killed), tmp_path / "new")
    both = {*stored(killed), *stored(tmp_path / "new")}
    assert {f"t-{number:06d}" for number in (1000, 1039, 2000)} <= both


def test_a_log_that_is_whole_is_not_kept(
    folder: Path, tmp_path: Path, make_record: MakeRecord
) -> None:
    killed = killed_after_writes(folder, tmp_path, make_record)
    log = killed / f"{FILE_NAME}-wal"
    with log.open("ab") as stream:
        stream.write(b"\0" * 3000)  # as a power cut leaves the end
    with station(killed).open() as records:
        assert records.status().set_aside == ()
    assert len(stored(killed)) == RECORDS + 40


@pytest.mark.parametrize("where", ["header", "inner", "leaf"])
def test_every_command_says_that_the_database_is_damaged(folder: Path, where: str) -> None:
    damage(folder, where)
    match = r"is damaged .*linewarden records recover"
    with pytest.raises(RecordsError, match=match), RecordReader(folder) as reader:
        list(reader.find(Filter()))
    if where != "header":  # counters read the index alone, which is whole
        with RecordReader(folder) as reader:
            counts = list(reader.count(Filter(recipe="default", min_score=0.0), {}, None))
        assert sum(sum(count.verdicts.values()) for count in counts) == RECORDS
    else:
        with pytest.raises(RecordsError, match=match), RecordReader(folder) as reader:
            list(reader.count(Filter(recipe="default", min_score=0.0), {}, None))
        with pytest.raises(RecordsError, match=match):
            add_label(folder, "t-000001", "good", author="", note="")
        with pytest.raises(RecordsError, match=match):
            empty_outbox(folder, "mqtt test")


def test_a_row_that_nobody_wrote(folder: Path) -> None:
    with closing(connect(folder, synchronous="FULL")) as connection:
        connection.execute("UPDATE records SET details = '[]' WHERE number = 3")
    told = pytest.raises(RecordsError, match="the row of trigger 't-000002' is damaged")
    with told, RecordReader(folder) as reader:
        list(reader.find(Filter(trigger_id="t-000002")))


def test_the_status_of_the_station_has_it(folder: Path) -> None:
    damage(folder, "header")
    with station(folder).open() as records:
        status = StationStatus(pipeline=None, recipe=None, records=records.status())  # type: ignore[arg-type]
        assert "is a damaged database" in status.alarms[0]
        assert json.dumps(status.alarms)
