"""Raw buffers to images, against references written pixel by pixel."""

import re
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge.camera.faults import PartialFrameError, WrongFrameError
from edge.camera.pixels import FORMATS, PixelConverter
from inspection.images import Window, read_frame

Bytes = npt.NDArray[np.uint8]
RED, GREEN, BLUE = (0, 0, 255), (0, 255, 0), (255, 0, 0)


def bits_of(pixel_format: str) -> int:
    found = re.fullmatch(r"(?:Mono|Bayer..)(\d+)(?:p|Packed)?", pixel_format)
    return int(found[1]) if found else 8


def whole(pixel_format: str) -> Window | None:
    """Returns the window of all values of a format."""
    bits = bits_of(pixel_format)
    return None if bits == 8 else Window(low=0, high=(1 << bits) - 1)


def image_from_raw(
    raw: Bytes, pixel_format: str, width: int, height: int, row_bytes: int = 0
) -> Bytes:
    converter = PixelConverter(pixel_format, width, height, whole(pixel_format))
    return converter.image(raw, row_bytes)


def rounded(pixels: npt.NDArray[np.uint16], bits: int) -> npt.NDArray[np.float64]:
    """All values of a format become 0 to 255; half a step rounds up."""
    return np.asarray(np.floor(pixels * (255 / ((1 << bits) - 1)) + 0.5))


def values(bits: int, height: int, width: int) -> npt.NDArray[np.uint16]:
    return np.random.default_rng(bits).integers(0, 1 << bits, (height, width), dtype=np.uint16)


def packed_lsb(pixels: npt.NDArray[np.uint16], bits: int) -> Bytes:
    """PFNC "p": the pixels' bits, least significant first, in one stream of bits."""
    stream = [(int(value) >> bit) & 1 for value in pixels.ravel() for bit in range(bits)]
    return np.packbits(np.array(stream, np.uint8), bitorder="little")


def packed_gige(pixels: npt.NDArray[np.uint16], bits: int) -> Bytes:
    """GigE Vision 1.2, Mono10Packed and Mono12Packed: high, both lows, high."""
    low = bits - 8
    flat = [int(value) for value in pixels.ravel()]
    flat += [0] * (len(flat) % 2)
    out = []
    for first, second in zip(flat[::2], flat[1::2], strict=True):
        lows = (first & ((1 << low) - 1)) | ((second & ((1 << low) - 1)) << 4)
        out += [first >> low, lows, second >> low]
    return np.array(out, np.uint8)


def raw_of(pixels: npt.NDArray[np.uint16], depth: str) -> Bytes:
    if depth == "8":
        return pixels.astype(np.uint8).ravel()
    if depth.endswith("Packed"):
        return packed_gige(pixels, int(depth.removesuffix("Packed")))
    if depth.endswith("p"):
        return packed_lsb(pixels, int(depth.removesuffix("p")))
    return pixels.astype("<u2").view(np.uint8).ravel()


@pytest.mark.parametrize("size", [(4, 8), (3, 5), (1, 1), (5, 6), (7, 3)])
@pytest.mark.parametrize(
    "depth", ["8", "10", "12", "14", "16", "10p", "12p", "10Packed", "12Packed"]
)
def test_mono_becomes_8_bits_by_its_window(depth: str, size: tuple[int, int]) -> None:
    bits = int(depth.removesuffix("Packed").removesuffix("p"))
    pixels = values(bits, *size)
    raw = raw_of(pixels, depth)
    image = image_from_raw(raw, f"Mono{depth}", size[1], size[0])
    assert np.array_equal(image, rounded(pixels, bits))
    assert image.dtype == np.uint8


@pytest.mark.parametrize(
    ("pixel_format", "raw", "numbers"),
    [
        # PFNC 2.4: lsb first, without gaps. 0xABC and 0x123; 0x3FF, 0x000, 0x155 and 0x2AA.
        ("Mono12p", [0xBC, 0x3A, 0x12], [0xABC, 0x123]),
        ("Mono10p", [0xFF, 0x03, 0x50, 0x95, 0xAA], [0x3FF, 0x000, 0x155, 0x2AA]),
        # GigE Vision 1.2: high bits of A, low bits of B and of A, high bits of B.
        ("Mono12Packed", [0xAB, 0x3C, 0x12], [0xABC, 0x123]),
        ("Mono10Packed", [0xFF, 0x23, 0x55], [0x3FF, 0x156]),
        ("Mono10", [0xFF, 0x03, 0x56, 0x01], [0x3FF, 0x156]),
        ("Mono12", [0xBC, 0x0A, 0x23, 0x01], [0xABC, 0x123]),
        ("Mono14", [0xBC, 0x2A, 0x23, 0x01], [0x2ABC, 0x123]),
        ("Mono16", [0xBC, 0xFA, 0x23, 0x01], [0xFABC, 0x123]),
    ],
)
def test_known_bytes_of_the_standards(
    pixel_format: str, raw: list[int], numbers: list[int]
) -> None:
    """Windows one number wide tell every digital number, by hand-made bytes."""
    buffer, width = np.array(raw, np.uint8), len(numbers)
    for number in numbers:
        window = Window(low=max(0, number - 1), high=max(1, number))
        image = PixelConverter(pixel_format, width, 1, window).image(buffer)
        assert image.tolist() == [[255 if n >= max(1, number) else 0 for n in numbers]]


@pytest.mark.parametrize("order", ["Mono", "BayerRG", "BayerGB"])
@pytest.mark.parametrize("depth", ["10", "12p", "12Packed", "16"])
def test_camera_and_16_bit_file_give_the_same_bits(order: str, depth: str, tmp_path: Path) -> None:
    bits = int(depth.removesuffix("Packed").removesuffix("p"))
    pixels, window = values(bits, 31, 38), Window(low=1 << bits - 3, high=(1 << bits) - 77)
    image = PixelConverter(f"{order}{depth}", 38, 31, window).image(raw_of(pixels, depth))
    code = {"BayerRG": cv2.COLOR_BayerRGGB2BGR, "BayerGB": cv2.COLOR_BayerGBRG2BGR}.get(order)
    shown = pixels if code is None else cv2.cvtColor(pixels, code)
    for suffix in ("png", "tiff"):
        path = tmp_path / f"a.{suffix}"
        assert cv2.imwrite(str(path), shown)
        assert np.array_equal(image, read_frame(path, window))
    assert 0 < (image == 0).mean() < 1
    assert 0 < (image == 255).mean() < 1


@pytest.mark.parametrize(
    ("pixel_format", "window", "problem"),
    [
        ("Mono8", (0, 255), "Mono8 has 8 bits, which take no window: leave out window, or set"),
        ("RGB8", (0, 255), "RGB8 has 8 bits, which take no window"),
        ("Mono12p", None, "Mono12p has values from 0 to 4095 and a model takes 8 bits: set window"),
        ("BayerRG10", None, "BayerRG10 has values from 0 to 1023 and a model takes 8 bits"),
        ("Mono10", (0, 1024), "the window 0 to 1024 leaves the values of Mono10, 0 to 1023: lower"),
    ],
)
def test_the_window_fits_the_format(
    pixel_format: str, window: tuple[int, int] | None, problem: str
) -> None:
    given = None if window is None else Window(low=window[0], high=window[1])
    with pytest.raises(WrongFrameError, match=problem):
        PixelConverter(pixel_format, 8, 8, given)


def test_an_image_outlives_the_next_one() -> None:
    """The digital numbers are in memory that every frame uses."""
    converter = PixelConverter("Mono12p", 2, 1, Window(low=0, high=4095))
    first = converter.image(np.array([0xFF, 0xFF, 0xFF], np.uint8))
    converter.image(np.zeros(3, np.uint8))
    assert first.tolist() == [[255, 255]]


@pytest.mark.parametrize("depth", ["8", "10", "12", "16", "10p", "12p", "12Packed"])
@pytest.mark.parametrize(
    ("order", "colours"),
    [
        ("RG", ((RED, GREEN), (GREEN, BLUE))),
        ("GR", ((GREEN, RED), (BLUE, GREEN))),
        ("GB", ((GREEN, BLUE), (RED, GREEN))),
        ("BG", ((BLUE, GREEN), (GREEN, RED))),
    ],
)
@pytest.mark.parametrize("lit", [RED, GREEN, BLUE])
def test_bayer_gives_the_colour_of_the_light(
    order: str, colours: tuple[tuple[object, ...], ...], lit: tuple[int, int, int], depth: str
) -> None:
    """Under pure red light only the red pixels of the mosaic see something."""
    bits = int(depth.removesuffix("Packed").removesuffix("p"))
    tile = np.array([[colour == lit for colour in row] for row in colours])
    mosaic = np.tile(tile, (4, 4)).astype(np.uint16) * ((1 << bits) - 1)
    image = image_from_raw(raw_of(mosaic, depth), f"Bayer{order}{depth}", 8, 8)
    assert image.shape == (8, 8, 3)
    assert np.array_equal(image[2:-2, 2:-2], np.broadcast_to(lit, (4, 4, 3)))


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("BGR8", (0, 1, 2)),
        ("BGR8Packed", (0, 1, 2)),
        ("RGB8", (2, 1, 0)),
        ("RGB8Packed", (2, 1, 0)),
        ("BGRa8", (0, 1, 2)),
        ("BGRA8Packed", (0, 1, 2)),
        ("RGBa8", (2, 1, 0)),
    ],
)
def test_colours_in_memory(name: str, order: tuple[int, ...]) -> None:
    channels = 4 if name.upper().startswith(("BGRA", "RGBA")) else 3
    pixels = np.random.default_rng(1).integers(0, 256, (3, 5, channels), dtype=np.uint8)
    image = image_from_raw(pixels.ravel(), name, 5, 3)
    assert np.array_equal(image, pixels[:, :, list(order)])


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("YUV422_8", (0, 1, 2, 3)),
        ("YUV422_YUYV_Packed", (0, 1, 2, 3)),
        ("YCbCr422_8", (0, 1, 2, 3)),
        ("YUV422_8_UYVY", (1, 0, 3, 2)),
        ("YUV422Packed", (1, 0, 3, 2)),
    ],
)
def test_yuv_is_full_range(name: str, order: tuple[int, ...]) -> None:
    """BT.601 as in JPEG (ITU-T T.871); both pixels of a pair have its chroma."""
    pairs = np.random.default_rng(2).integers(90, 160, (4, 3, 4), dtype=np.uint8)  # Y U Y V
    image = image_from_raw(pairs[:, :, list(order)].ravel(), name, 6, 4)
    luma = pairs[:, :, [0, 2]].reshape(4, 6).astype(float)
    u, v = (np.repeat(pairs[:, :, index], 2, axis=1).astype(float) - 128 for index in (1, 3))
    wanted = np.stack(
        [luma + 1.772 * u, luma - 0.344136 * u - 0.714136 * v, luma + 1.402 * v], axis=2
    )
    assert np.abs(image - wanted).max() <= 1.0
    white = np.tile(np.array([255, 128, 255, 128], np.uint8)[list(order)], 2)
    assert image_from_raw(white, name, 4, 1).min() == 255


@pytest.mark.parametrize("name", FORMATS)
def test_the_image_is_the_receivers(name: str) -> None:
    raw = np.zeros(8 * 8 * 4, np.uint8)
    image = image_from_raw(raw, name, 8, 8)
    assert not np.shares_memory(raw, image)
    assert image.flags.c_contiguous
    assert image.flags.writeable
    raw.flags.writeable = False
    image_from_raw(raw, name, 8, 8)


@pytest.mark.parametrize(("name", "row"), [("Mono8", 12), ("Mono12", 20), ("RGB8", 32)])
def test_padding_at_the_end_of_rows_is_passed_over(name: str, row: int) -> None:
    used = {"Mono8": 9, "Mono12": 18, "RGB8": 27}[name]
    rows = np.random.default_rng(3).integers(0, 256, (5, row), dtype=np.uint8)
    dense = np.ascontiguousarray(rows[:, :used]).ravel()
    last_row_unpadded = rows.ravel()[: 4 * row + used]
    padded = image_from_raw(last_row_unpadded, name, 9, 5, row_bytes=row)
    assert np.array_equal(padded, image_from_raw(dense, name, 9, 5))


def test_padded_rows_of_packed_pixels() -> None:
    pixels = values(12, 3, 4)
    rows = raw_of(pixels, "12p").reshape(3, 6)
    padded = np.pad(rows, ((0, 0), (0, 2)))
    image = image_from_raw(padded.ravel(), "Mono12p", 4, 3, row_bytes=8)
    assert np.array_equal(image, rounded(pixels, 12))


def test_packed_rows_that_end_within_a_group_are_read_without_padding_alone() -> None:
    pixels = np.arange(10, dtype=np.uint16).reshape(2, 5) * 400
    raw = raw_of(pixels, "12p")
    assert (image_from_raw(raw, "Mono12p", 5, 2) == rounded(pixels, 12)).all()
    with pytest.raises(WrongFrameError, match=r"^packed rows of 5 pixels .*multiple of 2, or an"):
        image_from_raw(np.pad(raw, (0, 1)), "Mono12p", 5, 2, row_bytes=8)


def test_rows_shorter_than_their_pixels_are_a_partial_frame() -> None:
    with pytest.raises(PartialFrameError, match="the buffer has 100 bytes and the image needs"):
        image_from_raw(np.zeros(100, np.uint8), "Mono8", 8, 8, row_bytes=7)


@pytest.mark.parametrize("name", ["Mono8", "Mono12p", "Mono10Packed", "RGB8", "BayerRG12"])
def test_a_short_buffer_is_a_partial_frame(name: str) -> None:
    with pytest.raises(PartialFrameError, match=r"the buffer has 7 bytes and the image needs \d+"):
        image_from_raw(np.zeros(7, np.uint8), name, 8, 8)


@pytest.mark.parametrize("name", ["Mono9", "Mono12pp", "BayerXX8", "Coord3D_C16", "YUV444_8", ""])
def test_unknown_formats_are_refused_by_name(name: str) -> None:
    with pytest.raises(WrongFrameError, match=f"pixel format {name} cannot be converted"):
        image_from_raw(np.zeros(1000, np.uint8), name, 8, 8)


def test_half_a_pair_of_colour_is_refused() -> None:
    with pytest.raises(WrongFrameError, match="YUV422_8 of 5 pixels a row; set an even Width"):
        image_from_raw(np.zeros(100, np.uint8), "YUV422_8", 5, 2)


def test_opencv_calls_the_patterns_otherwise() -> None:
    """OpenCV's BayerRG is not GenICam's."""
    assert cv2.COLOR_BayerRGGB2BGR == cv2.COLOR_BayerBG2BGR
