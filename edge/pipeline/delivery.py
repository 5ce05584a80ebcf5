"""Sends settled parts to the line and records them, on a thread."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from edge.line.base import LineOutput, StationState
from edge.line.link import linked
from edge.part.record import InspectionRecord, record_from_settled
from edge.part.result import Settled
from edge.peers.reconnect import LONGEST_PAUSE_S
from edge.pipeline.background import Background
from edge.pipeline.ledger import Ledger
from edge.pipeline.status import Tally
from inspection.errors import LineError

HEARTBEAT_S = 0.3

_log = logging.getLogger(__name__)


class Delivery:
    """Takes verdicts from the ledger in order; sends each to every output, then records it.

    An output that fails hinders neither the other outputs nor the record, and is opened again.
    Between the verdicts the outputs receive the state of the station, which is their heartbeat.

    Args:
        background: receives each part before its delivery.
        state: returns the state of the station.
        on_record: receives each record once, after its delivery.
        on_error: receives the first LineError, and every error that is a defect of the program.
        waits_to_open: treat an output that cannot be opened at the start as a lost one: the line
            goes on without it and opens it again and again.
        longest_pause_s: between two attempts to open a lost output.

    Attributes:
        turned_ns: start of the present turn, on the monotonic clock; None while the thread does
            not run.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        outputs: Sequence[LineOutput],
        background: Background,
        state: Callable[[], StationState],
        on_record: Callable[[InspectionRecord], None],
        on_error: Callable[[Exception], None],
        waits_to_open: bool = False,
        longest_pause_s: float = LONGEST_PAUSE_S,
    ) -> None:
        self.tally = Tally()
        self.turned_ns: int | None = None
        self._waits_to_open = waits_to_open
        self._ledger = ledger
        self._links = [linked(output, longest_pause_s) for output in outputs]
        self._state = state
        self._shown: StationState | None = None
        self._shown_at = 0.0
        self._background = background
        self._on_record = on_record
        self._on_error = on_error
        self._recording = threading.Lock()
        self._in_hand: dict[str, InspectionRecord] = {}
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)

    def open(self, stack: ExitStack) -> None:
        """Opens the outputs; `stack` closes them.

        Raises:
            LineError: one cannot be opened, and the line does not wait for it.
        """
        for link in self._links:
            stack.callback(link.close)
            try:
                link.open()
            except LineError as error:
                if not self._waits_to_open:
                    raise
                _log.warning("the line starts without an output: %s", error)

    @property
    def outputs_up(self) -> tuple[bool, ...]:
        """Whether each output works, as far as is known; from any thread."""
        return tuple(link.is_up for link in self._links)

    def start(self) -> None:
        """Begins to deliver."""
        self._thread.start()

    def close(self, limit_s: float) -> None:
        """Delivers the rest of the closed ledger, then ends.

        After `limit_s` an output hangs: the parts that it holds up are recorded as undelivered.
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
        while not self._ledger.is_finished:
            self.turned_ns = time.monotonic_ns()
            try:
                self._turn()
            except Exception as error:  # noqa: BLE001 - a defect: told to the pipeline, which stops
                self._on_error(error)
        self.turned_ns = None

    def _turn(self) -> None:
        record = self._next(HEARTBEAT_S)
        if record is not None:
            self._record(record, self._send(record))
        self._show()

    def _show(self) -> None:
        """Shows the outputs a new state at once, and READY repeatedly as the heartbeat."""
        state, now = self._state(), time.monotonic()
        is_due = state is StationState.READY and now - self._shown_at >= HEARTBEAT_S
        if state is self._shown and not is_due:
            return
        self._shown, self._shown_at = state, now
        for link in self._links:
            self._attempt(functools.partial(link.show, state), state.value)

    def _next(self, timeout_s: float | None = None) -> InspectionRecord | None:
        settled = self._ledger.take(timeout_s)
        if settled is None:
            return None
        record = record_from_settled(settled, self._offer_background(settled))
        self._in_hand[record.trigger_id] = record
        return record

    def _offer_background(self, settled: Settled) -> tuple[str, ...]:
        """Hands a part to the background work; returns the files that its images will have."""
        try:
            return self._background.offer(settled)
        except Exception as error:  # noqa: BLE001 - a defect: told to the pipeline, which stops
            self._on_error(error)
            return ()

    def _send(self, record: InspectionRecord) -> list[str]:
        attempts = [
            self._attempt(functools.partial(link.send, record), record.trigger_id)
            for link in self._links
        ]
        return [error for error in attempts if error]

    def _attempt(self, call: Callable[[], None], what: str) -> str:
        """Calls an output; returns its error, or an empty text."""
        try:
            call()
        except LineError as error:
            _log.warning("%s: not delivered: %s", what, error)
            self._on_error(error)
            return str(error)
        except Exception as error:  # noqa: BLE001 - a defect: told to the pipeline, which stops
            self._on_error(error)
            return repr(error)
        return ""

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
