"""Notes each verdict, hands it to the outputs, and records what they were told, on a thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from edge.part.record import record_from_settled
from edge.part.result import Settled
from edge.pipeline.background import Background
from edge.pipeline.ledger import PARTS_MAX, Ledger
from edge.pipeline.outputs import Outputs
from edge.pipeline.settings import Hooks
from edge.pipeline.status import Tally
from edge.pipeline.telling import Telling
from inspection.errors import LineError

_TURN_S = 0.3
_GRACE_S = 0.01  # a working output answers within; the record waits no longer for the others
_BEHIND_S = 0.005
_SLOW_DISK = "the disk was too slow to note it; see 'records'"

_log = logging.getLogger(__name__)


class _HandedOut(NamedTuple):
    telling: Telling
    since_s: float


class Delivery:
    """Takes verdicts from the ledger; each is noted, then told, then recorded.

    The note comes first: when the process is killed, the record still has each verdict that the
    line was told. With a disk that is too slow, NO_VERDICT leaves without a note at the deadline of
    the part. A verdict whose note fails, on a full disk, leaves without one.

    Args:
        background: receives each part before its delivery.
        on_error: receives an error of the outputs, and every error that is a defect of the program.
        limit_s: an output that does not answer within this time has not taken the verdict.

    Attributes:
        turned_ns: start of the present turn, on the monotonic clock; None while the thread does
            not run.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        outputs: Outputs,
        background: Background,
        hooks: Hooks,
        on_error: Callable[[Exception], None],
        limit_s: float,
    ) -> None:
        self.tally = Tally()
        self.turned_ns: int | None = None
        self._ledger = ledger
        self._outputs = outputs
        self._background = background
        self._hooks = hooks
        self._on_error = on_error
        self._limit_s = limit_s
        self._ends_s: float | None = None
        self._handing = threading.Lock()
        self._unnoted: dict[str, Telling] = {}
        self._handed_out: dict[str, _HandedOut] = {}
        self._pending: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)

    def start(self) -> None:
        """Begins to deliver."""
        self._thread.start()

    def close(self) -> None:
        """Delivers the rest of the closed ledger, within `limit_s`, then ends."""
        self._ends_s = time.monotonic() + self._limit_s
        self._ledger.wake()
        self._thread.join(2 * self._limit_s)
        if self._thread.is_alive():
            self._on_error(LineError(f"the delivery hangs, for {2 * self._limit_s:g} s"))

    def _run(self) -> None:
        while not self._is_finished:
            self.turned_ns = time.monotonic_ns()
            try:
                self._turn()
            except Exception as error:  # noqa: BLE001 - a defect: told to the pipeline, which stops
                self._on_error(error)
        self.turned_ns = None

    @property
    def _is_finished(self) -> bool:
        return self._ledger.is_finished and not self._unnoted and not self._handed_out

    def _turn(self) -> None:
        # In a flood the ledger fills meanwhile, and the intake refuses further triggers.
        if self._outputs.are_behind or len(self._unnoted) >= PARTS_MAX:
            time.sleep(_BEHIND_S)
        elif (settled := self._ledger.take(self._until_next_s())) is not None:
            self._note(settled)
        self._hand_out_unnoted()
        self._record()

    def _note(self, settled: Settled) -> None:
        """Has the verdict noted; the outputs are told once it is."""
        record = record_from_settled(settled, self._offer_background(settled))
        telling = Telling(settled.trigger, record, self._outputs.names, self._ledger.wake)
        self._unnoted[telling.trigger_id] = telling
        noted = partial(self._hand_out, telling)
        try:
            self._hooks.on_verdict(telling.record(), noted)
        except Exception as error:  # noqa: BLE001 - a defect costs no part its verdict
            self._on_error(error)
            noted()

    def _offer_background(self, settled: Settled) -> tuple[str, ...]:
        """Hands a part to the background work; returns the files that its images will have."""
        try:
            return self._background.offer(settled)
        except Exception as error:  # noqa: BLE001 - a defect: told to the pipeline, which stops
            self._on_error(error)
            return ()

    def _hand_out(self, telling: Telling, why_unnoted: str = "") -> None:
        """Lets the outputs be told, once; called when the verdict is noted, from any thread.

        Args:
            why_unnoted: the reason why it leaves as NO_VERDICT, before its note; empty after it.
        """
        with self._handing:  # keeps the order of the verdicts
            if telling.trigger_id not in self._unnoted:
                return
            if why_unnoted:
                telling.delay(why_unnoted)
                self._call(partial(self._hooks.on_verdict, telling.record(), _do_nothing))
            self._handed_out[telling.trigger_id] = _HandedOut(telling, time.monotonic())
            del self._unnoted[telling.trigger_id]  # `_is_finished` finds it in one of the two
            self._outputs.offer(telling)
            self._ledger.hand_out()
        self._ledger.wake()

    def _hand_out_unnoted(self) -> None:
        """Lets the outputs be told NO_VERDICT of the parts whose note does not come in time."""
        now_ns = time.monotonic_ns()
        for telling in list(self._unnoted.values()):
            if now_ns >= telling.trigger.deadline_ns or self._is_over:
                self._hand_out(telling, _SLOW_DISK)

    @property
    def _is_over(self) -> bool:
        return self._ends_s is not None and time.monotonic() >= self._ends_s

    def _record(self) -> None:
        """Records the parts that are told, in order; the others once they have waited a moment."""
        in_order = True
        for handed_out in list(self._handed_out.values()):
            has_answers = self._has_answers(handed_out)
            in_order = in_order and has_answers
            if in_order:
                self._finish(handed_out.telling)
            elif time.monotonic() - handed_out.since_s >= _GRACE_S:
                self._record_pending(handed_out.telling)

    def _has_answers(self, handed_out: _HandedOut) -> bool:
        """Returns whether every output has answered, or has taken too long."""
        telling, since_s = handed_out
        if telling.is_answered:
            return True
        if time.monotonic() - since_s < self._limit_s and not self._is_over:
            return False
        why = f"the output hangs: no answer within {self._limit_s:g} s"
        for name in telling.give_up(why, 0.0 if self._is_over else self._limit_s):
            self._on_error(LineError(f"{name}: {why}"))
        return telling.is_answered

    def _finish(self, telling: Telling) -> None:
        del self._handed_out[telling.trigger_id]
        self._pending.discard(telling.trigger_id)
        record = telling.record()
        self.tally.add(record)
        self._call(partial(self._hooks.on_record, record))
        self._ledger.finish()

    def _record_pending(self, telling: Telling) -> None:
        if telling.trigger_id not in self._pending:
            self._pending.add(telling.trigger_id)
            self._call(partial(self._hooks.on_pending, telling.record()))

    def _call(self, hook: Callable[[], None]) -> None:
        try:
            hook()
        except Exception as error:  # noqa: BLE001 - a defect: told to the pipeline, which stops
            self._on_error(error)

    def _until_next_s(self) -> float:
        """Seconds until the next moment to act, if no verdict comes before."""
        now_s = time.monotonic()
        moments = [one.trigger.deadline_ns / 1e9 for one in list(self._unnoted.values())]
        for telling, since_s in list(self._handed_out.values()):
            is_pending = telling.trigger_id in self._pending
            moment_s = since_s + (self._limit_s if is_pending else _GRACE_S)
            if not is_pending or moment_s > now_s:  # else an output is being told, and wakes this
                moments.append(moment_s)
        moments += [] if self._ends_s is None else [self._ends_s]
        return max(0.0, min([*moments, now_s + _TURN_S]) - now_s)


def _do_nothing() -> None:
    pass
