"""GANomaly folded for inference: batch norms merged, channels reordered, maps as matrices."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from export.fold.affine import batch_norm
from training.linear_maps import apply, bilinear
from training.models.ganomaly import HALF_RANGE, Model
from training.models.ganomaly_networks import Decoder, Encoder, distance, levels


class Deployed(nn.Module):
    """GANomaly in eval mode as one graph with every exact fold.

    The convolution before each batch norm takes it in. Everything runs in the frame's channel
    order: the kernels of layers that read or make an image are reordered instead. The change of
    range stays, because the map compares images in [-1, 1]; besides, the first convolution pads
    with zeros after the shift, so that a bias would be wrong along the border. The discriminator is
    left out unless the map is made of its features.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        generator = model.generator
        self.encoder = _folded_encoder(generator.encoder)
        self.decoder = _folded_decoder(generator.decoder)
        self.second_encoder = _folded_encoder(generator.second_encoder)
        self.anomaly_map = model.config.anomaly_map
        self.scores_by_map = model.config.score == "map"
        if self.anomaly_map == "features":
            self.distances = _FoldedDistances(model)
        gain = 1 / model.normal_spread()
        self.register_buffer("gain", gain.float())
        self.register_buffer("shift", (-gain * model.pixel_mean.double()).float())
        self.register_buffer("blur", model.blur)

    gain: Tensor
    shift: Tensor
    blur: Tensor

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (N, S, S, 3) BGR -> scores (N,), maps (N, S, S)."""
        image = images.float().permute(0, 3, 1, 2) / HALF_RANGE - 1  # (N, 3, S, S) BGR
        latent = self.encoder(image)  # (N, L, 1, 1)
        rebuilt = self.decoder(latent)
        second_latent = self.second_encoder(rebuilt)
        maps = self._raw_map(image, rebuilt, second_latent) * self.gain + self.shift
        if self.scores_by_map:
            return maps.amax((1, 2)), maps
        return (latent - second_latent).square().mean((1, 2, 3)), maps

    def _raw_map(self, image: Tensor, rebuilt: Tensor, second_latent: Tensor) -> Tensor:
        if self.anomaly_map == "features":
            out: Tensor = self.distances(image, rebuilt)
            return out
        if self.anomaly_map == "latent":
            image = self.decoder(second_latent)
        return apply(self.blur, (image - rebuilt).abs().mean(1), self.blur)


class _FoldedDistances(nn.Module):
    """The map of discriminator features: scaling, upsampling and blur are one matrix per level."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.body = _folded_body(model.discriminator.body)
        size = model.size[0]
        sides = [level.shape[-1] for level in levels(self.body, torch.zeros(1, 3, size, size))]
        for number, side in enumerate(sides):
            smooth = model.blur.double() @ bilinear(size, side, align_corners=False)
            scaled = smooth / model.level_means[number].double()
            self.register_buffer(f"rows{number}", scaled.float())
            self.register_buffer(f"columns{number}", smooth.float())

    def forward(self, image: Tensor, rebuilt: Tensor) -> Tensor:
        total = torch.zeros(())
        pairs = zip(levels(self.body, image), levels(self.body, rebuilt), strict=True)
        for number, (real, fake) in enumerate(pairs):
            rows, columns = self.get_buffer(f"rows{number}"), self.get_buffer(f"columns{number}")
            total = total + apply(rows, distance(real, fake), columns)
        return total


def _folded_encoder(encoder: Encoder) -> nn.Sequential:
    return nn.Sequential(_folded_body(encoder.body), copy.deepcopy(encoder.head))


def _folded_body(body: nn.Sequential) -> nn.Sequential:
    folded = _merge_batch_norms(body)
    _reverse_channels(folded[0])
    return folded


def _folded_decoder(decoder: Decoder) -> nn.Sequential:
    folded = _merge_batch_norms(decoder.body)
    _reverse_channels(folded[-2])  # before the tanh
    return folded


def _reverse_channels(layer: nn.Module) -> None:
    """Swaps RGB and BGR on axis 1: inputs of a convolution, outputs of a transposed one."""
    assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)  # noqa: S101 - by construction
    layer.weight.data = layer.weight.data.flip(1)


def _merge_batch_norms(body: nn.Sequential) -> nn.Sequential:
    merged: list[nn.Module] = []
    for layer in copy.deepcopy(body):
        if isinstance(layer, nn.BatchNorm2d):
            _scale_outputs(merged[-1], *batch_norm(layer))
        else:
            merged.append(layer)
    return nn.Sequential(*merged)


def _scale_outputs(layer: nn.Module, scale: Tensor, offset: Tensor) -> None:
    """Gives a convolution without bias the scale and offset (channels,) of the norm behind it."""
    assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)  # noqa: S101 - by construction
    by_output = (-1, 1, 1, 1) if isinstance(layer, nn.Conv2d) else (1, -1, 1, 1)
    layer.weight.data = (layer.weight.data.double() * scale.view(by_output)).float()
    layer.bias = nn.Parameter(offset.float())
