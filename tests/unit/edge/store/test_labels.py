"""The label that holds: one person, two who differ, a third look, and what is taken back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

import pytest

from edge.part.record import InspectionRecord
from edge.store.config import RecordsConfig
from edge.store.database import FILE_NAME, changing, connect, migrations
from edge.store.labels import Label, add_label, held_label, withdraw_label
from edge.store.reader import Filter, RecordReader
from edge.store.station_records import StationRecords
from inspection.errors import ConfigError, RecordsError

MakeRecord = Callable[..., InspectionRecord]
NOON = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)


def given(*opinions: tuple[str, str], withdrawn: int | None = None) -> list[Label]:
    return [
        Label(label, author, "", NOON, withdrawn_by="x" if place == withdrawn else None)
        for place, (author, label) in enumerate(opinions)
    ]


@pytest.mark.parametrize(
    ("labels", "held"),
    [
        (given(), None),
        (given(("ann", "good")), "good"),
        (given(("ann", "good"), ("ann", "dent")), "dent"),
        (given(("ann", "good"), ("bob", "dent")), "disputed"),
        (given(("ann", "dent"), ("bob", "scratch")), "disputed"),
        (given(("ann", "good"), ("bob", "dent"), ("cid", "dent")), "dent"),
        (given(("ann", "good"), ("bob", "dent"), ("ann", "dent")), "dent"),
        (given(("ann", "good"), ("bob", "dent"), ("ann", "undecided")), "dent"),
        (given(("ann", "good"), ("bob", "dent"), ("cid", "undecided")), "disputed"),
        (given(("ann", "a"), ("bob", "b"), ("cid", "c"), ("dan", "c")), "c"),
        (given(("ann", "a"), ("bob", "a"), ("cid", "c"), ("dan", "c")), "disputed"),
        (given(("ann", "undecided")), "undecided"),
        (given(("ann", "good"), ("bob", "dent"), withdrawn=1), "good"),
        (given(("ann", "good"), ("ann", "dent"), withdrawn=1), "good"),
        (given(("ann", "good"), withdrawn=0), None),
    ],
)
def test_the_label_that_holds(labels: list[Label], held: str | None) -> None:
    assert held_label(labels) == held


@pytest.fixture
def folder(tmp_path: Path, make_record: MakeRecord) -> Path:
    """Two records, "test-000001" and "test-000002"."""
    station = StationRecords(RecordsConfig(folder=tmp_path / "records"), {})
    with station.open():
        for number in (1, 2):
            station.on_record(make_record(number))
    return tmp_path / "records"


def held(folder: Path) -> list[str | None]:
    with RecordReader(folder) as reader:
        return [one.label for one in reader.find(Filter())]


def test_who_takes_a_label_back_is_in_the_history(folder: Path) -> None:
    for author, label in (("ann", "good"), ("bob", "dent"), ("ann", "dent")):
        add_label(folder, "test-000001", label, author=author, note="seen")
    assert held(folder) == ["dent", None]
    with (
        pytest.raises(RecordsError, match="'ann' has labelled it again since, as 'dent'"),
        changing(folder) as connection,
    ):
        withdraw_label(connection, "test-000001", "ann", "cid", "good")
    assert held(folder) == ["dent", None]
    for left in ("disputed", "dent"):
        with changing(folder) as connection:
            withdraw_label(connection, "test-000001", "ann", "cid")
        assert held(folder) == [left, None]
    with (
        pytest.raises(RecordsError, match="test-000001: has no label of 'ann' to take back"),
        changing(folder) as connection,
    ):
        withdraw_label(connection, "test-000001", "ann", "cid")
    with RecordReader(folder) as reader:
        assert [one.withdrawn_by for one in reader.labels(1)] == ["cid", None, "cid"]


@pytest.mark.parametrize("label", ["", "..", "../good", "a b", "disputed", "-a", "a/b"])
def test_what_is_no_label(folder: Path, label: str) -> None:
    with pytest.raises(ConfigError, match="or the name of a defect"):
        add_label(folder, "test-000001", label, author="ann", note="")
    assert held(folder) == [None, None]


def test_labels_of_older_versions_hold(folder: Path) -> None:
    """The last one, as those versions said."""
    (folder / FILE_NAME).unlink()
    with closing(sqlite3.connect(folder / FILE_NAME)) as old:
        for statement in migrations(4):
            old.execute(statement)
        old.execute("INSERT INTO identities VALUES (1, 'r', 1.0, NULL, NULL, 'a', 's', NULL)")
        moment = "2026-11-21T04:00:00.000000Z"
        old.executemany(
            "INSERT INTO records (number, trigger_id, triggered_utc, view, identity, verdict, "
            "message, total_ms, deadline_ms, details) VALUES "
            "(?, ?, ?, 'm', 1, 'PASS', '', 1, 1, '')",
            [(1, "t1", moment), (2, "t2", moment)],
        )
        old.executemany(
            "INSERT INTO labels (record, label, author, note, labelled_utc) "
            "VALUES (2, ?, ?, '', ?)",
            [("good", "ann", moment), ("dent", "bob", moment)],
        )
        old.execute("PRAGMA application_id = 0x4C575244")
        old.execute("PRAGMA user_version = 4")
        old.commit()
    with closing(connect(folder, synchronous="FULL")) as connection:
        rows = connection.execute("SELECT label FROM records ORDER BY number").fetchall()
    assert [row["label"] for row in rows] == [None, "dent"]


def test_a_filter_by_label_looks_into_its_index(folder: Path) -> None:
    condition, values = Filter(label="good").condition()
    with closing(connect(folder, synchronous="FULL")) as connection:
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT message FROM records "  # noqa: S608 - our own condition
            f"WHERE {condition} ORDER BY triggered_utc DESC LIMIT 25",
            values,
        ).fetchall()
    assert [row["detail"] for row in plan] == [
        "SEARCH records USING INDEX records_by_label (label=?)"
    ]
