"""Overlapping tiles of an image: where they are, and one map from theirs, without seams."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

Size = tuple[int, int]  # height, width, px
_SIDE, _MULTIPLE = 256, 32  # px: about the side of a tile; of its multiples


class Tiling(NamedTuple):
    """Tiles of one size that cover an image.

    Attributes:
        whole: size of the image.
        tile: size of a tile.
        corners: (row, column) of each tile in the image.
    """

    whole: Size
    tile: Size
    corners: tuple[tuple[int, int], ...]

    @classmethod
    def over(cls, whole: Size, overlap: int) -> Tiling:
        """Places tiles of about 256 x 256 px that overlap by `overlap` px or more."""
        (tall, rows), (wide, columns) = (_placed(side, overlap) for side in whole)
        return cls(whole, (tall, wide), tuple((row, column) for row in rows for column in columns))

    def cut(self, images: Tensor) -> Tensor:
        """(N, H, W, 3) -> (N * tiles, h, w, 3)."""
        height, width = self.tile
        cuts = [images[:, y : y + height, x : x + width] for y, x in self.corners]
        return torch.stack(cuts, 1).flatten(0, 1)

    def join(self, maps: Tensor) -> Tensor:
        """(N * tiles, h, w) -> (N, H, W): where tiles overlap, each fades towards its edge."""
        height, width = self.tile
        tiles = maps.unflatten(0, (-1, len(self.corners)))
        window = _faded(height)[:, None] * _faded(width)
        total, weight = torch.zeros(len(tiles), *self.whole), torch.zeros(self.whole)
        for number, (y, x) in enumerate(self.corners):
            place = (..., slice(y, y + height), slice(x, x + width))
            total[place] += window * tiles[:, number]
            weight[place] += window
        return total / weight


def _placed(side: int, overlap: int) -> tuple[int, list[int]]:
    """Returns the side of the tiles along one axis, and where each starts."""
    count = max(1, round((side - overlap) / (_SIDE - overlap)))
    tile = _MULTIPLE * math.ceil((side + (count - 1) * overlap) / count / _MULTIPLE)
    if count == 1:
        return side, [0]
    return tile, [round(n * (side - tile) / (count - 1)) for n in range(count)]


def _faded(side: int) -> Tensor:
    """Rises from an edge to the middle, and falls."""
    return 1 - (2 * (torch.arange(side) + 0.5) / side - 1).abs()
