"""The records of a running line, which calls them at each trigger and each record.

A trigger is noted in the journal when it is opened, and its verdict before the first output is
told; the row follows soon. When the process dies in between, also by a kill, the next start makes
up the row: with the verdict, if there was one, else as NO_VERDICT with the cause `interrupted`.

So every verdict on the wire has its record after a kill too, with two exceptions, which the status
shows while they last: the disk is full and takes no note, and verdicts of all kinds leave without
one; or it is so slow that the deadline comes before the note, and NO_VERDICT leaves without one. A
power cut takes the notes that were not on the disk yet, see `edge.part.journal`.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from edge.line.base import LineOutput
from edge.part.record import InspectionRecord, Told, interrupted_record
from edge.part.trigger import Trigger
from edge.store.config import RecordsConfig
from edge.store.damage import damaged_files, keep_broken_log, set_aside
from edge.store.database import DamagedDatabaseError, connect, telling_of_damage
from edge.store.expiry import RowExpiry, mark, newest_mark
from edge.store.left_over import record_left
from edge.store.notes import Notes
from edge.store.outbox import StoredOutput
from edge.store.reconcile import ImageNames
from edge.store.rows import find_record
from edge.store.service_time import FILE_NAME as SERVICE_TIME_NAME
from edge.store.service_time import ServiceTime
from edge.store.writer import Entry, RecordWriter, Work
from inspection.errors import LineError, RecordsError

JOURNAL_NAME = "open-triggers"
IMAGES_NAME = "images"

_MAX_BACKLOG = 10_000
_FULL_BYTES = 1 << 20  # a database needs as much to be opened
_CLOSE_S = 10.0
_CHANGE_S = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecordsStatus:
    """How the records do.

    Attributes:
        failure: why nothing can be written now; None while it can.
        backlog: records that wait in memory to be written.
        lost: records that were given up.
        outboxes: verdicts that wait for each output behind an outbox.
        outboxes_up: whether each of these outputs works. While one does not, its verdicts wait.
        set_aside: damaged databases in the folder, until somebody moves them away.
        notice: what the clock will have expire, see `edge.store.service_time`; None for nothing.
    """

    failure: str | None
    backlog: int
    lost: int
    outboxes: dict[str, int]
    outboxes_up: dict[str, bool]
    set_aside: tuple[str, ...] = ()
    notice: str | None = None

    @property
    def alarms(self) -> tuple[str, ...]:
        """The messages that somebody has to act on."""
        aside = [
            f"{name} is a damaged database of records: save what can be read with 'linewarden "
            "records recover', then move it away"
            for name in self.set_aside
        ]
        return (*aside, *filter(None, [self.notice]))


class StationRecords:
    """Use it as a context manager around the run of a pipeline.

    Args:
        outputs: outputs behind an outbox, by a name that stays the same after a restart.
        labels: their names in records, by that name; the same where not given.
        service: None for one in the folder, by the clocks of the device.

    Attributes:
        outputs: the same, for the pipeline.
        labels: the name of each output in records, by the name of its outbox.
        service: by which records and images grow old.
    """

    def __init__(
        self,
        config: RecordsConfig,
        outputs: Mapping[str, LineOutput],
        labels: Mapping[str, str] | None = None,
        max_backlog: int = _MAX_BACKLOG,
        service: ServiceTime | None = None,
    ) -> None:
        folder = config.folder
        self.outputs = [
            StoredOutput(
                output,
                name=name,
                folder=folder,
                max_waiting=config.max_outbox,
                on_damage=self._report_damage,
            )
            for name, output in outputs.items()
        ]
        self.labels = {name: (labels or {}).get(name, name) for name in outputs}
        self._folder = folder
        self._settling = threading.Lock()
        self._final: dict[str, InspectionRecord] = {}  # those whose commit closes the note
        self._set_aside: tuple[str, ...] = ()
        self.service = service or ServiceTime(
            folder / SERVICE_TIME_NAME, shortest_age=config.shortest_age
        )
        self._notes = Notes(folder / JOURNAL_NAME)
        self._writer = RecordWriter(
            folder,
            images=folder / IMAGES_NAME,
            service=self.service,
            expiry=RowExpiry(config.max_age_days),
            max_backlog=max_backlog,
            on_commit=self._on_commit,
            replacing=self._replacing,
        )

    def status(self) -> RecordsStatus:
        """How the records do now; from any thread."""
        writer = self._writer
        waiting = {output.name: output.waiting for output in self.outputs}
        is_up = {output.name: output.reaches_receiver for output in self.outputs}
        failure = writer.failure or self._notes.failure or self._notes.slow
        return RecordsStatus(
            failure,
            writer.backlog,
            writer.lost,
            waiting,
            is_up,
            self._set_aside,
            self.service.notice,
        )

    def blocked(self) -> str | None:
        """Why the station must not be READY: no verdict can leave; None when it may."""
        return self._notes.slow

    def change(self, work: Work) -> None:
        """Changes existing rows; from any thread. See `RecordWriter.change`."""
        self._writer.change(work, _CHANGE_S)

    def on_trigger(self, trigger: Trigger, noted: Callable[[], None]) -> None:
        """Have a trigger noted, without waiting for the disk.

        Args:
            noted: called when it is, or when the disk is full.
        """
        self._notes.add(
            trigger.trigger_id, lambda: interrupted_record(trigger).model_dump_json(), noted
        )

    def on_verdict(self, record: InspectionRecord, noted: Callable[[], None]) -> None:
        """Have a verdict noted, without waiting for the disk.

        Args:
            noted: called when it is, or when the disk is full.
        """
        with self._settling:
            self._final.pop(record.trigger_id, None)
            self._notes.add(record.trigger_id, record.model_dump_json, noted)

    def on_pending(self, record: InspectionRecord) -> None:
        """Take over a record that some outputs let wait; `on_record` replaces it.

        The note of the trigger stays: it is what is left of a part whose process dies now.
        """
        self._write(record)

    def on_record(self, record: InspectionRecord) -> None:
        """Take over the record of a trigger, without waiting for the disk."""
        with self._settling:
            self._final[record.trigger_id] = record
            self._notes.add(record.trigger_id, record.model_dump_json)
        self._write(record)

    @contextlib.contextmanager
    def open(self) -> Iterator[StationRecords]:
        """Finish the work of an earlier process, and keep records within the block.

        At its end it commits the waiting records, and sends verdicts while the outputs take them. A
        line starts on a full disk and with a damaged database too.

        Raises:
            RecordsError: the folder cannot be written, another process writes to it, or the
                database is of another program or version.
        """
        with contextlib.ExitStack() as stack:
            self._lock_folder(stack)
            self._set_aside = tuple(path.name for path in damaged_files(self._folder))
            left = self._open_journal(stack)
            try:
                waiting, rows = self._look_into_database(left)
            except DamagedDatabaseError as error:
                with self._replacing(str(error)):
                    waiting, rows = self._look_into_database(left)
            for output in self.outputs:
                stack.callback(output.stop, _CLOSE_S)
                output.start(waiting.get(output.name, 0))
            self._writer.start()
            stack.callback(self._writer.close, _CLOSE_S)
            self._make_up(left, rows)
            yield self

    def _lock_folder(self, stack: contextlib.ExitStack) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            number = os.open(self._folder, os.O_RDONLY)
            stack.callback(os.close, number)
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RecordsError(
                f"{self._folder}: another line writes its records there; give each its own folder"
            ) from error
        except OSError as error:
            raise RecordsError(f"{self._folder}: {error.strerror}; see records.folder") from error

    def _open_journal(self, stack: contextlib.ExitStack) -> dict[str, str]:
        stack.callback(self._notes.close, _CLOSE_S)
        try:
            return self._notes.open()
        except OSError as error:
            if not self._disk_is_full():
                raise RecordsError(f"{self._folder}: {error.strerror}") from error
            return {}

    def _look_into_database(
        self, left: dict[str, str]
    ) -> tuple[dict[str, int], dict[str, InspectionRecord]]:
        """Verdicts that wait for each output, and the rows of triggers that are left."""
        rows = {}
        try:
            with (
                telling_of_damage(self._folder),
                contextlib.closing(connect(self._folder, synchronous="FULL")) as connection,
            ):
                self._keep_broken_log(connection)
                mark(connection, self.service.open(newest_mark(connection)))
                for trigger_id in left:
                    if (row := find_record(connection, trigger_id)) is not None:
                        rows[trigger_id] = row
                counts = connection.execute("SELECT output, count(*) FROM outbox GROUP BY output")
                waiting = {str(name): int(count) for name, count in counts}
        except sqlite3.OperationalError as error:
            if not self._disk_is_full():
                raise RecordsError(f"{self._folder}: {error}; see records.folder") from error
            left.clear()  # stays in the journal, for the next start
            return {}, {}
        for name in waiting.keys() - {output.name for output in self.outputs}:
            _log.warning(
                "%d verdicts wait for %s, which is not configured any more; see "
                "'linewarden records outbox %s'",
                *(waiting[name], name, self._folder),
            )
        return waiting, rows

    def _keep_broken_log(self, connection: sqlite3.Connection) -> None:
        copy = keep_broken_log(connection, self._folder)
        if copy is not None:
            self._set_aside += (copy.name,)
            _log.error(
                "%s: the log of the database is damaged, and the last records in it are missing; "
                "'linewarden records recover %s --to NEW' saves what can be read of the copy",
                *(copy, self._folder),
            )

    def _report_damage(self, damage: str) -> None:
        self._writer.report_damage(damage)

    @contextlib.contextmanager
    def _replacing(self, damage: str) -> Iterator[None]:
        """Set the damaged database aside, with all connections of this process closed."""
        with contextlib.ExitStack() as stack:
            stored = {
                output: stack.enter_context(output.table.replaced()) for output in self.outputs
            }
            aside = set_aside(self._folder)
            self._set_aside += (aside.name,)
            for output, count in stored.items():
                output.give_up(count)
            unsent = ", ".join(f"{count} for {output.name}" for output, count in stored.items())
            _log.error(
                "%s; it is now %s, and a new one is begun. Verdicts in it that are not sent, and "
                "will not be by themselves: %s",
                *(damage, aside.name, unsent or "none"),
            )
            yield

    def _make_up(self, left: Mapping[str, str], rows: Mapping[str, InspectionRecord]) -> None:
        names = ImageNames(self._folder / IMAGES_NAME)
        for trigger_id, entry in left.items():
            row = rows.get(trigger_id)
            made_up = record_left(entry, row)
            if made_up is None:
                _log.error("a trigger of a process that died cannot be recorded: %s", entry)
                self._notes.settle([trigger_id])
                continue
            made_up = names.correct(self._reserve(made_up, row))
            self._final[trigger_id] = made_up
            self._write(made_up)
        if left:
            _log.warning("%d triggers of a process that died have their records now", len(left))

    def _reserve(self, record: InspectionRecord, row: InspectionRecord | None) -> InspectionRecord:
        """The record, which the outputs now expect; with the error of one that has no room.

        Args:
            row: it was committed together with the entries of the outputs that it says have
                answered. An answer that only the note has left no entry.
        """
        told = {one.output: one for one in record.told}
        stored = {one.output for one in row.told if one.is_known} if row is not None else set()
        for output in self.outputs:
            label = self.labels.get(output.name, output.name)
            if label in stored:
                continue
            try:
                output.send(record)
            except LineError as error:
                told[label] = Told(output=label, error=str(error))
            else:
                told[label] = Told(output=label, verdict=record.verdict)
        return record.model_copy(update={"told": tuple(told.values())})

    def _write(self, record: InspectionRecord) -> None:
        outputs = [output for output in self.outputs if output.claims(record)]
        entry = Entry(record, tuple(output.name for output in outputs))
        if not self._writer.write(entry):
            for output in outputs:
                output.give_up()
            self._settle([entry])

    def _on_commit(self, entries: Sequence[Entry]) -> None:
        self._settle(entries)
        for output in self.outputs:
            output.table.add(sum(output.name in entry.outputs for entry in entries))
            output.wake()

    def _settle(self, entries: Sequence[Entry]) -> None:
        """Close the notes of triggers whose final record is written."""
        records = [entry.record for entry in entries]
        with self._settling:
            done = [one for one in records if self._final.get(one.trigger_id) is one]
            for record in done:
                del self._final[record.trigger_id]
            self._notes.settle([record.trigger_id for record in done])

    def _disk_is_full(self) -> bool:
        return shutil.disk_usage(self._folder).free < _FULL_BYTES
