"""The two heads of SuperSimpleNet: where a part is anomalous, and whether it is."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KERNEL = 5  # of the classification head


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
