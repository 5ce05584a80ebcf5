"""Keeping the images of parts, behind a short queue."""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import Protocol

from edge.triggers import Settled

_QUEUE_SIZE = 8

_log = logging.getLogger(__name__)


class Archive(Protocol):
    """Keeps the images of parts."""

    def names(self, settled: Settled) -> tuple[str, ...]:
        """The files `save` will write for this part; none when it is not to be kept."""

    def save(self, settled: Settled) -> None:
        """Write them.

        Raises:
            OSError: they cannot be written.
        """


class ArchiveThread:
    """Feeds an archive behind a short queue, so that a slow disk delays no verdict.

    Attributes:
        dropped: parts whose images were given up because the queue was full.
        failed: parts whose images could not be written.
    """

    def __init__(self, archive: Archive, queue_size: int = _QUEUE_SIZE) -> None:
        self.dropped = 0
        self.failed = 0
        self._archive = archive
        self._queue: queue.Queue[Settled | None] = queue.Queue(queue_size)
        self._thread = threading.Thread(target=self._run, name="archive", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def offer(self, settled: Settled) -> tuple[str, ...]:
        """Hand over a part without waiting; the names of the files that will be written."""
        names = self._archive.names(settled)
        if not names:
            return ()
        try:
            self._queue.put_nowait(settled)
        except queue.Full:
            if not self.dropped:
                _log.warning("the archive is slower than the line: images are dropped and counted")
            self.dropped += 1
            return ()
        return names

    def close(self, limit_s: float) -> None:
        """Write what is queued; what is left after `limit_s` is dropped. Call it once."""
        end = time.monotonic() + limit_s
        try:
            self._queue.put(None, timeout=limit_s)
        except queue.Full:
            _log.warning("the archive was not done after %g s", limit_s)
        self._thread.join(max(0.0, end - time.monotonic()))
        while not self._queue.empty():
            self.dropped += self._queue.get_nowait() is not None

    def _run(self) -> None:
        works = True
        while (settled := self._queue.get()) is not None:
            try:
                self._archive.save(settled)
            except Exception as error:  # noqa: BLE001 - the archive goes on with the next part
                self.failed += 1
                if works:
                    is_defect = not isinstance(error, OSError)
                    _log.warning("images are lost: %s", error, exc_info=is_defect)
                works = False
            else:
                if not works:
                    _log.warning("the archive works again")
                works = True
