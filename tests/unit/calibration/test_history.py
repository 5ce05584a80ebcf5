"""The calibrations of a recipe: kept, found, compared, brought back."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.calibrate import CalibrationSettings, calibrate
from calibration.history import ACTIVE, compare, find, history, recipes, roll_back
from calibration.thresholds import CalibrationTargets
from inspection.bundle import Bundle
from inspection.bundle.calibration_file import Calibration
from inspection.errors import BundleError, ConfigError
from inspection.verdict import Thresholds

FIRST = "20260101T000000Z"


def images(folder: Path, brightest: list[int]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = []
    for value in brightest:
        image = np.full((32, 32), 5, np.uint8)
        image[3, 4] = value
        paths.append(folder / f"{value}.png")
        cv2.imwrite(str(paths[-1]), image)
    return paths


def made(bundle: Bundle, created_utc: str, scores: list[float], **fields: object) -> Calibration:
    """A calibration with these scores, the highest as threshold, made active."""
    first = find(bundle, "default", ACTIVE).whole()
    update = {
        "created_utc": created_utc,
        "scores": {f"{round(score * 100):064x}": score for score in scores},
        "thresholds": Thresholds(max(scores), 0.5),
        **fields,
    }
    bundle.add_calibration(first.model_copy(update=update))
    return find(bundle, "default", ACTIVE).whole()


def test_a_new_calibration_keeps_the_old_one_and_says_why(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    old = tiny_bundle.calibration("default", "model.onnx")
    before = tiny_bundle.calibration_path("default").read_bytes()
    paths = images(tmp_path / "good", [20, 60, 40])
    result = calibrate(
        tiny_bundle, paths, CalibrationTargets(0.01), author="anna", reason="new lamp"
    )
    new = result.calibration
    assert (new.author, new.reason, new.previous_seal) == ("anna", "new lamp", old.seal)
    assert new == tiny_bundle.calibration("default", "model.onnx")
    kept = tiny_bundle.folder / "calibration/history/default/20260101T000000Z.json"
    assert kept.read_bytes() == before
    assert [e.is_active for e in history(tiny_bundle, "default")] == [True, False]
    assert find(tiny_bundle, "default", FIRST).whole() == old
    assert find(tiny_bundle, "default", old.seal[:8]).whole() == old


def test_the_data_hash_is_of_the_set_of_images(tiny_bundle: Bundle, tmp_path: Path) -> None:
    paths = images(tmp_path / "good", [20, 60, 40])
    one = calibrate(tiny_bundle, paths, CalibrationTargets(0.01)).calibration
    same = calibrate(
        tiny_bundle, paths[::-1], CalibrationTargets(0.01), CalibrationSettings(recipe="7")
    ).calibration
    less = calibrate(
        tiny_bundle, paths[1:], CalibrationTargets(0.01), CalibrationSettings(recipe="8")
    ).calibration
    assert one.data_sha256 == same.data_sha256 != less.data_sha256
    assert recipes(tiny_bundle) == ["7", "8", "default"]


def test_the_seal_of_a_calibration_without_origin_stays_right(tiny_bundle: Bundle) -> None:
    content = json.loads(tiny_bundle.calibration_path("default").read_text())
    assert not {"author", "reason", "previous_seal", "data_sha256"} & set(content)
    assert tiny_bundle.calibration("default", "model.onnx").is_intact()


def test_calibrations_of_one_second_are_numbered(tiny_bundle: Bundle) -> None:
    for score in (0.1, 0.2, 0.3):
        made(tiny_bundle, "2026-01-01T00:00:00Z", [score])
    names = [entry.name for entry in history(tiny_bundle, "default")]
    assert names == [f"{FIRST}-4", f"{FIRST}-3", f"{FIRST}-2", FIRST]
    assert find(tiny_bundle, "default", f"{FIRST}-3").whole().thresholds.reject == 0.2


def test_a_power_cut_between_the_two_writes_shows_no_entry_twice(tiny_bundle: Bundle) -> None:
    active = tiny_bundle.calibration_path("default")
    kept = tiny_bundle.history_folder("default") / f"{FIRST}.json"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(active.read_bytes())
    assert [entry.name for entry in history(tiny_bundle, "default")] == [FIRST]
    made(tiny_bundle, "2026-01-02T00:00:00Z", [0.2])
    assert [e.name for e in history(tiny_bundle, "default")] == ["20260102T000000Z", FIRST]


def test_a_damaged_calibration_is_kept_named_and_not_used(tiny_bundle: Bundle) -> None:
    first = tiny_bundle.calibration("default", "model.onnx")
    path = tiny_bundle.calibration_path("default")
    path.write_text("{}")
    assert history(tiny_bundle, "default")[0].name == "active"
    tiny_bundle.add_calibration(first)
    assert tiny_bundle.calibration("default", "model.onnx").previous_seal is None
    active, damaged = history(tiny_bundle, "default")
    assert active.whole() == first
    assert damaged.path.read_text() == "{}"
    with pytest.raises(BundleError) as caught:
        roll_back(tiny_bundle, "default", damaged.name, author="", reason="try")
    assert str(caught.value) == (
        f"{damaged.path}: is not a calibration of schema 1 (recipe: Field required): linewarden "
        "does not use the file; it is kept so that you can look at it"
    )


def test_a_rollback_is_a_new_entry_with_the_old_thresholds(tiny_bundle: Bundle) -> None:
    old = tiny_bundle.calibration("default", "model.onnx")
    new = made(tiny_bundle, "2026-01-02T00:00:00Z", [0.2])
    active = roll_back(tiny_bundle, "default", FIRST, author="bert", reason="lamp repaired")
    assert active.thresholds == old.thresholds
    assert active.created_utc > new.created_utc
    assert (active.author, active.previous_seal) == ("bert", new.seal)
    assert active.reason == f"rollback to {FIRST} ({old.seal[:12]}): lamp repaired"
    names = [entry.name for entry in history(tiny_bundle, "default")]
    assert names == [active.moment, "20260102T000000Z", FIRST]


def test_rollbacks_that_make_no_sense_are_refused(tiny_bundle: Bundle) -> None:
    folder = tiny_bundle.folder
    made(tiny_bundle, "2026-01-02T00:00:00Z", [0.2], artefact_sha256="1" * 64)
    seal = tiny_bundle.history_folder("default")
    made(tiny_bundle, "2026-01-03T00:00:00Z", [0.3])
    refused = {
        "20260101T000001Z": f"{folder}: recipe 'default' has no calibration '20260101T000001Z'; "
        "it has 20260103T000000Z, 20260102T000000Z, 20260101T000000Z: name one of these, or give "
        "the first 8 digits or more of its seal",
        "active": f"{folder}: 20260103T000000Z is the active calibration of 'default'",
        "20260102T000000Z": f"{folder}: the calibration 20260102T000000Z came through model.onnx "
        f"(111111111111), and model.onnx is {tiny_bundle.sha256('model.onnx')[:12]} now; "
        "thresholds hold for the artefact they were measured through: linewarden calibrate "
        f"{folder} --recipe default --good FOLDER",
    }
    before = sorted(seal.iterdir())
    for name, message in refused.items():
        with pytest.raises(BundleError) as caught:
            roll_back(tiny_bundle, "default", name, author="", reason="try")
        assert str(caught.value) == message
    with pytest.raises(ConfigError, match="a rollback needs a reason: give it with --reason TEXT"):
        roll_back(tiny_bundle, "default", FIRST, author="", reason=" ")
    assert sorted(seal.iterdir()) == before


def test_a_rollback_to_another_artefact_of_the_bundle_is_refused(tiny_bundle: Bundle) -> None:
    through = {
        "artefact": "training.json",  # any other file of the bundle
        "artefact_sha256": tiny_bundle.sha256("training.json"),
    }
    made(tiny_bundle, "2026-01-02T00:00:00Z", [0.2], **through)
    with pytest.raises(BundleError) as caught:
        roll_back(tiny_bundle, "default", FIRST, author="", reason="try")
    assert str(caught.value) == (
        f"{tiny_bundle.folder}: the calibration {FIRST} came through model.onnx, and the active "
        "one through training.json; a line that runs that artefact would no longer start: "
        f"linewarden calibrate {tiny_bundle.folder} --recipe default --good FOLDER "
        "--artefact training.json"
    )


@pytest.mark.parametrize("name", ["", "../default", ".hidden", "a\\b"])
def test_a_recipe_that_is_a_path_is_refused(tiny_bundle: Bundle, name: str) -> None:
    first = tiny_bundle.calibration("default", "model.onnx")
    with pytest.raises(BundleError) as caught:
        tiny_bundle.add_calibration(first.model_copy(update={"recipe": name}))
    assert str(caught.value) == (
        f"the recipe {name!r} is part of a file name: give a name or number without / that does "
        "not start with a dot"
    )


def test_an_unknown_recipe_is_named_with_those_that_there_are(tiny_bundle: Bundle) -> None:
    with pytest.raises(BundleError) as caught:
        history(tiny_bundle, "9")
    assert str(caught.value) == (
        f"{tiny_bundle.folder}: recipe '9' was never calibrated; calibrated recipes: default"
    )


def test_two_calibrations_are_compared_on_the_same_scores(tiny_bundle: Bundle) -> None:
    older = made(tiny_bundle, "2026-01-02T00:00:00Z", [0.10, 0.20, 0.30])
    newer = made(tiny_bundle, "2026-01-03T00:00:00Z", [0.20, 0.30, 0.25, 0.40, 0.35])
    found = compare(older, newer)
    assert (found.parts, found.shared, found.largest_shift) == ((3, 5), 2, 0.0)
    assert (found.rejected.count, found.rejected.total) == (2, 5)
    assert found.rejected_unseen is not None
    assert (found.rejected_unseen.count, found.rejected_unseen.total) == (2, 3)
    assert found.rejected_by_newer.count == 0
    assert compare(older, older).rejected_unseen is None


def test_images_of_one_part_are_compared_as_one(tiny_bundle: Bundle) -> None:
    older = made(tiny_bundle, "2026-01-02T00:00:00Z", [0.10, 0.20])
    shots = [0.20, 0.50, 0.40]
    names = {f"{round(score * 100):064x}": "a" for score in shots[:2]}
    newer = made(tiny_bundle, "2026-01-03T00:00:00Z", shots, parts=names)
    found = compare(older, newer)
    assert (found.parts, found.shared, found.rejected.count) == ((2, 2), 1, 2)
    assert found.rejected_unseen is not None
    assert found.rejected_unseen.total == 1


def test_new_images_of_a_known_part_are_not_unseen(tiny_bundle: Bundle) -> None:
    def named(scores: list[float], parts: list[str]) -> dict[str, str]:
        images = [f"{round(score * 100):064x}" for score in scores]
        return dict(zip(images, parts, strict=True))

    old, new = [0.10, 0.20], [0.15, 0.25, 0.40]
    older = made(tiny_bundle, "2026-01-02T00:00:00Z", old, parts=named(old, ["a", "b"]))
    newer = made(tiny_bundle, "2026-01-03T00:00:00Z", new, parts=named(new, ["a", "b", "c"]))
    found = compare(older, newer)
    assert (found.shared, found.rejected.count, found.largest_shift) == (2, 2, None)
    assert found.rejected_unseen is not None
    assert (found.rejected_unseen.count, found.rejected_unseen.total) == (1, 1)


def test_calibrations_without_a_common_scale_are_not_compared(tiny_bundle: Bundle) -> None:
    first = tiny_bundle.calibration("default", "model.onnx")
    newer = made(tiny_bundle, "2026-01-03T00:00:00Z", [0.2])
    with pytest.raises(ConfigError) as caught:
        compare(first, newer)
    assert str(caught.value) == (
        f"the calibration {FIRST} holds no scores of good parts: there is nothing to compare"
    )
    other = newer.model_copy(update={"artefact": "model.fp16.onnx", "artefact_sha256": "1" * 64})
    with pytest.raises(ConfigError) as caught:
        compare(newer, other)
    assert str(caught.value) == (
        f"the calibration 20260103T000000Z came through model.onnx ({newer.artefact_sha256[:12]}) "
        "and 20260103T000000Z through model.fp16.onnx (111111111111): their scores have no common "
        "scale; calibrate the same artefact twice"
    )
