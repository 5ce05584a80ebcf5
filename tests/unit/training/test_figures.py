"""Pictures of results: one scale, true proportions, honest choice."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspection.files import sha256_of
from inspection.inspector import Inspection, Inspector
from inspection.verdict import Cause, Thresholds, Verdict
from reports.pictures import ColourScale, Pictures
from reports.sheets import colour_bar, contact_sheet, draw_panel
from training.data.data_set import DataSet, Sample
from training.evaluation import Evaluation, evaluate
from training.figures import (
    choose,
    colour_scale,
    figure_sheet,
    histogram,
    panel,
    part_pictures,
    wrong_verdicts,
)
from training.inspected import InspectedSample, inspect_samples

MakeInspector = Callable[..., Inspector]
MakeDataSet = Callable[[dict[str, int]], DataSet]
PARTS = {"good/1": 51, "good/2": 102, "good/3": 204, "crack/1": 230, "crack/2": 77, "dent/1": 255}
CYAN = (255, 255, 0)
SCALE = ColourScale(0.0, 0.5, 1.0)


Evaluated = tuple[list[InspectedSample], Evaluation]


@pytest.fixture
def evaluated(make_inspector: MakeInspector, make_data_set: MakeDataSet) -> Evaluated:
    inspector = make_inspector()
    inspected = inspect_samples(inspector, make_data_set(PARTS).test)
    return inspected, evaluate(inspector, "parts", inspected)


def without_verdict(sample: InspectedSample) -> InspectedSample:
    inspection = replace(
        sample.inspection,
        verdict=Verdict.NO_VERDICT,
        score=float("nan"),
        anomaly_map=None,
        mask=np.zeros((16, 24), np.bool_),
        cause=Cause.FRAME,
    )
    return replace(sample, inspection=inspection)


def scored(score: float, defect: str = "good", threshold: float = 0.5) -> InspectedSample:
    verdict = Verdict.REJECT if score > threshold else Verdict.PASS
    map_and_mask = np.zeros((2, 2), np.float32), np.zeros((2, 2), np.bool_)
    inspection = Inspection(
        verdict=verdict,
        score=score,
        thresholds=Thresholds(threshold, 0.5),
        anomaly_map=map_and_mask[0],
        mask=map_and_mask[1],
    )
    return InspectedSample(Sample(Path(f"{score}.png"), defect), "", inspection, None)


class TestColourScale:
    def test_threshold_is_the_middle_and_good_parts_are_dark(self, evaluated: Evaluated) -> None:
        assert colour_scale(*evaluated) == ColourScale(0.0, 0.5, 1.0)

    def test_constant_maps_at_the_threshold(self, evaluated: Evaluated) -> None:
        inspected, evaluation = evaluated
        scale = colour_scale(inspected, evaluation.model_copy(update={"threshold_pixel": 0.0}))
        assert scale.low < scale.pixel < scale.high
        part_pictures(inspected[0], scale)

    def test_without_any_map(self, evaluated: Evaluated) -> None:
        scale = colour_scale([], evaluated[1])
        assert scale.low < scale.pixel < scale.high

    def test_bar_has_the_colours_of_the_maps(self) -> None:
        bar = colour_bar(SCALE)
        colours = bar[10, 24 : 24 + 480].astype(int).sum(axis=1)
        assert (np.diff(colours) >= -6).all()
        assert colours[-1] - colours[0] > 400

    @pytest.mark.parametrize(
        "values", [(0.0, 0.5, 1.0), (-1.23456e-7, -1.23455e-7, 3.1e-5), (1e6, 1.000001e6, 1.1e6)]
    )
    def test_texts_of_the_bar_are_whole_and_apart(self, values: tuple[float, float, float]) -> None:
        dark = colour_bar(ColourScale(*values))[30:50] < 200
        texts = np.asarray(dark.any(axis=(0, 2)))
        assert not texts[:20].any()
        assert not texts[-20:].any()
        inked = np.flatnonzero(texts)
        gaps = np.diff(inked)
        assert (gaps > 30).sum() == 2  # three texts


class TestPictures:
    def test_one_colour_means_one_value_in_all_parts(self, evaluated: Evaluated) -> None:
        first, second = (part_pictures(evaluated[0][n], SCALE).heat for n in (0, 5))
        assert (first[0, 0] == second[0, 0]).all()
        middle = first.shape[0] * 12 // 32, first.shape[1] * 20 // 48
        assert first[middle].sum() < second[middle].sum()

    def test_proportions_of_the_frame(self, evaluated: Evaluated) -> None:
        drawn = part_pictures(evaluated[0][3], SCALE, side=200)
        assert drawn.frame.shape == drawn.heat.shape == (163, 245, 3)
        assert drawn.truth.shape == drawn.mask.shape == drawn.outline.shape == (163, 245, 3)

    def test_masks(self, evaluated: Evaluated) -> None:
        drawn = part_pictures(evaluated[0][3], SCALE)
        assert set(np.unique(drawn.mask)) == set(np.unique(drawn.truth)) == {0, 255}
        overlap = ((drawn.mask > 0) & (drawn.truth > 0)).sum() / (drawn.truth > 0).sum()
        assert overlap > 0.9

    def test_defects_of_one_pixel_stay_visible(self, evaluated: Evaluated, tmp_path: Path) -> None:
        sample = evaluated[0][3]
        frame, truth = np.zeros((3000, 2000), np.uint8), np.zeros((3000, 2000), np.uint8)
        truth[1700, 900] = 255
        cv2.imwrite(str(tmp_path / "large.png"), frame)
        cv2.imwrite(str(tmp_path / "large_mask.png"), truth)
        large = Sample(tmp_path / "large.png", "crack", tmp_path / "large_mask.png")
        assert part_pictures(replace(sample, sample=large), SCALE).truth.any()

    def test_inputs_stay_as_they_are(self, evaluated: Evaluated) -> None:
        inspected, evaluation = evaluated
        maps = [s.inspection.anomaly_map for s in inspected]
        masks = [s.inspection.mask for s in inspected]
        before = [array.copy() for array in (*maps, *masks) if array is not None]
        hashes = [sha256_of(s.sample.path) for s in inspected]
        figure_sheet(inspected, evaluation)
        histogram(inspected, evaluation)
        after = [array for array in (*maps, *masks) if array is not None]
        assert all((a == b).all() for a, b in zip(before, after, strict=True))
        assert [sha256_of(s.sample.path) for s in inspected] == hashes

    def test_part_without_verdict_or_mask(self, evaluated: Evaluated) -> None:
        sample = evaluated[0][3]
        undrawn = replace(sample, sample=Sample(sample.sample.path, "crack", None))
        drawn = part_pictures(without_verdict(undrawn), SCALE)
        assert (drawn.heat == 128).all()
        assert (drawn.truth == 128).all()

    def test_a_missed_defect_has_its_border_in_the_mask_and_in_the_outline(
        self, evaluated: Evaluated
    ) -> None:
        sample = evaluated[0][3]
        anomaly_map = sample.inspection.anomaly_map
        assert anomaly_map is not None
        missed = replace(sample.inspection, mask=np.zeros(anomaly_map.shape, np.bool_))
        drawn = part_pictures(replace(sample, inspection=missed), SCALE)
        border = (drawn.mask == CYAN).all(axis=2)
        assert border.any()
        assert not drawn.mask[~border].any()
        assert (drawn.outline[border] == CYAN).all()
        truth = drawn.truth.any(axis=2)
        assert not (border & truth).any()  # it covers nothing of the defect
        rows, columns = np.nonzero(truth)
        assert border[: rows.min()].any()
        assert border[:, columns.max() + 1 :].any()

    def test_a_good_part_has_no_border(self, evaluated: Evaluated) -> None:
        drawn = part_pictures(evaluated[0][0], SCALE)
        assert not (drawn.outline == CYAN).all(axis=2).any()

    def test_rows_of_a_sheet_have_the_height_of_their_own_frames(
        self, evaluated: Evaluated
    ) -> None:
        whole = panel(evaluated[0][3], SCALE)
        wide = [np.ascontiguousarray(one[:40]) for one in vars(whole.pictures).values()]
        low = replace(whole, pictures=Pictures(*wide))
        high = whole.pictures.frame.shape[0]
        heights = [
            len(contact_sheet("t", "c", panels, SCALE)) for panels in ([whole], [low], [whole, low])
        ]
        assert heights[0] - heights[1] == high - 40
        assert heights[2] - heights[0] == 26 + 40 + 12

    def test_panel_has_five_pictures_below_the_words(self, evaluated: Evaluated) -> None:
        sample = evaluated[0][3]
        height, width = part_pictures(sample, SCALE).frame.shape[:2]
        drawn = draw_panel(panel(sample, SCALE))
        assert drawn.shape == (26 + height, 5 * (width + 6), 3)
        assert (drawn[26:, :width] == part_pictures(sample, SCALE).frame).all()


class TestChoice:
    def test_wrong_verdicts_in_turn_the_worst_first(self) -> None:
        parts = [scored(0.6), scored(0.9), scored(0.4, "crack"), scored(0.1, "crack"), scored(0.2)]
        assert [s.inspection.score for s in wrong_verdicts(parts)] == [0.9, 0.1, 0.6, 0.4]

    def test_then_highest_median_and_lowest_of_each_class(self) -> None:
        good = [scored(n / 100) for n in range(7)]
        cracks = [scored(1 + n / 100, "crack") for n in range(3)]
        wrong = scored(0.8)
        found = choose([*good, *cracks, wrong], limit=24)
        assert found[0] is wrong
        assert [(s.sample.defect, s.inspection.score) for s in found[1:]] == [
            ("crack", 1.02),
            ("crack", 1.01),
            ("crack", 1.0),
            ("good", 0.03),
            ("good", 0.0),
        ]

    def test_wrong_verdicts_leave_room_for_the_rest(self) -> None:
        parts = [scored(1 + n, "good") for n in range(20)] + [scored(1, "crack")]
        found = choose(parts, limit=4)
        assert [s.is_false_reject for s in found] == [True, True, False, True]


class TestSheet:
    def test_is_the_same_each_time(self, evaluated: Evaluated) -> None:
        first, second = figure_sheet(*evaluated), figure_sheet(*evaluated)
        assert first.dtype == np.uint8
        assert (first == second).all()

    def test_without_any_verdict(self, evaluated: Evaluated) -> None:
        inspected, evaluation = evaluated
        sheet = figure_sheet([without_verdict(s) for s in inspected], evaluation)
        assert sheet.shape[2] == 3

    def test_parts_of_several_sizes_stand_in_columns(
        self, evaluated: Evaluated, tmp_path: Path
    ) -> None:
        inspected, evaluation = evaluated
        cv2.imwrite(str(tmp_path / "tall.png"), np.zeros((480, 32), np.uint8))
        tall = replace(inspected[0], sample=Sample(tmp_path / "tall.png"))
        assert figure_sheet([tall, *inspected[1:]], evaluation).shape[2] == 3


class TestHistogram:
    def test_is_a_png(self, evaluated: Evaluated) -> None:
        content = np.frombuffer(histogram(*evaluated), np.uint8)
        image = cv2.imdecode(content, cv2.IMREAD_COLOR)
        assert image is not None
        assert image.shape[1] > 2 * image.shape[0]

    @pytest.mark.parametrize("scores", [[], [0.5, 0.5, 0.5]])
    def test_few_or_equal_scores(self, evaluated: Evaluated, scores: list[float]) -> None:
        assert histogram([scored(s) for s in scores], evaluated[1]).startswith(b"\x89PNG")

    def test_review_threshold_changes_the_picture(self, evaluated: Evaluated) -> None:
        inspected, evaluation = evaluated
        review = evaluation.model_copy(update={"threshold_review": 0.35})
        assert histogram(inspected, review) != histogram(inspected, evaluation)

    def test_leaves_the_state_of_pyplot_alone(self) -> None:
        code = "import reports.plots, sys; print('matplotlib.pyplot' in sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout == "False\n"
