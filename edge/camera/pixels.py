"""Converts raw buffers of cameras to uint8 images, grey or BGR.

Names and layouts: GenICam Pixel Format Naming Convention (PFNC) 2.4, and the packed formats of
GigE Vision 1.x ("Mono12Packed"). Deeper pixels lose their low bits (value >> bits - 8), as in the
8-bit format of the same sensor. Bayer mosaics are interpolated bilinearly at 8 bits.

OpenCV names a Bayer pattern by the four pixels from the second row and column on, GenICam by the
first row: GenICam's BayerRG is OpenCV's BayerBG, which is also called BayerRGGB there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from edge.camera.faults import PartialFrameError, WrongFrameError

Bytes = npt.NDArray[np.uint8]

_BAYER = {
    "RG": cv2.COLOR_BayerRGGB2BGR,
    "GR": cv2.COLOR_BayerGRBG2BGR,
    "GB": cv2.COLOR_BayerGBRG2BGR,
    "BG": cv2.COLOR_BayerBGGR2BGR,
}


def _from_12p(raw: Bytes) -> Bytes:
    """Returns the top 8 bits of two pixels in three bytes, least significant bits first."""
    three = raw.reshape(-1, 3)
    two = np.empty((len(three), 2), np.uint8)
    two[:, 0] = (three[:, 0] >> 4) | (three[:, 1] << 4)
    two[:, 1] = three[:, 2]
    return two


def _from_10p(raw: Bytes) -> Bytes:
    """Returns the top 8 bits of four pixels in five bytes, least significant bits first."""
    five = raw.reshape(-1, 5)
    four = np.empty((len(five), 4), np.uint8)
    for index in range(3):
        low = five[:, index] >> (2 * index + 2)
        four[:, index] = low | (five[:, index + 1] << (6 - 2 * index))
    four[:, 3] = five[:, 4]
    return four


def _from_packed(raw: Bytes) -> Bytes:
    """Returns the top 8 bits of two pixels in three bytes; the middle byte has the low bits."""
    return np.ascontiguousarray(raw.reshape(-1, 3)[:, ::2])


class _Packing(NamedTuple):
    pixels: int
    in_bytes: int
    unpack: Callable[[Bytes], Bytes]


_PACKINGS = {
    "8": _Packing(1, 1, lambda raw: raw.copy()),
    "10": _Packing(1, 2, lambda raw: (raw.view("<u2") >> 2).astype(np.uint8)),
    "12": _Packing(1, 2, lambda raw: (raw.view("<u2") >> 4).astype(np.uint8)),
    "14": _Packing(1, 2, lambda raw: (raw.view("<u2") >> 6).astype(np.uint8)),
    "16": _Packing(1, 2, lambda raw: np.ascontiguousarray(raw.reshape(-1, 2)[:, 1])),
    "10p": _Packing(4, 5, _from_10p),
    "12p": _Packing(2, 3, _from_12p),
    "10Packed": _Packing(2, 3, _from_packed),
    "12Packed": _Packing(2, 3, _from_packed),
}


def _bgr_from_yuv(pixels: Bytes, luma: int, blue: int, red: int) -> Bytes:
    """Converts 4:2:2 in full range (JPEG's BT.601); both pixels of a pair get its chroma."""
    # OpenCV's own 4:2:2 conversions expect luma from 16 to 235; PFNC's YUV and YCbCr have 0 to 255.
    planes = np.empty((*pixels.shape[:2], 3), np.uint8)
    planes[:, :, 0] = pixels[:, :, luma]
    planes[:, 0::2, 1] = planes[:, 1::2, 1] = pixels.reshape(len(pixels), -1)[:, red::4]
    planes[:, 0::2, 2] = planes[:, 1::2, 2] = pixels.reshape(len(pixels), -1)[:, blue::4]
    return np.asarray(cv2.cvtColor(planes, cv2.COLOR_YCrCb2BGR), np.uint8)


def _bgr_from(code: int) -> Callable[[Bytes], Bytes]:
    return lambda pixels: np.asarray(cv2.cvtColor(pixels, code), np.uint8)


def _from_yuyv(pixels: Bytes) -> Bytes:
    return _bgr_from_yuv(pixels, luma=0, blue=1, red=3)


def _from_uyvy(pixels: Bytes) -> Bytes:
    return _bgr_from_yuv(pixels, luma=1, blue=0, red=2)


_COLOUR: dict[str, tuple[int, Callable[[Bytes], Bytes]]] = {  # name -> channels in memory, BGR
    "BGR8": (3, np.copy),
    "BGR8Packed": (3, np.copy),
    "RGB8": (3, _bgr_from(cv2.COLOR_RGB2BGR)),
    "RGB8Packed": (3, _bgr_from(cv2.COLOR_RGB2BGR)),
    "BGRa8": (4, _bgr_from(cv2.COLOR_BGRA2BGR)),
    "BGRA8Packed": (4, _bgr_from(cv2.COLOR_BGRA2BGR)),
    "RGBa8": (4, _bgr_from(cv2.COLOR_RGBA2BGR)),
    "YUV422_8": (2, _from_yuyv),
    "YUV422_YUYV_Packed": (2, _from_yuyv),
    "YCbCr422_8": (2, _from_yuyv),
    "YUV422_8_UYVY": (2, _from_uyvy),
    "YUV422Packed": (2, _from_uyvy),
}
FORMATS = tuple(
    f"{prefix}{depth}"
    for prefix in ("Mono", *(f"Bayer{order}" for order in _BAYER))
    for depth in _PACKINGS
) + tuple(_COLOUR)
"""The pixel formats that `image_from_raw` takes."""


def image_from_raw(
    raw: Bytes, pixel_format: str, width: int, height: int, row_bytes: int = 0
) -> Bytes:
    """Converts a camera's buffer to an image. The image is a copy: the buffer can be reused.

    Args:
        raw: (N,) bytes, rows from the top; bytes behind the image are ignored.
        pixel_format: PFNC name, one of `FORMATS`.
        row_bytes: distance between the starts of two rows; 0 for rows without padding.

    Returns:
        uint8 (height, width) for Mono formats, else (height, width, 3) BGR.

    Raises:
        WrongFrameError: the format is not in `FORMATS`, or its colours need an even width.
        PartialFrameError: `raw` is shorter than the image.
    """
    if pixel_format in _COLOUR:
        channels, convert = _COLOUR[pixel_format]
        if channels == 2 and width % 2:
            raise WrongFrameError(f"{pixel_format} of {width} pixels a row; set an even Width")
        rows = _rows(raw, height, width * channels, row_bytes)
        return convert(rows.reshape(height, width, channels))
    kind, depth = _kind_and_depth(pixel_format)
    grey = _unpacked(raw, _PACKINGS[depth], width, height, row_bytes)
    return grey if kind == "Mono" else np.asarray(cv2.cvtColor(grey, _BAYER[kind[-2:]]), np.uint8)


def _kind_and_depth(pixel_format: str) -> tuple[str, str]:
    found = re.fullmatch(r"(Mono|Bayer(?:RG|GR|GB|BG))(\d+(?:p|Packed)?)", pixel_format)
    if found is None or found[2] not in _PACKINGS:
        raise WrongFrameError(
            f"pixel format {pixel_format} cannot be converted; set the camera's PixelFormat to "
            "Mono8, BayerRG8 or another of Mono, Bayer, RGB8, BGR8, YUV422_8 with 8 to 16 bits"
        )
    return found[1], found[2]


def _unpacked(raw: Bytes, packing: _Packing, width: int, height: int, row_bytes: int) -> Bytes:
    if packing.pixels == 1 or (row_bytes and width % packing.pixels == 0):
        rows = _rows(raw, height, width * packing.in_bytes // packing.pixels, row_bytes)
        return packing.unpack(rows.reshape(-1)).reshape(height, width)
    # Packed rows have no gap between them: a group of pixels may span two rows.
    groups = -(-width * height // packing.pixels)
    size = -(-width * height * packing.in_bytes // packing.pixels)
    padded = np.zeros(groups * packing.in_bytes, np.uint8)
    padded[:size] = _rows(raw, 1, size, 0)
    return packing.unpack(padded).reshape(-1)[: width * height].reshape(height, width)


def _rows(raw: Bytes, height: int, used_bytes: int, row_bytes: int) -> Bytes:
    """(height, used_bytes), contiguous."""
    row_bytes = row_bytes or used_bytes
    needed = (height - 1) * row_bytes + used_bytes
    if row_bytes < used_bytes or raw.size < needed:
        raise PartialFrameError(f"the buffer has {raw.size} bytes and the image needs {needed}")
    if row_bytes == used_bytes:
        return np.ascontiguousarray(raw[:needed]).reshape(height, used_bytes)
    strided = np.lib.stride_tricks.as_strided(
        raw, (height, used_bytes), (row_bytes * raw.strides[0], raw.strides[0])
    )
    return np.ascontiguousarray(strided)
