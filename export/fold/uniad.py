"""UniAD folded for inference."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.fold.affine import matrix
from export.fold.backbone import DeployedBackbone
from training.linear_maps import Separable
from training.models.uniad import Attention, DecoderLayer, EncoderLayer, Model

_BLIND = -1e4  # exp(_BLIND) is zero in float32 and in float16, where minus infinity would make NaN


class Deployed(nn.Module):
    """UniAD in eval mode as one graph with every exact fold.

    Position codes become biases of the projections of queries and keys. Projections of the same
    tokens become one matrix product. The query of a decoder layer to the encoder is a constant.
    The map's enlargement and the score's window average become one matrix per axis.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.backbone = DeployedBackbone(model.backbone)
        self.align, self.enlarge = model.align, model.enlarge
        self.input, self.output = model.input, model.output
        self.grid, self.by_mean = model.grid, model.config.score == "mean"
        transformer = model.transformer
        position = transformer.position().detach().double()
        mask = torch.zeros(transformer.blind.shape).masked_fill(transformer.blind, _BLIND)
        self.register_buffer("mask", mask)
        self.encoder = nn.ModuleList(
            _Encoder(layer, position) for layer in transformer.encoder_layers()
        )
        self.decoder = nn.ModuleList(
            _Decoder(layer, position) for layer in transformer.decoder_layers()
        )
        self.norm = transformer.norm
        self.average = Separable(
            model.average.rows.double() @ model.enlarge.rows.double(),
            model.average.columns.double() @ model.enlarge.columns.double(),
        )

    mask: Tensor

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (N, H, W, 3) BGR -> scores (N,), maps (N, H, W)."""
        layers = [to(f) for to, f in zip(self.align, self.backbone(images), strict=True)]
        tokens = torch.cat(layers, dim=1).flatten(2).transpose(1, 2)  # (N, T, C)
        encoded = self.input(tokens)
        for layer in self.encoder:
            encoded = layer(encoded, self.mask)
        decoded = encoded
        for layer in self.decoder:
            decoded = layer(encoded, decoded, self.mask)
        error = self.output(self.norm(decoded)) - tokens
        distance = (error * error).sum(2).sqrt().unflatten(1, self.grid)  # (N, h, w)
        maps = self.enlarge(distance)
        if self.by_mean:
            return maps.mean((1, 2)), maps
        return self.average(distance).amax((1, 2)), maps


class _Projection(nn.Module):
    """Tokens x (N, T, W) -> heads of x W^T + constant (T, K); the constant holds position codes.

    Args:
        weight: (K, W), of one to three parts, such as queries and keys.
        constant: (T, K).
        width: of a head.
    """

    def __init__(self, weight: Tensor, constant: Tensor, width: int) -> None:
        super().__init__()
        self.register_buffer("weight", weight.T.float().contiguous())
        self.register_buffer("constant", constant.float())
        self.width = width

    weight: Tensor
    constant: Tensor

    def forward(self, tokens: Tensor) -> Tensor:
        """Returns the heads of all parts, one part behind the other (N, K / width, T, width)."""
        # Cut into parts by heads, behind the one transposition. TensorRT for RTX 1.7 refuses a cut
        # before it (MatMul, Add of a constant (T, K), Split, Reshape, Transpose): it takes the
        # constant for K values and ends with "logical memory size should be equal to payload size".
        return _heads(tokens @ self.weight + self.constant, self.width)


class _Attention(nn.Module):
    """Attention of projected queries, keys and values."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.out = attention.out

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """Heads of query, key and value (N or 1, H, T, W / H), mask (T, T) -> (N, T, W)."""
        seen = (q @ k.transpose(2, 3) + mask).softmax(dim=3) @ v
        out: Tensor = self.out(seen.transpose(1, 2).flatten(2))
        return out


class _Encoder(nn.Module):
    def __init__(self, layer: EncoderLayer, position: Tensor) -> None:
        super().__init__()
        (wq, bq), (wk, bk), (wv, bv) = _projections(layer.attention, position)
        width = _head_width(layer.attention)
        self.project = _Projection(torch.cat([wq, wk, wv]), torch.cat([bq, bk, bv], dim=1), width)
        self.attend = _Attention(layer.attention)
        self.norms, self.feed_forward = layer.norms, layer.feed_forward

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.norms[0](x + self.attend(*self.project(x).chunk(3, dim=1), mask))
        out: Tensor = self.norms[1](x + self.feed_forward(x))
        return out


class _Decoder(nn.Module):
    def __init__(self, layer: DecoderLayer, position: Tensor) -> None:
        super().__init__()
        (wq, bq), (wk, bk), (wv, bv) = _projections(layer.ask_encoder, position)
        asked = layer.query.detach().double() @ wq.T + bq
        width = _head_width(layer.ask_encoder)
        self.register_buffer("asked", _heads(asked.float()[None], width))
        self.of_encoder = _Projection(torch.cat([wk, wv]), torch.cat([bk, bv], dim=1), width)
        self.ask_encoder = _Attention(layer.ask_encoder)
        (wq, bq), (wk, bk), (wv, bv) = _projections(layer.ask_before, position)
        self.question = _Projection(wq, bq, width)
        self.of_before = _Projection(torch.cat([wk, wv]), torch.cat([bk, bv], dim=1), width)
        self.ask_before = _Attention(layer.ask_before)
        self.register_buffer("query", layer.query.detach()[None])
        self.norms, self.feed_forward = layer.norms, layer.feed_forward

    asked: Tensor
    query: Tensor

    def forward(self, encoded: Tensor, before: Tensor, mask: Tensor) -> Tensor:
        seen = self.ask_encoder(self.asked, *self.of_encoder(encoded).chunk(2, dim=1), mask)
        z = self.norms[0](self.query + seen)
        seen = self.ask_before(self.question(z), *self.of_before(before).chunk(2, dim=1), mask)
        z = self.norms[1](z + seen)
        out: Tensor = self.norms[2](z + self.feed_forward(z))
        return out


def _head_width(attention: Attention) -> int:
    return len(attention.project.weight) // 3 // attention.heads


def _heads(x: Tensor, width: int) -> Tensor:
    """Cuts rows into heads: (N, T, K) -> (N, K / width, T, width)."""
    heads: Tensor = x.unflatten(2, (-1, width)).transpose(1, 2)
    return heads


def _projections(attention: Attention, position: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Returns weights (W, W) and constants (T, W) of scaled queries, keys and values, float64."""
    weight, bias = matrix(attention.project)
    scale = (len(weight) / 3 / attention.heads) ** -0.5
    weights, biases = weight.chunk(3), bias.chunk(3)
    constants = [
        position @ weights[0].T + biases[0],
        position @ weights[1].T + biases[1],
        biases[2].expand(len(position), -1),
    ]
    factors = (scale, 1.0, 1.0)
    return [(f * w, f * c) for f, w, c in zip(factors, weights, constants, strict=True)]
