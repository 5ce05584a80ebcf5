"""The memory model folded for inference."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.fold.backbone import DeployedBackbone
from training.linear_maps import smoothing
from training.models.joined_patches import average_onto
from training.models.memory import BLUR_RADIUS, BLUR_SIGMA, Model, neighbourhoods

_GROUP = 64  # entries


class Deployed(nn.Module):
    """The memory model as one graph with every exact fold.

    Among the entries c, the nearest to a patch x has the largest x c - |c|^2 / 2: one matrix
    product with a bias for all patches and entries, which decides the time. Rows of patches make it
    twice as fast on a CPU as a 1x1 convolution, whose maximum is over distant values.

    The product only selects. As a distance, |x|^2 - 2 x c + |c|^2 would be the difference of large
    numbers, and its root 3e-4 |x| instead of 0 for a patch that is in the bank: a background that
    is the same in all images. The distance is that of x - c. Both are without the mean, so that the
    product rounds less.

    OpenVINO's ArgMax takes as long as the product, and in BF16 five times as long; its maximum
    takes next to nothing. So the graph searches the maximum of each group of entries first, and
    then the place of the largest among the groups and inside one of them. The first entry of equal
    ones remains the nearest.

    Pooling and upsampling before the product are one matrix per axis, as are upsampling and
    smoothing of the map behind it.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.backbone = DeployedBackbone(model.backbone)
        self.grid = model.grid
        self.layers = nn.ModuleList(
            nn.AvgPool2d(3, stride=1, padding=1)
            if source == self.grid
            else average_onto(source, self.grid)
            for source in model.layer_grids
        )
        centred = _in_whole_groups(model.bank.double() - model.mean)
        self.register_buffer("mean", model.mean.float()[:, None, None])
        self.register_buffer("bank", centred.float())
        self.register_buffer("columns", centred.T.float().contiguous())
        self.register_buffer("bias", -centred.square().sum(1).float() / 2)
        self.score = model.config.score
        if self.score == "reweighted":
            around = neighbourhoods(model.bank.double() - model.mean, model.config.neighbours)
            self.register_buffer("around", _in_whole_groups(around))
        self.smooth = smoothing(model.size, self.grid, BLUR_SIGMA, BLUR_RADIUS, "reflect")

    mean: Tensor
    bank: Tensor
    columns: Tensor
    bias: Tensor
    around: Tensor

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (N, H, W, 3) BGR -> scores (N,), maps (N, H, W)."""
        features = self.backbone(images)
        joined = torch.cat([to(f) for to, f in zip(self.layers, features, strict=True)], 1)
        patches = (joined - self.mean).flatten(2).transpose(1, 2)  # (N, h * w, D)
        nearest = _place_of_largest(patches @ self.columns + self.bias)  # (N, h * w)
        distances = _length(patches - F.embedding(nearest, self.bank))
        maps: Tensor = self.smooth(distances.unflatten(1, self.grid))
        if self.score == "map":
            return maps.amax((1, 2)), maps
        scores = distances.amax(1)
        if self.score == "reweighted":
            scores = scores * self._weights(patches, nearest, distances)
        return scores, maps

    def _weights(self, patches: Tensor, nearest: Tensor, distances: Tensor) -> Tensor:
        at = distances.argmax(1, keepdim=True)  # (N, 1)
        farthest = patches.gather(1, at[:, :, None].expand(-1, -1, patches.shape[2]))
        neighbours = F.embedding(nearest.gather(1, at)[:, 0], self.around)
        around = F.embedding(neighbours, self.bank)  # (N, neighbours, D)
        return 1 - _length(farthest - around).softmax(1)[:, 0]


def _in_whole_groups(rows: Tensor) -> Tensor:
    """Repeats the last row until the number of rows is a multiple of `_GROUP`."""
    missing = -len(rows) % _GROUP
    return torch.cat([rows, rows[-1:].expand(missing, -1)])


def _place_of_largest(values: Tensor) -> Tensor:
    """Returns `values.argmax(2)` of (N, P, E), for E a multiple of `_GROUP`."""
    grouped = values.unflatten(2, (-1, _GROUP))  # (N, P, E / _GROUP, _GROUP)
    group = grouped.amax(3).argmax(2, keepdim=True)  # (N, P, 1)
    inside = grouped.gather(2, group[..., None].expand(-1, -1, -1, _GROUP))  # (N, P, 1, _GROUP)
    place: Tensor = group * _GROUP + inside.argmax(3)
    return place[..., 0]


def _length(vectors: Tensor) -> Tensor:
    return vectors.square().sum(-1).sqrt()
