"""Ground-truth masks of real defects, prepared for training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from inspection.errors import CameraError
from inspection.images import read_image

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
    """Reads ground truth (H, W) of 0 and 1 from an image file; every value but 0 is a defect.

    Raises:
        CameraError: the file is unreadable, or differs in size from its image.
    """
    image = read_image(path)
    grey = image if image.ndim == 2 else image.max(axis=2)
    if grey.shape != size:
        raise CameraError(
            f"{path}: the mask is {grey.shape[0]}x{grey.shape[1]} and its image "
            f"{size[0]}x{size[1]} (height x width)"
        )
    return (grey > 0).astype(np.uint8)


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
