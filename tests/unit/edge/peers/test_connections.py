"""Who goes when a server is full, and who is idle for too long."""

from __future__ import annotations

import logging

import pytest
from pydantic import ValidationError

from edge.peers.connections import Client, ConnectionLimits, Connections


class Table:
    """Connections with a clock that the test moves, and the names of the dropped ones."""

    def __init__(self, **limits: float) -> None:
        self.now_s = 1000.0
        self.dropped: list[str] = []
        self.connections = Connections(
            "the server", ConnectionLimits.model_validate(limits), lambda: self.now_s
        )

    def admit(self, name: str, host: str) -> Client:
        self.now_s += 1.0
        return self.connections.admit(host, lambda: self.dropped.append(name))

    def answer(self, client: Client) -> None:
        self.now_s += 1.0
        self.connections.answered(client)


def test_of_one_address_the_longest_idle_goes() -> None:
    table = Table(max=2)
    first = table.admit("first", "plc")
    table.admit("second", "plc")
    table.answer(first)
    table.admit("third", "plc")
    assert table.dropped == ["second"]


def test_an_address_with_many_displaces_its_own() -> None:
    table = Table(max=3)
    table.admit("plc", "10.0.0.1")
    for number in range(50):
        table.admit(f"flood {number}", "10.0.0.9")
    assert table.dropped == [f"flood {number}" for number in range(48)]


def test_a_new_address_displaces_one_of_the_address_with_most() -> None:
    table = Table(max=3)
    table.admit("panel", "10.0.0.2")
    for number in range(2):
        table.admit(f"flood {number}", "10.0.0.9")
    table.admit("plc", "10.0.0.1")
    assert table.dropped == ["flood 0"]


def test_a_plc_that_lost_its_power_comes_back_for_ever() -> None:
    table = Table(max=4)
    table.admit("panel", "10.0.0.2")
    for number in range(20):
        table.admit(f"plc {number}", "10.0.0.1")
    assert "panel" not in table.dropped
    assert "plc 19" not in table.dropped


def test_a_released_connection_makes_room() -> None:
    table = Table(max=1)
    client = table.admit("first", "plc")
    for _ in range(2):
        table.connections.release(client)
    table.admit("second", "plc")
    assert table.dropped == []


def test_a_connection_without_an_answer_is_idle(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    table = Table(idle_s=10.0)
    active = table.admit("active", "10.0.0.1")
    table.admit("silent", "10.0.0.2")
    table.now_s += 7.0
    table.answer(active)
    table.connections.drop_idle()
    assert table.dropped == []
    table.now_s += 5.0
    for _ in range(2):
        table.connections.drop_idle()
    assert table.dropped == ["silent"]
    assert caplog.messages == ["the server: closed an idle connection of 10.0.0.2"]


def test_a_flood_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    table = Table(max=1)
    for number in range(100):
        table.admit(f"{number}", "10.0.0.9")
    assert len(caplog.messages) == 2
    assert caplog.messages[1] == (
        "the server: has 1 connections, the most it may: closed 61 for new ones so far, the last "
        "of 10.0.0.9; find out who connects so often"
    )


def test_the_defaults_keep_a_plc_over_a_break() -> None:
    assert ConnectionLimits().idle_s >= 16 * 3600
    with pytest.raises(ValidationError):
        ConnectionLimits(max=0)
