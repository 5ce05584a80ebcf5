"""Subspace: distance of patch features from what the good parts span; nothing is trained.

Two papers, one computation. Residual: Ahuja, Ndiour, Kalyanpur, Tickoo, arXiv 1909.11786 (2019),
and SubspaceAD, CVPR 2026, arXiv 2602.23013: the part of a feature outside the principal subspace of
the good ones. Mahalanobis: Rippel, Mertens, Merhof, ICPR 2020, arXiv 2005.14140: the distance that
the covariance of the good features defines. Both are || P (x - mean) ||^2 with a matrix P that
follows from the covariance. Here x is the feature of a patch, with one mean and one covariance for
all positions, so that parts may lie anywhere.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from inspection.errors import CameraError
from training.backbones import Backbone, BackboneConfig
from training.data.augment import turned_copies
from training.linear_maps import blurring
from training.models.base import (
    ClosedFormModel,
    Features,
    LearntImage,
    ModelConfig,
    Prediction,
    blank_image,
)
from training.models.joined_patches import average_neighbours, join

BLUR_SIGMA, BLUR_RADIUS = 4.0, 16  # of the map at input size


class Config(ModelConfig):
    """Settings of the subspace model.

    Attributes:
        layers_joined: True judges the features of all layers as one vector, on the first layer's
            grid; False judges each layer on its own grid and adds the maps.
        distance: "residual" counts what lies outside the principal subspace, "mahalanobis" weighs
            every direction by its variance.
        variance: share of the variance that the principal subspace explains; "residual" only.
        shrinkage: part of the mean variance that is added to each direction, so that directions
            without any stay finite; "mahalanobis" only.
        rotations: copies of each good image, turned by equal parts of a circle. 1 is for parts
            whose orientation matters: a turned part is then a defect.
    """

    name: Literal["subspace"] = "subspace"
    backbone: BackboneConfig = BackboneConfig()
    layers_joined: bool = True
    distance: Literal["residual", "mahalanobis"] = "residual"
    variance: Annotated[float, Field(gt=0, lt=1)] = 0.98
    shrinkage: Annotated[float, Field(gt=0, le=1)] = 0.01
    rotations: Annotated[int, Field(ge=1, le=360)] = 1

    @model_validator(mode="after")
    def _one_distance(self) -> Config:
        unread = "shrinkage" if self.distance == "residual" else "variance"
        if unread in self.model_fields_set and getattr(self, unread) != _default(unread):
            raise ValueError(f"{unread} has no effect with distance: {self.distance}; remove it")
        return self


class Gaussian(nn.Module):
    """Mean (D,) and covariance (D, D) of the vectors added so far, float64, divided by their count.

    Each change is exact (Chan, Golub, LeVeque 1979): the order of the additions, and vectors that
    come and go again, leave no trace but rounding.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("covariance", torch.zeros(width, width, dtype=torch.float64))

    count: Tensor
    mean: Tensor
    covariance: Tensor

    def add(self, vectors: Tensor) -> None:
        """Adds vectors (M, D)."""
        self._merge(vectors.double(), 1)

    def remove(self, vectors: Tensor) -> None:
        """Removes vectors (M, D) that were added, but not the last ones."""
        self._merge(vectors.double(), -1)

    def _merge(self, vectors: Tensor, sign: int) -> None:
        count = sign * len(vectors)
        total = self.count + count
        mean = vectors.mean(0)
        scatter = (vectors - mean).T @ (vectors - mean)
        apart = mean - self.mean
        between = (self.count * count / total) * torch.outer(apart, apart)
        self.covariance = (self.count * self.covariance + sign * scatter + between) / total
        self.mean = self.mean + (count / total) * apart
        self.count = total


def residual(covariance: Tensor, variance: float) -> Tensor:
    """Returns P (D, D) onto the complement of the principal subspace.

    Rows of principal directions are zero: the largest ones that together explain `variance`, at
    least one and not all.
    """
    values, vectors = torch.linalg.eigh(covariance)  # ascending
    explained = values.flip(0).cumsum(0) / values.sum()
    principal = min(int((explained < variance).sum()) + 1, len(values) - 1)
    rows: Tensor = vectors.T.clone()
    rows[len(values) - principal :] = 0
    return rows


def whitening(covariance: Tensor, shrinkage: float) -> Tensor:
    """Returns P (D, D) with P' P the inverse of the shrunk covariance."""
    values, vectors = torch.linalg.eigh(covariance)
    shrunk = values.clamp(min=0) + shrinkage * values.mean()
    rows: Tensor = (vectors / shrunk.sqrt()).T
    return rows


class Model(ClosedFormModel):
    """The subspace model for images of one size. Good patches have a distance of 1 on average."""

    config: Config

    def __init__(self, config: Config, size: tuple[int, int], *, load_weights: bool = True) -> None:
        super().__init__(config, size)
        self.backbone = Backbone(config.backbone, load_weights=load_weights)
        features = self.backbone(blank_image(size))
        self.layer_grids = [(f.shape[-2], f.shape[-1]) for f in features]
        patches = self.patches(features)
        self.grids = [(p.shape[-2], p.shape[-1]) for p in patches]
        self.gaussians = nn.ModuleList(Gaussian(p.shape[1]) for p in patches)
        for number, width in enumerate(p.shape[1] for p in patches):
            empty = torch.zeros(width, width, dtype=torch.float64)
            self.register_buffer(f"projection_{number}", empty)
        self.blur = blurring(size, BLUR_SIGMA, BLUR_RADIUS, "reflect")

    def extract(self, images: Tensor) -> Features:
        """Extracts feature maps of the backbone's layers."""
        return self.backbone(images)  # type: ignore[no-any-return]

    def views(self, images: Tensor) -> Iterator[Tensor]:
        """Yields the images, and their turned copies."""
        return turned_copies(images, self.config.rotations)

    def learn(self, features: Features) -> None:
        """Adds the patches of good images to the statistics."""
        for gaussian, patches in zip(self.statistics(), self.patches(features), strict=True):
            gaussian.add(_vectors(patches))

    def unlearn(self, features: Features) -> None:
        """Removes the patches of images that were added."""
        for gaussian, patches in zip(self.statistics(), self.patches(features), strict=True):
            gaussian.remove(_vectors(patches))

    def without(self, images: Sequence[LearntImage]) -> Model:
        """Returns a model of the other images; it shares the backbone with this one."""
        others = copy.deepcopy(self, {id(self.backbone): self.backbone})
        for image in images:
            for features in image.views:
                others.unlearn(features)
        others.solve()
        return others

    def solve(self) -> None:
        """Computes the projections from the statistics.

        Raises:
            CameraError: all patches of the good images are the same.
        """
        made = []
        for gaussian in self.statistics():
            if not gaussian.covariance.trace() > 0:
                raise CameraError("the good images show nothing: all their patches are the same")
            covariance = gaussian.covariance
            if self.config.distance == "residual":
                made.append(residual(covariance, self.config.variance))
            else:
                made.append(whitening(covariance, self.config.shrinkage))
        expected = sum(
            (p @ g.covariance @ p.T).trace() for p, g in zip(made, self.statistics(), strict=True)
        )
        for number, projection in enumerate(made):
            self.register_buffer(
                f"projection_{number}", projection / torch.as_tensor(expected).sqrt()
            )

    def patches(self, features: Features) -> list[Tensor]:
        """Averages 3x3 neighbours; returns the patches (N, D, h, w) of each judged grid."""
        pooled = average_neighbours(features)
        return [join(pooled)] if self.config.layers_joined else pooled

    def predict(self, features: Features) -> Prediction:
        """Computes the sum of the blurred maps of distances, and its maximum; float64 inside."""
        whole = torch.zeros(())
        for patches, gaussian, projection in zip(
            self.patches(features), self.statistics(), self.projections(), strict=True
        ):
            away = patches.double() - gaussian.mean[:, None, None]
            distances = F.conv2d(away, projection[:, :, None, None]).square().sum(1, keepdim=True)
            resized = F.interpolate(distances, self.size, mode="bilinear", align_corners=False)
            whole = whole + self.blur(resized.float())[:, 0]
        return Prediction(whole.amax((1, 2)), whole)

    def statistics(self) -> list[Gaussian]:
        """Returns mean and covariance of each judged grid."""
        return [gaussian for gaussian in self.gaussians if isinstance(gaussian, Gaussian)]

    def projections(self) -> list[Tensor]:
        """Returns P (D, D) of each judged grid."""
        return [self.get_buffer(f"projection_{number}") for number in range(len(self.grids))]


def _default(field: str) -> object:
    return Config.model_fields[field].default


def _vectors(maps: Tensor) -> Tensor:
    """(N, D, h, w) -> (N * h * w, D)."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2)
