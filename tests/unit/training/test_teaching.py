"""The choices of `linewarden teach` on drawn parts, with an untrained backbone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from inspection.errors import ConfigError
from training.config import TrainConfig
from training.data.data_set import Sample
from training.data.layout import read_data_set
from training.data.survey import SurveyedSample, survey
from training.demo_parts import write_dataset
from training.first_look import described
from training.pace import Pace, steps_for
from training.teaching import Plan, Wishes, plan_teaching
from training.weights_source import Source

UNTRAINED = Source("resnet18.tv_in1k", "none", "")
SMALLER = Source("tf_efficientnet_lite0.in1k", "none", "")
SMALL = "data.image_size=[96,128]"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> list[SurveyedSample]:
    root = tmp_path_factory.mktemp("teaching") / "parts"
    write_dataset(root, good=24, test_good=0, defective_per_kind=0, size=(60, 80))
    return survey(read_data_set(root / "train/good").good)


def planned(
    good: list[SurveyedSample],
    said: list[str],
    wishes: Wishes,
    *,
    sources: Sequence[Source] = (UNTRAINED,),
    **data: object,
) -> Plan:
    return plan_teaching(
        good,
        [],
        sources,
        wishes=wishes,
        sections={"data": {"folder": "/parts", **data}, "fit": {"device": "cpu", "seed": 3}},
        scratch=Path("/nowhere"),
        report=said.append,
        measure=lambda *_: Pace(per_image=0.1, per_step=0.5),
    )


def test_a_plan_has_the_comparison_that_chose_it(good: list[SurveyedSample]) -> None:
    said: list[str] = []
    wishes = Wishes(forms=("subspace", "mahalanobis"), settings=(SMALL,))
    plan = planned(good, said, wishes)
    config, evidence = plan.config, plan.evidence
    assert evidence is not None
    assert said[0] == "24 good images, 50% of them held out for the threshold"
    assert said[-1].endswith("input 96x128 (height x width)")
    assert (config.data.image_size, config.data.hold_out) == ((96, 128), 0.5)
    assert config.fit.seed == 3
    # Images that are held out for the calibration take no part.
    assert evidence.judged == 12
    figures = [(one.form, one.image_auroc, one.found) for one in evidence.tried]
    assert [form for form, *_ in figures] == ["subspace", "mahalanobis"]
    again = planned(good, [], wishes).evidence
    assert again is not None
    assert figures == [(one.form, one.image_auroc, one.found) for one in again.tried]


def test_few_images_are_all_learnt_and_choose_nothing(good: list[SurveyedSample]) -> None:
    said: list[str] = []
    plan = planned(good[:9], said, Wishes())
    assert plan.evidence is None
    assert said == ["9 good images, all of them learnt", "subspace, input 224x288 (height x width)"]
    assert plan.config.data.hold_out == 0


def test_a_model_that_cannot_forget_holds_out_of_few_images(good: list[SurveyedSample]) -> None:
    plan = planned(good[:9], [], Wishes(forms=("memory",)))
    assert (plan.config.model.name, plan.config.data.hold_out) == ("memory", 0.5)


def test_parts_with_several_images_are_held_out_of_few_images(good: list[SurveyedSample]) -> None:
    plan = planned(good[:9], [], Wishes(forms=("subspace",)), part_name=r"\d+")
    assert (plan.config.data.part_name, plan.config.data.hold_out) == (r"\d+", 0.5)
    views = planned([*good] * 3, [], Wishes(forms=("subspace",)), part_name=r"\d(?=\.png)")
    assert views.config.data.hold_out == 0.5  # of 10 parts in 72 images
    with pytest.raises(ConfigError, match=r"data\.part_name x: does not match the name of"):
        planned(good[:9], [], Wishes(), part_name="x")
    with pytest.raises(ConfigError, match="part_name needs parts that are held out"):
        planned(good, [], Wishes(settings=("data.hold_out=0",)), part_name=r"\d+")
    with pytest.raises(ConfigError, match=r"data\.part_name \(: is not a regular expression"):
        planned(good, [], Wishes(settings=("data.part_name='('",)))


def test_a_single_candidate_is_trained_for_all_of_the_time(good: list[SurveyedSample]) -> None:
    said: list[str] = []
    plan = planned(good, said, Wishes(seconds=300, forms=("supersimplenet",)))
    assert plan.evidence is None
    assert plan.config.fit.minimum_steps == 595
    assert plan.config.model.sampled_grid == 16
    assert "595 steps at 0.50 s on cpu, 5 minutes" in said


def test_one_training_takes_the_time_whatever_backbones_are_at_hand(
    good: list[SurveyedSample],
) -> None:
    wishes = Wishes(seconds=300, forms=("supersimplenet",))
    plan = planned(good, [], wishes, sources=(UNTRAINED, SMALLER))
    assert plan.evidence is None
    assert plan.config.model.backbone.name == UNTRAINED.name
    assert plan.config.fit.minimum_steps == 595


def test_repeated_images_do_not_make_few_images_many(good: list[SurveyedSample]) -> None:
    said: list[str] = []
    plan = planned([*good[:3]] * 8, said, Wishes())
    assert said[0] == "3 good images, all of them learnt"
    assert plan.config.data.hold_out == 0


def test_settings_win(good: list[SurveyedSample]) -> None:
    settings = ("data.hold_out=0.5", "model.variance=0.9", "fit.seed=7", SMALL)
    config = planned(good, [], Wishes(forms=("subspace",), settings=settings)).config
    assert isinstance(config, TrainConfig)
    assert (config.data.hold_out, config.model.variance, config.fit.seed) == (0.5, 0.9, 7)


def test_augmentation_is_refused_before_the_comparison(good: list[SurveyedSample]) -> None:
    with pytest.raises(ConfigError, match=r"data\.augment: subspace sees each image once"):
        planned(good, [], Wishes(settings=("data.augment.rotation_deg=10", SMALL)))


def test_frames_of_several_sizes_give_a_range_and_the_rare_ones_are_named(
    good: list[SurveyedSample], tmp_path: Path
) -> None:
    write_dataset(tmp_path / "odd", good=1, test_good=0, defective_per_kind=0, size=(62, 80))
    odd = survey(read_data_set(tmp_path / "odd/train/good").good)
    said: list[str] = []
    plan = planned([*good[:9], *odd], said, Wishes())
    assert plan.config.data.frame_height == (60, 62)
    assert plan.config.data.frame_width == (80, 80)
    assert said[0] == (
        "warning: frames of 2 sizes, 60 to 62 high and 80 to 80 wide; 9 of 10 are 60x80, the "
        f"others: {odd[0].sample.path}; the bundle will take all sizes between: remove images that "
        "are not from the camera of the line"
    )


@pytest.mark.parametrize(
    ("pace", "seconds", "steps", "remark"),
    [
        (Pace(0.5, 0.5), 300, 500, ", 5 minutes"),
        (Pace(0.6, 0.6), 6, 100, ": a model needs at least these; they take 2.0 minutes"),
        (Pace(0.1, 0.1), 1e6, 2000, ": more do not improve the model"),
    ],
)
def test_steps_fill_the_time_that_the_features_leave(
    pace: Pace, seconds: float, steps: int, remark: str
) -> None:
    assert steps_for(pace, 100, seconds) == (steps, remark)


@pytest.mark.parametrize(
    ("size", "reason"),
    [("1024,1280", "would take 144 s"), ("1088,1280", "would need too much memory")],
)
def test_images_that_are_too_large_are_not_compared(
    good: list[SurveyedSample], monkeypatch: pytest.MonkeyPatch, size: str, reason: str
) -> None:
    for user in ("evidence", "first_look"):
        monkeypatch.setattr(f"training.{user}.backbone_s", lambda *_: 2.0)
    said: list[str] = []
    settings = (f"data.image_size=[{size}]",)
    plan = planned(good, said, Wishes(forms=("subspace", "memory"), settings=settings))
    assert plan.evidence is None
    shown = size.replace(",", "x")
    no_comparison, chosen = said[1:]
    assert no_comparison == f"no comparison, the default: 72 images of {shown} {reason}"
    assert chosen == (
        f"subspace, input {shown} (height x width); the backbone takes 2000 ms for such an image "
        "here"
    )


def test_a_person_reads_which_defects_the_input_does_not_show() -> None:
    frames = [SurveyedSample(Sample(Path("a.png")), "0", (1200, 1600), 3)]
    config = TrainConfig.model_validate(
        {"data": {"folder": "/parts", "image_size": (224, 288)}, "model": {"name": "subspace"}}
    )
    assert described(config, frames) == (
        "input 224x288 (height x width), which shows defects from 11 px of the 1200x1600 frame on; "
        "for smaller ones set --smallest-defect-px"
    )
