"""DifferNet and its spatial variant folded for inference; rotations as constant tables."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.linear_maps import Separable, bilinear, mean3, resizing, smoothing
from training.models.base import Features
from training.models.flow import Flow, Subnet
from training.models.folding import conv1x1, matrix

if TYPE_CHECKING:
    from training.models import differnet, differnet_spatial

BLUR_SIGMA, BLUR_RADIUS = 4.0, 16  # of the spatial variant's map at input size
_QUARTERS = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))  # cosine, sine


class Deployed(nn.Module):
    """DifferNet as one graph of ordinary operators.

    All copies go through the network as one batch. Copies turned by quarters lose no pixel, and
    then the maps are turned back, averaged and only then resized: bilinear resizing commutes with
    quarter turns and with the mean. Turning is a lookup with constant indices (ONNX Gather). The
    permutations of the flow stay lookups too: each mixes the halves of the coupling before, so
    that folding them into the next layer would double that layer.
    """

    def __init__(self, model: differnet.Model) -> None:
        super().__init__()
        self.backbone = model.backbone.deploy()
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
        y = torch.cat([f.mean((2, 3)) for f in features], dim=1)  # (N T, D)
        z, gradient = self.flow.gradient(y)
        scores = z.square().mean(1).reshape(-1, count).mean(1)
        weights = (gradient * (2 / self.flow.channels)).split(self.widths, dim=1)
        means = self.mean.split(self.widths)
        heats = [
            heat(feature - mean[:, None, None], weight)
            for heat, feature, mean, weight in zip(self.heat, features, means, weights, strict=True)
        ]
        maps = torch.stack(heats).sum(0)
        return scores, maps if self.turn_back is None else self.turn_back(maps)


class DeployedSpatial(nn.Module):
    """The spatial variant: resizing and pooling are one matrix per axis, as resizing and blur."""

    def __init__(self, model: differnet_spatial.Model) -> None:
        super().__init__()
        config = model.config
        self.backbone = model.backbone.deploy()
        self.scales = config.scales
        self.flow = _convolutional(model.flow)
        self.by_maximum = config.score == "max"
        self.to_grid = nn.ModuleList(
            _onto_grid(model.grid, source, pooled=config.context) for source in model.grids
        )
        self.smooth = smoothing(model.size, model.grid, BLUR_SIGMA, BLUR_RADIUS, "symmetric")

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (N, H, W, 3) BGR -> scores (N,), maps (N, H, W)."""
        features = pyramid(self.backbone, images.float(), self.scales)  # TensorRT slices no uint8
        y = [to_grid(f) for to_grid, f in zip(self.to_grid, features, strict=True)]
        z, _ = self.flow(torch.cat(y, dim=1))  # (N, D, h, w)
        energy = z.square().mean(1)
        maps = self.smooth(energy)
        return maps.amax((1, 2)) if self.by_maximum else energy.mean((1, 2)), maps


class Turn(nn.Module):
    """Copies of images turned by i * 360 / count degrees, counter-clockwise, nearest pixel.

    What comes from outside the image is black. Quarter turns of square images are exact.

    Args:
        size: (height, width), also of the copies.
    """

    def __init__(self, size: tuple[int, int], count: int) -> None:
        super().__init__()
        self.size, self.count = size, count
        tables = torch.stack([_turned(size, i, count) for i in range(count)])  # (T, H W)
        self.is_lossless = bool((tables < size[0] * size[1]).all())
        self.register_buffer("table", tables.flatten().int(), persistent=False)

    table: Tensor

    def forward(self, images: Tensor) -> Tensor:
        """(N, H, W, 3) -> (N, T, H, W, 3)."""
        if self.count == 1:
            return images[:, None]
        copies = _outside_zero(images.flatten(1, 2)).index_select(1, self.table)
        return copies.reshape(-1, self.count, *self.size, 3)

    def copy(self, images: Tensor, number: int) -> Tensor:
        """One copy: (N, H, W, 3) -> (N, H, W, 3)."""
        table = self.table.chunk(self.count)[number]
        turned = _outside_zero(images.flatten(1, 2)).index_select(1, table)
        return turned.reshape(-1, *self.size, 3)


class TurnBack(nn.Module):
    """Maps of turned copies turned back, and averaged over the copies that show a pixel."""

    def __init__(self, size: tuple[int, int], count: int) -> None:
        super().__init__()
        self.size, self.count = size, count
        pixels = size[0] * size[1]
        tables = torch.stack([_turned(size, -i % count, count) for i in range(count)])
        shown = tables < pixels
        self.register_buffer("shares", 1 / shown.sum(0).float(), persistent=False)
        of_copy = tables + pixels * torch.arange(count)[:, None]
        table = torch.where(shown, of_copy, pixels * count).flatten()
        self.register_buffer("table", table.int(), persistent=False)

    shares: Tensor
    table: Tensor

    def forward(self, maps: Tensor) -> Tensor:
        """(N T, h, w) -> (N, h, w)."""
        if self.count == 1:
            return maps
        flat = maps.reshape(-1, self.count * self.size[0] * self.size[1], 1)
        back = _outside_zero(flat).index_select(1, self.table).reshape(-1, self.count, *self.size)
        return back.sum(1) * self.shares.reshape(self.size)


class _Heat(nn.Module):
    """How much each cell of one layer adds to the score, at input size."""

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


def _onto_grid(
    grid: tuple[int, int], source: tuple[int, int], *, pooled: bool
) -> Separable | nn.Identity:
    """Resizing of one layer, and the three-tap mean of its context."""
    if grid == source and not pooled:
        return nn.Identity()
    rows, columns = (
        bilinear(size, cells, align_corners=False) for size, cells in zip(grid, source, strict=True)
    )
    if pooled:
        rows, columns = mean3(grid[0]) @ rows, mean3(grid[1]) @ columns
    return Separable(rows, columns)


def pyramid(backbone: nn.Module, images: Tensor, scales: int) -> Features:
    """Maps of all layers at the input size, a half, a quarter of it ...

    Images (N, H, W, 3) lose every second row and column, as nearest interpolation does.
    """
    steps = [2**scale for scale in range(scales)]
    return tuple(f for step in steps for f in backbone(images[:, ::step, ::step]))


def _convolutional(flow: Flow) -> Flow:
    """The same flow of maps with its layers stored as 1x1 convolutions, which engines expect."""
    flow = copy.deepcopy(flow)
    for subnet in (module for module in flow.modules() if isinstance(module, Subnet)):
        for number, layer in enumerate(subnet.pointwise()):
            weight, bias = matrix(layer)
            conv = conv1x1(weight)
            conv.bias = nn.Parameter(bias.float())
            subnet.layers[number] = conv
    return flow


def _outside_zero(flat: Tensor) -> Tensor:
    """(N, M, C) -> (N, M + 1, C) with zeros at index M, for what lies outside the image."""
    return F.pad(flat, (0, 0, 0, 1))


def _turned(size: tuple[int, int], number: int, count: int) -> Tensor:
    """Where the pixels (H W,) of an image turned by number / count of a circle come from."""
    height, width = size
    cosine, sine = _direction(number, count)
    row, column = torch.meshgrid(
        torch.arange(height, dtype=torch.float64) - (height - 1) / 2,
        torch.arange(width, dtype=torch.float64) - (width - 1) / 2,
        indexing="ij",
    )
    from_row = (sine * column + cosine * row + (height - 1) / 2).round()
    from_column = (cosine * column - sine * row + (width - 1) / 2).round()
    inside = (from_row >= 0) & (from_row < height) & (from_column >= 0) & (from_column < width)
    index = from_row * width + from_column
    return torch.where(inside, index, height * width).long().flatten()


def _direction(number: int, count: int) -> tuple[float, float]:
    """Cosine and sine, exact for quarter turns."""
    if 4 * number % count == 0:
        return _QUARTERS[4 * number // count % 4]
    angle = 2 * math.pi * number / count
    return math.cos(angle), math.sin(angle)
