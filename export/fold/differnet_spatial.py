"""DifferNet's spatial variant folded for inference."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from export.fold.affine import conv1x1, matrix
from export.fold.backbone import DeployedBackbone
from training.linear_maps import Separable, bilinear, mean3, smoothing
from training.models.differnet import pyramid
from training.models.differnet_spatial import BLUR_RADIUS, BLUR_SIGMA, Model
from training.models.flow import Flow, Subnet


class Deployed(nn.Module):
    """The spatial variant; resizing with pooling is one matrix per axis, and so is it with blur."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        config = model.config
        self.backbone = DeployedBackbone(model.backbone)
        self.scales = config.scales
        self.flow = _convolutional(model.flow)
        self.by_maximum = config.score == "max"
        self.to_grid = nn.ModuleList(
            _onto_grid(model.grid, source, pooled=config.context) for source in model.grids
        )
        self.smooth = smoothing(model.size, model.grid, BLUR_SIGMA, BLUR_RADIUS, "symmetric")

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (N, H, W, 3) BGR -> scores (N,), maps (N, H, W)."""
        features = pyramid(
            self.backbone, images.float(), self.scales
        )  # TensorRT cannot slice uint8
        y = [to_grid(f) for to_grid, f in zip(self.to_grid, features, strict=True)]
        z, _ = self.flow(torch.cat(y, dim=1))  # (N, D, h, w)
        energy = z.square().mean(1)
        maps = self.smooth(energy)
        return maps.amax((1, 2)) if self.by_maximum else energy.mean((1, 2)), maps


def _onto_grid(
    grid: tuple[int, int], source: tuple[int, int], *, pooled: bool
) -> Separable | nn.Identity:
    """Resizes one layer to the grid and, with `pooled`, takes the three-tap mean of its context."""
    if grid == source and not pooled:
        return nn.Identity()
    rows, columns = (
        bilinear(size, cells, align_corners=False) for size, cells in zip(grid, source, strict=True)
    )
    if pooled:
        rows, columns = mean3(grid[0]) @ rows, mean3(grid[1]) @ columns
    return Separable(rows, columns)


def _convolutional(flow: Flow) -> Flow:
    """Copies a flow of maps with its layers as 1x1 convolutions, which engines expect."""
    flow = copy.deepcopy(flow)
    for subnet in (module for module in flow.modules() if isinstance(module, Subnet)):
        for number, layer in enumerate(subnet.pointwise()):
            weight, bias = matrix(layer)
            conv = conv1x1(weight)
            conv.bias = nn.Parameter(bias.float())
            subnet.layers[number] = conv
    return flow
