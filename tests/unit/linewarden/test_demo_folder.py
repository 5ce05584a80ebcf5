"""What a demonstration may replace."""

from pathlib import Path

import pytest

from inspection.errors import ConfigError
from linewarden.commands.demo import _make_room


def test_an_earlier_demonstration_is_replaced_and_other_files_stay(tmp_path: Path) -> None:
    _make_room(tmp_path, None)
    (tmp_path / "run").mkdir()
    (tmp_path / "mine").mkdir()
    _make_room(tmp_path, None)
    assert not (tmp_path / "run").exists()
    assert (tmp_path / "mine").exists()


def test_folders_of_no_demonstration_stay(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    with pytest.raises(ConfigError, match="records is of no demonstration and would be lost"):
        _make_room(tmp_path, None)
    assert (tmp_path / "records").exists()


def test_the_images_to_learn_from_stay(tmp_path: Path) -> None:
    _make_room(tmp_path, None)
    data = tmp_path / "flange/train/good"
    data.mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"lies in what --out .* replaces"):
        _make_room(tmp_path, data)
    assert data.exists()
