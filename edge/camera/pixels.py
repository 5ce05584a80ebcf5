"""Converts raw buffers of cameras to uint8 images, grey or BGR.

Names and layouts: GenICam Pixel Format Naming Convention (PFNC) 2.4, and the packed formats of
GigE Vision 1.x ("Mono12Packed"). Deeper pixels become 8 bits by an explicit window, never without.
Bayer mosaics are interpolated bilinearly at their own depth, and the window comes last: a colour
file of 16 bits, which is interpolated already, then gives the same image, and values are rounded
once.

OpenCV names a Bayer pattern by the four pixels from the second row and column on, GenICam by the
first row: GenICam's BayerRG is OpenCV's BayerBG, which is also called BayerRGGB there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from edge.camera.faults import PartialFrameError, WrongFrameError
from inspection.images import Window

Bytes = npt.NDArray[np.uint8]
Deep = npt.NDArray[np.uint16]
Pixel = TypeVar("Pixel", np.uint8, np.uint16)

_BAYER = {
    "RG": cv2.COLOR_BayerRGGB2BGR,
    "GR": cv2.COLOR_BayerGRBG2BGR,
    "GB": cv2.COLOR_BayerGBRG2BGR,
    "BG": cv2.COLOR_BayerBGGR2BGR,
}


def _unpack_stream(raw: Bytes, deep: Deep, bits: int) -> None:
    """Unpacks PFNC "p": the bits of the pixels in one stream, least significant bits first."""
    groups, pixels = deep.shape
    group_bytes = bits * pixels // 8
    for pixel in range(pixels):
        # The two bytes that hold the pixel, at every group; no group needs a byte of the next.
        first, shift = divmod(bits * pixel, 8)
        words: Deep = np.ndarray((groups,), "<u2", raw, first, (group_bytes,))
        np.right_shift(words, shift, out=deep[:, pixel])
    np.bitwise_and(deep, (1 << bits) - 1, out=deep)


def _unpack_gige(raw: Bytes, deep: Deep, bits: int) -> None:
    """Unpacks GigE Vision 1.x "Packed": high bits, the low bits of both pixels, high bits."""
    three = raw.reshape(-1, 3)
    low = bits - 8
    for pixel, shift in enumerate((0, 4)):
        np.left_shift(three[:, 2 * pixel], low, out=deep[:, pixel], dtype=np.uint16)
        deep[:, pixel] |= (three[:, 1] >> shift) & ((1 << low) - 1)


class _Packing(NamedTuple):
    """Bits of a pixel, and the pixels of the smallest group of whole bytes."""

    bits: int
    pixels: int
    in_bytes: int
    unpack: Callable[[Bytes, Deep, int], None] | None = None


_PACKINGS = {
    "8": _Packing(8, 1, 1),
    "10": _Packing(10, 1, 2),
    "12": _Packing(12, 1, 2),
    "14": _Packing(14, 1, 2),
    "16": _Packing(16, 1, 2),
    "10p": _Packing(10, 4, 5, _unpack_stream),
    "12p": _Packing(12, 2, 3, _unpack_stream),
    "10Packed": _Packing(10, 2, 3, _unpack_gige),
    "12Packed": _Packing(12, 2, 3, _unpack_gige),
}


def _bgr_from_yuv(pixels: Bytes, luma: int, blue: int, red: int) -> Bytes:
    """Converts 4:2:2 in full range (JPEG's BT.601); both pixels of a pair get its chroma."""
    # OpenCV's own 4:2:2 conversions expect luma from 16 to 235; PFNC's YUV and YCbCr have 0 to 255.
    planes = np.empty((*pixels.shape[:2], 3), np.uint8)
    planes[:, :, 0] = pixels[:, :, luma]
    planes[:, 0::2, 1] = planes[:, 1::2, 1] = pixels.reshape(len(pixels), -1)[:, red::4]
    planes[:, 0::2, 2] = planes[:, 1::2, 2] = pixels.reshape(len(pixels), -1)[:, blue::4]
    return np.asarray(cv2.cvtColor(planes, cv2.COLOR_YCrCb2BGR), np.uint8)


def _copy(pixels: Bytes) -> Bytes:
    return pixels.copy()


def _bgr_from(code: int) -> Callable[[Bytes], Bytes]:
    return lambda pixels: np.asarray(cv2.cvtColor(pixels, code), np.uint8)


def _from_yuyv(pixels: Bytes) -> Bytes:
    return _bgr_from_yuv(pixels, luma=0, blue=1, red=3)


def _from_uyvy(pixels: Bytes) -> Bytes:
    return _bgr_from_yuv(pixels, luma=1, blue=0, red=2)


_COLOUR: dict[str, tuple[int, Callable[[Bytes], Bytes]]] = {  # name -> channels in memory, BGR
    "BGR8": (3, _copy),
    "BGR8Packed": (3, _copy),
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
"""The pixel formats that a `PixelConverter` takes."""


class PixelConverter:
    """Converts the buffers of a camera to images.

    Args:
        pixel_format: PFNC name, one of `FORMATS`.
        window: for a format of 10 to 16 bits, which is refused without one.

    Raises:
        WrongFrameError: the format is not in `FORMATS`, its colours need an even width, or the
            window does not fit its bits.
    """

    def __init__(
        self, pixel_format: str, width: int, height: int, window: Window | None = None
    ) -> None:
        self.window = window
        self._size = (height, width)
        self._channels, self._convert = _COLOUR.get(pixel_format, (0, _copy))
        if self._channels == 2 and width % 2:
            raise WrongFrameError(f"{pixel_format} of {width} pixels a row; set an even Width")
        self._packing, self._bayer = _PACKINGS["8"], None
        if not self._channels:
            self._packing, self._bayer = _parts_of(pixel_format)
        _require_fit(pixel_format, self._packing.bits, window)
        groups = -(-width * height // self._packing.pixels)
        is_packed = self._packing.unpack is not None
        self._deep = np.empty((groups * is_packed, self._packing.pixels), np.uint16)

    def image(self, raw: Bytes, row_bytes: int = 0) -> Bytes:
        """Returns an image that the caller owns: the buffer can be reused.

        Args:
            raw: (N,) bytes, rows from the top; bytes behind the image are ignored.
            row_bytes: distance between the starts of two rows; 0 for rows without padding.

        Returns:
            uint8 (height, width) for Mono formats, else (height, width, 3) BGR.

        Raises:
            PartialFrameError: `raw` is shorter than the image.
        """
        height, width = self._size
        if self._channels:
            rows = _rows(raw, height, width * self._channels, row_bytes)
            return self._convert(rows.reshape(height, width, self._channels))
        if self.window is not None:
            return self.window.apply(self._demosaiced(self._unpacked(raw, row_bytes)))
        grey = _rows(raw, height, width, row_bytes)
        return grey.copy() if self._bayer is None else self._demosaiced(grey)

    def _demosaiced(self, mosaic: npt.NDArray[Pixel]) -> npt.NDArray[Pixel]:
        if self._bayer is None:
            return mosaic
        colours: npt.NDArray[Pixel] = np.asarray(cv2.cvtColor(mosaic, self._bayer), mosaic.dtype)
        return colours

    def _unpacked(self, raw: Bytes, row_bytes: int) -> Deep:
        """Returns the digital numbers, (height, width), valid until the next call."""
        (height, width), (bits, pixels, in_bytes, unpack) = self._size, self._packing
        if unpack is None:
            rows = _rows(raw, height, width * in_bytes, row_bytes)
            deep: Deep = rows.view("<u2")
            return deep
        if row_bytes and width % pixels:
            raise WrongFrameError(
                f"packed rows of {width} pixels with padding cannot be read; set Width to a "
                f"multiple of {pixels}, or an unpacked PixelFormat"
            )
        if row_bytes:
            dense = _rows(raw, height, width * in_bytes // pixels, row_bytes).reshape(-1)
        else:
            # Packed rows have no gap between them: a group of pixels may span two rows.
            size = -(-width * height * in_bytes // pixels)
            dense = _rows(raw, 1, size, 0).reshape(-1)
            if missing := len(self._deep) * in_bytes - size:
                dense = np.pad(dense, (0, missing))
        unpack(dense, self._deep, bits)
        return self._deep.reshape(-1)[: width * height].reshape(height, width)


def _parts_of(pixel_format: str) -> tuple[_Packing, int | None]:
    """Returns the packing of a Mono or Bayer format, and OpenCV's code of its mosaic."""
    found = re.fullmatch(r"(?:Mono|Bayer(RG|GR|GB|BG))(\d+(?:p|Packed)?)", pixel_format)
    if found is None or found[2] not in _PACKINGS:
        raise WrongFrameError(
            f"pixel format {pixel_format} cannot be converted; set the camera's PixelFormat to "
            "Mono8, BayerRG8 or another of Mono, Bayer, RGB8, BGR8, YUV422_8 with 8 to 16 bits"
        )
    return _PACKINGS[found[2]], None if found[1] is None else _BAYER[found[1]]


def _require_fit(pixel_format: str, bits: int, window: Window | None) -> None:
    highest = (1 << bits) - 1
    if bits == 8 and window is not None:
        raise WrongFrameError(
            f"{pixel_format} has 8 bits, which take no window: leave out window, or set "
            "pixel_format to one of 10 to 16 bits"
        )
    if bits > 8 and window is None:
        raise WrongFrameError(
            f"{pixel_format} has values from 0 to {highest} and a model takes 8 bits: set window "
            "with low and high, the values that become 0 and 255, or pixel_format to one of 8 bits"
        )
    if window is not None and window.high > highest:
        raise WrongFrameError(
            f"the window {window} leaves the values of {pixel_format}, 0 to {highest}: lower "
            "window.high"
        )


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
