"""What systemd is told of a line, turn by turn."""

import os
from dataclasses import replace

import pytest

from edge.pipeline.status import PipelineStatus
from edge.service.daemon import Daemon, describe, watchdog_s_from_environment
from edge.service.notify import Notifier

WELL = PipelineStatus(True, (), (), (True, True), 12, 1, 0, 0, 0)


class Heard(Notifier):
    """Keeps what is sent; may have no room."""

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


def test_ready_is_told_at_the_first_turn_alone(clock: list[float]) -> None:
    heard = Heard()
    subject = daemon(heard, clock)
    subject.loading()
    for _ in range(3):
        subject.turn(WELL)
        clock[0] += 1
    assert [sorted(message) for message in heard.messages] == [
        ["EXTEND_TIMEOUT_USEC", "STATUS"],
        ["READY"],
        ["STATUS", "WATCHDOG"],
        ["STATUS", "WATCHDOG"],
        ["STATUS", "WATCHDOG"],
    ]


def test_ready_is_told_again_where_there_was_no_room(clock: list[float]) -> None:
    heard = Heard()
    subject = daemon(heard, clock)
    heard.has_room = False
    subject.turn(WELL)
    heard.has_room = True
    clock[0] += 1
    subject.turn(WELL)
    assert {"READY": 1} in heard.messages


@pytest.mark.parametrize(("watchdog_s", "told"), [(0.3, 10), (3.0, 1), (0.0, 1)])
def test_the_watchdog_is_petted_three_times_in_its_time_and_not_more(
    clock: list[float], watchdog_s: float, told: int
) -> None:
    heard = Heard()
    subject = daemon(heard, clock, watchdog_s)
    for _ in range(100):
        subject.turn(WELL)
        clock[0] += 0.01
    assert sum("WATCHDOG" in message for message in heard.messages) == pytest.approx(told, abs=1)


def test_a_stage_that_hangs_is_no_sign_of_life(clock: list[float]) -> None:
    heard = Heard()
    daemon(heard, clock).turn(replace(WELL, stalled=("delivery",), faults=("delivery hangs",)))
    assert not any("WATCHDOG" in message for message in heard.messages)
    assert heard.messages[-1] == {
        "STATUS": "not inspecting (delivery hangs): 12 parts, 1 without a verdict"
    }


def test_the_end_of_the_loop_is_the_beginning_of_the_stop(clock: list[float]) -> None:
    heard = Heard()
    subject = daemon(heard, clock)
    subject.turn(WELL)
    subject.turn(replace(WELL, is_running=False))
    assert heard.messages[-1] == {"STOPPING": 1, "STATUS": "stopping"}


def test_the_status_is_for_people() -> None:
    waiting = replace(WELL, faults=("view main: the camera is lost",), outputs_up=(True, False))
    assert describe(waiting) == (
        "not inspecting (view main: the camera is lost): 12 parts, 1 without a verdict; "
        "outputs down: 1 of 2"
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
