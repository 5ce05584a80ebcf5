"""Batch-norm statistics of the final weights.

While a network learns, its running statistics lag behind its weights: in eval mode it computes
something else than what was learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

BATCH_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)
_BATCH = 64


def recalibrate(
    module: nn.Module, see: Callable[[Tensor], object], batches: Iterable[Tensor]
) -> None:
    """Set the running statistics to the mean over the images; the module is in train mode after.

    Args:
        see: one pass through every batch norm of `module`, given images (N, ...).
        batches: images, seen in batches of about 64 whatever their division.
    """
    norms = [layer for layer in module.modules() if isinstance(layer, BATCH_NORMS)]
    momenta = [norm.momentum for norm in norms]
    module.train()
    seen = 0
    for images in _regrouped(batches):
        seen += len(images)
        for norm in norms:  # 1, then smaller: every image weighs the same
            norm.momentum = len(images) / seen
        see(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _regrouped(batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """The same images in batches of 64, or little more; the last may be smaller."""
    waiting: list[Tensor] = []
    for batch in batches:
        waiting.append(batch)
        if sum(map(len, waiting)) >= _BATCH:
            yield torch.cat(waiting)
            waiting = []
    if waiting:
        yield torch.cat(waiting)
