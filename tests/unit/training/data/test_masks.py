"""Preparation of ground-truth masks (acceptance oracle 11)."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from inspection.errors import CameraError
from training.data.masks import dilate, distance_weights, read_mask


def test_weights_of_a_square_fall_to_its_border() -> None:
    mask = np.zeros((11, 11), np.uint8)
    mask[3:8, 3:8] = 1
    weights = distance_weights(mask, 3.0, 2.0)
    assert weights[5, 3:8].tolist() == pytest.approx([1 / 3, 4 / 3, 3, 4 / 3, 1 / 3], abs=1e-5)
    assert weights[0, 0] == 1


def test_a_dilated_pixel_weighs_most_in_its_middle() -> None:
    mask = np.zeros((21, 21), np.uint8)
    mask[10, 10] = 1
    grown = dilate(mask, 7)
    assert grown.sum() == 49
    assert distance_weights(grown, 3.0, 2.0)[10, 10] == pytest.approx(3)


def test_defects_are_normalised_separately() -> None:
    mask = np.zeros((30, 30), np.uint8)
    mask[2:5, 2:5] = 1
    mask[10:25, 10:25] = 1
    weights = distance_weights(mask, 3.0, 2.0)
    assert weights[3, 3] == pytest.approx(3)
    assert weights[17, 17] == pytest.approx(3)


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    cv2.imwrite(str(path), np.zeros((10, 12), np.uint8))
    with pytest.raises(CameraError, match="the mask is 10x12 and its image 10x10"):
        read_mask(path, (10, 10))


def test_every_value_but_zero_is_a_defect(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    image = np.zeros((4, 4, 3), np.uint8)
    image[1, 2] = (0, 7, 0)
    cv2.imwrite(str(path), image)
    assert read_mask(path, (4, 4)).sum() == 1
