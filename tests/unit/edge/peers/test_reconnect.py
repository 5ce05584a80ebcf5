"""Pauses between attempts to connect something again."""

from edge.peers.reconnect import Retries


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_pauses_begin_anew_after_a_connection_that_held() -> None:
    clock = Clock()
    retries = Retries(clock)
    retries.connected()
    assert [retries.pause_s() for _ in range(3)] == [0.1, 0.2, 0.4]
    retries.connected()
    clock.now += 9.0
    assert retries.pause_s() == 0.8  # lost too soon
    retries.connected()
    clock.now += 10.0
    assert [retries.pause_s() for _ in range(2)] == [0.1, 0.2]


def test_pauses_have_an_end() -> None:
    retries = Retries(Clock())
    assert [retries.pause_s() for _ in range(9)][-2:] == [5.0, 5.0]
