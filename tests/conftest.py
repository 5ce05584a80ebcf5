"""Fixtures of all tests."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from edge.part.frame import Frame
from edge.part.record import InspectionRecord, record_from_settled
from edge.part.result import ONLY_VIEW, Settled, ViewResult
from edge.part.trigger import Trigger
from inspection.bundle import Bundle
from inspection.bundle.calibration_file import RecipeIdentity
from inspection.inspector import Inspection, StageTimes
from inspection.verdict import Thresholds, Verdict

IDENTITY = RecipeIdentity("default", Thresholds(2.5, 1.5, review=2.0), "a" * 64, "b" * 64)
# No test depends on a fast machine. What else the environment chooses, such as CI, stays.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

MakeSettled = Callable[..., Settled]
MakeRecord = Callable[..., InspectionRecord]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Lists the reasons of the skipped tests, each once."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
    )
    if reasons:
        terminalreporter.section(f"skipped: {reasons.total()}")
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count:>5}  {reason}")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Returns the folder with real data sets and weights; skips the test without one."""
    folder = Path(os.environ.get("LINEWARDEN_SHARED", ""))
    if not (folder / "data").is_dir() or not (folder / "weights").is_dir():
        pytest.skip("needs LINEWARDEN_SHARED=folder with data/ and weights/")
    return folder.resolve()


@pytest.fixture
def tiny_bundle(tmp_path: Path) -> Bundle:
    """Returns a calibrated bundle for grey 32x32 frames; bright pixels are defects."""
    tiny = pytest.importorskip("tests.tiny_bundle", reason="needs the package onnx")
    bundle: Bundle = tiny.build(tmp_path / "bundle")
    return bundle


@pytest.fixture
def make_settled() -> MakeSettled:
    """Makes the settled trigger number `number`, captured in that second; frame 64x64, grey."""

    def make(
        number: int = 1,
        inspection: Inspection | None = None,
        *,
        with_frame: bool = True,
    ) -> Settled:
        triggered_ns = number * 1_000_000_000
        image = np.random.default_rng(number).integers(0, 255, (64, 64), dtype=np.uint8)
        trigger = Trigger(
            trigger_id=f"test-{number:06d}",
            triggered_utc=datetime(2026, 11, 21, 4, 14, number, tzinfo=timezone.utc),
            triggered_ns=triggered_ns,
            frames_due_ns=triggered_ns + 20_000_000,
            deadline_ns=triggered_ns + 40_000_000,
            recipes={ONLY_VIEW: IDENTITY},
        )
        frame = Frame(image, triggered_ns, number, f"{number}.png") if with_frame else None
        judged = inspection or _rejected()
        view = ViewResult(ONLY_VIEW, IDENTITY, frame, judged, triggered_ns + 12_000_000)
        return Settled(trigger, judged, (view,), triggered_ns + 12_500_000)

    return make


@pytest.fixture
def make_record(make_settled: MakeSettled) -> MakeRecord:
    """Makes the record of the settled trigger number `number`, with another verdict if given."""

    def make(number: int, verdict: Verdict = Verdict.REJECT) -> InspectionRecord:
        record = record_from_settled(make_settled(number))
        return record.model_copy(update={"verdict": verdict})

    return make


def _rejected() -> Inspection:
    anomaly_map = np.zeros((8, 8), dtype=np.float32)
    anomaly_map[2:4, 2:4] = 3.25
    times = StageTimes(1_000_000, 9_000_000, 500_000)
    return Inspection(
        verdict=Verdict.REJECT,
        score=3.25,
        thresholds=IDENTITY.thresholds,
        anomaly_map=anomaly_map,
        mask=anomaly_map > 2.5,
        times=times,
    )
