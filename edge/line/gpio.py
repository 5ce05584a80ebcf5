"""Digital outputs of the device, through the kernel's GPIO character device (libgpiod 2).

Each bit of the handshake may have a line, named as in the device tree. PASS and
REJECT are pulses and never overlap; RESULT_VALID rises after them and falls before them. The gate
opens when a part that is not PASS, NO_VERDICT included, arrives at it; see `edge.line.tracking`.

When the process is killed the kernel releases the lines, and their levels then depend on the driver
and on pull resistors: wire them so that an idle line is safe, and watch the heartbeat.
"""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from edge.encoder import Encoder
from edge.line.base import StationState
from edge.line.gate import GateConfig, register_from_config
from edge.line.gpio_lines import GpioRole, LineRequest, Lines
from edge.line.handshake import NOTHING, STATE_BITS, STATES, VERDICT_BITS, Bits
from edge.line.tracking import Gate, ShiftRegister
from edge.part.record import InspectionRecord
from edge.part.signal import Signal
from edge.peers.addresses import Milliseconds
from inspection.config.claims import Claim, Claimant
from inspection.config.loading import ConfigPath
from inspection.config.plugins import Sdk, require
from inspection.config.resources import gpio_line
from inspection.errors import LineError
from inspection.verdict import Verdict

if TYPE_CHECKING:
    import gpiod
    from gpiod import line as gpiod_line
else:
    gpiod, gpiod_line = Sdk("gpiod"), Sdk("gpiod.line")


_INSTALL = "pip install 'linewarden[gpio]'"


class GpioConfig(Claimant):
    """Drives digital outputs; see `edge.line.gpio`.

    Attributes:
        chip: device file, as /dev/gpiochip0.
        lines: line name of each role; needs pass and reject.
        active_low: names of lines that are active at low level.
        pulse_ms: length of the pulses of a verdict.
        gap_ms: least time between the pulses of two parts.
        gate: tracking of the parts to the gate, where `lines` has one.
        timeout_ms: limit of every call.
    """

    moved_keys: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "gate_delay_ms": "write gate: {travel_ms: ...} instead, which counts from the trigger",
            "gate_pulse_ms": "write gate: {pulse_ms: ...} instead",
        }
    )

    kind: Literal["gpio"]
    chip: ConfigPath
    lines: dict[GpioRole, Annotated[str, Field(min_length=1)]]
    active_low: tuple[str, ...] = ()
    pulse_ms: Milliseconds = 50.0
    gap_ms: Milliseconds = 10.0
    gate: GateConfig | None = None
    timeout_ms: Milliseconds = 100.0

    def claims(self) -> Iterable[Claim]:
        """Returns the claims to the lines."""
        for role, line in self.lines.items():
            yield Claim(("lines", role), gpio_line(self.chip, line))

    @model_validator(mode="after")
    def _two_signals(self) -> GpioConfig:
        if not {"pass", "reject"} <= set(self.lines):
            raise ValueError("lines should have 'pass' and 'reject'")
        if ("gate" in self.lines) != (self.gate is not None):
            raise ValueError("a line of role 'gate' and the section 'gate' belong together")
        if unknown := set(self.active_low) - set(self.lines.values()):
            raise ValueError(f"active_low names {', '.join(sorted(unknown))}, not among the lines")
        return self

    def driver(self, encoder: Encoder | None = None) -> Gpio:
        """Returns the output, not yet opened; raises LineError without the package."""
        require("output 'gpio'", "gpiod", _INSTALL, LineError)
        return Gpio(self, encoder)


class Gpio:
    """Drives the lines; a separate thread ends each pulse at its time.

    Args:
        encoder: the encoder of the line, where the gate's travel is in its counts.
        request_lines: replaces `gpiod.request_lines` in tests.
    """

    def __init__(
        self,
        config: GpioConfig,
        encoder: Encoder | None = None,
        request_lines: Callable[..., LineRequest] | None = None,
    ) -> None:
        self._name = f"gpio {config.chip}"
        self._config = config
        self._gap_ns = round(config.gap_ms * 1e6)
        self._encoder = encoder
        self._gate_is_held = False
        self._is_fault = False
        self._register: ShiftRegister | None = None
        self._request_lines: Callable[..., LineRequest] = request_lines or gpiod.request_lines
        self._lines: Lines | None = None
        self._free_ns = 0  # the end of the last pulse and its gap

    def open(self) -> None:
        """Takes the lines, all inactive.

        Keeps lines that it holds already, and the parts on their way to the gate.
        """
        self._is_fault = False
        self._open_lines()
        if self._config.gate is not None:
            self._open_register(self._config.gate)

    def send(self, record: InspectionRecord) -> None:
        """Raises the lines of one verdict.

        The gate rejects a part whose verdict cannot be shown, a PASS too.
        """
        captured_ns = _captured_ns(record)
        problems: list[str] = []
        is_told = False
        try:
            self._pulse(self._held(f"the verdict of {record.trigger_id} was not told"), record)
            is_told = True
        except LineError as error:
            problems.append(str(error))
        finally:
            is_rejected = not is_told or record.verdict is not Verdict.PASS
            problems += self._track(record.trigger_id, captured_ns, is_rejected=is_rejected)
        if problems:
            raise LineError("; ".join(problems))

    def sort_out(self, record: InspectionRecord) -> None:
        """Has the gate reject a part whose verdict was given up; see `SortsParts`."""
        if problems := self._track(record.trigger_id, _captured_ns(record), is_rejected=True):
            raise LineError("; ".join(problems))

    def show(self, state: StationState) -> None:
        """Drives the lines of the station's state.

        A pulse goes on beside BUSY and READY, and beside a FAULT that goes on. Rejected parts on
        their way are rejected at the gate in every state. During a FAULT the parts that pass the
        camera are unseen, as in `GateConfig`.
        """
        if self._register is not None:
            if state is StationState.FAULT:
                self._register.lose_sight()
            else:
                self._register.see()
        what = f"it was not told that the station is {state.value}"
        lines = self._held(what)
        verdict = NOTHING if state is StationState.FAULT and not self._is_fault else None
        lines.do(partial(lines.drive, state=STATE_BITS[state], verdict=verdict), what)
        self._is_fault = state is StationState.FAULT
        if self._register is not None:
            self._register.report()

    def hold(self, bits: Bits) -> None:
        """Sets the lines of these bits alone, for a test."""
        what = "a test signal was not told"
        lines = self._held(what)
        lines.do(partial(lines.drive, state=bits & STATES, verdict=bits & ~STATES), what)

    def signals(self) -> Sequence[Signal]:
        """Returns the lines as they were last set; none while they are not held."""
        lines = self._lines
        return [] if lines is None else lines.signals(str(self._config.chip))

    def close(self) -> None:
        """Makes all lines inactive and releases them."""
        self._close_register()
        self._close_lines()

    def _open_lines(self) -> None:
        if self._lines is not None and self._lines.failure is None:
            lines = self._lines
            idle = partial(lines.drive, state=NOTHING, verdict=NOTHING)
            lines.do(idle, "the safe state was not told")
            return
        self._close_lines()
        config = {name: self._settings(name) for name in self._config.lines.values()}
        try:
            request = self._request_lines(
                str(self._config.chip), consumer="linewarden", config=config
            )
        except (OSError, ValueError) as error:
            raise LineError(
                f"{self._name}: the lines {', '.join(config)} cannot be taken: {error}; see "
                "`gpioinfo` for their names, and that no other program holds them"
            ) from error
        self._free_ns = 0
        self._lines = Lines(
            name=self._name,
            request=request,
            names=self._config.lines,
            gate_pulse_ns=round(self._config.gate.pulse_ms * 1e6)
            if self._config.gate is not None
            else 0,
            timeout_ms=self._config.timeout_ms,
        )
        self._lines.hold_gate(is_held=self._gate_is_held)
        atexit.register(self.close)

    def _close_lines(self) -> None:
        lines, self._lines = self._lines, None
        if lines is not None:
            atexit.unregister(self.close)
            lines.close()

    def _open_register(self, config: GateConfig) -> None:
        """Tracks parts; after a failure with a new register, which knows no part on its way."""
        if self._register is not None and self._register.failure is None:
            return
        self._close_register()
        gate = Gate(self._pulse_gate, self._hold_gate)
        try:
            register = register_from_config(f"{self._name}: gate", config, gate, self._encoder)
            self._register = register
            register.open()
        except (OSError, LineError) as error:
            self.close()
            raise LineError(
                f"{self._name}: parts cannot be tracked to the gate: {error}"
            ) from error

    def _close_register(self) -> None:
        register, self._register = self._register, None
        if register is not None:
            register.close()

    def _track(self, trigger_id: str, captured_ns: int, *, is_rejected: bool) -> list[str]:
        """Enters a part into the register; returns its failure, or nothing."""
        if self._register is None:
            return []
        try:
            self._register.enter(trigger_id, captured_ns, is_rejected=is_rejected)
        except LineError as error:
            return [str(error)]
        return []

    def _pulse_gate(self) -> None:
        self._held("the gate stays shut").pulse_gate()

    def _hold_gate(self, is_held: bool) -> None:
        self._gate_is_held = is_held
        lines = self._lines
        if lines is not None:
            lines.hold_gate(is_held=is_held)

    def _held(self, what: str) -> Lines:
        if self._lines is None or self._lines.failure is not None:
            why = f" any more ({self._lines.failure})" if self._lines is not None else ""
            raise LineError(f"{self._name}: {what}: the output is not open{why}")
        return self._lines

    def _pulse(self, lines: Lines, record: InspectionRecord) -> None:
        what = f"the verdict of {record.trigger_id} was not told"
        left_ns = self._free_ns - time.monotonic_ns()
        if left_ns > self._config.timeout_ms * 1e6 / 2:  # leaves half of the limit to the driver
            raise LineError(
                f"{self._name}: {what}: the pulse of the part before still lasts; "
                "shorten pulse_ms and gap_ms, or slow the line down"
            )
        bits = Bits.RESULT_VALID | VERDICT_BITS[record.verdict]
        has_begun = False

        def begin() -> None:
            nonlocal has_begun
            if time.monotonic_ns() < self._free_ns:
                return  # the last pulse and its gap ended late
            has_begun = True
            lines.drive(verdict=bits)
            end_ns = time.monotonic_ns() + round(
                self._config.pulse_ms * 1e6
            )  # keeps the full length when it starts late
            self._free_ns = end_ns + self._gap_ns
            lines.at(end_ns, end)

        def end() -> None:
            lines.drive(verdict=NOTHING)
            self._free_ns = time.monotonic_ns() + self._gap_ns

        while not has_begun:
            lines.do(begin, what, self._free_ns)

    def _settings(self, name: str) -> gpiod.LineSettings:
        return gpiod.LineSettings(
            direction=gpiod_line.Direction.OUTPUT,
            output_value=gpiod_line.Value.INACTIVE,
            active_low=name in self._config.active_low,
        )


def _captured_ns(record: InspectionRecord) -> int:
    """Returns when the part of a record that leaves now was announced, on the monotonic clock."""
    return time.monotonic_ns() - round(record.latency_ms.total * 1e6)
