"""Good images that stand out are named, count, and are left out only by a person."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.calibrate import CalibrationResult, CalibrationSettings, calibrate
from calibration.report import write_calibration_report
from calibration.statements import describe, outlier_notice
from calibration.thresholds import CalibrationTargets
from edge import Inspector
from inspection.bundle import Bundle
from inspection.errors import CameraError
from inspection.files import sha256_of
from reports.spreads import MOST_SPREADS, spreads_above

LEVELS = [50, 61, 54, 53, 60, 57, 52, 58]


def parts(folder: Path, levels: list[int]) -> list[Path]:
    folder.mkdir()
    for number, level in enumerate(levels):
        image = np.full((32, 32), 5, np.uint8)
        image[number, 4] = level
        cv2.imwrite(str(folder / f"{number}.png"), image)
    return sorted(folder.iterdir())


def calibrated(
    bundle: Bundle, paths: list[Path], without: dict[str, str] | None = None
) -> CalibrationResult:
    return calibrate(
        bundle, paths, CalibrationTargets(0.01), CalibrationSettings(without=without or {})
    )


def test_the_measure_does_not_depend_on_the_outliers_or_the_scale() -> None:
    clean = np.random.default_rng(0).lognormal(size=20)
    one, far = (spreads_above([*clean, value])[-1] for value in (1e3, 1e6))
    assert min(one, far) > MOST_SPREADS
    assert spreads_above([*clean, 9e3])[:20] == pytest.approx(spreads_above([*clean, 1e6])[:20])
    assert spreads_above(list(7 * clean + 3)) == pytest.approx(spreads_above(list(clean)))


@pytest.mark.parametrize("scores", [[1.0], [1.0, 2.0, 9.0, 90.0], [3.0] * 9])
def test_few_or_equal_scores_have_no_outliers(scores: list[float]) -> None:
    assert spreads_above(scores) == [0.0] * len(scores)


def test_an_outlier_counts_and_is_named_with_the_threshold_without_it(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    paths = parts(tmp_path / "good", [*LEVELS, 200])
    result = calibrated(tiny_bundle, paths)
    kept = result.calibration
    assert kept.thresholds.reject == pytest.approx(200 / 255, abs=1e-6)
    assert set(kept.outliers) == {sha256_of(paths[8])}
    warning = (
        "1 of 9 good images stand out and count all the same: 8.png (0.784314); with them the "
        "threshold is 0.784314; without: 0.239216; look at them, and leave out those that are not "
        "good with --without FILE"
    )
    assert outlier_notice(result) == [warning]
    assert f"warning: {warning}" in describe(result)
    with Inspector.open(tiny_bundle) as inspector:
        write_calibration_report(tmp_path / "page.html", result, inspector)
    page = (tmp_path / "page.html").read_text()
    assert "Good images that stand out" in page
    assert page.count("data:image/jpeg;base64,/9j/") == 2 * (8 + 1)  # the worst eight, and it again


def test_a_person_leaves_it_out_and_the_file_says_so(tiny_bundle: Bundle, tmp_path: Path) -> None:
    paths = parts(tmp_path / "good", [*LEVELS, 200])
    result = calibrated(tiny_bundle, paths, {sha256_of(paths[8]): "8.png"})
    kept = tiny_bundle.calibration("default", "model.onnx")
    assert kept.without == {sha256_of(paths[8]): "8.png"}
    assert kept.outliers == {}
    assert kept.thresholds.reject == pytest.approx(61 / 255, abs=1e-6)
    assert "left out by hand: 8.png" in describe(result)
    with pytest.raises(CameraError, match=r"or they are left out by hand \(1\)"):
        calibrated(tiny_bundle, [paths[8]], {sha256_of(paths[8]): "8.png"})


def test_a_page_without_outliers_has_no_such_heading(tiny_bundle: Bundle, tmp_path: Path) -> None:
    result = calibrated(tiny_bundle, parts(tmp_path / "good", LEVELS))
    with Inspector.open(tiny_bundle) as inspector:
        write_calibration_report(tmp_path / "page.html", result, inspector)
    assert "stand out" not in (tmp_path / "page.html").read_text()
