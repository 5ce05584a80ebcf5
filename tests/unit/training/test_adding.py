"""Adding good images gives the run of learning all of them from the start."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from inspection.errors import CameraError, ConfigError
from inspection.files import sha256_of
from training.adding import Addition, add_good_images, good_files
from training.checkpoint import RunRecord, load_run, save_run
from training.config import TrainConfig
from training.fit import fit
from training.hold_out import hold_out_share
from training.models.subspace import Model

SEED = 43  # with which an image that was learnt of 10 is held out of 19


def draw(folder: Path, numbers: range, size: tuple[int, int] = (40, 56), value: int = 60) -> Path:
    """Draws noise with a square in the middle, another one for each number."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        random = np.random.default_rng(number)
        image = random.integers(90, 120, (*size, 3), dtype=np.uint8)
        image[10:30, 15 + number % 5 : 40] += value
        cv2.imwrite(str(folder / f"{number:03d}.png"), image)
    return folder


def config(folder: Path, **model: object) -> TrainConfig:
    backbone = {"name": "resnet18.tv_in1k", "weights": "none"}
    return TrainConfig.model_validate(
        {
            "data": {"folder": folder, "image_size": [64, 64], "hold_out": 0.3},
            "model": {"name": "subspace", "backbone": backbone, **model},
            "fit": {"seed": SEED},
        }
    )


def taught(folder: Path, run: Path, **model: object) -> RunRecord:
    torch.manual_seed(0)
    return fit(config(folder, **model), run)


def saved(addition: Addition, run: Path) -> RunRecord:
    run.mkdir()
    return save_run(run, addition.model, addition.record)


def held(record: RunRecord) -> list[str]:
    return [image.sha256 for image in record.held_out]


def statistics(run: Path) -> list[torch.Tensor]:
    model = load_run(run)[1]
    assert isinstance(model, Model)
    return [
        gaussian.get_buffer(name)
        for gaussian in model.statistics()
        for name in ("count", "mean", "covariance")
    ]


@pytest.mark.parametrize("settings", [{}, {"layers_joined": False, "rotations": 2}])
def test_the_result_is_that_of_all_images_at_once(
    tmp_path: Path, settings: dict[str, object]
) -> None:
    few, more = draw(tmp_path / "few", range(10)), draw(tmp_path / "more", range(10, 17))
    last = draw(tmp_path / "last", range(17, 19))
    everything = draw(tmp_path / "all", range(19))
    first = taught(few, tmp_path / "run", **settings)
    second = saved(add_good_images(tmp_path / "run", more), tmp_path / "run2")
    third = saved(add_good_images(tmp_path / "run2", last), tmp_path / "run3")
    anew = taught(everything, tmp_path / "anew", **settings)
    assert len(first.fitted_sha256) < len(second.fitted_sha256) < len(third.fitted_sha256)
    # An image that was learnt first is held out in the end, and one that was held out is learnt.
    assert set(first.fitted_sha256) & set(held(third))
    assert set(held(second)) & set(third.fitted_sha256)
    assert third.fitted_sha256 == anew.fitted_sha256
    assert held(third) == held(anew)
    assert third.data_sha256 == anew.data_sha256
    for added, learnt in zip(
        statistics(tmp_path / "run3"), statistics(tmp_path / "anew"), strict=True
    ):
        assert float((added - learnt).abs().max()) <= 1e-9 * float(learnt.abs().max())
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        one, other = (load_run(tmp_path / name)[1](images) for name in ("run3", "anew"))
    torch.testing.assert_close(one.maps, other.maps, rtol=1e-6, atol=0)


def test_images_that_left_and_came_are_found_in_all_folders(tmp_path: Path) -> None:
    few, more = draw(tmp_path / "few", range(10)), draw(tmp_path / "more", range(10, 17))
    taught(few, tmp_path / "run")
    record = saved(add_good_images(tmp_path / "run", more), tmp_path / "run2")
    assert record.added == (more,)
    assert sorted(path.name for path in good_files(record)) == [f"{n:03d}.png" for n in range(17)]
    assert all(held.path.is_file() for held in record.held_out)


def test_the_images_of_a_part_are_added_together(tmp_path: Path) -> None:
    few, more = draw(tmp_path / "few", range(10)), draw(tmp_path / "more", range(10, 17))
    parts = {"part_name": r"(\d)\.png$"}  # the last digit: more images of the same parts
    plain = config(few)
    named = plain.model_copy(update={"data": plain.data.model_copy(update=parts)})
    torch.manual_seed(0)
    fit(named, tmp_path / "run")
    record = saved(add_good_images(tmp_path / "run", more), tmp_path / "run2")
    files = {sha256_of(path): path for path in good_files(record)}
    learnt = {files[sha256].stem[-1] for sha256 in record.fitted_sha256}
    held_out = {files[sha256].stem[-1] for sha256 in held(record)}
    assert (len(learnt), len(held_out), len(learnt | held_out)) == (7, 3, 10)


def test_parts_and_not_their_images_make_the_share_that_is_held_out(tmp_path: Path) -> None:
    few, more = draw(tmp_path / "few", range(10)), draw(tmp_path / "more", range(10, 50))
    plain = config(few)
    parts = {"part_name": r"(\d)\.png$", "hold_out": hold_out_share(10, in_turn=False)}
    torch.manual_seed(0)
    fit(plain.model_copy(update={"data": plain.data.model_copy(update=parts)}), tmp_path / "run")
    data = add_good_images(tmp_path / "run", more).record["config"].data
    assert data.hold_out == hold_out_share(10, in_turn=False) != hold_out_share(50, in_turn=False)


def test_the_run_itself_stays(tmp_path: Path) -> None:
    few, more = draw(tmp_path / "few", range(10)), draw(tmp_path / "more", range(10, 17))
    taught(few, tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    add_good_images(tmp_path / "run", more)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_known_images_are_left_out_and_named(tmp_path: Path) -> None:
    few, more = draw(tmp_path / "few", range(10)), draw(tmp_path / "more", range(8, 12))
    taught(few, tmp_path / "run")
    addition = add_good_images(tmp_path / "run", more)
    assert addition.new == 2
    assert [path.name for path in addition.known] == ["008.png", "009.png"]
    with pytest.raises(CameraError, match="has all of its 10 images already"):
        add_good_images(tmp_path / "run", few)


def test_other_frames_are_refused_by_name(tmp_path: Path) -> None:
    taught(draw(tmp_path / "few", range(10)), tmp_path / "run")
    wide = draw(tmp_path / "wide", range(20, 22), size=(40, 60))
    with pytest.raises(CameraError, match=r"outside the configured size:\n.*020\.png: 40x60"):
        add_good_images(tmp_path / "run", wide)
    (tmp_path / "grey").mkdir()
    cv2.imwrite(str(tmp_path / "grey" / "grey.png"), np.zeros((40, 56), np.uint8))
    with pytest.raises(CameraError, match=r"1 images are grey, .*\n.*grey\.png"):
        add_good_images(tmp_path / "run", tmp_path / "grey")


def test_a_learnt_image_that_must_leave_and_is_gone_is_refused(tmp_path: Path) -> None:
    few, last = draw(tmp_path / "few", range(10)), draw(tmp_path / "last", range(10, 19))
    taught(few, tmp_path / "run")
    shutil.rmtree(few)
    few.mkdir()
    draw(few, range(90, 91))
    with pytest.raises(CameraError, match="1 of the images learnt before are needed again"):
        add_good_images(tmp_path / "run", last)


def test_a_model_with_steps_takes_no_additions(tmp_path: Path) -> None:
    few = draw(tmp_path / "few", range(10))
    steps = config(few).model_dump(mode="json")
    steps["model"] = {
        "name": "simplenet",
        "backbone": steps["model"]["backbone"],
        "width": 16,
        "hidden": 8,
    }
    steps["fit"] = {"epochs": 1}
    fit(TrainConfig.model_validate(steps), tmp_path / "run")
    with pytest.raises(ConfigError, match="simplenet is trained by optimisation steps"):
        add_good_images(tmp_path / "run", draw(tmp_path / "more", range(10, 12)))


def test_a_model_that_cannot_forget_learns_all_images_again(tmp_path: Path) -> None:
    few, more = draw(tmp_path / "few", range(10)), draw(tmp_path / "more", range(10, 19))
    both = draw(tmp_path / "both", range(19))
    runs = []
    for folder, run in ((few, tmp_path / "run"), (both, tmp_path / "anew")):
        settings = config(folder).model_dump(mode="json")
        settings["model"] = {"name": "memory", "backbone": settings["model"]["backbone"]}
        torch.manual_seed(0)
        runs.append(fit(TrainConfig.model_validate(settings), run))
    saved(add_good_images(tmp_path / "run", more), tmp_path / "run2")
    (record, added), (_, anew) = (load_run(tmp_path / name) for name in ("run2", "anew"))
    assert record.data_sha256 == runs[1].data_sha256
    assert held(record) == held(runs[1])
    for name in ("bank", "leave_one_out"):
        assert torch.equal(added.get_buffer(name), anew.get_buffer(name))


def test_random_changes_are_refused_and_not_left_out(tmp_path: Path) -> None:
    settings = config(draw(tmp_path / "few", range(10))).model_dump(mode="json")
    settings["data"]["augment"] = {"rotation_deg": 10}
    with pytest.raises(ConfigError, match=r"data\.augment: subspace .*model\.rotations turns"):
        fit(TrainConfig.model_validate(settings), tmp_path / "run")


def test_images_that_a_person_left_out_do_not_come_back(tmp_path: Path) -> None:
    few, more = draw(tmp_path / "few", range(10)), draw(tmp_path / "more", range(10, 13))
    record = taught(few, tmp_path / "run")
    left = {sha256_of(more / "011.png"): "011.png"}
    second = saved(add_good_images(tmp_path / "run", more, left), tmp_path / "run2")
    assert second.config.data.without == left
    assert not left.keys() & {*second.fitted_sha256, *held(second)}
    alone = draw(tmp_path / "alone", range(11, 12))
    with pytest.raises(CameraError, match=r"leaves them out by hand \(1\)"):
        add_good_images(tmp_path / "run2", alone)
    with pytest.raises(ConfigError, match=r"has old\.png already; to leave it out teach again"):
        add_good_images(tmp_path / "run2", more, {record.fitted_sha256[0]: "old.png"})
