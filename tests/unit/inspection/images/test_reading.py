"""Tests that image files decode without silent conversions."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from inspection.errors import CameraError, FrameError
from inspection.images import decode_image, encode_jpeg, encode_png, list_images, read_image

COLOUR = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def encoded(suffix: str, image: np.ndarray = COLOUR) -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def test_pixels_come_as_stored() -> None:
    assert np.array_equal(decode_image(encode_png(COLOUR), "x"), COLOUR)
    grey = COLOUR[:, :, 0]
    assert np.array_equal(decode_image(encode_png(grey), "x"), grey)
    assert decode_image(encode_jpeg(COLOUR), "x").shape == COLOUR.shape


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("keep", [0.3, 0.6, 0.99])
def test_a_truncated_image_is_refused(suffix: str, keep: float) -> None:
    content = encoded(suffix)
    with pytest.raises(FrameError, match=r"^part: the image is damaged or cut off"):
        decode_image(content[: int(len(content) * keep)], "part")


def test_a_jpeg_with_something_behind_its_end_is_taken() -> None:
    assert decode_image(encoded(".jpg") + b"\0" * 100, "x").shape == COLOUR.shape


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"no image at all", "not an image that OpenCV can decode"),
        (encoded(".png", np.zeros((4, 4, 4), np.uint8)), "has an alpha channel"),
        (encoded(".png", np.zeros((4, 4), np.uint16)), "has uint16 pixels"),
    ],
)
def test_what_is_no_8_bit_image_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        decode_image(content, "x")


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(FrameError, match=r"cannot be read \(No such file"):
        read_image(tmp_path / "nothing.png")
    with pytest.raises(CameraError, match="no such folder"):
        list_images(tmp_path / "nowhere", print)
    (tmp_path / "scratch").mkdir()
    with pytest.raises(CameraError, match=r"holds no image .* does not search its subfolders"):
        list_images(tmp_path, print)


def test_images_are_listed_in_name_order_without_hidden_files(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpeg", ".incomplete-a.png", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in list_images(tmp_path, print)] == ["a.jpeg", "b.PNG"]
