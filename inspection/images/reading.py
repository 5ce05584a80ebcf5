"""Decodes image files to frames without any silent conversion.

Data sets, recordings and single images all pass through this file. A decoder that succeeds proves
nothing: OpenCV fills the damaged part of a JPEG, PNG or TIFF and reports an image. Each format has
a file beside this one that finds the damage first:

- PNG: the checksum of every chunk.
- JPEG: the warnings of libjpeg-turbo. The format has no checksum: a changed byte can decode to
  other pixels without a warning.
- TIFF: the checksum (Deflate) or the length (LZW, PackBits) of every strip and tile.
- BMP, WebP and uncompressed TIFF: the length alone, for they hold nothing else to check.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from inspection.errors import FrameError
from inspection.images import jpeg, png, tiff, webp
from inspection.images.damage import DamageError
from inspection.images.window import MARK, Window
from inspection.names import printable

Pixels = npt.NDArray[np.integer[Any]]


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """Decodes an image file to uint8: (H, W) for a grey image, (H, W, 3) BGR for a colour image.

    Returns the pixels as stored, without applying an EXIF orientation.

    Raises:
        FrameError: the file cannot be read, is damaged or cut off, holds several images, or is
            neither 8-bit grey nor 8-bit BGR. The function does not convert other images (16 bit:
            see `read_frame`; alpha channel, CMYK).
    """
    return decode_image(read_content(path), printable(path))


def read_frame(path: Path, window: Window | None) -> npt.NDArray[np.uint8]:
    """Decodes the image file of a frame, for a model that learns or judges it.

    Args:
        window: converts a 16-bit image. None takes 8-bit images only.

    Raises:
        FrameError: as `read_image`; an image of 16 bits without a window, one of 8 bits for a
            window that did not make it, or one that a window made without being asked for.
    """
    return decode_frame(read_content(path), printable(path), window)


def read_content(path: Path) -> bytes:
    """Reads the bytes of an image file.

    Raises:
        FrameError: the file cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise FrameError(f"{printable(path)}: cannot be read ({error.strerror})") from error


def read_stored(path: Path) -> Pixels:
    """Decodes an image file like `decode_stored`."""
    return decode_stored(read_content(path), printable(path))


def decode_stored(content: bytes, name: str) -> Pixels:
    """Decodes the bytes of an image file as they are: uint8 or uint16, (H, W) or (H, W, 3) BGR.

    Raises:
        FrameError: as `read_image`, apart from 16 bits.
    """
    if not content:
        raise FrameError(f"{name}: the file is empty")
    try:
        image = _decode(content)
    except DamageError as error:
        raise FrameError(
            f"{name}: the image is damaged or cut off ({error}); copy or capture it again"
        ) from error
    except ValueError as error:
        raise FrameError(f"{name}: {error}") from error
    if image is None:
        raise FrameError(f"{name}: not an image that OpenCV can decode, or damaged")
    return _refuse_unusual(image, name)


def decode_image(content: bytes, name: str) -> npt.NDArray[np.uint8]:
    """Decodes the bytes of an image file like `read_image`; errors begin with `name`."""
    image = decode_stored(content, name)
    if image.dtype != np.uint8:
        raise FrameError(f"{name}: has {image.dtype} pixels and must have 8 bits")
    return image.view(np.uint8)


def decode_frame(content: bytes, name: str, window: Window | None) -> npt.NDArray[np.uint8]:
    """Decodes the bytes of an image file like `read_frame`; errors begin with `name`."""
    image = decode_stored(content, name)
    if image.dtype == np.uint16:
        deep = image.view(np.uint16)
        if window is None:
            raise FrameError(f"{name}: {_asks_for_window(deep)}")
        return window.apply(deep)
    if (made_by := _window_of(content, name)) != window:
        raise FrameError(f"{name}: {_why_not(made_by, window)}")
    return image.view(np.uint8)


def _asks_for_window(image: npt.NDArray[np.uint16]) -> str:
    return (
        f"has 16 bits, with values from {image.min()} to {image.max()}, and a model takes 8: say "
        "which of them become 0 and 255, by window with low and high in the configuration of the "
        "camera, data.window of a training, or --window LOW HIGH of 'linewarden teach'"
    )


def _window_of(content: bytes, name: str) -> Window | None:
    """Returns the window that made this 8-bit image; None for an image as its camera gave it."""
    text = png.text_of(content, MARK) if content.startswith(png.START) else None
    try:
        return None if text is None else Window.from_text(text)
    except ValueError as error:
        raise FrameError(f"{name}: its text {MARK} is not a window: {text!r:.50}") from error


def _why_not(made_by: Window | None, window: Window | None) -> str:
    if made_by is None:
        return (
            f"has 8 bits, and the window {window} is for 10 to 16: take the image as the camera "
            "gave it, or leave out window"
        )
    asked = "none" if window is None else str(window)
    return (
        f"was converted from a deep image by the window {made_by}, and the window here is {asked}: "
        f"set window to low {made_by.low} and high {made_by.high}"
    )


def is_lossy(content: bytes) -> bool:
    """Returns True for a format that changes pixels when it encodes them: JPEG and lossy WebP."""
    return content.startswith(jpeg.START) or webp.is_lossy(content)


def _decode(content: bytes) -> npt.NDArray[Any] | None:
    if content.startswith(jpeg.START):
        return jpeg.decode(content)
    if content.startswith(png.START):
        png.check(content)
    elif content.startswith(tiff.STARTS):
        tiff.check(content)
    elif webp.recognises(content):
        webp.check(content)
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    return None if image is None else np.asarray(image)


def _refuse_unusual(image: npt.NDArray[Any], name: str) -> Pixels:
    if image.dtype not in (np.uint8, np.uint16):
        raise FrameError(f"{name}: has {image.dtype} pixels and must have 8 or 16 bits")
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.ndim == 3 and image.shape[2] != 3:
        kind = "an alpha channel" if image.shape[2] in (2, 4) else f"{image.shape[2]} channels"
        raise FrameError(f"{name}: has {kind} and must be grey or BGR: convert it first")
    return np.ascontiguousarray(image)
