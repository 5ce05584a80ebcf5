"""Verdicts that wait for an output, before and after their database is replaced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge.part.record import InspectionRecord
from edge.store.database import FILE_NAME, connect, transaction
from edge.store.outbox_table import OutboxTable
from edge.store.rows import write_record

MakeRecord = Callable[..., InspectionRecord]


def commit(folder: Path, records: list[InspectionRecord]) -> None:
    connection = connect(folder, synchronous="NORMAL")
    with transaction(connection):
        for record in records:
            row = "INSERT INTO outbox (output, record) VALUES ('mqtt', ?)"
            connection.execute(row, (write_record(connection, record),))
    connection.close()


def test_verdicts_wait_in_order_until_they_are_confirmed(
    tmp_path: Path, make_record: MakeRecord
) -> None:
    table = OutboxTable("mqtt", tmp_path, print)
    commit(tmp_path, [make_record(number) for number in range(1, 4)])
    table.add(3)
    first, second, third = table.read()
    assert [one.record.trigger_id[-1] for one in (first, second, third)] == ["1", "2", "3"]
    assert table.confirm(first)
    assert table.read() == [second, third]
    with table.replaced() as stored:
        assert stored == 2
    table.close()


def test_the_numbers_of_a_new_database_begin_anew(tmp_path: Path, make_record: MakeRecord) -> None:
    table = OutboxTable("mqtt", tmp_path, print)
    commit(tmp_path, [make_record(number) for number in range(1, 4)])
    table.add(3)
    *_, last_but_one, last = table.read()
    assert table.confirm(last_but_one)
    with table.replaced():
        for path in tmp_path.glob(f"{FILE_NAME}*"):
            path.unlink()
        commit(tmp_path, [make_record(number) for number in range(4, 6)])
    table.add(2)
    assert not table.confirm(last)
    fourth, fifth = table.read()
    assert [one.record.trigger_id[-1] for one in (fourth, fifth)] == ["4", "5"]
    assert table.confirm(fourth)
    with table.replaced() as stored:
        assert stored == 1
    table.close()
