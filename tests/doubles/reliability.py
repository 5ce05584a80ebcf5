"""The faults of a line under systemd, and the measurements of each."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from edge.line.handshake import Bits
from inspection.verdict import Cause
from tests.doubles.faulty import STAGES
from tests.doubles.line_machine import UNIT, Account, LineMachine, now
from tests.doubles.nspawn import wait_until

_PARTS = 8


@dataclass(frozen=True)
class Outcome:
    """The result of a case.

    Attributes:
        recovered_s: time from the fault, or from its end where the line waits for that, to the
            next verdict at the PLC; None where the line does not recover.
        safe_s: time from the fault until the PLC no longer considers the station ready; None where
            the station was never ready, or still inspects.
        account: the parts, after the stop of the line.
        seen: further observations.
    """

    recovered_s: float | None
    safe_s: float | None
    account: Account
    seen: str


def killed(line: LineMachine) -> Outcome:
    """Kills the process (SIGKILL)."""
    return _signalled(line, signal.SIGKILL)


def stopped(line: LineMachine) -> Outcome:
    """Freezes the process (SIGSTOP)."""
    return _signalled(line, signal.SIGSTOP)


def fails_in(stage: str, action: str) -> Callable[[LineMachine], Outcome]:
    """Lets a stage fail."""

    def case(line: LineMachine) -> Outcome:
        _inspecting(line)
        line.break_stage(f"{stage} {action}")
        return _recovered(line, line.struck_at())

    return case


def output_hangs(line: LineMachine) -> Outcome:
    """Lets an output hang: the process ends in order and counts every part."""
    _inspecting(line)
    line.break_stage("output hang")
    outcome = _recovered(line, line.struck_at())
    summaries = re.findall(r'"message": "(\d+) parts:', line.machine.journal(UNIT))
    assert len(summaries) == 2  # one of each process
    assert sum(map(int, summaries)) == outcome.account.frames
    assert outcome.account.in_hand == 0
    return replace(outcome, seen="ended in order, with a record of every part")


def archive_fails(line: LineMachine) -> Outcome:
    """Lets the archive fail: the line goes on, with the same process."""
    _inspecting(line)
    pid = line.pid()
    line.break_stage("archive raise")
    struck_at = line.struck_at()
    line.wait_for_verdicts(_PARTS, after=struck_at)
    assert line.pid() == pid
    first = next(told.at for told in line.verdicts() if told.at > struck_at)
    return Outcome(first - struck_at, None, _stop(line), "goes on; counted and logged")


def crash_loop(line: LineMachine) -> Outcome:
    """Lets every start fail until systemd gives up (after five, in this case)."""
    line.override("[Unit]\nStartLimitBurst=5\n")
    _inspecting(line)
    line.break_stage("camera raise always")
    struck_at = line.struck_at()
    wait_until(lambda: line.machine.show(UNIT, "ActiveState") == "failed")
    safe = "linewarden-safe@press3.service"
    wait_until(lambda: line.machine.show(safe, "ExecMainExitTimestampMonotonic") != "0")
    assert line.machine.show(safe, "Result") == "success"
    assert Bits.READY not in line.told()[-1].bits
    safe_s = line.safe_after_s(struck_at)
    restarts = line.machine.show(UNIT, "NRestarts")
    return Outcome(None, safe_s, _stop(line), f"failed after {restarts} restarts; OnFailure= ran")


def slow_start(line: LineMachine) -> Outcome:
    """Loads the engine for 20 s with TimeoutStartSec=5: the process asks for more time."""
    line.override("[Service]\nTimeoutStartSec=5\n")
    line.break_stage("start slow")
    started_at = now()
    _inspecting(line)
    assert line.machine.show(UNIT, "NRestarts") == "0"
    first = line.verdicts()[0].at
    return Outcome(first - started_at, None, _stop(line), "one start; the time limit was extended")


def terminated(line: LineMachine) -> Outcome:
    """Sends SIGTERM during an inspection: the part gets its verdict first."""
    _inspecting(line)
    line.break_stage("engine nap")
    struck_at = line.struck_at()
    account = _stop(line)
    assert account.in_hand == 0
    assert account.no_verdicts == 0
    assert line.machine.show(UNIT, "Result") == "success"
    safe_s = line.safe_after_s(struck_at)
    return Outcome(None, safe_s, account, "the part in hand got its verdict; orderly stop")


def camera_absent(line: LineMachine) -> Outcome:
    """Starts without a camera, which appears after five seconds."""
    line.move("parts", "unplugged")
    line.start()
    time.sleep(5)
    assert not any(Bits.READY in told.bits for told in line.told()), "ready without a camera"
    assert line.machine.show(UNIT, "ActiveState") == "active"
    line.move("unplugged", "parts")
    return _back(line, now(), "active and waiting; FAULT shown until it came")


def broker_absent(line: LineMachine) -> Outcome:
    """Starts without a broker, which appears later: the line inspects and tells the PLC."""
    line.start("plc", UNIT)
    line.wait_for_verdicts(_PARTS)
    wait_until(lambda: line.waiting() >= _PARTS)
    line.start("mosquitto")
    came_at = now()
    wait_until(lambda: line.waiting() < _PARTS)
    took_s = now() - came_at
    seen = "inspected without it, its verdicts stored; the time is until the broker had them"
    return Outcome(took_s, None, _stop(line), seen)


def plc_absent(line: LineMachine) -> Outcome:
    """Starts without a PLC, which appears later."""
    line.start("mosquitto", UNIT)
    wait_until(lambda: len(line.records()) >= _PARTS)
    line.start("plc")
    return _back(line, now(), "inspected without it; connected when it came")


def bundle_corrupted(line: LineMachine) -> Outcome:
    """Starts with a wrong byte in the model, which the case corrects after some attempts."""
    path = line.bundle_file("model.onnx")
    genuine = path.read_bytes()
    path.write_bytes(genuine[:-1] + bytes([genuine[-1] ^ 1]))
    line.start("plc", "mosquitto")
    line.machine.run("systemctl", "start", "--no-block", UNIT)
    wait_until(lambda: int(line.machine.show(UNIT, "NRestarts")) >= 2)
    assert "code=exited, status=4" in line.machine.journal(UNIT)
    assert not any(Bits.READY in told.bits for told in line.told())
    path.write_bytes(genuine)
    return _back(line, now(), "exit code 4 at each start; never ready until it was mended")


CASES: dict[str, Callable[[LineMachine], Outcome]] = {
    "kill -9": killed,
    "SIGSTOP": stopped,
    "engine spins (busy loop)": fails_in("engine", "spin"),
    "engine holds the interpreter": fails_in("engine", "hold"),
    "camera thread hangs": fails_in("camera", "hang"),
    "output hangs": output_hangs,
    **{
        f"exception in {stage}": fails_in(stage, "raise")
        for stage in STAGES
        if stage not in {"start", "record", "archive"}
    },
    "exception in archive": archive_fails,
    "crash loop": crash_loop,
    "slow start": slow_start,
    "SIGTERM during an inspection": terminated,
    "camera absent at boot": camera_absent,
    "broker absent at boot": broker_absent,
    "PLC absent at boot": plc_absent,
    "corrupted bundle at boot": bundle_corrupted,
}


def _inspecting(line: LineMachine) -> None:
    line.start()
    line.wait_for_verdicts(_PARTS)


def _signalled(line: LineMachine, number: signal.Signals) -> Outcome:
    _inspecting(line)
    at = now()
    line.machine.run("kill", f"-{number.value}", line.pid())
    return _recovered(line, at)


def _recovered(line: LineMachine, fault_at: float) -> Outcome:
    wait_until(lambda: line.recovered_after_s(fault_at) is not None, 120)
    line.wait_for_verdicts(_PARTS, after=fault_at)
    result = line.machine.show(UNIT, "NRestarts")
    assert result == "1", f"{result} restarts"
    causes = {record["cause"] for record in line.records()} - {None}
    words = ", ".join(sorted(causes - {Cause.STOPPING.value} or causes))
    seen = f"restarted once{f'; no verdict because of: {words}' if words else ''}"
    safe_s, recovered_s = line.safe_after_s(fault_at), line.recovered_after_s(fault_at)
    return Outcome(recovered_s, safe_s, _stop(line), seen)


def _back(line: LineMachine, mended_at: float, seen: str) -> Outcome:
    line.wait_for_verdicts(_PARTS, after=mended_at)
    first = next(told.at for told in line.verdicts() if told.at > mended_at)
    return Outcome(first - mended_at, None, _stop(line), seen)


def _stop(line: LineMachine) -> Account:
    line.stop()
    return line.account()
