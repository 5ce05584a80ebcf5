"""Patches of the closed forms: means of 3x3 neighbours, with all layers joined on one grid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from training.linear_maps import Separable, bilinear, mean3
from training.models.base import Features


def average_neighbours(features: Features) -> list[Tensor]:
    """Averages 3x3 neighbours of each layer, with zeros outside."""
    return [F.avg_pool2d(feature, 3, stride=1, padding=1) for feature in features]


def join(layers: Sequence[Tensor]) -> Tensor:
    """Joins layers (N, C, h, w) on the grid of the first one: (N, D, h, w)."""
    grid = layers[0].shape[-2:]
    return torch.cat(
        [F.interpolate(x, grid, mode="bilinear", align_corners=False) for x in layers], dim=1
    )


def average_onto(source: tuple[int, int], grid: tuple[int, int]) -> Separable:
    """Returns `average_neighbours` and the resizing of `join` as one matrix for each axis."""
    rows, columns = (
        bilinear(size, cells, align_corners=False) @ mean3(cells)
        for size, cells in zip(grid, source, strict=True)
    )
    return Separable(rows, columns)
