"""Every data layout: reading, refusals and conversions."""

import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from inspection.errors import CameraError
from inspection.files import sha256_of
from inspection.images import read_image
from training.data.data_set import DataSet, Sample
from training.data.layout import convert, find_layout, read_data_set
from training.data.layouts import WRITABLE
from training.data.summary import summarise

SIZE = (12, 16)


def draw(path: Path, seed: int) -> Path:
    return save(path, np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8))


def draw_mask(path: Path, column: int | None, value: int = 255) -> Path:
    """Draws a mask with one defective column."""
    mask = np.zeros(SIZE, np.uint8)
    if column is not None:
        mask[:, column] = value
    return save(path, mask)


def save(path: Path, image: npt.NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)
    return path


def write_lines(path: Path, *records: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def write_mvtec(root: Path, seed: int = 0) -> Path:
    """Writes three good and one defective training image, and four for tests, one without mask."""
    for number in range(3):
        draw(root / f"train/good/{number}.png", seed + number)
    draw(root / "test/good/0.png", seed + 10)
    draw(root / "test/crack/0.png", seed + 11)
    draw(root / "test/crack/1.png", seed + 12)
    draw(root / "test/dent/0.png", seed + 13)
    draw_mask(root / "ground_truth/crack/0_mask.png", 2)
    draw_mask(root / "ground_truth/crack/1_mask.png", 3)
    draw_mask(root / "ground_truth/dent/0_mask.png", 4)
    return root


Facts = set[tuple[str, str, str | None, bool, str | None]]


def facts(data: DataSet, names: bool = True) -> Facts:
    """Returns every sample by content: split, image, category, defect, mask."""
    return {
        (
            split,
            sha256_of(s.path),
            s.category,
            s.is_good,
            (s.defect if names else "") + (sha256_of(s.mask) if s.mask else ""),
        )
        for split, samples in data.splits.items()
        for s in samples
    }


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(CameraError) as caught:
        action()
    return str(caught.value)


class TestFindLayout:
    def test_unknown(self, tmp_path: Path) -> None:
        (tmp_path / "images").mkdir()
        (tmp_path / "labels.csv").touch()
        assert refusal(lambda: find_layout(tmp_path)) == (
            f"{tmp_path}: no layout of a data set; looked for\n"
            "  mvtec: train/good or <category>/train/good\n"
            "  uniad: train.json, test.json\n"
            "  ganomaly: train/0.normal\n"
            "  visa: split_csv/1cls.csv, or Data and ../split_csv/1cls.csv\n"
            "  ksdd2: train/<id>_GT.png and test/<id>_GT.png\n"
            "  plain: images of good parts (.bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp), "
            "or test/<defect>\n"
            "it holds images/, labels.csv"
        )
        assert refusal(lambda: find_layout(tmp_path / "labels.csv")).endswith("\nit is a file")

    def test_several(self, tmp_path: Path) -> None:
        write_mvtec(tmp_path)
        write_lines(tmp_path / "train.json", {})
        assert refusal(lambda: find_layout(tmp_path)) == (
            f"{tmp_path}: has more than one layout, move all but one of them elsewhere:\n"
            "  mvtec: train/good or <category>/train/good\n"
            "  uniad: train.json, test.json\n"
            "it holds ground_truth/, test/, train/, train.json"
        )

    def test_every_layout_recognises_what_it_writes(self, tmp_path: Path) -> None:
        data = read_data_set(write_mvtec(tmp_path / "parts"))
        for name in WRITABLE:
            convert(data, name, tmp_path / name, link=False)
            assert find_layout(tmp_path / name) == name


class TestMvtec:
    def test_several_categories(self, tmp_path: Path) -> None:
        write_mvtec(tmp_path / "bolt")
        write_mvtec(tmp_path / "nut", seed=100)
        (tmp_path / "licence.txt").touch()
        data = read_data_set(tmp_path)
        assert data.name == tmp_path.name
        assert data.categories == ("bolt", "nut")
        assert [s.name for s in data.good] == [
            f"{category}/good/{number}.png" for category in ("bolt", "nut") for number in range(3)
        ]
        names = [sample.name for sample in data.test]
        assert len(set(names)) == len(names) == 8

    def test_one_category_below_a_root_has_no_category(self, tmp_path: Path) -> None:
        data = read_data_set(write_mvtec(tmp_path / "bolt").parent)
        assert data.name == "bolt"
        assert data.good[0] == Sample(tmp_path / "bolt/train/good/0.png")

    def test_a_category_without_good_images_is_not_passed_over(self, tmp_path: Path) -> None:
        write_mvtec(tmp_path / "bolt")
        draw(tmp_path / "nut/test/good/0.png", 0)
        assert refusal(lambda: read_data_set(tmp_path)) == (
            f"{tmp_path / 'nut'}: has no train/good, unlike the categories beside it"
        )


class TestPlain:
    def test_masks_of_ksdd2_are_not_images(self, tmp_path: Path) -> None:
        draw(tmp_path / "10000.png", 0)
        draw_mask(tmp_path / "10000_GT.png", None)
        assert refusal(lambda: read_data_set(tmp_path)) == (
            f"{tmp_path}: masks (*_GT.png) are among the images, as in the folders train and test "
            "of KSDD2; give the folder above, which has both"
        )


class TestGanomaly:
    def test_folders(self, tmp_path: Path) -> None:
        good = draw(tmp_path / "train/0.normal/a.png", 0)
        bad = draw(tmp_path / "test/1.abnormal/c.png", 2)
        also_good = draw(tmp_path / "test/0.normal/b.png", 1)
        data = read_data_set(tmp_path)
        assert data.good == (Sample(good),)
        assert data.test == (Sample(also_good), Sample(bad, "abnormal"))

    def test_unknown_label(self, tmp_path: Path) -> None:
        draw(tmp_path / "train/0.normal/a.png", 0)
        draw(tmp_path / "test/2.odd/b.png", 1)
        assert refusal(lambda: read_data_set(tmp_path)) == (
            f"{tmp_path / 'test/2.odd'}: an unknown label; name the folders 0.normal and 1.abnormal"
        )


class TestKsdd2:
    def test_a_drawn_mask_makes_the_defect(self, tmp_path: Path) -> None:
        good = draw(tmp_path / "train/10000.png", 0)
        draw_mask(tmp_path / "train/10000_GT.png", None)
        bad = draw(tmp_path / "train/10001.png", 1)
        mask = draw_mask(tmp_path / "train/10001_GT.png", 3, value=1)
        also_good = draw(tmp_path / "test/20000.png", 2)
        draw_mask(tmp_path / "test/20000_GT.png", None)
        data = read_data_set(tmp_path)
        assert data.good == (Sample(good),)
        assert data.defective == (Sample(bad, "defective", mask),)
        assert data.test == (Sample(also_good),)

    def test_files_without_partner(self, tmp_path: Path) -> None:
        image = draw(tmp_path / "train/10000.png", 0)
        mask = draw_mask(tmp_path / "train/10001_GT.png", None)
        assert refusal(lambda: read_data_set(tmp_path)) == (
            f"{tmp_path / 'train'}: 2 files without their mask or image (<id>_GT.png):\n"
            f"  {image}\n  {mask}"
        )


class TestVisa:
    HEADER = "object,split,label,image,mask\n"

    def write(self, root: Path, text: str) -> Path:
        (root / "split_csv").mkdir(parents=True, exist_ok=True)
        (root / "split_csv/1cls.csv").write_text(text)
        return root

    def write_two(self, root: Path) -> Path:
        for number, name in enumerate(("candle", "pcb1")):
            draw(root / f"{name}/Data/Images/Normal/0.JPG", 3 * number)
            draw(root / f"{name}/Data/Images/Normal/1.JPG", 3 * number + 1)
            draw(root / f"{name}/Data/Images/Anomaly/0.JPG", 3 * number + 2)
            draw_mask(root / f"{name}/Data/Masks/Anomaly/0.png", 2, value=3)
        rows = (
            f"{name},{split},{label.lower()},{name}/Data/Images/{label}/{number}.JPG,"
            + (f"{name}/Data/Masks/Anomaly/0.png" if label == "Anomaly" else "")
            for name in ("candle", "pcb1")
            for split, label, number in (
                ("train", "Normal", 0),
                ("test", "Normal", 1),
                ("test", "Anomaly", 0),
            )
        )
        return self.write(root, self.HEADER + "\n".join(rows) + "\n")

    def test_all_objects(self, tmp_path: Path) -> None:
        data = read_data_set(self.write_two(tmp_path))
        assert data.categories == ("candle", "pcb1")
        assert [s.name for s in data.good] == ["candle/good/0.JPG", "pcb1/good/0.JPG"]
        anomaly = tmp_path / "pcb1/Data/Images/Anomaly/0.JPG"
        mask = tmp_path / "pcb1/Data/Masks/Anomaly/0.png"
        assert Sample(anomaly, "anomaly", mask, "pcb1") in data.test

    def test_one_object(self, tmp_path: Path) -> None:
        data = read_data_set(self.write_two(tmp_path) / "pcb1")
        assert data.name == "pcb1"
        assert data.good == (Sample(tmp_path / "pcb1/Data/Images/Normal/0.JPG"),)
        (tmp_path / "odd/Data").mkdir(parents=True)
        assert refusal(lambda: read_data_set(tmp_path / "odd")) == (
            f"{tmp_path / 'split_csv/1cls.csv'}: has no object 'odd'; it has candle, pcb1"
        )

    def test_masks_become_black_and_white(self, tmp_path: Path) -> None:
        convert(read_data_set(self.write_two(tmp_path / "a")), "mvtec", tmp_path / "b", link=True)
        mask = read_image(tmp_path / "b/pcb1/ground_truth/anomaly/0_mask.png")
        assert np.array_equal(np.unique(mask), [0, 255])
        assert (mask[:, 2] == 255).all()

    def test_columns(self, tmp_path: Path) -> None:
        file = self.write(tmp_path, "object,image,group\n") / "split_csv/1cls.csv"
        assert refusal(lambda: read_data_set(tmp_path)) == (
            f"{file}: has no column split, label, mask; it has object, image, group"
        )

    def test_unknown_label(self, tmp_path: Path) -> None:
        row = "candle,train,bad,a.png,\n"
        file = self.write(tmp_path, self.HEADER + row) / "split_csv/1cls.csv"
        assert refusal(lambda: read_data_set(tmp_path)) == (
            f"{file}:2: label: Input should be 'normal' or 'anomaly'"
        )

    def test_empty(self, tmp_path: Path) -> None:
        file = self.write(tmp_path, self.HEADER) / "split_csv/1cls.csv"
        assert refusal(lambda: read_data_set(tmp_path)) == (
            f"{file}: an empty data set, without any image"
        )

    def test_missing_files(self, tmp_path: Path) -> None:
        rows = (f"candle,train,normal,{number}.png,\n" for number in range(7))
        file = self.write(tmp_path, self.HEADER + "".join(rows)) / "split_csv/1cls.csv"
        draw(tmp_path / "0.png", 0)
        missing = "".join(f"\n  {tmp_path / f'{number}.png'}" for number in range(1, 6))
        assert refusal(lambda: read_data_set(tmp_path)) == (
            f"{file}: 6 of 7 listed files are missing:{missing}\n  ... and 1 more"
        )


class TestUniad:
    def test_lists_beside_below_and_above_the_images(self, tmp_path: Path) -> None:
        good = draw(tmp_path / "images/bolt/train/good/0.png", 0)
        bad = draw(tmp_path / "images/bolt/test/crack/0.png", 1)
        mask = draw_mask(tmp_path / "images/bolt/ground_truth/crack/0_mask.png", 2)
        train = {"filename": "bolt/train/good/0.png", "label": 0, "label_name": "good"}
        test = {
            "filename": "bolt/test/crack/0.png",
            "label": 1,
            "label_name": "defective",
            "maskname": "bolt/ground_truth/crack/0_mask.png",
            "clsname": "bolt",
        }
        for folder in (tmp_path, tmp_path / "images", tmp_path / "images/lists"):
            file = write_lines(folder / "train.json", train)
            other = write_lines(folder / "test.json", test)
            assert find_layout(file) == "uniad"
            data = read_data_set(folder) if folder.name != "images" else None
            assert data in (
                DataSet("bolt", (Sample(good),), (), (Sample(bad, "crack", mask),)),
                None,
            )
            assert read_data_set(file).good == (Sample(good),)
            assert read_data_set(other).test == (Sample(bad, "crack", mask),)
            file.unlink()
            other.unlink()

    def test_classes_masks_and_train_defects(self, tmp_path: Path) -> None:
        for number in range(4):
            draw(tmp_path / f"{number}.png", number)
        write_lines(
            tmp_path / "train.json",
            {"filename": "0.png", "label": 0, "clsname": "bolt", "maskname": "shared.png"},
            {"filename": "1.png", "label": 1, "clsname": "nut"},
        )
        write_lines(tmp_path / "test.json", {"filename": "2.png", "label": 1})
        data = read_data_set(tmp_path)
        assert data.good == (Sample(tmp_path / "0.png", category="bolt"),)
        assert data.defective == (Sample(tmp_path / "1.png", "defective", None, "nut"),)
        assert data.test == (Sample(tmp_path / "2.png", "defective", None, tmp_path.name),)

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("{", "Invalid JSON: EOF while parsing an object at line 1 column 1"),
            ('{"label": 0}', "filename: Field required"),
            ('{"filename": "0.png", "label": 2}', "label: Input should be 0 or 1"),
            ('{"filename": "0.png", "label": "1"}', "label: Input should be 0 or 1"),
        ],
    )
    def test_malformed_lines(self, tmp_path: Path, line: str, message: str) -> None:
        file = tmp_path / "train.json"
        file.write_text(f'{{"filename": "0.png", "label": 0}}\n\n{line}\n')
        assert refusal(lambda: read_data_set(tmp_path)) == f"{file}:3: {message}"

    @pytest.mark.parametrize("indent", [None, 2])
    def test_a_json_array(self, tmp_path: Path, indent: int | None) -> None:
        file = tmp_path / "train.json"
        file.write_text(json.dumps([{"filename": "0.png", "label": 0}], indent=indent))
        assert refusal(lambda: read_data_set(tmp_path)) == (
            f"{file}: is a JSON array; write one JSON object on each line, as jq -c '.[]' does"
        )

    def test_not_a_text(self, tmp_path: Path) -> None:
        (tmp_path / "test.json").write_bytes(b"\xff\xfe\x00")
        expected = f"{tmp_path / 'test.json'}: not a text in UTF-8"
        assert refusal(lambda: read_data_set(tmp_path)) == expected

    def test_no_image_is_there(self, tmp_path: Path) -> None:
        write_lines(tmp_path / "lists/train.json", *[{"filename": "a/0.png", "label": 0}] * 2)
        (tmp_path / "lists/images").mkdir()
        assert refusal(lambda: read_data_set(tmp_path / "lists")) == (
            f"{tmp_path / 'lists'}: none of the 2 listed images is there, for instance a/0.png; "
            f"tried relative to:\n  {tmp_path / 'lists'}\n  {tmp_path}\n"
            f"  {tmp_path / 'lists/images'}"
        )

    def test_a_missing_mask_is_named(self, tmp_path: Path) -> None:
        draw(tmp_path / "0.png", 0)
        record = {"filename": "0.png", "label": 1, "maskname": "0_mask.png"}
        file = write_lines(tmp_path / "test.json", record)
        assert refusal(lambda: read_data_set(file)) == (
            f"{file}: 1 of 2 listed files are missing:\n  {tmp_path / '0_mask.png'}"
        )

    def test_the_name_of_one_list_says_its_split(self, tmp_path: Path) -> None:
        file = write_lines(tmp_path / "all.json", {"filename": "0.png", "label": 0})
        assert refusal(lambda: read_data_set(file)) == (
            f"{file}: put 'train' or 'test' into the name of the list"
        )

    def test_a_class_that_leads_out_of_a_folder(self, tmp_path: Path) -> None:
        draw(tmp_path / "0.png", 0)
        record = {"filename": "0.png", "label": 0, "clsname": "../out"}
        write_lines(tmp_path / "train.json", record)
        assert refusal(lambda: read_data_set(tmp_path)) == (
            f"{tmp_path}: '../out' cannot name a class or a defect (nor a folder)"
        )


class TestConversion:
    @pytest.mark.parametrize("to", WRITABLE)
    @pytest.mark.parametrize("link", [False, True])
    def test_there_and_back(self, tmp_path: Path, to: str, link: bool) -> None:
        data = read_data_set(write_mvtec(tmp_path / "parts"))
        losses = convert(data, to, tmp_path / "there", link=link)
        there = read_data_set(tmp_path / "there")
        convert(there, "mvtec", tmp_path / "back", link=link)
        back = read_data_set(tmp_path / "back")
        keeps_names = not any(loss.startswith("names of defects") for loss in losses)
        assert keeps_names == (to in ("mvtec", "uniad"))
        expected = facts(data, keeps_names)
        if to == "ganomaly":
            expected = {(*fact[:4], "") for fact in expected}
        assert facts(back, keeps_names) == expected
        assert {s.path.stat().st_nlink for s in back.test} == {3 if link else 1}

    @pytest.mark.parametrize("to", ["uniad", "visa", "mvtec"])
    def test_several_categories_there_and_back(self, tmp_path: Path, to: str) -> None:
        write_mvtec(tmp_path / "parts/bolt")
        write_mvtec(tmp_path / "parts/nut", seed=100)
        data = read_data_set(tmp_path / "parts")
        convert(data, to, tmp_path / "there", link=False)
        convert(read_data_set(tmp_path / "there"), "mvtec", tmp_path / "back", link=False)
        assert facts(read_data_set(tmp_path / "back"), to != "visa") == facts(data, to != "visa")

    @pytest.mark.parametrize("to", ["mvtec", "visa", "ksdd2"])
    def test_train_defects_there_and_back(self, tmp_path: Path, to: str) -> None:
        root = write_mvtec(tmp_path / "parts")
        draw(root / "train/crack/1.png", 20)  # named as a test image, with the same mask
        data = read_data_set(root)
        assert len(data.defective) == 1
        convert(data, to, tmp_path / "there", link=True)
        convert(read_data_set(tmp_path / "there"), "mvtec", tmp_path / "back", link=True)
        assert facts(read_data_set(tmp_path / "back"), False) == facts(data, False)

    def test_what_ganomaly_cannot_hold(self, tmp_path: Path) -> None:
        write_mvtec(tmp_path / "parts/bolt")
        write_mvtec(tmp_path / "parts/nut", seed=100)
        draw(tmp_path / "parts/nut/train/crack/8.png", 20)
        data = read_data_set(tmp_path / "parts")
        assert refusal(lambda: convert(data, "ganomaly", tmp_path / "out", link=False)) == (
            "parts does not fit into the layout ganomaly:\n"
            "- it has several categories (bolt, nut) and the layout one\n"
            "- 1 defective training images would count as good ones"
        )
        assert [path.name for path in tmp_path.iterdir()] == ["parts"]

    def test_uniad_would_learn_train_defects_as_good(self, tmp_path: Path) -> None:
        draw(write_mvtec(tmp_path / "parts") / "train/crack/8.png", 20)
        data = read_data_set(tmp_path / "parts")
        assert refusal(lambda: convert(data, "uniad", tmp_path / "out", link=False)) == (
            "parts does not fit into the layout uniad:\n"
            "- 1 defective training images would count as good ones"
        )

    def test_another_file_system_has_no_hard_links(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def link(source: Path, target: Path) -> None:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

        monkeypatch.setattr(os, "link", link)
        root = write_mvtec(tmp_path / "parts")
        data = read_data_set(root)
        assert refusal(lambda: convert(data, "visa", tmp_path / "out", link=True)) == (
            f"{root / 'train/good/0.png'}: cannot be linked; leave out --link "
            "(Invalid cross-device link)"
        )

    def test_a_place_that_cannot_be_written(self, tmp_path: Path) -> None:
        data = read_data_set(write_mvtec(tmp_path / "parts"))
        (tmp_path / "file").touch()
        out = tmp_path / "file/below/out"
        expected = f"{out}: cannot be written (Not a directory)"
        assert refusal(lambda: convert(data, "visa", out, link=False)) == expected

    def test_ksdd2_knows_a_defect_by_its_mask(self, tmp_path: Path) -> None:
        root = write_mvtec(tmp_path / "parts")
        draw_mask(root / "ground_truth/crack/0_mask.png", None)
        (root / "ground_truth/dent/0_mask.png").unlink()
        data = read_data_set(root)
        assert refusal(lambda: convert(data, "ksdd2", tmp_path / "out", link=False)) == (
            "parts does not fit into the layout ksdd2:\n"
            "- 2 defective images without a drawn mask would count as good ones:\n"
            f"  {root / 'test/crack/0.png'}\n  {root / 'test/dent/0.png'}"
        )

    def test_mvtec_needs_good_images(self, tmp_path: Path) -> None:
        draw(tmp_path / "parts/test/good/0.png", 0)
        data = read_data_set(tmp_path / "parts")
        assert refusal(lambda: convert(data, "mvtec", tmp_path / "out", link=False)) == (
            "parts does not fit into the layout mvtec:\n- no good training images of parts"
        )

    def test_losses(self, tmp_path: Path) -> None:
        root = write_mvtec(tmp_path / "parts")
        draw(root / "test/good/9.jpg", 30)
        data = read_data_set(root)
        names = "names of defects: crack, dent become "
        assert convert(data, "mvtec", tmp_path / "a", link=False) == []
        assert convert(data, "visa", tmp_path / "b", link=False) == [f"{names}'anomaly'"]
        assert convert(data, "ganomaly", tmp_path / "c", link=False) == [
            f"{names}'abnormal'",
            "3 masks",
        ]
        assert convert(data, "ksdd2", tmp_path / "d", link=False) == [
            f"{names}'defective'",
            "names of files",
            "1 image files: encoded as PNG, with the same pixels",
        ]
        (root / "ground_truth/dent/0_mask.png").unlink()
        assert convert(read_data_set(root), "uniad", tmp_path / "e", link=False) == [
            "1 defects have no mask: the original takes the whole image for one"
        ]

    def test_an_existing_folder_stays(self, tmp_path: Path) -> None:
        data = read_data_set(write_mvtec(tmp_path / "parts"))
        (tmp_path / "out").mkdir()
        assert refusal(lambda: convert(data, "visa", tmp_path / "out", link=False)) == (
            f"{tmp_path / 'out'}: exists already; give another folder, or remove it first"
        )

    def test_nothing_is_left_of_a_failure(self, tmp_path: Path) -> None:
        root = write_mvtec(tmp_path / "parts")
        save(root / "ground_truth/dent/0_mask.png", np.zeros((3, 4), np.uint8))
        with pytest.raises(CameraError, match=re.escape("the mask is 3x4 and its image 12x16")):
            convert(read_data_set(root), "uniad", tmp_path / "out", link=False)
        assert [path.name for path in tmp_path.iterdir()] == ["parts"]

    def test_files_of_one_name_get_another(self, tmp_path: Path) -> None:
        for number, name in enumerate(("a/0.png", "b/0.png", "b/0.jpg")):
            draw(tmp_path / "lists" / name, number)
        records = [{"filename": n, "label": 0} for n in ("a/0.png", "b/0.png", "b/0.jpg")]
        file = write_lines(tmp_path / "lists/train.json", *records)
        convert(read_data_set(file), "mvtec", tmp_path / "out", link=False)
        names = {path.name for path in (tmp_path / "out/train/good").iterdir()}
        assert names == {"0.png", "0-2.jpg", "0-3.png"}


class TestSummary:
    def test_counts(self, tmp_path: Path) -> None:
        root = write_mvtec(tmp_path / "parts")
        (root / "ground_truth/dent/0_mask.png").unlink()
        draw_mask(root / "ground_truth/crack/1_mask.png", None)
        (root / "test/good/copy.png").write_bytes((root / "train/good/1.png").read_bytes())
        draw_mask(root / "train/good/grey.png", 5)
        found = summarise(read_data_set(root))
        assert found.images[("train", "parts", "good")] == 4
        assert found.images[("test", "parts", "crack")] == 2
        assert found.masks[("test", "parts", "crack")] == 1
        assert found.undrawn == {"an empty mask": 1, "no mask": 1}
        assert found.sizes == {SIZE: 9}
        assert found.channels == {3: 8, 1: 1}
        assert found.duplicates == ((root / "train/good/1.png", root / "test/good/copy.png"),)
        assert found.leaks == found.duplicates

    def test_every_unusable_file_is_named(self, tmp_path: Path) -> None:
        root = write_mvtec(tmp_path / "parts")
        (root / "train/good/1.png").write_bytes(b"")
        save(root / "ground_truth/dent/0_mask.png", np.zeros((3, 4), np.uint8))
        assert refusal(lambda: summarise(read_data_set(root))) == (
            "2 unusable files:\n"
            f"  {root / 'train/good/1.png'}: the file is empty\n"
            f"  {root / 'ground_truth/dent/0_mask.png'}: the mask is 3x4 and its image 12x16 "
            "(height x width)"
        )
