"""Tests the layout of a recipe, from the file to frames wherever the part lies."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from inspection.errors import ConfigError, FrameError, PartNotFoundError
from inspection.images import encode_png
from inspection.layout import FramePreparer, Layout
from inspection.layout.layout_file import read_layout
from inspection.layout.zones import Zone
from inspection.preprocess import Crop, Preprocessing, preprocess

HEIGHT, WIDTH = 120, 160
MARK = "mark: {left: 70, top: 50, width: 24, height: 24}"
RIM = "[[40, 30], [120, 30], [120, 90], [40, 90]]"

IGNORE_ALL = "ignore:\n  - [[0, 0], [160, 0], [160, 120], [0, 120]]"
MESSAGES = {
    "crosses": "crosses or touches itself: the edges after corners 1 and 3 meet",
    "twice": "give one zone several polygons, or two names",
    "lost": ("pixel of the 80x60 anomaly map: it is too small, or ignored, or under another zone"),
}


def taught(crop: Crop | None = None) -> Preprocessing:
    return Preprocessing(
        frame_height=(1, 500), frame_width=(1, 500), channels=1, crop=crop, height=60, width=80
    )


def part() -> np.ndarray:
    """Draws a textured part with a mark around (82, 62)."""
    random = np.random.default_rng(1)
    frame = cv2.GaussianBlur(random.normal(size=(HEIGHT, WIDTH)).astype(np.float32), (0, 0), 3)
    frame = 110 + 15 * frame / frame.std()
    cv2.rectangle(frame, (72, 52), (91, 71), 220.0, -1)
    cv2.line(frame, (75, 56), (75, 68), 20.0, 3)
    cv2.circle(frame, (86, 58), 3, 20.0, -1)
    return np.asarray(np.clip(np.rint(frame), 0, 255), np.uint8)


def shifted(frame: np.ndarray, right: int, down: int) -> np.ndarray:
    """Moves a frame by whole pixels and repeats its border."""
    grown = np.pad(frame, 40, mode="edge")
    return grown[40 - down : 40 - down + HEIGHT, 40 - right : 40 - right + WIDTH]


def written(folder: Path, text: str, frame: np.ndarray | None = None) -> Path:
    (folder / "reference.png").write_bytes(encode_png(part() if frame is None else frame))
    path = folder / "layout.yaml"
    path.write_text(f"reference: reference.png\n{text}\n")
    return path


def layout_of(folder: Path, text: str, crop: Crop | None = None) -> Layout:
    return read_layout(written(folder, text), taught(crop))


def test_a_layout_keeps_what_the_file_says(tmp_path: Path) -> None:
    layout = layout_of(
        tmp_path,
        f"zones:\n  - name: rim\n    polygons: [{RIM}]\n    minimum_area_px: 4\n"
        f"ignore:\n  - [[50, 40], [60, 40], [60, 50]]\nalignment: {{{MARK}, search_px: 30}}",
    )
    assert (layout.frame_height, layout.frame_width) == (HEIGHT, WIDTH)
    rim = ((40.0, 30.0), (120.0, 30.0), (120.0, 90.0), (40.0, 90.0))
    assert layout.zones == (Zone(name="rim", polygons=(rim,), minimum_area_px=4),)
    assert layout.alignment is not None
    assert layout.alignment.mark == Crop(left=70, top=50, width=24, height=24)
    assert Layout.model_validate_json(layout.model_dump_json()) == layout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "",
            "{path}:1: has neither zones, nor ignore, nor alignment: give one of them",
        ),
        (
            "zones:\n  - name: rim\n    polygons:\n      - [[0, 0], [9, 9], [9, 0], [0, 9]]",
            "{path}:5: zones.0.polygons.0: {crosses}",
        ),
        (
            "zones:\n  - name: rim\n    polygons: []",
            "{path}:4: zones.0.polygons: names no polygon: draw one, or leave the zone out",
        ),
        (
            f"zones:\n  - {{name: rim, polygons: [{RIM}]}}\n  - {{name: rim, polygons: [{RIM}]}}",
            "{path}:2: zones: the name 'rim' occurs twice: {twice}",
        ),
        (
            "zones:\n  - {name: rim, polygons: [[[0, 0], [161, 0], [0, 50]]]}",
            "{path}: zone 'rim', polygons.0: the corner (161, 0) lies outside the frame of 160x120",
        ),
        (
            "ignore:\n  - [[0, 0], [50, -1], [0, 50]]",
            "{path}: ignore.0: the corner (50, -1) lies outside the frame of 160x120",
        ),
        (
            f"zones: [{{name: rim, polygons: [{RIM}]}}]\n{IGNORE_ALL}",
            "{path}: zone 'rim' has no {lost}",
        ),
        (
            IGNORE_ALL,
            "{path}: zone 'frame' has no {lost}",
        ),
        (
            f"zones:\n  - {{name: a, polygons: [{RIM}]}}\n  - {{name: b, polygons: [{RIM}]}}",
            "{path}: zone 'b' has no {lost}",
        ),
        (
            "alignment:\n  mark: {left: 0, top: 0, width: 200, height: 20}",
            "{path}: the mark 200x20 at (0, 0) is not inside the reference frame of 160x120",
        ),
        (
            "zone: []",
            "{path}:2: zone: unknown key; did you mean 'zones'?",
        ),
    ],
)
def test_what_cannot_be_inspected_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_layout(path, taught())
    assert str(caught.value).splitlines()[0] == message.format(path=path, **MESSAGES)


def test_a_zone_outside_the_crop_is_refused(tmp_path: Path) -> None:
    crop = Crop(left=50, top=20, width=80, height=80)
    with pytest.raises(ConfigError) as caught:
        layout_of(tmp_path, f"zones: [{{name: rim, polygons: [{RIM}]}}]", crop)
    assert str(caught.value) == (
        f"{tmp_path / 'layout.yaml'}: zone 'rim', polygons.0: the corner (40, 30) lies outside the "
        "crop of 80x80 at (50, 20)"
    )


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (np.zeros((600, 160), np.uint8), "the frame is 600x160 (height x width)"),
        (np.zeros((120, 160, 3), np.uint8), "was trained on grey (H, W) frames"),
    ],
)
def test_the_reference_is_a_frame_of_the_bundle(
    tmp_path: Path, reference: np.ndarray, message: str
) -> None:
    path = written(tmp_path, f"zones: [{{name: rim, polygons: [{RIM}]}}]", reference)
    with pytest.raises(ConfigError) as caught:
        read_layout(path, taught())
    start = f"{path}: reference: {tmp_path / 'reference.png'}: "
    assert str(caught.value).startswith(start)
    assert message in str(caught.value)


def test_without_a_layout_a_frame_is_preprocessed_and_nothing_else() -> None:
    crop = Crop(left=10, top=20, width=100, height=60)
    ready = FramePreparer(taught(crop)).prepare(part())
    assert np.array_equal(ready.image, preprocess(part(), taught(crop)))
    assert (ready.crop, ready.zones, ready.pose) == (crop, None, None)


def test_zones_do_not_stretch_to_frames_of_another_size(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, f"zones: [{{name: rim, polygons: [{RIM}]}}]")
    with pytest.raises(FrameError) as caught:
        FramePreparer(taught(), layout).prepare(np.zeros((240, 320), np.uint8))
    assert str(caught.value) == (
        "the frame is 240x320 (height x width) and the layout of the recipe was drawn on 120x160: "
        "zones do not stretch"
    )


def test_the_crop_moves_with_the_part_and_nothing_is_resampled(tmp_path: Path) -> None:
    """A part that moved by whole pixels gives the same input, bit for bit, and the same zones."""
    crop = Crop(left=36, top=26, width=90, height=70)
    layout = layout_of(
        tmp_path, f"zones: [{{name: rim, polygons: [{RIM}]}}]\nalignment: {{{MARK}}}", crop
    )
    preparation = FramePreparer(taught(crop), layout)
    first, second = preparation.prepare(part()), preparation.prepare(shifted(part(), 9, -14))
    assert second.pose is not None
    assert (round(second.pose.right_px, 2), round(second.pose.down_px, 2)) == (9, -14)
    assert second.crop == Crop(left=45, top=12, width=90, height=70)
    assert np.array_equal(first.image, second.image)
    assert first.zones is not None
    assert second.zones is not None
    assert np.array_equal(first.zones, second.zones)


def test_zones_move_with_the_part_on_a_whole_frame(tmp_path: Path) -> None:
    layout = layout_of(
        tmp_path, f"zones: [{{name: rim, polygons: [{RIM}]}}]\nalignment: {{{MARK}}}"
    )
    preparation = FramePreparer(taught(), layout)
    ready = preparation.prepare(shifted(part(), 12, 8))
    assert np.array_equal(ready.image, preprocess(shifted(part(), 12, 8), taught()))
    expected = np.zeros((60, 80), np.uint8)
    expected[(30 + 8) // 2 : (90 + 8) // 2, (40 + 12) // 2 : (120 + 12) // 2] = 1
    assert ready.zones is not None
    assert np.array_equal(ready.zones, expected)


def test_a_part_that_leaves_the_frame_is_not_found(tmp_path: Path) -> None:
    zones = f"zones: [{{name: rim, polygons: [{RIM}]}}]\nalignment: {{{MARK}}}"
    preparation = FramePreparer(taught(), layout_of(tmp_path, zones))
    with pytest.raises(PartNotFoundError) as caught:
        preparation.prepare(shifted(part(), 0, 36))
    assert str(caught.value) == (
        "zone 'rim' reaches 3.0 px of the anomaly map beyond the camera's view: "
        "the part lies too far off"
    )
    crop = Crop(left=36, top=26, width=90, height=70)
    cropped = FramePreparer(taught(crop), layout_of(tmp_path, zones, crop))
    with pytest.raises(PartNotFoundError) as caught:
        cropped.prepare(shifted(part(), -3, 30))
    assert str(caught.value) == (
        "the part lies -3 px to the right of its place and +30 px below it, and the crop that "
        "moves with it leaves the frame"
    )


def test_a_zone_between_the_pixels_of_the_map_is_not_found(tmp_path: Path) -> None:
    """A pixel of the map is two of the frame, and the zone is one wide."""
    thin = "[[40.5, 30], [41.5, 30], [41.5, 90], [40.5, 90]]"
    zones = f"zones: [{{name: seam, polygons: [{thin}]}}]\nalignment: {{{MARK}}}"
    preparation = FramePreparer(taught(), layout_of(tmp_path, zones))
    at_rest = preparation.prepare(part()).zones
    assert at_rest is not None
    assert np.flatnonzero(at_rest.any(axis=0)).tolist() == [20]
    with pytest.raises(PartNotFoundError, match="'seam' has no pixel left where the part lies"):
        preparation.prepare(shifted(part(), 1, 0))
