"""The report of a calibration."""

import re
from pathlib import Path

import cv2
import numpy as np

from calibration.calibrate import CalibrationResult, calibrate
from calibration.report import notices, promises, worst_cards, write_calibration_report
from calibration.thresholds import CalibrationTargets
from edge import Inspector
from inspection.bundle import Bundle


def calibrated(
    bundle: Bundle, folder: Path, levels: list[int], targets: CalibrationTargets
) -> CalibrationResult:
    folder.mkdir()
    for level in levels:
        image = np.full((32, 32), 5, np.uint8)
        image[level % 32, 4] = level
        cv2.imwrite(str(folder / f"{level}.png"), image)
    return calibrate(bundle, sorted(folder.iterdir()), targets, author="anna", reason="<new> lamp")


def test_the_promise_is_said_in_words(tiny_bundle: Bundle, tmp_path: Path) -> None:
    levels = [20 + 5 * number for number in range(30)]
    result = calibrated(
        tiny_bundle, tmp_path / "good", levels, CalibrationTargets(0.1, review_rate=0.3)
    )
    rejected, reviewed, masked = promises(result)
    assert rejected == (
        "Of further good parts like these 30, at most 9.50% score above 0.647059 and are "
        "rejected, with 95% confidence, whatever the distribution of their scores."
    )
    assert reviewed == (
        "At most 27.96% score above 0.568627 and are reviewed or rejected, with 95% confidence."
    )
    assert masked == (
        "At most 9.50% have a region of 2 px or more above 0.607843 in their anomaly map, with "
        "95% confidence."
    )
    ordered, counted = notices(result)  # the files are named by their brightness
    assert ordered == (
        "neighbouring files are more alike than independent parts (position, light, focus, "
        "contrast, score): the promise may not hold for parts of other days and lots; calibrate "
        "with parts of several days or lots, or name the lots with --lot-name"
    )
    assert counted == (
        "every image counts as one part: if there are several images of a part, calibrate again "
        "with --part-name"
    )


def test_the_page_shows_charts_and_the_worst_images(tiny_bundle: Bundle, tmp_path: Path) -> None:
    levels = [20, 60, 40, 90, 30, 55, 66, 77, 88, 99]
    result = calibrated(tiny_bundle, tmp_path / "good", levels, CalibrationTargets(0.01))
    path = tmp_path / "pages" / "calibration.html"
    with Inspector.open(tiny_bundle) as inspector:
        write_calibration_report(path, result, inspector)
        cards = worst_cards(result, inspector)
    assert [card.name for card in cards] == [
        f"{level}.png" for level in (99, 90, 88, 77, 66, 60, 55, 40)
    ]
    page = path.read_text()
    for shown in (
        "by anna: &lt;new&gt; lamp",
        ("the target of 1.00% needs 299 good parts, 289 more; until then the promise is 25.89%"),
        result.calibration.seal,
        result.calibration.previous_seal or "-",
        result.calibration.data_sha256 or "-",
    ):
        assert shown in page
    assert page.count("<svg") == 2
    assert page.count("data:image/jpeg;base64,/9j/") == 16
    assert not re.search(r"(src|href)=\"(?!data:)|url\(|@import", page)
