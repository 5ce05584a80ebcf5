"""The record of a part and its JSON form."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from pydantic import ValidationError

from edge.part.record import InspectionRecord, record_from_settled
from edge.part.result import Settled
from edge.pipeline.status import OutputStatus, StageCounts, Tally
from edge.service.run import describe
from inspection.inspector import Inspection, no_verdict
from inspection.verdict import Cause, Thresholds, Verdict

MakeSettled = Callable[..., Settled]


def test_json_form(make_settled: MakeSettled) -> None:
    record = record_from_settled(make_settled(1), ("2026-11-21/a.frame.png",))
    judged = {
        "view": "main",
        "source": "1.png",
        "recipe": "default",
        "recipe_number": None,
        "verdict": "REJECT",
        "cause": None,
        "message": "",
        "score": 3.25,
        "threshold": 2.5,
        "threshold_review": 2.0,
        "threshold_pixel": 1.5,
        "artefact_sha256": "a" * 64,
        "calibration_seal": "b" * 64,
    }
    stages = {"preprocess": 1.0, "infer": 9.0, "decide": 0.5}
    assert json.loads(record.model_dump_json()) == {
        "trigger_id": "test-000001",
        "part_id": None,
        "triggered_utc": "2026-11-21T04:14:01Z",
        **judged,
        "latency_ms": {**stages, "total": 12.5},
        "deadline_ms": 40.0,
        "views": [{**judged, "latency_ms": {**stages, "total": 12.0}}],
        "images": ["2026-11-21/a.frame.png"],
        "told": [],
    }


def test_json_form_reads_back(make_settled: MakeSettled) -> None:
    record = record_from_settled(make_settled(1))
    assert InspectionRecord.model_validate_json(record.model_dump_json()) == record


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_not_finite_is_null(make_settled: MakeSettled, score: float) -> None:
    mask = np.zeros((8, 8), dtype=np.bool_)
    inspection = Inspection(
        verdict=Verdict.NO_VERDICT,
        score=score,
        thresholds=Thresholds(2.5, 2.5),
        anomaly_map=None,
        mask=mask,
        cause=Cause.NOT_FINITE,
    )
    text = record_from_settled(make_settled(1, inspection)).model_dump_json()
    assert json.loads(text, parse_constant=pytest.fail)["score"] is None


def test_without_a_frame_there_is_no_source_and_no_stage(make_settled: MakeSettled) -> None:
    settled = make_settled(1, no_verdict(Cause.CAMERA, "unplugged"), with_frame=False)
    record = record_from_settled(settled)
    assert (record.source, record.cause, record.message) == (None, Cause.CAMERA, "unplugged")
    assert record.latency_ms.infer is None


def test_nan_is_refused(make_settled: MakeSettled) -> None:
    values = record_from_settled(make_settled(1)).model_dump()
    with pytest.raises(ValidationError, match="finite number"):
        InspectionRecord(**{**values, "score": float("nan")})


def test_tally_counts_and_takes_percentiles(make_settled: MakeSettled) -> None:
    tally = Tally()
    for number in range(1, 4):
        tally.add(record_from_settled(make_settled(number)))
    late = make_settled(4, no_verdict(Cause.DEADLINE, "late"))
    tally.add(record_from_settled(late))
    lost = make_settled(5, no_verdict(Cause.CAMERA, "lost"), with_frame=False)
    tally.add(record_from_settled(lost))
    summary = tally.summary(10.0, StageCounts(late_results=1, stray_frames=3))
    assert (summary.late_results, summary.stray_frames, summary.images_failed) == (1, 3, 0)
    assert summary.triggers == 5
    assert summary.verdicts[Verdict.REJECT] == 3
    assert summary.causes == {Cause.DEADLINE: 1, Cause.CAMERA: 1}
    assert summary.missed_deadlines == 1
    assert summary.latency_p50_ms == 12.5
    assert summary.parts_per_minute == 30.0
    assert json.loads(json.dumps(summary.as_json()))["causes"] == {"deadline": 1, "camera": 1}


def test_the_summary_counts_the_verdicts_of_each_output() -> None:
    summary = Tally().summary(
        0.0,
        outputs={
            "modbus": OutputStatus(is_up=False, undelivered=3),
            "mqtt": OutputStatus(is_up=True, waiting=2),
            "jsonlines": OutputStatus(is_up=True),
        },
    )
    lines = [line for line in describe(summary) if line.startswith("output ")]
    assert lines == [
        "output modbus: 3 verdicts not delivered, 0 waiting",
        "output mqtt: 0 verdicts not delivered, 2 waiting",
    ]
    told = json.loads(json.dumps(summary.as_json()))["outputs"]
    assert (told["modbus"]["undelivered"], told["mqtt"]["waiting"]) == (3, 2)


def test_summary_of_nothing() -> None:
    summary = Tally().summary(0.0)
    assert (summary.triggers, summary.latency_p99_ms, summary.parts_per_minute) == (0, None, 0.0)
