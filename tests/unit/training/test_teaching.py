"""The choices of `linewarden teach` on drawn parts, with an untrained backbone."""

from pathlib import Path
from typing import Any

import pytest

from training.data.layout import read_data_set
from training.data.survey import SurveyedSample, split_good, survey
from training.demo_parts import write_dataset
from training.teaching import Plan, Wishes, plan_by_evidence
from training.weights_source import Source

UNTRAINED = Source("resnet18.tv_in1k", "none", "")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> list[SurveyedSample]:
    root = tmp_path_factory.mktemp("teaching") / "parts"
    write_dataset(root, good=9, test_good=0, defective_per_kind=0, size=(60, 80))
    return survey(read_data_set(root / "train/good").good)


def planned(good: list[SurveyedSample], said: list[str], wishes: Wishes) -> Plan:
    fixed: dict[str, dict[str, Any]] = {
        "data": {"folder": "/parts"},
        "fit": {"device": "cpu", "seed": 3},
    }
    return plan_by_evidence(good, [], [UNTRAINED], wishes=wishes, fixed=fixed, report=said.append)


def test_a_plan_has_the_comparison_that_chose_it(good: list[SurveyedSample]) -> None:
    said: list[str] = []
    plan = planned(good, said, Wishes(seconds=1e6, size=(96, 128)))
    config, evidence = plan.config, plan.evidence
    assert said[0] == "9 good images, 30% of them held out for the threshold"
    assert config.data.image_size == (96, 128)
    assert config.data.hold_out == 0.3
    assert config.fit.seed == 3
    (chosen,) = [one for one in evidence.tried if one.remark == "chosen"]
    assert chosen.merit == max(one.merit for one in evidence.tried)
    assert all(one.is_tried for one in evidence.tried)
    assert len(chosen.by_kind) == 5
    # Images that are held out for the calibration take no part.
    split = split_good(good, hold_out=0.3, seed=3)
    assert evidence.fitted + evidence.compared == len(split.fit) == 6


def test_the_same_images_give_the_same_figures(good: list[SurveyedSample]) -> None:
    wishes = Wishes(seconds=1e6, size=(96, 96), forms=("subspace", "mahalanobis"))
    figures = [
        [(one.form, one.image_auroc, one.aupro) for one in planned(good, [], wishes).evidence.tried]
        for _ in range(2)
    ]
    assert figures[0] == figures[1]
    assert [form for form, *_ in figures[0]] == ["subspace", "mahalanobis"]


def test_frames_of_several_sizes_give_a_range_and_the_rare_ones_are_named(
    good: list[SurveyedSample], tmp_path: Path
) -> None:
    write_dataset(tmp_path / "odd", good=1, test_good=0, defective_per_kind=0, size=(62, 80))
    odd = survey(read_data_set(tmp_path / "odd/train/good").good)
    said: list[str] = []
    plan = planned([*good, *odd], said, Wishes(seconds=0, size=(96, 96)))
    assert plan.config.data.frame_height == (60, 62)
    assert plan.config.data.frame_width == (80, 80)
    assert said[1] == (
        "frames of 2 sizes, 60 to 62 high and 80 to 80 wide; 9 of 10 are 60x80, the others: "
        f"{odd[0].sample.path}"
    )
