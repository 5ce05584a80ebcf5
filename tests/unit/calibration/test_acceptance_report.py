"""Acceptance studies of a bundle whose score is the brightest pixel, and their report."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.acceptance import AcceptanceStudy, study
from calibration.acceptance_report import (
    SOURCE,
    figure_rows,
    proof,
    statement,
    write_acceptance_report,
)
from calibration.labelled_parts import Plan, image_hashes, read_plan
from edge import Inspector
from inspection.bundle import Bundle
from inspection.errors import CameraError, ConfigError
from inspection.files import sha256_of

Levels = dict[str, list[int | list[int]]]


def picture(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((32, 32), 5, np.uint8)
    image[7, 9] = value
    image[0, 0] = len(list(path.parent.parent.rglob("*.png")))  # no two alike
    cv2.imwrite(str(path), image)


def labelled(folder: Path, levels: Levels) -> Path:
    """Parts by label: a number is an image, a list the shots of one part."""
    for label, parts in levels.items():
        for number, level in enumerate(parts):
            shots = [level] if isinstance(level, int) else level
            stem = folder / label / f"{number}"
            for turn, value in enumerate(shots):
                picture(
                    stem.with_suffix(".png") if shots == [level] else stem / f"{turn}.png", value
                )
    return folder


def studied(bundle: Bundle, plan: Plan) -> tuple[AcceptanceStudy, dict[str, bytes]]:
    with Inspector.open(bundle) as inspector:
        return study(inspector, plan)


SOUND: Levels = {"good": [60, 70, 80, 90], "scratch": [200, 210], "dent": [220, 230]}


def test_a_study_without_mistakes(tiny_bundle: Bundle, tmp_path: Path) -> None:
    plan = read_plan(labelled(tmp_path / "parts", SOUND), 2)
    found, pictures = studied(tiny_bundle, plan)
    calibration = tiny_bundle.calibration("default", "model.onnx")
    assert statement(found) == (
        "4 defective and 4 good parts, each shown 2 times: the inspection is acceptable."
    )
    assert proof(found.agreement) == (
        "The grades rate the figures; not all bounds are within the acceptable limits. At 95% "
        "confidence a proof takes at least 149 defective parts without a miss and 59 good parts "
        "without a false alarm."
    )
    (remark,) = found.remarks
    assert remark == (
        "stored images were shown again, so repeatability covers the inference alone: take "
        "several shots of each part to cover camera, light and position"
    )
    assert found.is_intact()
    assert (found.bundle_seal, found.calibration_seal, found.showings) == (
        tiny_bundle.manifest.seal,
        calibration.seal,
        "stored images",
    )
    assert not pictures
    assert AcceptanceStudy.model_validate_json(found.model_dump_json()) == found


def test_shots_show_whether_a_verdict_repeats(tiny_bundle: Bundle, tmp_path: Path) -> None:
    levels: Levels = {"good": [[60, 150], [70, 71]], "dent": [[200, 201], [90, 91]]}
    found, pictures = studied(tiny_bundle, read_plan(labelled(tmp_path / "parts", levels), None))
    assert (found.repeats, found.showings, found.remarks) == (2, "shots", ())
    assert [(part.name, part.wrong) for part in found.disagreeing] == [("dent/1", 2), ("good/0", 1)]
    assert sorted(pictures) == ["dent/1", "good/0"]
    rows = {row.name: row for row in figure_rows(found.agreement)}
    assert rows["Miss rate"].value == "50.0%"
    assert rows["Miss rate"].basis == (
        "of 4 showings; defective parts ever missed: 1 of 2, bounds 2.5% and 97.5%"
    )
    assert rows["False alarm rate"].value == "25.0%"
    assert rows["Repeatability"].value == "75.0%"
    assert found.agreement.grade.value == "unacceptable"
    assert found.classification.confusion == {
        "good": {"good": 3, "defective": 1},
        "defective": {"good": 2, "defective": 2},
    }
    assert found.classification.recall_by_defect == {"dent": 0.5}


def test_one_showing_gives_no_repeatability_and_says_so(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    found, _ = studied(tiny_bundle, read_plan(labelled(tmp_path / "parts", SOUND), 1))
    assert found.remarks == (
        "each part was shown once, so there is no figure for repeatability: show each 3 times",
    )
    last = figure_rows(found.agreement)[-1]
    assert (last.name, last.value, last.basis) == (
        "Repeatability",
        "-",
        "not known: each part was shown once",
    )
    assert statement(found).startswith("4 defective and 4 good parts, each shown once: ")


def test_the_page_can_be_signed_and_needs_no_network(tiny_bundle: Bundle, tmp_path: Path) -> None:
    levels: Levels = {"good": [60, 150], "<b>dent": [200, 90]}
    found, pictures = studied(tiny_bundle, read_plan(labelled(tmp_path / "parts", levels), 3))
    path = tmp_path / "new" / "acceptance.html"
    write_acceptance_report(path, found, pictures)
    page = path.read_text()
    for shown in (
        SOURCE,
        found.seal,
        found.bundle_seal,
        found.calibration_seal,
        found.artefact_sha256,
        found.data_sha256,
        f"Linewarden {found.linewarden_version}",
        found.created_utc[:10],
        "Classification report",
        "Confusion matrix",
        "Counts showings, at the calibrated threshold",
        "<div>Name</div><div>Date</div><div>Signature</div>",
        "&lt;b&gt;dent/1.png",
        "@media print",
    ):
        assert shown in page
    assert page.count("data:image/jpeg;base64,/9j/") == len(found.disagreeing) == 2
    assert "<b>" not in page
    assert not re.search(r"(src|href)=\"(?!data:)|url\(|@import", page)


def test_what_speaks_against_the_figures_is_said(tiny_bundle: Bundle, tmp_path: Path) -> None:
    parts = labelled(tmp_path / "parts", SOUND)
    cv2.imwrite(str(parts / "good/3.png"), np.full((16, 16), 5, np.uint8))
    calibration = tiny_bundle.calibration("default", "model.onnx")
    found, _ = studied(tiny_bundle, read_plan(parts, 1))
    known = {found.parts[3].showings[0].image_sha256: 0.2}
    tiny_bundle.add_calibration(calibration.model_copy(update={"scores": known}))
    again, pictures = studied(tiny_bundle, read_plan(parts, 3))
    assert again.parts[5].showings[0].score is None
    assert again.remarks[1:] == (
        (
            "the calibration used some of these parts, so the false alarm rate is not that of new "
            f"parts: {found.parts[3].name}"
        ),
        "these parts got no verdict and count as rejected: good/3.png",
    )
    assert list(pictures) == ["good/3.png"]


def test_bad_folders_are_refused_by_name(tmp_path: Path) -> None:
    parts = labelled(tmp_path / "parts", {"good": [[60, 61], [70, 71]], "dent": [[200, 201]]})
    refused: dict[int | None, str] = {
        0: "--repeats 0: show each part once or more, for instance 3 times",
        3: f"--repeats 3: the parts in {parts} have 2 shots each, and each shot is shown once: "
        "leave the option out",
    }
    for repeats, message in refused.items():
        with pytest.raises(ConfigError) as caught:
            read_plan(parts, repeats)
        assert str(caught.value) == message
    picture(parts / "good/1/2.png", 60)
    with pytest.raises(ConfigError) as caught:
        read_plan(parts, None)
    assert str(caught.value) == (
        f"{parts}: most parts have 2 shots, but not good/1 (3): take as many of each"
    )
    picture(parts / "good/loose.png", 60)
    with pytest.raises(CameraError) as failed:
        read_plan(parts, None)
    assert str(failed.value) == (
        f"{parts / 'good'}: holds folders of shots and also loose.png: give each part one folder "
        "with its shots"
    )
    for folder in (tmp_path / "absent", parts / "good"):
        with pytest.raises(CameraError) as failed:
            read_plan(folder, None)
        assert str(failed.value) == (
            f"{folder}: an acceptance study needs a folder good and folders of defects in it"
        )


def test_an_image_that_counts_twice_is_refused(tiny_bundle: Bundle, tmp_path: Path) -> None:
    parts = labelled(tmp_path / "parts", SOUND)
    (parts / "good/9.png").write_bytes((parts / "dent/0.png").read_bytes())
    with pytest.raises(CameraError) as caught:
        studied(tiny_bundle, read_plan(parts, 1))
    assert str(caught.value) == (
        "1 images repeat another and would count twice; remove them: "
        f"{parts / 'good/9.png'} is {parts / 'dent/0.png'}"
    )


def test_a_wrong_confidence_is_refused_before_anything_is_shown(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    plan = read_plan(labelled(tmp_path / "parts", SOUND), 1)
    shown: list[int] = []
    with Inspector.open(tiny_bundle) as inspector, pytest.raises(ConfigError) as caught:
        study(inspector, plan, confidence=95, report=lambda: shown.append(1))
    assert str(caught.value) == "the confidence is 95: choose it between 0.5 and 1, like 0.95"
    assert not shown


def test_an_image_of_the_training_is_refused(tiny_bundle: Bundle, tmp_path: Path) -> None:
    plan = read_plan(labelled(tmp_path / "parts", SOUND), 1)
    path = plan.parts[0].shots[0]
    with pytest.raises(CameraError) as caught:
        image_hashes(plan.parts, frozenset({sha256_of(path)}))
    assert str(caught.value) == (
        "the model was trained on 1 of these images, so the figures would mean nothing; show it "
        f"others: {path}"
    )


def test_files_that_nobody_shows_are_remarked(tiny_bundle: Bundle, tmp_path: Path) -> None:
    parts = labelled(tmp_path / "parts", SOUND)
    picture(parts / "loose.png", 60)
    (parts / "dent/raw.heic").touch()
    (parts / "ground_truth/dent").mkdir(parents=True)
    picture(parts / "ground_truth/dent/0.png", 255)
    found, _ = studied(tiny_bundle, read_plan(parts, 3))
    assert found.remarks[:2] == (
        f"{parts}: 1 images directly in it are not read: loose.png",
        f"{parts / 'dent'}: 1 files that are not images by their suffix are not read: raw.heic",
    )


def test_good_parts_of_another_name_are_no_defect(tmp_path: Path) -> None:
    parts = labelled(tmp_path / "parts", {**SOUND, "OK": [60]})
    with pytest.raises(CameraError) as caught:
        read_plan(parts, None)
    assert str(caught.value) == (
        f"{parts / 'OK'}: looks like good parts and would count as a defect; rename it to good"
    )
