"""SimpleNet: Liu, Zhou, Xu, Wang, CVPR 2023.

A frozen backbone, patch features, a linear adaptor, and a discriminator that learns to tell adapted
features from the same ones with Gaussian noise. The higher a patch scores, the more normal it is.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional as F

from training.backbones import Backbone, BackboneConfig
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
    blank_image,
    xavier,
)
from training.models.patch_embedding import PatchEmbedding
from training.synthesis import noise_for

BLUR_SIGMA, BLUR_RADIUS = 4.0, 16  # of the map at input size
_MARGIN = 0.5
_CHANCE = 0.9


class Config(ModelConfig):
    """Settings of SimpleNet.

    Attributes:
        patch_size: side of the neighbourhood that a patch vector pools, in cells, odd.
        width: length of a patch vector.
        projection_layers: linear layers of the adaptor. Nothing is between them, as in the authors'
            code, so that more of them learn differently and cost nothing on the line.
        hidden: width of the discriminator.
        noise_std: standard deviation of the noise. 0.015 suits wide_resnet50_2.tv_in1k; "auto"
            takes half of that of a channel of the patch vectors over the good images.
        sampled_patches: patches of each image in a step, drawn anew each time; None takes all, as
            in the paper. The discriminator judges patches one by one, so that a sample gives the
            same gradient on average.
    """

    name: Literal["simplenet"] = "simplenet"
    backbone: BackboneConfig = BackboneConfig(name="wide_resnet50_2.tv_in1k")
    patch_size: Annotated[int, Field(ge=1, le=9)] = 3
    width: Annotated[int, Field(ge=1)] = 1536
    projection_layers: Annotated[int, Field(ge=1, le=8)] = 1
    hidden: Annotated[int, Field(ge=1)] = 1024
    noise_std: Annotated[float, Field(gt=0)] | Literal["auto"] = 0.015
    sampled_patches: Annotated[int, Field(ge=1)] | None = None
    learning_rate_adaptor: Annotated[float, Field(gt=0)] = 1e-4
    learning_rate_discriminator: Annotated[float, Field(gt=0)] = 2e-4

    @field_validator("patch_size")
    @classmethod
    def _has_a_middle(cls, side: int) -> int:
        if side % 2 == 0:
            raise ValueError(f"{side} must be odd, with the cell in the middle")
        return side


class Discriminator(nn.Module):
    """Linear, batch norm, LeakyReLU, linear: the normality of an adapted patch."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.tail = nn.Linear(hidden, 1, bias=False)

    def forward(self, patches: Tensor) -> Tensor:
        """(M, D) -> (M,)."""
        out: Tensor = self.tail(F.leaky_relu(self.norm(self.hidden(patches)), 0.2))
        return out[:, 0]


class Model(AnomalyModel):
    """SimpleNet for images of one size."""

    config: Config

    def __init__(self, config: Config, size: tuple[int, int], *, load_weights: bool = True) -> None:
        super().__init__(config, size)
        self.noise_std = 0.0 if config.noise_std == "auto" else config.noise_std
        self.backbone = Backbone(config.backbone, load_weights=load_weights)
        grids = [(f.shape[-2], f.shape[-1]) for f in self.extract(blank_image(size))]
        self.grid = grids[0]
        self.embed = PatchEmbedding(self.backbone.channels, grids, config.width, config.patch_size)
        self.adaptor = nn.Sequential(
            *(nn.Linear(config.width, config.width) for _ in range(config.projection_layers))
        )
        self.discriminator = Discriminator(config.width, config.hidden)
        for head in (self.adaptor, self.discriminator):
            head.apply(xavier)
        self.blur = blurring(size, BLUR_SIGMA, BLUR_RADIUS, "symmetric")

    def prepare(self, facts: DataFacts, batches: FeatureBatches) -> None:  # noqa: ARG002
        """Fits the noise to the scale of the features."""
        if self.config.noise_std == "auto":
            self.noise_std = noise_for(self.embed(features) for features in batches())

    def extract(self, images: Tensor) -> Features:
        """Extracts feature maps of the backbone's layers."""
        return self.backbone(images)  # type: ignore[no-any-return]

    def loss(self, features: Features, targets: Targets) -> Losses:  # noqa: ARG002
        """Computes the hinge loss of adapted patches against the same ones with noise."""
        patches = self._drawn(self.embed(features))  # (M, D)
        adapted = self.adaptor(patches)
        noised = adapted + self.noise_std * torch.randn_like(adapted)
        # One call, so that the batch norm sees both kinds together.
        good, bad = self.discriminator(torch.cat([adapted, noised])).chunk(2)
        return {
            "hinge_good": F.relu(_MARGIN - good).mean(),
            "hinge_noised": F.relu(_MARGIN + bad).mean(),
        }

    def predict(self, features: Features) -> Prediction:
        """Computes the highest patch score before smoothing, and the blurred map at input size."""
        embedded = self.embed(features)
        scores = -self.discriminator(self.adaptor(_rows(embedded)))
        grid = scores.reshape(-1, *self.grid)  # (N, h, w)
        resized = F.interpolate(grid[:, None], self.size, mode="bilinear", align_corners=False)
        return Prediction(grid.amax((1, 2)), self.blur(resized)[:, 0])

    def optimisation(self, epochs: int) -> Optimisation:  # noqa: ARG002
        """Makes AdamW for the adaptor, Adam for the discriminator, with constant rates."""
        config = self.config
        adaptor = torch.optim.AdamW(self.adaptor.parameters(), config.learning_rate_adaptor)
        discriminator = torch.optim.Adam(
            self.discriminator.parameters(), config.learning_rate_discriminator, weight_decay=1e-5
        )
        return Optimisation([adaptor, discriminator], [])

    def doubts(self, losses: dict[str, float]) -> list[str]:
        """Doubts hinge terms that stay at 1 together: noised patches look like the others."""
        total = losses["hinge_good"] + losses["hinge_noised"]
        if total < _CHANCE:
            return []
        doubt = (
            "the discriminator has not learnt to tell noised features from good ones (hinge loss "
            f"{total:.2f}, chance is 1): train longer, or with a larger model.noise_std"
        )
        return [doubt]

    def _drawn(self, embedded: Tensor) -> Tensor:
        rows = _rows(embedded)
        wanted = self.config.sampled_patches
        if wanted is None or wanted >= self.grid[0] * self.grid[1]:
            return rows
        return rows[torch.randperm(len(rows))[: wanted * len(embedded)].to(rows.device)]


def _rows(maps: Tensor) -> Tensor:
    """(N, D, h, w) -> (N * h * w, D)."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2)
