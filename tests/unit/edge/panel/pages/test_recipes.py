"""Recipes and bundles: changeover with its undo, reference parts, versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.panel.bundles import bundles_of, store_of
from edge.panel.services import Panel
from inspection.bundle import Bundle
from inspection.bundle.installed import BundleStore
from inspection.trust.keys import Keys
from tests.doubles.panel import Browser, TalkingLine, config_of, opened, title_of

PAGE = "/lines/line/recipes"


def test_a_changeover_is_asked_for_and_taken_back(panel: Panel, line: TalkingLine) -> None:
    line.state["recipe"]["active"] = 1
    operator = Browser(panel).log_in("operator")
    assert "Change over to 2" in operator.get(PAGE).text
    assert operator.post(f"{PAGE}/change", {"number": "2", "why": "lot 7"}).status_code == 303
    (entry,) = panel.audit.entries()
    assert (entry.change.subject, entry.change.why, entry.failure) == ("1 → 2", "lot 7", "")
    assert entry.change.undo is not None
    assert operator.post(entry.change.undo.path, dict(entry.change.undo.form)).status_code == 303
    assert line.asked == ["recipe 2", "recipe 1"]


def test_a_refusal_of_the_line_is_told_and_logged(panel: Panel, line: TalkingLine) -> None:
    operator = Browser(panel).log_in("operator")
    answer = operator.post(f"{PAGE}/change", {"number": "7"})
    assert answer.status_code == 503
    assert "no recipe 7: known are 1, 2" in answer.text
    assert panel.audit.entries()[0].failure == "the line refuses: no recipe 7: known are 1, 2"


def test_a_check_is_begun(panel: Panel, line: TalkingLine) -> None:
    line.state["check"] = {"due": "show the golden part", "passed": 3, "failed": 1}
    operator = Browser(panel).log_in("operator")
    assert operator.post(f"{PAGE}/check").status_code == 303
    assert line.asked == ["check"]
    assert "show the golden part" in operator.get(f"{PAGE}/status").text


def test_the_page_is_there_without_a_line_and_without_a_bundle(panel: Panel) -> None:
    answer = Browser(panel).log_in("viewer").get(PAGE)
    assert answer.status_code == 200
    assert "no answer" in answer.text
    assert "manifest.json" in answer.text
    assert f'action="{PAGE}/change"' not in answer.text  # a viewer changes nothing


@pytest.fixture
def store(tmp_path: Path, tiny_bundle: Bundle) -> BundleStore:
    """A store with two versions, of which the older one is active."""
    tiny = pytest.importorskip("tests.tiny_bundle", reason="needs the package onnx")
    store = BundleStore(tmp_path / "store", Keys({}, None))
    store.activate(store.install(tiny_bundle.folder), lambda _bundle: None)
    tiny.build(tmp_path / "newer", frame=(64, 64))
    store.install(tmp_path / "newer")
    return store


def test_a_version_is_activated_and_rolled_back(tmp_path: Path, store: BundleStore) -> None:
    active = tmp_path / "store/tiny/active"
    line = tmp_path / "line.yaml"
    line.write_text(
        f"bundle: {active}\ncamera: {{kind: replay, path: parts}}\ncontrol_socket: line.sock\n"
        "outputs: [{kind: jsonlines, path: parts.jsonl}]\n"
    )
    before = next(one for one in store.versions("tiny") if one.is_active)
    newer = next(one for one in store.versions("tiny") if not one.is_active)
    form = {"bundle": str(active), "version": newer.version}
    with opened(config_of(tmp_path, line)) as panel:
        (shown,) = bundles_of(panel.lines["line"].config)
        assert (shown.name, shown.recipes, len(shown.versions)) == ("tiny", ("default",), 2)
        engineer = Browser(panel).log_in("engineer")
        assert newer.version in engineer.get(PAGE).text
        assert engineer.post(f"{PAGE}/activate", {**form, "bundle": "/etc"}).status_code == 400
        for version in ("20200101", "--allow-changes"):
            unknown = engineer.post(f"{PAGE}/activate", {**form, "version": version})
            assert unknown.status_code == 409
            assert "This version of tiny is not installed" in unknown.text
        manifest = newer.folder / "manifest.json"
        whole = manifest.read_bytes()
        manifest.write_bytes(whole.replace(b"tiny", b"TINY"))
        damaged = engineer.post(f"{PAGE}/activate", form)
        assert (damaged.status_code, title_of(damaged)) == (503, "Not possible")
        assert str(newer.folder) in damaged.text
        assert panel.audit.entries()[0].failure != ""
        assert active.resolve() == before.folder
        manifest.write_bytes(whole)
        assert engineer.post(f"{PAGE}/activate", form).status_code == 303
        assert active.resolve() == newer.folder
        undo = panel.audit.entries()[0].change.undo
        assert undo is not None
        assert engineer.post(undo.path, dict(undo.form)).status_code == 303
        assert active.resolve() == before.folder


def test_a_bundle_outside_of_a_store_has_no_versions(tmp_path: Path) -> None:
    assert store_of(tmp_path / "bundle") is None
