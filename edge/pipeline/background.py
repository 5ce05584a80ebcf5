"""What works on the parts beside the line, and is never waited for: images and drift."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from edge.drift.monitor import DriftReport, DriftWatch
from edge.part.settled import Settled
from edge.pipeline.archive import Archive, ArchiveThread
from edge.pipeline.side_thread import SideThread

_DRIFT_QUEUE = 4


class Background:
    """The archive and the watch of one run, each on a thread of its own, or none.

    Args:
        archive: keeps images; None for none.
        watch: watches the views for drift; None for none.
    """

    def __init__(self, archive: Archive | None, watch: DriftWatch | None) -> None:
        self._archive = ArchiveThread(archive) if archive is not None else None
        self._watch = (
            SideThread("drift monitor", watch.take, _DRIFT_QUEUE) if watch is not None else None
        )
        self._reports = watch.reports if watch is not None else tuple

    @contextlib.contextmanager
    def running(self, limit_s: float) -> Iterator[None]:
        """Work within the block; at its end what waits is worked on, each for so long at most."""
        with contextlib.ExitStack() as stack:
            if self._archive is not None:
                self._archive.start()
                stack.callback(self._archive.close, limit_s)
            if self._watch is not None:
                self._watch.start()
                stack.callback(self._watch.close, limit_s)
            yield

    def offer(self, settled: Settled) -> tuple[str, ...]:
        """Hand over a part without waiting; the names of the image files that will be written."""
        if self._watch is not None:
            self._watch.offer(settled)
        return self._archive.offer(settled) if self._archive is not None else ()

    @property
    def images_dropped(self) -> int:
        """Parts whose images were given up because the disk was too slow."""
        return self._archive.dropped if self._archive is not None else 0

    @property
    def images_failed(self) -> int:
        """Parts whose images could not be written."""
        return self._archive.failed if self._archive is not None else 0

    @property
    def drift(self) -> tuple[DriftReport, ...]:
        """What moved so far, for each view and recipe that is watched."""
        return self._reports()

    @property
    def drift_left_out(self) -> int:
        """Parts that nobody looked at for drift."""
        return self._watch.dropped + self._watch.failed if self._watch is not None else 0
