"""The place of the part in frames of good parts, found by their common ground."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]  # (H, W) grey or (H, W, 3) BGR
Mask = npt.NDArray[np.bool_]  # (H, W)

_SMALL_SIDE = 256  # px
# Share of the variance that Otsu's two classes explain, his measure of separability. It is 0.64 for
# a normal and 0.75 for a uniform distribution, which have one class.
_SEPARABLE = 0.8
_MOST_OF_BORDER = 0.25  # that the part may cover
_LEAST_PART = 0.05  # of the frames
_CLOSED = 9  # px of the small frame
_CRUMB = 0.05  # of the area of the largest piece


class Ground(NamedTuple):
    """The ground on which parts lie.

    Attributes:
        colour: (C,) its usual colour.
        threshold: grey levels by which the part is away from it.
    """

    colour: npt.NDArray[np.float32]
    threshold: float


def ground_of(frames: Iterable[Image]) -> Ground | None:
    """Returns the ground that good frames share; None when the part fills them.

    The ground is what most of the border shows. Otsu's threshold is over all frames together, so
    that a part without contrast in one frame does not move it.
    """
    small = [_small(frame) for frame in frames]
    border = np.concatenate([_border(frame) for frame in small])
    colour = np.median(border, axis=0)
    away = np.concatenate([_away(frame, colour).ravel() for frame in small])
    threshold, _ = cv2.threshold(away[:, None], 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    is_part = away > threshold
    share = float(is_part.mean())
    if share < _LEAST_PART or float((_away(border, colour) > threshold).mean()) > _MOST_OF_BORDER:
        return None
    apart = float(away[is_part].mean() - away[~is_part].mean())
    if share * (1 - share) * apart**2 < _SEPARABLE * float(away.var()):
        return None
    return Ground(colour, threshold)


def part_on(frame: Image, ground: Ground | None) -> Mask:
    """Returns True where the part is, its holes included; everywhere without a ground."""
    everywhere = np.ones(frame.shape[:2], np.bool_)
    if ground is None:
        return everywhere
    found = (_away(_small(frame), ground.colour) > ground.threshold).astype(np.uint8)
    # A dark spot at the part's border is no bay of it.
    square = np.ones((_CLOSED, _CLOSED), np.uint8)
    found = np.asarray(cv2.morphologyEx(found, cv2.MORPH_CLOSE, square), np.uint8)
    outlines, _ = cv2.findContours(found, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return everywhere
    areas = [cv2.contourArea(outline) for outline in outlines]
    pieces = [o for o, area in zip(outlines, areas, strict=True) if area >= _CRUMB * max(areas)]
    filled = cv2.drawContours(np.zeros_like(found), pieces, -1, color=1, thickness=cv2.FILLED)
    whole = cv2.resize(filled, frame.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return np.asarray(whole > 0)


def _small(frame: Image) -> npt.NDArray[np.float32]:
    """Shrinks a frame: (h, w, C)."""
    factor = min(1.0, _SMALL_SIDE / max(frame.shape[:2]))
    small = cv2.resize(frame, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return np.asarray(small[..., None] if small.ndim == 2 else small, np.float32)


def _border(small: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])


def _away(small: npt.NDArray[np.float32], colour: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    return np.asarray(np.abs(small - colour).max(-1), np.uint8)
