"""What the machines around a line do to it: dead outputs, floods, silent connections."""

from __future__ import annotations

import itertools
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

from edge.pipeline.settings import RunSettings
from tests.doubles.line_machine import (
    CONTROL_SOCKET,
    HEALTH_PORT,
    OUTPUTS,
    PYTHON,
    RATE_HZ,
    UNIT,
    UNPOLLED_PORT,
    LineMachine,
    now,
)
from tests.doubles.nspawn import SOURCE, wait_until
from tests.doubles.outcome import PARTS, Outcome, inspecting, recovered, stopped

_UNPOLLED = f"  - {{kind: modbus_server, host: 127.0.0.1, port: {UNPOLLED_PORT}}}\n"
_TIMED_PARTS = 60
_CONNECTIONS = 1100
_FLOOD = 3000
_LIMIT_S = RunSettings.limit_s

_ANNOUNCE = """\
import sys
from paho.mqtt import client, enums
one = client.Client(enums.CallbackAPIVersion.VERSION2)
one.connect("127.0.0.1")
one.loop_start()
for number in range(int(sys.argv[2])):
    last = one.publish("parts", f"{sys.argv[1]} {number}")
last.wait_for_publish(60)
one.loop_stop()
"""
_ASK = """\
import pathlib, sys
from edge.station.control import ask
print(ask(pathlib.Path(sys.argv[1]), "state")["ok"])
"""


def output_dead(line: LineMachine) -> Outcome:
    """Serves a PLC that never polls, beside the others: those are told all verdicts in time."""
    inspecting(line)
    line.wait_for_verdicts(_TIMED_PARTS)
    line.stop()
    alone_ms = _latencies_ms(line)
    line.rewrite("outputs:\n", f"outputs:\n{_UNPOLLED}")
    line.start()
    pid = line.pid()
    line.wait_for_verdicts(_TIMED_PARTS, after=now())
    code, answer = line.health()
    assert code == 503
    assert not answer["faults"]
    assert not answer["outputs"]["modbus_server"]["is_up"]
    assert line.pid() == pid
    account = stopped(line)
    for record in line.records():
        for told in record["told"]:
            if told["output"] == "modbus_server":
                assert told["verdict"] is None, "nobody polls"
            else:
                assert told["verdict"] == record["verdict"], f"{told['output']} was told late"
    beside_ms = _latencies_ms(line)[len(alone_ms) :]
    seen = (
        f"goes on; the others were told all verdicts in time: JSON lines {_milliseconds(beside_ms)}"
        f" after the trigger, before without it {_milliseconds(alone_ms)}; /readyz names it"
    )
    return Outcome(None, None, account, seen)


def output_hangs(line: LineMachine) -> Outcome:
    """Lets one output hang for ever: the others go on, with the same process."""
    inspecting(line)
    pid = line.pid()
    line.break_stage("output hang")
    struck_at = line.struck_at()
    wait_until(lambda: "hangs" in line.health()[1]["outputs"]["jsonlines"]["why"])
    line.wait_for_verdicts(PARTS, after=now())
    assert line.pid() == pid
    gaps = [told.at for told in line.verdicts() if told.at > struck_at]
    longest_s = max(after - before for before, after in itertools.pairwise(gaps))
    account = stopped(line)
    assert account.in_hand == 0
    assert line.machine.show(UNIT, "Result") == "success"
    seen = (
        f"goes on: {len(gaps)} verdicts at the PLC within {gaps[-1] - struck_at:.0f} s, pauses of "
        f"{longest_s:.2f} s at most; /readyz names the output after {_LIMIT_S:g} s; orderly stop"
    )
    return Outcome(None, None, account, seen)


def only_output_hangs(line: LineMachine) -> Outcome:
    """Lets the only output hang: the watchdog ends the process."""
    line.rewrite(OUTPUTS, f"{OUTPUTS.splitlines()[1]}\n")
    inspecting(line)
    line.break_stage("plc hang")
    return recovered(line, line.struck_at())


def only_output_dead(line: LineMachine) -> Outcome:
    """Has a single output, for a PLC that never polls: the line says so and goes on."""
    line.rewrite(OUTPUTS, _UNPOLLED)
    line.start(UNIT)
    pid = line.pid()
    wait_until(lambda: len(line.records()) >= _TIMED_PARTS)
    code, answer = line.health()
    output = answer["outputs"]["modbus_server"]
    assert code == 503
    assert not answer["faults"]
    assert not output["is_up"]
    assert line.pid() == pid
    account = stopped(line)
    assert line.machine.show(UNIT, "Result") == "success"
    assert all(told["verdict"] is None for record in line.records() for told in record["told"])
    why = re.sub(r" of \S+;", " of a part;", output["why"])
    seen = f'goes on, with a record of every part; /readyz 503: "{why}"'
    return Outcome(None, None, account, seen)


def flooded_with_triggers(line: LineMachine) -> Outcome:
    """Announces thousands of parts at once through the broker."""
    line.rewrite(f", rate_hz: {RATE_HZ}", "")
    trigger = "trigger: {kind: mqtt, host: 127.0.0.1, topic: parts, client_id: station}\n"
    line.rewrite("outputs:\n", f"{trigger}outputs:\n")
    line.start()
    pid = line.pid()
    _announce_until_judged(line, "before")
    began_at = now()
    line.python(_ANNOUNCE, "flood", str(_FLOOD))
    ended_at = now()
    judged_at = _announce_until_judged(line, "after")
    assert line.pid() == pid
    account = stopped(line)
    assert line.machine.show(UNIT, "Result") == "success"
    journal = line.machine.journal(UNIT)
    parts = int(_only(r'"message": "(\d+) parts:', journal))
    refused = int(_only(r"too many parts waited: (\d+)", journal))
    assert parts == account.records
    seen = (
        f"{_FLOOD} messages in {ended_at - began_at:.1f} s: {refused} were no part any more, "
        "counted; goes on with the same process"
    )
    return Outcome(judged_at - ended_at, None, replace(account, frames=parts), seen)


def silent_connections(line: LineMachine) -> Outcome:
    """Opens connections to every server of the line, and says nothing on them."""
    line.rewrite("outputs:\n", f"outputs:\n{_UNPOLLED}")
    line.start("poller")
    inspecting(line)
    pid = line.pid()
    addresses = (str(UNPOLLED_PORT), str(HEALTH_PORT), CONTROL_SOCKET)
    words = ("env", f"PYTHONPATH={SOURCE}", PYTHON, "-m", "tests.doubles.flooder")
    with line.machine.running(*words, str(_CONNECTIONS), *addresses) as flooder:
        assert flooder.stdout is not None
        assert flooder.stdout.readline() == "connected\n"
        flooded_at = now()
        wait_until(lambda: sum(one.at > flooded_at for one in line.fetched()) >= PARTS)
        line.wait_for_verdicts(PARTS, after=flooded_at)
        assert line.python(_ASK, CONTROL_SOCKET) == "True\n"
        _, answer = line.health()
        descriptors = int(line.machine.run("sh", "-c", f"ls /proc/{pid}/fd | wc -l"))
        first = next(one.at for one in line.fetched() if one.at > flooded_at)
    assert not answer["faults"]
    assert line.pid() == pid
    account = stopped(line)
    seen = (
        f"3 x {_CONNECTIONS} connections, {descriptors} descriptors in use: the PLC that polls, "
        "/readyz and the control socket are served on (the time is until the first verdict there)"
    )
    return Outcome(first - flooded_at, None, account, seen)


PEER_CASES: dict[str, Callable[[LineMachine], Outcome]] = {
    "dead output beside others": output_dead,
    "output hangs beside others": output_hangs,
    "only output hangs": only_output_hangs,
    "only output dead": only_output_dead,
    "flood of MQTT triggers": flooded_with_triggers,
    f"{_CONNECTIONS} silent connections": silent_connections,
}


def _latencies_ms(line: LineMachine) -> list[float]:
    return [one["latency_ms"]["total"] for one in line.json_lines()]


def _milliseconds(values: list[float]) -> str:
    return f"p50 {statistics.median(values):.1f} ms, at most {max(values):.0f} ms"


def _announce_until_judged(line: LineMachine, name: str) -> float:
    """Announces parts until one is judged; returns the time of its verdict at the PLC."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        line.python(_ANNOUNCE, name, "1")
        time.sleep(0.5)  # two at a time would be a flood of their own
        judged = {
            one["trigger_id"]
            for one in line.records()
            if (one["part_id"] or "").startswith(name) and one["cause"] is None
        }
        for told in line.verdicts():
            if told.part in judged:
                return told.at
    raise AssertionError(f"no part {name!r} was judged")


def _only(pattern: str, text: str) -> str:
    (found,) = re.findall(pattern, text)
    return str(found)
