"""Text to a reader that may stop reading: a pager, a pipe, a terminal with Ctrl-S.

A full pipe holds up the thread that writes to it for as long as its reader likes, and a line has no
thread that could be spared.
"""

from __future__ import annotations

import atexit
import contextlib
import queue
import threading
from typing import TextIO

_WAITING_MAX = 2000  # texts
_CLOSE_S = 1.0


class UnblockedStream:
    """Writes to a stream on a thread; texts that find too many waiting are left out and counted.

    Args:
        stream: where the text goes.
        waiting_max: texts that may wait.
    """

    def __init__(self, stream: TextIO, waiting_max: int = _WAITING_MAX) -> None:
        self._stream = stream
        self._queue: queue.Queue[str | None] = queue.Queue(waiting_max)
        self._left_out = 0
        self._thread = threading.Thread(target=self._run, name="terminal", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def write(self, text: str) -> int:
        """Hands a text over, without waiting."""
        try:
            self._queue.put_nowait(text)
        except queue.Full:
            self._left_out += 1
        return len(text)

    def flush(self) -> None:
        """Does nothing: the thread flushes each text."""

    def fileno(self) -> int:
        """Returns the descriptor of the stream."""
        return self._stream.fileno()

    def close(self, limit_s: float = _CLOSE_S) -> None:
        """Writes the waiting texts, within `limit_s`. Safe to call twice."""
        atexit.unregister(self.close)
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=limit_s)
        self._thread.join(limit_s)

    def _run(self) -> None:
        while (text := self._queue.get()) is not None:
            left_out, self._left_out = self._left_out, 0
            if left_out:
                text = f"(the reader was too slow: {left_out} lines are left out)\n{text}"
            with contextlib.suppress(OSError):  # a closed terminal stops no line
                self._stream.write(text)
                self._stream.flush()
