"""Work on settled parts beside the pipeline, which never waits for it."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable

from edge.part.settled import Settled

_log = logging.getLogger(__name__)


class SideThread:
    """Hands parts to `work` behind a short queue; a part that finds it full is given up.

    Attributes:
        dropped: parts that were given up.
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
        """Hand over a part without waiting; False when it was given up."""
        try:
            self._queue.put_nowait(settled)
        except queue.Full:
            if not self.dropped:
                _log.warning("the %s is slower than the line: parts are left out", self._name)
            self.dropped += 1
            return False
        return True

    def close(self, limit_s: float) -> None:
        """Work on what is queued; what is left after `limit_s` is given up. Call it once."""
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
