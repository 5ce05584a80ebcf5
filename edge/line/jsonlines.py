"""Verdicts as JSON lines, to a file or to standard output."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import stat
from collections.abc import Iterable
from io import FileIO
from pathlib import Path
from typing import Literal

from edge.line.base import StationState
from edge.part.record import InspectionRecord
from inspection.config.claims import Claim, Claimant
from inspection.config.loading import ConfigPath
from inspection.config.resources import Named, Use, UsedPath
from inspection.errors import LineError
from inspection.files import is_still_at

STANDARD_OUTPUT: Literal["-"] = "-"

_log = logging.getLogger(__name__)


class JsonLinesConfig(Claimant):
    """Writes one JSON object per part and line.

    Attributes:
        path: file to append to; "-" is standard output.
    """

    kind: Literal["jsonlines"]
    path: Literal["-"] | ConfigPath

    def claims(self) -> Iterable[Claim]:
        """Returns the claim to the file, or to standard output."""
        if isinstance(self.path, str):
            yield Claim(("path",), Named("output", self.path, "standard output", "remove one"))
        else:
            yield Claim(("path",), UsedPath(self.path, Use.FILE, "verdicts"))

    def driver(self) -> JsonLines:
        """Returns the output, not yet opened."""
        return JsonLines(self)


class JsonLines:
    """Appends one JSON object per part and passes it to the system at once.

    Sent lines survive a kill of the process. `open` cuts off, and logs, a line that a kill or a
    power cut left half written. A file has one writer at a time.

    A log rotation may rename, remove or shorten the file at any time: each call looks for it, and
    opens a new one in the place of a file that is gone.
    """

    def __init__(self, config: JsonLinesConfig) -> None:
        self._path = config.path
        self._stream: FileIO | None = None
        self._is_open = False
        self._has_folder = False
        self._reopens = False

    def open(self) -> None:
        """Opens the file and repairs its last line; makes its folder at the first time alone.

        A folder that disappears later was removed, or is the place of a disk that is not mounted:
        a new one would take verdicts that nobody looks for there.
        """
        self.close()
        try:
            if isinstance(self._path, Path) and not self._has_folder:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._has_folder = True
            self._stream = _open_stream(self._path)
        except OSError as error:
            raise _failure(self._path, "opened", error) from error
        self._is_open = True

    def send(self, record: InspectionRecord) -> None:
        """Appends one line. After an error the file holds nothing of it."""
        line = record.model_dump_json().encode() + b"\n"
        stream = self._current()
        try:
            before = os.fstat(stream.fileno())
            try:
                _write_all(stream, line)
            except OSError:
                if self._path != STANDARD_OUTPUT and stat.S_ISREG(before.st_mode):
                    stream.truncate(before.st_size)
                raise
        except OSError as error:
            raise _failure(self._path, "written", error) from error

    def show(self, state: StationState) -> None:  # noqa: ARG002 - the file holds verdicts alone
        """Lets go of a file that is gone, so that its space is free."""
        self._current()

    def reopen(self) -> None:
        """Has the next call open the file anew, also where it seems to be the same.

        A signal handler may call this.
        """
        self._reopens = self._path != STANDARD_OUTPUT

    def close(self) -> None:
        """Closes the file."""
        self._is_open = False
        self._let_go()

    def _current(self) -> FileIO:
        """Returns the file that the path names now.

        Raises:
            LineError: the output is not open, or the file cannot be opened anew.
        """
        if not self._is_open:
            raise LineError(f"{self._path}: the output is not open")
        try:
            reopens, self._reopens = self._reopens, False
            if reopens or (self._stream is not None and not _is_current(self._stream, self._path)):
                self._let_go()
            if self._stream is None:
                self._stream = _open_stream(self._path)
                _log.info("%s: opened anew", self._path)
        except OSError as error:
            raise _failure(self._path, "opened", error) from error
        return self._stream

    def _let_go(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream = None


def _failure(path: Path | str, what: str, error: OSError) -> LineError:
    return LineError(f"{path}: cannot be {what} ({error.strerror})")


def _is_current(stream: FileIO, path: Path | Literal["-"]) -> bool:
    return isinstance(path, str) or is_still_at(stream.fileno(), path)


def _open_stream(path: Path | Literal["-"]) -> FileIO:
    if isinstance(path, str):
        # Not sys.stdout: after an error the rest of its buffer would fail once more at exit.
        return FileIO(1, "w", closefd=False)
    stream = FileIO(path, "a+")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _mend_last_line(stream, str(path))
    except BlockingIOError as error:
        stream.close()
        raise LineError(f"{path}: another process writes to it; use another file") from error
    except OSError:
        stream.close()
        raise
    return stream


def _mend_last_line(stream: FileIO, name: str) -> None:
    start, last_line = _last_line(stream)
    if not last_line:
        return
    if _is_json_object(last_line):
        stream.write(b"\n")
        return
    _log.warning("%s: cut off a half-written last line: %r", name, last_line[:200])
    stream.truncate(start)


def _last_line(stream: FileIO) -> tuple[int, bytes]:
    """Returns the offset and the content of the last line; empty after a final newline."""
    start = stream.seek(0, os.SEEK_END)
    tail = b""
    while start > 0 and b"\n" not in tail:
        step = min(start, 1 << 16)
        start = stream.seek(start - step)
        tail = (stream.read(step) or b"") + tail
    newline = tail.rfind(b"\n")
    return start + newline + 1, tail[newline + 1 :]


def _is_json_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _write_all(stream: FileIO, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        written = stream.write(rest)
        if written is None:
            raise BlockingIOError(11, "the reader is too slow")
        rest = rest[written:]
