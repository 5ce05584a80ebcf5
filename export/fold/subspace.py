"""The subspace model folded for inference."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.fold.affine import conv1x1
from export.fold.backbone import DeployedBackbone
from training.linear_maps import smoothing
from training.models.joined_patches import average_onto
from training.models.subspace import BLUR_RADIUS, BLUR_SIGMA, Model

Grid = tuple[int, int]


class Deployed(nn.Module):
    """The subspace model as one graph with every exact fold.

    Only the rows of P that are not zero are computed. P x is linear, as are pooling and upsampling
    before it: each layer's columns of P are a 1x1 convolution on the layer's own grid, and pooling
    and upsampling behind it are one matrix per axis. The mean becomes a bias at the end, because
    the pooling reads zeros at the border. Upsampling and smoothing of the map are one matrix per
    axis.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.backbone = DeployedBackbone(model.backbone)
        statistics = zip(model.statistics(), model.projections(), model.grids, strict=True)
        layers = list(zip(model.backbone.channels, model.layer_grids, strict=True))
        judged = [layers] if model.config.layers_joined else [[layer] for layer in layers]
        self.distances = nn.ModuleList(
            _Distance(projection, gaussian.mean, of, grid)
            for of, (gaussian, projection, grid) in zip(judged, statistics, strict=True)
        )
        self.counts = [len(of) for of in judged]
        self.smooth = nn.ModuleList(
            smoothing(model.size, grid, BLUR_SIGMA, BLUR_RADIUS, "reflect") for grid in model.grids
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (N, H, W, 3) BGR -> scores (N,), maps (N, H, W)."""
        features = list(self.backbone(images))
        maps = []
        for distance, smooth, count in zip(self.distances, self.smooth, self.counts, strict=True):
            maps.append(smooth(distance(features[:count])))
            del features[:count]
        whole = torch.stack(maps).sum(0) if len(maps) > 1 else maps[0]
        return whole.amax((1, 2)), whole


class _Distance(nn.Module):
    """|| P (x - mean) ||^2 at each position of `grid`, for x the joined patches of some layers."""

    def __init__(
        self, projection: Tensor, mean: Tensor, layers: list[tuple[int, Grid]], grid: Grid
    ) -> None:
        super().__init__()
        rows = projection[projection.any(dim=1)]
        parts = rows.split([channels for channels, _ in layers], dim=1)
        self.parts = nn.ModuleList(
            _on_grid(part)
            if source == grid
            else nn.Sequential(conv1x1(part), average_onto(source, grid))
            for part, (_, source) in zip(parts, layers, strict=True)
        )
        self.register_buffer("bias", -(rows @ mean).float()[:, None, None])

    bias: Tensor

    def forward(self, features: list[Tensor]) -> Tensor:
        away = self.bias
        for part, feature in zip(self.parts, features, strict=True):
            away = away + part(feature)
        return away.square().sum(1)


def _on_grid(part: Tensor) -> nn.Module:
    """Pools on the side of the convolution that has fewer channels."""
    pool, project = nn.AvgPool2d(3, stride=1, padding=1), conv1x1(part)
    outputs, inputs = part.shape
    return nn.Sequential(project, pool) if outputs < inputs else nn.Sequential(pool, project)
