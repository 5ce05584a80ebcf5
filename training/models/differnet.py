"""DifferNet: Rudolph, Wandt, Rosenhahn, WACV 2021.

Features of a frozen backbone at three scales, averaged over the image, and a normalising flow that
learns how they are distributed over good parts. The score is how far turned copies of an image lie
from the middle of that distribution.

DifferNet judges a whole image and localises nothing. The anomaly map here explains the score: it
shows where the features are that moved it, to first order. For maps that are learnt, see
`differnet_spatial`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.hub import load_state_dict_from_url
from torch.nn import functional as F

from inspection.errors import ConfigError
from training.backbones import Backbone, BackboneConfig, load_weights_file, reflect_borders
from training.models.base import (
    AnomalyModel,
    DataFacts,
    FeatureBatches,
    Features,
    Losses,
    Optimisation,
    Prediction,
    Targets,
    blank_image,
)
from training.models.differnet_folded import Deployed, Turn, TurnBack, pyramid
from training.models.flow import Flow, FlowConfig

ALEXNET = "alexnet.tv_in1k"
_ALEXNET_URL = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"  # IMAGENET1K_V1
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Config(FlowConfig):
    """Settings of DifferNet.

    Attributes:
        backbone: the paper's is "alexnet.tv_in1k", which has its last layer only: `layers` is not
            read then. Of others, one deep layer is meant, such as 3 of a ResNet.
        scales: how often the image is looked at, each time at half the size of the time before.
        training_rotations: copies that features are made of once per image, turned by equal parts
            of a circle. 1 switches rotation off, for parts whose orientation matters.
        drawn_rotations: copies of an image that a step learns from, drawn anew each time.
        inference_rotations: copies whose scores are averaged; the paper's is 64. Powers of two up
            to 4 turn square images exactly, without black corners. None takes 4 where the model has
            learnt rotations and the image is square, else 1. Time is in proportion.
    """

    name: Literal["differnet"] = "differnet"
    backbone: BackboneConfig = BackboneConfig(layers=(3,))
    scales: Annotated[int, Field(ge=1, le=5)] = 3
    training_rotations: Annotated[int, Field(ge=1, le=360)] = 8
    drawn_rotations: Annotated[int, Field(ge=1)] = 4
    inference_rotations: Annotated[int, Field(ge=1, le=360)] | None = None

    @model_validator(mode="after")
    def _infer_what_was_learnt(self) -> Config:
        if self.training_rotations == 1 and (self.inference_rotations or 1) > 1:
            raise ValueError(
                "inference_rotations needs training_rotations above 1: the flow would take every "
                "turned copy for a defect"
            )
        return self


class AlexNet(Backbone):
    """The convolutional part of torchvision's AlexNet, which timm does not have; see `Backbone`."""

    def __init__(self, config: BackboneConfig, *, load_weights: bool = True) -> None:
        nn.Module.__init__(self)
        self.body = _Convolutions()
        if load_weights and config.weights == "hub":
            self.body.load_state_dict(_published_weights(), strict=False)
        elif load_weights and config.weights != "none":
            load_weights_file(self.body, Path(config.weights), config.name)
        if config.padding == "reflect":
            reflect_borders(self.body)
        self.channels, self.strides = [256], [32]
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(_IMAGENET_STD).view(1, 3, 1, 1))
        self.requires_grad_(False)
        self.eval()


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
        """Vectors y (N, R, D) of copies turned by i * 360 / R degrees, for training."""
        turn = self.turn_for_training
        copies = (turn.copy(images, number) for number in range(turn.count))
        return (torch.stack([pooled(self._pyramid(copy)) for copy in copies], dim=1),)

    def loss(self, features: Features, targets: Targets) -> Losses:  # noqa: ARG002
        """Negative log-likelihood per dimension of some copies of each image."""
        (copies,) = features  # (N, R, D)
        drawn = torch.rand(copies.shape[:2]).argsort(1)[:, : self.config.drawn_rotations]
        images = torch.arange(len(copies))[:, None]
        y = copies[images, drawn.to(copies.device)].flatten(0, 1)  # (N * 4, D)
        return {"negative_log_likelihood": self.flow.negative_log_likelihood(y)}

    def prepare(self, facts: DataFacts, batches: FeatureBatches) -> None:  # noqa: ARG002
        """Fit the flow to the scale of the features."""
        self.flow.prepare(copies.flatten(0, 1) for (copies,) in batches())

    def finish(self, batches: FeatureBatches) -> None:
        """Keep the mean of the good vectors, over those copies that inference makes too."""
        learnt, made = self.config.training_rotations, self.turn.count
        shared = [i for i in range(learnt) if i * made % learnt == 0]
        vectors = torch.cat([copies[:, shared].flatten(0, 1) for (copies,) in batches()])
        self.mean.copy_(vectors.double().mean(0))

    def forward(self, images: Tensor) -> Prediction:
        """Scores (N,) and maps (N, H, W) of uint8 (N, H, W, 3) BGR images."""
        copies = self.turn(images).flatten(0, 1)  # (N T, H, W, 3)
        return self.predict(self._pyramid(copies))

    def predict(self, features: Features) -> Prediction:
        """Scores and maps of the feature maps (N T, C, h, w) of all T copies for inference."""
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
        """Adam for the flow, constant learning rate."""
        return self.flow.optimisation()

    def deploy(self) -> nn.Module:
        """The same function as one graph; see `Deployed`."""
        return Deployed(self)

    def _pyramid(self, images: Tensor) -> Features:
        return pyramid(self.backbone, images, self.config.scales)

    def _explain(self, feature: Tensor, weight: Tensor, mean: Tensor) -> Tensor:
        """How much each cell adds to the score, to first order; negative shares are dropped.

        Args:
            feature: (N T, C, h, w), with y its mean over the cells.
            weight: gradient of 1/2 sum z^2 with respect to y, (N T, C).
            mean: of good parts, (C,).

        Returns:
            (N T, H, W); without the dropping, their mean would be the score's change.
        """
        deviation = feature - mean[:, None, None]
        share = (weight[:, :, None, None] * deviation).sum(1, keepdim=True)
        cells = F.relu(share) * (2 / self.flow.channels)
        return F.interpolate(cells, self.size, mode="bilinear", align_corners=False)[:, 0]

    def _inference_rotations(self) -> int:
        if self.config.inference_rotations is not None:
            return self.config.inference_rotations
        height, width = self.size
        return 4 if self.config.training_rotations > 1 and height == width else 1


def open_backbone(config: BackboneConfig, *, load_weights: bool = True) -> Backbone:
    """A backbone from timm, or AlexNet."""
    kind = AlexNet if config.name == ALEXNET else Backbone
    return kind(config, load_weights=load_weights)


def layer_shapes(
    backbone: Backbone, size: tuple[int, int], scales: int
) -> list[tuple[int, int, int]]:
    """(channels, height, width) of each map of `pyramid`.

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
    """Means of maps (N, C_k, h_k, w_k) over their cells, joined: (N, D)."""
    return torch.cat([f.mean((2, 3)) for f in features], dim=1)


class _Convolutions(nn.Module):
    """AlexNet to its last pooling, with torchvision's names of the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *[nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)],
            *[nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)],
            *[nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()],
            *[nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()],
            *[nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)],
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.features(images)]


def _published_weights() -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = load_state_dict_from_url(
            _ALEXNET_URL, progress=False, check_hash=True, weights_only=True
        )
    except OSError as error:
        raise ConfigError(
            f"backbone {ALEXNET}: its weights are not in the cache and cannot be downloaded "
            f"({error}); give a file (--weights FILE), or --weights none (untrained)"
        ) from error
    return {key: value for key, value in state.items() if key.startswith("features.")}
