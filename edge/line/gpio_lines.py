"""The GPIO lines, from request to release."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, Protocol

from edge.line.handshake import NOTHING, Bits
from edge.line.timetable import Timetable, failure_from
from edge.part.signal import Signal
from inspection.config.plugins import Sdk
from inspection.errors import LineError

if TYPE_CHECKING:
    from gpiod import line as gpiod_line
else:
    gpiod_line = Sdk("gpiod.line")

GpioRole = Literal[
    "pass",
    "reject",
    "review",
    "no_verdict",
    "result_valid",
    "ready",
    "busy",
    "fault",
    "heartbeat",
    "gate",
]

GATE: GpioRole = "gate"
LINE_BITS = {str(bit.name).lower(): bit for bit in Bits}

_log = logging.getLogger(__name__)


class LineRequest(Protocol):
    """The used part of `gpiod.LineRequest`."""

    def set_values(self, values: dict[int | str, gpiod_line.Value]) -> None:
        """Sets several lines at once."""

    def release(self) -> None:
        """Releases the lines."""


class Lines:
    """Sets the lines, always on the thread of its timetable.

    After the first error of the driver, or a call of it that takes too long, the lines become
    inactive as soon as the driver answers, and the timetable ends.

    Args:
        name: for messages.
        request: the lines, all inactive; `close` releases them.
        names: line name of each role.
        gate_pulse_ns: length of the pulse of the gate, in nanoseconds.
        timeout_ms: limit of every call.
    """

    def __init__(
        self,
        *,
        name: str,
        request: LineRequest,
        names: Mapping[GpioRole, str],
        gate_pulse_ns: int,
        timeout_ms: float,
    ) -> None:
        self.failure: OSError | None = None
        self._name = name
        self._request = request
        self._names = names
        self._gate_pulse_ns = gate_pulse_ns
        self._timeout_ms = timeout_ms
        self._state, self._verdict, self._beat = NOTHING, NOTHING, NOTHING
        self._gate_is_held = False
        self._gate_until_ns = 0
        self._levels: tuple[dict[GpioRole, bool], int] | None = None
        self._done = threading.Event()  # of the latest `do`
        self._timetable = Timetable(name, self._fail)
        self._timetable.start()

    def do(self, action: Callable[[], None], what: str, due_ns: int = 0) -> None:
        """Runs `action` at `due_ns` on the monotonic clock and waits for its end.

        Raises:
            LineError: it failed, or an earlier one did; the message begins with `what`.
        """
        done = self._done = threading.Event()

        def run() -> None:
            try:
                action()
            except Exception as error:
                # Before the caller wakes, and takes the action for done.
                self.failure = failure_from(error)
                raise
            finally:
                done.set()

        if self.failure is None:  # one that comes from now on wakes this thread
            self._timetable.at(due_ns, run)
            if not done.wait(self._timeout_ms / 1e3):  # `_set` stops the running call
                self.failure = TimeoutError(f"the driver took over {self._timeout_ms:g} ms")
        if self.failure is not None:
            raise LineError(f"{self._name}: {what}: {self.failure}; check the wiring")

    def at(self, due_ns: int, action: Callable[[], None]) -> None:
        """Runs `action` at `due_ns` on the monotonic clock, without waiting for it."""
        self._timetable.at(due_ns, action)

    def drive(self, *, state: Bits | None = None, verdict: Bits | None = None) -> None:
        """Sets the lines; RESULT_VALID changes in a separate step, to frame the verdict."""
        before = self._verdict
        self._state = self._state if state is None else state
        self._verdict = self._verdict if verdict is None else verdict
        self._beat ^= Bits.HEARTBEAT
        steps = (before & ~Bits.RESULT_VALID, self._verdict & ~Bits.RESULT_VALID, self._verdict)
        for step in dict.fromkeys(steps if self._verdict != before else steps[-1:]):
            self._set(step)

    def pulse_gate(self) -> None:
        """Opens the gate for one part, without waiting."""
        self.at(0, self._open_gate)

    def hold_gate(self, *, is_held: bool) -> None:
        """Holds the gate open, or lets it close, without waiting."""
        self._gate_is_held = is_held
        self.at(0, self._set_again)

    def signals(self, chip: str) -> list[Signal]:
        """Returns the lines as they were last set; from any thread."""
        values, at_ns = self._levels or ({}, None)
        return [
            Signal(name, f"{chip} {line}", values.get(role), at_ns)
            for role, line in self._names.items()
            for name in (GATE if role == GATE else str(LINE_BITS[role].name),)
        ]

    def close(self) -> None:
        """Makes all lines inactive and releases them; a driver that hangs does so when it wakes."""
        if self.failure is not None:
            return  # released, or the thread that hangs will release them
        if self._timetable.close(self._timeout_ms / 1e3):
            self._release()
        else:
            self.failure = TimeoutError("the driver hangs")
            _log.error("%s: the driver hangs; its lines stay as they are", self._name)

    def _set(self, verdict: Bits) -> None:
        if self.failure is not None:
            raise self.failure
        bits = self._state | verdict | self._beat
        values = {role: LINE_BITS[role] in bits for role in self._names if role != GATE}
        if GATE in self._names:
            values[GATE] = self._gate_is_held or time.monotonic_ns() < self._gate_until_ns
        self._request.set_values(
            {self._names[role]: gpiod_line.Value(on) for role, on in values.items()}
        )
        self._levels = values, time.monotonic_ns()
        if self.failure is not None:  # too late: the caller no longer waits
            raise self.failure

    def _open_gate(self) -> None:
        self._gate_until_ns = time.monotonic_ns() + self._gate_pulse_ns
        self._set_again()
        self.at(self._gate_until_ns, self._set_again)

    def _set_again(self) -> None:
        self._set(self._verdict)

    def _fail(self, error: OSError) -> None:
        """Notes the failure and ends the timetable; runs on its thread."""
        self.failure = error
        self._release()
        self._done.set()  # its action does not run any more

    def _release(self) -> None:
        try:
            self._request.set_values(dict.fromkeys(self._names.values(), gpiod_line.Value.INACTIVE))
        except OSError as error:
            _log.error("%s: the lines cannot be made inactive: %s", self._name, error)
        self._request.release()
