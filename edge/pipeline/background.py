"""Background work on settled parts: images and drift. The pipeline never waits for it."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from edge.drift.monitor import DriftReport, DriftWatch
from edge.part.result import Settled

_ARCHIVE_QUEUE = 8  # parts
_DRIFT_QUEUE = 4

_log = logging.getLogger(__name__)


class Archive(Protocol):
    """Keeps the images of parts."""

    def names(self, settled: Settled) -> tuple[str, ...]:
        """The files that `save` will write for this part; none when it is not to be kept."""

    def save(self, settled: Settled) -> None:
        """Write them.

        Raises:
            OSError: they cannot be written.
        """


class BackgroundThread:
    """Hands parts to `work` through a short queue, and drops a part that finds it full.

    Attributes:
        dropped: parts that found the queue full.
        failed: parts on which `work` raised.
    """

    def __init__(self, name: str, work: Callable[[Settled], None], queue_size: int) -> None:
        self.dropped = 0
        self.failed = 0
        self._name = name
        self._work = work
        self._queue: queue.Queue[Settled | None] = queue.Queue(queue_size)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def offer(self, settled: Settled) -> bool:
        """Hand over a part without waiting; False when it was dropped."""
        try:
            self._queue.put_nowait(settled)
        except queue.Full:
            if not self.dropped:
                _log.warning("the %s is slower than the line: parts are left out", self._name)
            self.dropped += 1
            return False
        return True

    def close(self, limit_s: float) -> None:
        """Work on the queued parts; drop the rest after `limit_s`. Call it once."""
        end = time.monotonic() + limit_s
        try:
            self._queue.put(None, timeout=limit_s)
        except queue.Full:
            _log.warning("the %s was not done after %g s", self._name, limit_s)
        self._thread.join(max(0.0, end - time.monotonic()))
        while not self._queue.empty():
            self.dropped += self._queue.get_nowait() is not None

    def _run(self) -> None:
        works = True
        while (settled := self._queue.get()) is not None:
            try:
                self._work(settled)
            except Exception as error:  # noqa: BLE001 - it goes on with the next part
                self.failed += 1
                if works:
                    what = f"the {self._name} failed on {settled.trigger.trigger_id}"
                    is_defect = not isinstance(error, OSError)
                    _log.warning("%s: %r", what, error, exc_info=is_defect)
                works = False
            else:
                if not works:
                    _log.warning("the %s works again", self._name)
                works = True


class Background:
    """The archive and the drift watch of one run, each on a thread.

    Args:
        archive: keeps images; None for none.
        watch: watches the views for drift; None for none.
    """

    def __init__(
        self,
        archive: Archive | None = None,
        watch: DriftWatch | None = None,
        archive_queue: int = _ARCHIVE_QUEUE,
    ) -> None:
        self._archive = archive
        self._watch = watch
        self._archive_thread = (
            BackgroundThread("archive", archive.save, archive_queue)
            if archive is not None
            else None
        )
        self._drift_thread = (
            BackgroundThread("drift monitor", watch.take, _DRIFT_QUEUE)
            if watch is not None
            else None
        )

    @contextlib.contextmanager
    def running(self, limit_s: float) -> Iterator[None]:
        """Work within the block; at its end each thread has `limit_s` for its queue."""
        with contextlib.ExitStack() as stack:
            for thread in (self._archive_thread, self._drift_thread):
                if thread is not None:
                    thread.start()
                    stack.callback(thread.close, limit_s)
            yield

    def offer(self, settled: Settled) -> tuple[str, ...]:
        """Hand over a part without waiting; the names of the image files that will be written."""
        if self._drift_thread is not None:
            self._drift_thread.offer(settled)
        if self._archive is None or self._archive_thread is None:
            return ()
        names = self._archive.names(settled)
        return names if names and self._archive_thread.offer(settled) else ()

    @property
    def images_dropped(self) -> int:
        """Parts whose images were dropped because the disk was too slow."""
        return self._archive_thread.dropped if self._archive_thread is not None else 0

    @property
    def images_failed(self) -> int:
        """Parts whose images could not be written."""
        return self._archive_thread.failed if self._archive_thread is not None else 0

    @property
    def drift(self) -> tuple[DriftReport, ...]:
        """The drift so far, for each view and recipe that is watched."""
        return self._watch.reports() if self._watch is not None else ()

    @property
    def drift_left_out(self) -> int:
        """Parts that were not examined for drift."""
        thread = self._drift_thread
        return thread.dropped + thread.failed if thread is not None else 0
