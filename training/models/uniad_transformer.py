"""UniAD's transformer: an encoder and a decoder that are blind to a token's neighbourhood."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from training.models.uniad import Config


def neighbour_mask(grid: tuple[int, int], neighbours: tuple[int, int]) -> Tensor:
    """True (T, T) where a token, row by row, may not look: at the window around itself."""
    rows, columns = (
        index.flatten()
        for index in torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    )
    near = (rows[:, None] - rows).abs() <= neighbours[0] // 2
    return near & ((columns[:, None] - columns).abs() <= neighbours[1] // 2)


class Attention(nn.Module):
    """Multi-head attention over tokens, with a fixed mask.

    The joint query-key-value matrix (3 W, W) is initialised as one, as torch's MultiheadAttention
    does.
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

    The residual stream begins with the query and never with the features: nothing can be copied.
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
        """The layers of the encoder, first to last."""
        return [layer for layer in self.encoder if isinstance(layer, EncoderLayer)]

    def decoder_layers(self) -> list[DecoderLayer]:
        """The layers of the decoder, first to last."""
        return [layer for layer in self.decoder if isinstance(layer, DecoderLayer)]

    def position(self) -> Tensor:
        """Position code (T, W): the column's half, then the row's."""
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
