"""The window of deep images, and the files that it makes."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from inspection.errors import FrameError
from inspection.images import Window, decode_frame, encode_png, read_frame, read_image, read_stored
from inspection.images.png import text_of, with_text

WINDOW = Window(low=400, high=3200)


def deep(shape: tuple[int, ...] = (40, 30)) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 4096, shape, dtype=np.uint16)


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0, 255), (0, 65535), (400, 3200), (65534, 65535), (7, 8192)]
)
def test_every_value_is_rounded_half_up_and_saturates(low: int, high: int) -> None:
    values = np.arange(65536, dtype=np.uint16)
    image = Window(low=low, high=high).apply(values)
    clipped = np.clip(values.astype(object), low, high) - low
    wanted = [(2 * 255 * v + (high - low)) // (2 * (high - low)) for v in clipped]
    assert image.tolist() == wanted
    assert image[low] == 0
    assert image[high] == image[-1] == 255


def test_large_images_and_views_are_converted_whole() -> None:
    pixels = deep((700, 333, 3))[:, ::-1]
    image = WINDOW.apply(pixels)
    assert image.shape == pixels.shape
    assert image.flags.c_contiguous
    assert np.array_equal(image, WINDOW.apply(np.ascontiguousarray(pixels)))
    assert np.array_equal(image[0, 0], [WINDOW.apply(pixels[0, 0, c : c + 1])[0] for c in range(3)])


@pytest.mark.parametrize(
    ("low", "high", "problem"),
    [
        (9, 9, "low 9 should be below high 9"),
        (-1, 9, "greater than or equal to 0"),
        (0, 65536, "less than or equal to 65535"),
    ],
)
def test_a_window_is_in_order_and_in_range(low: int, high: int, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Window(low=low, high=high)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
@pytest.mark.parametrize("shape", [(40, 30), (40, 30, 3)])
def test_16_bits_need_a_window(suffix: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    path, pixels = tmp_path / f"deep.{suffix}", deep(shape)
    assert cv2.imwrite(str(path), pixels)
    assert np.array_equal(read_frame(path, WINDOW), WINDOW.apply(pixels))
    assert np.array_equal(read_stored(path), pixels)
    with pytest.raises(FrameError) as caught:
        read_frame(path, None)
    assert str(caught.value) == (
        f"{path}: has 16 bits, with values from {pixels.min()} to {pixels.max()}, and a model "
        "takes 8: say which of them become 0 and 255, by window with low and high in the "
        "configuration of the camera, data.window of a training, or --window LOW HIGH of "
        "'linewarden teach'"
    )
    with pytest.raises(FrameError, match="has uint16 pixels and must have 8 bits"):
        read_image(path)


def test_8_bits_take_no_window(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode_png(np.zeros((4, 4), np.uint8)))
    with pytest.raises(FrameError, match="has 8 bits, and the window 400 to 3200 is for 10 to 16"):
        read_frame(path, WINDOW)


def test_a_windowed_image_is_not_windowed_again(tmp_path: Path) -> None:
    path, image = tmp_path / "a.png", WINDOW.apply(deep())
    path.write_bytes(encode_png(image, WINDOW))
    assert np.array_equal(read_frame(path, WINDOW), image)
    assert np.array_equal(read_image(path), image)  # to look at
    for other, asked in ((None, "none"), (Window(low=0, high=4095), "0 to 4095")):
        with pytest.raises(FrameError) as caught:
            read_frame(path, other)
        assert str(caught.value) == (
            f"{path}: was converted from a deep image by the window 400 to 3200, and the window "
            f"here is {asked}: set window to low 400 and high 3200"
        )


@pytest.mark.parametrize("text", ["", "400", "3200 400", "a b", "0 99999", "1 2 3"])
def test_a_mark_that_is_not_a_window_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    plain = encode_png(np.zeros((4, 4), np.uint8))
    path.write_bytes(with_text(plain, "Linewarden-Window", text))
    with pytest.raises(FrameError, match="its text Linewarden-Window is not a window"):
        read_frame(path, WINDOW)


def test_the_text_is_a_chunk_that_other_readers_know() -> None:
    """PNG, third edition, 11.3.3.2: keyword, a null, Latin-1 text."""
    content = encode_png(np.zeros((4, 4), np.uint8), WINDOW)
    data = b"tEXtLinewarden-Window\x00400 3200"
    assert struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data)) in content
    assert text_of(content, "Linewarden-Window") == "400 3200"
    assert text_of(content, "Comment") is None


def tiff(bits: int, orientation: int) -> bytes:
    """A TIFF of 4 x 1 grey pixels."""
    pixels = bytes.fromhex("ABC123000FFF")[: bits // 2]
    entries = [(256, 4), (257, 1), (258, bits), (259, 1), (262, 1), (273, 8), (274, orientation)]
    entries += [(278, 1), (279, len(pixels))]
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    header = b"II*\0" + struct.pack("<I", 8 + len(pixels))
    return header + pixels + struct.pack("<H", len(entries)) + directory + bytes(4)


def test_a_tiff_of_12_bits_is_refused() -> None:
    """OpenCV returns its values times 16."""
    with pytest.raises(FrameError, match="a TIFF of 12 bits, whose values OpenCV multiplies"):
        decode_frame(tiff(12, 1), "a.tiff", WINDOW)


def test_a_tiff_with_an_orientation_is_refused() -> None:
    """OpenCV turns its pixels."""
    assert decode_frame(tiff(8, 1), "a.tiff", None).tolist() == [[0xAB, 0xC1, 0x23, 0x00]]
    with pytest.raises(FrameError, match=r"turned or mirrored \(orientation 3\): save it as"):
        decode_frame(tiff(8, 3), "a.tiff", None)
