"""SimpleNet's and PatchCore's patch embedding as grouped convolutions.

The definition: unfold P x P patches of each layer to vectors of P^2 C numbers, ordered (channel,
row, column); resize each to the first layer's grid; pool each vector to D bins; join the layers'
vectors and pool them to D bins again. All steps are linear and commute with the resize, so that
each layer takes one P x P convolution with constant weights on its own grid. A bin covers only
neighbouring channels, so that the convolution is a grouped one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.linear_maps import resizing


class PatchEmbedding(nn.Module):
    """Feature maps of several layers -> local features (N, D, h, w) on the first layer's grid.

    Args:
        channels: of each layer.
        grids: (height, width) of each layer.
        width: D, the length of an embedded vector.
        side: P, of a patch in cells, odd.
    """

    def __init__(
        self,
        channels: Sequence[int],
        grids: Sequence[tuple[int, int]],
        width: int,
        side: int = 3,
    ) -> None:
        super().__init__()
        self.width = width
        matrices = embedding_matrices(channels, width, side)
        self.layers = nn.ModuleList(
            LayerEmbedding(matrix, count, grid, grids[0])
            for matrix, count, grid in zip(matrices, channels, grids, strict=True)
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """(N, C_k, h_k, w_k) of each layer -> (N, D, h, w)."""
        embedded = features[0].new_zeros(len(features[0]), self.width, *features[0].shape[-2:])
        for layer, feature in zip(self.layer_embeddings(), features, strict=True):
            embedded[:, layer.first : layer.end] += layer(feature)
        return embedded

    def layer_embeddings(self) -> list[LayerEmbedding]:
        """Returns the parts of the layers, in order."""
        return [layer for layer in self.layers if isinstance(layer, LayerEmbedding)]


class LayerEmbedding(nn.Module):
    """The part of one layer in the embedding: its outputs `first` to `end` are not zero."""

    def __init__(
        self, matrix: Tensor, channels: int, grid: tuple[int, int], onto: tuple[int, int]
    ) -> None:
        super().__init__()
        used = matrix.any(dim=1).nonzero().flatten()
        self.first, self.end = int(used[0]), int(used[-1]) + 1
        self.pool = grouped_convolution(matrix[self.first : self.end], channels)
        self.is_on_grid = grid == onto
        self.up = resizing(onto, grid, align_corners=False)

    def forward(self, feature: Tensor) -> Tensor:
        """(N, C_k, h_k, w_k) -> (N, end - first, h, w)."""
        return self.to_grid(self.pool(feature))

    def to_grid(self, maps: Tensor) -> Tensor:
        """Resizes maps of the layer (N, K, h_k, w_k) to the first layer's grid (N, K, h, w)."""
        resized: Tensor = maps if self.is_on_grid else self.up(maps)
        return resized


def bins(size: int, source: int) -> Tensor:
    """Returns adaptive average pooling (O, L): bin i averages floor(iL/O) .. ceil((i+1)L/O)-1."""
    matrix = torch.zeros(size, source, dtype=torch.float64)
    for i in range(size):
        first, end = i * source // size, -(-(i + 1) * source // size)
        matrix[i, first:end] = 1 / (end - first)
    return matrix


def embedding_matrices(channels: Sequence[int], width: int, side: int = 3) -> list[Tensor]:
    """Returns each layer's matrix (D, P^2 C_k) from its unfolded patches to the embedding."""
    together = bins(width, len(channels) * width).split(width, dim=1)
    return [
        last @ bins(width, side * side * count)
        for last, count in zip(together, channels, strict=True)
    ]


def grouped_convolution(matrix: Tensor, channels: int) -> nn.Conv2d:
    """Makes a frozen convolution of a matrix (out, P^2 C), with as many groups as possible."""
    groups = _groups(matrix, channels)
    rows, inputs = len(matrix) // groups, matrix.shape[1] // groups
    blocks = [
        matrix[g * rows : (g + 1) * rows, g * inputs : (g + 1) * inputs] for g in range(groups)
    ]
    side = math.isqrt(matrix.shape[1] // channels)
    conv = nn.Conv2d(channels, len(matrix), side, padding=side // 2, groups=groups, bias=False)
    conv.weight.data = torch.cat(blocks).reshape(conv.weight.shape).float()
    return conv.requires_grad_(False)


def _groups(matrix: Tensor, channels: int) -> int:
    """Returns the largest number of equal diagonal blocks that hold all nonzero elements."""
    rows, columns = matrix.shape
    common = math.gcd(rows, channels)
    for groups in (n for n in range(common, 0, -1) if common % n == 0):
        blocks = matrix.reshape(groups, rows // groups, groups, columns // groups)
        off_diagonal = blocks.abs().sum((1, 3)) * (1 - torch.eye(groups, dtype=matrix.dtype))
        if not off_diagonal.any():
            return groups
    return 1
