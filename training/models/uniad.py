"""UniAD: You, Cui, Shen, Yang, Lu, Zheng, Le, NeurIPS 2022.

A transformer reconstructs the features of a frozen backbone, those of good parts best. Three things
keep it from copying its input: every token is blind to its neighbourhood, each decoder layer starts
from a learned query, and the training jitters the features. One model may learn several kinds of
parts.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import StepLR

from inspection.errors import ConfigError
from training.backbones import Backbone, BackboneConfig
from training.data.samples import Targets
from training.linear_maps import Separable, resizing, window_mean
from training.models.base import (
    AnomalyModel,
    FeatureBatches,
    Features,
    Losses,
    ModelConfig,
    Optimisation,
    Prediction,
    blank_image,
)
from training.moments import Moments

POOL = 16  # window of the average over the map; the score is its maximum


class Config(ModelConfig):
    """Settings of UniAD.

    Attributes:
        width: length of a token inside the transformer.
        heads: attention heads.
        feedforward: hidden width of the feed-forward layers.
        layers: number of encoder layers, and of decoder layers.
        neighbours: (rows, columns), odd, around a token that its attention does not see.
        dropout: of attention, residual branches and feed-forward layers, in training.
        jitter_scale: strength of the noise on the features in training: its standard deviation is
            jitter_scale / sqrt(C) times the root mean square of the token. 0 for none.
        jitter_probability: share of the steps with that noise.
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
            raise ValueError(
                f"neighbours {self.neighbours} must be odd, with the token in the middle"
            )
        return self


class Attention(nn.Module):
    """Multi-head attention over tokens, with a fixed mask.

    The joint query-key-value matrix (3 W, W) is initialised as one, as in torch's
    MultiheadAttention.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.project = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        for layer in (self.project, self.out):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, blind: Tensor) -> Tensor:
        """Query (N or 1, T, W), key and value (N, T, W), blind (T, T) -> (N, T, W)."""
        weights, biases = self.project.weight.chunk(3), self.project.bias.chunk(3)
        q, k, v = (
            F.linear(x, weight, bias).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
        )  # (N, heads, T, W / heads)
        logits = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5
        attention = logits.masked_fill(blind, float("-inf")).softmax(dim=3)
        seen = F.dropout(attention, self.dropout, self.training) @ v
        out: Tensor = self.out(seen.transpose(1, 2).flatten(2))
        return out


class FeedForward(nn.Module):
    """Linear, ReLU, linear, on each token."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, hidden)
        self.out = nn.Linear(hidden, width)
        self.dropout = dropout
        for layer in (self.hidden, self.out):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, T, W) -> (N, T, W)."""
        hidden = F.dropout(F.relu(self.hidden(tokens)), self.dropout, self.training)
        out: Tensor = self.out(hidden)
        return out


class EncoderLayer(nn.Module):
    """Attention among the tokens, then a feed-forward layer; normalised after each."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.attention = Attention(config.width, config.heads, config.dropout)
        self.feed_forward = FeedForward(config.width, config.feedforward, config.dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(config.width) for _ in range(2))
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, position: Tensor, blind: Tensor) -> Tensor:
        """Tokens (N, T, W), position code (T, W), blind (T, T) -> (N, T, W)."""
        placed = x + position
        x = self.norms[0](x + self.drop(self.attention(placed, placed, x, blind)))
        out: Tensor = self.norms[1](x + self.drop(self.feed_forward(x)))
        return out


class DecoderLayer(nn.Module):
    """A learned query asks the encoder's output, then the layer before.

    The residual stream begins with the query and never with the features: it cannot copy them.
    """

    def __init__(self, config: Config, tokens: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(tokens, config.width))
        self.ask_encoder = Attention(config.width, config.heads, config.dropout)
        self.ask_before = Attention(config.width, config.heads, config.dropout)
        self.feed_forward = FeedForward(config.width, config.feedforward, config.dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(config.width) for _ in range(3))
        self.drop = nn.Dropout(config.dropout)

    def forward(self, encoded: Tensor, before: Tensor, position: Tensor, blind: Tensor) -> Tensor:
        """Encoder's output and the previous layer's (N, T, W) -> (N, T, W)."""
        query = self.query[None]  # (1, T, W)
        seen = self.ask_encoder(query + position, encoded + position, encoded, blind)
        z = self.norms[0](query + self.drop(seen))
        seen = self.ask_before(z + position, before + position, before, blind)
        z = self.norms[1](z + self.drop(seen))
        out: Tensor = self.norms[2](z + self.drop(self.feed_forward(z)))
        return out


class Transformer(nn.Module):
    """Encoder and decoder over the tokens of a grid, with one learned position code for all."""

    def __init__(self, config: Config, grid: tuple[int, int]) -> None:
        super().__init__()
        tokens = grid[0] * grid[1]
        self.grid = grid
        self.rows = nn.Parameter(torch.rand(grid[0], config.width // 2))
        self.columns = nn.Parameter(torch.rand(grid[1], config.width // 2))
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.layers))
        self.decoder = nn.ModuleList(DecoderLayer(config, tokens) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        blind = neighbour_mask(grid, config.neighbours)
        self.register_buffer("blind", blind, persistent=False)

    blind: Tensor

    def encoder_layers(self) -> list[EncoderLayer]:
        """Returns the layers of the encoder, first to last."""
        return [layer for layer in self.encoder if isinstance(layer, EncoderLayer)]

    def decoder_layers(self) -> list[DecoderLayer]:
        """Returns the layers of the decoder, first to last."""
        return [layer for layer in self.decoder if isinstance(layer, DecoderLayer)]

    def position(self) -> Tensor:
        """Returns the position code (T, W): the column's half, then the row's."""
        height, width = self.grid
        columns = self.columns[None].expand(height, -1, -1)
        rows = self.rows[:, None].expand(-1, width, -1)
        return torch.cat([columns, rows], dim=2).flatten(0, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, T, W) -> (N, T, W)."""
        position = self.position()
        encoded = tokens
        for layer in self.encoder:
            encoded = layer(encoded, position, self.blind)
        decoded = encoded
        for layer in self.decoder:
            decoded = layer(encoded, decoded, position, self.blind)
        out: Tensor = self.norm(decoded)
        return out


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
        """Resizes all layers to the grid of the deepest one: F (N, C, h, w)."""
        layers = self.backbone(images)
        return (torch.cat([to(f) for to, f in zip(self.align, layers, strict=True)], dim=1),)

    def loss(self, features: Features, targets: Targets) -> Losses:  # noqa: ARG002
        """Computes the mean squared error of the reconstruction of the features without jitter."""
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
        """Adds noise to tokens (N, h * w, C), in proportion to their length."""
        strength = self.config.jitter_scale / self.channels
        length = tokens.square().sum(2, keepdim=True).sqrt()
        return tokens + strength * length * torch.randn_like(tokens)

    def predict(self, features: Features) -> Prediction:
        """Computes the enlarged distance of tokens to their reconstruction, and the score of it."""
        (aligned,) = features
        distance = (self.reconstruct(aligned) - aligned).square().sum(1).sqrt()  # (N, h, w)
        maps = self.enlarge(distance)  # (N, H, W)
        if self.config.score == "mean":
            return Prediction(maps.mean((1, 2)), maps)
        return Prediction(self.average(maps).amax((1, 2)), maps)

    def optimisation(self, epochs: int) -> Optimisation:
        """Makes AdamW, with rate x 0.1 after 80 % of the epochs, gradients clipped to norm 0.1."""
        trained = [p for p in self.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(
            trained, self.config.learning_rate, weight_decay=self.config.weight_decay
        )
        schedule = StepLR(optimiser, max(1, int(0.8 * epochs)), gamma=0.1)
        return Optimisation([optimiser], [schedule], clip_norm=0.1)

    @torch.no_grad()
    def finish(self, batches: FeatureBatches) -> None:
        """Compares the reconstruction of the good parts with their mean token, for `doubts`."""
        self.eval()
        moments, errors = Moments(), Moments()
        for (aligned,) in batches():
            moments.add(aligned.transpose(1, 3).flatten(0, 2))  # tokens (N * h * w, C)
            errors.add((self.reconstruct(aligned) - aligned).square().mean((1, 2, 3)))
        self._fit_of_good = float(errors.mean), float(moments.variance.mean())

    def doubts(self, losses: dict[str, float]) -> list[str]:  # noqa: ARG002
        """Doubts a reconstruction that is not better than the mean token of good parts."""
        if self._fit_of_good is None or self._fit_of_good[0] < self._fit_of_good[1]:
            return []
        error, variance = self._fit_of_good
        doubt = (
            f"good parts are not reconstructed better (error {error:.3g}) than by their mean token "
            f"({variance:.3g}): train longer"
        )
        return [doubt]

    def _refuse_size(self) -> None:
        stride = self.backbone.strides[-1]
        if any(n % stride for n in self.size):
            raise ConfigError(
                f"data.image_size {list(self.size)}: take multiples of {stride}, "
                "so that every token of UniAD covers one square of the image"
            )
        if neighbour_mask(self.grid, self.config.neighbours).all(dim=1).any():
            raise ConfigError(
                f"data.image_size {list(self.size)}: a token in the middle of the "
                f"{self.grid[0]}x{self.grid[1]} grid sees only its own neighbourhood; take "
                f"a larger size, or smaller model.neighbours than {list(self.config.neighbours)}"
            )


def neighbour_mask(grid: tuple[int, int], neighbours: tuple[int, int]) -> Tensor:
    """Returns True (T, T) where a token, row by row, is blind: in the window around itself."""
    rows, columns = (
        index.flatten()
        for index in torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    )
    near = (rows[:, None] - rows).abs() <= neighbours[0] // 2
    return near & ((columns[:, None] - columns).abs() <= neighbours[1] // 2)
