"""Every page shows a person the controls of the person's role, and no others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest

from edge.panel.access.roles import Role
from edge.panel.audit import Change, Undo
from edge.panel.sensitivity.calibrations import Slider, SliderPoint
from edge.panel.services import Panel
from edge.panel.teach.promises import Promises, PromiseTable
from tests.doubles.panel import Browser, TalkingLine, config_of, opened

PAGES = (
    *("live", "review", "review/parts/test-000001", "teach", "teach/flange", "zones"),
    *("sensitivity", "recipes", "io", "health"),
)
UNDONE = {
    "/lines/line/recipes/change": Role.OPERATOR,
    "/lines/line/sensitivity/back": Role.ENGINEER,
    "/accounts/change": Role.ADMIN,
}
POINT = SliderPoint(position=0, reject=0.5, expected=0, bound=0.1, reject_by_zone=(0.5,))
SLIDER = Slider(
    recipe="default",
    seal="ab" * 32,
    created_utc=datetime(2026, 11, 29, tzinfo=timezone.utc),
    author="ann",
    reason="",
    artefact="model.onnx",
    confidence=0.95,
    is_approximate=False,
    zones=("frame",),
    review=None,
    scores=(0.1,),
    now=POINT,
    points=(POINT,),
    comparable={},
)
_ACTION = re.compile(r'<form[^>]* action="(/(?:lines|accounts)/[^"]+)"')


@pytest.fixture
def panel(tmp_path: Path, line_file: Path) -> Iterator[Panel]:
    """A panel that collects on a full disk too, runs no jobs and knows what images promise."""
    config = config_of(tmp_path, line_file, teach={"min_free_bytes": 0}, jobs="service")
    nothing = PromiseTable(
        lambda start, end: [
            Promises(parts=n, taught=None, calibrated=None) for n in range(start, end)
        ]
    )
    with opened(config) as panel:
        yield replace(panel, teach=replace(panel.teach, promises=nothing))


@pytest.fixture
def changed(panel: Panel) -> Panel:
    """A panel with a change of each role, which can be taken back, and of a route of old times."""
    for path in (*UNDONE, "/lines/line/gone"):
        undo = Undo(path, {"number": "1"})
        change = Change("admin", "admin", "10.0.0.1", "line", "recipe_change", path, "why", undo)
        with panel.audit.entering(change):
            pass
    part = panel.teach.parts.add("line", "flange", "")
    part.collection.add(np.full((32, 32), 50, np.uint8), "1.png", "engineer")
    return panel


@pytest.mark.usefixtures("parts", "line", "tiny_bundle")
def test_no_control_of_a_page_is_refused_for_the_role(
    changed: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changed.calibrations, "slider", lambda _of: SLIDER)  # spares a process
    for role in Role:
        person = Browser(changed).log_in(role.value)
        texts = [person.get(f"/lines/line/{page}").text for page in PAGES]
        found = {action for text in texts for action in _ACTION.findall(text)}
        answers = {action: person.post(action, {"why": ""}).status_code for action in found}
        assert {action for action, status in answers.items() if status != 400} == set(), role
        takes = "/lines/line/sensitivity/take" in found
        assert takes is role.may(Role.ENGINEER)
        undone = {path for path, needed in UNDONE.items() if role.may(needed)}
        assert found & set(UNDONE) >= undone
        assert bool(found) is (role is not Role.VIEWER)


@pytest.mark.usefixtures("parts")
def test_an_undo_says_which_role_it_needs(changed: Panel, line: TalkingLine) -> None:
    text = Browser(changed).log_in("operator").get("/lines/line/health").text
    assert text.count("Needs the role Engineer.") == 1
    assert text.count("Needs the role Administrator.") == 1
    assert 'action="/accounts/change"' not in text
    assert "Needs the role" not in Browser(changed).log_in("admin").get("/lines/line/health").text
    assert line.asked == []


def test_a_page_of_another_role_names_the_role_in_the_language(panel: Panel) -> None:
    operator = Browser(panel).log_in("operator")
    answer = operator.get("/lines/line/zones", headers={"accept-language": "de"})
    assert answer.status_code == 403
    assert "Dafür ist die Rolle Ingenieur nötig." in answer.text
