"""Formats log lines: plain text on a terminal, JSON in the journal, repeats counted."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TextIO

from edge.service.unblocked import UnblockedStream
from inspection.names import encodable
from inspection.redaction import RedactingFormatter, redacted

REPEATS = 5
REPEAT_S = 30.0

# syslog(3) severities, which journald reads from "<n>" at the beginning of a line.
_SEVERITIES = {
    logging.CRITICAL: 2,
    logging.ERROR: 3,
    logging.WARNING: 4,
    logging.INFO: 6,
    logging.DEBUG: 7,
}
_log = logging.getLogger(__name__)


def configure(level: int = logging.WARNING, stream: TextIO | UnblockedStream | None = None) -> None:
    """Logs to `stream`, by default standard error; in JSON when the stream is the journal.

    In the journal, uncaught errors of all threads are log lines too.
    """
    stream = sys.stderr if stream is None else stream
    handler = QuietHandler(stream)
    is_journal = _is_journal(stream)
    handler.setFormatter(
        JsonFormatter() if is_journal else RedactingFormatter("linewarden: %(message)s")
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # They log each connection and its last bytes, and the caller reports the failure.
    for library in ("pymodbus", "snap7"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    if is_journal:
        sys.excepthook = _log_uncaught
        threading.excepthook = _log_uncaught_on_thread


class JsonFormatter(logging.Formatter):
    """Writes one JSON object per line, after the severity that journald reads.

    Keys: "level", "logger", "thread", "message"; "traceback" with an error.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Returns one line without its newline."""
        entry = {
            "level": record.levelname.lower(),
            "logger": record.name,
            "thread": record.threadName,
            "message": encodable(redacted(record.getMessage())),
        }
        if record.exc_info:
            entry["traceback"] = redacted(self.formatException(record.exc_info))
        return f"<{_SEVERITIES.get(record.levelno, 6)}>{json.dumps(entry, ensure_ascii=False)}"


@dataclass
class _Burst:
    began_at: float
    last: logging.LogRecord
    count: int = 0


class QuietHandler(logging.StreamHandler[TextIO | UnblockedStream]):
    """Writes a line `REPEATS` times in `REPEAT_S`, then counts repeats and writes their number.

    Lines of the same log statement are repeats, also with other arguments.

    Args:
        clock: monotonic clock in seconds.
    """

    def __init__(
        self, stream: TextIO | UnblockedStream, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(stream)
        self._clock = clock
        self._bursts: dict[tuple[str, int, str], _Burst] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record, or counts it."""
        now = self._clock()
        self._end_bursts(lambda burst: now - burst.began_at >= REPEAT_S)
        key = (record.pathname, record.lineno, str(record.msg))
        burst = self._bursts.setdefault(key, _Burst(now, record))
        burst.count += 1
        burst.last = record
        if burst.count <= REPEATS:
            super().emit(record)

    def close(self) -> None:
        """Writes the numbers of the repeats until now."""
        self._end_bursts(lambda _burst: True)
        super().close()

    def _end_bursts(self, is_over: Callable[[_Burst], bool]) -> None:
        for key in [key for key, burst in self._bursts.items() if is_over(burst)]:
            burst = self._bursts.pop(key)
            if burst.count > REPEATS:
                super().emit(_summary(burst.last, burst.count - REPEATS))


def _summary(record: logging.LogRecord, left_out: int) -> logging.LogRecord:
    summary = logging.makeLogRecord(vars(record))
    summary.msg = f"{record.getMessage()} (and {left_out} more like it in {REPEAT_S:g} s)"
    summary.args = None
    return summary


def _is_journal(stream: TextIO | UnblockedStream) -> bool:
    """True when the stream is journald's: see JOURNAL_STREAM in systemd.exec(5)."""
    try:
        found = os.fstat(stream.fileno())
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    _log.critical("unexpected error: %r", error, exc_info=(kind, error, trace))


def _log_uncaught_on_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)
