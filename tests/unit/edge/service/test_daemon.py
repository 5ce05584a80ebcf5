"""The messages of a line to systemd."""

import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge.pipeline.status import OutputStatus, PipelineStatus
from edge.service.daemon import (
    LOAD_LIMIT_S,
    Daemon,
    Notifier,
    status_line,
    watchdog_s_from_environment,
)

OUTPUTS = {"modbus": OutputStatus(is_up=True), "mqtt": OutputStatus(is_up=True)}
MQTT_IS_DOWN = {**OUTPUTS, "mqtt": OutputStatus(is_up=False, why="no broker")}
WELL = PipelineStatus(True, (), (), OUTPUTS, 12, 1, 0, 0, 0, 0)


class Heard(Notifier):
    """Keeps the messages; drops them without room."""

    def __init__(self) -> None:
        super().__init__("")
        self.messages: list[dict[str, object]] = []
        self.has_room = True

    def send(self, **variables: object) -> bool:
        if self.has_room:
            self.messages.append(variables)
        return self.has_room


@pytest.fixture
def clock() -> list[float]:
    return [100.0]


def daemon(heard: Heard, clock: list[float], watchdog_s: float = 3.0) -> Daemon:
    return Daemon(heard, watchdog_s, clock=lambda: clock[0])


def test_ready_is_sent_at_the_first_turn_only(clock: list[float]) -> None:
    heard = Heard()
    subject = daemon(heard, clock)
    subject.loading()
    for _ in range(3):
        subject.report(WELL)
        clock[0] += 1
    assert [sorted(message) for message in heard.messages] == [
        ["EXTEND_TIMEOUT_USEC", "STATUS"],
        ["READY"],
        ["STATUS", "WATCHDOG"],
        ["STATUS", "WATCHDOG"],
        ["STATUS", "WATCHDOG"],
    ]


def test_ready_is_sent_again_after_a_dropped_message(clock: list[float]) -> None:
    heard = Heard()
    subject = daemon(heard, clock)
    heard.has_room = False
    subject.report(WELL)
    heard.has_room = True
    clock[0] += 1
    subject.report(WELL)
    assert {"READY": 1} in heard.messages


@pytest.mark.parametrize(("watchdog_s", "told"), [(0.3, 10), (3.0, 1), (0.0, 1)])
def test_a_sign_of_life_goes_out_three_times_in_the_watchdogs_time(
    clock: list[float], watchdog_s: float, told: int
) -> None:
    heard = Heard()
    subject = daemon(heard, clock, watchdog_s)
    for _ in range(100):
        subject.report(WELL)
        clock[0] += 0.01
    assert sum("WATCHDOG" in message for message in heard.messages) == pytest.approx(told, abs=1)


def test_the_status_is_new_every_second_however_long_the_watchdog_waits(
    clock: list[float],
) -> None:
    heard = Heard()
    subject = daemon(heard, clock, watchdog_s=60.0)
    for _ in range(10):
        subject.report(WELL)
        clock[0] += 1
    assert sum("STATUS" in message for message in heard.messages) == 10


def test_a_stage_that_hangs_stops_the_sign_of_life(clock: list[float]) -> None:
    heard = Heard()
    daemon(heard, clock).report(replace(WELL, stalled=("delivery",), faults=("delivery hangs",)))
    assert not any("WATCHDOG" in message for message in heard.messages)
    assert heard.messages[-1] == {
        "STATUS": "not inspecting (delivery hangs): 12 parts, 1 without a verdict"
    }


def test_the_end_of_the_loop_is_the_beginning_of_the_stop(clock: list[float]) -> None:
    heard = Heard()
    subject = daemon(heard, clock)
    subject.report(WELL)
    subject.report(replace(WELL, is_running=False))
    assert heard.messages[-1] == {"STOPPING": 1, "STATUS": "stopping"}


def test_the_status_is_for_people() -> None:
    waiting = replace(WELL, faults=("view main: the camera is lost",), outputs=MQTT_IS_DOWN)
    assert status_line(waiting) == (
        "not inspecting (view main: the camera is lost): 12 parts, 1 without a verdict; "
        "outputs down: 1 of 2 (mqtt: no broker)"
    )


def test_the_watchdog_of_another_process_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "10000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert watchdog_s_from_environment() == 10
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert watchdog_s_from_environment() == 0
    monkeypatch.delenv("WATCHDOG_USEC")
    monkeypatch.delenv("WATCHDOG_PID")
    assert watchdog_s_from_environment() == 0


@pytest.fixture(params=["file", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A stand-in for systemd, and its address as in NOTIFY_SOCKET."""
    address = str(tmp_path / "s") if request.param == "file" else f"@linewarden-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address.replace("@", "\0"))
        listener.settimeout(10)
        yield listener, address


def test_one_message_is_one_datagram(
    manager: tuple[socket.socket, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    listener, address = manager
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notifier = Notifier.from_environment()
    assert notifier.send(READY=1, STATUS="inspecting: 3 parts")
    assert listener.recv(4096) == b"READY=1\nSTATUS=inspecting: 3 parts"
    Daemon(notifier, 0).loading()
    assert listener.recv(4096).endswith(b"\nEXTEND_TIMEOUT_USEC=%d" % (LOAD_LIMIT_S * 1e6))
    notifier.close()


def test_a_manager_that_does_not_read_stops_nobody(manager: tuple[socket.socket, str]) -> None:
    _, address = manager
    notifier = Notifier(address)
    started = time.monotonic()
    sent = [notifier.send(WATCHDOG=1) for _ in range(2000)]
    assert time.monotonic() - started < 10
    assert sent[0]
    assert not sent[-1]  # no room: dropped, and said
    notifier.close()


def test_a_manager_that_is_gone_stops_nobody(tmp_path: Path) -> None:
    notifier = Notifier(str(tmp_path / "gone"))
    assert not notifier.send(READY=1)
    notifier.close()


def test_without_a_manager_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notifier = Notifier.from_environment()
    assert notifier.send(READY=1)
    notifier.close()
