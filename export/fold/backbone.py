"""Backbones folded for inference."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from inspection.errors import ConfigError
from training.backbones import Backbone, ReflectedSame


class DeployedBackbone(nn.Module):
    """A backbone with one subtraction before the first convolution as its whole preparation.

    The weights of the first convolution take in the division by the standard deviation and by 255,
    and the change from BGR to RGB. They cannot take in the mean: the convolution pads with zeros
    after the subtraction, so that a bias would be wrong along the border.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.body = copy.deepcopy(backbone.body)
        first = _first_convolution(self.body)
        scale = 1 / (255 * backbone.std.double())
        first.weight.data = (first.weight.data.double() * scale).flip(1).float()
        self.register_buffer("mean", (255 * backbone.mean.double()).flip(1).float())

    mean: Tensor

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """uint8 (N, H, W, 3) BGR -> feature maps (N, C_k, H / stride_k, W / stride_k)."""
        return tuple(self.body(images.float().permute(0, 3, 1, 2) - self.mean))


def _first_convolution(body: nn.Module) -> nn.Conv2d | ReflectedSame:
    for module in body.modules():
        if isinstance(module, nn.Conv2d | ReflectedSame):
            if module.weight.shape[1] != 3:
                break
            return module
    raise ConfigError("the backbone does not begin with a convolution over three channels")
