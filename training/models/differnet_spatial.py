"""DifferNet with a flow of local features, which localises defects.

This is not the published model, whose flow (Rudolph, Wandt, Rosenhahn, WACV 2021) judges one vector
per image. Here the flow judges the vector of each position, as CS-Flow (Rudolph et al., WACV 2022)
and FastFlow (Yu et al., 2021) do, with 1x1 convolutions. The map is -log-likelihood without its
constants: the mean of z^2 over the channels.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from training.backbones import BackboneConfig, open_backbone
from training.data.samples import Targets
from training.linear_maps import blurring
from training.models.base import (
    AnomalyModel,
    DataFacts,
    FeatureBatches,
    Features,
    Losses,
    ModelConfig,
    Optimisation,
    Prediction,
)
from training.models.differnet import layer_shapes, pyramid
from training.models.flow import Flow, FlowConfig

BLUR_SIGMA, BLUR_RADIUS = 4.0, 16  # of the map at input size


class Config(FlowConfig, ModelConfig):
    """Settings of the spatial variant.

    Attributes:
        backbone, scales: as of `differnet.Config`; all maps are resized to the grid of the first.
        context: averages each position with its eight neighbours before the flow.
        score: the "max" of the anomaly map, or the "mean" of z^2 over the grid and the channels.
        sampled_positions: positions of each image in a step, drawn anew each time; None takes all.
            The flow judges positions one by one, so that a sample gives the same gradient on
            average.
    """

    name: Literal["differnet_spatial"] = "differnet_spatial"
    backbone: BackboneConfig = BackboneConfig(layers=(3,))
    scales: Annotated[int, Field(ge=1, le=5)] = 3
    context: bool = False
    hidden: Annotated[int, Field(ge=1)] = 512
    score: Literal["max", "mean"] = "max"
    sampled_positions: Annotated[int, Field(ge=1)] | None = None


class Model(AnomalyModel):
    """The spatial variant for images of one size."""

    config: Config

    def __init__(self, config: Config, size: tuple[int, int], *, load_weights: bool = True) -> None:
        super().__init__(config, size)
        self.backbone = open_backbone(config.backbone, load_weights=load_weights)
        shapes = layer_shapes(self.backbone, size, config.scales)
        self.grids = [(height, width) for _, height, width in shapes]
        self.grid = self.grids[0]
        self.flow = Flow(sum(channels for channels, _, _ in shapes), config)
        self.blur = blurring(size, BLUR_SIGMA, BLUR_RADIUS, "symmetric")

    @torch.no_grad()
    def extract(self, images: Tensor) -> Features:
        """Extracts feature maps of all layers at all scales."""
        return pyramid(self.backbone, images, self.config.scales)

    def embed(self, features: Features) -> Tensor:
        """Resizes all maps to the grid of the first: y (N, D, h, w)."""
        resized = [F.interpolate(f, self.grid, mode="bilinear") for f in features]
        y = torch.cat(resized, dim=1)
        return F.avg_pool2d(y, 3, stride=1, padding=1) if self.config.context else y

    def prepare(self, facts: DataFacts, batches: FeatureBatches) -> None:  # noqa: ARG002
        """Fits the flow to the scale of the features."""
        self.flow.prepare(self.embed(features) for features in batches())

    def loss(self, features: Features, targets: Targets) -> Losses:  # noqa: ARG002
        """Computes the negative log-likelihood per dimension, averaged over positions."""
        y = self._drawn(self.embed(features))  # (N, D, h, w), or (M, D)
        return {"negative_log_likelihood": self.flow.negative_log_likelihood(y)}

    def predict(self, features: Features) -> Prediction:
        """Computes the mean of z^2 over the channels, resized and blurred, and the score of it."""
        z, _ = self.flow(self.embed(features))  # (N, D, h, w)
        energy = z.square().mean(1, keepdim=True)
        resized = F.interpolate(energy, self.size, mode="bilinear", align_corners=False)
        maps: Tensor = self.blur(resized)[:, 0]
        by_maximum = self.config.score == "max"
        return Prediction(maps.amax((1, 2)) if by_maximum else energy.mean((1, 2, 3)), maps)

    def optimisation(self, epochs: int) -> Optimisation:  # noqa: ARG002
        """Makes Adam for the flow, with a constant learning rate."""
        return self.flow.optimisation()

    def _drawn(self, y: Tensor) -> Tensor:
        wanted = self.config.sampled_positions
        if wanted is None or wanted >= self.grid[0] * self.grid[1]:
            return y
        rows = y.permute(0, 2, 3, 1).flatten(0, 2)  # (N h w, D)
        return rows[torch.randperm(len(rows))[: wanted * len(y)].to(rows.device)]
