"""SimpleNet folded for inference."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from export.fold.affine import batch_norm, composed, conv1x1, matrix
from export.fold.backbone import DeployedBackbone
from training.linear_maps import smoothing
from training.models.simplenet import BLUR_RADIUS, BLUR_SIGMA, Model


class Deployed(nn.Module):
    """SimpleNet in eval mode as one graph with every exact fold.

    The adaptor, the first layer of the discriminator and its batch norm are one matrix. Each layer
    of the backbone has its part of it, which runs on the layer's own grid, between the grouped
    convolution and the upsampling. Rows of a bilinear matrix sum to one, so that the bias is added
    once, afterwards. Upsampling and smoothing of the map are one matrix per axis.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.backbone = DeployedBackbone(model.backbone)
        self.embed = model.embed
        adaptor, adaptor_bias = composed(model.adaptor)
        hidden, hidden_bias = matrix(model.discriminator.hidden)
        scale, offset = batch_norm(model.discriminator.norm)
        merged = scale[:, None] * hidden @ adaptor  # (hidden, D)
        bias = scale * (hidden @ adaptor_bias + hidden_bias) + offset
        parts = [merged[:, e.first : e.end] for e in model.embed.layer_embeddings()]
        self.layers = nn.ModuleList(conv1x1(part) for part in parts)
        self.register_buffer("bias", bias.float()[:, None, None])
        self.tail = conv1x1(-matrix(model.discriminator.tail)[0])
        self.smooth = smoothing(model.size, model.grid, BLUR_SIGMA, BLUR_RADIUS, "symmetric")

    bias: Tensor

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (N, H, W, 3) BGR -> scores (N,), maps (N, H, W)."""
        hidden = self.bias
        features = self.backbone(images)
        for conv, embed, feature in zip(
            self.layers, self.embed.layer_embeddings(), features, strict=True
        ):
            hidden = hidden + embed.to_grid(conv(embed.pool(feature)))
        scores = self.tail(F.leaky_relu(hidden, 0.2))[:, 0]  # (N, h, w)
        return scores.amax((1, 2)), self.smooth(scores)
