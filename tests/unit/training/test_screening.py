"""Learnt good images that stand out are named and shown; a person leaves them out."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
import torch

from inspection.files import sha256_of
from inspection.images import read_image
from inspection.preprocess import preprocess
from tests.unit.training.test_adding import config, draw, saved
from training.adding import add_good_images
from training.checkpoint import RunRecord, load_run
from training.config import TrainConfig
from training.data.survey import divide
from training.fit import fit
from training.models.base import ClosedFormModel
from training.screening import SHEET

COUNT = 20
MARK = "mark.png"


def marked(folder: Path, numbers: range) -> Path:
    """Draws good parts and one with a mark."""
    draw(folder, numbers)
    image = cv2.imread(str(folder / f"{numbers[0]:03d}.png"))
    assert image is not None
    image[12:28, 20:36] = (0, 0, 255)
    cv2.imwrite(str(folder / MARK), image)
    return folder


def that_learns(mark: Path, *folders: Path, **model: object) -> TrainConfig:
    """Returns a configuration of the first folder whose seed does not hold the mark out of all."""
    hashes = [sha256_of(path) for folder in folders for path in folder.iterdir()]
    wanted = sha256_of(mark)
    each = {sha256: sha256 for sha256 in hashes}
    seed = next(s for s in range(100) if wanted in divide(each, hold_out=0.3, seed=s)[0])
    made = config(folders[0], **model)
    return made.model_copy(update={"fit": made.fit.model_copy(update={"seed": seed})})


def about_images(record: RunRecord) -> list[str]:
    return [doubt for doubt in record.doubts if "stand out" in doubt]


@pytest.mark.parametrize("settings", [{}, {"name": "memory"}], ids=["subspace", "memory"])
def test_a_marked_part_among_the_learnt_ones_is_named_and_shown(
    tmp_path: Path, settings: dict[str, object]
) -> None:
    folder = marked(tmp_path / "parts", range(COUNT))
    record = fit(that_learns(folder / MARK, folder, **settings), tmp_path / "run")
    (doubt,) = about_images(record)
    count, _ = doubt.split(" learnt good images stand out and count all the same: mark.png (")
    assert count.endswith(f" of {len(record.fitted_sha256)}")
    assert set(record.screened) == set(record.fitted_sha256)
    assert max(record.screened, key=lambda i: record.screened[i]) == sha256_of(folder / MARK)
    sheet = cv2.imread(str(tmp_path / "run" / SHEET))
    assert sheet is not None
    height, width, _ = sheet.shape
    assert height == int(count.split()[0]) * (24 + 64)
    assert width > 2 * 64  # the words are wider than these narrow images
    assert (sheet[:24].min(axis=2) < 128).any(axis=0).nonzero()[0].max() < width - 2  # and whole


def test_the_scores_are_by_models_that_have_not_learnt_the_image(tmp_path: Path) -> None:
    folder = draw(tmp_path / "parts", range(COUNT))
    record = fit(config(folder), tmp_path / "run")
    model = load_run(tmp_path / "run")[1]
    assert isinstance(model, ClosedFormModel)
    assert about_images(record) == []
    assert not (tmp_path / "run" / SHEET).exists()
    for path in folder.iterdir():
        if (score := record.screened.get(sha256_of(path))) is not None:
            image = preprocess(read_image(path), record.preprocessing)
            with torch.no_grad():
                assert score > float(model(torch.from_numpy(image)[None]).scores)


def test_images_that_are_all_judged_by_the_calibration_are_not_screened(tmp_path: Path) -> None:
    folder = marked(tmp_path / "parts", range(6))
    few = config(folder)
    few = few.model_copy(update={"data": few.data.model_copy(update={"hold_out": 0.0})})
    record = fit(few, tmp_path / "run")
    assert (record.screened, about_images(record)) == ({}, [])


def test_a_single_learnt_image_is_not_screened(tmp_path: Path) -> None:
    """No model is left without it."""
    most = config(draw(tmp_path / "parts", range(5)))
    most = most.model_copy(update={"data": most.data.model_copy(update={"hold_out": 0.8})})
    record = fit(most, tmp_path / "run")
    assert (len(record.fitted_sha256), record.screened) == (1, {})


def test_added_images_are_screened_beside_those_learnt_before(tmp_path: Path) -> None:
    first, more = draw(tmp_path / "first", range(COUNT)), marked(tmp_path / "more", range(40, 43))
    fit(that_learns(more / MARK, first, more), tmp_path / "run")
    addition = add_good_images(tmp_path / "run", more)
    record = saved(addition, tmp_path / "run2")
    (doubt,) = about_images(record)
    assert "the same: mark.png (" in doubt
    assert addition.screening.remarkable is not None
    assert set(record.screened) == set(record.fitted_sha256)
