"""Ground-truth masks of real defects, prepared for training."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from inspection.errors import CameraError
from inspection.files import sha256_of
from inspection.images import content_of, decode_image, is_lossy, read_content
from inspection.names import printable

_HALF = 128

Mask = npt.NDArray[np.uint8]  # (H, W) 0 or 1


@dataclass(frozen=True)
class Annotation:
    """Preparation of masks, at the image's native resolution.

    Attributes:
        dilation: side of the square that enlarges defects, px; 1 leaves them.
        distance_weight: weight at the middle of a defect, falling towards its border; None for 1
            everywhere. `distance_power` is the exponent of the fall.
    """

    dilation: int = 1
    distance_weight: float | None = None
    distance_power: float = 2.0


def read_mask(path: Path, size: tuple[int, int]) -> Mask:
    """Reads ground truth (H, W) of 0 and 1 from an image file, or from all images of a folder.

    In a lossless file every value but 0 is a defect: masks are 0 and 1, 0 and 255, a number for
    each defect, or colours. A lossy format changes zeros beside a defect to small values; there a
    defect has half the scale or more.

    Raises:
        CameraError: a file is unreadable, differs in size from its image, or is lossy without a
            pixel of half the scale.
    """
    mask = np.zeros(size, np.uint8)
    for file in _files(path):
        drawn = _read_file(file)
        if drawn.shape != size:
            raise CameraError(
                f"{file}: the mask is {drawn.shape[0]}x{drawn.shape[1]} and its image "
                f"{size[0]}x{size[1]} (height x width)"
            )
        mask |= drawn
    return mask


def is_drawn(path: Path) -> bool:
    """Returns True when a mask shows a defect; raises like `read_mask`."""
    return any(_read_file(file).any() for file in _files(path))


def mask_sha256(path: Path) -> str:
    """Returns the SHA-256 of a mask's file, or of the hashes of a folder's files."""
    if path.is_file():
        return sha256_of(path)
    return hashlib.sha256("".join(map(sha256_of, _files(path))).encode()).hexdigest()


def _files(path: Path) -> Sequence[Path]:
    return content_of(path).images if path.is_dir() else [path]


def _read_file(path: Path) -> Mask:
    content = read_content(path)
    image = decode_image(content, printable(path))
    grey = image if image.ndim == 2 else image.max(axis=2)
    if not is_lossy(content):
        return (grey > 0).astype(np.uint8)
    mask = (grey >= _HALF).astype(np.uint8)
    if grey.any() and not mask.any():
        raise CameraError(
            f"{path}: a lossy mask whose highest value is {grey.max()}: save the mask as PNG, or "
            f"draw defects with {_HALF} or more, for lower values are also noise of the format"
        )
    return mask


def dilate(mask: Mask, side: int) -> Mask:
    """Enlarges the defects of a mask by a square of `side` px."""
    square = np.ones((side, side), np.uint8)
    return cv2.dilate(mask, square).astype(np.uint8)


def distance_weights(mask: Mask, weight: float, power: float) -> npt.NDArray[np.float32]:
    """Computes pixel weights (H, W): 1 outside defects, weight * (d / d_max)^power inside.

    d is the distance to the nearest pixel outside, d_max its maximum in the same 8-connected
    defect (SuperSimpleNet, JIMS 2025): the middle of a defect counts more than its drawn border.
    """
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    count, regions = cv2.connectedComponents(mask, connectivity=8)
    highest = np.ones(count, np.float64)
    np.maximum.at(highest, regions.ravel().astype(np.intp), distance.ravel())
    inside = weight * (distance / highest[regions]) ** power
    return np.where(mask > 0, inside, 1.0).astype(np.float32)


def shrink(
    mask: Mask, weights: npt.NDArray[np.float32], size: tuple[int, int]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Brings mask and pixel weights (H, W) to another size, by area as `preprocess` does images.

    A pixel is a defect when it is covered at least half as much as the most covered of its
    neighbours: by half beside a large defect, and by less where a defect is thinner than a pixel.
    Its weight is the mean over the covered part.

    Returns:
        mask of 0 and 1, and weights, 1 outside defects.
    """
    height, width = size
    smaller = (min(width, mask.shape[1]), min(height, mask.shape[0]))
    drawn = mask.astype(np.float32)
    covered, weighed = (
        cv2.resize(values, smaller, interpolation=cv2.INTER_AREA)
        for values in (drawn, drawn * weights)
    )
    inside = (covered > 0) & (2 * covered >= cv2.dilate(covered, np.ones((3, 3), np.uint8)))
    mean = np.divide(weighed, covered, out=np.ones_like(covered), where=inside)
    # INTER_AREA would interpolate along an axis that grows.
    small, small_weights = (
        cv2.resize(values, (width, height), interpolation=cv2.INTER_NEAREST).astype(np.float32)
        for values in (inside.astype(np.float32), mean)
    )
    return small, small_weights
