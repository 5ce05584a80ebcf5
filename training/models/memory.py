"""Memory: distance of patch features from the nearest ones of good parts; nothing is trained.

PatchCore: Roth, Pemula, Zepeda, Schölkopf, Brox, Gehler: Towards Total Recall in Industrial Anomaly
Detection, CVPR 2022, arXiv 2106.08265. Its three steps: patch features that know their neighbours
(3.1), a coreset of those of the good parts as memory bank (3.2), and the distance from the nearest
entry of the bank (3.3).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from inspection.errors import CameraError, ConfigError
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
# Share of the largest squared norm: rounding leaves as much between two equal vectors.
_EQUAL = 1e-6


class Config(ModelConfig):
    """Settings of the memory model.

    Attributes:
        entries: most entries of the bank. Time per part and size of the bundle grow with them.
        candidates: most patches that the entries are chosen from. Larger sets of good parts are
            sampled at random, so that teaching needs no more memory for them.
        rotations: copies of each good image, turned by equal parts of a circle, whose patches are
            candidates too. 1 is for parts whose orientation matters: a turned part is then a
            defect.
        projection: width of the random projection in which the entries are chosen; 128 in the
            paper.
        score: "map" is the maximum of the smoothed map, "patch" the distance of the farthest patch,
            and "reweighted" weighs this by the neighbourhood of its nearest entry, as in the paper.
        neighbours: entries of that neighbourhood, with the nearest one; "reweighted" only.
    """

    name: Literal["memory"] = "memory"
    backbone: BackboneConfig = BackboneConfig()
    entries: Annotated[int, Field(ge=1024, le=8192)] = 2048
    candidates: Annotated[int, Field(ge=1024)] = 40_000
    rotations: Annotated[int, Field(ge=1, le=360)] = 1
    projection: Annotated[int, Field(ge=1)] = 64
    score: Literal["map", "patch", "reweighted"] = "map"
    neighbours: Annotated[int, Field(ge=2, le=1024)] = 9

    @model_validator(mode="after")
    def _fitting(self) -> Config:
        if self.candidates < self.entries:
            raise ValueError(
                f"candidates: {self.candidates} patches are too few to choose {self.entries} "
                "entries from; raise candidates or lower entries"
            )
        unset = Config.model_fields["neighbours"].default
        if self.score != "reweighted" and self.neighbours != unset:
            raise ValueError(f"neighbours has no effect with score: {self.score}; remove it")
        return self


class Candidates:
    """A uniform random sample, of at most `most`, of all vectors added, in bounded memory.

    Every vector draws a number; those with the lowest numbers stay. While none has to leave, the
    order is that of the additions.

    Attributes:
        views: number of views of images added.
        is_complete: True while no vector has left.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._vectors, self._numbers, self._views = torch.empty(0), torch.empty(0), torch.empty(0)
        self._count = 0
        self.views, self.is_complete = 0, True

    def add(self, vectors: Tensor) -> None:
        """Adds the vectors (M, D) of one view of an image."""
        if self.views == 0:
            self._vectors = vectors.new_empty(self._most, vectors.shape[1])
            self._numbers = vectors.new_empty(self._most)
            self._views = torch.empty(self._most, dtype=torch.long, device=vectors.device)
        numbers = torch.rand(len(vectors)).to(vectors.device)
        first = min(len(vectors), self._most - self._count)
        free = torch.arange(self._count, self._count + first, device=vectors.device)
        self._put(free, vectors[:first], numbers[:first])
        self._count += first
        self._exchange(vectors[first:], numbers[first:])
        self.views += 1

    @property
    def vectors(self) -> Tensor:
        """Returns the sample (N, D)."""
        return self._vectors[: self._count]

    @property
    def view_of(self) -> Tensor:
        """Returns the number of the view (N,) that each vector of the sample is from."""
        return self._views[: self._count]

    def _exchange(self, vectors: Tensor, numbers: Tensor) -> None:
        """Takes those of the vectors that draw less than kept ones, which leave."""
        if not len(vectors):
            return
        self.is_complete = False
        both = torch.cat([self._numbers, numbers])
        stays = torch.zeros(len(both), dtype=torch.bool, device=both.device)
        stays[both.topk(self._most, largest=False).indices] = True
        leaving = (~stays[: self._most]).nonzero().flatten()
        coming = stays[self._most :].nonzero().flatten()
        self._put(leaving, vectors[coming], numbers[coming])

    def _put(self, places: Tensor, vectors: Tensor, numbers: Tensor) -> None:
        self._vectors[places] = vectors
        self._numbers[places] = numbers
        self._views[places] = self.views


def k_centres(vectors: Tensor, count: int) -> Tensor:
    """Chooses centres of vectors (N, D) greedily; returns their indices (at most `count`,).

    Each is the vector farthest from those chosen before (algorithm 1 of the paper); the first is
    the one with the largest norm. Vectors equal to a chosen one are never chosen.
    """
    norms = vectors.square().sum(1)
    limit = _EQUAL * float(norms.max())
    nearest = torch.full_like(norms, torch.inf)
    chosen: list[int] = []
    farthest = int(norms.argmax())
    while len(chosen) < count and float(nearest[farthest]) > limit:
        chosen.append(farthest)
        apart = torch.mv(vectors, vectors[farthest]).mul_(-2).add_(norms).add_(norms[farthest])
        torch.minimum(nearest, apart, out=nearest)
        nearest[farthest] = 0
        farthest = int(nearest.argmax())
    return torch.tensor(chosen, device=vectors.device)


def neighbourhoods(bank: Tensor, count: int) -> Tensor:
    """Returns the indices (M, count) of the nearest entries of each entry, itself first."""
    apart = torch.cdist(bank, bank)
    apart.fill_diagonal_(-1)
    return apart.topk(min(count, len(bank)), largest=False).indices


class Model(ClosedFormModel):
    """The memory model for images of one size.

    Attributes:
        mean: of the candidates (D,), float64. Distances are taken from it: they do not change, and
            products round less.
        bank: (M, D), features as the backbone gives them.
        image_of: (M,) int64, the number of the image that each entry is from.
        leave_one_out: score (n,) of each learnt image by the entries of the others. Without a
            coreset this is exactly the score by a model of the others; with one it is a little
            higher. Empty when `candidates` do not hold all patches, or one image was learnt.
    """

    can_forget = False
    config: Config

    def __init__(self, config: Config, size: tuple[int, int], *, load_weights: bool = True) -> None:
        super().__init__(config, size)
        self.backbone = Backbone(config.backbone, load_weights=load_weights)
        features = self.backbone(blank_image(size))
        self.layer_grids = [(f.shape[-2], f.shape[-1]) for f in features]
        width, height, columns = self.patches(features).shape[1:]
        self.grid = (height, columns)
        self.register_buffer("mean", torch.zeros(width, dtype=torch.float64))
        self.register_buffer("bank", torch.zeros(0, width))
        self.register_buffer("image_of", torch.zeros(0, dtype=torch.long))
        self.register_buffer("leave_one_out", torch.zeros(0))
        self.blur = blurring(size, BLUR_SIGMA, BLUR_RADIUS, "reflect")
        self._candidates = Candidates(config.candidates)

    mean: Tensor
    bank: Tensor
    image_of: Tensor
    leave_one_out: Tensor

    def extract(self, images: Tensor) -> Features:
        """Extracts feature maps of the backbone's layers."""
        return self.backbone(images)  # type: ignore[no-any-return]

    def views(self, images: Tensor) -> Iterator[Tensor]:
        """Yields the images, and their turned copies."""
        return turned_copies(images, self.config.rotations)

    def learn(self, features: Features) -> None:
        """Adds the patches of good images to the candidates.

        Raises:
            ConfigError: the model is finished and has no candidates any longer.
        """
        self._refuse_changes()
        for patches in self.patches(features):
            self._candidates.add(patches.flatten(1).T)

    def unlearn(self, features: Features) -> None:  # noqa: ARG002
        """Raises ConfigError: a bank does not tell its entries without an image."""
        self._refuse_changes()

    def without(self, images: Sequence[LearntImage]) -> Model:
        """Returns a model of the entries from the other images; it shares the backbone."""
        others = copy.deepcopy(self, {id(self.backbone): self.backbone})
        left_out = torch.tensor([image.number for image in images], device=self.image_of.device)
        stays = ~torch.isin(self.image_of, left_out)
        others.bank, others.image_of = self.bank[stays], self.image_of[stays]
        return others

    def solve(self) -> None:
        """Chooses the bank from the candidates, and forgets these.

        Raises:
            CameraError: all patches of the good images are the same.
        """
        vectors = self._candidates.vectors
        self.mean = vectors.mean(0, dtype=torch.float64)
        away = vectors - self.mean.float()
        if not away.any():
            raise CameraError("the good images show nothing: all their patches are the same")
        chosen = self._choose(away)
        self.bank = vectors[chosen]
        self.image_of = self._candidates.view_of[chosen] // self.config.rotations
        self.leave_one_out = self._leave_one_out()
        self._candidates = Candidates(self.config.candidates)

    def patches(self, features: Features) -> Tensor:
        """Averages 3x3 neighbours and joins the layers on the first one's grid: (N, D, h, w)."""
        return join(average_neighbours(features))

    def predict(self, features: Features) -> Prediction:
        """Computes scores, and the blurred maps of distances; float64 inside."""
        return self._judge(self.patches(features).double(), self.bank.double())

    def _judge(self, patches: Tensor, bank: Tensor) -> Prediction:
        """Judges patches (N, D, h, w) by a bank (M, D)."""
        centred = bank - self.mean.to(bank)
        vectors = patches.flatten(2).transpose(1, 2) - self.mean.to(bank)  # (N, h * w, D)
        apart = torch.stack([torch.cdist(of_image, centred) for of_image in vectors])
        distances = apart.amin(2)
        maps = F.interpolate(
            distances.unflatten(1, self.grid)[:, None],
            self.size,
            mode="bilinear",
            align_corners=False,
        )
        blurred = self.blur(maps.float())[:, 0]
        if self.config.score == "map":
            return Prediction(blurred.amax((1, 2)), blurred)
        scores = distances.amax(1)
        if self.config.score == "reweighted":
            scores = scores * self._weights(apart, distances.argmax(1), centred)
        return Prediction(scores.float(), blurred)

    def _weights(self, apart: Tensor, farthest: Tensor, centred: Tensor) -> Tensor:
        """Returns 1 - exp(d*) / sum exp(d_b) (N,), equation 7 of the paper.

        d* is the distance of the farthest patch from its nearest entry; d_b are its distances from
        that entry's neighbourhood.

        Args:
            apart: distances (N, h * w, M).
        """
        of_farthest = apart[torch.arange(len(apart), device=apart.device), farthest]  # (N, M)
        around = neighbourhoods(centred, self.config.neighbours)[of_farthest.argmin(1)]
        return 1 - of_farthest.gather(1, around).softmax(1)[:, 0]

    def _choose(self, away: Tensor) -> Tensor:
        if len(away) <= self.config.entries:
            return torch.arange(len(away), device=away.device)
        width = self.config.projection
        projection = torch.randn(away.shape[1], width) / width**0.5
        return k_centres(away @ projection.to(away), self.config.entries)

    def _leave_one_out(self) -> Tensor:
        """Scores each learnt image, not its copies, by the entries that are from others."""
        views, copies = self._candidates.views, self.config.rotations
        if views == copies or not self._candidates.is_complete:
            return torch.zeros(0, device=self.bank.device)
        learnt = self._candidates.vectors.reshape(views, *self.grid, -1)[::copies]
        return torch.cat(
            [
                self._judge(patches[None], self.bank[self.image_of != number]).scores
                for number, patches in enumerate(learnt.permute(0, 3, 1, 2))
            ]
        )

    def _refuse_changes(self) -> None:
        if len(self.bank):
            raise ConfigError(
                "memory: the bank is a choice from the patches of all good images, so that images "
                "cannot be added; teach or train again with all of them"
            )

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Loads a bank of any length."""
        for name in ("bank", "image_of", "leave_one_out"):
            stored, buffer = state_dict.get(prefix + name), self.get_buffer(name)
            if stored is not None:
                self.register_buffer(name, buffer.new_empty(stored.shape[:1] + buffer.shape[1:]))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
