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

import cv2
import numpy as np
import numpy.typing as npt

from inspection.errors import FrameError
from inspection.images import jpeg, png, tiff, webp
from inspection.images.damage import DamageError
from inspection.names import printable

Pixels = npt.NDArray[np.generic]


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """Decodes an image file to uint8: (H, W) for a grey image, (H, W, 3) BGR for a colour image.

    Returns the pixels as stored, without applying an EXIF orientation.

    Raises:
        FrameError: the file cannot be read, is damaged or cut off, holds several images, or is
            neither 8-bit grey nor 8-bit BGR. The function does not convert other images (16 bit,
            alpha channel, CMYK).
    """
    return decode_image(read_content(path), printable(path))


def read_content(path: Path) -> bytes:
    """Reads the bytes of an image file.

    Raises:
        FrameError: the file cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise FrameError(f"{printable(path)}: cannot be read ({error.strerror})") from error


def decode_image(content: bytes, name: str) -> npt.NDArray[np.uint8]:
    """Decodes the bytes of an image file like `read_image`; errors begin with `name`."""
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


def is_lossy(content: bytes) -> bool:
    """Returns True for a format that changes pixels when it encodes them: JPEG and lossy WebP."""
    return content.startswith(jpeg.START) or webp.is_lossy(content)


def _decode(content: bytes) -> Pixels | None:
    if content.startswith(jpeg.START):
        return jpeg.decode(content)
    if content.startswith(png.START):
        png.check(content)
    elif content.startswith(tiff.STARTS):
        tiff.check(content)
    elif webp.recognises(content):
        webp.check(content)
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None


def _refuse_unusual(image: Pixels, name: str) -> npt.NDArray[np.uint8]:
    if image.dtype != np.uint8:
        raise FrameError(
            f"{name}: has {image.dtype} pixels and must have 8 bits: convert it with the scale "
            "that the line's camera will use, so that training and line get the same pixels"
        )
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.ndim == 3 and image.shape[2] != 3:
        kind = "an alpha channel" if image.shape[2] in (2, 4) else f"{image.shape[2]} channels"
        raise FrameError(f"{name}: has {kind} and must be grey or BGR: convert it first")
    return np.ascontiguousarray(image, dtype=np.uint8)
