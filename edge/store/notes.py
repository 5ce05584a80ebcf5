"""Notes of open triggers: in memory at once, and in the journal soon, even on a slow disk.

A `write` to a file seldom waits, and then for seconds: a kernel that must first empty its caches to
a slow disk holds up the writer. No trigger, camera or verdict may wait for that, so a thread writes
the journal, and reports each entry once it is there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from edge.part.journal import Journal

_SLOW_S = 2.0  # long enough that parts lose their verdict by it, and people should look

# What fails, and what follows from it.
_UNNOTED = "triggers cannot be noted, and are lost if the process dies now"
_UNCLOSED = "notes cannot be closed: it grows, and the next start looks for their records again"

_log = logging.getLogger(__name__)


def _tell_nobody() -> None:
    pass


class Notes:
    """The entries of a `Journal`. Safe for threads; its lock is held while no file is.

    Args:
        path: of the journal.
    """

    def __init__(self, path: Path) -> None:
        self._failures: Mapping[str, str] = {}
        self._path = path
        self._journal = Journal(path)
        self._changed = threading.Condition()
        self._unwritten: dict[str, Callable[[], str]] = {}
        self._written: set[str] = set()
        self._settled: list[str] = []  # of those that were written
        self._waiting: list[Callable[[], None]] = []
        self._ended = False
        self._begun_ns: int | None = None
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def open(self) -> dict[str, str]:
        """Open the journal and begin to write; returns the open entries of an earlier process.

        Raises:
            OSError: it cannot be opened. Entries that are added all the same end in `failure`.
        """
        self._thread.start()
        left = self._journal.open()
        self._written |= left.keys()
        return left

    def add(
        self, key: str, entry: Callable[[], str], then: Callable[[], None] = _tell_nobody
    ) -> None:
        """Enter one, in place of the one of this key; see `Journal.add`. Waits for nothing.

        Args:
            entry: makes it, on the thread of the journal.
            then: called on the thread of the journal when the entry is written, need not be any
                more, or cannot be.
        """
        with self._changed:
            self._unwritten[key] = entry
            self._waiting.append(then)
            self._changed.notify()

    def settle(self, keys: Iterable[str]) -> None:
        """Close entries; keys that are not open are passed over. Waits for nothing."""
        with self._changed:
            for key in keys:
                self._unwritten.pop(key, None)
                if key in self._written:
                    self._written.remove(key)
                    self._settled.append(key)
            self._changed.notify()

    @property
    def failure(self) -> str | None:
        """The reason why entries cannot be written, or closed, now; None while they can.

        Verdicts do not wait for entries that cannot be written: they are missing after a kill.
        """
        return self._failures.get(_UNNOTED) or self._failures.get(_UNCLOSED)

    @property
    def slow(self) -> str | None:
        """The warning that the disk does not answer; None while it does."""
        begun_ns = self._begun_ns
        if begun_ns is None or time.monotonic_ns() - begun_ns < _SLOW_S * 1e9:
            return None
        return f"{self._path}: the disk did not answer for {_SLOW_S:g} s, no trigger can be noted"

    def close(self, limit_s: float) -> None:
        """Write waiting entries, within `limit_s`, and close the journal. Safe without `open`."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(limit_s)

    def _run(self) -> None:
        while self._turn():
            pass
        self._journal.close()

    def _turn(self) -> bool:
        """Write the waiting entries, or wait for some; False at the end."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._unwritten or self._settled or self._waiting or self._ended
            )
            entries, self._unwritten = self._unwritten, {}
            settled, self._settled = self._settled, []
            waiting, self._waiting = self._waiting, []
            self._written |= entries.keys()
        self._begun_ns = time.monotonic_ns()
        if settled:
            self._attempt(_UNCLOSED, self._journal.settle, settled)
        for key, entry in entries.items():
            self._attempt(_UNNOTED, self._write, key, entry)
        self._begun_ns = None
        for then in waiting:
            self._tell(then)
        return bool(entries or settled or waiting) or not self._ended

    def _tell(self, then: Callable[[], None]) -> None:
        try:
            then()
        except Exception:  # noqa: BLE001 - of one receiver: this thread notes the parts of all
            _log.exception("%s: an entry is noted, and its receiver failed", self._path)

    def _write(self, key: str, entry: Callable[[], str]) -> None:
        self._journal.add(key, entry())

    def _attempt(self, consequence: str, call: Callable[..., None], *arguments: object) -> None:
        """Call the journal.

        Args:
            consequence: what follows when it fails; a further one like it is not logged.
        """
        try:
            call(*arguments)
        except Exception as error:  # noqa: BLE001 - of the disk, or a defect: told, nobody waits
            if consequence not in self._failures:
                _log.error(
                    "%s: %s: %s",
                    *(self._path, consequence, error),
                    exc_info=not isinstance(error, OSError),
                )
            self._failures = {**self._failures, consequence: str(error)}
        else:
            self._failures = {
                what: why for what, why in self._failures.items() if what != consequence
            }
