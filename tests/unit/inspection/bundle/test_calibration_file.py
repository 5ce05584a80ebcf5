"""The calibration file: schema 1 keeps its keys and its seals."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from inspection.bundle.calibration_file import Calibration
from inspection.trust.sealed import parse_sealed
from inspection.verdict import Thresholds

KEY = b"0123456789abcdef"
LEFT = {"score": 2.5, "pixel": 1.5, "review": 2.0, "minimum_area_px": 4}
RIGHT = {"score": 2.25, "pixel": 1.25, "review": None, "minimum_area_px": 1}
WRITTEN: dict[str, Any] = {  # by the first release, sealed and vouched for under KEY
    "seal": "51a0618744882577921fc577908e6008397862c4c20e41ead71d2dee7e2f7c20",
    "mac": "db793e10f42c394e14e59b59e38a2ff1e30a40c6bde69d0b41a9751538e3a394",
    "schema_version": 1,
    "recipe": "flange",
    "created_utc": "2026-01-01T00:00:00+00:00",
    "artefact": "model.onnx",
    "artefact_sha256": "a" * 64,
    "false_reject_rate_target": 0.01,
    "confidence": 0.95,
    "false_reject_rate_bound": 0.02,
    "threshold_score": 2.5,
    "threshold_pixel": 1.5,
    "threshold_review": 2.0,
    "review_rate_bound": 0.05,
    "mask_rate_bound": None,
    "minimum_area_px": 4,
    "scores": {"b" * 64: 1.25},
    "parts": {},
    "layout": {
        "frame_height": 4,
        "frame_width": 8,
        "zones": [
            {"name": name, "polygons": [corners], "minimum_area_px": None}
            for name, corners in (
                ("left", [[0.0, 0.0], [4.0, 0.0], [4.0, 4.0]]),
                ("right", [[4.0, 0.0], [8.0, 0.0], [8.0, 4.0]]),
            )
        ],
        "ignore": [],
        "alignment": None,
    },
    "zone_thresholds": {"left": LEFT, "right": RIGHT},
    "zone_scores": {"b" * 64: [1.0, 0.75]},
}


def read(content: dict[str, Any]) -> Calibration:
    return parse_sealed(json.dumps(content).encode(), Path("flange.json"), Calibration, "mend")


def test_a_file_of_the_first_release_opens_and_verifies() -> None:
    calibration = read(WRITTEN)
    assert calibration.is_vouched(KEY)
    assert calibration.thresholds == Thresholds(2.5, 1.5, review=2.0, minimum_area_px=4)
    assert calibration.zone_thresholds == {
        "left": Thresholds(2.5, 1.5, review=2.0, minimum_area_px=4),
        "right": Thresholds(2.25, 1.25),
    }


def test_it_is_written_as_it_was_read() -> None:
    assert json.loads(read(WRITTEN).model_dump_json()) == WRITTEN


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"threshold_score": None}, "thresholds.reject"),
        ({"zone_thresholds": {"left": LEFT, "right": {**RIGHT, "scores": 1.0}}}, "scores"),
        ({"threshold": 2.5}, "threshold"),
    ],
)
def test_other_keys_and_values_are_refused(change: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError, match=where):
        Calibration.model_validate({**WRITTEN, **change})
