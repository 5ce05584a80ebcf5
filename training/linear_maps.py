"""Resizing, pooling and blurring along one axis as constant matrices, float64.

A separable linear operation on a map is `A_h @ x @ A_w.T`. Products of these matrices are exact
folds of two operations into one. Operations per channel commute with 1x1 convolutions.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Border = Literal["reflect", "symmetric"]


class Separable(nn.Module):
    """A separable linear operation on maps as a layer, float32: `rows @ x @ columns.T`.

    The matrices are constants and not part of the state.
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
    """Makes a bilinear interpolation of maps from `source` to `size`, without antialiasing."""
    rows, columns = (
        bilinear(length, cells, align_corners=align_corners)
        for length, cells in zip(size, source, strict=True)
    )
    return Separable(rows, columns)


def blurring(size: tuple[int, int], sigma: float, radius: int, border: Border) -> Separable:
    """Makes a Gaussian blur of both axes of maps."""
    return Separable(*(gaussian(length, sigma, radius, border) for length in size))


def smoothing(
    size: tuple[int, int], grid: tuple[int, int], sigma: float, radius: int, border: Border
) -> Separable:
    """Makes a bilinear interpolation of maps from `grid` to `size` with a blur behind it."""
    rows, columns = (
        gaussian(length, sigma, radius, border) @ bilinear(length, cells, align_corners=False)
        for length, cells in zip(size, grid, strict=True)
    )
    return Separable(rows, columns)


def bilinear(size: int, source: int, *, align_corners: bool) -> Tensor:
    """Returns torch's linear interpolation (size, source) from `source` to `size` samples."""
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
    """Returns the mean of three neighbours (size, size), with zeros outside."""
    return (shift(size, -1) + shift(size, 0) + shift(size, 1)) / 3


def window_mean(size: int, window: int) -> Tensor:
    """Returns the means over all windows that lie inside (size - window + 1, size), stride 1."""
    starts = torch.arange(size - window + 1)[:, None]
    inside = (torch.arange(size) >= starts) & (torch.arange(size) < starts + window)
    return inside.double() / window


def shift(size: int, by: int) -> Tensor:
    """Returns T (size, size) with (T x)[i] = x[i + by], and zero outside."""
    return torch.diag(torch.ones(size - abs(by), dtype=torch.float64), by)


def gaussian(size: int, sigma: float, radius: int, border: Border) -> Tensor:
    """Returns a Gaussian blur (size, size) with 2 * radius + 1 normalised taps.

    Args:
        border: "reflect" does not repeat the sample at the border (torch, OpenCV's default);
            "symmetric" repeats it (scipy's "reflect").
    """
    offsets = torch.arange(-radius, radius + 1)
    taps = torch.exp(-(offsets.double() ** 2) / (2 * sigma**2))
    sources = _mirrored(torch.arange(size)[:, None] + offsets, size, border)
    matrix = torch.zeros(size, size, dtype=torch.float64)
    return matrix.scatter_add_(1, sources, (taps / taps.sum()).expand(size, -1))


def apply(rows: Tensor, maps: Tensor, columns: Tensor) -> Tensor:
    """Computes `rows @ maps @ columns.T` over the last two axes of `maps` (..., h, w)."""
    return rows @ maps @ columns.transpose(-1, -2)


def _mirrored(index: Tensor, size: int, border: Border) -> Tensor:
    """Reflects indices at the borders until all of them are below `size`."""
    if size == 1:
        return torch.zeros_like(index)
    repeats = 1 if border == "symmetric" else 0
    period = 2 * (size - 1 + repeats)
    index = index % period
    return torch.where(index < size, index, period - repeats - index)
