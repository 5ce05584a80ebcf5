"""Decodes image files to frames without any silent conversion.

Data sets, recordings and single images all pass through this file.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from inspection.errors import CameraError, FrameError
from inspection.names import printable

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


def list_images(folder: Path) -> list[Path]:
    """Lists the image files directly in `folder`, in name order, without hidden files.

    Raises:
        CameraError: the folder is missing or holds no image.
    """
    if not folder.is_dir():
        what = "is a file: give the folder that it is in" if folder.exists() else "no such folder"
        raise CameraError(f"{printable(folder)}: {what}")
    images = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )
    if not images:
        raise CameraError(
            f"{printable(folder)}: holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}); "
            "Linewarden does not search its subfolders"
        )
    return images


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """Decodes an image file to uint8: (H, W) for a grey image, (H, W, 3) BGR for a colour image.

    Returns the pixels as stored, without applying an EXIF orientation.

    Raises:
        FrameError: the file cannot be read, is truncated, or is neither 8-bit grey nor 8-bit BGR.
            The function does not convert other images (16 bit, alpha channel).
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FrameError(f"{printable(path)}: cannot be read ({error.strerror})") from error
    return decode_image(content, printable(path))


def decode_image(content: bytes, name: str) -> npt.NDArray[np.uint8]:
    """Decodes the bytes of an image file like `read_image`; errors begin with `name`."""
    if not content:
        raise FrameError(f"{name}: the file is empty")
    if _is_truncated(content):
        raise FrameError(f"{name}: the image is truncated; copy or capture it again")
    image = _decode(content)
    if image is None:
        raise FrameError(f"{name}: not an image that OpenCV can decode, or damaged")
    return _refuse_unusual(image, name)


def encode_png(image: npt.NDArray[np.uint8]) -> bytes:
    """Encodes a uint8 image, (H, W) grey or (H, W, 3) BGR, as PNG."""
    # Level 1 is four times faster than the default.
    encoded, content = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not encoded:
        raise FrameError(f"OpenCV cannot encode an image of shape {image.shape} as PNG")
    return content.tobytes()


def encode_jpeg(image: npt.NDArray[np.uint8], quality: int = 90) -> bytes:
    """Encodes a uint8 image as JPEG, for viewing only: never train a model with the result."""
    encoded, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not encoded:
        raise FrameError(f"OpenCV cannot encode an image of shape {image.shape} as JPEG")
    return content.tobytes()


def _decode(content: bytes) -> npt.NDArray[np.generic] | None:
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None


def _refuse_unusual(image: npt.NDArray[np.generic], name: str) -> npt.NDArray[np.uint8]:
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


def _is_truncated(content: bytes) -> bool:
    # OpenCV 4 returns the upper part of a truncated JPEG or PNG as if the image were complete.
    if content.startswith(_JPEG_START):
        return _JPEG_END not in content[-4096:]
    if content.startswith(_PNG_START):
        return _PNG_END not in content[-4096:]
    return False
