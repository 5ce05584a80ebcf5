"""Defects drawn on native frames of good parts, to compare models where no real defect is at hand.

The kinds follow CutPaste (Li et al., CVPR 2021, arXiv 2104.04015) for pieces and scratches, DRAEM
(Zavrtanik et al., ICCV 2021, arXiv 2108.07610) for textures in Perlin masks, and MemSeg (Yang et
al., 2023, arXiv 2205.00908) for their place: on the part, where it stands out from its background.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]  # (H, W) grey or (H, W, 3) BGR
Mask = npt.NDArray[np.bool_]  # (H, W)
Field = npt.NDArray[np.float32]
Random = np.random.Generator
Pixel = TypeVar("Pixel", bound=np.generic)


class Contrast(NamedTuple):
    """A strength of defects.

    Attributes:
        of_local: grey levels by which a defect differs from its surroundings, as multiple of their
            own standard deviation.
        least: the same in grey levels, for smooth surroundings.
        share: of a piece that replaces what was there.
    """

    of_local: float
    least: float
    share: float


CONTRASTS = {
    "faint": Contrast(1.0, 8.0, 0.3),
    "clear": Contrast(2.0, 20.0, 0.6),
    "obvious": Contrast(4.0, 50.0, 1.0),
}
# Shares of the part's side. All scales are as frequent.
_SIDES = (0.05, 0.40)
_LENGTHS = (0.15, 0.80)  # of a scratch
_THICKNESSES = (0.004, 0.02)  # of a scratch
_VISIBLE = 4.0  # grey levels
_FEWEST_VISIBLE = 4  # px
_ATTEMPTS = 8
_HALF = 0.5
_SAMPLED = 97  # every n-th pixel is enough for a median


class DrawnDefect(NamedTuple):
    """A frame with a defect on it.

    Attributes:
        mask: True where the frame visibly differs from the good one.
        contrast: grey levels by which it differs there, on average.
    """

    frame: Image
    mask: Mask
    contrast: float


class _Place(NamedTuple):
    """A square of `side` px whose top left corner is at (`top`, `left`)."""

    top: int
    left: int
    side: int

    def of(self, array: npt.NDArray[Pixel]) -> npt.NDArray[Pixel]:
        return array[self.top : self.top + self.side, self.left : self.left + self.side]


class _Canvas(NamedTuple):
    """A good frame, the place of the part in it, and the defect that is wanted."""

    frame: Image
    part: Mask
    random: Random
    contrast: Contrast
    smallest_px: float

    def side(self, shares: tuple[float, float]) -> int:
        """Draws a side, px, as a share of the part's."""
        drawn = self.length(shares)
        height, width = self.part.shape
        return max(4, int(min(drawn, height, width)))

    def length(self, shares: tuple[float, float]) -> float:
        """Draws a length, px, as a share of the part's side, but no smaller than what matters."""
        share = math.exp(self.random.uniform(math.log(shares[0]), math.log(shares[1])))
        drawn = share * math.sqrt(self.part.sum())
        return max(1.0, drawn, self.smallest_px)

    def place(self, side: int) -> _Place:
        """Draws a square around a pixel of the part, inside the frame."""
        rows, columns = np.nonzero(self.part)
        chosen = int(self.random.integers(len(rows)))
        top, left = (
            int(min(max(0, middle - side // 2), length - side))
            for middle, length in zip((rows[chosen], columns[chosen]), self.part.shape, strict=True)
        )
        return _Place(top, left, side)

    def levels(self, place: _Place) -> float:
        """Returns the grey levels by which a defect differs from its surroundings."""
        around = place.of(self.frame).reshape(place.side * place.side, -1)[
            place.of(self.part).ravel()
        ]
        return max(self.contrast.least, self.contrast.of_local * float(around.std(0).mean()))

    def blend(self, place: _Place, piece: npt.NDArray[np.number], weight: Field) -> Field:
        """Returns the change of the levels towards `piece`, in full at the highest contrast."""
        weight = weight[..., None] if self.frame.ndim == 3 else weight
        away = piece.astype(np.float32) - place.of(self.frame).astype(np.float32)
        return np.asarray(away * weight * np.float32(self.contrast.share))

    def sign(self) -> int:
        """Draws 1 or -1: bright or dark."""
        return 1 if self.random.random() < _HALF else -1


def draw_defect(
    kind: str,
    frame: Image,
    part: Mask,
    random: Random,
    contrast: str,
    *,
    smallest_px: float = 0.0,
) -> DrawnDefect:
    """Draws one defect on a copy of a good frame.

    Sizes follow the part, and contrasts its surface: neither knows the model's input.

    Args:
        kind: one of `KINDS`.
        part: True on the part, as `training.part_mask.part_on` returns it; it is not empty.
        contrast: one of `CONTRASTS`.
        smallest_px: native px that no side or thickness is below: the smallest defect that matters.
    """
    canvas = _Canvas(frame, part, random, CONTRASTS[contrast], smallest_px)
    for _ in range(_ATTEMPTS):  # a piece may look like the place that it is pasted to
        place, change = KINDS[kind](canvas)
        drawn = frame.copy()
        region = place.of(frame).astype(np.float32)
        change = change[..., None] if change.ndim < region.ndim else change
        # Light and dirt change the part; only a missing piece may show what is behind it.
        change = np.where(
            place.of(part).reshape(place.side, place.side, *[1] * (region.ndim - 2)), change, 0
        )
        place.of(drawn)[...] = np.clip(np.rint(region + change), 0, 255)
        apart = np.abs(place.of(drawn).astype(np.float32) - region)
        apart = apart if apart.ndim == 2 else apart.max(2)
        visible = apart >= _VISIBLE
        if visible.sum() >= _FEWEST_VISIBLE:
            break
    mask = np.zeros(frame.shape[:2], np.bool_)
    place.of(mask)[...] = visible
    return DrawnDefect(drawn, mask, float(apart[visible].mean()) if visible.any() else 0.0)


def perlin(random: Random, side: int, cells: int) -> Field:
    """Draws gradient noise (side, side), about [-1, 1], on a lattice of `cells` x `cells`."""
    angle = random.uniform(0, 2 * math.pi, (cells + 1, cells + 1))
    at = np.arange(side) * (cells / side)
    index = at.astype(np.intp)
    offset = at - index

    def corner(below: int, right: int) -> npt.NDArray[np.float64]:
        chosen = angle[np.ix_(index + below, index + right)]
        down, across = (offset - below)[:, None], (offset - right)[None, :]
        return np.asarray(np.sin(chosen) * down + np.cos(chosen) * across)

    fade = offset**3 * (offset * (6 * offset - 15) + 10)
    left = corner(0, 0) * (1 - fade[:, None]) + corner(1, 0) * fade[:, None]
    right = corner(0, 1) * (1 - fade[:, None]) + corner(1, 1) * fade[:, None]
    return np.asarray(math.sqrt(2) * (left * (1 - fade) + right * fade), np.float32)


def _pasted(canvas: _Canvas) -> tuple[_Place, Field]:
    """Pastes a piece from elsewhere on the part, turned."""
    place = canvas.place(canvas.side(_SIDES))
    source = canvas.place(place.side)
    piece = np.rot90(source.of(canvas.frame), int(canvas.random.integers(4)))
    return place, canvas.blend(place, piece, _ellipse(place.side))


def _scratch(canvas: _Canvas) -> tuple[_Place, Field]:
    """Draws a thin curved line, bright or dark."""
    place = canvas.place(canvas.side(_LENGTHS))
    line = _line(canvas.random, place.side, canvas.length(_THICKNESSES))
    return place, line * np.float32(canvas.sign() * canvas.levels(place))


def _texture(canvas: _Canvas) -> tuple[_Place, Field]:
    """Roughens the surface within a Perlin mask."""
    place = canvas.place(canvas.side(_SIDES))
    grain = perlin(canvas.random, place.side, max(2, place.side // 4))
    return place, _ragged(canvas.random, place.side) * grain * np.float32(2 * canvas.levels(place))


def _stain(canvas: _Canvas) -> tuple[_Place, Field]:
    """Darkens or brightens a ragged spot with a soft border, in a tint of its own."""
    place = canvas.place(canvas.side(_SIDES))
    film = cv2.GaussianBlur(_ragged(canvas.random, place.side), (0, 0), max(0.5, place.side / 24))
    shade = np.asarray(film, np.float32) * np.float32(canvas.sign() * canvas.levels(place))
    if canvas.frame.ndim == 2:
        return place, shade
    tint = canvas.random.uniform(0.5, 1.0, 3)
    return place, shade[..., None] * (tint / tint.max()).astype(np.float32)


def _missing(canvas: _Canvas) -> tuple[_Place, Field]:
    """Takes a piece of the part away: its background shows, or else the median of the frame."""
    place = canvas.place(canvas.side(_SIDES))
    frame, part = canvas.frame, canvas.part
    behind = frame.reshape(-1, *frame.shape[2:]) if part.all() else frame[~part]
    piece = np.broadcast_to(np.median(behind[::_SAMPLED], axis=0), place.of(frame).shape)
    return place, canvas.blend(place, piece, _ragged(canvas.random, place.side))


KINDS: dict[str, Callable[[_Canvas], tuple[_Place, Field]]] = {
    "missing piece": _missing,
    "pasted piece": _pasted,
    "scratch": _scratch,
    "stain": _stain,
    "texture": _texture,
}


def _ellipse(side: int) -> Field:
    """Makes weights (side, side) with a soft border."""
    away = np.abs((np.arange(side) + 0.5) * (2 / side) - 1)
    radius = np.hypot(away[:, None], away[None, :])
    return np.asarray(np.clip((1 - radius) * side / 4, 0, 1), np.float32)


def _ragged(random: Random, side: int) -> Field:
    """Draws weights (side, side) of a spot with a ragged border, at least its middle."""
    noise = perlin(random, side, int(random.integers(2, 5)))
    away = np.abs((np.arange(side) + 0.5) * (2 / side) - 1)
    radius = np.hypot(away[:, None], away[None, :]) + 0.6 * noise
    return np.asarray(np.clip((0.8 - radius) * side / 4, 0, 1), np.float32)


def _line(random: Random, side: int, thickness: float) -> Field:
    """Draws a line (side, side) of 0..1 across a square; a thin one is antialiased."""
    scale = 4
    heading = random.uniform(0, 2 * math.pi)
    steps = np.linspace(-0.48, 0.48, 12)
    bends = heading + np.cumsum(random.normal(0, 0.12, 12))
    middle = np.stack([np.cos(heading) * steps, np.sin(heading) * steps], 1)
    middle += 0.04 * np.stack([-np.sin(bends), np.cos(bends)], 1)
    points = np.rint((middle + 0.5) * side * scale).astype(np.int32)
    large = np.zeros((side * scale, side * scale), np.uint8)
    cv2.polylines(large, [points], isClosed=False, color=255, thickness=round(thickness * scale))
    small = cv2.resize(large, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(small / 255, np.float32)
