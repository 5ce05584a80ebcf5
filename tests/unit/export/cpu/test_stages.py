"""The times of the steps around an engine."""

from pathlib import Path

import numpy as np

from export.cpu.stages import stages_around_engine
from tests.doubles import golden_bundle
from tests.tiny_bundle import SIZE

FRAME = np.full((SIZE, SIZE), 20, np.uint8)


def test_the_frames_of_the_size_of_the_first_that_fits_are_measured(tmp_path: Path) -> None:
    bundle = golden_bundle.build(tmp_path / "bundle")
    colour = np.zeros((SIZE, SIZE, 3), np.uint8)  # the model takes grey frames alone
    found = stages_around_engine(bundle, "default", [colour, FRAME, FRAME + np.uint8(1)])
    assert found is not None
    assert (found.frames, found.height, found.width) == (2, SIZE, SIZE)
    assert found.both_ms == found.preprocess_ms + found.decide_ms > found.preprocess_ms > 0


def test_nothing_is_measured_without_a_calibration_or_a_frame(tmp_path: Path) -> None:
    bundle = golden_bundle.build(tmp_path / "bundle")
    assert stages_around_engine(bundle, "17", [FRAME]) is None
    assert stages_around_engine(bundle, "default", [np.zeros((3, 3, 3), np.uint8)]) is None
