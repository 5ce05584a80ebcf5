"""Resizing, pooling and blurring along one axis as constant matrices, float64.

A separable linear operation on a map is `A_h @ x @ A_w.T`. Products of these matrices are exact
folds: two operations become one, and everything per channel commutes with 1x1 convolutions.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Border = Literal["reflect", "symmetric"]


class Separable(nn.Module):
    """A separable linear operation on maps as a layer, float32: `rows @ x @ columns.T`.

    Constants, not weights: they are no part of the state.
    """

    def __init__(self, rows: Tensor, columns: Tensor) -> None:
        super().__init__()
        self.register_buffer("rows", rows.float(), persistent=False)
        self.register_buffer("columns", columns.float(), persistent=False)

    rows: Tensor
    columns: Tensor

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (..., h, w) -> (..., H, W)."""
        return apply(self.rows, maps, self.columns)


def resizing(size: tuple[int, int], source: tuple[int, int], *, align_corners: bool) -> Separable:
    """Bilinear interpolation of maps from `source` to `size`, without antialiasing."""
    rows, columns = (
        bilinear(length, cells, align_corners=align_corners)
        for length, cells in zip(size, source, strict=True)
    )
    return Separable(rows, columns)


def blurring(size: tuple[int, int], sigma: float, radius: int, border: Border) -> Separable:
    """`gaussian` on both axes of maps."""
    return Separable(*(gaussian(length, sigma, radius, border) for length in size))


def smoothing(
    size: tuple[int, int], grid: tuple[int, int], sigma: float, radius: int, border: Border
) -> Separable:
    """Bilinear interpolation of maps from `grid` to `size`, then `gaussian`."""
    rows, columns = (
        gaussian(length, sigma, radius, border) @ bilinear(length, cells, align_corners=False)
        for length, cells in zip(size, grid, strict=True)
    )
    return Separable(rows, columns)


def bilinear(size: int, source: int, *, align_corners: bool) -> Tensor:
    """Linear interpolation (size, source) from `source` to `size` samples, as torch does it."""
    if align_corners:
        step = (source - 1) / (size - 1) if size > 1 else 0.0
        position = torch.arange(size, dtype=torch.float64) * step
    else:
        position = (torch.arange(size, dtype=torch.float64) + 0.5) * (source / size) - 0.5
    position = position.clamp(0, source - 1)
    lower = position.floor().long().clamp(max=source - 1)
    upper = (lower + 1).clamp(max=source - 1)
    weight = position - lower
    rows = torch.arange(size)
    matrix = torch.zeros(size, source, dtype=torch.float64)
    matrix.index_put_((rows, lower), 1 - weight, accumulate=True)
    matrix.index_put_((rows, upper), weight, accumulate=True)
    return matrix


def mean3(size: int) -> Tensor:
    """Mean of three neighbours (size, size) with zeros outside, always divided by three."""
    return (shift(size, -1) + shift(size, 0) + shift(size, 1)) / 3


def window_mean(size: int, window: int) -> Tensor:
    """Means over all windows that lie inside (size - window + 1, size), stride 1."""
    starts = torch.arange(size - window + 1)[:, None]
    inside = (torch.arange(size) >= starts) & (torch.arange(size) < starts + window)
    return inside.double() / window


def shift(size: int, by: int) -> Tensor:
    """(size, size) with (T x)[i] = x[i + by] and zero outside."""
    return torch.diag(torch.ones(size - abs(by), dtype=torch.float64), by)


def gaussian(size: int, sigma: float, radius: int, border: Border) -> Tensor:
    """Gaussian blur (size, size) with 2 * radius + 1 normalised taps.

    Args:
        border: "reflect" does not repeat the border sample (torch, OpenCV's default); "symmetric"
            repeats it (scipy's "reflect").
    """
    offsets = torch.arange(-radius, radius + 1)
    taps = torch.exp(-(offsets.double() ** 2) / (2 * sigma**2))
    sources = _mirrored(torch.arange(size)[:, None] + offsets, size, border)
    matrix = torch.zeros(size, size, dtype=torch.float64)
    return matrix.scatter_add_(1, sources, (taps / taps.sum()).expand(size, -1))


def apply(rows: Tensor, maps: Tensor, columns: Tensor) -> Tensor:
    """`rows @ maps @ columns.T` over the last two axes of `maps` (..., h, w)."""
    return rows @ maps @ columns.transpose(-1, -2)


def _mirrored(index: Tensor, size: int, border: Border) -> Tensor:
    """Indices below `size`, those outside reflected at the borders as often as needed."""
    if size == 1:
        return torch.zeros_like(index)
    repeats = 1 if border == "symmetric" else 0
    period = 2 * (size - 1 + repeats)
    index = index % period
    return torch.where(index < size, index, period - repeats - index)
