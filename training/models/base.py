"""The interface of models for training and export.

A model file has this order: `Config`, the blocks of the paper, `Model` (with `loss`, `predict`). To
add a model, write such a file, write its `Deployed` form in `export.fold`, and add a line to
`training.models.MODELS` and to `export.fold.FOLDS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

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
    """Optimisers, their schedules (one step per epoch), and the gradient clipping."""

    optimisers: list[Optimizer]
    schedules: list[LRScheduler]
    clip_norm: float | None = None


class Steps(Protocol):
    """The means of an optimisation step.

    Attributes:
        module: the model; calls through it count for all processes of a training.
    """

    module: Any

    def minimise(self, loss: Tensor, optimiser: int | None = None) -> None:
        """Takes a step down the gradient of `loss`, with one of the optimisers or with all."""


class DataFacts(NamedTuple):
    """Facts about the training data, for a model before its first step."""

    good: int
    defective: int
    segmented_defects: int


class AnomalyModel(nn.Module, ABC):
    """A model of good parts, for images of one size.

    Every model takes three arguments: its `Config`, the `size`, and by keyword `load_weights`,
    False when a checkpoint brings the backbone's weights. It raises ConfigError for a size that it
    cannot take.

    Attributes:
        config: settings; the module's `Config`.
        size: (height, width) of the input.
        annotation: preparation of ground-truth masks for training.
        learns_defects: True to train on real defects too.
        learns_unsegmented: True to train on defects without a drawn mask too.
        cacheable: True when `extract` always gives the same result for the same image.
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
        """Extracts frozen features of uint8 (N, H, W, 3) BGR images, without gradients."""

    @abstractmethod
    def loss(self, features: Features, targets: Targets) -> Losses:
        """Computes the loss terms of a batch; the training minimises their sum."""

    @abstractmethod
    def predict(self, features: Features) -> Prediction:
        """Computes scores and maps in eval mode, literally as in the paper."""

    @abstractmethod
    def optimisation(self, epochs: int) -> Optimisation:
        """Makes new optimisers and schedules for a training of `epochs` epochs."""

    def forward(self, images: Tensor) -> Prediction:
        """uint8 (N, H, W, 3) BGR images -> scores (N,), maps (N, H, W)."""
        return self.predict(self.extract(images))

    def prepare(self, facts: DataFacts, batches: FeatureBatches) -> None:
        """Prepares for the training, given the features of the good images."""

    def finish(self, batches: FeatureBatches) -> None:
        """Completes the training, given the features of the good images."""

    def doubts(self, losses: dict[str, float]) -> list[str]:  # noqa: ARG002
        """Returns signs, as lines for the user, that the model has not learnt.

        Args:
            losses: mean of each loss term over the last epoch.
        """
        return []

    def step(self, features: Features, targets: Targets, steps: Steps) -> dict[str, float]:
        """Takes an optimisation step; returns the loss terms. Adversarial models override it."""
        losses: Losses = steps.module.loss(features, targets)
        steps.minimise(torch.stack(list(losses.values())).sum())
        return {name: value.item() for name, value in losses.items()}


class LearntImage(NamedTuple):
    """An image that a model in closed form has learnt.

    Attributes:
        number: its place in the order of learning.
        views: features of the image itself, then of its copies.
    """

    number: int
    views: Sequence[Features]


class ClosedFormModel(AnomalyModel):
    """A model that sees each good image once and takes no optimisation steps.

    Images can be added to a finished model, and taken back: the result is that of learning what is
    left from the start. All views of an image are learnt one after the other.

    Attributes:
        can_forget: False for a model whose result does not tell the images apart. Then a finished
            one raises ConfigError from `learn`, and any from `unlearn`.
    """

    can_forget: ClassVar[bool] = True

    @abstractmethod
    def views(self, images: Tensor) -> Iterator[Tensor]:
        """Yields uint8 images (N, H, W, 3) to learn from: the given ones, and copies of them."""

    @abstractmethod
    def learn(self, features: Features) -> None:
        """Adds good images to the statistics."""

    @abstractmethod
    def unlearn(self, features: Features) -> None:
        """Removes images that were added."""

    @abstractmethod
    def solve(self) -> None:
        """Computes the model from the statistics."""

    @abstractmethod
    def without(self, images: Sequence[LearntImage]) -> ClosedFormModel:
        """Returns a model of the other images; it shares the backbone with this one."""

    def loss(self, features: Features, targets: Targets) -> Losses:  # noqa: ARG002
        """Returns no terms."""
        return {}

    def optimisation(self, epochs: int) -> Optimisation:  # noqa: ARG002
        """Makes none."""
        return Optimisation([], [])


def blank_image(size: tuple[int, int]) -> Tensor:
    """Makes a black image (1, H, W, 3) uint8, for the shapes of features."""
    return torch.zeros(1, *size, 3, dtype=torch.uint8)


def xavier(module: nn.Module) -> None:
    """Initialises weights by a normal distribution (Glorot and Bengio 2010); for `Module.apply`."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_normal_(module.weight)
