"""Writes records to the database, on a thread.

A commit waits for the disk, 3 to 12 ms as a rule and seconds at times; no verdict waits for it.
Records that come meanwhile are committed together. While nothing can be written, they wait in
memory.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from edge.part.record import InspectionRecord
from edge.store.database import DamagedDatabaseError, connect, telling_of_damage, transaction
from edge.store.expiry import RowExpiry
from edge.store.reconcile import ImageNames, reconcile
from edge.store.rows import write_record
from edge.store.service_time import ServiceTime
from inspection.errors import LinewardenError, RecordsError

_LARGEST_COMMIT = 500
_PAUSE_S = 1.0
_PRUNE_EVERY_S = 60.0
_REPLACE_EVERY_S = 60.0  # a disk that damages every new database would be filled with them

_log = logging.getLogger(__name__)

Work = Callable[[sqlite3.Connection], None]


class Entry(NamedTuple):
    """A record to write, and the outputs that are to be sent it later."""

    record: InspectionRecord
    outputs: tuple[str, ...] = ()


class RecordWriter:
    """Commits records in the order they came.

    Args:
        folder: of the database.
        images: folder that the records name their images in.
        service: the writer keeps it for the next process.
        expiry: deletes the rows that are too old.
        max_backlog: records that wait in memory while nothing can be written.
        on_commit: receives the committed records, on the writer's thread.
        replacing: replaces the database, which is damaged, when the block is entered; the argument
            is the damage.

    Attributes:
        lost: records that were dropped because `max_backlog` waited.
        failure: why the database cannot be written now; None while it can.
    """

    def __init__(
        self,
        folder: Path,
        *,
        images: Path,
        service: ServiceTime,
        expiry: RowExpiry,
        max_backlog: int,
        on_commit: Callable[[Sequence[Entry]], None],
        replacing: Callable[[str], contextlib.AbstractContextManager[None]],
    ) -> None:
        self.lost = 0
        self.failure: str | None = None
        self._folder = folder
        self._images = images
        self._service = service
        self._expiry = expiry
        self._max_backlog = max_backlog
        self._on_commit = on_commit
        self._replacing = replacing
        self._damage: str | None = None
        self._is_reconciled = False
        self._replace_at = time.monotonic()
        self._connection: sqlite3.Connection | None = None
        self._changed = threading.Condition()
        self._waiting: deque[Entry] = deque()
        self._changes: deque[tuple[Work, Future[None]]] = deque()
        self._ended = False
        self._prune_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="records", daemon=True)

    @property
    def backlog(self) -> int:
        """Records that wait to be written."""
        return len(self._waiting)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def write(self, entry: Entry) -> bool:
        """Take a record over, without waiting; False when it is lost."""
        with self._changed:
            if len(self._waiting) < self._max_backlog:
                self._waiting.append(entry)
                self._changed.notify()
                return True
            self.lost += 1
        _log.error("a record is lost: %s", entry.record.model_dump_json())
        return False

    def change(self, work: Work, within_s: float) -> None:
        """Has a change of existing rows made in a transaction, and waits for it.

        Args:
            work: runs on the writer's thread; raises a LinewardenError to change nothing.

        Raises:
            LinewardenError: that of `work`.
            RecordsError: the database cannot be written now; nothing was changed.
        """
        done: Future[None] = Future()
        change = work, done
        with self._changed:
            self._changes.append(change)
            self._changed.notify()
        try:
            self._await(done, within_s)
        except CancelledError as error:
            raise RecordsError("the line ends, and nothing was changed") from error
        except sqlite3.Error as error:
            raise RecordsError(
                f"{self._folder}: cannot be written, and nothing was changed: {error}"
            ) from error
        finally:
            # One that nobody waits for is not kept until the disk has room again.
            with self._changed, contextlib.suppress(ValueError):
                self._changes.remove(change)

    def report_damage(self, damage: str) -> None:
        """Have the database replaced, without waiting."""
        with self._changed:
            self._damage = damage
            self._changed.notify()

    def close(self, limit_s: float) -> None:
        """Commit the waiting records, within `limit_s` and if the database can be written."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join(limit_s)
        if self._waiting:
            _log.error("%d records are not written; the next start makes up", len(self._waiting))

    def _run(self) -> None:
        while not (self._ended and (not self._waiting or self.failure is not None)):
            try:
                with telling_of_damage(self._folder):
                    self._step()
            except DamagedDatabaseError as error:
                self._damage = str(error)
            except Exception as error:  # noqa: BLE001 - the writer goes on after a pause
                self._log_failure(error)
        with self._changed:
            for _, done in self._changes:
                done.cancel()
        self._service.save()
        self._disconnect()

    def _step(self) -> None:
        """Commit the waiting records, or wait for some."""
        if self._damage is not None:
            self._replace(self._damage)
        if self._connection is None:
            self._connection = connect(self._folder, synchronous="FULL")
        if not self._is_reconciled:
            reconcile(self._connection, ImageNames(self._images))
            self._is_reconciled = True
        if time.monotonic() >= self._prune_at:
            self._prune(self._connection)
        with self._changed:
            pause_s = max(0.0, self._prune_at - time.monotonic())
            self._changed.wait_for(
                lambda: self._waiting or self._changes or self._ended or self._damage, pause_s
            )
            batch = list(islice(self._waiting, _LARGEST_COMMIT))
            change = self._changes.popleft() if self._changes else None
        if batch:
            self._commit(self._connection, batch)
        if change is not None:
            self._make(self._connection, *change)

    def _commit(self, connection: sqlite3.Connection, batch: Sequence[Entry]) -> None:
        with transaction(connection):
            for record, outputs in batch:
                number = write_record(connection, record)
                connection.executemany(
                    "INSERT INTO outbox (output, record) VALUES (?, ?)",
                    [(output, number) for output in outputs],
                )
        with self._changed:
            for _ in batch:
                self._waiting.popleft()
        self._log_recovery()
        self._on_commit(batch)

    def _make(self, connection: sqlite3.Connection, work: Work, done: Future[None]) -> None:
        """Make a change, unless nobody waits for it any more; its error goes to who asked."""
        if not done.set_running_or_notify_cancel():
            return
        try:
            with transaction(connection):
                work(connection)
        except LinewardenError as error:
            done.set_exception(error)
        except Exception as error:
            done.set_exception(error)
            raise
        else:
            self._log_recovery()
            done.set_result(None)

    def _await(self, done: Future[None], within_s: float) -> None:
        try:
            done.result(within_s)
        except FutureTimeoutError as error:
            if not done.cancel():
                done.result()  # it is being made now
                return
            why = f": {self.failure}" if self.failure else ""
            raise RecordsError(
                f"{self._folder}: cannot be written now, and nothing was changed{why}"
            ) from error

    def _replace(self, damage: str) -> None:
        """Begin a new database in the place of the damaged one."""
        self._disconnect()
        if time.monotonic() < self._replace_at:
            raise RecordsError(damage)
        self._replace_at = time.monotonic() + _REPLACE_EVERY_S
        with self._replacing(damage), self._changed:
            self._damage = None

    def _log_recovery(self) -> None:
        if self.failure is not None:
            _log.warning("records are written again; none of those that waited is lost")
        self.failure = None

    def _log_failure(self, error: Exception) -> None:
        """Tell once that nothing can be written, and wait a little."""
        if self.failure is None:
            is_defect = not isinstance(error, sqlite3.Error | RecordsError)
            _log.error(
                "%s: records cannot be written and wait in memory: %s",
                *(self._folder, error),
                exc_info=is_defect,
            )
        self.failure = str(error)
        self._disconnect()
        with self._changed:
            self._changed.wait_for(lambda: self._ended, _PAUSE_S)

    def _prune(self, connection: sqlite3.Connection) -> None:
        """Delete some of the rows that are too old."""
        self._prune_at = time.monotonic() + _PRUNE_EVERY_S
        self._service.save()
        has_more = self._expiry.expire(connection, self._service.now())
        self._log_recovery()
        if has_more:
            self._prune_at = time.monotonic()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
