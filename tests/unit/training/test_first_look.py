"""The sizes that the images of a data set ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspection.errors import ConfigError
from linewarden.training_run import fitted_to_images
from training.config import TrainConfig
from training.demo_parts import write_dataset
from training.first_look import is_size_open


def config(folder: Path, **data: object) -> TrainConfig:
    return TrainConfig.model_validate(
        {
            "data": {"folder": folder, **data},
            "model": {"name": "subspace", "backbone": {"weights": "none"}},
        }
    )


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    for size, test_good in (((62, 120), 0), ((60, 120), 1)):
        root = tmp_path / str(test_good)
        write_dataset(root, good=2, test_good=test_good, defective_per_kind=test_good, size=size)
    (tmp_path / "0/train/good/000.png").rename(tmp_path / "1/train/good/odd.png")
    return tmp_path / "1"


def test_frames_and_input_follow_the_images(
    parts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fitted = fitted_to_images(config(parts)).data
    assert fitted.image_size == (192, 352)
    assert (fitted.frame_height, fitted.frame_width) == ((60, 62), (120, 120))
    said = capsys.readouterr().err
    assert "warning: frames of 2 sizes, 60 to 62 high and 120 to 120 wide;" in said
    assert "odd.png" in said
    assert fitted_to_images(config(parts, crop=CROP)).data.image_size == (256, 256)
    assert fitted_to_images(config(parts), smallest_defect_px=2).data.image_size == (96, 128)


CROP = {"top": 5, "left": 5, "height": 50, "width": 50}


def test_given_sizes_stay(parts: Path) -> None:
    given = config(parts, image_size=[64, 96], frame_height=[50, 70], frame_width=[120, 120])
    assert fitted_to_images(given).data == given.data
    with pytest.raises(ConfigError, match=r"--smallest-defect-px: data\.image_size is given"):
        fitted_to_images(given, smallest_defect_px=2)


def test_quarter_turns_keep_the_square(tmp_path: Path) -> None:
    assert is_size_open(config(tmp_path))
    assert not is_size_open(config(tmp_path, augment={"quarter_turns": True}))
