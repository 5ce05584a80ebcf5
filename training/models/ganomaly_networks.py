"""The networks of GANomaly: encoder, decoder, generator and discriminator; see `ganomaly`."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from training.moments import BATCH_NORMS


class Encoder(nn.Module):
    """Halves the image down to 4x4, then to a vector.

    Args:
        size: S, side of the image, px.
        channels: C of the first layer.
        outputs: length of the vector.
        extra: number of 3x3 layers at S/2.
    """

    def __init__(self, size: int, channels: int, outputs: int, extra: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [_halving(3, channels), _leaky()]  # (N, C, S/2, S/2)
        for _ in range(extra):
            layers += [_same(channels), nn.BatchNorm2d(channels), _leaky()]
        while size > 8:
            layers += [_halving(channels, 2 * channels), nn.BatchNorm2d(2 * channels), _leaky()]
            size, channels = size // 2, 2 * channels
        self.body = nn.Sequential(*layers)  # (N, C S/8, 4, 4)
        self.head = nn.Conv2d(channels, outputs, 4, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, outputs, 1, 1)."""
        out: Tensor = self.head(self.body(image))
        return out


class Decoder(nn.Module):
    """The encoder's mirror image, up to an image in [-1, 1], with the same arguments."""

    def __init__(self, size: int, channels: int, latent: int, extra: int) -> None:
        super().__init__()
        width = channels * size // 8
        first = nn.ConvTranspose2d(latent, width, 4, bias=False)
        layers: list[nn.Module] = [first, nn.BatchNorm2d(width), _relu()]  # (N, C S/8, 4, 4)
        while width > channels:
            layers += [_doubling(width, width // 2), nn.BatchNorm2d(width // 2), _relu()]
            width //= 2
        for _ in range(extra):
            layers += [_same(channels), nn.BatchNorm2d(channels), _relu()]  # (N, C, S/2, S/2)
        self.body = nn.Sequential(*layers, _doubling(channels, 3), nn.Tanh())

    def forward(self, latent: Tensor) -> Tensor:
        """(N, L, 1, 1) -> (N, 3, S, S)."""
        out: Tensor = self.body(latent)
        return out


class Rebuilt(NamedTuple):
    """The generator's output: rebuilt image (N, 3, S, S), codes z and z' (N, L, 1, 1)."""

    image: Tensor
    latent: Tensor
    second_latent: Tensor


class Generator(nn.Module):
    """Encoder, decoder, second encoder; the encoders share no weights."""

    def __init__(self, size: int, channels: int, latent: int, extra: int) -> None:
        super().__init__()
        self.encoder = Encoder(size, channels, latent, extra)
        self.decoder = Decoder(size, channels, latent, extra)
        self.second_encoder = Encoder(size, channels, latent, extra)

    def forward(self, image: Tensor) -> Rebuilt:
        """(N, 3, S, S) -> the part rebuilt as a good one, with its codes."""
        latent = self.encoder(image)
        rebuilt = self.decoder(latent)
        return Rebuilt(rebuilt, latent, self.second_encoder(rebuilt))


class Discriminator(Encoder):
    """Tells images from rebuilt ones; its features are all but the last layer."""

    def __init__(self, size: int, channels: int, extra: int) -> None:
        super().__init__(size, channels, 1, extra)

    def features(self, image: Tensor) -> Tensor:
        """(N, 3, S, S) -> (N, C S/8, 4, 4)."""
        out: Tensor = self.body(image)
        return out

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, S, S) -> logits (N,), high for real images."""
        return super().forward(image).flatten()


def levels(body: nn.Sequential, image: Tensor) -> list[Tensor]:
    """Returns the activations (N, C_l, s_l, s_l) of the discriminator, finest first."""
    activations = []
    for layer in body:
        image = layer(image)
        if isinstance(layer, nn.LeakyReLU):
            activations.append(image)
    return activations


def distance(real: Tensor, fake: Tensor) -> Tensor:
    """Root mean square over the channels: (N, C, h, w) twice -> (N, h, w)."""
    return (real - fake).square().mean(1).sqrt()


def initialise(module: nn.Module) -> None:
    """Draws weights around 0, batch norms around 1 (DCGAN, ICLR 2016); for `Module.apply`."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, BATCH_NORMS):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def _halving(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False)


def _doubling(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False)


def _same(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, padding=1, bias=False)


def _leaky() -> nn.LeakyReLU:
    return nn.LeakyReLU(0.2, inplace=True)


def _relu() -> nn.ReLU:
    return nn.ReLU(inplace=True)
