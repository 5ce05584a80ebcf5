"""DifferNet folded for inference."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.fold.backbone import DeployedBackbone
from training.linear_maps import resizing
from training.models.differnet import Model, TurnBack, pooled, pyramid


class Deployed(nn.Module):
    """DifferNet as one graph of ordinary operators.

    All copies go through the network as one batch. Quarter turns lose no pixel; the graph then
    turns the maps back and averages them before it resizes them, because bilinear resizing commutes
    with quarter turns and with the mean. Turning is a lookup with constant indices (ONNX Gather).
    The permutations of the flow stay lookups too: each mixes the halves of the coupling before it,
    and folded into the next layer it would double that layer.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.backbone = DeployedBackbone(model.backbone)
        self.scales = model.config.scales
        self.flow = model.flow
        self.turn = model.turn
        self.widths = model.widths
        self.register_buffer("mean", model.mean)
        on_grid = model.turn.is_lossless
        count = model.turn.count
        self.heat = nn.ModuleList(_Heat(grid, model.size, count, on_grid) for grid in model.grids)
        self.turn_back = None if on_grid else TurnBack(model.size, count)

    mean: Tensor

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (N, H, W, 3) BGR -> scores (N,), maps (N, H, W)."""
        count = self.turn.count
        copies = self.turn(images.float()).flatten(0, 1)  # (N T, H, W, 3)
        features = pyramid(self.backbone, copies, self.scales)
        z, gradient = self.flow.gradient(pooled(features))  # (N T, D)
        scores = z.square().mean(1).reshape(-1, count).mean(1)
        weights = (gradient * (2 / self.flow.channels)).split(self.widths, dim=1)
        means = self.mean.split(self.widths)
        heats = [
            heat(feature - mean[:, None, None], weight)
            for heat, feature, mean, weight in zip(self.heat, features, means, weights, strict=True)
        ]
        maps = torch.stack(heats).sum(0)
        return scores, maps if self.turn_back is None else self.turn_back(maps)


class _Heat(nn.Module):
    """The share of each cell of one layer in the score, at input size."""

    def __init__(
        self, grid: tuple[int, int], size: tuple[int, int], count: int, on_grid: bool
    ) -> None:
        super().__init__()
        self.grid = grid
        self.turn_back = TurnBack(grid, count) if on_grid else None
        self.resize = resizing(size, grid, align_corners=False)

    def forward(self, deviation: Tensor, weight: Tensor) -> Tensor:
        """Deviations from the mean (N T, C, h, w), weights (N T, C) -> (N or N T, H, W)."""
        heat = F.relu(weight[:, None] @ deviation.flatten(2))  # (N T, 1, h w)
        cells = heat.reshape(-1, *self.grid)
        if self.turn_back is not None:
            cells = self.turn_back(cells)
        resized: Tensor = self.resize(cells)
        return resized
