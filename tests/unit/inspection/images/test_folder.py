"""The images of a folder, and the files that are passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspection.errors import CameraError
from inspection.images import content_of, list_images, refuse_nearly_good


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_everything_that_is_passed_over_is_counted_and_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.JPG", "c.heic", "notes.txt", ".hidden.png", ".DS_Store")
    touch(tmp_path, *(f"monday/{n}.png" for n in range(7)), "tuesday/deep/1.tif", "empty/x.txt")
    told: list[str] = []
    assert [path.name for path in list_images(tmp_path, told.append)] == ["a.png", "b.JPG"]
    assert told == [
        f"{tmp_path}: 8 images in subfolders are not read: monday/, tuesday/",
        f"{tmp_path}: 2 files that are not images by their suffix are not read: c.heic, notes.txt",
        f"{tmp_path}: 1 hidden images are not read: .hidden.png",
    ]


def test_a_folder_of_images_alone_needs_no_word(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "test/crack/b.png")
    told: list[str] = []
    assert len(list_images(tmp_path, told.append, known=["test"])) == 1
    assert told == []


def test_many_names_are_shortened(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", *(f"{n}.gif" for n in range(9)))
    (sentence,) = content_of(tmp_path).passed_over()
    assert sentence.endswith("9 files that are not images by their suffix are not read: "
                             "0.gif, 1.gif, 2.gif, 3.gif, 4.gif and 4 more")  # fmt: skip


def test_a_folder_with_the_name_of_an_image_is_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.png/c.png")
    told: list[str] = []
    assert [path.name for path in list_images(tmp_path, told.append)] == ["a.png"]
    assert told == [f"{tmp_path}: 1 images in subfolders are not read: b.png/"]


def test_folders_of_days_alone_are_refused_with_their_number(tmp_path: Path) -> None:
    touch(tmp_path, "2026-01-01/a.png", "2026-01-02/b.png")
    with pytest.raises(CameraError) as caught:
        list_images(tmp_path, print)
    assert str(caught.value).endswith(
        f"Linewarden does not search its subfolders; {tmp_path}: 2 images in subfolders are not "
        "read: 2026-01-01/, 2026-01-02/"
    )


@pytest.mark.parametrize("name", ["Good", "GOOD", "OK", "ok", "i.O.", "0.normal", "defect-free"])
def test_a_folder_that_is_nearly_good_is_refused(name: str) -> None:
    with pytest.raises(CameraError) as caught:
        refuse_nearly_good([Path("test/good"), Path("test/crack"), Path("test") / name], "good")
    assert str(caught.value) == (
        f"test/{name}: looks like good parts and would count as a defect; rename it to good"
    )


@pytest.mark.parametrize("name", ["good", "crack", "okular", "not_ok", "NOK", "abnormal"])
def test_other_names_are_kinds_of_parts(name: str) -> None:
    refuse_nearly_good([Path("test") / name], "good")
