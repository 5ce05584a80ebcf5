"""Calibrating a bundle whose scores can be worked out by hand."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.calibrate import CalibrationSettings, calibrate
from calibration.good_parts import curve_of
from calibration.layout_trial import targets_of
from calibration.learnt import LearntImages
from calibration.more_good import limit_with
from calibration.report import notices, promises, sentence
from calibration.sensitivity import place_of
from calibration.statements import NO_PROMISE, describe
from calibration.thresholds import CalibrationTargets
from edge import Inspector
from inspection.bundle import Bundle, open_bundle
from inspection.bundle.calibration_file import Judged
from inspection.bundle.manifest import seal_bundle
from inspection.drift.charts import MOVED
from inspection.engine import Prediction
from inspection.errors import BundleError, CameraError, ConfigError
from inspection.files import sha256_of
from inspection.images import read_image


def good_parts(folder: Path, brightest: list[int], size: int = 32) -> list[Path]:
    folder.mkdir()
    paths = []
    for number, value in enumerate(brightest):
        image = np.full((size, size), 5, np.uint8)
        image[number % size, 0] = value
        paths.append(folder / f"{number}.png")
        cv2.imwrite(str(paths[-1]), image)
    return paths


def test_the_part_that_sets_the_threshold_passes(tiny_bundle: Bundle, tmp_path: Path) -> None:
    paths = good_parts(tmp_path / "good", [20, 60, 40, 90, 30])
    result = calibrate(tiny_bundle, paths, CalibrationTargets(0.01))
    assert result.calibration.thresholds.reject == pytest.approx(90 / 255, abs=1e-6)
    assert result.calibration.thresholds.pixel == pytest.approx(90 / 255, abs=1e-6)
    assert result.promised.reject_limit.bound == pytest.approx(1 - 0.05 ** (1 / 5))
    assert set(result.calibration.scores) == {sha256_of(path) for path in paths}
    with Inspector.open(tiny_bundle.folder) as inspector:
        verdicts = [inspector.inspect(cv2.imread(str(p), 0)).verdict.value for p in paths]  # type: ignore[arg-type]
    assert verdicts == ["PASS"] * 5


def test_repeated_images_count_once(tiny_bundle: Bundle, tmp_path: Path) -> None:
    paths = good_parts(tmp_path / "good", [20, 60])
    copy = tmp_path / "good" / "copy.png"
    copy.write_bytes(paths[0].read_bytes())
    result = calibrate(tiny_bundle, [*paths, copy], CalibrationTargets(0.01))
    assert result.promised.reject_limit.parts == 2
    assert result.repeated == [copy]


def test_copies_in_another_format_count_once(tiny_bundle: Bundle, tmp_path: Path) -> None:
    paths = good_parts(tmp_path / "good", [20, 60])
    copy = tmp_path / "good" / "copy.bmp"
    cv2.imwrite(str(copy), read_image(paths[0]))
    result = calibrate(tiny_bundle, [*paths, copy], CalibrationTargets(0.01))
    assert result.promised.reject_limit.parts == 2
    assert result.repeated == [copy]


def bundle_trained_on(bundle: Bundle, paths: list[Path]) -> Bundle:
    record = {"images_sha256": [sha256_of(path) for path in paths]}
    (bundle.folder / "training.json").write_text(json.dumps(record))
    (bundle.folder / "manifest.json").unlink()
    for calibration in (bundle.folder / "calibration").iterdir():
        calibration.unlink()
    seal_bundle(bundle.folder, bundle.manifest.model_dump(exclude={"files", "seal"}))
    return open_bundle(bundle.folder)


def test_images_of_the_training_are_left_out(tiny_bundle: Bundle, tmp_path: Path) -> None:
    paths = good_parts(tmp_path / "good", [200, 20, 60])
    bundle = bundle_trained_on(tiny_bundle, paths[:1])
    result = calibrate(bundle, paths, CalibrationTargets(0.01))
    assert result.fitted == paths[:1]
    assert result.calibration.thresholds.reject == pytest.approx(60 / 255, abs=1e-6)
    with pytest.raises(
        CameraError, match="the model was trained on all 1 images: bring good parts"
    ):
        calibrate(bundle, paths[:1], CalibrationTargets(0.01))


def test_a_part_is_left_out_when_the_model_knows_one_of_its_images(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    paths = good_parts(tmp_path / "good", [20, 200, 30, 60, 210, 220, 40])
    bundle = bundle_trained_on(tiny_bundle, [paths[0], paths[4]])
    targets = CalibrationTargets(0.01, part_of=lambda path: str(int(path.stem) // 2))
    result = calibrate(bundle, paths, targets)
    assert result.fitted == [paths[0], paths[4]]
    assert result.fitted_parts == {"0": [paths[1]], "2": [paths[5]]}
    assert result.promised.reject_limit.parts == 2
    assert result.calibration.thresholds.reject == pytest.approx(60 / 255, abs=1e-6)
    assert describe(result)[:2] == [
        "left out 2 images that the model was trained on",
        "left out 2 images of 2 parts that the model was trained on in other images",
    ]
    uneven = (
        "parts have 1 to 2 images: a part scores as its highest image, so that one with fewer "
        "images than the line takes scores too low; bring all of its images, or none"
    )
    assert f"warning: {uneven}" in describe(result)
    assert uneven in notices(result)
    even = calibrate(bundle, paths[2:4], targets)
    assert not any("scores too low" in line for line in (*describe(even), *notices(even)))
    again = targets_of(bundle, result.calibration, [*paths[2:5], paths[6]]).part_of
    assert again is not None
    assert [again(path) for path in (paths[2], paths[3], paths[6])] == ["1", "1", "3"]
    assert again(paths[4])  # an image of the training counts nowhere, and has a name of its own
    with pytest.raises(CameraError, match="trained on images of all parts in these 2 images: bri"):
        calibrate(bundle, paths[:2], targets)


def test_every_unusable_image_is_named_and_nothing_is_written(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    before = tiny_bundle.calibration("default", "model.onnx")
    paths = good_parts(tmp_path / "good", [20, 60, 70])
    paths[1].write_bytes(b"")
    odd = good_parts(tmp_path / "odd", [20], size=16)
    with pytest.raises(CameraError) as caught:
        calibrate(tiny_bundle, [*paths, *odd], CalibrationTargets(0.01))
    message = str(caught.value)
    assert message.startswith("2 of 4 images cannot be used:\n")
    assert f"{paths[1]}: the file is empty" in message
    assert f"{odd[0]}: the frame is 16x16" in message
    assert tiny_bundle.calibration("default", "model.onnx") == before


def test_enough_good_parts_are_the_baseline_of_drift(tiny_bundle: Bundle, tmp_path: Path) -> None:
    paths = good_parts(tmp_path / "good", list(range(20, 50)))
    few = calibrate(tiny_bundle, paths[:29], CalibrationTargets(0.01)).calibration
    assert few.drift is None
    assert "drift" not in json.loads(few.model_dump_json())  # the seal of an older one stays right
    enough = calibrate(tiny_bundle, paths, CalibrationTargets(0.01)).calibration
    assert enough.drift is not None
    assert set(enough.drift.values) == set(MOVED)
    assert enough.drift.values["score"] == tuple(sorted(enough.scores.values()))
    reference = enough.drift.reference()
    assert reference is not None
    assert np.array_equal(reference, read_image(paths[15]))


def test_views_of_a_part_are_no_baseline_of_drift(tiny_bundle: Bundle, tmp_path: Path) -> None:
    paths = good_parts(tmp_path / "good", list(range(20, 52)))
    views = CalibrationTargets(0.01, part_of=lambda path: str(int(path.stem) // 2))
    result = calibrate(tiny_bundle, paths, views)
    assert result.calibration.drift is None
    assert (
        "drift: not watched; a part has several images, and a line is watched view by view: "
        "calibrate a recipe for each view with its images"
    ) in describe(result)
    named = CalibrationTargets(0.01, part_of=lambda path: path.stem)
    assert calibrate(tiny_bundle, paths, named).calibration.drift is not None


def test_a_baseline_without_its_image_is_refused(tiny_bundle: Bundle, tmp_path: Path) -> None:
    paths = good_parts(tmp_path / "good", list(range(20, 50)))
    drift = calibrate(tiny_bundle, paths, CalibrationTargets(0.01)).calibration.drift
    assert drift is not None
    with pytest.raises(BundleError, match=r"the reference image of the drift baseline: .* again"):
        drift.model_copy(update={"reference_png": b"x"}).reference()


def test_frames_of_one_part_count_once(tiny_bundle: Bundle, tmp_path: Path) -> None:
    paths = good_parts(tmp_path / "good", [20, 60, 40, 90, 30, 50])
    targets = CalibrationTargets(0.01, part_of=lambda path: str(int(path.stem) // 2))
    result = calibrate(tiny_bundle, paths, targets)
    assert result.promised.reject_limit.parts == 3
    assert sorted(result.calibration.parts.values()) == ["0", "0", "1", "1", "2", "2"]
    assert result.calibration.thresholds.reject == pytest.approx(90 / 255, abs=1e-6)


def test_a_review_band_lies_below_the_threshold(tiny_bundle: Bundle, tmp_path: Path) -> None:
    paths = good_parts(tmp_path / "good", [20 + 5 * number for number in range(30)])
    result = calibrate(tiny_bundle, paths, CalibrationTargets(0.1, review_rate=0.3))
    assert result.promised.review is not None
    band = result.calibration
    assert band.thresholds.review is not None
    assert band.thresholds.review < band.thresholds.reject
    assert band.review_rate_bound is not None
    assert band.review_rate_bound <= 0.3
    with Inspector.open(tiny_bundle.folder) as inspector:
        verdicts = {inspector.inspect(cv2.imread(str(p), 0)).verdict.value for p in paths}  # type: ignore[arg-type]
    assert verdicts == {"PASS", "REVIEW"}


def test_a_smallest_area_clears_the_mask(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """Good parts have single bright pixels: with regions of two, the threshold falls below them."""
    paths = good_parts(tmp_path / "good", [20, 60, 40, 90, 30])
    result = calibrate(tiny_bundle, paths, CalibrationTargets(0.5, minimum_area_px=2))
    assert result.calibration.thresholds.minimum_area_px == 2
    assert result.calibration.thresholds.pixel == pytest.approx(5 / 255, abs=1e-6)
    frame = np.full((32, 32), 5, np.uint8)
    frame[3, 4] = 250
    frame[20:22, 20] = 240
    with Inspector.open(tiny_bundle.folder) as inspector:
        mask = inspector.inspect(frame).mask
    assert np.argwhere(mask).tolist() == [[20, 20], [21, 20]]


def few(paths: list[Path], judged: Judged, level: float) -> LearntImages:
    one = Prediction(np.array([level], np.float32), np.full((1, 32, 32), level, np.float32))
    return LearntImages(judged, dict.fromkeys(map(sha256_of, paths), one))


def test_learnt_images_count_with_the_prediction_that_is_given(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    paths = good_parts(tmp_path / "good", [20, 60, 40, 90, 30])
    learnt = few(paths, "without_itself", 0.7)
    result = calibrate(
        tiny_bundle, paths, CalibrationTargets(0.01), CalibrationSettings(learnt=learnt)
    )
    kept = result.calibration
    assert kept.thresholds.reject == pytest.approx(0.7)
    assert kept.judged == "without_itself"
    assert kept.false_reject_rate_average == pytest.approx(1 / 6)
    assert kept.false_reject_rate_bound == pytest.approx(1 - 0.05 ** (1 / 5))
    said = (
        (
            "threshold 0.7 from 5 good parts, each judged by a model of the others: false reject "
            "rate at most 16.67% on average over sets of as many good parts"
        ),
        (
            "for this set about 45.07% at most with 95% confidence, an approximation: such scores "
            "are not quite independent"
        ),
    )
    assert describe(result)[:3] == [
        *said,
        (
            "the target of 1.00% needs 299 good parts that the model has not learnt: bring them to "
            "linewarden calibrate"
        ),
    ]
    assert promises(result)[:2] == [sentence(one) for one in said]
    assert "with about 95% confidence." in promises(result)[2]
    assert notices(result) == [
        (
            "the target of 1.00% needs 299 good parts that the model has not learnt; until then "
            "the promise is about 45.07%"
        ),
        (
            "every image counts as one part: if there are several images of a part, the promise "
            "does not hold: teach again with --part-name"
        ),
    ]


def test_fewer_than_five_learnt_images_have_no_bound(tiny_bundle: Bundle, tmp_path: Path) -> None:
    paths = good_parts(tmp_path / "good", [20, 60, 40, 90])
    learnt = few(paths, "without_itself", 0.7)
    result = calibrate(
        tiny_bundle, paths, CalibrationTargets(0.01), CalibrationSettings(learnt=learnt)
    )
    kept = result.calibration
    assert (kept.false_reject_rate_bound, kept.mask_rate_bound) == (1.0, 1.0)
    assert kept.false_reject_rate_average == pytest.approx(1 / 5)
    said = (
        (
            "threshold 0.7 from 4 good parts, each judged by a model of the others: false reject "
            "rate at most 20.00% on average over sets of as many good parts"
        ),
        "no bound is known for this set: it takes 5 good parts",
    )
    assert describe(result)[:2] == list(said)
    assert promises(result) == [sentence(one) for one in said]
    assert notices(result)[0] == (
        "the target of 1.00% needs 299 good parts that the model has not learnt; until then the "
        "promise is none"
    )
    with pytest.raises(ConfigError, match="no sensitivity slider, because it has too few good p"):
        place_of(kept)
    with pytest.raises(ConfigError, match="it was made of too few images that the model has lea"):
        limit_with(kept, [0.5])


def test_a_single_image_promises_nothing(tiny_bundle: Bundle, tmp_path: Path) -> None:
    paths = good_parts(tmp_path / "good", [20])
    learnt = few(paths, "mirrored", 0.7)
    result = calibrate(
        tiny_bundle, paths, CalibrationTargets(0.01), CalibrationSettings(learnt=learnt)
    )
    kept = result.calibration
    assert (kept.false_reject_rate_bound, kept.false_reject_rate_average) == (1.0, 1.0)
    assert kept.mask_rate_bound == 1.0
    assert curve_of(kept) is None
    assert describe(result)[0] == f"threshold 0.7 from 1 good part: {NO_PROMISE}"
    assert not any("at most" in line for line in describe(result))
