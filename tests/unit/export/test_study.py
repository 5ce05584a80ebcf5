"""A study continues with the results of the same inputs, and refuses those of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.study import ROW, finished, measure_once
from export.study_inputs import INPUTS
from inspection.errors import ConfigError
from inspection.files import write_text
from tests.unit.training.test_adding import config, draw
from training.checkpoint import RunRecord
from training.config import TrainConfig


class FittedError(Exception):
    """Ends a chain where its training begins."""


def fit(config: TrainConfig, folder: Path) -> RunRecord:
    raise FittedError(f"{folder}, seed {config.fit.seed}")


def begin(given: TrainConfig, work: Path) -> None:
    """Begins a chain, and leaves a row as a finished one does."""
    with pytest.raises(FittedError):
        measure_once("tiny", given, given.data.folder, work, fit)
    write_text(work / f"tiny-parts-{given.fit.seed}" / ROW, "{}")


def with_seed(given: TrainConfig, seed: int) -> TrainConfig:
    return given.model_copy(update={"fit": given.fit.model_copy(update={"seed": seed})})


def test_finished_results_count_for_their_configuration_and_images_only(tmp_path: Path) -> None:
    parts = draw(tmp_path / "parts", range(3))
    begin(config(parts), tmp_path / "work")
    measure_once("tiny", config(parts), parts, tmp_path / "work", fit)
    moved = draw(tmp_path / "moved" / "parts", range(3))
    measure_once("tiny", config(moved), moved, tmp_path / "work", fit)
    with pytest.raises(
        ConfigError, match=r"other inputs: model\.variance 0\.\d+, not 0\.5; remove"
    ):
        measure_once("tiny", config(parts, variance=0.5), parts, tmp_path / "work", fit)
    draw(parts, range(3, 4))
    with pytest.raises(ConfigError, match="other inputs: other images, masks or labels; remove"):
        measure_once("tiny", config(parts), parts, tmp_path / "work", fit)


def test_a_folder_that_does_not_say_its_inputs_is_refused(tmp_path: Path) -> None:
    parts = draw(tmp_path / "parts", range(3))
    begin(config(parts), tmp_path / "work")
    (tmp_path / "work" / "tiny-parts-43" / INPUTS).unlink()
    with pytest.raises(ConfigError, match=rf"tiny-parts-43: holds no readable {INPUTS}"):
        measure_once("tiny", config(parts), parts, tmp_path / "work", fit)


def test_seeds_of_other_settings_are_not_shown_together(tmp_path: Path) -> None:
    parts = draw(tmp_path / "parts", range(3))
    begin(with_seed(config(parts), 1), tmp_path / "work")
    begin(with_seed(config(parts, variance=0.5), 2), tmp_path / "work")
    with pytest.raises(ConfigError, match=r"tiny-parts-2: has other inputs than tiny-parts-1: mod"):
        finished(tmp_path / "work", ["tiny"], ["parts"])


def test_a_name_that_begins_another_name_does_not_take_its_rows(tmp_path: Path) -> None:
    parts = draw(tmp_path / "parts", range(3))
    begin(config(parts), tmp_path / "work")
    assert finished(tmp_path / "work", ["tiny"], ["par", "tiny"]) == []
    (tmp_path / "work" / "tiny-parts-43").rename(tmp_path / "work" / "tiny-parts-wide-43")
    assert finished(tmp_path / "work", ["tiny"], ["parts"]) == []
