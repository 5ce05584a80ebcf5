"""Samples as tensors: images and targets at the model's input size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from inspection.preprocess import Crop, Preprocessing
from training.data.augment import Augmentation
from training.data.data_set import Sample
from training.data.masks import Annotation
from training.data.samples import SampleReader
from training.data.survey import survey


@pytest.mark.parametrize("row", range(100, 116))
def test_a_scratch_in_the_image_is_a_scratch_in_its_mask(tmp_path: Path, row: int) -> None:
    """The input has a sixteenth of the rows of the frame, of which a crop takes a part."""
    image, mask = np.zeros((288, 64), np.uint8), np.zeros((288, 64), np.uint8)
    image[row], mask[row] = 255, 255
    cv2.imwrite(str(tmp_path / "image.png"), image)
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    reader = SampleReader(
        survey([Sample(tmp_path / "image.png", "scratch", tmp_path / "mask.png")]),
        Preprocessing(
            frame_height=(288, 288),
            frame_width=(64, 64),
            channels=1,
            crop=Crop(top=32, left=0, height=256, width=64),
            height=16,
            width=32,
        ),
        Annotation(),
        Augmentation(),
        max_bytes=0,
    )
    shown, targets = reader.batch([(0, 0)])
    assert np.array_equal(targets.masks[0, 0].numpy() > 0, shown[0, ..., 0].numpy() > 0)
