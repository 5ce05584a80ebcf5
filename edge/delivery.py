"""From a settled trigger to the line and to the record, on a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from edge.archive import ArchiveThread
from edge.errors import LineError
from edge.line.base import LineOutput
from edge.records import InspectionRecord, RecipeIdentity, record_from_settled
from edge.summary import Tally
from edge.triggers import Ledger

_log = logging.getLogger(__name__)


class Delivery:
    """Takes verdicts from the ledger in order; tells each to every output, then records it.

    An output that fails hinders neither the other outputs nor the record.

    Args:
        on_record: receives each record once, after its delivery.
        on_error: receives the first LineError, and every error that is a defect of the program.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        identity: RecipeIdentity,
        outputs: Sequence[LineOutput],
        archive: ArchiveThread | None,
        on_record: Callable[[InspectionRecord], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        self.tally = Tally()
        self._ledger = ledger
        self._identity = identity
        self._outputs = outputs
        self._archive = archive
        self._on_record = on_record
        self._on_error = on_error
        self._recording = threading.Lock()
        self._in_hand: dict[str, InspectionRecord] = {}
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def close(self, limit_s: float) -> None:
        """Deliver what is left in the closed ledger, then end.

        What an output that hangs keeps from being delivered after `limit_s` is recorded as such.
        """
        self._thread.join(limit_s)
        if not self._thread.is_alive():
            return
        error = LineError(f"an output to the line hangs: no answer within {limit_s:g} s")
        self._on_error(error)
        while self._next() is not None:
            pass
        for record in list(self._in_hand.values()):
            self._record(record, [str(error)])

    def _run(self) -> None:
        while (record := self._next()) is not None:
            self._record(record, self._send(record))

    def _next(self) -> InspectionRecord | None:
        settled = self._ledger.take()
        if settled is None:
            return None
        images = self._archive.offer(settled) if self._archive is not None else ()
        record = record_from_settled(settled, self._identity, images)
        self._in_hand[record.trigger_id] = record
        return record

    def _send(self, record: InspectionRecord) -> list[str]:
        errors = []
        for output in self._outputs:
            try:
                output.send(record)
            except LineError as error:
                _log.warning("%s: not delivered: %s", record.trigger_id, error)
                self._on_error(error)
                errors.append(str(error))
            except Exception as error:  # noqa: BLE001 - a defect: told to the pipeline, which stops
                self._on_error(error)
                errors.append(repr(error))
        return errors

    def _record(self, record: InspectionRecord, errors: list[str]) -> None:
        with self._recording:
            if self._in_hand.pop(record.trigger_id, None) is None:
                return  # recorded as undelivered while the output hung
        if errors:
            record = record.model_copy(update={"line_errors": tuple(errors)})
        self.tally.add(record)
        try:
            self._on_record(record)
        except Exception as error:  # noqa: BLE001 - a defect: told to the pipeline, which stops
            self._on_error(error)
