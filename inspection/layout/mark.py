"""Finds a mark in an image pyramid: normalised cross-correlation (Lewis 1995), with rotation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from inspection.layout.zones import Affine

Picture = npt.NDArray[np.float32]  # (H, W) grey levels

_MARGIN = 4  # px around the mark, for the refinement
_BACKWARDS = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 1e-4)
_NO_SMOOTHING = 1  # px


class Pyramid:
    """A grey frame, uint8 (H, W), at 1 / 2**level of its size, computed only where needed.

    A pixel of a level averages all pixels of the frame under it. The border of the frame that does
    not fill a pixel is left out.
    """

    def __init__(self, grey: npt.NDArray[np.uint8]) -> None:
        self._grey = grey

    def size(self, level: int) -> tuple[int, int]:
        """Returns height and width of a level."""
        return self._grey.shape[0] >> level, self._grey.shape[1] >> level

    def around(
        self, level: int, centre: tuple[float, float], height: float, width: float
    ) -> tuple[int, int, Picture]:
        """Returns left, top and pixels of a box of a level, cut at the border of the frame.

        Args:
            centre: (x, y) of the box, in pixels of the level, as are `height` and `width`.
        """
        bottom, right = self.size(level)
        top = min(max(0, math.floor(centre[1] - height / 2)), bottom)
        left = min(max(0, math.floor(centre[0] - width / 2)), right)
        bottom = max(top, min(bottom, math.ceil(centre[1] + height / 2)))
        right = max(left, min(right, math.ceil(centre[0] + width / 2)))
        side = 1 << level
        shown = self._grey[top * side : bottom * side, left * side : right * side]
        if level and shown.size:
            size = (right - left, bottom - top)
            shown = np.asarray(cv2.resize(shown, size, interpolation=cv2.INTER_AREA), np.uint8)
        return left, top, np.asarray(shown, dtype=np.float32)


@dataclass(frozen=True)
class Match:
    """A found mark: its centre in the picture, and its correlation `score`, -1 to 1."""

    x: float
    y: float
    angle_deg: float
    score: float

    def shifted(self, right: float, down: float) -> Match:
        """Returns the same match in the coordinates of another origin."""
        return replace(self, x=self.x + right, y=self.y + down)


class Mark:
    """The mark at one level of the pyramid.

    Args:
        picture: float32 (height, width).
        turns: True compares the inscribed disc instead of the whole rectangle.
    """

    def __init__(self, picture: Picture, *, turns: bool) -> None:
        self.height, self.width = picture.shape
        self._picture = picture
        radius = min(self.height, self.width) / 2
        y = np.arange(self.height)[:, np.newaxis] + 0.5 - self.height / 2
        x = np.arange(self.width)[np.newaxis] + 0.5 - self.width / 2
        disc = x**2 + y**2 <= radius**2
        self._weights = (disc if turns else np.ones_like(disc)).astype(np.float32)
        self._turns = turns
        self._pixels = float(self._weights.sum())
        self.turn_of_a_pixel_deg = math.degrees(1 / radius)

    @property
    def contrast(self) -> float:
        """Returns the standard deviation over the compared pixels, in grey levels."""
        return float(self._picture[self._weights > 0].std())

    def correlate(self, picture: Picture, angles_deg: Sequence[float]) -> list[Picture]:
        """Returns the correlation, -1 to 1, at each place of the upper left corner, per angle."""
        # Centring keeps precision: the energies below are differences of large float32 numbers.
        centred = picture - picture.mean()
        sums = cv2.matchTemplate(centred, self._weights, cv2.TM_CCORR)
        squares = cv2.matchTemplate(centred**2, self._weights, cv2.TM_CCORR)
        energy = np.maximum(squares - sums**2 / self._pixels, 0)
        is_flat = energy < self._pixels  # less than a grey level of deviation
        scores = []
        for angle in angles_deg:
            turned = self._turned(angle)
            product = cv2.matchTemplate(centred, turned, cv2.TM_CCORR)
            norm = np.sqrt(energy * float((turned**2).sum()))
            score = np.where(is_flat, 0.0, product / np.maximum(norm, 1e-6))
            scores.append(np.clip(score, -1.0, 1.0).astype(np.float32))
        return scores

    def _turned(self, angle_deg: float) -> Picture:
        """Returns the mark turned clockwise, without its mean, and zero at pixels not compared."""
        picture = self._picture
        if angle_deg:
            centre = ((self.width - 1) / 2, (self.height - 1) / 2)
            turn = cv2.getRotationMatrix2D(centre, -angle_deg, 1.0)
            picture = np.asarray(
                cv2.warpAffine(
                    picture, turn, (self.width, self.height), borderMode=cv2.BORDER_REPLICATE
                )
            )
        mean = float((picture * self._weights).sum()) / self._pixels
        return np.asarray((picture - mean) * self._weights, dtype=np.float32)

    def best_in(self, picture: Picture, angles_deg: Sequence[float]) -> Match:
        """Returns the best match in a picture that is at least as large as the mark."""
        scores = np.stack(self.correlate(picture, angles_deg))
        turn, row, column = np.unravel_index(int(scores.argmax()), scores.shape)
        return Match(
            float(column) + self.width / 2,
            float(row) + self.height / 2,
            angles_deg[int(turn)],
            float(scores[turn, row, column]),
        )

    def refined(self, picture: Picture, match: Match) -> Match | None:
        """Refines a match to fractions of a pixel and of a degree, over the whole rectangle.

        ECC (Evangelidis and Psarakis 2008) climbs the same correlation, from less than a pixel
        away. Returns None when ECC does not converge.
        """
        # OpenCV counts from the centre of the first pixel; here the pixel's corner is (0, 0).
        middle = np.array([self.width / 2 - 0.5, self.height / 2 - 0.5])
        upright = rigid(match.angle_deg, middle + _MARGIN, (match.x - 0.5, match.y - 0.5))
        size = (self.width + 2 * _MARGIN, self.height + 2 * _MARGIN)
        patch = cv2.warpAffine(
            picture, upright, size, flags=_BACKWARDS, borderMode=cv2.BORDER_REPLICATE
        )
        start = np.array([[1, 0, _MARGIN], [0, 1, _MARGIN]], dtype=np.float32)
        kind = cv2.MOTION_EUCLIDEAN if self._turns else cv2.MOTION_TRANSLATION
        everything = np.full(patch.shape, 255, dtype=np.uint8)
        try:
            score, warp = cv2.findTransformECC(
                self._picture, patch, start, kind, _STOP, everything, _NO_SMOOTHING
            )
        except cv2.error:
            return None
        x, y = upright @ [*(warp[:, :2] @ middle + warp[:, 2]), 1.0] + 0.5
        angle = match.angle_deg + math.degrees(math.atan2(warp[1, 0], warp[0, 0]))
        return Match(float(x), float(y), angle, min(1.0, score))


def rigid(clockwise_deg: float, start: npt.ArrayLike, end: npt.ArrayLike) -> Affine:
    """Returns the rotation that maps `start` (x, y) to `end` (x, y)."""
    turn = math.radians(clockwise_deg)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return np.column_stack([rotation, np.asarray(end) - rotation @ np.asarray(start)])
