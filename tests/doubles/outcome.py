"""The result of a fault on a line, and the steps that the cases have in common."""

from __future__ import annotations

from dataclasses import dataclass

from inspection.verdict import Cause
from tests.doubles.line_machine import UNIT, Account, LineMachine

PARTS = 8


@dataclass(frozen=True)
class Outcome:
    """The result of a case.

    Attributes:
        recovered_s: time from the fault, or from its end where the line waits for that, to the
            next verdict at the PLC; None where the line goes on, or does not recover.
        safe_s: time from the fault until the PLC no longer considers the station ready; None where
            the station was never ready, or still inspects.
        account: the parts, after the stop of the line.
        seen: further observations.
    """

    recovered_s: float | None
    safe_s: float | None
    account: Account
    seen: str


def inspecting(line: LineMachine) -> None:
    """Starts the line with its peers, and waits for some verdicts."""
    line.start()
    line.wait_for_verdicts(PARTS)


def recovered(line: LineMachine, fault_at: float) -> Outcome:
    """Waits until another process inspects."""
    recovered_s = line.wait_for_recovery_s(fault_at)
    line.wait_for_verdicts(PARTS, after=fault_at)
    result = line.machine.show(UNIT, "NRestarts")
    assert result == "1", f"{result} restarts"
    causes = {record["cause"] for record in line.records()} - {None}
    words = ", ".join(sorted(causes - {Cause.STOPPING.value} or causes))
    seen = f"restarted once{f'; no verdict because of: {words}' if words else ''}"
    safe_s = line.safe_after_s(fault_at)
    return Outcome(recovered_s, safe_s, stopped(line), seen)


def back(line: LineMachine, mended_at: float, seen: str) -> Outcome:
    """Waits until the line inspects again after the end of a fault."""
    line.wait_for_verdicts(PARTS, after=mended_at)
    first = next(told.at for told in line.verdicts() if told.at > mended_at)
    return Outcome(first - mended_at, None, stopped(line), seen)


def stopped(line: LineMachine) -> Account:
    """Stops the line, and counts its parts."""
    line.stop()
    return line.account()
