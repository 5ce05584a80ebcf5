"""--without names images by path or name, and refuses others."""

import re
from pathlib import Path

import pytest

from inspection.errors import ConfigError
from inspection.files import sha256_of
from linewarden.without import named_by_hash


def test_images_are_named_by_path_or_by_name(tmp_path: Path) -> None:
    images = [tmp_path / f"{number}.png" for number in range(3)]
    for image in images:
        image.write_text(image.name)
    assert named_by_hash([images[0], Path("2.png")], images) == {
        sha256_of(images[0]): "0.png",
        sha256_of(images[2]): "2.png",
    }


def test_another_file_and_a_name_of_two_are_refused(tmp_path: Path) -> None:
    images = [tmp_path / "a" / "1.png", tmp_path / "b" / "1.png"]
    with pytest.raises(ConfigError, match=re.escape("--without 9.png: not one of the 2 good")):
        named_by_hash([Path("9.png")], images)
    with pytest.raises(ConfigError, match=re.escape("--without 1.png: several of the 2 good")):
        named_by_hash([Path("1.png")], images)
