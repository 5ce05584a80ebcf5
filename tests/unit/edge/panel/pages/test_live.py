"""The events of the live page, and the pictures of the line's memory."""

from __future__ import annotations

import json

import pytest

from edge.panel.access.roles import Role
from edge.panel.pages import live
from edge.panel.services import Panel
from tests.doubles.panel import Browser, TalkingLine

PAGE = "/lines/line/live"


def test_the_events_end_with_the_session(
    panel: Panel, line: TalkingLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_SESSION_EVERY_S", 0.0)
    viewer = Browser(panel).log_in("viewer")
    observed = []
    snapshot = panel.feeds.observers["line"].snapshot

    def observe() -> dict[str, object]:
        observed.append(1)
        if len(observed) == 3:
            panel.accounts.change("viewer", Role.VIEWER, is_active=False)
        return snapshot()

    monkeypatch.setattr(panel.feeds._feeds["line"], "_observe", observe)
    text = viewer.get(f"{PAGE}/events").text  # it ends, or the test would not
    first = text.split("\n")[:2]
    assert first[0] == "event: snapshot"
    assert json.loads(first[1].removeprefix("data: "))["signal"]


def test_a_picture_that_nobody_has_is_gone(panel: Panel, line: TalkingLine) -> None:
    viewer = Browser(panel).log_in("viewer")
    assert viewer.get(f"{PAGE}/pictures/t1/frame").status_code == 404
    assert viewer.get(f"{PAGE}/pictures/t1/other").status_code == 404


def test_a_page_too_many_is_refused(panel: Panel, line: TalkingLine) -> None:
    panel.feeds._open = panel.config.streams_max
    answer = Browser(panel).log_in("viewer").get(f"{PAGE}/events")
    assert answer.status_code == 503
    assert "Too many pages show a running line now." in answer.text
