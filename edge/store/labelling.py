"""Takes the labels of people, who see the parts of a running line, into its records."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial

from edge.store.images import ImageArchive
from edge.store.labels import Label, enter_label, require_label, withdraw_label
from edge.store.painted import read_painted
from edge.store.rows import find_record
from edge.store.station_records import StationRecords
from inspection.errors import RecordsError


class Labelling:
    """The records of a line and its images. Safe for threads; nothing of the pipeline waits for it.

    Args:
        records: None where none are kept.
        archive: None where no images are kept.
    """

    def __init__(self, records: StationRecords | None, archive: ImageArchive | None) -> None:
        self._records = records
        self._archive = archive

    def label(
        self,
        trigger_id: str,
        label: str,
        *,
        author: str,
        note: str,
        frame: str | None = None,
        mask: bytes | None = None,
    ) -> None:
        """Adds the label of a person to a part.

        Args:
            frame: name of the frame that `mask` was painted over, as the record has it.
            mask: PNG, see `edge.store.painted`.

        Raises:
            ConfigError: the label cannot be one.
            FrameError: the mask cannot be one of this frame.
            RecordsError: there is no such record or frame, or they cannot be written.
        """
        require_label(label)
        given = Label(label, author, note, datetime.now(timezone.utc))
        if mask is not None:
            given = replace(given, mask=self._keep_mask(trigger_id, frame or "", mask))
        self._kept.change(partial(enter_label, trigger_id=trigger_id, given=given))

    def withdraw(self, trigger_id: str, author: str, *, by: str, label: str | None = None) -> None:
        """Takes back the newest label of a person; it stays in the history.

        Args:
            label: the one that is meant; None for whichever is the newest.

        Raises:
            RecordsError: there is none, it is another one, or it cannot be written.
        """
        self._kept.change(
            partial(withdraw_label, trigger_id=trigger_id, author=author, by=by, label=label)
        )

    @property
    def _kept(self) -> StationRecords:
        if self._records is None:
            raise RecordsError("the line keeps no records: its configuration has no 'records'")
        return self._records

    def _keep_mask(self, trigger_id: str, frame: str, mask: bytes) -> str:
        painted = read_painted(mask)
        if self._archive is None:
            raise RecordsError("the line keeps no images: 'records' in its configuration has none")
        self._kept.change(partial(_require_frame, trigger_id=trigger_id, frame=frame))
        try:
            return self._archive.keep_mask(frame, painted)
        except OSError as error:
            raise RecordsError(f"the mask cannot be written: {error}") from error


def _require_frame(connection: sqlite3.Connection, trigger_id: str, frame: str) -> None:
    record = find_record(connection, trigger_id)
    if record is None or frame not in record.images:
        raise RecordsError(f"the record of {trigger_id!r} names no frame {frame!r}")
