"""The reconnector opens a lost connection again, after growing pauses."""

from __future__ import annotations

import threading

import pytest

from edge.peers.reconnect import Pauses, Reconnector
from inspection.errors import LineError


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Peer:
    """A peer that is away until `is_there`."""

    def __init__(self) -> None:
        self.is_there = True
        self.opened = 0

    def open(self) -> None:
        self.opened += 1
        if not self.is_there:
            raise LineError(f"away at attempt {self.opened}")


class Bench:
    def __init__(self, held_s: float = 10.0) -> None:
        self.clock, self.peer = Clock(), Peer()
        self.connection = Reconnector(self.peer.open, LineError, held_s=held_s, clock=self.clock)

    def attempts_at(self, seconds: float) -> list[float]:
        """Returns the times of the attempts within the next `seconds`."""
        start, found = self.clock.now, []
        while self.clock.now < start + seconds:
            before = self.peer.opened
            self.connection.retry_when_due()
            if self.peer.opened > before:
                found.append(round(self.clock.now - start, 2))
            self.clock.now += 0.05
        return found


def test_pauses_grow_to_the_longest() -> None:
    pauses = Pauses(longest_s=1.0)
    assert [pauses.next_s() for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    pauses.reset()
    assert pauses.next_s() == 0.1


def test_a_lost_connection_is_tried_after_growing_pauses_until_it_is_back() -> None:
    bench = Bench()
    bench.connection.open()
    assert bench.connection.lost == ""
    bench.peer.is_there = False
    bench.connection.lose("the cable was pulled")
    assert bench.connection.lost == "the cable was pulled"
    attempts = bench.attempts_at(20.0)
    pauses = [b - a for a, b in zip([0.0, *attempts], attempts, strict=False)]
    assert pauses[:5] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6], abs=0.051)
    assert max(pauses) == pytest.approx(5.0, abs=0.051)
    assert bench.connection.lost == f"away at attempt {bench.peer.opened}"
    assert bench.connection.failed_attempts == len(attempts)
    bench.peer.is_there = True
    bench.attempts_at(5.1)
    assert (bench.connection.lost, bench.connection.failed_attempts) == ("", 0)
    assert bench.attempts_at(10.0) == []


def test_the_first_opening_raises_and_is_tried_again() -> None:
    bench = Bench()
    bench.peer.is_there = False
    with pytest.raises(LineError, match="away at attempt 1"):
        bench.connection.open()
    assert bench.connection.failed_attempts == 1
    bench.peer.is_there = True
    assert bench.attempts_at(1.0) == [0.1]
    assert bench.connection.lost == ""


@pytest.mark.parametrize(
    ("held_s", "first_pause"), [(9.0, 0.4), (10.0, 0.1)], ids=["too short", "long enough"]
)
def test_pauses_begin_anew_only_after_a_connection_that_held(
    held_s: float, first_pause: float
) -> None:
    bench = Bench()
    bench.connection.open()
    for _ in range(2):
        bench.connection.lose("lost")
        bench.attempts_at(0.3)
    bench.clock.now += held_s - 0.1  # 0.1 s have passed since the last attempt
    bench.connection.lose("lost")
    assert bench.attempts_at(1.0) == [pytest.approx(first_pause, abs=0.051)]


def test_every_opening_lets_the_pauses_begin_anew_where_nothing_has_to_hold() -> None:
    bench = Bench(held_s=0.0)
    bench.connection.open()
    for _ in range(4):
        bench.connection.lose("lost")
        assert bench.attempts_at(0.3) == [pytest.approx(0.1, abs=0.051)]


def test_a_wait_ends_with_the_connection_or_with_the_stop() -> None:
    peer, stopping = Peer(), threading.Event()
    connection = Reconnector(peer.open, LineError)
    assert connection.wait_until_open(stopping)  # the connection is not lost
    assert peer.opened == 0
    connection.lose("lost")
    assert connection.wait_until_open(stopping)
    assert peer.opened == 1
    peer.is_there = False
    connection.lose("lost")
    threading.Timer(0.3, stopping.set).start()
    assert not connection.wait_until_open(stopping)
    assert connection.lost.startswith("away")


def test_an_error_of_another_kind_is_not_a_lost_peer() -> None:
    def broken() -> None:
        raise ZeroDivisionError

    connection = Reconnector(broken, LineError)
    connection.lose("lost")
    with pytest.raises(ZeroDivisionError):
        connection.wait_until_open(threading.Event())
