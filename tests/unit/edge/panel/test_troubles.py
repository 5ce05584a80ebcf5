"""Troubles of a line: their kinds and since when they are seen."""

from __future__ import annotations

from typing import Any

from edge.panel.troubles import Troubles
from tests.doubles.panel import TalkingLine


def troubled() -> dict[str, Any]:
    """The state of a line whose camera, controller, broker and disk are lost."""
    state = TalkingLine().state
    state["faults"] = ["view main: the camera is lost, for 3 s now"]
    state["pipeline"]["outputs"]["plc"] = {"is_up": False, "why": "connection refused"}
    state["records"] = {
        "failure": "no space left on device",
        "outboxes": {"mqtt": 7},
        "outboxes_up": {"mqtt": False, "web": True},
    }
    state["alarms"] = ["5 parts in a row did not pass"]
    return state


def test_a_line_in_order_has_none() -> None:
    assert Troubles().of(TalkingLine().state) == []


def test_each_trouble_has_its_kind_and_the_words_of_the_line() -> None:
    assert [one[:3] for one in Troubles().of(troubled())] == [
        ("fault", "", "view main: the camera is lost, for 3 s now"),
        ("records", "", "no space left on device"),
        ("output", "plc", "plc: connection refused"),
        ("outbox", "mqtt", "mqtt: 7"),
        ("alarm", "", "5 parts in a row did not pass"),
    ]


def test_a_trouble_is_seen_since_its_begin_while_somebody_looks() -> None:
    now = [0.0]
    troubles, state = Troubles(lambda: now[0]), troubled()
    first = troubles.of(state)[0].since
    now[0], state["faults"] = 9.0, ["view main: the camera is lost, for 12 s now"]
    assert troubles.of(state)[0].since == first
    now[0], state["faults"] = 12.0, []
    assert troubles.of(state)[0].kind == "records"
    now[0], state["faults"] = 15.0, ["view main: the camera is lost, for 1 s now"]
    again = troubles.of(state)[0].since
    assert again > first
    now[0] = 40.0  # nobody looked: it may have gone in between
    assert troubles.of(state)[0].since > again
