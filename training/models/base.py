"""What every model offers: to fitting, to evaluation and to export.

A model file reads in this order: `Config`, the blocks of the paper, `Model` (with `loss`,
`predict`), `Deployed`. To add a model, write such a file and add a line to
`training.models.MODELS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from inspection.config.loading import StrictModel
from inspection.golden import FP32_TOLERANCE
from training.data.masks import Annotation
from training.data.samples import Targets

Features = tuple[Tensor, ...]
Losses = dict[str, Tensor]
FeatureBatches = Callable[[], Iterator[Features]]


class ModelConfig(StrictModel):
    """Settings of a model, whose `name` is the one in `training.models.MODELS`."""

    name: str


class Prediction(NamedTuple):
    """Raw output for a batch; higher is more anomalous: scores (N,), maps (N, H, W)."""

    scores: Tensor
    maps: Tensor


@dataclass
class Optimisation:
    """Optimisers with their schedules, stepped once per epoch, and the gradient clipping."""

    optimisers: list[Optimizer]
    schedules: list[LRScheduler]
    clip_norm: float | None = None


class Steps(Protocol):
    """What a model takes a step with; see `training.workers.Steps`.

    Attributes:
        module: the model as it is called in a step, for all processes of a training.
    """

    module: Any

    def minimise(self, loss: Tensor, optimiser: int | None = None) -> None:
        """One step down the gradient of `loss`, by one of the optimisers or by all."""


class DataFacts(NamedTuple):
    """What a model may want to know of its training data before the first step."""

    good: int
    defective: int
    segmented_defects: int


class AnomalyModel(nn.Module, ABC):
    """A model of good parts, for images of one size.

    Every model is made with three arguments: its `Config`, the `size`, and by keyword
    `load_weights`, False when a checkpoint will bring the backbone's weights. It raises a
    ConfigError when it cannot be built for that size.

    Attributes:
        config: settings; the module's `Config`.
        size: (height, width) of the input.
        annotation: how ground-truth masks are prepared for training.
        learns_defects: whether real defects take part in the training.
        learns_unsegmented: whether defects without a drawn mask take part too.
        cacheable: whether `extract` always gives the same for the same image.
        map_tolerance: share of the largest map value by which two exact computations may differ.
        stepped: methods that `step` calls through `Steps.module`.
    """

    annotation: Annotation = Annotation()
    learns_defects = False
    learns_unsegmented = True
    cacheable = True
    map_tolerance = FP32_TOLERANCE
    stepped: tuple[str, ...] = ("loss",)

    def __init__(self, config: ModelConfig, size: tuple[int, int]) -> None:
        super().__init__()
        self.config = config
        self.size = size

    @abstractmethod
    def extract(self, images: Tensor) -> Features:
        """Frozen features of uint8 (N, H, W, 3) BGR images, without gradients."""

    @abstractmethod
    def loss(self, features: Features, targets: Targets) -> Losses:
        """Loss terms of a batch; their sum is minimised."""

    @abstractmethod
    def predict(self, features: Features) -> Prediction:
        """Scores and maps in eval mode, literally as the paper computes them."""

    @abstractmethod
    def optimisation(self, epochs: int) -> Optimisation:
        """New optimisers and schedules for a training of `epochs` epochs."""

    def forward(self, images: Tensor) -> Prediction:
        """Scores (N,) and maps (N, H, W) of uint8 (N, H, W, 3) BGR images."""
        return self.predict(self.extract(images))

    def prepare(self, facts: DataFacts, batches: FeatureBatches) -> None:
        """First work before fitting, given the features of the good images; none by default."""

    def finish(self, batches: FeatureBatches) -> None:
        """Last work after fitting, given the features of the good images; none by default."""

    def doubts(self, losses: dict[str, float]) -> list[str]:  # noqa: ARG002
        """What in the losses of the last epoch says that the model has not learnt; for people."""
        return []

    def step(self, features: Features, targets: Targets, steps: Steps) -> dict[str, float]:
        """One optimisation step; returns the loss terms. Adversarial models differ."""
        losses: Losses = steps.module.loss(features, targets)
        steps.minimise(torch.stack(list(losses.values())).sum())
        return {name: value.item() for name, value in losses.items()}


def blank_image(size: tuple[int, int]) -> Tensor:
    """A black image (1, H, W, 3) uint8, to learn shapes from."""
    return torch.zeros(1, *size, 3, dtype=torch.uint8)


def xavier(module: nn.Module) -> None:
    """Initialise weights by a normal distribution (Glorot and Bengio 2010); for `Module.apply`."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_normal_(module.weight)
