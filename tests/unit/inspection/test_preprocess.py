"""Tests that preprocessing refuses wrong frames and keeps thin lines at every position."""

import re

import cv2
import numpy as np
import pytest

from inspection.errors import FrameError
from inspection.preprocess import Crop, Preprocessing, preprocess


def taught(height: int, width: int, channels: int = 3, **settings: object) -> Preprocessing:
    values = {"frame_height": (height, height), "frame_width": (width, width), "height": 64}
    return Preprocessing.model_validate({**values, "width": 64, "channels": channels, **settings})


def test_shrinking_averages_every_pixel() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (256, 128, 3), dtype=np.uint8)
    blocks = frame.reshape(64, 4, 64, 2, 3).mean((1, 3))
    assert np.abs(preprocess(frame, taught(256, 128)) - blocks).max() <= 0.5


@pytest.mark.parametrize("height", [500, 1270, 2048])
def test_a_line_one_pixel_wide_is_visible_at_every_position(height: int) -> None:
    """Without antialiasing the line disappears at most positions."""
    spec = taught(height, 64, channels=1)
    for row in range(0, height, 7):
        frame = np.zeros((height, 64), np.uint8)
        frame[row] = 255
        prepared = preprocess(frame, spec)[:, 0, 0].astype(float)
        assert prepared.sum() == pytest.approx(255 * 64 / height, rel=0.15, abs=1.1)


def test_one_axis_may_shrink_while_the_other_grows() -> None:
    frame = np.zeros((640, 32), np.uint8)
    frame[::10] = 250
    prepared = preprocess(frame, taught(640, 32, channels=1))
    assert prepared.shape == (64, 64, 3)
    assert prepared.min() >= 24  # each result averages ten rows, one of them bright
    assert prepared.max() <= 26


def test_a_frame_of_the_right_size_is_untouched() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert np.array_equal(preprocess(frame, taught(64, 64)), frame)


def test_grey_becomes_three_equal_channels() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    prepared = preprocess(frame, taught(64, 64, channels=1))
    assert np.array_equal(prepared, np.repeat(frame[:, :, None], 3, axis=2))


@pytest.mark.parametrize("shape", [(64, 64, 1), (1, 64, 64, 1), (64, 64, 3), (64,), ()])
def test_grey_frames_have_two_axes(shape: tuple[int, ...]) -> None:
    message = f"the frame has shape {shape} and the model was trained on grey (H, W) frames"
    with pytest.raises(FrameError, match=re.escape(message)):
        preprocess(np.zeros(shape, np.uint8), taught(64, 64, channels=1))


def test_a_frame_with_gaps_in_memory_is_the_same_frame() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (129, 131, 3), dtype=np.uint8)
    for view in (frame[::-1, ::2], frame[..., ::-1], frame.transpose(1, 0, 2)):
        spec = taught(*view.shape[:2])
        prepared = preprocess(view, spec)
        assert prepared.flags["C_CONTIGUOUS"]
        assert np.array_equal(prepared, preprocess(np.ascontiguousarray(view), spec))


def test_crop_comes_before_the_resize() -> None:
    frame = np.zeros((200, 300, 3), np.uint8)
    frame[40:168, 100:228] = 255
    spec = taught(200, 300, crop=Crop(top=40, left=100, height=128, width=128))
    assert preprocess(frame, spec).min() == 255


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            np.zeros((100, 64, 3), np.uint8),
            "the frame is 100x64 (height x width) and the model was trained on 64x64: check",
        ),
        (
            np.zeros((64, 64), np.uint8),
            "the frame has shape (64, 64) and the model was trained on BGR (H, W, 3) frames",
        ),
        (np.zeros((64, 64, 4), np.uint8), "the frame has shape (64, 64, 4) and the model was"),
        (np.zeros((64, 64, 3), np.uint16), "the frame has uint16 pixels and the model takes uint8"),
    ],
)
def test_a_frame_that_does_not_fit_is_refused_by_name(frame: np.ndarray, message: str) -> None:
    with pytest.raises(FrameError, match=re.escape(message)):
        preprocess(frame, taught(64, 64))


def test_a_range_of_sizes_is_accepted_when_it_was_taught() -> None:
    spec = taught(64, 64, frame_height=(60, 70))
    for height in (60, 66, 70):
        assert preprocess(np.zeros((height, 64, 3), np.uint8), spec).shape == (64, 64, 3)
    with pytest.raises(FrameError, match=re.escape("trained on (60 to 70)x64")):
        preprocess(np.zeros((71, 64, 3), np.uint8), spec)


def test_the_input_is_not_changed() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (100, 80, 3), dtype=np.uint8)
    before = frame.copy()
    prepared = preprocess(frame, taught(100, 80))
    prepared[:] = 0
    assert np.array_equal(frame, before)


@pytest.mark.parametrize(
    "shape", [(64, 64), (64, 64, 3), (200, 64), (64, 90, 3), (40, 30), (40, 99)]
)
def test_a_resize_that_is_not_needed_changes_no_bit(shape: tuple[int, ...]) -> None:
    """Both steps always, by area and then linearly, would give the same bits."""
    frame = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    shrunk = (min(64, shape[1]), min(64, shape[0]))
    both = cv2.resize(frame, shrunk, interpolation=cv2.INTER_AREA)
    both = cv2.resize(both, (64, 64), interpolation=cv2.INTER_LINEAR)
    expected = both if both.ndim == 3 else np.stack([both] * 3, axis=-1)
    prepared = preprocess(frame, taught(shape[0], shape[1], channels=1 if len(shape) == 2 else 3))
    np.testing.assert_array_equal(prepared, expected)
    assert prepared.flags.c_contiguous


@pytest.mark.parametrize("crop", [None, Crop(top=3, left=5, height=64, width=64)])
def test_the_input_of_the_model_is_never_the_frame_itself(crop: Crop | None) -> None:
    size = 64 if crop is None else 80
    frame = np.zeros((size, size, 3), np.uint8)
    prepared = preprocess(frame, taught(size, size, crop=crop))
    frame[:] = 255
    assert prepared.shape == (64, 64, 3)
    assert not prepared.any()
    assert prepared.flags.c_contiguous


@pytest.mark.parametrize(("height", "width"), [(59, 64), (71, 64), (64, 59), (64, 71)])
def test_a_frame_beyond_any_border_of_the_range_is_refused(height: int, width: int) -> None:
    spec = taught(64, 64, frame_height=(60, 70), frame_width=(60, 70))
    with pytest.raises(FrameError, match=re.escape(f"the frame is {height}x{width}")):
        preprocess(np.zeros((height, width, 3), np.uint8), spec)


def test_a_window_is_kept_and_a_missing_one_leaves_older_seals_valid() -> None:
    assert "window" not in taught(64, 64).model_dump()
    deep = taught(64, 64, window={"low": 400, "high": 3200})
    assert Preprocessing.model_validate_json(deep.model_dump_json()) == deep
    assert deep.model_dump()["window"] == {"low": 400, "high": 3200}
