"""UniAD: You, Cui, Shen, Yang, Lu, Zheng, Le, NeurIPS 2022.

A transformer reconstructs the features of a frozen backbone, and reconstructs those of good parts
best. Three things keep it from copying its input: every token is blind to its neighbourhood, each
decoder layer starts from a learned query, and the features are jittered while it learns. One model
may learn several kinds of parts.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import StepLR

from inspection.config.loading import StrictModel
from inspection.errors import ConfigError
from training.backbones import Backbone, BackboneConfig
from training.linear_maps import Separable, resizing, window_mean
from training.models.base import (
    AnomalyModel,
    FeatureBatches,
    Features,
    Losses,
    Optimisation,
    Prediction,
    Targets,
    blank_image,
)
from training.models.uniad_folded import Deployed
from training.models.uniad_transformer import Transformer, neighbour_mask
from training.moments import Moments

POOL = 16  # window of the average over the map that the score is the maximum of


class Config(StrictModel):
    """Settings of UniAD.

    Attributes:
        width: length of a token inside the transformer.
        heads: attention heads.
        feedforward: hidden width of the feed-forward layers.
        layers: number of encoder layers, and of decoder layers.
        neighbours: (rows, columns), odd, around a token that its attention does not see.
        dropout: of attention, residual branches and feed-forward layers, while learning.
        jitter_scale: strength of the noise on the features while learning: its standard deviation
            is jitter_scale / sqrt(C) times the root mean square of the token. 0 for none.
        jitter_probability: share of the steps that have it.
        score: "max" of the averaged map, as for MVTec AD, or "mean" of the map, as for CIFAR-10.
    """

    name: Literal["uniad"] = "uniad"
    backbone: BackboneConfig = BackboneConfig(
        name="tf_efficientnet_b4.aa_in1k", layers=(0, 1, 2, 3)
    )
    width: Annotated[int, Field(ge=4)] = 256
    heads: Annotated[int, Field(ge=1)] = 8
    feedforward: Annotated[int, Field(ge=1)] = 1024
    layers: Annotated[int, Field(ge=1)] = 4
    neighbours: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = (7, 7)
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    jitter_scale: Annotated[float, Field(ge=0)] = 20.0
    jitter_probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    score: Literal["max", "mean"] = "max"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4

    @model_validator(mode="after")
    def _widths_fit(self) -> Config:
        if self.width % self.heads or self.width % 2:
            raise ValueError(f"width {self.width} must be even and a multiple of heads")
        if not all(n % 2 for n in self.neighbours):
            raise ValueError(f"neighbours {self.neighbours} must be odd: a token is in the middle")
        return self


class Model(AnomalyModel):
    """UniAD for images of one size."""

    config: Config

    def __init__(self, config: Config, size: tuple[int, int], *, load_weights: bool = True) -> None:
        super().__init__(config, size)
        self._fit_of_good: tuple[float, float] | None = None
        self.backbone = Backbone(config.backbone, load_weights=load_weights)
        grids = [(f.shape[-2], f.shape[-1]) for f in self.backbone(blank_image(size))]
        self.grid = grids[-1]
        self._refuse_size()
        self.align = nn.ModuleList(resizing(self.grid, g, align_corners=True) for g in grids)
        self.enlarge = resizing(size, self.grid, align_corners=True)
        self.average = Separable(*(window_mean(length, POOL) for length in size))
        self.channels = sum(self.backbone.channels)
        self.input = nn.Linear(self.channels, config.width)
        self.output = nn.Linear(config.width, self.channels)
        self.transformer = Transformer(config, self.grid)
        for layer in (self.input, self.output):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def extract(self, images: Tensor) -> Features:
        """All layers on the grid of the deepest one: F (N, C, h, w)."""
        layers = self.backbone(images)
        return (torch.cat([to(f) for to, f in zip(self.align, layers, strict=True)], dim=1),)

    def loss(self, features: Features, targets: Targets) -> Losses:  # noqa: ARG002
        """Mean squared error of the reconstruction of the features without jitter."""
        (aligned,) = features
        return {"reconstruction": F.mse_loss(self.reconstruct(aligned), aligned)}

    def reconstruct(self, aligned: Tensor) -> Tensor:
        """F (N, C, h, w) -> its reconstruction from good parts (N, C, h, w)."""
        tokens = aligned.flatten(2).transpose(1, 2)  # (N, h * w, C), row by row
        if self.training and torch.rand(()) < self.config.jitter_probability:
            tokens = self.jitter(tokens)
        decoded = self.transformer(self.input(tokens))  # (N, h * w, width)
        maps: Tensor = self.output(decoded).transpose(1, 2).unflatten(2, self.grid)
        return maps

    def jitter(self, tokens: Tensor) -> Tensor:
        """Tokens (N, h * w, C) with noise in proportion to their length."""
        strength = self.config.jitter_scale / self.channels
        length = tokens.square().sum(2, keepdim=True).sqrt()
        return tokens + strength * length * torch.randn_like(tokens)

    def predict(self, features: Features) -> Prediction:
        """Distance of each token to its reconstruction, enlarged, and the score made of it."""
        (aligned,) = features
        distance = (self.reconstruct(aligned) - aligned).square().sum(1).sqrt()  # (N, h, w)
        maps = self.enlarge(distance)  # (N, H, W)
        if self.config.score == "mean":
            return Prediction(maps.mean((1, 2)), maps)
        return Prediction(self.average(maps).amax((1, 2)), maps)

    def optimisation(self, epochs: int) -> Optimisation:
        """AdamW, learning rate x 0.1 after 80 % of the epochs, gradients clipped to norm 0.1."""
        trained = [p for p in self.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(
            trained, self.config.learning_rate, weight_decay=self.config.weight_decay
        )
        schedule = StepLR(optimiser, max(1, int(0.8 * epochs)), gamma=0.1)
        return Optimisation([optimiser], [schedule], clip_norm=0.1)

    @torch.no_grad()
    def finish(self, batches: FeatureBatches) -> None:
        """Compare the reconstruction of the good parts with their mean token, for `doubts`."""
        self.eval()
        moments, errors = Moments(), Moments()
        for (aligned,) in batches():
            moments.add(aligned.transpose(1, 3).flatten(0, 2))  # tokens (N * h * w, C)
            errors.add((self.reconstruct(aligned) - aligned).square().mean((1, 2, 3)))
        self._fit_of_good = float(errors.mean), float(moments.variance.mean())

    def doubts(self, losses: dict[str, float]) -> list[str]:  # noqa: ARG002
        """A reconstruction no better than the mean token of good parts has learnt nothing."""
        if self._fit_of_good is None or self._fit_of_good[0] < self._fit_of_good[1]:
            return []
        error, variance = self._fit_of_good
        doubt = (
            f"good parts are reconstructed no better (error {error:.3g}) than by their mean token "
            f"({variance:.3g}): train longer"
        )
        return [doubt]

    def deploy(self) -> nn.Module:
        """The exact fold of the whole network; see `Deployed`."""
        return Deployed(self)

    def _refuse_size(self) -> None:
        stride = self.backbone.strides[-1]
        if any(n % stride for n in self.size):
            raise ConfigError(
                f"data.image_size {list(self.size)}: UniAD on these layers needs multiples of "
                f"{stride}, so that every token covers one square"
            )
        if neighbour_mask(self.grid, self.config.neighbours).all(dim=1).any():
            raise ConfigError(
                f"data.image_size {list(self.size)}: a token in the middle of the "
                f"{self.grid[0]}x{self.grid[1]} grid sees nothing but its own neighbourhood; take "
                f"a larger size, or smaller model.neighbours than {list(self.config.neighbours)}"
            )
