"""The slider as values: points with their promises and refusals, and the scores they hold for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calibration.calibrate import calibrate
from calibration.sensitivity import move_slider, place_of, slider_of
from calibration.slider_view import slider_view
from calibration.thresholds import CalibrationTargets
from inspection.bundle import Bundle
from inspection.bundle.calibration_file import Calibration
from inspection.errors import ConfigError
from inspection.images import encode_png
from tests.doubles.line_folder import part


def calibrated(bundle: Bundle, folder: Path, *, review_rate: float | None = None) -> Calibration:
    folder.mkdir(exist_ok=True)
    for level in range(60, 120):
        image = part(20)
        image[3, 4] = level
        (folder / f"{level}.png").write_bytes(encode_png(image))
    targets = CalibrationTargets(0.1, review_rate=review_rate)
    return calibrate(bundle, sorted(folder.iterdir()), targets).calibration


def test_the_points_are_those_that_the_slider_takes(tiny_bundle: Bundle, tmp_path: Path) -> None:
    active = calibrated(tiny_bundle, tmp_path / "good")
    view = json.loads(json.dumps(slider_view(tiny_bundle, active)))
    points = view["points"]
    assert len(view["scores"]) == 60
    assert [points[0]["position"], points[-1]["position"]] == [0.0, 1.0]
    thresholds = [point["reject"] for point in points]
    assert thresholds == sorted(set(thresholds), reverse=True)
    assert view["is_approximate"] is False
    learnt = active.model_copy(update={"judged": "without_itself"})
    assert slider_view(tiny_bundle, learnt)["is_approximate"] is True
    assert view["now"]["reject"] == active.thresholds.reject == place_of(active).reject
    for point in points[::9]:
        there = slider_of(active).at(point["position"])
        assert (point["reject"], point["bound"]) == (there.reject, there.bound)
    chosen = points[len(points) // 2]
    taken = move_slider(tiny_bundle, active, chosen["position"], author="anna", reason="try")
    assert taken.thresholds.reject == chosen["reject"]
    comparable = slider_view(tiny_bundle, taken)["comparable"]
    assert {seal: comparable[seal] for seal in (active.seal, taken.seal)} == {
        active.seal: (active.thresholds.reject,),
        taken.seal: (chosen["reject"],),
    }


def test_a_point_that_cannot_be_taken_says_why(tiny_bundle: Bundle, tmp_path: Path) -> None:
    active = calibrated(tiny_bundle, tmp_path / "good", review_rate=0.3)
    view = slider_view(tiny_bundle, active)
    assert view["review"] == active.thresholds.review
    refused = [point for point in view["points"] if point["refusal"]]
    assert refused == view["points"][-len(refused) :]
    assert "nothing would be left of it" in refused[0]["refusal"]
    for point in (view["points"][-len(refused) - 1], refused[0]):
        arguments = (tiny_bundle, active, point["position"])
        if point["refusal"]:
            with pytest.raises(ConfigError, match="nothing would be left"):
                move_slider(*arguments, author="", reason="try")
        else:
            move_slider(*arguments, author="", reason="try")
