"""SuperSimpleNet folded for inference: the same function at a third of the cost."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.fold.affine import batch_norm, conv1x1, matrix
from export.fold.backbone import DeployedBackbone
from training.linear_maps import Separable, shift, smoothing
from training.models.base import Features
from training.models.supersimplenet import BLUR_RADIUS, BLUR_SIGMA, KERNEL, Model, classify

_SHIFTS = range(-(KERNEL // 2), KERNEL // 2 + 1)


class Deployed(nn.Module):
    """SuperSimpleNet in eval mode as one graph with every exact fold.

    With U the bilinear upsampling and S the three-tap mean along one axis, A = S U takes a layer to
    the grid and commutes with 1x1 convolutions. The adaptor and the first segmentation layer, which
    is merged with its batch norm, therefore run on each layer's own coarse grid. The 5x5
    convolution of the classification head becomes a 1x1 convolution to one channel per tap, and the
    upsampling matrices take in the shifts of the taps. Rows of A at the border do not sum to one
    (zero padding): biases stay behind it.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.backbone = DeployedBackbone(model.backbone)
        self.scores_by_map = model.config.scores_by_map
        self.segmentation = _FoldedSegmentation(model)
        if not self.scores_by_map:
            self.classification = _FoldedClassification(model)
        self.smooth = smoothing(model.size, model.grid, BLUR_SIGMA, BLUR_RADIUS, "reflect")

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (N, H, W, 3) BGR -> scores (N,), maps (N, H, W)."""
        features = self.backbone(images)
        logits = self.segmentation(features)  # (N, 1, h, w)
        maps = self.smooth(logits).flatten(0, 1)
        if self.scores_by_map:
            return maps.amax((1, 2)), maps
        return self.classification(features, logits), maps


class _FoldedSegmentation(nn.Module):
    def __init__(self, model: Model) -> None:
        super().__init__()
        weight, bias = matrix(model.adaptor)
        hidden, hidden_bias = matrix(model.segmentation.hidden)
        scale, offset = batch_norm(model.segmentation.norm)
        merged = scale[:, None] * hidden @ weight  # (hidden, C)
        merged_bias = scale * (hidden @ bias + hidden_bias) + offset
        parts = merged.split(model.backbone.channels, dim=1)
        self.layers = nn.ModuleList(conv1x1(part) for part in parts)
        self.register_buffer("bias", merged_bias.float()[:, None, None])
        self.tail = conv1x1(matrix(model.segmentation.tail)[0])
        self.to_grid = model.to_grid

    bias: Tensor

    def forward(self, features: Features) -> Tensor:
        layers = [
            to_grid(conv(feature))
            for conv, to_grid, feature in zip(self.layers, self.to_grid, features, strict=True)
        ]
        # The bias last: `export.resampling` merges operators of layers that are added directly.
        hidden = sum(layers[1:], layers[0]) + self.bias
        out: Tensor = self.tail(F.leaky_relu(hidden, 0.2))
        return out


class _FoldedClassification(nn.Module):
    def __init__(self, model: Model) -> None:
        super().__init__()
        head = model.classification
        scale, offset = batch_norm(head.norm)
        kernel = scale[:, None, None, None] * head.conv.weight.detach().double()
        assert head.conv.bias is not None  # noqa: S101 - nn.Conv2d's default
        constant = (scale * head.conv.bias.detach().double() + offset)[:, None, None]
        on_features, on_map = kernel[:, :-1], kernel[:, -1:]
        if model.config.version == "icpr":
            weight, bias = matrix(model.adaptor)
            ones = torch.ones(1, len(bias), *model.grid, dtype=torch.float64) * bias[:, None, None]
            constant = constant + F.conv2d(ones, on_features, padding="same")[0]
            on_features = torch.einsum("ocyx,ci->oiyx", on_features, weight)
        parts = on_features.split(model.backbone.channels, dim=1)
        self.layers = nn.ModuleList(conv1x1(_taps(part)) for part in parts)
        self.to_grid = nn.ModuleList(_TapsToGrid(to_grid) for to_grid in model.layers_to_grid())
        self.on_map = nn.Conv2d(1, len(on_map), KERNEL, padding=KERNEL // 2, bias=False)
        self.on_map.weight.data = on_map.float()
        self.register_buffer("constant", constant.float())
        self.fc = head.fc

    constant: Tensor

    def forward(self, features: Features, logits: Tensor) -> Tensor:
        hidden = self.on_map(logits) + self.constant
        for conv, to_grid, feature in zip(self.layers, self.to_grid, features, strict=True):
            hidden = hidden + to_grid(conv(feature))
        return classify(F.relu(hidden), logits, self.fc)


class _TapsToGrid(nn.Module):
    """Sum over the taps of a kernel, each shifted and taken to the grid: B_h q B_w^T."""

    def __init__(self, to_grid: Separable) -> None:
        super().__init__()
        self.sum = Separable(_shifted(to_grid.rows.double()), _shifted(to_grid.columns.double()))

    def forward(self, taps: Tensor) -> Tensor:
        height, width = taps.shape[-2:]
        # (N, K * 25, h, w) -> (N, K, 5 h, 5 w), rows (tap y, y) and columns (tap x, x)
        split = taps.reshape(-1, taps.shape[1] // KERNEL**2, KERNEL, KERNEL, height, width)
        tiled = split.permute(0, 1, 2, 4, 3, 5)
        whole = tiled.reshape(-1, split.shape[1], KERNEL * height, KERNEL * width)
        summed: Tensor = self.sum(whole)
        return summed


def _shifted(onto: Tensor) -> Tensor:
    """(H, h) -> (H, 5 h): each shift of the kernel behind the upsampling."""
    return torch.cat([shift(len(onto), by) @ onto for by in _SHIFTS], dim=1)


def _taps(kernel: Tensor) -> Tensor:
    """(out, in, 5, 5) -> (out * 25, in), ordered (out, y, x)."""
    return kernel.permute(0, 2, 3, 1).flatten(0, 2)
