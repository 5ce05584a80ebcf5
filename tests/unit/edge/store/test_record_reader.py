"""Finding, counting and labelling records; shifts; tables."""

import csv
import io
import json
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, time, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.part.record import InspectionRecord
from edge.store.config import RecordsConfig
from edge.store.database import connect, transaction
from edge.store.labels import add_label
from edge.store.reader import Filter, RecordReader, empty_outbox
from edge.store.rows import write_record
from edge.store.shifts import shifts_between
from edge.store.station_records import StationRecords
from edge.store.tables import HEADER, write_csv, write_json_lines, write_parquet, write_table
from inspection.errors import RecordsError
from inspection.verdict import Cause, Verdict

MakeRecord = Callable[..., InspectionRecord]
BERLIN = ZoneInfo("Europe/Berlin")
SHIFTS = {"early": time(6), "late": time(14), "night": time(22)}


@pytest.fixture
def folder(tmp_path: Path, make_record: MakeRecord) -> Path:
    """Six records, one hour apart from 2026-11-21 04:00 UTC on."""
    changes: list[dict[str, Any]] = [
        {"verdict": Verdict.PASS, "score": 1.0, "part_id": "A"},
        {"verdict": Verdict.PASS, "score": 2.0},
        {"verdict": Verdict.REJECT, "score": 3.0, "part_id": "A", "recipe_number": 2},
        {"verdict": Verdict.NO_VERDICT, "cause": Cause.DEADLINE, "score": None},
        {"verdict": Verdict.NO_VERDICT, "cause": Cause.FRAME, "score": None, "recipe": "7"},
        {"verdict": Verdict.REVIEW, "score": 2.4, "message": 'a "quoted", text'},
    ]
    station = StationRecords(RecordsConfig(folder=tmp_path / "records"), {})
    with station.open():
        for hour, change in enumerate(changes):
            captured = datetime(2026, 11, 21, 4 + hour, tzinfo=timezone.utc)
            update = {"trigger_id": f"t{hour}", "triggered_utc": captured, **change}
            station.on_record(make_record(1).model_copy(update=update))
    return tmp_path / "records"


def test_an_error_of_the_disk_is_one_of_the_records(folder: Path) -> None:
    with RecordReader(folder) as reader:
        reader._connection.set_progress_handler(lambda: 1, 1)  # interrupts every query
        for read in (lambda: list(reader.find(Filter())), reader.waiting, reader.known_labels):
            with pytest.raises(RecordsError, match=r"records\.sqlite: cannot be read now"):
                read()


def found(folder: Path, **wanted: Any) -> str:
    """The last digits of the records of a filter."""
    with RecordReader(folder) as reader:
        return "".join(one.record.trigger_id[1:] for one in reader.find(Filter(**wanted)))


@pytest.mark.parametrize("newest_first", [True, False])
def test_pages_follow_each_other_without_gap(folder: Path, newest_first: bool) -> None:
    """Also where two parts have the same moment, and while new ones come."""
    with closing(connect(folder, synchronous="NORMAL")) as connection, transaction(connection):
        connection.execute(
            "UPDATE records SET triggered_utc = (SELECT min(triggered_utc) FROM records)"
        )
    ids: list[str] = []
    with RecordReader(folder) as reader:
        place = None
        while page := list(reader.find(Filter(), limit=2, newest_first=newest_first, beyond=place)):
            ids += [one.record.trigger_id for one in page]
            place = page[-1].place
    expected = [f"t{hour}" for hour in range(6)]
    assert ids == (expected[::-1] if newest_first else expected)


def test_records_are_followed_by_their_numbers(folder: Path) -> None:
    with RecordReader(folder) as reader:
        newest = reader.written_after(0, 2)
        assert [one.record.trigger_id for one in newest] == ["t4", "t5"]
        assert reader.written_after(newest[-1].number, 2) == []
        since = datetime(2026, 11, 21, 5, tzinfo=timezone.utc)
        assert reader.tally(since, after=0, upto=newest[-1].number) == {
            (Verdict.PASS, None): 1,
            (Verdict.REJECT, None): 1,
            (Verdict.NO_VERDICT, Cause.DEADLINE): 1,
            (Verdict.NO_VERDICT, Cause.FRAME): 1,
            (Verdict.REVIEW, None): 1,
        }
        assert reader.tally(since, after=newest[0].number, upto=newest[1].number) == {
            (Verdict.REVIEW, None): 1
        }


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, "012345"),
        ({"verdicts": (Verdict.PASS, Verdict.REVIEW)}, "015"),
        ({"causes": (Cause.FRAME,)}, "4"),
        ({"recipe": "7"}, "4"),
        ({"recipe_numbers": (2,)}, "2"),
        ({"part_id": "A"}, "02"),
        ({"trigger_id": "t3"}, "3"),
        ({"min_score": 2.0}, "125"),
        ({"max_score": 2.0}, "01"),
        ({"min_score": 0.0, "max_score": 1.5}, "0"),
        ({"since": datetime(2026, 11, 21, 6, tzinfo=timezone.utc)}, "2345"),
        ({"until": datetime(2026, 11, 21, 6, tzinfo=timezone.utc)}, "01"),
        ({"since": datetime(2026, 11, 21, 7, tzinfo=BERLIN), "part_id": "A"}, "2"),
        ({"is_labelled": False}, "012345"),
        ({"is_labelled": True}, ""),
    ],
)
def test_filters(folder: Path, wanted: dict[str, Any], expected: str) -> None:
    assert found(folder, **wanted) == expected


def test_the_newest_ones(folder: Path) -> None:
    with RecordReader(folder) as reader:
        newest = list(reader.find(Filter(), limit=2, newest_first=True))
    assert [one.record.trigger_id for one in newest] == ["t5", "t4"]


def test_the_label_that_holds_is_found(folder: Path) -> None:
    add_label(folder, "t2", "good", author="A. Inspector", note="dust")
    add_label(folder, "t2", "scratch", author="B. Inspector", note="")
    add_label(folder, "t0", "dent", author="", note="")
    add_label(folder, "t0", "good", author="", note="")
    assert found(folder, label="good") == "0"
    assert found(folder, label="disputed") == "2"
    assert found(folder, is_labelled=True) == "02"
    assert found(folder, is_labelled=False) == "1345"
    with RecordReader(folder) as reader:
        (stored,) = reader.find(Filter(trigger_id="t2"))
        assert [(one.author, one.note) for one in reader.labels(stored.number)] == [
            ("A. Inspector", "dust"),
            ("B. Inspector", ""),
        ]
    with pytest.raises(RecordsError, match="no record 'nobody'; 'linewarden records list"):
        add_label(folder, "nobody", "good", author="", note="")
    with pytest.raises(RecordsError, match=r"holds no records\.sqlite"):
        add_label(folder.parent, "t0", "good", author="", note="")


def test_counters_by_recipe_and_shift(folder: Path) -> None:
    with RecordReader(folder) as reader:
        counts = list(reader.count(Filter(), SHIFTS, BERLIN))  # one hour ahead of UTC
        assert not list(reader.count(Filter(recipe="none"), SHIFTS, BERLIN))
    told = [(one.shift.name, one.recipe, list(one.verdicts.values()), one.causes) for one in counts]
    assert told == [
        ("night", "default", [1, 0, 0, 0], {}),
        ("early", "7", [0, 0, 0, 1], {Cause.FRAME: 1}),
        ("early", "default", [1, 1, 1, 1], {Cause.DEADLINE: 1}),
    ]


def test_counters_pass_over_the_years_of_a_clock_that_was_wrong(
    tmp_path: Path, make_record: MakeRecord
) -> None:
    with closing(connect(tmp_path, synchronous="NORMAL")) as connection:
        for number, year in enumerate((1970, 2026, 2157), start=1):
            made = make_record(number)
            moment = made.triggered_utc.replace(year=year)
            write_record(connection, made.model_copy(update={"triggered_utc": moment}))
        statements: list[str] = []
        with RecordReader(tmp_path) as reader:
            reader._connection.set_trace_callback(statements.append)
            counts = list(reader.count(Filter(), SHIFTS, BERLIN))
    assert [one.shift.start.year for one in counts] == [1970, 2026, 2157]
    assert len(statements) < 10


moments = st.integers(0, 10 * 365 * 24 * 60).map(
    lambda minutes: datetime(2020, 1, 1, tzinfo=timezone.utc) + timedelta(minutes=minutes)
)


@given(moments, st.integers(1, 500), st.sets(st.times(), max_size=4))
def test_shifts_leave_no_gap(since: datetime, hours: int, begins: set[time]) -> None:
    until = since + timedelta(hours=hours)
    named = {str(number): begin for number, begin in enumerate(sorted(begins))}
    shifts = list(shifts_between(since, until, named, BERLIN))
    assert shifts[0].start <= since < shifts[0].end
    assert shifts[-1].start < until <= shifts[-1].end
    assert all(shift.start <= shift.end for shift in shifts)
    assert all(before.end == after.start for before, after in pairwise(shifts))


def test_the_night_on_which_clocks_go_back_is_longer() -> None:
    noon = datetime(2026, 10, 24, 12, tzinfo=timezone.utc)
    shifts = list(shifts_between(noon, noon + timedelta(days=1), SHIFTS, BERLIN))
    lengths = {shift.name: (shift.end - shift.start).total_seconds() / 3600 for shift in shifts}
    assert lengths == {"late": 8, "night": 9, "early": 8}


def test_csv(folder: Path) -> None:
    text = io.StringIO()
    with RecordReader(folder) as reader:
        write_csv(reader.find(Filter()), text)
    rows = list(csv.DictReader(io.StringIO(text.getvalue())))
    assert tuple(rows[0]) == HEADER
    assert [row["verdict"] for row in rows[:3]] == ["PASS", "PASS", "REJECT"]
    assert (rows[3]["score"], rows[3]["cause"], rows[5]["message"]) == (
        "",
        "deadline",
        'a "quoted", text',
    )
    assert rows[0]["triggered_utc"] == "2026-11-21T04:00:00Z"


def test_a_table_shows_on_which_side_of_the_threshold_a_score_is(
    tmp_path: Path, make_record: MakeRecord
) -> None:
    station = StationRecords(RecordsConfig(folder=tmp_path), {})
    with station.open():
        changes = {"score": 0.19312, "threshold": 0.19308}
        station.on_record(make_record(1).model_copy(update=changes))
    stream = io.StringIO()
    with RecordReader(tmp_path) as reader:
        write_table(reader.find(Filter()), stream)
    assert "  0.19312    0.19308  " in stream.getvalue()


def test_json_lines(folder: Path, make_record: MakeRecord) -> None:
    add_label(folder, "t2", "scratch", author="", note="")
    text = io.StringIO()
    with RecordReader(folder) as reader:
        write_json_lines(reader.find(Filter(trigger_id="t2")), text)
    values = json.loads(text.getvalue())
    assert values.pop("label") == "scratch"
    assert InspectionRecord.model_validate(values).score == 3.0


def test_parquet(folder: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "records.parquet"
    with RecordReader(folder) as reader:
        write_parquet(reader.find(Filter()), path)
    table = parquet.read_table(path)
    assert tuple(table.column_names) == HEADER
    rows = table.to_pylist()
    assert [row["score"] for row in rows] == [1.0, 2.0, 3.0, None, None, 2.4]
    assert [row["recipe_number"] for row in rows] == [None, None, 2, None, None, None]
    assert rows[0]["triggered_utc"] == datetime(2026, 11, 21, 4, tzinfo=timezone.utc)
    with RecordReader(folder) as reader:
        write_parquet(reader.find(Filter(recipe="none")), path)
    assert parquet.read_table(path).num_rows == 0
    assert [one.name for one in tmp_path.iterdir()].count("records.parquet") == 1
    assert not list(tmp_path.glob(".incomplete*"))


def test_an_outbox_can_be_emptied(tmp_path: Path, make_record: MakeRecord) -> None:
    with closing(connect(tmp_path, synchronous="NORMAL")) as connection, transaction(connection):
        for number in (1, 2):
            row = write_record(connection, make_record(number))
            connection.execute("INSERT INTO outbox (output, record) VALUES ('old', ?)", (row,))
    assert empty_outbox(tmp_path, "other") == 0
    assert empty_outbox(tmp_path, "old") == 2
    with RecordReader(tmp_path) as reader:
        assert reader.waiting() == {}
        assert len(list(reader.find(Filter()))) == 2
