"""SuperSimpleNet: Rolih, Fucka, Skocaj, ICPR 2024; extended in JIMS 2025.

A frozen backbone, a 1x1 adaptor, a segmentation head, and a classification head that reads the
features together with the predicted map. The model learns from Gaussian noise on the features
inside Perlin masks, and from real defects when there are any.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import MultiStepLR

from training.backbones import Backbone, BackboneConfig
from training.data.masks import Annotation
from training.data.samples import Targets
from training.linear_maps import Separable, apply, bilinear, blurring, mean3
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
from training.synthesis import noise_for, perlin_masks

KERNEL = 5  # of the classification head
BLUR_SIGMA, BLUR_RADIUS = 4.0, 12  # of the map at input size
_CHANCE = 0.9
_PERLIN_UNSEGMENTED, _PERLIN_SEGMENTED = 0.2, 0.6


class Config(ModelConfig):
    """Settings of SuperSimpleNet.

    Attributes:
        version: "jims" gives the classification head raw features and weighs defect pixels by
            their distance to the border; "icpr" gives it adapted features.
        supervision: "unsupervised" learns from good parts only; "mixed" also from real defects,
            with or without a drawn mask.
        score: `pred_score` is the maximum of the anomaly map ("segmentation") or the logit of the
            classification head ("classification"). "auto" takes the first when unsupervised and
            the second otherwise, the best in the paper (JIMS 2025, tables 2 and 3).
        noise_std: standard deviation of the synthetic noise, in units of the features. 0.015 suits
            wide_resnet50_2.tv_in1k. "auto" takes half of the mean standard deviation of a channel
            of X over the good images, for backbones whose features have another scale.
        perlin_threshold: higher gives fewer and smaller synthetic defects; None takes 0.2, or 0.6
            when the training data has defects with drawn masks.
        segmentation_channels, classification_channels: widths of the two heads.
        sampled_grid: rows and columns of the feature grid in a step, drawn anew each time; None
            takes the whole grid, as in the paper. The adaptor and the segmentation head judge each
            cell by itself, so that a sample gives the same gradient on average: 24 of 64 learns
            about seven times faster. Not possible with a trained classification head.
    """

    name: Literal["supersimplenet"] = "supersimplenet"
    backbone: BackboneConfig = BackboneConfig()
    version: Literal["jims", "icpr"] = "jims"
    supervision: Literal["unsupervised", "mixed"] = "unsupervised"
    score: Literal["auto", "segmentation", "classification"] = "auto"
    noise_std: Annotated[float, Field(gt=0)] | Literal["auto"] = 0.015
    perlin_threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    segmentation_channels: Annotated[int, Field(ge=1)] = 1024
    classification_channels: Annotated[int, Field(ge=1)] = 128
    sampled_grid: Annotated[int, Field(ge=4)] | None = None
    learning_rate_adaptor: Annotated[float, Field(gt=0)] = 1e-4
    learning_rate_heads: Annotated[float, Field(gt=0)] = 2e-4

    @property
    def is_supervised(self) -> bool:
        """Returns True when the model learns real defects."""
        return self.supervision != "unsupervised"

    @property
    def scores_by_map(self) -> bool:
        """Returns True when `pred_score` is the maximum of the anomaly map."""
        if self.score == "auto":
            return not self.is_supervised
        return self.score == "segmentation"

    @property
    def fits_classifier(self) -> bool:
        """Returns True when the training fits the classification head.

        Without supervision the JIMS version cuts every gradient from that head to the rest. When
        the score does not use its logit, fitting it takes most of the time and changes no result.
        """
        return not (self.version == "jims" and not self.is_supervised and self.scores_by_map)

    @model_validator(mode="after")
    def _sample_only_cells(self) -> Config:
        if self.sampled_grid is not None and self.fits_classifier:
            raise ValueError(
                "sampled_grid leaves the classification head without a whole map; use it with "
                "version jims, supervision unsupervised and score segmentation"
            )
        return self


class SegmentationHead(nn.Module):
    """1x1 conv, batch norm, LeakyReLU, 1x1 conv: adapted features -> anomaly logits."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Conv2d(channels, hidden, 1)
        self.norm = nn.BatchNorm2d(hidden)
        self.tail = nn.Conv2d(hidden, 1, 1, bias=False)

    def forward(self, adapted: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, 1, h, w)."""
        out: Tensor = self.tail(F.leaky_relu(self.norm(self.hidden(adapted)), 0.2))
        return out


class ClassificationHead(nn.Module):
    """5x5 conv over features and map, then global pools of both: one logit per image."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels + 1, hidden, KERNEL, padding="same")
        self.norm = nn.BatchNorm2d(hidden)
        self.fc = nn.Linear(2 * hidden + 2, 1)

    def forward(self, features: Tensor, logits: Tensor) -> Tensor:
        """(N, C, h, w), (N, 1, h, w) -> (N,)."""
        hidden = F.relu(self.norm(self.conv(torch.cat([features, logits], dim=1))))
        return classify(hidden, logits, self.fc)


def classify(hidden: Tensor, logits: Tensor, fc: nn.Linear) -> Tensor:
    """Maximum and mean of the hidden maps (N, K, h, w) and of the logits -> (N,)."""
    pooled = [hidden.amax((2, 3)), hidden.mean((2, 3)), logits.amax((2, 3)), logits.mean((2, 3))]
    logit: Tensor = fc(torch.cat(pooled, dim=1))
    return logit.flatten()


class Model(AnomalyModel):
    """SuperSimpleNet for images of one size."""

    config: Config

    def __init__(self, config: Config, size: tuple[int, int], *, load_weights: bool = True) -> None:
        super().__init__(config, size)
        self.learns_defects = config.is_supervised
        self.learns_unsegmented = config.version == "jims"
        self.cacheable = not config.is_supervised
        if config.is_supervised and config.version == "jims":
            self.annotation = Annotation(dilation=7, distance_weight=3.0, distance_power=2.0)
        self.perlin_threshold = config.perlin_threshold or _PERLIN_UNSEGMENTED
        self.noise_std = 0.0 if config.noise_std == "auto" else config.noise_std
        self.backbone = Backbone(config.backbone, load_weights=load_weights)
        layers = [(f.shape[-2], f.shape[-1]) for f in self.extract(blank_image(size))]
        self.grid = (2 * layers[0][0], 2 * layers[0][1])
        self.to_grid = nn.ModuleList(onto_grid(layer, self.grid) for layer in layers)
        self.blur = blurring(size, BLUR_SIGMA, BLUR_RADIUS, "reflect")
        channels = sum(self.backbone.channels)
        self.adaptor = nn.Conv2d(channels, channels, 1)
        self.segmentation = SegmentationHead(channels, config.segmentation_channels)
        self.classification = ClassificationHead(channels, config.classification_channels)
        for head in (self.adaptor, self.segmentation, self.classification):
            head.apply(xavier)

    def prepare(self, facts: DataFacts, batches: FeatureBatches) -> None:
        """Fits the synthetic defects to the real ones and to the scale of the features."""
        if self.config.perlin_threshold is None and facts.segmented_defects:
            self.perlin_threshold = _PERLIN_SEGMENTED
        if self.config.noise_std == "auto":
            self.noise_std = noise_for(self.embed(f) for f in batches())

    def extract(self, images: Tensor) -> Features:
        """Extracts feature maps of the backbone's layers."""
        return self.backbone(images)  # type: ignore[no-any-return]

    def embed(self, features: Features) -> Tensor:
        """Resizes all layers to twice the first grid, and averages neighbours: X (N, C, h, w)."""
        height, width = features[0].shape[-2:]
        grid = (2 * height, 2 * width)
        resized = [F.interpolate(f, grid, mode="bilinear", align_corners=True) for f in features]
        return F.avg_pool2d(torch.cat(resized, dim=1), 3, stride=1, padding=1)

    def embed_sample(self, features: Features, rows: Tensor, columns: Tensor) -> Tensor:
        """Embeds some rows and columns of the grid only: X[:, :, rows][:, :, :, columns]."""
        layers = []
        for feature, to_grid in zip(features, self.layers_to_grid(), strict=True):
            layers.append(apply(to_grid.rows[rows], feature, to_grid.columns[columns]))
        return torch.cat(layers, dim=1)

    def layers_to_grid(self) -> list[Separable]:
        """Returns the matrices that take each layer to the grid."""
        return [module for module in self.to_grid if isinstance(module, Separable)]

    def loss(self, features: Features, targets: Targets) -> Losses:
        """Computes truncated L1 and focal loss of the map, focal loss of the score."""
        masks, weights = self._targets_on_grid(targets)
        where = perlin_masks(2 * len(masks), *self.grid, self.perlin_threshold).to(masks)
        if self.config.sampled_grid is None:
            raw = self.embed(features)
        else:
            rows, columns = (_sample(n, self.config.sampled_grid) for n in self.grid)
            raw = self.embed_sample(features, rows, columns)
            where, masks, weights = (m[:, :, rows][..., columns] for m in (where, masks, weights))
        adapted = self.adaptor(raw)
        raw, adapted, masks, labels = self.add_anomalies(raw, adapted, masks, targets.labels, where)
        logits = self.segmentation(adapted)
        losses = segmentation_losses(
            logits, masks, weights.repeat(2, 1, 1, 1), targets.segmented.repeat(2)
        )
        if self.config.fits_classifier:
            seen = raw if self.config.version == "jims" else adapted
            guess = logits if self.config.is_supervised else logits.detach()
            scores = self.classification(seen, guess)
            losses["score_focal"] = focal(scores, labels).mean()
        return losses

    def add_anomalies(
        self, raw: Tensor, adapted: Tensor, masks: Tensor, labels: Tensor, where: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Doubles the batch and puts noise on random regions of both copies.

        Args:
            raw: X (N, C, h, w).
            adapted: A (N, C, h, w).
            masks: (N, 1, h, w) real defects, which stay without noise.
            labels: (N,) real labels.
            where: (2 N, 1, h, w) regions for noise; each copy has its own.

        Returns:
            the first four for 2 N images; in the JIMS version X carries the same noise as A.
        """
        raw, adapted = raw.repeat(2, 1, 1, 1), adapted.repeat(2, 1, 1, 1)
        masks, labels = masks.repeat(2, 1, 1, 1), labels.repeat(2)
        noised = where * (1 - masks)
        noise = self._noise(noised, adapted)
        masks = ((masks + noised) > 0).float()
        labels = ((labels + masks.amax((1, 2, 3))) > 0).float()
        if self.config.version == "jims":
            raw = raw + noise
        return raw, adapted + noise, masks, labels

    def predict(self, features: Features) -> Prediction:
        """Computes the blurred logit map at input size, and the configured score."""
        raw = self.embed(features)
        adapted = self.adaptor(raw)
        logits = self.segmentation(adapted)
        resized = F.interpolate(logits, self.size, mode="bilinear", align_corners=False)
        maps: Tensor = self.blur(resized)[:, 0]
        if self.config.scores_by_map:
            return Prediction(maps.amax((1, 2)), maps)
        seen = raw if self.config.version == "jims" else adapted
        return Prediction(self.classification(seen, logits), maps)

    def optimisation(self, epochs: int) -> Optimisation:
        """Makes AdamW, with learning rate x 0.4 after 80 % and 90 % of the epochs, at least one."""
        heads = [*self.segmentation.parameters()]
        if self.config.fits_classifier:
            heads += self.classification.parameters()
        config = self.config
        optimiser = torch.optim.AdamW(
            [
                {"params": [*self.adaptor.parameters()], "lr": config.learning_rate_adaptor},
                {"params": heads, "lr": config.learning_rate_heads, "weight_decay": 1e-5},
            ]
        )
        milestones = [max(1, int(share * epochs)) for share in (0.8, 0.9)]
        schedule = MultiStepLR(optimiser, milestones, gamma=0.4)
        return Optimisation([optimiser], [schedule], 1.0 if config.is_supervised else None)

    def doubts(self, losses: dict[str, float]) -> list[str]:
        """Doubts L1 terms of the map that stay at 1 together: noised cells look like the others."""
        if losses["map_l1_good"] + losses["map_l1_defect"] < _CHANCE:
            return []
        doubt = (
            "the map has not learnt to tell synthetic defects from good parts "
            f"(L1 {losses['map_l1_good']:.2f} + {losses['map_l1_defect']:.2f}, chance is 1): train "
            "longer, or with a larger model.noise_std"
        )
        return [doubt]

    def _targets_on_grid(self, targets: Targets) -> tuple[Tensor, Tensor]:
        aligned = self.config.version == "jims"
        masks = F.interpolate(targets.masks, self.grid, mode="bilinear", align_corners=aligned)
        weights = F.interpolate(targets.weights, self.grid, mode="bilinear", align_corners=True)
        cells = (masks >= 0.5).float()
        # The authors' rule, above, drops defects that are thinner than a cell, and the map would
        # learn them as good. Such a defect keeps the cells that it covers most.
        covered = F.interpolate(targets.masks, self.grid, mode="area")
        thin = (covered > 0) & (2 * covered >= _fullest_around(covered))
        return torch.where(thin & (_fullest_around(cells) == 0), 1.0, cells), weights

    def _noise(self, where: Tensor, like: Tensor) -> Tensor:
        # Draw numbers for the noised cells only: an eighth of the grid on average.
        cells = where[:, 0] > 0  # (2N, h, w)
        drawn = self.noise_std * torch.randn(int(cells.sum()), like.shape[1])
        noise = like.new_zeros(*cells.shape, like.shape[1])
        noise[cells] = drawn.to(like)
        return noise.permute(0, 3, 1, 2)


def _fullest_around(cells: Tensor) -> Tensor:
    """Returns the maximum of each cell and its eight neighbours, (N, 1, h, w)."""
    return F.max_pool2d(cells, 3, stride=1, padding=1)


def segmentation_losses(
    logits: Tensor, masks: Tensor, weights: Tensor, segmented: Tensor
) -> Losses:
    """Computes the losses of the map over the images with a reliable mask.

    Args:
        logits, masks, weights: (N, 1, h, w).
        segmented: (N,) 1 for images with a reliable mask.
    """
    trusted = segmented > 0
    logits, masks, weights = logits[trusted], masks[trusted], weights[trusted]
    good = masks == 0
    above = weights * F.relu(logits + 0.5)
    below = weights * F.relu(0.5 - logits)
    return {
        "map_l1_good": _mean(above[good]),
        "map_l1_defect": _mean(below[~good]),
        "map_focal": _mean(weights * focal(logits, masks)),
    }


def focal(logits: Tensor, targets: Tensor, gamma: float = 4.0) -> Tensor:
    """Computes focal loss (Lin et al. 2017) per element, without alpha: BCE * (1 - p_t)^gamma."""
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return cross_entropy * (1 - torch.exp(-cross_entropy)) ** gamma


def _mean(values: Tensor) -> Tensor:
    """Returns the mean, or without values a zero that keeps the gradient's path."""
    return values.mean() if values.numel() else values.sum()


def onto_grid(layer: tuple[int, int], grid: tuple[int, int]) -> Separable:
    """Makes the upsampling and three-tap mean of one layer: A_h x A_w^T."""
    rows, columns = (
        mean3(size) @ bilinear(size, source, align_corners=True)
        for size, source in zip(grid, layer, strict=True)
    )
    return Separable(rows, columns)


def _sample(count: int, wanted: int) -> Tensor:
    """Draws `wanted` sorted indices below `count`, or all when there are fewer."""
    return torch.randperm(count)[:wanted].sort().values
