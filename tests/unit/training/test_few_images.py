"""Few good images: each is judged by a model that did not learn it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from inspection.errors import CameraError, ConfigError
from tests.doubles.small_models import frames, small_subspace
from tests.unit.training.test_adding import config, draw, saved, taught
from training.adding import add_good_images
from training.checkpoint import load_run
from training.config import TrainConfig
from training.few_images import judge_learnt, predictions_without
from training.fit import fit
from training.hold_out import JUDGES, hold_out_share
from training.models.base import LearntImage
from training.models.subspace import Model

SIZE = (64, 96)


def learnt(model: Model, images: list[LearntImage]) -> Model:
    for image in images:
        for features in image.views:
            model.learn(features)
    model.solve()
    return model


@pytest.mark.parametrize("group", [1, 2])
def test_each_is_judged_as_by_a_model_taught_without_its_group(group: int) -> None:
    model = small_subspace(SIZE, rotations=2)
    images = [
        LearntImage(number, [model.extract(view) for view in model.views(image[None])])
        for number, image in enumerate(frames(6, SIZE))
    ]
    learnt(model, images)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    groups = [images[start : start + group] for start in range(0, 6, group)]
    found = list(predictions_without(model, groups))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    for number, prediction in enumerate(found):
        first = number - number % group
        others = images[:first] + images[first + group :]
        itself = images[number].views[0]
        anew = learnt(small_subspace(SIZE, rotations=2), others).predict(itself)
        assert prediction.scores[0] == pytest.approx(float(anew.scores), rel=1e-6)
        assert prediction.maps == pytest.approx(anew.maps.detach().numpy(), rel=1e-5)
        assert prediction.scores[0] > float(model.predict(itself).scores)


def few_config(folder: Path) -> TrainConfig:
    made = config(folder)
    return made.model_copy(update={"data": made.data.model_copy(update={"hold_out": 0.0})})


@pytest.mark.parametrize("count", [1, 2, 4])
def test_few_images_are_all_learnt_and_all_judged(tmp_path: Path, count: int) -> None:
    torch.manual_seed(0)
    record = fit(few_config(draw(tmp_path / "few", range(count))), tmp_path / "run")
    assert len(record.fitted_sha256) == count
    assert record.held_out == ()
    judgement = judge_learnt(*load_run(tmp_path / "run"))
    assert judgement.judged == ("mirrored" if count == 1 else "without_itself")
    assert set(judgement.predictions) == set(record.fitted_sha256)


def test_a_run_that_holds_images_out_judges_none_again(tmp_path: Path) -> None:
    taught(draw(tmp_path / "few", range(10)), tmp_path / "run")
    assert judge_learnt(*load_run(tmp_path / "run")) == (None, {})


def test_an_image_that_has_changed_is_not_judged(tmp_path: Path) -> None:
    """Saved again, it has a hash that the model has not learnt, and would count as unseen."""
    torch.manual_seed(0)
    fit(few_config(draw(tmp_path / "few", range(4))), tmp_path / "run")
    draw(tmp_path / "few", range(3, 4), value=61)
    with pytest.raises(CameraError, match=r"1 images have changed since .*\n.*003\.png"):
        judge_learnt(*load_run(tmp_path / "run"))


def test_additions_hold_images_out_once_there_are_many(tmp_path: Path) -> None:
    torch.manual_seed(0)
    fit(few_config(draw(tmp_path / "few", range(3))), tmp_path / "run")
    record = saved(
        add_good_images(tmp_path / "run", draw(tmp_path / "more", range(3, 6))), tmp_path / "run2"
    )
    assert (len(record.judged_in_turn), len(record.held_out)) == (6, 0)
    many = draw(tmp_path / "many", range(6, JUDGES + 2))
    record = saved(add_good_images(tmp_path / "run2", many), tmp_path / "run3")
    assert (len(record.fitted_sha256), len(record.held_out)) == (11, 11)
    assert record.judged_in_turn == ()
    assert record.config.data.hold_out == hold_out_share(JUDGES + 2, in_turn=True) == 0.5
    more = draw(tmp_path / "more still", range(JUDGES + 2, 48))
    record = saved(add_good_images(tmp_path / "run3", more), tmp_path / "run4")
    assert (len(record.fitted_sha256), len(record.held_out)) == (48 - JUDGES, JUDGES)


def test_a_model_with_steps_holds_some_out(tmp_path: Path) -> None:
    steps = few_config(draw(tmp_path / "few", range(6))).model_dump(mode="json")
    steps["model"] = {"name": "simplenet", "backbone": steps["model"]["backbone"]}
    with pytest.raises(ConfigError, match="hold_out 0: simplenet cannot forget a learnt image"):
        fit(TrainConfig.model_validate(steps), tmp_path / "run")
    assert not (tmp_path / "run").exists()
