"""Entries that are still open, in a file that survives the death of the process.

An entry is one `write` to the system's page cache: cheap as a rule, and safe from a kill of the
process. It is not flushed to the disk: after a power cut the last ones are gone. When its
caches are full and the disk is slow, the kernel holds the write up for seconds; `edge.store.notes`
keeps that away from the parts.

Somebody may remove, replace or shorten the file meanwhile. The journal has all open entries in
memory, and writes them anew before the next entry.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable
from pathlib import Path

from inspection.files import TEMPORARY_PREFIX, is_still_at

_SLACK_BYTES = 1 << 18

_log = logging.getLogger(__name__)


class Journal:
    """Open entries by key, in the order they came. Safe for threads.

    Args:
        path: the file; it has one writer at a time. Made by `open`, in a folder that exists.
        slack_bytes: `settle` rewrites a file that is longer by this than twice its open entries;
            `add`, which is on the way of a part, never does.
    """

    def __init__(self, path: Path, slack_bytes: int = _SLACK_BYTES) -> None:
        self._path = path
        self._slack_bytes = slack_bytes
        self._lock = threading.Lock()
        self._entries: dict[str, str] = {}
        self._file: int | None = None
        self._size = 0
        self._open_bytes = 0

    def open(self) -> dict[str, str]:
        """Open the file; the entries that an earlier process left open, which are open still.

        Raises:
            OSError: it cannot be read or written.
        """
        with self._lock:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            content = self._path.read_bytes()
            self._size = len(content)
            *lines, torn = content.split(b"\n")
            self._entries = dict(filter(None, map(_entry, lines)))
            self._open_bytes = sum(len(key) + len(entry) for key, entry in self._entries.items())
            if torn:  # the disk was full, or the power was cut
                self._rewrite()
            return dict(self._entries)

    def add(self, key: str, entry: str) -> None:
        """Enter one.

        Args:
            key: without a space; a key that is there already is replaced.
            entry: without a newline.

        Raises:
            OSError: it cannot be written; the file has no part of it.
        """
        line = _line(key, entry)
        with self._lock:
            if self._file is None:
                raise OSError(f"{self._path}: the journal is not open")
            if not self._is_whole(self._file):
                self._restore()
            written = os.write(self._file, line)
            if written < len(line):
                os.ftruncate(self._file, self._size)
                raise OSError(28, "No space left on device", str(self._path))
            self._size += written
            self._drop(key)
            self._entries[key] = entry
            self._open_bytes += len(key) + len(entry)

    def settle(self, keys: Iterable[str]) -> None:
        """Close entries; keys that are not open are passed over.

        Raises:
            OSError: the file cannot be shortened: they would be open again after a restart.
        """
        with self._lock:
            for key in keys:
                self._drop(key)
            if self._file is None:
                return
            if not self._is_whole(self._file):
                self._restore()
            elif self._size and not self._entries:
                os.ftruncate(self._file, 0)
                self._size = 0
            elif self._size > 2 * self._open_bytes + self._slack_bytes:
                self._rewrite()

    def close(self) -> None:
        """Close the file; open entries stay in it. Safe to call twice."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
            self._file = None

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._open_bytes -= len(key) + len(entry)

    def _is_whole(self, file: int) -> bool:
        """Whether the path still names the file, with all that was written to it."""
        return os.fstat(file).st_size == self._size and is_still_at(file, self._path)

    def _restore(self) -> None:
        self._rewrite()
        _log.warning(
            "%s: somebody removed or changed it while it was in use; its %d open entries are "
            "written anew",
            *(self._path, len(self._entries)),
        )

    def _rewrite(self) -> None:
        """Replace the file in one step by one that holds the open entries."""
        content = b"".join(_line(key, entry) for key, entry in self._entries.items())
        temporary = self._path.with_name(TEMPORARY_PREFIX + self._path.name)
        temporary.write_bytes(content)
        rewritten = os.open(temporary, os.O_RDWR | os.O_APPEND)
        try:
            temporary.replace(self._path)
        except OSError:
            os.close(rewritten)
            raise
        before, self._file = self._file, rewritten
        if before is not None:
            os.close(before)
        self._size = len(content)


def _line(key: str, entry: str) -> bytes:
    return f"{key} {entry}\n".encode()


def _entry(line: bytes) -> tuple[str, str] | None:
    try:
        key, gap, entry = line.decode().partition(" ")
    except UnicodeDecodeError:
        gap = ""
    if not gap:
        _log.warning("an unreadable entry of a journal is passed over: %r", line[:80])
        return None
    return key, entry
