"""Keeping the images of parts, behind a short queue."""

from __future__ import annotations

from typing import Protocol

from edge.part.settled import Settled
from edge.pipeline.side_thread import SideThread

_QUEUE_SIZE = 8


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
    """Feeds an archive behind a short queue, so that a slow disk delays no verdict."""

    def __init__(self, archive: Archive, queue_size: int = _QUEUE_SIZE) -> None:
        self._archive = archive
        self._thread = SideThread("archive", archive.save, queue_size)

    @property
    def dropped(self) -> int:
        """Parts whose images were given up because the queue was full."""
        return self._thread.dropped

    @property
    def failed(self) -> int:
        """Parts whose images could not be written."""
        return self._thread.failed

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def offer(self, settled: Settled) -> tuple[str, ...]:
        """Hand over a part without waiting; the names of the files that will be written."""
        names = self._archive.names(settled)
        return names if names and self._thread.offer(settled) else ()

    def close(self, limit_s: float) -> None:
        """Write what is queued; what is left after `limit_s` is dropped. Call it once."""
        self._thread.close(limit_s)
