"""One verdict on its way to the outputs, and what each of them was told."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence

from edge.part.record import NOT_KNOWN, InspectionRecord, Told
from edge.part.trigger import Trigger
from inspection.verdict import Cause, Verdict

BUSY = "the outputs were still busy with earlier parts"


class Telling:
    """A record, and the answers of the outputs to it. Safe for threads.

    Args:
        record: as it was decided.
        outputs: names of those that are to be told.
        on_answered: called once, when the last output has answered.
    """

    def __init__(
        self,
        trigger: Trigger,
        record: InspectionRecord,
        outputs: Sequence[str],
        on_answered: Callable[[], None],
    ) -> None:
        self.trigger = trigger
        self._decided = record
        self._lock = threading.Lock()
        self._told = {name: Told(output=name, error=NOT_KNOWN) for name in outputs}
        self._waiting = set(outputs)
        self._begun: dict[str, tuple[Verdict, float]] = {}  # what each is being told, since when
        self._on_answered = on_answered

    @property
    def trigger_id(self) -> str:
        """Identifies the part."""
        return self.trigger.trigger_id

    @property
    def is_answered(self) -> bool:
        """Whether every output has answered."""
        return not self._waiting

    @property
    def verdict(self) -> Verdict:
        """The decided verdict."""
        return self._decided.verdict

    def delay(self, why: str) -> None:
        """Turns the verdict into NO_VERDICT for all outputs, unless it is one already."""
        self._decided = self._delayed(why)

    def begin(self, output: str) -> InspectionRecord | None:
        """Returns the record for an output that begins to send it; NO_VERDICT when it is overdue.

        None after `give_up`: the record says already that the output was not told.
        """
        with self._lock:
            if output not in self._waiting:
                return None
            is_late = time.monotonic_ns() >= self.trigger.deadline_ns
            message = self._delayed(BUSY) if is_late else self._decided
            self._begun[output] = message.verdict, time.monotonic()
            return message

    def timed(self, message: InspectionRecord) -> InspectionRecord:
        """Returns a record as it leaves now: its total latency says when the part was announced."""
        total_ms = (time.monotonic_ns() - self.trigger.triggered_ns) / 1e6
        latency = message.latency_ms.model_copy(update={"total": total_ms})
        return message.model_copy(update={"latency_ms": latency})

    def answer(self, told: Told) -> None:
        """Notes the answer of an output. One that comes after `give_up` is passed over."""
        with self._lock:
            if told.output not in self._waiting:
                return
            self._told[told.output] = told
            self._waiting.discard(told.output)
            if self._waiting:
                return
        self._on_answered()

    def give_up(self, why: str, limit_s: float) -> list[str]:
        """Answers for the outputs that have not; returns their names.

        Args:
            limit_s: one that is being told has as long to answer.
        """
        now_s = time.monotonic()
        with self._lock:
            began_s = {name: since_s for name, (_, since_s) in self._begun.items()}
            silent = [
                name
                for name in self._told
                if name in self._waiting and now_s - began_s.get(name, -math.inf) >= limit_s
            ]
            self._told |= {name: Told(output=name, error=why) for name in silent}
            self._waiting.difference_update(silent)
        return silent

    def record(self, expected: Told | None = None) -> InspectionRecord:
        """Returns the record with the answers so far.

        Its verdict is the decided one, unless the outputs are told NO_VERDICT alone.

        Args:
            expected: the answer of an output that is about to be told.
        """
        with self._lock:
            told = dict(self._told)
            verdicts = {self._begun[name][0] for name in self._waiting & self._begun.keys()}
        if expected is not None:
            told[expected.output] = expected
        decided = self._decided
        verdicts |= {one.verdict for one in told.values() if one.verdict is not None}
        if verdicts == {Verdict.NO_VERDICT}:
            decided = self._delayed(BUSY)
        return decided.model_copy(update={"told": tuple(told.values())})

    def _delayed(self, why: str) -> InspectionRecord:
        """Returns the record of a verdict that was decided in time and could not leave in time."""
        if self._decided.cause is not None:
            return self._decided
        limit_ms = (self.trigger.deadline_ns - self.trigger.triggered_ns) / 1e6
        return self._decided.model_copy(
            update={
                "verdict": Verdict.NO_VERDICT,
                "cause": Cause.DEADLINE,
                "message": f"no verdict within {limit_ms:g} ms of the trigger: {why}",
                "score": None,
            }
        )
