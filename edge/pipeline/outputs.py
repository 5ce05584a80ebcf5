"""The outputs to the line: each has a queue and a thread of its own.

So an output that is away, slow or hung costs the others nothing.
"""

from __future__ import annotations

import functools
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from edge.line.base import LineOutput, NotTakenError, SortsParts, StationState
from edge.line.link import Link, linked
from edge.part.record import InspectionRecord, Told
from edge.pipeline.ledger import PARTS_MAX
from edge.pipeline.settings import OnVerdict, RunSettings
from edge.pipeline.status import OutputStatus
from edge.pipeline.telling import Telling
from inspection.errors import LineError
from inspection.verdict import Verdict

HEARTBEAT_S = 0.3
# Verdicts: as many as an output that works may be behind, and may be noted at once. With more, the
# line has long missed the first ones.
QUEUE_MAX = 2 * PARTS_MAX

_OPEN_LIMIT_S = 60.0  # a name server that does not answer holds `open` up for so long
_NOTE_LIMIT_S = 0.1  # a NO_VERDICT does not wait longer for a slow disk

_log = logging.getLogger(__name__)


class OutputThread:
    """Tells one output the verdicts in order, and between them the state of the station.

    A verdict whose deadline has passed when its turn comes is told as NO_VERDICT: the line would
    take it for that of the next part. When more verdicts wait than `QUEUE_MAX`, or the output
    hangs, all that wait are given up. The output then shows FAULT for a moment: the line counts its
    parts anew from the next READY (`edge.line.handshake`). An output that sorts the parts itself
    rejects those whose verdict was given up.

    An output that did not take a verdict is down until it takes one, or for `settings.limit_s`: a
    server that nobody polls can be opened and shows every state.

    READY rises when no part is in hand: the line takes the first number after READY for its next
    part (docs/decisions/0008-ready-with-empty-hands.md).

    Args:
        name: of the output, in records, status and log.
        state: returns the state of the station.
        has_parts: returns whether parts have a trigger, and no verdict at the outputs yet.
        on_verdict: see `Hooks`.
        on_error: receives each LineError, and every error that is a defect of the program.

    Attributes:
        turned_ns: start of the present turn, on the monotonic clock, or the time by which the
            output must be open; None while the thread does not run.
    """

    def __init__(
        self,
        name: str,
        output: LineOutput,
        *,
        state: Callable[[], StationState],
        has_parts: Callable[[], bool],
        on_verdict: OnVerdict,
        on_error: Callable[[Exception], None],
        settings: RunSettings,
    ) -> None:
        self.turned_ns: int | None = None
        self._name = name
        self._link = linked(output, settings.longest_pause_s)
        self._sorter = output if isinstance(output, SortsParts) else None
        self._state = state
        self._has_parts = has_parts
        self._deadline_s = settings.parts.deadline_ns / 1e9
        self._ready_since: float | None = None
        self._on_verdict = on_verdict
        self._on_error = on_error
        self._limit_s = settings.limit_s
        self._waits_to_open = settings.waits_to_open
        self._late = 0
        self._undelivered = 0
        self._why = "it is being opened"
        self._refused_until = 0.0
        self._has_tried = False
        self._shown: StationState | None = None
        self._shown_at = 0.0
        self._changed = threading.Condition()
        self._queue: deque[Telling] = deque()
        self._has_given_up = False
        self._unsorted: deque[Telling] = deque(maxlen=2 * QUEUE_MAX)  # of those given up
        self._fault_until = 0.0
        self._ended = False
        self._opened: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"output {name}", daemon=True)

    @property
    def status(self) -> OutputStatus:
        """The state of the output; from any thread."""
        hangs = self._hangs
        return OutputStatus(
            is_up=self._has_tried and self._link.is_up and not hangs and not self._has_refused,
            why=self._hang_message if hangs else self._why,
            waiting=len(self._queue),
            late=self._late,
            undelivered=self._undelivered,
        )

    def start(self) -> None:
        """Begins to open the output."""
        self.turned_ns = time.monotonic_ns() + round(_OPEN_LIMIT_S * 1e9)
        self._thread.start()

    def wait_until_open(self) -> None:
        """Waits until the output is open; returns at once where the line goes on without it.

        Raises:
            LineError: it cannot be opened.
        """
        if self._waits_to_open:
            return
        try:
            error = self._opened.get(timeout=_OPEN_LIMIT_S)
        except queue.Empty:
            raise LineError(f"{self._name}: not open within {_OPEN_LIMIT_S:g} s") from None
        if error is not None:
            raise error

    def offer(self, telling: Telling) -> None:
        """Takes over a verdict without waiting; the telling gets its answer in time."""
        with self._changed:
            self._queue.append(telling)
            if len(self._queue) <= QUEUE_MAX and not self._hangs:
                self._changed.notify()
                return
            given_up = list(self._queue)
            self._queue.clear()
            self._unsorted += given_up
            was_told, self._has_given_up = self._has_given_up, True
        why = self._hang_message if self._hangs else f"{QUEUE_MAX} verdicts waited for the output"
        if not was_told:
            _log.error("%s: gives up the verdicts that wait for it: %s", self._name, why)
        for one in given_up:
            self._answer(one, Told(output=self._name, error=why))

    def end(self) -> None:
        """Ends the thread once it has told the waiting verdicts, and closed the output."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def join(self, limit_s: float) -> None:
        """Waits for the end of the thread."""
        if self._thread.ident is not None:
            self._thread.join(limit_s)

    @property
    def _hangs(self) -> bool:
        turned_ns = self.turned_ns
        return turned_ns is not None and time.monotonic_ns() - turned_ns > self._limit_s * 1e9

    @property
    def _has_refused(self) -> bool:
        """Whether the latest verdict was not taken, a moment ago."""
        return time.monotonic() < self._refused_until

    @property
    def _hang_message(self) -> str:
        return f"the output hangs: no answer within {self._limit_s:g} s"

    def _run(self) -> None:
        error = self._open()
        self._has_tried = True
        self._opened.put(error)
        if error is None or (self._waits_to_open and isinstance(error, LineError)):
            while not (self._ended and not self._queue):
                self.turned_ns = time.monotonic_ns()
                try:
                    self._turn()
                except Exception as error:  # noqa: BLE001 - a defect: told to the pipeline
                    self._on_error(error)
        self.turned_ns = None
        self._attempt(self._link.close, "the end")

    def _open(self) -> Exception | None:
        try:
            self._link.open()
        except Exception as error:  # noqa: BLE001 - raised by `wait_until_open`, or told
            self._why = str(error)
            if self._waits_to_open:
                _log.warning("the line starts without an output: %s", error)
                if not isinstance(error, LineError):
                    self._on_error(error)
            return error
        self._why = ""
        return None

    def _turn(self) -> None:
        telling = self._next()
        if telling is not None and isinstance(self._link, Link):
            # May take long: only then is it known whether the verdict is late.
            self._attempt(self._link.mend, telling.trigger_id)
        message = telling.begin(self._name) if telling is not None else None
        if telling is not None and message is not None:
            self._answer(telling, self._tell(telling, message))
        elif telling is not None:
            self._undelivered += 1
            self._unsorted.append(telling)
            self._count_anew()
        self._sort_out()
        self._show()

    def _next(self) -> Telling | None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._queue or self._has_given_up or self._ended, HEARTBEAT_S
            )
            if self._has_given_up:
                self._has_given_up = False
                self._count_anew()
                return None  # FAULT first: the next verdict has the number of one given up
            return self._queue.popleft() if self._queue else None

    def _count_anew(self) -> None:
        """Shows FAULT for a moment: verdicts without a number were given up."""
        self._fault_until = time.monotonic() + HEARTBEAT_S

    def _sort_out(self) -> None:
        """Has the output reject the parts whose verdict was given up, if it sorts them itself."""
        while self._unsorted:
            telling = self._unsorted.popleft()
            if self._sorter is not None:
                record = telling.timed(telling.record())
                sort_out = functools.partial(self._sorter.sort_out, record)
                self._attempt(sort_out, telling.trigger_id)

    def _tell(self, telling: Telling, message: InspectionRecord) -> Told:
        if message.verdict is not telling.verdict:
            self._late += 1
            self._note_late(telling)
        send = functools.partial(self._link.send, telling.timed(message))
        try:
            why = self._attempt(send, telling.trigger_id)
        except NotTakenError as error:
            return Told(output=self._name, error=str(error))
        if why:
            self._refused_until = time.monotonic() + self._limit_s
            return Told(output=self._name, error=why)
        self._refused_until = 0.0
        self._note_recovery()
        return Told(output=self._name, verdict=message.verdict)

    def _note_late(self, telling: Telling) -> None:
        """Notes that this output is about to be told NO_VERDICT, so that no kill can hide it."""
        noted = threading.Event()
        expected = Told(output=self._name, verdict=Verdict.NO_VERDICT)
        self._on_verdict(telling.record(expected), noted.set)
        noted.wait(_NOTE_LIMIT_S)

    def _show(self) -> None:
        """Shows a new state at once, and the same one repeatedly as the heartbeat.

        FAULT too: a line that sees a still heartbeat looks for a dead station.
        """
        now = time.monotonic()
        state = StationState.FAULT if now < self._fault_until else self._state()
        is_due = now - self._shown_at >= HEARTBEAT_S
        is_rising = state is StationState.READY and self._shown is not state
        if not is_rising:
            self._ready_since = None
        if (state is self._shown and not is_due) or (is_rising and not self._may_become_ready(now)):
            return
        self._shown_at = now
        error = self._attempt(functools.partial(self._link.show, state), state.value)
        if not error and not self._has_refused:
            self._note_recovery()
        # One that comes back is shown the state at once: with READY the line counts its parts anew.
        self._shown = state if self._link.is_up else None

    def _may_become_ready(self, now: float) -> bool:
        """Returns whether the line can count its parts from now on.

        It would take the verdict of a part in hand for that of its next one. All parts that were in
        hand when the station became READY have their verdict after the deadline; what is in hand
        or waits here then comes from a line that triggers without READY, and READY must not wait
        for ever.
        """
        if self._ready_since is None:
            self._ready_since = now
        is_overdue = now - self._ready_since >= self._deadline_s
        # In this order: a part that leaves the hand is in the queue by then.
        if not is_overdue and self._has_parts():
            return False
        with self._changed:
            first_ns = self._queue[0].trigger.triggered_ns if self._queue else None
        return first_ns is None or (is_overdue and first_ns > self._ready_since * 1e9)

    def _attempt(self, call: Callable[[], None], what: str) -> str:
        """Calls the output; returns its error, or an empty text.

        Raises:
            NotTakenError: the line need not take the verdict; the output works.
        """
        try:
            call()
        except NotTakenError:
            raise
        except Exception as error:  # noqa: BLE001 - a defect is told to the pipeline, which stops
            self._on_error(error)
            self._note_failure(what, str(error) if isinstance(error, LineError) else repr(error))
            return self._why
        return ""

    def _note_recovery(self) -> None:
        if self._why and self._link.is_up:
            message = "%s: works again; %d verdicts were not delivered"
            _log.warning(message, self._name, self._undelivered)
            self._why = ""

    def _note_failure(self, what: str, why: str) -> None:
        """Logs the first failure in a row; each verdict that is not delivered is in its record."""
        if not self._why:
            _log.warning("%s: not delivered to %s: %s", what, self._name, why)
        self._why = why

    def _answer(self, telling: Telling, told: Told) -> None:
        self._undelivered += told.verdict is None
        telling.answer(told)


class Outputs:
    """All outputs of a line; see `OutputThread` for the arguments."""

    def __init__(
        self,
        outputs: Mapping[str, LineOutput],
        *,
        state: Callable[[], StationState],
        has_parts: Callable[[], bool],
        on_verdict: OnVerdict,
        on_error: Callable[[Exception], None],
        settings: RunSettings,
    ) -> None:
        self._threads = {
            name: OutputThread(
                name,
                output,
                state=state,
                has_parts=has_parts,
                on_verdict=on_verdict,
                on_error=on_error,
                settings=settings,
            )
            for name, output in outputs.items()
        }
        self._limit_s = settings.limit_s

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in the order of the configuration."""
        return tuple(self._threads)

    @property
    def status(self) -> dict[str, OutputStatus]:
        """The state of each output; from any thread."""
        return {name: thread.status for name, thread in self._threads.items()}

    @property
    def turned_ns(self) -> int | None:
        """The latest turn of any output: while one works, the line goes on without the others."""
        turns = [thread.turned_ns for thread in self._threads.values()]
        return max((turn for turn in turns if turn is not None), default=None)

    @property
    def are_behind(self) -> bool:
        """Whether every output that works has so many verdicts waiting that no more should come."""
        queues = [status.waiting for status in self.status.values() if status.is_up]
        return min(queues, default=0) >= PARTS_MAX

    def open(self, stack: ExitStack) -> None:
        """Opens the outputs, all at once; `stack` closes them.

        Raises:
            LineError: one cannot be opened, and the line does not wait for it.
        """
        stack.callback(self._close)
        for thread in self._threads.values():
            thread.start()
        for thread in self._threads.values():
            thread.wait_until_open()

    def offer(self, telling: Telling) -> None:
        """Hands a verdict to every output, without waiting."""
        for thread in self._threads.values():
            thread.offer(telling)

    def _close(self) -> None:
        """Ends all threads; those that hang have one common limit, and end with the process."""
        ends_s = time.monotonic() + self._limit_s
        for thread in self._threads.values():
            thread.end()
        for thread in self._threads.values():
            thread.join(max(0.0, ends_s - time.monotonic()))
