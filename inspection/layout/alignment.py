"""Locates a part: finds a fixture mark of the reference frame again in each frame.

The search goes through an image pyramid: the whole search area at the coarsest level, then a few
pixels around each candidate at every finer level, and fractions of a pixel at the end.
`inspection.layout.mark` compares the pictures. The search does not resample the frame for the
model: zones and crop move with the part; see `inspection.layout`.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from inspection.config.strict import StrictModel
from inspection.digits import comparable
from inspection.errors import ConfigError, FrameError, PartNotFoundError
from inspection.images import decode_image, encode_png
from inspection.layout.mark import Mark, Match, Picture, Pyramid, rigid
from inspection.layout.zones import Affine
from inspection.preprocess import Crop

_Grey = npt.NDArray[np.uint8]

SMALLEST_MARK_PX = 16
_COARSEST_SIDE, _FINEST_SIDE = 16, 192  # px, shorter side of the mark at those levels
_LEAST_CONTRAST = 4.0  # grey levels, standard deviation
_CANDIDATES = 4
_REACH = 4  # px, on each side of the match at the coarser level


class AlignmentSettings(StrictModel):
    """Limits of the search for the mark.

    Attributes:
        search_px: largest shift of the mark's centre, right, left, up and down; None searches the
            whole frame.
        rotation_deg: largest rotation, in either direction.
        minimum_score: lowest correlation of a found mark, at most 1. Light and contrast do not
            change the correlation.
        minimum_lead: smallest lead of its correlation over the next best place.
    """

    search_px: Annotated[int, Field(ge=1)] | None = None
    rotation_deg: Annotated[float, Field(ge=0, le=180)] = 0.0
    minimum_score: Annotated[float, Field(gt=0, lt=1)] = 0.7
    minimum_lead: Annotated[float, Field(ge=0, lt=1)] = 0.1


class Alignment(AlignmentSettings):
    """The mark to search for, in a calibration.

    Attributes:
        mark: rectangle of the mark in the reference frame.
        mark_png: picture of the mark, a grey PNG in base64.
    """

    mark: Crop
    mark_png: str


@dataclass(frozen=True)
class Pose:
    """Position and angle of a part in a frame, relative to the reference frame.

    Attributes:
        right_px: shift of the mark's centre to the right.
        down_px: shift of the mark's centre downwards.
        clockwise_deg: rotation as seen in the picture.
        score: correlation of the mark, -1 to 1.
        to_frame: maps the reference frame to the frame, in native pixels.
    """

    right_px: float
    down_px: float
    clockwise_deg: float
    score: float
    to_frame: Affine


def alignment_to(
    reference: npt.NDArray[np.uint8], mark: Crop, settings: AlignmentSettings
) -> Alignment:
    """Returns the alignment to a mark of the reference frame.

    Raises:
        ConfigError: the mark is outside the frame, too small, flat, or not unique.
    """
    height, width = reference.shape[:2]
    place = f"the mark {mark.width}x{mark.height} at ({mark.left}, {mark.top})"
    if mark.left + mark.width > width or mark.top + mark.height > height:
        raise ConfigError(f"{place} is not inside the reference frame of {width}x{height}")
    if min(mark.width, mark.height) < SMALLEST_MARK_PX:
        raise ConfigError(f"{place} is too small: take {SMALLEST_MARK_PX} px or more on each side")
    picture = np.ascontiguousarray(mark.of(_grey(reference)))
    png = base64.b64encode(encode_png(picture)).decode("ascii")
    alignment = Alignment(mark=mark, mark_png=png, **settings.model_dump())
    finder = MarkFinder(alignment)
    if finder.contrast < _LEAST_CONTRAST:
        raise ConfigError(
            f"{place} is flat (standard deviation {finder.contrast:.1f} grey levels): choose a "
            "place with edges in several directions, such as a hole or a printed mark"
        )
    try:
        finder.find(reference)
    except PartNotFoundError as error:
        raise ConfigError(f"{place} is not found again in its own frame: {error}") from error
    return alignment


class MarkFinder:
    """Searches frames for the mark of an alignment.

    Raises:
        ConfigError: the stored mark is damaged.
    """

    def __init__(self, alignment: Alignment) -> None:
        self._settings = alignment
        mark = alignment.mark
        try:
            content = base64.b64decode(alignment.mark_png, validate=True)
            picture = decode_image(content, "the mark of the alignment")
        except (ValueError, FrameError) as error:
            raise ConfigError(f"the mark of the alignment is damaged: {error}") from error
        shorter = min(mark.width, mark.height)
        coarsest = max(0, int(math.log2(shorter / _COARSEST_SIDE)))
        finest = min(coarsest, max(0, math.ceil(math.log2(shorter / _FINEST_SIDE))))
        self._levels = range(coarsest, finest - 1, -1)
        # A level covers only whole pixels of the mark, so its centre at the finest level is theirs.
        side = 1 << self._levels[-1]
        self._centre = (
            mark.left + mark.width // side * side / 2,
            mark.top + mark.height // side * side / 2,
        )
        turns = alignment.rotation_deg > 0
        whole = Pyramid(picture)
        self._marks = {
            level: Mark(
                whole.around(level, (0, 0), 2 * mark.height, 2 * mark.width)[2], turns=turns
            )
            for level in self._levels
        }

    @property
    def contrast(self) -> float:
        """Returns the standard deviation of the mark at the coarsest level, in grey levels."""
        return self._marks[self._levels[0]].contrast

    def find(self, frame: npt.NDArray[np.uint8]) -> Pose:
        """Finds the pose of the part in a frame, uint8 (H, W) or (H, W, 3) BGR.

        Raises:
            PartNotFoundError: no place looks enough like the mark, or two places do.
        """
        pyramid = Pyramid(_grey(frame))
        found = self._candidates(pyramid)
        for level in self._levels[1:]:
            found = [self._closer(match, pyramid, level) for match in found]
        scale = 2.0 ** self._levels[-1]
        self._require_distinct(found, scale)
        best = max(found, key=lambda match: match.score)
        return self._pose(self._exact(best, pyramid), scale)

    def _candidates(self, pyramid: Pyramid) -> list[Match]:
        """Returns the best places at the coarsest level, at least half a mark apart."""
        level = self._levels[0]
        mark, angles = self._marks[level], self._angles(level)
        left, top, area = self._search_area(pyramid, level)
        if area.shape[0] < mark.height or area.shape[1] < mark.width:
            raise PartNotFoundError("the mark is larger than the search area")
        scores = np.stack(mark.correlate(area, angles))
        found = []
        for _ in range(_CANDIDATES):
            turn, row, column = (int(n) for n in np.unravel_index(scores.argmax(), scores.shape))
            score = float(scores[turn, row, column])
            if score <= -1:
                break
            x, y = left + column + mark.width / 2, top + row + mark.height / 2
            found.append(Match(x, y, angles[turn], score))
            rows = slice(max(0, row - mark.height // 2), row + mark.height // 2 + 1)
            columns = slice(max(0, column - mark.width // 2), column + mark.width // 2 + 1)
            scores[:, rows, columns] = -2.0
        return found

    def _search_area(self, pyramid: Pyramid, level: int) -> tuple[int, int, Picture]:
        """Returns left, top and pixels of the search area at a level."""
        reach_px = self._settings.search_px
        if reach_px is None:
            height, width = pyramid.size(level)
            return pyramid.around(level, (width / 2, height / 2), height, width)
        mark, scale = self._marks[level], 2.0**level
        centre = (self._centre[0] / scale, self._centre[1] / scale)
        reach = 2 * reach_px / scale
        return pyramid.around(level, centre, mark.height + reach, mark.width + reach)

    def _angles(self, level: int) -> list[float]:
        """Returns the rotations to try at a level, in steps that move the rim by about a pixel."""
        most = self._settings.rotation_deg
        count = math.ceil(most / self._marks[level].turn_of_a_pixel_deg) if most else 0
        return [most * number / count for number in range(-count, count + 1)] if count else [0.0]

    def _closer(self, match: Match, pyramid: Pyramid, level: int) -> Match:
        """Returns the best match near a match of the next coarser level."""
        mark = self._marks[level]
        step = mark.turn_of_a_pixel_deg if self._settings.rotation_deg else 0.0
        angles = [match.angle_deg + turn * step for turn in (-1, 0, 1)] if step else [0.0]
        centre = (2 * match.x, 2 * match.y)
        # The border that the coarser level left out can put a match beyond the frame.
        left, top, near = pyramid.around(
            level, centre, mark.height + 2 * _REACH, mark.width + 2 * _REACH
        )
        if near.shape[0] < mark.height or near.shape[1] < mark.width:
            return Match(*centre, match.angle_deg, -1.0)
        return mark.best_in(near, angles).shifted(left, top)

    def _exact(self, match: Match, pyramid: Pyramid) -> Match:
        """Refines a match to fractions of a pixel and of a degree."""
        level = self._levels[-1]
        mark = self._marks[level]
        side = 1.5 * math.hypot(mark.height, mark.width)
        left, top, near = pyramid.around(level, (match.x, match.y), side, side)
        exact = mark.refined(near, match.shifted(-left, -top))
        if exact is None:
            raise PartNotFoundError(
                "the part was not found: the match of its mark does not hold at the finest "
                "resolution"
            )
        return exact.shifted(left, top)

    def _require_distinct(self, found: list[Match], scale: float) -> None:
        settings = self._settings
        best, *others = sorted(found, key=lambda match: match.score, reverse=True)
        at = f"at ({best.x * scale:.0f}, {best.y * scale:.0f})"
        if best.score < settings.minimum_score:
            reached, needed = comparable(best.score, settings.minimum_score, digits=2)
            raise PartNotFoundError(
                f"the part was not found: the best match of its mark, {at}, scores {reached} and "
                f"{needed} is needed"
            )
        mark = self._marks[self._levels[-1]]
        elsewhere = [
            other
            for other in others
            if abs(other.x - best.x) > mark.width / 2 or abs(other.y - best.y) > mark.height / 2
        ]
        if elsewhere and best.score - elsewhere[0].score < settings.minimum_lead:
            other = elsewhere[0]
            lead, needed = comparable(best.score - other.score, settings.minimum_lead, digits=2)
            raise PartNotFoundError(
                f"the part was not found: two places look like its mark, {at} with score "
                f"{best.score:.2f} and at ({other.x * scale:.0f}, {other.y * scale:.0f}) with "
                f"{other.score:.2f}; the lead is {lead} and {needed} is needed"
            )

    def _pose(self, match: Match, scale: float) -> Pose:
        x, y = match.x * scale, match.y * scale
        to_frame = rigid(match.angle_deg, self._centre, (x, y))
        right, down = x - self._centre[0], y - self._centre[1]
        return Pose(right, down, match.angle_deg, match.score, to_frame)


def _grey(frame: npt.NDArray[np.uint8]) -> _Grey:
    if frame.ndim == 2:
        return frame
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
