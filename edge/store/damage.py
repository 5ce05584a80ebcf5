"""Sets a damaged database aside: nothing of it is deleted, and a new one takes its place."""

from __future__ import annotations

import shutil
import sqlite3
from datetime import datetime, timezone
from pathlib import Path

from edge.store.database import FILE_NAME
from edge.store.log_frames import last_commit

ASIDE_PATTERN = "records.damaged-*.sqlite*"

_COMPANIONS = ("-wal", "-shm")


def set_aside(folder: Path) -> Path:
    """Move the database of a folder away; returns its new path. Nobody may have it open.

    Raises:
        OSError: it cannot be moved.
    """
    aside = _free_name(folder)
    # The log first: after a kill in between, a log beside a new database would be taken for its.
    for companion in (*_COMPANIONS, ""):
        path = folder / f"{FILE_NAME}{companion}"
        if path.exists():
            path.rename(aside.with_name(f"{aside.name}{companion}"))
    return aside


def keep_broken_log(connection: sqlite3.Connection, folder: Path) -> Path | None:
    """Copy the log of a database when commits at its end cannot be read; returns the copy.

    SQLite takes the first damaged frame for the end of the log, and soon overwrites the rest.

    Args:
        connection: as it was opened, before it has written.

    Raises:
        OSError: it cannot be copied.
    """
    log = folder / f"{FILE_NAME}-wal"
    present = last_commit(log)
    _, read, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    if present <= max(read, 0):
        return None
    aside = _free_name(folder)
    copy = aside.with_name(f"{aside.name}-wal")
    shutil.copyfile(log, copy)
    return copy


def damaged_files(folder: Path) -> list[Path]:
    """Returns the databases in a folder that were set aside, the oldest first.

    Of one whose log alone was kept, the path does not exist, and that with "-wal" does.
    """
    found = {path.name.partition(".sqlite")[0] for path in folder.glob(ASIDE_PATTERN)}
    return [folder / f"{name}.sqlite" for name in sorted(found)]


def _free_name(folder: Path) -> Path:
    moment = datetime.now(timezone.utc)
    taken = damaged_files(folder)
    while (path := folder / f"records.damaged-{moment:%Y%m%dT%H%M%S.%f}Z.sqlite") in taken:
        moment = datetime.now(timezone.utc)
    return path
