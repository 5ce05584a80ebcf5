"""GANomaly: Akcay, Atapour-Abarghouei, Breckon, ACCV 2018.

An encoder, a decoder and a second encoder learn to rebuild good parts from a short code; a
discriminator keeps the rebuilt images plausible. For a defective part the code z differs from the
code z' of its rebuilt image. A legacy baseline: on parts like those of MVTec AD the models with a
pretrained backbone are far ahead of it. The paper does not have an anomaly map; the maps are this
project's.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, distributed, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from inspection.errors import ConfigError
from training.data.samples import Targets
from training.linear_maps import apply, gaussian
from training.models.base import (
    AnomalyModel,
    FeatureBatches,
    Features,
    Losses,
    ModelConfig,
    Optimisation,
    Prediction,
    Steps,
)
from training.models.ganomaly_networks import (
    Discriminator,
    Generator,
    Rebuilt,
    distance,
    initialise,
    levels,
)
from training.moments import Moments, recalibrate

HALF_RANGE = 127.5  # grey levels: 0 .. 255 becomes -1 .. 1
_SIZES = (16, 32, 64, 128, 256, 512)
_LOST = 1e-5  # below this loss the discriminator has won, and starts anew
_CHANCE = 0.9
_MISMATCH = 2.0

Positive = Annotated[float, Field(gt=0)]


class Config(ModelConfig):
    """Settings of GANomaly.

    Attributes:
        channels: of the first layer; every halving of the image doubles them.
        latent: length of the code z.
        extra_layers: 3x3 layers at half the image size, in each network.
        score: `pred_score` is the mean square of z - z' (the paper's), or the maximum of the
            anomaly map.
        anomaly_map: "reconstruction" compares the image with the rebuilt one; "latent" compares
            the rebuilt one with the decoded z', which explains the score; "features" compares the
            discriminator's features of both images.
        smoothing: standard deviation of the map's blur, px; None takes 4 at 256 px, in proportion
            to the size, and at least 1.
        weight_adversarial, weight_context, weight_latent: of the generator's loss terms.
    """

    name: Literal["ganomaly"] = "ganomaly"
    channels: Annotated[int, Field(ge=1)] = 64
    latent: Annotated[int, Field(ge=1)] = 100
    extra_layers: Annotated[int, Field(ge=0)] = 0
    score: Literal["latent", "map"] = "latent"
    anomaly_map: Literal["reconstruction", "latent", "features"] = "reconstruction"
    smoothing: Positive | None = None
    learning_rate: Positive = 2e-4
    weight_adversarial: Annotated[float, Field(ge=0)] = 1.0
    weight_context: Positive = 50.0
    weight_latent: Annotated[float, Field(ge=0)] = 1.0


class Model(AnomalyModel):
    """GANomaly for square images of 16, 32, 64, 128, 256 or 512 px; nothing is pretrained."""

    config: Config

    stepped = ("generator_loss", "discriminator_loss")

    def __init__(
        self,
        config: Config,
        size: tuple[int, int],
        *,
        load_weights: bool = True,  # noqa: ARG002
    ) -> None:
        super().__init__(config, size)
        side = _side(size)
        self.generator = Generator(side, config.channels, config.latent, config.extra_layers)
        self.discriminator = Discriminator(side, config.channels, config.extra_layers)
        self.apply(initialise)
        sigma = config.smoothing or max(1.0, 4 * side / 256)
        blur = gaussian(side, sigma, math.ceil(3 * sigma), "symmetric")
        self.register_buffer("blur", blur.float(), persistent=False)
        self.register_buffer("pixel_mean", torch.zeros(side, side))
        self.register_buffer("pixel_std", torch.ones(side, side))
        depth = sum(isinstance(layer, nn.LeakyReLU) for layer in self.discriminator.body)
        self.register_buffer("level_means", torch.ones(depth))
        self._discriminator_adam: Optimizer | None = None
        self._errors: tuple[float, float] | None = None

    blur: Tensor
    pixel_mean: Tensor
    pixel_std: Tensor
    level_means: Tensor

    def extract(self, images: Tensor) -> Features:
        """Returns the image itself, (N, 3, S, S) RGB in [-1, 1]."""
        return (images.permute(0, 3, 1, 2).flip(1).float() / HALF_RANGE - 1,)

    def loss(self, features: Features, targets: Targets) -> Losses:  # noqa: ARG002
        """Returns the generator's terms."""
        return self.generator_loss(features)[0]

    def generator_loss(self, features: Features) -> tuple[Losses, Tensor]:
        """Returns the generator's terms, and the rebuilt images (N, 3, S, S) without gradients."""
        (image,) = features
        rebuilt = self.generator(image)
        with torch.no_grad():  # they do not depend on the generator
            seen = self.discriminator.features(image)
        seen_rebuilt = self.discriminator.features(rebuilt.image)
        config = self.config
        losses = {
            "adversarial": config.weight_adversarial * F.mse_loss(seen_rebuilt, seen),
            "context": config.weight_context * F.l1_loss(rebuilt.image, image),
            "latent": config.weight_latent * F.mse_loss(rebuilt.second_latent, rebuilt.latent),
        }
        return losses, rebuilt.image.detach()

    def discriminator_loss(self, features: Features, rebuilt: Tensor) -> Losses:
        """Returns the discriminator's term; ln 2 means that it cannot tell.

        Args:
            rebuilt: (N, 3, S, S) of the generator, without gradients.
        """
        real, fake = self.discriminator(features[0]), self.discriminator(rebuilt)
        on_real = F.binary_cross_entropy_with_logits(real, torch.ones_like(real))
        on_fake = F.binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))
        return {"discriminator": 0.5 * (on_real + on_fake)}

    def step(self, features: Features, targets: Targets, steps: Steps) -> dict[str, float]:  # noqa: ARG002
        """Takes a step of the generator, then one of the discriminator, on the same images."""
        losses: Losses
        losses, rebuilt = steps.module.generator_loss(features)
        steps.minimise(torch.stack(list(losses.values())).sum(), 0)
        judged: Losses = steps.module.discriminator_loss(features, rebuilt)
        steps.minimise(judged["discriminator"], 1)
        self.restart_winner(judged["discriminator"].detach())
        return {name: value.item() for name, value in {**losses, **judged}.items()}

    def restart_winner(self, loss: Tensor) -> None:
        """Draws new weights for a discriminator that has won and no longer teaches."""
        if not bool(_of_first_process(loss) < _LOST):
            return
        self.discriminator.apply(initialise)
        for parameter in self.discriminator.parameters():
            _of_first_process(parameter.data)
        if self._discriminator_adam is not None:
            self._discriminator_adam.state.clear()

    def predict(self, features: Features) -> Prediction:
        """Computes the squared difference of the codes, and the map in units of normal spread."""
        (image,) = features
        rebuilt: Rebuilt = self.generator(image)
        maps = (self.raw_map(image, rebuilt) - self.pixel_mean) / self.normal_spread().float()
        if self.config.score == "map":
            return Prediction(maps.amax((1, 2)), maps)
        return Prediction((rebuilt.latent - rebuilt.second_latent).square().mean((1, 2, 3)), maps)

    def raw_map(self, image: Tensor, rebuilt: Rebuilt) -> Tensor:
        """Computes the configured comparison, blurred: (N, S, S)."""
        if self.config.anomaly_map == "features":
            difference = torch.zeros_like(image[:, 0])
            for level, mean in zip(self._distances(image, rebuilt), self.level_means, strict=True):
                up = F.interpolate(level[:, None], self.size, mode="bilinear", align_corners=False)
                difference = difference + up[:, 0] / mean
        elif self.config.anomaly_map == "latent":
            decoded = self.generator.decoder(rebuilt.second_latent)
            difference = (rebuilt.image - decoded).abs().mean(1)
        else:
            difference = (image - rebuilt.image).abs().mean(1)
        return apply(self.blur, difference, self.blur)

    def normal_spread(self) -> Tensor:
        """Returns the divisor of the map (S, S), float64, which is well above zero everywhere."""
        std = self.pixel_std.double()
        return std + 1e-6 + 0.05 * std.mean()

    def optimisation(self, epochs: int) -> Optimisation:  # noqa: ARG002
        """Makes one Adam for the generator and one for the discriminator, at a constant rate."""
        rate, betas = self.config.learning_rate, (0.5, 0.999)
        generator = torch.optim.Adam(self.generator.parameters(), rate, betas)
        self._discriminator_adam = torch.optim.Adam(self.discriminator.parameters(), rate, betas)
        return Optimisation([generator, self._discriminator_adam], [])

    @torch.no_grad()
    def finish(self, batches: FeatureBatches) -> None:
        """Fits the batch norms, then the map's normalisation, to the good images; eval mode after.

        The running statistics lag behind the weights. Therefore the official code scores test
        images by their own batch (samet-akcay/ganomaly, issues 47 and 83).
        """
        recalibrate(self, self._pass_batch_norms, (batch for (batch,) in batches()))
        self.eval()
        if self.config.anomaly_map == "features":
            self.level_means.copy_(self._mean_distances(batches))
        maps = Moments()
        errors, plain = Moments(), Moments()
        for (image,) in batches():
            rebuilt = self.generator(image)
            maps.add(self.raw_map(image, rebuilt))
            errors.add((image - rebuilt.image).abs().mean((1, 2, 3)))
            plain.add((image - image.mean((2, 3), keepdim=True)).abs().mean((1, 2, 3)))
        self.pixel_mean.copy_(maps.mean)
        self.pixel_std.copy_(maps.std)
        self._errors = float(errors.mean), float(plain.mean)

    def doubts(self, losses: dict[str, float]) -> list[str]:
        """Compares the error on good parts with that of a plain image, and with the training's."""
        if self._errors is None:
            return []
        error, plain = self._errors
        fitted = losses["context"] / self.config.weight_context
        doubts = []
        if error > _CHANCE * plain:
            doubts.append(
                f"good parts are rebuilt hardly better ({error:.3f}) than by a plain image of "
                f"their mean colour ({plain:.3f}): train longer, or take another model"
            )
        if error > _MISMATCH * fitted:
            doubts.append(
                f"good parts are rebuilt worse ({error:.3f}) than during training ({fitted:.3f}), "
                "where batch norms saw each batch: train longer, or with larger batches"
            )
        return doubts

    def _pass_batch_norms(self, image: Tensor) -> None:
        """Passes an image (N, 3, S, S) and its rebuilt image through every batch norm."""
        self.discriminator.features(torch.cat([image, self.generator(image).image]))

    def _distances(self, image: Tensor, rebuilt: Rebuilt) -> list[Tensor]:
        """Returns the distance of the discriminator's activations, (N, s_l, s_l) at each level."""
        body = self.discriminator.body
        pairs = zip(levels(body, image), levels(body, rebuilt.image), strict=True)
        return [distance(real, fake) for real, fake in pairs]

    def _mean_distances(self, batches: FeatureBatches) -> Tensor:
        means = Moments()
        for (image,) in batches():
            distances = self._distances(image, self.generator(image))
            means.add(torch.stack([level.mean((1, 2)) for level in distances], dim=1))
        return means.mean.clamp(min=1e-12)


def _side(size: tuple[int, int]) -> int:
    height, width = size
    if height != width or height not in _SIZES:
        raise ConfigError(
            f"ganomaly halves its images down to 4x4, and they are {height}x{width}: set "
            f"data.image_size to a square of {', '.join(map(str, _SIZES[:-1]))} or {_SIZES[-1]}"
        )
    return height


def _of_first_process(value: Tensor) -> Tensor:
    """Overwrites `value` with that of the first process, so that all processes agree."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.broadcast(value, 0)
    return value
