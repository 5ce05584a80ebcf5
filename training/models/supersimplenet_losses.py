"""The losses of SuperSimpleNet: of its map over trusted images, and focal loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from training.models.base import Losses


def segmentation_losses(
    logits: Tensor, masks: Tensor, weights: Tensor, segmented: Tensor
) -> Losses:
    """Losses of the map over the images whose mask can be trusted.

    Args:
        logits, masks, weights: (N, 1, h, w).
        segmented: (N,) images that count.
    """
    trusted = segmented > 0
    logits, masks, weights = logits[trusted], masks[trusted], weights[trusted]
    good = masks == 0
    above = weights * F.relu(logits + 0.5)
    below = weights * F.relu(0.5 - logits)
    return {
        "map_l1_good": _mean(above[good]),
        "map_l1_defect": _mean(below[~good]),
        "map_focal": _mean(weights * focal(logits, masks)),
    }


def focal(logits: Tensor, targets: Tensor, gamma: float = 4.0) -> Tensor:
    """Focal loss (Lin et al. 2017) per element, without alpha: BCE * (1 - p_t)^gamma."""
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return cross_entropy * (1 - torch.exp(-cross_entropy)) ** gamma


def _mean(values: Tensor) -> Tensor:
    """Mean, and zero with a gradient path when there is nothing to average."""
    return values.mean() if values.numel() else values.sum()
