"""Affine maps of trained layers, float64, for exact folds."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn


def matrix(layer: nn.Conv2d | nn.Linear) -> tuple[Tensor, Tensor]:
    """Returns weight (out, in) and bias (out,) of a linear layer or 1x1 convolution, float64."""
    weight = layer.weight.detach().double().flatten(1)
    bias = layer.bias.detach().double() if layer.bias is not None else weight.new_zeros(len(weight))
    return weight, bias


def composed(layers: Iterable[nn.Module]) -> tuple[Tensor, Tensor]:
    """Returns weight and bias of linear layers one after the other, float64."""
    first, *others = [matrix(layer) for layer in layers if isinstance(layer, nn.Linear)]
    weight, bias = first
    for then, offset in others:
        weight, bias = then @ weight, then @ bias + offset
    return weight, bias


def batch_norm(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Returns the scale and offset (channels,) of a batch norm in eval mode, float64."""
    state = {key: value.detach().double() for key, value in norm.state_dict().items()}
    scale = state["weight"] / (state["running_var"] + norm.eps).sqrt()
    return scale, state["bias"] - scale * state["running_mean"]


def conv1x1(weight: Tensor) -> nn.Conv2d:
    """Makes a 1x1 convolution of a matrix (out, in): float32, without bias."""
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], 1, bias=False)
    conv.weight.data = weight.float()[:, :, None, None]
    return conv
