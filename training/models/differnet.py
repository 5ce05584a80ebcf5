"""DifferNet: Rudolph, Wandt, Rosenhahn, WACV 2021.

Features of a frozen backbone at three scales, averaged over the image, and a normalising flow that
learns their distribution over good parts. The score is the distance of turned copies of an image
from the middle of that distribution.

DifferNet judges a whole image and does not localise. The anomaly map here explains the score: to
first order it shows the places whose features raised the score. `differnet_spatial` learns its
maps.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from inspection.errors import ConfigError
from training.backbones import Backbone, BackboneConfig, open_backbone
from training.data.samples import Targets
from training.models.base import (
    AnomalyModel,
    DataFacts,
    FeatureBatches,
    Features,
    Losses,
    ModelConfig,
    Optimisation,
    Prediction,
    blank_image,
)
from training.models.flow import Flow, FlowConfig

_QUARTERS = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))  # cosine, sine


class Config(FlowConfig, ModelConfig):
    """Settings of DifferNet.

    Attributes:
        backbone: the paper's is "alexnet.tv_in1k", which has its last layer only and ignores
            `layers`. Of other backbones take one deep layer, such as 3 of a ResNet.
        scales: number of sizes of the image, each half of the one before.
        training_rotations: copies of each image with extracted features, turned by equal parts of
            a circle. The paper draws any angle for each copy; 64 come near it. 1 switches
            rotation off, for parts whose orientation matters.
        drawn_rotations: copies of an image in a step, drawn anew each time.
        inference_rotations: copies with averaged scores, turned by angles that the flow has
            learnt: it takes any other angle for a defect. The paper has 64 of 64. Powers of two up
            to 4 turn square images exactly, without black corners. None takes the most of these
            that were learnt for square images, else 1. Time is in proportion.
    """

    name: Literal["differnet"] = "differnet"
    backbone: BackboneConfig = BackboneConfig(layers=(3,))
    scales: Annotated[int, Field(ge=1, le=5)] = 3
    training_rotations: Annotated[int, Field(ge=1, le=360)] = 8
    drawn_rotations: Annotated[int, Field(ge=1)] = 4
    inference_rotations: Annotated[int, Field(ge=1, le=360)] | None = None

    @model_validator(mode="after")
    def _infer_what_was_learnt(self) -> Config:
        learnt, made = self.training_rotations, self.inference_rotations or 1
        if learnt % made:
            raise ValueError(
                f"inference_rotations {made} turns by angles that training_rotations {learnt} has "
                "not learnt, which the flow takes for defects: set inference_rotations to a "
                f"divisor of {learnt}, or training_rotations to a multiple of {made}"
            )
        return self


class Turn(nn.Module):
    """Copies of images turned by i * 360 / count degrees, counter-clockwise, nearest pixel.

    Pixels from outside the image are black. Quarter turns of square images are exact.

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
    """Turns maps of turned copies back, and averages over the copies that show a pixel."""

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


class Model(AnomalyModel):
    """DifferNet for images of one size."""

    config: Config

    # The flow's gradient jumps where a ReLU switches: on noise that no part looks like, rounding
    # alone moves the map by 5e-4 of its largest value (and the score by 2e-6).
    map_tolerance = 1e-2

    def __init__(self, config: Config, size: tuple[int, int], *, load_weights: bool = True) -> None:
        super().__init__(config, size)
        self.backbone = open_backbone(config.backbone, load_weights=load_weights)
        shapes = layer_shapes(self.backbone, size, config.scales)
        self.widths = [channels for channels, _, _ in shapes]
        self.grids = [(height, width) for _, height, width in shapes]
        self.flow = Flow(sum(self.widths), config)
        self.register_buffer("mean", torch.zeros(self.flow.channels))
        self.turn_for_training = Turn(size, config.training_rotations)
        self.turn = Turn(size, self._inference_rotations())
        self.turn_back = TurnBack(size, self.turn.count)

    mean: Tensor

    @torch.no_grad()
    def extract(self, images: Tensor) -> Features:
        """Extracts vectors y (N, R, D) of copies turned by i * 360 / R degrees, for training."""
        turn = self.turn_for_training
        copies = (turn.copy(images, number) for number in range(turn.count))
        return (torch.stack([pooled(self._pyramid(copy)) for copy in copies], dim=1),)

    def loss(self, features: Features, targets: Targets) -> Losses:  # noqa: ARG002
        """Computes the negative log-likelihood per dimension of some copies of each image."""
        (copies,) = features  # (N, R, D)
        drawn = torch.rand(copies.shape[:2]).argsort(1)[:, : self.config.drawn_rotations]
        images = torch.arange(len(copies))[:, None]
        y = copies[images, drawn.to(copies.device)].flatten(0, 1)  # (N * 4, D)
        return {"negative_log_likelihood": self.flow.negative_log_likelihood(y)}

    def prepare(self, facts: DataFacts, batches: FeatureBatches) -> None:  # noqa: ARG002
        """Fits the flow to the scale of the features."""
        self.flow.prepare(copies.flatten(0, 1) for (copies,) in batches())

    def finish(self, batches: FeatureBatches) -> None:
        """Keeps the mean of the good vectors, over the copies that inference makes too."""
        step = self.config.training_rotations // self.turn.count
        vectors = torch.cat([copies[:, ::step].flatten(0, 1) for (copies,) in batches()])
        self.mean.copy_(vectors.double().mean(0))

    def forward(self, images: Tensor) -> Prediction:
        """uint8 (N, H, W, 3) BGR images -> scores (N,), maps (N, H, W)."""
        copies = self.turn(images).flatten(0, 1)  # (N T, H, W, 3)
        return self.predict(self._pyramid(copies))

    def predict(self, features: Features) -> Prediction:
        """Computes scores and maps of the feature maps (N T, C, h, w) of all T copies."""
        z, gradient = self.flow.gradient(pooled(features))  # (N T, D)
        scores = z.square().mean(1).reshape(-1, self.turn.count).mean(1)
        heat = torch.stack(
            [
                self._explain(feature, weight, mean)
                for feature, weight, mean in zip(
                    features,
                    gradient.split(self.widths, dim=1),
                    self.mean.split(self.widths),
                    strict=True,
                )
            ]
        ).sum(0)
        return Prediction(scores, self.turn_back(heat))

    def optimisation(self, epochs: int) -> Optimisation:  # noqa: ARG002
        """Makes Adam for the flow, with a constant learning rate."""
        return self.flow.optimisation()

    def _pyramid(self, images: Tensor) -> Features:
        return pyramid(self.backbone, images, self.config.scales)

    def _explain(self, feature: Tensor, weight: Tensor, mean: Tensor) -> Tensor:
        """Computes the share of each cell in the score, to first order, without negative shares.

        Args:
            feature: (N T, C, h, w), with y its mean over the cells.
            weight: gradient of 1/2 sum z^2 with respect to y, (N T, C).
            mean: of good parts, (C,).

        Returns:
            (N T, H, W); with the negative shares their mean would be the score's change.
        """
        deviation = feature - mean[:, None, None]
        share = (weight[:, :, None, None] * deviation).sum(1, keepdim=True)
        cells = F.relu(share) * (2 / self.flow.channels)
        return F.interpolate(cells, self.size, mode="bilinear", align_corners=False)[:, 0]

    def _inference_rotations(self) -> int:
        if self.config.inference_rotations is not None:
            return self.config.inference_rotations
        height, width = self.size
        return math.gcd(self.config.training_rotations, 4) if height == width else 1


def layer_shapes(
    backbone: Backbone, size: tuple[int, int], scales: int
) -> list[tuple[int, int, int]]:
    """Returns (channels, height, width) of each map of `pyramid`.

    Raises:
        ConfigError: the images are too small.
    """
    try:
        features = pyramid(backbone, blank_image(size), scales)
    except RuntimeError as error:
        smallest = tuple(-(-length // 2 ** (scales - 1)) for length in size)
        raise ConfigError(
            f"the backbone cannot take the smallest of {scales} scales, {smallest} px: choose a "
            f"larger data.image_size or fewer model.scales ({error})"
        ) from error
    return [(f.shape[1], f.shape[2], f.shape[3]) for f in features]


def pooled(features: Features) -> Tensor:
    """Returns the means of maps (N, C_k, h_k, w_k) over their cells, joined: (N, D)."""
    return torch.cat([f.mean((2, 3)) for f in features], dim=1)


def pyramid(backbone: nn.Module, images: Tensor, scales: int) -> Features:
    """Extracts maps of all layers at the input size, a half of it, a quarter of it and so on.

    Images (N, H, W, 3) lose every second row and column, as in nearest interpolation.
    """
    steps = [2**scale for scale in range(scales)]
    return tuple(f for step in steps for f in backbone(images[:, ::step, ::step]))


def _outside_zero(flat: Tensor) -> Tensor:
    """(N, M, C) -> (N, M + 1, C) with zeros at index M, for pixels outside the image."""
    return F.pad(flat, (0, 0, 0, 1))


def _turned(size: tuple[int, int], number: int, count: int) -> Tensor:
    """Returns the source of each pixel (H W,) of an image turned by number / count of a circle."""
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
    """Returns cosine and sine, exact for quarter turns."""
    if 4 * number % count == 0:
        return _QUARTERS[4 * number // count % 4]
    angle = 2 * math.pi * number / count
    return math.cos(angle), math.sin(angle)
