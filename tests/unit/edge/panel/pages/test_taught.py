"""A result: its figures and report, trials on stills, its way into the store of the line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.panel.headers import REPORT_POLICY
from edge.panel.jobs import BEGUN, ENDED, LOG, Ended, Job
from edge.panel.services import Panel
from edge.panel.teach.parts import Taught, TaughtFile
from inspection.bundle import Bundle
from inspection.bundle.installed import BundleStore
from inspection.errors import LinewardenError
from inspection.images import encode_png
from inspection.trust.keys import Keys
from tests.doubles.line_folder import write_line
from tests.doubles.panel import Browser, config_of, opened, raising

LINE = "/lines/line"
GREY = np.full((32, 32), 50, np.uint8)


@pytest.fixture
def config(tmp_path: Path, tiny_bundle: Bundle) -> Any:
    """A panel beside a line whose bundle is the active version of a store, and named "tiny"."""
    store = BundleStore(tmp_path / "store", Keys({}, None))
    store.activate(store.install(tiny_bundle.folder), lambda _bundle: None)
    line = write_line(tmp_path, "camera: {kind: replay, path: parts}\ncontrol_socket: s\n")
    line.write_text(line.read_text().replace("bundle: bundle", "bundle: store/tiny/active"))
    return config_of(tmp_path, line, teach={"min_free_bytes": 0}, jobs="service")


@pytest.fixture
def panel(config: Any) -> Iterator[Panel]:
    with opened(config) as panel:
        yield panel


def result(panel: Panel, name: str = "tiny") -> Taught:
    """Returns a model that a job has taught: another tiny bundle, with a report."""
    tiny = pytest.importorskip("tests.tiny_bundle", reason="needs the package onnx")
    part = panel.teach.parts.add("line", name, "")
    part.collection.add(GREY, "1.png", "engineer")
    taught = part.begin(TaughtFile(kind="teach"))
    tiny.build(taught.bundle, frame=(64, 64))
    taught.report.write_text("<h1 onclick='x()'>figures</h1><script>x()</script>")
    return taught


def path_of(taught: Taught, below: str = "") -> str:
    return f"{LINE}/teach/{taught.part}/results/{taught.name}{below}"


def test_the_report_of_another_command_runs_nothing(panel: Panel) -> None:
    taught = result(panel)
    viewer = Browser(panel).log_in("viewer")
    assert path_of(taught, "/report") in viewer.get(path_of(taught)).text
    report = viewer.get(path_of(taught, "/report"))
    assert report.headers["content-security-policy"] == REPORT_POLICY
    assert "sandbox" in REPORT_POLICY
    assert "script" not in REPORT_POLICY
    assert report.headers["x-content-type-options"] == "nosniff"
    taught.report.unlink()
    assert viewer.get(path_of(taught, "/report")).status_code == 404


@pytest.mark.usefixtures("private_umask")
def test_a_result_becomes_the_next_version_in_the_store(tmp_path: Path, panel: Panel) -> None:
    taught = result(panel)
    store = BundleStore(tmp_path / "store", Keys({}, None))
    assert len(store.versions("tiny")) == 1
    operator, engineer = (Browser(panel).log_in(name) for name in ("operator", "engineer"))
    assert operator.post(path_of(taught, "/install")).status_code == 403
    answer = engineer.post(path_of(taught, "/install"))
    assert (answer.status_code, answer.headers["location"]) == (303, f"{LINE}/recipes")
    (new,) = (one for one in store.versions("tiny") if not one.is_active)
    # The line, which has another user, reads it.
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in new.folder.rglob("*"))
    assert new.version in engineer.get(f"{LINE}/recipes").text
    entry = panel.audit.entries()[0]
    assert (entry.change.action, entry.failure) == ("bundle_install", "")


def test_a_bundle_that_the_line_does_not_open_is_installed_by_hand(panel: Panel) -> None:
    taught = result(panel, "flange")
    engineer = Browser(panel).log_in("engineer")
    assert f"linewarden bundle install {taught.bundle}" in engineer.get(path_of(taught)).text
    assert engineer.post(path_of(taught, "/install")).status_code == 409


def tried(panel: Panel, taught: Taught, *files: tuple[str, bytes]) -> Any:
    operator = Browser(panel).log_in("operator")
    return operator.post(path_of(taught, "/try"), files=[("images", file) for file in files])


def judged(job: Job, *verdicts: dict[str, Any]) -> None:
    """Writes what the runner and `linewarden inspect --json --save` write."""
    moment = datetime.now(timezone.utc)
    (job.folder / BEGUN).write_text(json.dumps({"moment": moment.isoformat()}))
    (job.folder / LOG).write_text("a warning\n" + "\n".join(map(json.dumps, verdicts)) + "\n")
    ended = Ended(moment=moment, exit_code=5)
    (job.folder / ENDED).write_text(ended.model_dump_json())


def test_stills_are_judged_and_shown(panel: Panel) -> None:
    taught = result(panel)
    content = encode_png(GREY)
    assert tried(panel, taught, ("a & b.png", content), ("bad.png", content)).status_code == 303
    (job,) = panel.jobs.of("line/tiny/try")
    words = job.asked.words
    assert (words[0], words[3:5]) == ("inspect", ["--bundle", str(taught.bundle)])
    pictures = Path(words[words.index("--save") + 1])
    pictures.mkdir()
    (pictures / "0001_0.overlay.jpg").write_bytes(content)
    (pictures / "0001_0.mask.png").write_bytes(content)
    common = {"threshold": 0.5, "cause": None}
    judged(
        job,
        {"image": words[1], "verdict": "REJECT", "score": 0.875, "message": "", **common},
        {"image": words[2], "verdict": "NO_VERDICT", "score": None, "message": "cut", **common},
    )
    with (job.folder / LOG).open("a") as log:
        log.write('{"image": "a line that a killed job did not end')
    viewer = Browser(panel).log_in("viewer")
    page = viewer.get(path_of(taught)).text
    for shown in (
        "a &amp; b.png",
        "REJECT",
        "Score 0.875, rejected above 0.5",
        "NO VERDICT",
        "cut",
    ):
        assert shown in page
    trial = path_of(taught, f"/trials/{pictures.parent.name}")
    mask = viewer.get(f"{trial}/0/mask?size=160")
    assert (mask.status_code, mask.headers["content-type"]) == (200, "image/png")
    assert viewer.get(f"{trial}/0/overlay?size=160").status_code == 200
    for wrong in ("/0/names", "/7/mask", "/0/..%2F0"):
        assert viewer.get(f"{trial}{wrong}?size=160").status_code == 404
    assert viewer.get(path_of(taught, "/trials/../0/mask?size=160")).status_code == 404


def test_stills_that_cannot_be_judged_start_no_job(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught = result(panel)
    content = encode_png(GREY)
    assert tried(panel, taught).status_code == 400
    assert tried(panel, taught, *[("1.png", content)] * 21).status_code == 400
    assert tried(panel, taught, ("1.png", content), ("2.png", b"text")).status_code == 400
    assert tried(panel, taught, ("1.png", content)).status_code == 303
    second = tried(panel, taught, ("1.png", content))
    assert second.status_code == 409
    assert len(list((taught.folder / "trials").iterdir())) == 1
    monkeypatch.setattr("edge.panel.teach.tools.find_spec", lambda _name: None)
    page = Browser(panel).log_in("operator").get(path_of(taught)).text
    assert "This device cannot try it: it lacks onnxruntime." in page


@pytest.mark.parametrize(
    ("error", "kept"), [(OSError(28, "No space left"), 0), (LinewardenError("it waits"), 1)]
)
def test_stills_stay_when_their_job_waits(
    panel: Panel, monkeypatch: pytest.MonkeyPatch, error: Exception, kept: int
) -> None:
    taught = result(panel)
    monkeypatch.setattr(panel.jobs, "_wake", raising(error))
    assert tried(panel, taught, ("1.png", encode_png(GREY))).status_code in {503, 507}
    assert len(list((taught.folder / "trials").iterdir())) == kept


def test_a_job_that_made_nothing_has_no_bundle(panel: Panel) -> None:
    part = panel.teach.parts.add("line", "flange", "")
    part.collection.add(GREY, "1.png", "engineer")
    taught = part.begin(TaughtFile(kind="teach"))
    assert "no bundle" in Browser(panel).log_in("viewer").get(path_of(taught)).text
    assert tried(panel, taught, ("1.png", encode_png(GREY))).status_code == 409
    engineer = Browser(panel).log_in("engineer")
    assert engineer.get(f"{LINE}/teach/flange/results/none").status_code == 404


def test_a_calibration_is_done_when_its_report_is_there(
    tmp_path: Path, panel: Panel, tiny_bundle: Bundle
) -> None:
    part = panel.teach.parts.add("line", "tiny", "")
    part.collection.add(GREY, "1.png", "engineer")
    file = TaughtFile(kind="calibrate", bundle=str(tiny_bundle.folder))
    taught = part.begin(file)
    engineer = Browser(panel).log_in("engineer")
    overview = f"{LINE}/teach/tiny"
    for path in (path_of(taught), overview):
        assert "calibration is not complete" in engineer.get(path).text
    assert tried(panel, taught, ("1.png", encode_png(GREY))).status_code == 409
    taught.report.write_text("<h1>figures</h1>")
    assert "calibration is complete" in engineer.get(overview).text
    assert engineer.get(path_of(taught)).text.count(str(taught.bundle)) == 1
    # It is in the bundle of the line already: there is nothing to install.
    assert engineer.post(path_of(taught, "/install")).status_code == 409
    assert len(BundleStore(tmp_path / "store", Keys({}, None)).versions("tiny")) == 1
