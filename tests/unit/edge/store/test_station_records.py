"""Records of a running line: one row per trigger, whatever the disk and the process do."""

import json
import re
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge.line.base import StationState
from edge.part.record import NOT_KNOWN, InspectionRecord, Told, interrupted_record
from edge.part.result import Settled
from edge.store import database
from edge.store.config import RecordsConfig
from edge.store.database import FILE_NAME, connect, connect_to_read
from edge.store.reader import Filter, RecordReader, Waiting
from edge.store.station_records import IMAGES_NAME, JOURNAL_NAME, StationRecords
from inspection.errors import LineError, RecordsError
from inspection.verdict import Cause, Verdict
from tests.doubles.waiting import wait_for

MakeSettled = Callable[..., Settled]
MakeRecord = Callable[..., InspectionRecord]


class Receiver:
    """An output that can be away, or hang."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.shown: list[StationState] = []
        self.is_away = False
        self.attempts = 0
        self.runs = threading.Event()
        self.runs.set()

    def open(self) -> None:
        if self.is_away:
            raise LineError("nobody there")

    def send(self, record: InspectionRecord) -> None:
        self.runs.wait(30)
        self.attempts += 1
        if self.is_away:
            raise LineError("nobody there")
        self.seen.append(record.trigger_id)

    def show(self, state: StationState) -> None:
        self.shown.append(state)

    def close(self) -> None:
        pass


def config(folder: Path, **settings: Any) -> RecordsConfig:
    return RecordsConfig(folder=folder, **settings)


@contextmanager
def records(
    folder: Path, receiver: Receiver | None = None, max_backlog: int = 10_000, **settings: Any
) -> Iterator[StationRecords]:
    outputs = {"mqtt test": receiver} if receiver is not None else {}
    station = StationRecords(config(folder, **settings), outputs, max_backlog=max_backlog)
    with station.open():
        yield station


def deliver(station: StationRecords, record: InspectionRecord) -> None:
    """As the pipeline does: to the outputs, then to the records."""
    told = []
    for output in station.outputs:
        try:
            output.send(record)
        except LineError as error:
            told.append(Told(output=output.name, error=str(error)))
        else:
            told.append(Told(output=output.name, verdict=record.verdict))
    station.on_record(record.model_copy(update={"told": tuple(told)}))


def stored(folder: Path) -> list[InspectionRecord]:
    with RecordReader(folder) as reader:
        return [one.record for one in reader.find(Filter())]


def test_a_record_comes_back_as_it_was(tmp_path: Path, make_record: MakeRecord) -> None:
    made = [
        make_record(1).model_copy(
            update={
                "part_id": "A-7",
                "images": ("a.png",),
                "told": (Told(output="gpio", error="off"),),
            }
        ),
        make_record(2, Verdict.NO_VERDICT).model_copy(
            update={"cause": Cause.DEADLINE, "score": None, "source": None, "recipe": "9"}
        ),
        make_record(3).model_copy(update={"threshold_review": 2.1, "threshold_pixel": 1.7}),
    ]
    with records(tmp_path) as station:
        for record in made:
            station.on_record(record)
    assert stored(tmp_path) == made
    with closing(connect_to_read(tmp_path)) as connection:
        assert connection.execute("SELECT count(*) FROM identities").fetchone()[0] == 3
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


@pytest.mark.parametrize("how", ["renamed", "removed", "removed whole", "replaced"])
def test_a_database_that_is_taken_away_is_followed_by_a_new_one(
    tmp_path: Path, make_record: MakeRecord, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder, old = tmp_path / "records", tmp_path / "old"
    old.mkdir()
    with closing(connect(old, synchronous="FULL")):
        pass
    receiver = Receiver()
    with records(folder, receiver) as station:
        deliver(station, make_record(1))
        wait_for(lambda: receiver.seen == ["test-000001"])
        receiver.is_away = True
        deliver(station, make_record(2))
        wait_for(lambda: len(stored(folder)) == 2)
        if how == "renamed":
            (folder / FILE_NAME).rename(old / FILE_NAME)
        elif how == "replaced":
            (old / FILE_NAME).replace(folder / FILE_NAME)
        else:
            for file in folder.glob(FILE_NAME + ("*" if how == "removed whole" else "")):
                file.unlink()
        for number in range(3, 6):
            deliver(station, make_record(number))
        wait_for(lambda: station.status().backlog == 0, 30)
        receiver.is_away = False
        # The verdict that waited in the old file is sent, too, and first.
        wait_for(lambda: receiver.seen == [f"test-{number:06}" for number in range(1, 6)], 30)
        # It is confirmed after the receiver has seen it.
        wait_for(lambda: station.status().outboxes == {"mqtt test": 0}, 30)
        assert "renamed, removed or replaced while it was in use" in caplog.text
    assert {one.trigger_id for one in stored(folder)} == {f"test-{n:06}" for n in range(3, 6)}
    if how == "renamed":  # whole without its write-ahead log
        assert {one.trigger_id for one in stored(old)} == {"test-000001", "test-000002"}
    for where in (folder, old) if how == "renamed" else (folder,):
        with closing(connect_to_read(where)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


# As the first version wrote it.
OLD_ROW = """
    INSERT INTO identities VALUES (1, 'default', 2.5, 2.0, 1.5, 'aa', 'bb');
    INSERT INTO records VALUES (1, 't1', 'A-7', '2026-11-21T04:14:01.000000Z', 'main', '1.png', 1,
        'REJECT', NULL, '', 3.25, 1.0, 9.0, 0.5, 12.5, 40.0,
        '{"views": [{"latency_ms": {"preprocess": 1, "infer": 9, "decide": 0.5, "total": 12}}],
          "images": ["a.png"], "line_errors": ["no PLC"]}');
    INSERT INTO outbox VALUES (1, 'mqtt test', 1);
"""


def test_rows_of_an_older_version_are_kept_read_and_sent(
    tmp_path: Path, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(database, "_MIGRATIONS", database._MIGRATIONS[:1])
        with closing(connect(tmp_path, synchronous="FULL")) as connection:
            connection.executescript(OLD_ROW)
    (tmp_path / IMAGES_NAME).mkdir()
    (tmp_path / IMAGES_NAME / "a.png").write_bytes(b"image")
    with pytest.raises(RecordsError, match="older version of Linewarden; start the line once"):
        RecordReader(tmp_path)
    receiver = Receiver()
    with records(tmp_path, receiver) as station:
        deliver(station, make_record(2).model_copy(update={"recipe_number": 3}))
        wait_for(lambda: receiver.seen == ["t1", "test-000002"])
    old, new = stored(tmp_path)
    assert (old.part_id, old.score, old.images) == ("A-7", 3.25, ("a.png",))
    assert old.told == (Told(output="", error="no PLC"),)
    assert (old.recipe_number, old.views[0].recipe_number) == (None, None)
    assert (new.recipe_number, new.threshold) == (3, 2.5)


def test_a_row_is_committed_with_a_flush(tmp_path: Path) -> None:
    with closing(connect(tmp_path, synchronous="FULL")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_an_open_trigger_of_a_dead_process_gets_its_record(
    tmp_path: Path, make_settled: MakeSettled, make_record: MakeRecord, tmp_path_factory: Any
) -> None:
    with records(tmp_path) as station:
        noted = threading.Event()
        station.on_trigger(make_settled(2).trigger, lambda: None)
        station.on_trigger(make_settled(1).trigger, noted.set)
        assert noted.wait(30)
        station.on_record(make_record(2))
        wait_for(lambda: len(stored(tmp_path)) == 1)
        after_the_kill = tmp_path_factory.mktemp("kill") / "records"
        shutil.copytree(tmp_path, after_the_kill)  # what a kill would leave
        station.on_record(make_record(1))
    with records(after_the_kill):
        pass
    first, second = stored(after_the_kill)
    assert (first.verdict, first.cause) == (Verdict.NO_VERDICT, Cause.INTERRUPTED)
    assert first.latency_ms.total >= 0
    assert "no output was told one" in first.message
    assert second == make_record(2)
    assert (after_the_kill / JOURNAL_NAME).read_bytes() == b""


def test_a_verdict_is_in_the_journal_before_it_is_committed(
    tmp_path: Path, make_settled: MakeSettled, make_record: MakeRecord
) -> None:
    with records(tmp_path) as station, closing(sqlite3.connect(tmp_path / FILE_NAME)) as other:
        other.execute("BEGIN EXCLUSIVE")  # no commit now
        station.on_trigger(make_settled(1).trigger, lambda: None)
        station.on_record(make_record(1))
        entry = f"test-000001 {make_record(1).model_dump_json()}\n"
        wait_for(lambda: (tmp_path / JOURNAL_NAME).read_text().endswith(entry))
        other.execute("ROLLBACK")


def test_a_verdict_that_fell_before_the_kill_is_kept(
    tmp_path: Path, make_record: MakeRecord
) -> None:
    entry = make_record(1).model_dump_json()
    (tmp_path / JOURNAL_NAME).write_text(f"test-000001 {entry}\n")
    receiver = Receiver()
    with records(tmp_path, receiver):
        wait_for(lambda: receiver.seen)
    with records(tmp_path, receiver):
        pass
    told = (Told(output="mqtt test", verdict=Verdict.REJECT),)
    assert stored(tmp_path) == [make_record(1).model_copy(update={"told": told})]
    assert receiver.seen == ["test-000001"]


UNKNOWN = Told(output="plc", error=NOT_KNOWN)
TAKEN = Told(output="plc", verdict=Verdict.REJECT)


def test_a_row_is_replaced_when_more_is_known_of_the_part(
    tmp_path: Path, make_record: MakeRecord
) -> None:
    receiver = Receiver()
    with records(tmp_path, receiver) as station:
        station.outputs[0].send(make_record(1))
        station.on_pending(make_record(1).model_copy(update={"told": (UNKNOWN,)}))
        wait_for(lambda: receiver.seen)
        late = {"verdict": Verdict.NO_VERDICT, "cause": Cause.DEADLINE, "told": (TAKEN,)}
        station.on_record(make_record(1).model_copy(update=late))
        wait_for(lambda: stored(tmp_path)[0].told == (TAKEN,))
    (record,) = stored(tmp_path)
    assert (record.verdict, record.cause) == (Verdict.NO_VERDICT, Cause.DEADLINE)
    assert receiver.seen == ["test-000001"]
    assert (tmp_path / JOURNAL_NAME).read_bytes() == b""


def test_a_commit_closes_no_note_that_is_newer_than_its_record(
    tmp_path: Path, make_settled: MakeSettled, make_record: MakeRecord
) -> None:
    first, last = (make_record(1).model_copy(update={"told": (one,)}) for one in (UNKNOWN, TAKEN))
    with records(tmp_path) as station, closing(sqlite3.connect(tmp_path / FILE_NAME)) as other:
        other.execute("BEGIN EXCLUSIVE")  # no commit now
        station.on_pending(first)
        noted = threading.Event()
        station.on_verdict(last, noted.set)
        assert noted.wait(30)
        other.execute("ROLLBACK")
        wait_for(lambda: stored(tmp_path) == [first])
        noted.clear()
        # Once this one is noted, the journal has done all that came before.
        station.on_trigger(make_settled(2).trigger, noted.set)
        assert noted.wait(30)
        assert last.model_dump_json() in (tmp_path / JOURNAL_NAME).read_text()


def test_a_verdict_whose_pending_row_was_committed_is_sent_after_a_kill(
    tmp_path: Path, make_record: MakeRecord
) -> None:
    """The process died before the outbox had its entry: neither row nor note says that it has."""
    waits = Told(output="mqtt test", error=NOT_KNOWN)
    pending = make_record(1).model_copy(update={"told": (waits,)})
    noted = threading.Event()
    with records(tmp_path) as station:
        station.on_verdict(pending, noted.set)
        station.on_pending(pending)
        wait_for(lambda: stored(tmp_path) == [pending])
        assert noted.wait(30)
    receiver = Receiver()
    with records(tmp_path, receiver):
        wait_for(lambda: receiver.seen)
    with records(tmp_path, receiver):
        pass
    assert receiver.seen == ["test-000001"]
    (record,) = stored(tmp_path)
    assert record.told == (Told(output="mqtt test", verdict=Verdict.REJECT),)


def test_a_note_of_an_answer_is_no_entry_in_the_outbox(
    tmp_path: Path, make_record: MakeRecord
) -> None:
    """The process died between the note of the last answer and the row that has the entry."""
    waits, took = (
        make_record(1).model_copy(update={"told": (Told(output="mqtt test", **answer),)})
        for answer in ({"error": NOT_KNOWN}, {"verdict": Verdict.REJECT})
    )
    noted = threading.Event()
    with records(tmp_path) as station:
        station.on_pending(waits)
        wait_for(lambda: stored(tmp_path) == [waits])
        station.on_verdict(took, noted.set)
        assert noted.wait(30)
    receiver = Receiver()
    with records(tmp_path, receiver):
        wait_for(lambda: receiver.seen)
    assert receiver.seen == ["test-000001"]
    assert stored(tmp_path) == [took]


def test_a_defect_in_the_first_open_of_an_output_ends_no_outbox(
    tmp_path: Path, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    class Defective(Receiver):
        opened = 0

        def open(self) -> None:
            self.opened += 1
            if self.opened == 1:
                raise ZeroDivisionError("a mistake")

    receiver = Defective()
    with records(tmp_path, receiver) as station:
        deliver(station, make_record(1))
        wait_for(lambda: receiver.seen == ["test-000001"])
    assert "the outbox fails: a mistake" in caplog.text


def test_an_outbox_that_is_told_after_the_pending_row_gets_its_entry(
    tmp_path: Path, make_record: MakeRecord
) -> None:
    receiver = Receiver()
    with records(tmp_path, receiver) as station:
        station.on_pending(make_record(1))
        wait_for(lambda: stored(tmp_path))
        deliver(station, make_record(1))
        wait_for(lambda: receiver.seen == ["test-000001"])


def test_a_note_without_a_verdict_does_not_replace_a_row_with_one(
    tmp_path: Path, make_settled: MakeSettled, make_record: MakeRecord
) -> None:
    with records(tmp_path) as station:
        station.on_record(make_record(1))
    entry = interrupted_record(make_settled(1).trigger).model_dump_json()
    (tmp_path / JOURNAL_NAME).write_text(f"test-000001 {entry}\n")
    with records(tmp_path):
        pass
    assert stored(tmp_path) == [make_record(1)]


@pytest.mark.parametrize(("in_row", "in_note"), [(UNKNOWN, TAKEN), (TAKEN, UNKNOWN)])
def test_after_a_kill_the_record_that_knows_more_answers_stands(
    tmp_path: Path, make_record: MakeRecord, in_row: Told, in_note: Told
) -> None:
    with records(tmp_path) as station:
        station.on_record(make_record(1).model_copy(update={"told": (in_row,)}))
    noted = make_record(1).model_copy(update={"told": (in_note,)})
    (tmp_path / JOURNAL_NAME).write_text(f"test-000001 {noted.model_dump_json()}\n")
    with records(tmp_path):
        pass
    (record,) = stored(tmp_path)
    assert record.told == (TAKEN,)
    assert (tmp_path / JOURNAL_NAME).read_bytes() == b""


def test_an_entry_of_another_version_keeps_nobody_from_starting(
    tmp_path: Path, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    entry = make_record(1).model_dump_json()
    (tmp_path / JOURNAL_NAME).write_text(f'a {{"older": true}}\ntest-000001 {entry}\n')
    with records(tmp_path):
        pass
    assert stored(tmp_path) == [make_record(1)]
    assert 'cannot be recorded: {"older": true}' in caplog.text
    assert (tmp_path / JOURNAL_NAME).read_bytes() == b""


def test_verdicts_wait_for_an_output_that_is_away(tmp_path: Path, make_record: MakeRecord) -> None:
    receiver = Receiver()
    receiver.is_away = True
    with records(tmp_path, receiver) as station:
        for number in range(1, 6):
            deliver(station, make_record(number))
        wait_for(lambda: len(stored(tmp_path)) == 5)
        assert station.status().outboxes == {"mqtt test": 5}
    with RecordReader(tmp_path) as reader:
        oldest = make_record(1).triggered_utc
        assert reader.waiting() == {"mqtt test": Waiting(5, oldest)}
    receiver.is_away = False
    with records(tmp_path, receiver) as station:  # the next start
        deliver(station, make_record(6))
        wait_for(lambda: len(receiver.seen) == 6)
        wait_for(lambda: station.status().outboxes == {"mqtt test": 0})
    assert receiver.seen == [f"test-{number:06d}" for number in range(1, 7)]
    with RecordReader(tmp_path) as reader:
        assert reader.waiting() == {}


def test_the_log_tells_once_since_when_verdicts_wait_and_when_it_is_over(
    tmp_path: Path, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver()
    receiver.is_away = True
    with records(tmp_path, receiver) as station:
        for number in (1, 2):
            deliver(station, make_record(number))
        wait_for(lambda: receiver.attempts > 4)
        receiver.is_away = False
        wait_for(lambda: len(receiver.seen) == 2, 30)
    since = r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
    begin, over = (record.message for record in caplog.records)
    assert re.fullmatch(
        rf"mqtt test: nothing is sent {since}, [12] verdicts wait: nobody there",
        begin,
    )
    assert re.fullmatch(
        rf"mqtt test: takes verdicts again, nothing was sent {since}; 2 waited", over
    )


def test_what_waits_at_the_end_is_sent(tmp_path: Path, make_record: MakeRecord) -> None:
    receiver = Receiver()
    with records(tmp_path, receiver) as station:
        receiver.runs.clear()
        for number in range(1, 100):
            deliver(
                station,
                make_record(number % 60).model_copy(update={"trigger_id": f"t-{number:06d}"}),
            )
        threading.Timer(0.1, receiver.runs.set).start()
    assert receiver.seen == [f"t-{number:06d}" for number in range(1, 100)]


def test_a_full_outbox_is_told_and_stands_in_the_record(
    tmp_path: Path, make_record: MakeRecord
) -> None:
    receiver = Receiver()
    receiver.is_away = True
    with records(tmp_path, receiver, max_outbox=2) as station:
        for number in range(1, 4):
            deliver(station, make_record(number))
        wait_for(lambda: len(stored(tmp_path)) == 3)
        errors = [record.line_errors for record in stored(tmp_path)]
        assert errors[:2] == [(), ()]
        assert "the outbox is full with 2 verdicts, and that of test-000003" in errors[2][0]
        receiver.is_away = False
        wait_for(lambda: len(receiver.seen) == 2, 30)
        deliver(station, make_record(4))
        wait_for(lambda: len(receiver.seen) == 3)
    assert receiver.seen == ["test-000001", "test-000002", "test-000004"]


def test_the_state_is_told_while_verdicts_wait(tmp_path: Path, make_record: MakeRecord) -> None:
    receiver = Receiver()
    with records(tmp_path, receiver) as station:
        (output,) = station.outputs
        output.open()
        output.show(StationState.READY)
        wait_for(lambda: receiver.shown == [StationState.READY])
        output.close()
    assert receiver.shown[-1] is StationState.FAULT


def test_a_defect_of_an_output_is_told_and_tried_again(
    tmp_path: Path, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    class Defective(Receiver):
        def send(self, record: InspectionRecord) -> None:
            if not self.shown:
                self.shown.append(StationState.FAULT)
                raise ZeroDivisionError("a mistake")
            super().send(record)

    receiver = Defective()
    with records(tmp_path, receiver) as station:
        deliver(station, make_record(1))
        wait_for(lambda: receiver.seen == ["test-000001"])
    assert "the outbox fails: a mistake" in caplog.text
    assert "Traceback" in caplog.text


def test_the_outbox_of_an_output_that_is_gone_is_told(
    tmp_path: Path, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver()
    receiver.is_away = True
    with records(tmp_path, receiver) as station:
        deliver(station, make_record(1))
    with records(tmp_path):
        pass
    assert "1 verdicts wait for mqtt test, which is not configured any more" in caplog.text


def test_records_wait_in_memory_while_nothing_can_be_written(
    tmp_path: Path, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver()
    with records(tmp_path, receiver) as station:
        deliver(station, make_record(1))
        wait_for(lambda: len(stored(tmp_path)) == 1)
        with closing(sqlite3.connect(tmp_path / FILE_NAME)) as other:
            other.execute("ALTER TABLE records RENAME TO away")
            deliver(station, make_record(2))
            deliver(station, make_record(3))
            wait_for(lambda: station.status().failure is not None)
            assert station.status().backlog == 2
            other.execute("ALTER TABLE away RENAME TO records")
        wait_for(lambda: station.status().failure is None, 30)
        wait_for(lambda: len(receiver.seen) == 3)
    assert [record.trigger_id[-1] for record in stored(tmp_path)] == ["1", "2", "3"]
    assert "records cannot be written and wait in memory" in caplog.text
    assert "records are written again" in caplog.text


def test_a_record_that_finds_no_place_is_counted_and_in_the_log(
    tmp_path: Path, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver()
    with records(tmp_path, receiver, max_backlog=2) as station:
        with closing(sqlite3.connect(tmp_path / FILE_NAME)) as other:
            other.execute("BEGIN EXCLUSIVE")
            for number in range(1, 5):
                deliver(station, make_record(number))
            assert station.status().lost == 2
            assert station.status().outboxes == {"mqtt test": 2}
            other.execute("ROLLBACK")
        wait_for(lambda: len(receiver.seen) == 2)
    told = [json.loads(r.message.partition(": ")[2]) for r in caplog.records if "lost" in r.message]
    assert [record["trigger_id"] for record in told] == ["test-000003", "test-000004"]


def test_what_is_not_written_at_the_end_is_made_up_by_the_next_start(
    tmp_path: Path, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    with records(tmp_path) as station, closing(sqlite3.connect(tmp_path / FILE_NAME)) as other:
        station.on_record(make_record(1))
        wait_for(lambda: len(stored(tmp_path)) == 1)
        other.execute("ALTER TABLE records RENAME TO away")
        station.on_record(make_record(2))
        wait_for(lambda: station.status().failure is not None)
    assert "1 records are not written; the next start makes up" in caplog.text
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as other:
        other.execute("ALTER TABLE away RENAME TO records")
    with records(tmp_path):
        pass
    assert stored(tmp_path) == [make_record(1), make_record(2)]


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    second = StationRecords(config(tmp_path), {})
    told = pytest.raises(RecordsError, match="another line writes its records")
    with records(tmp_path), told, second.open():
        pass
    with records(tmp_path):
        pass


def test_what_is_no_database_of_records_is_refused(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(
        RecordsError, match=r"records\.sqlite: is damaged \(file is not a database\)"
    ):
        connect(tmp_path, synchronous="FULL")
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other (a)")
    with pytest.raises(RecordsError, match="is a database of another program"):
        connect(tmp_path, synchronous="FULL")
    path.unlink()
    with closing(connect(tmp_path, synchronous="FULL")) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(RecordsError, match="has version 99"):
        connect(tmp_path, synchronous="FULL")
    with pytest.raises(RecordsError, match="holds no records"):
        connect_to_read(tmp_path / "nowhere")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    station = StationRecords(config(tmp_path / "file" / "records"), {})
    told = pytest.raises(RecordsError, match=r"Not a directory; see records\.folder")
    with told, station.open():
        pass
