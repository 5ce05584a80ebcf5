"""Calibrating recipes with zones, lots, a tail model; the slider; on scores worked out by hand."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.calibrate import MAP_DECIDES, CalibrationSettings, calibrate
from calibration.escapes import defect_values, escape_rate
from calibration.good_parts import good_part_values, reject_by_zone
from calibration.history import compare
from calibration.layout_trial import targets_of
from calibration.sensitivity import move_slider, place_of
from calibration.statements import describe
from calibration.thresholds import CalibrationTargets
from calibration.tolerance import zone_limit
from edge import Inspector
from inspection.bundle import Bundle
from inspection.bundle.calibration_file import Calibration
from inspection.engine import Prediction
from inspection.errors import BundleError, CameraError, ConfigError
from inspection.layout import Layout
from inspection.layout.alignment import AlignmentSettings, alignment_to
from inspection.layout.zones import Polygon, Zone
from inspection.preprocess import Crop
from inspection.verdict import Cause, Verdict


def box(left: float, top: float, right: float, bottom: float) -> Polygon:
    return ((left, top), (right, top), (right, bottom), (left, bottom))


LEFT = Zone(name="left", polygons=(box(0, 0, 16, 32),))
RIGHT = Zone(name="right", polygons=(box(16, 0, 32, 32),))
HALVES = Layout(frame_height=32, frame_width=32, zones=(LEFT, RIGHT), ignore=(box(0, 24, 32, 32),))


def parts(folder: Path, levels: list[tuple[int, int]], logo: int = 255) -> list[Path]:
    """Frames with a bright pixel in each half, and a brighter one in the ignored strip."""
    folder.mkdir(exist_ok=True)
    paths = []
    for number, (left, right) in enumerate(levels):
        image = np.full((32, 32), 5, np.uint8)
        image[number % 24, 3], image[number % 24, 20], image[28, 9] = left, right, logo
        paths.append(folder / f"lot{number % 6}_{number}.png")
        cv2.imwrite(str(paths[-1]), image)
    return paths


def frame(path: Path) -> np.ndarray:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)


def test_zones_have_their_own_thresholds_and_ignored_pixels_do_not_count(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    good = parts(tmp_path / "good", [(20, 100), (60, 110), (40, 190), (30, 150)])
    result = calibrate(
        tiny_bundle, good, CalibrationTargets(0.01), CalibrationSettings(layout=HALVES)
    )
    found = result.calibration
    assert {name: round(zone.reject * 255) for name, zone in found.zone_thresholds.items()} == {
        "left": 60,
        "right": 190,
    }
    assert found.thresholds.reject == found.zone_thresholds["right"].reject
    assert found.layout == HALVES
    assert not result.replaces_score
    tests = parts(tmp_path / "test", [(60, 190), (61, 100), (20, 191), (20, 20)])
    with Inspector.open(tiny_bundle.folder) as inspector:
        inspections = [inspector.inspect(frame(path)) for path in tests]
    assert [(i.verdict.value, i.zone) for i in inspections] == [
        ("PASS", "left"),
        ("REJECT", "left"),
        ("REJECT", "right"),
        ("PASS", "left"),
    ]
    assert [i.score > i.thresholds.reject for i in inspections] == [False, True, True, False]
    assert not inspections[1].mask[28].any()
    assert inspections[1].mask[1, 3]


def test_calibration_and_line_say_the_same_of_the_good_parts(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    good = parts(tmp_path / "good", random.integers(10, 250, (40, 2)).tolist())
    found = calibrate(
        tiny_bundle,
        good,
        CalibrationTargets(0.2, review_rate=0.6),
        CalibrationSettings(layout=HALVES),
    ).calibration
    with Inspector.open(tiny_bundle.folder) as inspector:
        said = {path: inspector.inspect(frame(path)) for path in good}
    scores = sorted(inspection.score for inspection in said.values())
    assert sorted(found.scores.values()) == scores
    verdicts = [inspection.verdict for inspection in said.values()]
    for limit, worse in (
        ("reject", {Verdict.REJECT}),
        ("review", {Verdict.REJECT, Verdict.REVIEW}),
    ):
        thresholds = [getattr(zone, limit) for zone in found.zone_thresholds.values()]
        above = sum(
            any(v > t for v, t in zip(values, thresholds, strict=True))
            for values in good_part_values(found).values()
        )
        assert above == sum(verdict in worse for verdict in verdicts)
    assert set(verdicts) == {Verdict.PASS, Verdict.REVIEW, Verdict.REJECT}


def test_one_zone_over_all_of_the_map_changes_nothing(tiny_bundle: Bundle, tmp_path: Path) -> None:
    good = parts(tmp_path / "good", [(20 + 3 * n, 100 + 2 * n) for n in range(30)])
    plain = calibrate(tiny_bundle, good, CalibrationTargets(0.1)).calibration
    whole = Layout(
        frame_height=32, frame_width=32, zones=(Zone(name="all", polygons=(box(0, 0, 32, 32),)),)
    )
    zoned = calibrate(
        tiny_bundle, good, CalibrationTargets(0.1), CalibrationSettings(layout=whole)
    ).calibration
    same = {"thresholds", "false_reject_rate_bound", "mask_rate_bound", "scores"}
    assert zoned.model_dump(include=same) == plain.model_dump(include=same)


def test_a_calibration_without_zones_is_written_as_before(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    result = calibrate(tiny_bundle, parts(tmp_path / "good", [(20, 100)]), CalibrationTargets(0.1))
    assert set(json.loads(result.path.read_text())) == {
        "seal", "schema_version", "recipe", "created_utc", "artefact", "artefact_sha256",
        "false_reject_rate_target", "confidence", "false_reject_rate_bound",
        "false_reject_rate_average", "threshold_score",
        "threshold_pixel", "threshold_review", "review_rate_bound", "mask_rate_bound",
        "minimum_area_px", "scores", "parts", "data_sha256", "previous_seal", "mac",
    }  # fmt: skip


@pytest.mark.parametrize("change", ["thresholds", "zones"])
def test_zones_that_were_changed_are_refused(
    tiny_bundle: Bundle, tmp_path: Path, change: str
) -> None:
    result = calibrate(
        tiny_bundle,
        parts(tmp_path / "good", [(20, 100), (30, 90)]),
        CalibrationTargets(0.1),
        CalibrationSettings(layout=HALVES),
    )
    content = json.loads(result.path.read_text())
    if change == "zones":
        content["layout"]["zones"][0]["polygons"][0][0][0] = 3.0
    else:
        del content["zone_thresholds"]["left"]
    result.path.write_text(json.dumps(content))
    with pytest.raises(BundleError, match=r"was changed after|thresholds for every zone"):
        Inspector.open(tiny_bundle.folder)


def with_mark(left: int, top: int, level: int = 90) -> np.ndarray:
    image = np.full((32, 32), 20, np.uint8)
    image[top : top + 16, left : left + 16] = 80
    image[top + 3 : top + 12, left + 3 : left + 6] = 10
    image[top + 9 : top + 12, left + 3 : left + 13] = level
    return image


def test_a_part_that_is_not_there_gives_no_verdict(tiny_bundle: Bundle, tmp_path: Path) -> None:
    mark = Crop(top=8, left=8, height=16, width=16)
    layout = Layout(
        frame_height=32,
        frame_width=32,
        zones=(Zone(name="mark", polygons=(box(9, 9, 23, 23),)),),
        alignment=alignment_to(with_mark(8, 8), mark, AlignmentSettings()),
    )
    (tmp_path / "good").mkdir()
    good = [tmp_path / f"good/{n}.png" for n in range(4)]
    for number, path in enumerate(good):
        cv2.imwrite(str(path), with_mark(6 + number, 8, 90 + number))
    calibrate(tiny_bundle, good, CalibrationTargets(0.1), CalibrationSettings(layout=layout))
    with Inspector.open(tiny_bundle.folder) as inspector:
        there = inspector.inspect(with_mark(10, 5))
        gone = inspector.inspect(np.full((32, 32), 20, np.uint8))
        again = inspector.inspect(with_mark(8, 8, 100))
    assert (there.verdict, there.zone) == (Verdict.PASS, "mark")
    assert there.pose is not None
    assert (there.pose.right_px, there.pose.down_px) == pytest.approx((2, -3), abs=0.05)
    assert (gone.verdict, gone.cause) == (Verdict.NO_VERDICT, Cause.PART_NOT_FOUND)
    assert "and 0.7 is needed" in gone.message
    assert again.verdict is Verdict.REJECT
    empty = tmp_path / "good/empty.png"
    cv2.imwrite(str(empty), np.full((32, 32), 20, np.uint8))
    with pytest.raises(CameraError, match=f"{empty}: the part was not found"):
        calibrate(
            tiny_bundle, [*good, empty], CalibrationTargets(0.1), CalibrationSettings(layout=layout)
        )
    active = tiny_bundle.calibration("default", "model.onnx")
    values = defect_values(tiny_bundle, active, [*good, empty], engine=None)
    assert len(values) == 5
    assert escape_rate(values, [active.thresholds.reject], confidence=0.95).count == 4


class OtherScore:
    """A model whose score is not the highest value of its map."""

    def infer(self, batch: np.ndarray, deadline_ns: int | None = None) -> Prediction:
        maps = batch[..., 0].astype(np.float32)
        return Prediction(maps.mean(axis=(1, 2)), maps)

    def close(self) -> None:
        pass


def test_a_score_that_zones_replace_is_told(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calibration.calibrate.open_chosen", lambda *_, **__: OtherScore())
    good = parts(tmp_path / "good", [(20, 100), (60, 110)])
    zoned = calibrate(
        tiny_bundle, good, CalibrationTargets(0.01), CalibrationSettings(layout=HALVES)
    )
    assert zoned.calibration.zone_scores.keys() == zoned.images.keys()
    assert f"note: {MAP_DECIDES}" in describe(zoned)
    ignoring = HALVES.model_copy(update={"zones": ()})
    rest = calibrate(
        tiny_bundle, good, CalibrationTargets(0.01), CalibrationSettings(layout=ignoring)
    )
    assert rest.calibration.zone_scores.keys() == rest.images.keys()
    assert f"note: {MAP_DECIDES}" in describe(rest)
    assert f"note: {MAP_DECIDES}" not in describe(
        calibrate(tiny_bundle, good, CalibrationTargets(0.01))
    )


def test_lots_are_told_apart(tiny_bundle: Bundle, tmp_path: Path) -> None:
    good = parts(tmp_path / "good", [(20 + n, 100 + n) for n in range(60)], logo=5)
    result = calibrate(
        tiny_bundle, good, CalibrationTargets(0.3, lot_of=lambda path: path.name.partition("_")[0])
    )
    found = result.calibration
    assert sorted(set(found.lots.values())) == [f"lot{n}" for n in range(6)]
    assert found.false_reject_rate_bound == result.promised.reject_limit.bound
    assert found.mask_rate_bound is None
    with pytest.raises(ConfigError, match="has no sensitivity slider, because its parts came in l"):
        place_of(found)


def test_the_tail_is_a_model_and_never_below_the_promise(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    random = np.random.default_rng(1)
    levels = np.clip(random.gumbel(60, 12, (400, 2)), 6, 250).astype(int).tolist()
    good = parts(tmp_path / "good", levels, logo=5)
    plain = calibrate(tiny_bundle, good, CalibrationTargets(0.001)).calibration
    result = calibrate(tiny_bundle, good, CalibrationTargets(0.001, extrapolate=True))
    assert result.promised.tail is not None
    assert result.calibration.modelled_rate == 0.001
    assert result.calibration.thresholds.reject >= plain.thresholds.reject
    assert result.calibration.false_reject_rate_bound == plain.false_reject_rate_bound


@pytest.mark.parametrize(
    ("targets", "layout", "message"),
    [
        (
            CalibrationTargets(0.1, lot_of=str),
            HALVES,
            (
                "lots and 2 zones do not go together: draw the polygons as one zone with one "
                "threshold"
            ),
        ),
        (
            CalibrationTargets(0.1, lot_of=str, review_rate=0.2),
            None,
            "lots and a review band do not go together: ask for one of them",
        ),
        (
            CalibrationTargets(0.1, lot_of=str, extrapolate=True),
            None,
            "lots and a model of the tail do not go together: ask for one of them",
        ),
        (
            CalibrationTargets(0.1),
            HALVES,
            "2 zones need at least as many good parts, and there are 1",
        ),
    ],
)
def test_targets_that_exclude_each_other_are_refused(
    tiny_bundle: Bundle,
    tmp_path: Path,
    targets: CalibrationTargets,
    layout: Layout | None,
    message: str,
) -> None:
    before = tiny_bundle.calibration("default", "model.onnx")
    with pytest.raises(ConfigError) as caught:
        calibrate(
            tiny_bundle,
            parts(tmp_path / "good", [(20, 30)]),
            targets,
            CalibrationSettings(layout=layout),
        )
    assert str(caught.value) == message
    assert tiny_bundle.calibration("default", "model.onnx") == before


def calibrated(bundle: Bundle, tmp_path: Path, layout: Layout | None) -> Calibration:
    levels = np.random.default_rng(6).integers(10, 250, (60, 2)).tolist()
    good = parts(tmp_path / "good", levels, logo=255 if layout else 5)
    return calibrate(
        bundle, good, CalibrationTargets(0.1), CalibrationSettings(layout=layout)
    ).calibration


@pytest.mark.parametrize("layout", [None, HALVES])
def test_the_slider_moves_thresholds_and_keeps_the_rest(
    tiny_bundle: Bundle, tmp_path: Path, layout: Layout | None
) -> None:
    before = calibrated(tiny_bundle, tmp_path, layout)
    after = move_slider(tiny_bundle, before, 0.9, author="anna", reason="escapes")
    assert (after.author, after.reason) == ("anna", "sensitivity 0.9: escapes")
    assert after.thresholds.reject < before.thresholds.reject
    place = place_of(after)
    assert place.bound == after.false_reject_rate_bound > before.false_reject_rate_bound
    assert after.false_reject_rate_average == place.expected
    again = targets_of(tiny_bundle, after, []).false_reject_rate
    values = list(good_part_values(after).values())
    limit = zone_limit(values, false_reject_rate=again, confidence=0.95)
    assert limit.limit.is_met
    assert limit.thresholds == reject_by_zone(after)
    assert after.previous_seal == before.seal
    with Inspector.open(tiny_bundle.folder) as inspector:
        shown = [inspector.inspect(frame(path)) for path in (tmp_path / "good").iterdir()]
    rejected = sum(inspection.verdict is Verdict.REJECT for inspection in shown)
    assert rejected == sum(score > after.thresholds.reject for score in after.scores.values())
    if layout is not None:
        assert rejected == compare(before, after).rejected_by_newer.count > 0
    assert after.drift is not None  # the line is watched against the scores that it gives now
    assert after.drift.values["score"] == tuple(sorted(one.score for one in shown))


def test_a_slider_that_would_end_the_review_band_is_refused(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    levels = [(20 + 3 * n, 5) for n in range(60)]
    good = parts(tmp_path / "good", levels, logo=5)
    active = calibrate(tiny_bundle, good, CalibrationTargets(0.1, review_rate=0.3)).calibration
    with pytest.raises(ConfigError, match="nothing would be left of it"):
        move_slider(tiny_bundle, active, 1.0, author="", reason="try")
    with pytest.raises(ConfigError, match="needs a reason: give it with --reason TEXT"):
        move_slider(tiny_bundle, active, 0.0, author="", reason=" ")


def test_calibrations_of_other_zones_are_not_compared(tiny_bundle: Bundle, tmp_path: Path) -> None:
    older = calibrated(tiny_bundle, tmp_path, None)
    newer = calibrated(tiny_bundle, tmp_path, HALVES)
    with pytest.raises(ConfigError, match="have different zones or alignments"):
        compare(older, newer)
