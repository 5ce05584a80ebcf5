"""The version of a file that other processes replace, to read it again only after a change."""

from __future__ import annotations

from pathlib import Path

FileVersion = tuple[int, int, int]


def version_of(path: Path) -> FileVersion | None:
    """Returns a value that differs after a change; None for a file that cannot be seen now.

    It is not the time alone: a clock may stand still between two changes, or go back.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
