"""Tests that heat maps have a fixed scale, and that outline and caption hide nothing."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from inspection.inspector import Inspection, no_verdict
from inspection.overlay import caption, heat_map, overlay
from inspection.verdict import Cause, Thresholds, Verdict


def rejected(mask: npt.NDArray[np.bool_]) -> Inspection:
    return Inspection(
        verdict=Verdict.REJECT,
        score=3.25,
        thresholds=Thresholds(2.5, 2.5),
        anomaly_map=mask.astype(np.float32),
        mask=mask,
    )


def scratch(size: int = 64) -> npt.NDArray[np.bool_]:
    mask = np.zeros((size, size), dtype=np.bool_)
    mask[size // 4 : size // 2, size // 2] = True
    return mask


def test_heat_map_colour_depends_on_the_value_alone() -> None:
    quiet = np.array([[0.0, 0.1]], dtype=np.float32)
    loud = np.array([[0.1, 9.0]], dtype=np.float32)
    assert (heat_map(quiet, 0, 1)[0, 1] == heat_map(loud, 0, 1)[0, 0]).all()


def test_heat_map_saturates_and_marks_nan() -> None:
    values = np.array([[-5, 0, 1, 5, np.nan, np.inf]], dtype=np.float32)
    picture = heat_map(values, 0, 1)
    assert (picture[0, 0] == picture[0, 1]).all()
    assert (picture[0, 2] == picture[0, 3]).all()
    assert (picture[0, 3] == picture[0, 5]).all()
    assert (picture[0, 4] == 255).all()


def test_heat_map_refuses_an_empty_scale() -> None:
    with pytest.raises(ValueError, match="low 1 must be below high 1"):
        heat_map(np.zeros((2, 2), dtype=np.float32), 1, 1)


@pytest.mark.parametrize("shape", [(16, 16), (48, 64, 3), (480, 640), (1500, 2000, 3)])
def test_overlay_keeps_the_frame_at_native_resolution(shape: tuple[int, ...]) -> None:
    frame = np.full(shape, 90, np.uint8)
    picture = overlay(frame, rejected(scratch()))
    below = picture[-shape[0] :, : shape[1]]
    untouched = (below == 90).all(axis=2)
    assert picture.dtype == np.uint8
    assert untouched.mean() > 0.5
    assert not untouched.all()
    assert (frame == 90).all()


@pytest.mark.parametrize("shape", [(16, 16), (480, 640), (1500, 2000, 3)])
def test_caption_fits_above_the_frame(shape: tuple[int, ...]) -> None:
    picture = overlay(np.zeros(shape, np.uint8), no_verdict(Cause.DEADLINE, "late"))
    bar = picture[: -shape[0]]
    letters = bar.max(axis=2) > 100
    assert letters.any()
    assert not letters[:, -1].any()
    assert not letters[0].any()
    assert not letters[-1].any()


def test_outline_leaves_the_defect_visible() -> None:
    frame = np.zeros((64, 64), np.uint8)
    frame[16:32, 32] = 200
    picture = overlay(frame, rejected(scratch(64)))[-64:, :64]
    assert (picture[16:32, 32] == 200).all()


def test_pass_has_no_outline() -> None:
    frame = np.full((64, 64, 3), 90, np.uint8)
    passed = Inspection(
        verdict=Verdict.PASS,
        score=1.0,
        thresholds=Thresholds(2.5, 2.5),
        anomaly_map=None,
        mask=np.zeros((8, 8), dtype=np.bool_),
    )
    assert (overlay(frame, passed)[-64:, :64] == 90).all()


def test_captions() -> None:
    mask = np.zeros((8, 8), dtype=np.bool_)
    assert caption(rejected(mask)) == "REJECT 3.25 > 2.5"
    assert (
        caption(
            Inspection(
                verdict=Verdict.PASS,
                score=2.5,
                thresholds=Thresholds(2.5, 2.5),
                anomaly_map=None,
                mask=mask,
            )
        )
        == "PASS 2.5 <= 2.5"
    )
    closely = replace(rejected(mask), score=0.19312, thresholds=Thresholds(0.19308, 2.5))
    assert caption(closely) == "REJECT 0.19312 > 0.19308"
    assert caption(no_verdict(Cause.ENGINE, "gone")) == "NO_VERDICT engine"
