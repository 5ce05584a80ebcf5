"""Files of a data set that nobody reads are told, and names that are nearly right are refused."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspection.errors import CameraError
from training.data.layout import convert, read_data_set
from training.data.masks import read_mask

SIZE = (12, 16)
OTHER_SUFFIX = "1 files that are not images by their suffix are not read"


def draw(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    cv2.imwrite(str(path), image)
    return path


def draw_mask(path: Path, column: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros(SIZE, np.uint8)
    mask[:, column] = 255
    cv2.imwrite(str(path), mask)
    return path


def write_mvtec(root: Path) -> Path:
    for number in range(3):
        draw(root / f"train/good/{number}.png", number)
        draw(root / f"test/crack/{number}.png", 10 + number)
        draw_mask(root / f"ground_truth/crack/{number}_mask.png", number)
    draw(root / "test/good/0.png", 20)
    return root


def refusal(root: Path) -> str:
    with pytest.raises(CameraError) as caught:
        read_data_set(root)
    return str(caught.value)


class TestImages:
    def test_a_whole_data_set_has_no_doubts(self, tmp_path: Path) -> None:
        (tmp_path / "license.txt").touch()
        assert read_data_set(write_mvtec(tmp_path)).doubts == ()

    def test_day_folders_beside_a_few_images(self, tmp_path: Path) -> None:
        root = write_mvtec(tmp_path)
        for number in range(26):
            draw(root / f"train/good/2026-01-{number % 2 + 1:02}/{number}.png", 30 + number)
        (root / "train/good/last.heic").touch()
        good = root / "train/good"
        assert read_data_set(root).doubts == (
            f"{good}: 26 images in subfolders are not read: 2026-01-01/, 2026-01-02/",
            f"{good}: {OTHER_SUFFIX}: last.heic",
        )

    def test_images_in_the_folders_above(self, tmp_path: Path) -> None:
        root = write_mvtec(tmp_path)
        draw(root / "x.png")
        draw(root / "test/y.png")
        draw(root / "validation/good/z.png")
        assert read_data_set(root).doubts == (
            f"{root}: 1 images directly in it are not read: x.png",
            f"{root}: 1 images in subfolders are not read: validation/",
            f"{root / 'test'}: 1 images directly in it are not read: y.png",
        )

    def test_several_categories(self, tmp_path: Path) -> None:
        write_mvtec(tmp_path / "bolt")
        write_mvtec(tmp_path / "nut")
        draw(tmp_path / "washer/a.png")
        assert read_data_set(tmp_path).doubts == (
            f"{tmp_path}: 1 images in subfolders are not read: washer/",
        )

    def test_plain(self, tmp_path: Path) -> None:
        for number in range(4):
            draw(tmp_path / f"{number}.png", number)
        draw(tmp_path / "more/a.png", 9)
        draw(tmp_path / "test/crack/a.png", 10)
        assert read_data_set(tmp_path).doubts == (
            f"{tmp_path}: 1 images in subfolders are not read: more/",
        )

    def test_ganomaly(self, tmp_path: Path) -> None:
        draw(tmp_path / "train/0.normal/a.png")
        draw(tmp_path / "train/b.png")
        (tmp_path / "train/0.normal/c.gif").touch()
        assert read_data_set(tmp_path).doubts == (
            f"{tmp_path / 'train'}: 1 images directly in it are not read: b.png",
            f"{tmp_path / 'train/0.normal'}: {OTHER_SUFFIX}: c.gif",
        )

    def test_ksdd2(self, tmp_path: Path) -> None:
        draw(tmp_path / "train/1.png")
        draw_mask(tmp_path / "train/1_GT.png")
        draw(tmp_path / "train/new/2.png")
        assert read_data_set(tmp_path).doubts == (
            f"{tmp_path / 'train'}: 1 images in subfolders are not read: new/",
        )

    def test_images_that_are_in_no_list(self, tmp_path: Path) -> None:
        draw(tmp_path / "images/a.png", 0)
        beside = draw(tmp_path / "images/b.png", 1)
        for split in ("train", "test"):
            line = json.dumps({"filename": "images/a.png", "label": 0})
            (tmp_path / f"{split}.json").write_text(line)
        assert read_data_set(tmp_path).doubts == (f"1 images are in no list: {beside}",)


class TestNearlyALayout:
    @pytest.mark.parametrize("name", ["Good", "OK", "normal"])
    @pytest.mark.parametrize("split", ["train", "test"])
    def test_good_parts_that_would_count_as_a_defect(
        self, tmp_path: Path, split: str, name: str
    ) -> None:
        root = write_mvtec(tmp_path)
        draw(root / split / name / "a.png")
        assert refusal(root) == (
            f"{root / split / name}: looks like good parts and would count as a defect; rename it "
            "to good"
        )

    def test_good_parts_in_upper_case_alone(self, tmp_path: Path) -> None:
        draw(tmp_path / "train/GOOD/a.png")
        assert "train/GOOD: looks like good parts" in refusal(tmp_path)

    @pytest.mark.parametrize(
        ("name", "expected"),
        [("Test", "test"), ("TRAIN", "train"), ("Ground Truth", "ground_truth")],
    )
    def test_another_case(self, tmp_path: Path, name: str, expected: str) -> None:
        root = write_mvtec(tmp_path)
        (root / expected).rename(root / "moved")
        (root / "moved").rename(root / name)
        assert refusal(root) == f"{root / name}: the name must be {expected}; rename it"

    def test_masks_among_plain_images(self, tmp_path: Path) -> None:
        draw(tmp_path / "part0.jpg")
        mask = draw(tmp_path / "part0_label.bmp")
        draw(tmp_path / "white_label.png")  # has no image of this name: a part
        assert refusal(tmp_path) == (
            "1 masks are among the images and would be learnt as good parts:\n"
            f"  {mask}\nput them into ground_truth/<defect>, and the images into test/<defect> or "
            "train/<defect>"
        )


class TestMasks:
    @pytest.mark.parametrize(
        "name", ["0_mask.png", "0.png", "0_mask.bmp", "0.tif", "0_MASK.PNG", "0_mask.jpg"]
    )
    @pytest.mark.parametrize("defect", ["crack", "Crack"])
    def test_suffix_and_case(self, tmp_path: Path, defect: str, name: str) -> None:
        root = write_mvtec(tmp_path)
        (root / "ground_truth/crack/0_mask.png").unlink()
        (root / "ground_truth/crack").rename(root / "ground_truth/moved")
        (root / "ground_truth/moved").rename(root / "ground_truth" / defect)
        mask = draw_mask(root / "ground_truth" / defect / name)
        data = read_data_set(root)
        assert data.test[0].mask == mask
        assert data.doubts == ()

    def test_a_folder_of_masks_for_each_image(self, tmp_path: Path) -> None:
        root = write_mvtec(tmp_path / "parts")
        (root / "ground_truth/crack/0_mask.png").unlink()
        draw_mask(root / "ground_truth/crack/0/000.png", 3)
        draw_mask(root / "ground_truth/crack/0/001.png", 5)
        data = read_data_set(root)
        assert data.doubts == ()
        mask = data.test[0].mask
        assert mask == root / "ground_truth/crack/0"
        assert np.flatnonzero(read_mask(mask, SIZE)[0]).tolist() == [3, 5]
        convert(data, "mvtec", tmp_path / "out", link=False)
        written = read_mask(tmp_path / "out/ground_truth/crack/0_mask.png", SIZE)
        assert np.flatnonzero(written[0]).tolist() == [3, 5]

    def test_names_that_differ_in_case_alone(self, tmp_path: Path) -> None:
        root = write_mvtec(tmp_path)
        for name in ("a", "A"):
            draw(root / f"test/crack/{name}.png")
            draw_mask(root / f"ground_truth/crack/{name}_mask.png")
        masks = {s.path.stem: s.mask for s in read_data_set(root).test}
        assert masks["a"] == root / "ground_truth/crack/a_mask.png"
        assert masks["A"] == root / "ground_truth/crack/A_mask.png"

    def test_a_mask_that_fits_no_image(self, tmp_path: Path) -> None:
        root = write_mvtec(tmp_path)
        masks = [
            draw_mask(root / "ground_truth" / name)
            for name in ("x.png", "crack/9_mask.png", "good/0_mask.png")
        ]
        (root / "ground_truth/crack/2.json").touch()
        assert read_data_set(root).doubts == (
            f"{root / 'ground_truth/crack'}: {OTHER_SUFFIX}: 2.json",
            f"3 masks fit no defective image: {', '.join(map(str, masks))}",
        )

    def test_an_image_without_a_mask_while_others_have_one(self, tmp_path: Path) -> None:
        root = write_mvtec(tmp_path)
        (root / "ground_truth/crack/1_mask.png").unlink()
        image = root / "test/crack/1.png"
        assert read_data_set(root).doubts == (
            f"1 of 3 defective images have no mask, and the others have one: {image}",
        )

    def test_a_data_set_without_masks_has_no_doubts(self, tmp_path: Path) -> None:
        draw(tmp_path / "train/good/0.png")
        draw(tmp_path / "test/crack/0.png")
        assert read_data_set(tmp_path).doubts == ()

    def test_masks_that_all_have_other_names_are_refused(self, tmp_path: Path) -> None:
        root = write_mvtec(tmp_path)
        for number in range(3):
            mask = root / f"ground_truth/crack/{number}_mask.png"
            mask.rename(mask.with_name(f"{number}_defect.png"))
        assert refusal(root) == (
            f"{root / 'ground_truth/crack'}: none of its 3 masks has the name of an image; "
            f"the mask of {root / 'test/crack/0.png'} must be 0_mask.png; found:\n"
            "  0_defect.png\n  1_defect.png\n  2_defect.png"
        )

    @pytest.mark.parametrize("ending", ["_gt.PNG", "_GT.bmp"])
    def test_masks_of_ksdd2_in_another_format(self, tmp_path: Path, ending: str) -> None:
        draw(tmp_path / "train/1.png")
        mask = draw_mask(tmp_path / f"train/1{ending}")
        (sample,) = read_data_set(tmp_path).defective
        assert sample.mask == mask
