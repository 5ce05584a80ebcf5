"""Tests that the alignment finds the mark of a reference frame wherever the part lies."""

import base64
import math

import cv2
import numpy as np
import pytest

from inspection.errors import ConfigError, PartNotFoundError
from inspection.layout.alignment import AlignmentSettings, MarkFinder, alignment_to
from inspection.preprocess import Crop

SIZE = 320
MARK = Crop(top=120, left=140, height=49, width=51)


def part(*, mark: Crop = MARK, marks: int = 1, size: int = SIZE) -> np.ndarray:
    """Draws a textured part with an angle and a hole inside the rectangle of the mark."""
    random = np.random.default_rng(4)
    rough = cv2.GaussianBlur(random.normal(size=(size, size)).astype(np.float32), (0, 0), 5)
    frame = np.asarray(110 + 20 * rough / rough.std(), dtype=np.float32)
    for number in range(marks):
        left, top, side = mark.left, mark.top - 100 * number, min(mark.width, mark.height)
        foot, elbow = (left + side // 5, top + side // 5), (left + side // 5, top + 4 * side // 5)
        cv2.rectangle(frame, (left, top), (left + mark.width, top + mark.height), 200.0, -1)
        cv2.line(frame, foot, elbow, 30.0, side // 8)
        cv2.line(frame, elbow, (left + 3 * side // 5, top + 4 * side // 5), 30.0, side // 8)
        cv2.circle(frame, (left + 2 * side // 3, top + side // 3), side // 8, 60.0, -1)
    return np.asarray(np.clip(frame, 0, 255))


def as_frame(picture: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(np.rint(picture), 0, 255), np.uint8)


def posed(picture: np.ndarray, right: float, down: float, clockwise: float) -> np.ndarray:
    """Turns a picture around its middle and shifts it, with less light and added noise."""
    turn = math.radians(clockwise)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    middle = np.array([picture.shape[1] - 1, picture.shape[0] - 1]) / 2
    warp = np.column_stack([rotation, middle - rotation @ middle + [right, down]])
    moved = cv2.warpAffine(
        picture, warp, picture.shape[::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    noise = np.random.default_rng(9).normal(0, 2, picture.shape)
    return as_frame(0.8 * moved + 5 + noise)


def expected(points: np.ndarray, right: float, down: float, clockwise: float) -> np.ndarray:
    turn = math.radians(clockwise)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    middle = np.array([SIZE, SIZE]) / 2
    return np.asarray((points - middle) @ rotation.T + middle + [right, down])


@pytest.mark.parametrize(
    ("settings", "pose"),
    [
        ({}, (0.0, 0.0, 0.0)),
        ({}, (31.3, -24.6, 0.0)),
        ({"search_px": 12}, (-7.5, 9.25, 0.0)),
        ({"rotation_deg": 15}, (12.4, 8.7, 11.3)),
        ({"rotation_deg": 15}, (-20.0, 3.2, -14.0)),
        ({"rotation_deg": 180}, (5.5, -6.5, 137.0)),
    ],
)
@pytest.mark.parametrize("mark", [MARK, Crop(top=60, left=70, height=221, width=215)])
def test_a_pose_is_found_to_fractions_of_a_pixel(
    settings: dict[str, float], pose: tuple[float, float, float], mark: Crop
) -> None:
    """The large mark is compared at half size, where its odd side ends within a pixel."""
    picture = part(mark=mark)
    alignment = alignment_to(as_frame(picture), mark, AlignmentSettings.model_validate(settings))
    found = MarkFinder(alignment).find(posed(picture, *pose))
    centre = np.array([mark.left + mark.width / 2, mark.top + mark.height / 2])
    points = centre + np.array([[-20, -20], [20, -20], [20, 20], [-20, 20]])
    at = points @ found.to_frame[:, :2].T + found.to_frame[:, 2]
    assert np.abs(at - expected(points, *pose)).max() < 0.25
    assert found.clockwise_deg == pytest.approx(pose[2], abs=0.3)
    assert found.score > 0.9


def test_colour_frames_are_found_alike() -> None:
    frame = as_frame(part())
    colour = np.repeat(frame[..., np.newaxis], 3, axis=2)
    assert alignment_to(colour, MARK, AlignmentSettings()) == alignment_to(
        frame, MARK, AlignmentSettings()
    )


def test_no_part_and_two_parts_are_told() -> None:
    finder = MarkFinder(alignment_to(as_frame(part()), MARK, AlignmentSettings()))
    with pytest.raises(PartNotFoundError) as caught:
        finder.find(as_frame(part(marks=0)))
    assert "the part was not found: the best match of its mark, at (" in str(caught.value)
    assert str(caught.value).endswith(" and 0.7 is needed")
    with pytest.raises(PartNotFoundError) as caught:
        finder.find(as_frame(part(marks=2)))
    assert "two places look like its mark, at (" in str(caught.value)
    assert str(caught.value).endswith(" and 0.1 is needed")
    with pytest.raises(PartNotFoundError, match=r"and 0\.7 is needed"):
        finder.find(np.full((SIZE, SIZE), 128, np.uint8))


def test_a_part_beyond_the_search_is_not_found() -> None:
    picture = part()
    alignment = alignment_to(as_frame(picture), MARK, AlignmentSettings(search_px=10))
    with pytest.raises(PartNotFoundError):
        MarkFinder(alignment).find(posed(picture, 60, 0, 0))


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        (
            Crop(top=0, left=300, height=40, width=40),
            "the mark 40x40 at (300, 0) is not inside the reference frame of 320x320",
        ),
        (
            Crop(top=0, left=0, height=400, width=400),
            "the mark 400x400 at (0, 0) is not inside the reference frame of 320x320",
        ),
        (
            Crop(top=120, left=140, height=15, width=40),
            "the mark 40x15 at (140, 120) is too small: take 16 px or more on each side",
        ),
    ],
)
def test_a_mark_that_cannot_be_used_is_refused(mark: Crop, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        alignment_to(as_frame(part()), mark, AlignmentSettings())
    assert str(caught.value) == message


def test_flat_and_repeated_marks_are_refused() -> None:
    flat = np.full((SIZE, SIZE), 90, np.uint8)
    with pytest.raises(ConfigError, match=r"is flat \(standard deviation 0\.0 grey levels\)"):
        alignment_to(flat, MARK, AlignmentSettings())
    with pytest.raises(ConfigError, match=r"is not found again in its own frame: .* two places"):
        alignment_to(as_frame(part(marks=2)), MARK, AlignmentSettings())


@pytest.mark.parametrize("content", ["not base64 !", base64.b64encode(b"no picture").decode()])
def test_a_damaged_mark_is_named(content: str) -> None:
    alignment = alignment_to(as_frame(part()), MARK, AlignmentSettings())
    with pytest.raises(ConfigError, match="the mark of the alignment is damaged"):
        MarkFinder(alignment.model_copy(update={"mark_png": content}))
