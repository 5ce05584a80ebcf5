"""Preparation of ground-truth masks (acceptance oracle 11)."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from inspection.errors import CameraError
from inspection.files import sha256_of
from training.data.masks import (
    dilate,
    distance_weights,
    is_drawn,
    mask_sha256,
    read_mask,
    shrink,
)


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


@pytest.mark.parametrize("native", [1024, 2048, 4096])
def test_a_thin_defect_stays_in_a_smaller_mask(native: int) -> None:
    """A scratch of 1 px, drawn 7 px wide as SuperSimpleNet does, at every position."""
    side, share = 128, native / 128
    for row in range(native // 2, native // 2 + 2 * int(share)):
        mask = np.zeros((native, 4), np.uint8)
        mask[row] = 1
        grown = dilate(mask, 7)
        small, weights = shrink(grown, distance_weights(grown, 3.0, 2.0), (side, 4))
        found = np.flatnonzero(small[:, 0])
        assert 1 <= len(found) <= 2 + 7 / share
        assert abs((found + 0.5).mean() * share - (row + 0.5)) <= share / 2 + 1
        assert weights[small == 0].tolist() == [1.0] * int((small == 0).sum())
        assert 0 < weights[small > 0].max() < 3


def test_a_large_defect_keeps_its_area_and_weights() -> None:
    mask = np.zeros((400, 600), np.uint8)
    cv2.circle(mask, (250, 180), 90, 1, -1)
    weights = np.where(mask > 0, 3, 1).astype(np.float32)
    small, small_weights = shrink(mask, weights, (100, 150))
    assert small.sum() * 16 == pytest.approx(mask.sum(), rel=0.01)
    assert set(np.unique(small)) == {0, 1}
    assert small_weights == pytest.approx(np.where(small > 0, 3, 1))


def test_a_mask_grows_along_one_axis_while_it_shrinks_along_the_other() -> None:
    mask = np.zeros((40, 10), np.uint8)
    mask[:, 3] = 1
    small, _ = shrink(mask, np.ones(mask.shape, np.float32), (20, 30))
    assert np.array_equal(small, np.repeat(mask[::2], 3, axis=1))


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


def blob() -> np.ndarray:
    mask = np.zeros((120, 160), np.uint8)
    cv2.circle(mask, (70, 60), 25, 255, -1)
    cv2.line(mask, (5, 5), (150, 110), 255, 2)
    return mask


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
@pytest.mark.parametrize("quality", [50, 75, 95])
def test_a_lossy_mask_keeps_its_area(tmp_path: Path, suffix: str, quality: int) -> None:
    path = tmp_path / f"mask{suffix}"
    setting = cv2.IMWRITE_JPEG_QUALITY if suffix == ".jpg" else cv2.IMWRITE_WEBP_QUALITY
    cv2.imwrite(str(path), blob(), [setting, quality])
    truth = blob() > 0
    assert read_mask(path, truth.shape).sum() == pytest.approx(truth.sum(), rel=0.04)


def test_a_lossy_mask_of_small_values_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.jpg"
    cv2.imwrite(str(path), blob() // 255)
    with pytest.raises(CameraError, match=r"mask\.jpg: a lossy mask whose highest value is \d: "):
        read_mask(path, (120, 160))


def test_a_black_lossy_mask_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "mask.jpg"
    cv2.imwrite(str(path), np.zeros((120, 160), np.uint8))
    assert not is_drawn(path)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp"])
@pytest.mark.parametrize("value", [1, 255])
def test_lossless_masks_are_exact(tmp_path: Path, suffix: str, value: int) -> None:
    path = tmp_path / f"mask{suffix}"
    lossless = [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else []
    cv2.imwrite(str(path), np.minimum(blob(), value), lossless)
    assert np.array_equal(read_mask(path, (120, 160)), blob() > 0)


def test_a_palette_png_is_a_mask(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    image = Image.fromarray(blob() // 255, "P")
    image.putpalette([0, 0, 0, 128, 0, 0])
    image.save(path)
    assert np.array_equal(read_mask(path, (120, 160)), blob() > 0)


def test_a_hash_covers_all_masks_of_a_folder(tmp_path: Path) -> None:
    for name in ("0.png", "1.png"):
        cv2.imwrite(str(tmp_path / name), blob())
    before = mask_sha256(tmp_path)
    cv2.imwrite(str(tmp_path / "1.png"), 255 - blob())
    assert mask_sha256(tmp_path) != before
    assert mask_sha256(tmp_path / "0.png") == sha256_of(tmp_path / "0.png")
