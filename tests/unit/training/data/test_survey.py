"""Data sets on disk: layouts, refusals, the division of good images."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspection.errors import CameraError
from training.data.data_set import Sample
from training.data.layout import read_data_set
from training.data.survey import data_sha256, frame_ranges, split_good, survey


def draw(path: Path, seed: int, shape: tuple[int, ...] = (20, 30, 3)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    cv2.imwrite(str(path), image)
    return path


def good(folder: Path, count: int = 10) -> list[Sample]:
    return [Sample(draw(folder / f"{number}.png", number)) for number in range(count)]


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("flange", "flange"),
        ("flange/data", "flange"),
        ("flange/Images/train/good", "flange"),
        ("data-2", "data-2"),
    ],
)
def test_a_data_set_has_the_name_of_its_parts(folder: str, name: str, tmp_path: Path) -> None:
    draw(tmp_path / folder / "0.png", 0)
    assert read_data_set(tmp_path / folder).name == name


class TestLayout:
    def test_mvtec(self, tmp_path: Path) -> None:
        draw(tmp_path / "train/good/0.png", 0)
        draw(tmp_path / "train/crack/0.png", 1)
        draw(tmp_path / "test/good/0.png", 2)
        draw(tmp_path / "test/crack/7.png", 3)
        draw(tmp_path / "test/dent/8.png", 4)
        mask = draw(tmp_path / "ground_truth/crack/7_mask.png", 5)
        data = read_data_set(tmp_path)
        assert data.good == (Sample(tmp_path / "train/good/0.png"),)
        assert data.defective == (Sample(tmp_path / "train/crack/0.png", "crack", None),)
        assert data.test == (
            Sample(tmp_path / "test/crack/7.png", "crack", mask),
            Sample(tmp_path / "test/dent/8.png", "dent", None),
            Sample(tmp_path / "test/good/0.png"),
        )

    def test_plain_folder_with_tests(self, tmp_path: Path) -> None:
        draw(tmp_path / "b.png", 0)
        draw(tmp_path / "a.jpg", 1)
        (tmp_path / "notes.txt").write_text("not an image")
        draw(tmp_path / "test/scratch/0.png", 2)
        data = read_data_set(tmp_path)
        assert [sample.path.name for sample in data.good] == ["a.jpg", "b.png"]
        assert [sample.defect for sample in data.test] == ["scratch"]

    def test_wrong_layout_says_what_is_there(self, tmp_path: Path) -> None:
        (tmp_path / "images").mkdir()
        (tmp_path / "labels.csv").touch()
        with pytest.raises(CameraError, match=r"it holds images/, labels\.csv$"):
            read_data_set(tmp_path)

    def test_no_folder_and_no_image(self, tmp_path: Path) -> None:
        with pytest.raises(CameraError, match="no such folder"):
            read_data_set(tmp_path / "nowhere")
        (tmp_path / "train/good").mkdir(parents=True)
        with pytest.raises(CameraError, match="holds no image"):
            read_data_set(tmp_path)


class TestSurvey:
    def test_every_unusable_file_is_named(self, tmp_path: Path) -> None:
        samples = good(tmp_path)
        samples[2].path.write_bytes(b"")
        samples[5].path.write_bytes(samples[5].path.read_bytes()[:200])
        with pytest.raises(CameraError) as caught:
            survey(samples)
        assert str(caught.value) == (
            "2 unusable images:\n"
            f"  {samples[2].path}: the file is empty\n"
            f"  {samples[5].path}: the image is damaged or cut off (PNG: ends at byte 200 within a "
            "chunk that ends at 1876); copy or capture it again"
        )

    @pytest.mark.parametrize(
        ("image", "message"),
        [
            (np.zeros((8, 8, 4), np.uint8), "has an alpha channel"),
            (np.zeros((8, 8), np.uint16), "has 16 bits, with values from"),
        ],
    )
    def test_unusual_pixels_are_refused(
        self, tmp_path: Path, image: np.ndarray, message: str
    ) -> None:
        cv2.imwrite(str(tmp_path / "odd.png"), image)
        with pytest.raises(CameraError, match=message):
            survey([Sample(tmp_path / "odd.png")])

    def test_grey_among_colour_is_named(self, tmp_path: Path) -> None:
        samples = [*good(tmp_path), Sample(draw(tmp_path / "grey.png", 1, (20, 30)))]
        with pytest.raises(CameraError, match=r"1 of 11 images are grey:\n  .*grey\.png"):
            survey(samples)

    def test_several_sizes_need_a_range(self, tmp_path: Path) -> None:
        samples = survey([*good(tmp_path), Sample(draw(tmp_path / "wide.png", 1, (20, 40, 3)))])
        expected = (
            "images of several sizes (height x width):\n  20x30: 10 images\n  20x40: 1 images\n"
            "a line has one camera and one size; to train with several all the same, set "
            "data.frame_height=[20,20] and data.frame_width=[30,40]"
        )
        with pytest.raises(CameraError, match=re.escape(expected)):
            frame_ranges(samples, None, None)
        assert frame_ranges(samples, (20, 20), (30, 40)) == ((20, 20), (30, 40))
        with pytest.raises(CameraError, match=r"1 images outside the configured size:\n.*wide"):
            frame_ranges(samples, (20, 20), (30, 39))


class TestSplit:
    def test_depends_on_content_and_seed_only(self, tmp_path: Path) -> None:
        here, there = survey(good(tmp_path / "a")), survey(good(tmp_path / "b"))[::-1]
        one, two = (split_good(side, hold_out=0.3, seed=1) for side in (here, there))
        assert [s.sha256 for s in one.held_out] == [s.sha256 for s in two.held_out]
        assert (len(one.fit), len(one.held_out)) == (7, 3)
        other = split_good(here, hold_out=0.3, seed=2)
        assert {s.sha256 for s in other.held_out} != {s.sha256 for s in one.held_out}
        assert data_sha256(s.sha256 for s in here) == data_sha256(s.sha256 for s in there)

    def test_the_same_picture_is_never_on_both_sides(self, tmp_path: Path) -> None:
        samples = good(tmp_path)
        for sample in list(samples):
            copy = tmp_path / f"copy-{sample.path.name}"
            copy.write_bytes(sample.path.read_bytes())
            samples.append(Sample(copy))
        split = split_good(survey(samples), hold_out=0.5, seed=0)
        assert len(split.duplicates) == 10
        assert not {s.sha256 for s in split.fit} & {s.sha256 for s in split.held_out}

    def test_the_images_of_a_part_are_on_one_side(self, tmp_path: Path) -> None:
        def part_of(path: Path) -> str:
            return str(int(path.stem) // 3)

        samples = survey(good(tmp_path, 30))
        for seed in range(5):
            split = split_good(samples, hold_out=0.3, seed=seed, part_of=part_of)
            learnt = {part_of(s.sample.path) for s in split.fit}
            held = {part_of(s.sample.path) for s in split.held_out}
            assert (len(learnt), len(held), len(learnt | held)) == (7, 3, 10)
            assert (len(split.fit), len(split.held_out)) == (21, 9)
            again = split_good(samples[::-1], hold_out=0.3, seed=seed, part_of=part_of)
            assert [s.sha256 for s in again.held_out] == [s.sha256 for s in split.held_out]
        with pytest.raises(CameraError, match=r"^4 different parts in 12 good images; at least 5"):
            split_good(samples[:12], hold_out=0.3, seed=0, part_of=part_of)

    @pytest.mark.parametrize("count", [1, 4])
    def test_too_few_images(self, tmp_path: Path, count: int) -> None:
        with pytest.raises(CameraError, match=f"^{count} different good images; at least 5"):
            split_good(survey(good(tmp_path, count)), hold_out=0.2, seed=0)
