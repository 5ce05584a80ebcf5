"""A first stage in lower precision passes clearly good parts, and decides nothing else."""

from __future__ import annotations

import time

import numpy as np
import pytest

from inspection.bundle import Bundle
from inspection.engine import Prediction
from inspection.engine.cpu_record import Margin
from inspection.errors import EngineError
from inspection.inspector import Inspection, Inspector, StageTimes
from inspection.opening import EarlyPass
from inspection.verdict import Cause, Thresholds, Verdict

SIDE = 32
LIMITS = Thresholds(reject=1.0, review=0.8, pixel=0.5)
FRAME = np.zeros((SIDE, SIDE), np.uint8)


class Scoring:
    """An engine that gives one score, on the whole map, and counts its runs."""

    def __init__(self, score: float) -> None:
        self.runs = 0
        self.is_closed = False
        self._score = score

    def infer(self, batch: np.ndarray, deadline_ns: int | None = None) -> Prediction:
        self.runs += 1
        return Prediction(
            np.array([self._score], np.float32), np.full((1, SIDE, SIDE), self._score, np.float32)
        )

    def close(self) -> None:
        self.is_closed = True


class Broken(Scoring):
    def infer(self, batch: np.ndarray, deadline_ns: int | None = None) -> Prediction:
        raise EngineError("the first stage failed")


def cascade(
    bundle: Bundle, first: Scoring, exact: Scoring, margin: float = 0.1, seen_to: float = 9.0
) -> Inspector:
    calibration = bundle.calibration("default", "model.onnx")
    calibration = calibration.model_copy(update={"thresholds": LIMITS})
    early = EarlyPass(first, Margin(width=margin, seen_to=seen_to), "early")
    return Inspector(bundle, calibration, exact, early=early)


def judged(bundle: Bundle, first: float, exact: float) -> tuple[Inspection, int]:
    """Returns the inspection, and how often the FP32 graph ran."""
    engine = Scoring(exact)
    return cascade(bundle, Scoring(first), engine).inspect(FRAME), engine.runs


def test_a_part_clear_of_all_thresholds_is_passed_at_once(tiny_bundle: Bundle) -> None:
    inspection, second_looks = judged(tiny_bundle, first=0.69, exact=9.0)
    assert (inspection.verdict, second_looks) == (Verdict.PASS, 0)
    assert inspection.is_early
    assert inspection.score == np.float32(0.69)
    assert inspection.thresholds == LIMITS


@pytest.mark.parametrize(
    ("first", "exact", "verdict"),
    [
        (0.71, 0.6, Verdict.PASS),  # within the margin of the review threshold
        (0.71, 0.9, Verdict.REVIEW),
        (0.71, 1.1, Verdict.REJECT),
        (5.0, 0.6, Verdict.PASS),  # the first stage rejects nothing
        (5.0, 5.1, Verdict.REJECT),
        (float("nan"), 0.6, Verdict.PASS),
        (float("nan"), float("nan"), Verdict.NO_VERDICT),
    ],
)
def test_the_fp32_graph_decides_on_all_others(
    first: float, exact: float, verdict: Verdict, tiny_bundle: Bundle
) -> None:
    inspection, second_looks = judged(tiny_bundle, first, exact)
    assert (inspection.verdict, second_looks) == (verdict, 1)
    assert not inspection.is_early
    np.testing.assert_equal(inspection.score, np.float32(exact))  # NaN equals NaN here


def test_a_threshold_above_all_that_the_build_saw_counts_as_that(tiny_bundle: Bundle) -> None:
    exact = Scoring(0.6)
    inspector = cascade(tiny_bundle, Scoring(0.45), exact, seen_to=0.5)
    assert not inspector.inspect(FRAME).is_early  # 0.4 is the limit
    assert cascade(tiny_bundle, Scoring(0.39), exact, seen_to=0.5).inspect(FRAME).is_early


def test_zones_have_no_first_stage(tiny_bundle: Bundle) -> None:
    calibration = tiny_bundle.calibration("default", "model.onnx")
    zoned = calibration.model_copy(update={"zone_thresholds": {"left": LIMITS}})
    early = EarlyPass(Scoring(0.1), Margin(width=0.1, seen_to=9.0), "early")
    with pytest.raises(ValueError, match="zones have none"):
        Inspector(tiny_bundle, zoned, Scoring(0.1), early=early)


def test_a_second_look_that_nobody_waits_for_is_left_out(tiny_bundle: Bundle) -> None:
    exact = Scoring(0.6)
    inspector = cascade(tiny_bundle, Scoring(5.0), exact)
    prepared = inspector.prepare(FRAME)
    assert not isinstance(prepared, Inspection)
    late = inspector.infer(prepared, deadline_ns=time.monotonic_ns())
    assert (late.verdict, late.cause) == (Verdict.NO_VERDICT, Cause.DEADLINE)
    assert exact.runs == 0


def test_a_failed_first_stage_gives_no_verdict_and_hides_nothing(tiny_bundle: Bundle) -> None:
    exact = Scoring(0.1)
    inspection = cascade(tiny_bundle, Broken(0.0), exact).inspect(FRAME)
    assert (inspection.verdict, inspection.cause) == (Verdict.NO_VERDICT, Cause.ENGINE)
    assert inspection.is_early
    assert exact.runs == 0


def test_a_second_look_takes_the_time_of_both_and_prepares_once() -> None:
    assert StageTimes(0, 20, 3).after(StageTimes(100, 50, 4)) == StageTimes(100, 70, 7)


def test_both_stages_are_timed_warmed_and_closed(tiny_bundle: Bundle) -> None:
    first, exact = Scoring(5.0), Scoring(0.1)
    inspector = cascade(tiny_bundle, first, exact)
    times = inspector.inspect(FRAME).times
    alone = Inspector(
        tiny_bundle, tiny_bundle.calibration("default", "model.onnx"), Scoring(0.1)
    ).inspect(FRAME)
    assert times.infer_ns > 0
    assert alone.times.preprocess_ns > 0
    assert inspector.engines == (first, exact)
    inspector.warm(first)
    assert (first.runs, exact.runs) == (2, 1)
    inspector.warm(exact)
    assert (first.runs, exact.runs) == (2, 2)
    inspector.close()
    assert first.is_closed
    assert exact.is_closed


def test_a_first_stage_that_cannot_be_opened_leaves_no_engine_open(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_settings: object) -> None:
        raise EngineError("the first stage cannot be opened")

    exact = Scoring(0.1)
    monkeypatch.setattr("inspection.inspector.open_chosen", lambda *_, **_settings: exact)
    monkeypatch.setattr("inspection.inspector.open_early", fail)
    with pytest.raises(EngineError, match="cannot be opened"):
        Inspector.open(tiny_bundle)
    assert exact.is_closed


def test_a_score_is_off_by_the_margin_of_a_first_stage_alone(tiny_bundle: Bundle) -> None:
    calibration = tiny_bundle.calibration("default", "model.onnx")
    assert Inspector(tiny_bundle, calibration, Scoring(0.1)).margin == 0.0
    assert cascade(tiny_bundle, Scoring(0.1), Scoring(0.1), margin=0.25).margin == 0.25


def test_other_thresholds_need_another_inspector(tiny_bundle: Bundle) -> None:
    inspector = cascade(tiny_bundle, Scoring(0.1), Scoring(0.1))
    with pytest.raises(AttributeError, match="calibration"):
        inspector.calibration = inspector.calibration  # type: ignore[misc]


def test_the_identity_of_a_verdict_names_its_stage(tiny_bundle: Bundle) -> None:
    identity = cascade(tiny_bundle, Scoring(0.1), Scoring(0.1)).identity
    assert identity.early_sha256 == "early"
    assert identity.artefact_sha256 == tiny_bundle.sha256("model.onnx")
