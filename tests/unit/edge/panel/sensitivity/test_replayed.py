"""Recorded parts on a slider: from which of its points they are rejected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

import pytest

from edge.panel.sensitivity.calibrations import Slider, SliderPoint
from edge.panel.sensitivity.replayed import replayed
from edge.part.record import InspectionRecord
from edge.store.reader import StoredRecord
from inspection.verdict import Thresholds, Verdict, decide_by_zone, score_of_zones

MakeRecord = Callable[..., InspectionRecord]
Stored = Callable[..., StoredRecord]
NOW, OTHER = "a" * 64, "b" * 64


def slider(points: Sequence[tuple[float, ...]], **comparable: tuple[float, ...]) -> Slider:
    made = [
        SliderPoint(position=n, reject=max(one), expected=0, bound=0, reject_by_zone=one)
        for n, one in enumerate(points)
    ]
    return Slider(
        is_approximate=False,
        recipe="default",
        seal=NOW,
        created_utc=datetime.now(timezone.utc),
        author="",
        reason="",
        artefact="model.onnx",
        confidence=0.95,
        zones=(),
        review=None,
        scores=(),
        now=made[0],
        points=tuple(made),
        comparable=comparable or {NOW: points[0]},
    )


@pytest.fixture
def stored(make_record: MakeRecord) -> Stored:
    def stored(
        verdict: Verdict, *views: tuple[float | None, str, Verdict], whole: Any = None
    ) -> StoredRecord:
        record = make_record(1, verdict)
        (view,) = record.views
        changed = tuple(
            view.model_copy(update={"score": score, "calibration_seal": seal, "verdict": one})
            for score, seal, one in views
        )
        return StoredRecord(record.model_copy(update={"views": changed}), None, 1)

    return stored


def places(part: StoredRecord, of: Slider) -> tuple[bool, int, int]:
    (found,) = replayed([part], of)
    return found.is_rejected, found.passed_before, found.rejected_from


def test_a_part_is_rejected_from_the_first_threshold_below_its_score(stored: Stored) -> None:
    of = slider([(5.0,), (4.0,), (3.0,)])
    for score, place in ((5.1, 0), (5.0, 1), (4.5, 1), (4.0, 2), (3.5, 2), (3.0, 3), (1.0, 3)):
        part = stored(Verdict.PASS, (score, NOW, Verdict.PASS))
        assert places(part, of) == (False, place, place)


def test_parts_of_an_earlier_threshold_count_by_their_scores(stored: Stored) -> None:
    of = slider([(5.0,), (4.0,)], **{NOW: (5.0,), OTHER: (4.4,)})
    part = stored(Verdict.REJECT, (4.5, OTHER, Verdict.REJECT))
    assert places(part, of) == (True, 1, 1)


def test_parts_of_another_scale_or_without_a_verdict_are_left_out(stored: Stored) -> None:
    of = slider([(5.0,)])
    unknown = stored(Verdict.PASS, (1.0, OTHER, Verdict.PASS))
    without = stored(Verdict.NO_VERDICT, (None, NOW, Verdict.NO_VERDICT))
    late = stored(Verdict.NO_VERDICT, (1.0, NOW, Verdict.PASS))
    assert replayed([unknown, without, late], of) == []


def test_a_view_with_another_recipe_goes_on_rejecting(stored: Stored) -> None:
    of = slider([(5.0,), (4.0,)])
    views = ((1.0, NOW, Verdict.PASS), (9.0, OTHER, Verdict.REJECT))
    assert places(stored(Verdict.REJECT, *views), of) == (True, 0, 0)
    views = ((4.5, NOW, Verdict.PASS), (1.0, OTHER, Verdict.PASS))
    assert places(stored(Verdict.PASS, *views), of) == (False, 1, 1)


def test_with_zones_what_a_score_cannot_tell_is_left_open(stored: Stored) -> None:
    """Every pair of zone values with its true verdict at each point, beside what is told."""
    np = pytest.importorskip("numpy")
    points = [(5.0, 8.0), (4.0, 8.0), (4.0, 6.0)]
    of = slider(points)
    zones = np.array([[1, 2]], np.uint8)
    for first in (3.0, 4.5, 5.5):
        for second in (5.0, 7.0, 9.0):
            score = score_of_zones((first, second), points[0])
            told, before, rejected_from = places(
                stored(Verdict.PASS, (score, NOW, Verdict.PASS)), of
            )
            assert not told
            truly = [
                decide_by_zone(
                    score,
                    np.array([[first, second]], np.float32),
                    zones,
                    [Thresholds(one, 1.0) for one in point],
                ).verdict
                is Verdict.REJECT
                for point in points
            ]
            assert not any(truly[:before])
            assert all(truly[rejected_from:])
    assert (before, rejected_from) == (0, 0)  # of the last pair, above both thresholds
