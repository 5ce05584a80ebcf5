"""The faults of a line under systemd, and the measurements of each."""

from __future__ import annotations

import random
import signal
import statistics
import time
from collections.abc import Callable

from edge.line.handshake import Bits
from tests.doubles.faulty import STAGES
from tests.doubles.file_faults import FILE_CASES
from tests.doubles.line_machine import RATE_HZ, UNIT, LineMachine, now
from tests.doubles.nspawn import wait_until
from tests.doubles.outcome import PARTS, Outcome, back, inspecting, recovered, stopped
from tests.doubles.peer_faults import PEER_CASES

_KILLS = 20
_KILLED_RATE_HZ = 40


def killed(line: LineMachine) -> Outcome:
    """Kills the process (SIGKILL)."""
    return _signalled(line, signal.SIGKILL)


def killed_often(line: LineMachine) -> Outcome:
    """Kills the process at random moments, at a higher rate of parts."""
    line.rewrite(f"rate_hz: {RATE_HZ}", f"rate_hz: {_KILLED_RATE_HZ}")
    inspecting(line)
    took_s = []
    for _ in range(_KILLS):
        time.sleep(random.random())
        at = now()
        line.machine.run("kill", f"-{signal.SIGKILL.value}", line.pid())
        took_s.append(line.wait_for_recovery_s(at))
    line.wait_for_verdicts(PARTS, after=now())
    account = stopped(line)
    seen = f"{account.compared} verdicts at PLC and JSON lines, each that of its record"
    return Outcome(statistics.median(took_s), None, account, seen)


def frozen(line: LineMachine) -> Outcome:
    """Freezes the process (SIGSTOP)."""
    return _signalled(line, signal.SIGSTOP)


def fails_in(stage: str, action: str) -> Callable[[LineMachine], Outcome]:
    """Lets a stage fail."""

    def case(line: LineMachine) -> Outcome:
        inspecting(line)
        line.break_stage(f"{stage} {action}")
        return recovered(line, line.struck_at())

    return case


def archive_fails(line: LineMachine) -> Outcome:
    """Lets the archive fail: the line goes on, with the same process."""
    inspecting(line)
    pid = line.pid()
    line.break_stage("archive raise")
    struck_at = line.struck_at()
    line.wait_for_verdicts(PARTS, after=struck_at)
    assert line.pid() == pid
    first = next(told.at for told in line.verdicts() if told.at > struck_at)
    return Outcome(first - struck_at, None, stopped(line), "goes on; counted and logged")


def crash_loop(line: LineMachine) -> Outcome:
    """Lets every start fail until systemd gives up (after five, in this case)."""
    line.override("[Unit]\nStartLimitBurst=5\n")
    inspecting(line)
    line.break_stage("camera raise always")
    struck_at = line.struck_at()
    wait_until(lambda: line.machine.show(UNIT, "ActiveState") == "failed")
    safe = "linewarden-safe@press3.service"
    wait_until(lambda: line.machine.show(safe, "ExecMainExitTimestampMonotonic") != "0")
    assert line.machine.show(safe, "Result") == "success"
    assert Bits.READY not in line.told()[-1].bits
    safe_s = line.safe_after_s(struck_at)
    restarts = line.machine.show(UNIT, "NRestarts")
    return Outcome(None, safe_s, stopped(line), f"failed after {restarts} restarts; OnFailure= ran")


def slow_start(line: LineMachine) -> Outcome:
    """Loads the engine for 20 s with TimeoutStartSec=5: the process asks for more time."""
    line.override("[Service]\nTimeoutStartSec=5\n")
    line.break_stage("start slow")
    started_at = now()
    inspecting(line)
    assert line.machine.show(UNIT, "NRestarts") == "0"
    first = line.verdicts()[0].at
    return Outcome(
        first - started_at, None, stopped(line), "one start; the time limit was extended"
    )


def terminated(line: LineMachine) -> Outcome:
    """Sends SIGTERM during an inspection: the part gets its verdict first."""
    inspecting(line)
    line.break_stage("engine nap")
    struck_at = line.struck_at()
    account = stopped(line)
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
    return back(line, now(), "active and waiting; FAULT shown until it came")


def broker_absent(line: LineMachine) -> Outcome:
    """Starts without a broker, which appears later: the line inspects and tells the PLC."""
    line.start("plc", UNIT)
    line.wait_for_verdicts(PARTS)
    wait_until(lambda: line.waiting() >= PARTS)
    line.start("mosquitto")
    came_at = now()
    wait_until(lambda: line.waiting() < PARTS)
    took_s = now() - came_at
    seen = "inspected without it, its verdicts stored; the time is until the broker had them"
    return Outcome(took_s, None, stopped(line), seen)


def plc_absent(line: LineMachine) -> Outcome:
    """Starts without a PLC, which appears later."""
    line.start("mosquitto", UNIT)
    wait_until(lambda: len(line.records()) >= PARTS)
    line.start("plc")
    return back(line, now(), "inspected without it; connected when it came")


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
    return back(line, now(), "exit code 4 at each start; never ready until it was mended")


CASES: dict[str, Callable[[LineMachine], Outcome]] = {
    "kill -9": killed,
    f"kill -9, {_KILLS} times": killed_often,
    "SIGSTOP": frozen,
    "engine spins (busy loop)": fails_in("engine", "spin"),
    "engine holds the interpreter": fails_in("engine", "hold"),
    "camera thread hangs": fails_in("camera", "hang"),
    **{
        f"exception in {stage}": fails_in(stage, "raise")
        for stage in STAGES
        if stage not in {"start", "plc", "record", "archive"}
    },
    "exception in archive": archive_fails,
    "crash loop": crash_loop,
    "slow start": slow_start,
    "SIGTERM during an inspection": terminated,
    "camera absent at boot": camera_absent,
    "broker absent at boot": broker_absent,
    "PLC absent at boot": plc_absent,
    "corrupted bundle at boot": bundle_corrupted,
    **PEER_CASES,
    **FILE_CASES,
}


def _signalled(line: LineMachine, number: signal.Signals) -> Outcome:
    inspecting(line)
    at = now()
    line.machine.run("kill", f"-{number.value}", line.pid())
    return recovered(line, at)
