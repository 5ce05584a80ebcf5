"""Statistics over batches: mean and standard deviation of values, and those of batch norms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

BATCH_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)
_BATCH = 64


class Moments:
    """Mean and standard deviation over the first axis of all batches, float64."""

    def __init__(self) -> None:
        self._count, self._sum, self._squares = 0, torch.zeros(()), torch.zeros(())

    def add(self, values: Tensor) -> None:
        """Adds a batch (N, ...)."""
        values = values.double()
        self._count += len(values)
        self._sum = self._sum.to(values) + values.sum(0)
        self._squares = self._squares.to(values) + values.square().sum(0)

    @property
    def mean(self) -> Tensor:
        """Returns the mean (...)."""
        return self._sum / self._count

    @property
    def variance(self) -> Tensor:
        """Returns the variance (...), divided by the count."""
        return (self._squares / self._count - self.mean.square()).clamp(min=0)

    @property
    def std(self) -> Tensor:
        """Returns the standard deviation (...)."""
        return self.variance.sqrt()


def recalibrate(
    module: nn.Module, see: Callable[[Tensor], object], batches: Iterable[Tensor]
) -> None:
    """Sets the running statistics of batch norms to the mean over the images.

    During a training they lag behind the weights, so that eval mode computes another function than
    the learnt one. The module is in train mode afterwards.

    Args:
        see: passes images (N, ...) through every batch norm of `module`.
        batches: images, passed on in batches of about 64.
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
    """Yields the same images in batches of 64 or little more; the last may be smaller."""
    waiting: list[Tensor] = []
    for batch in batches:
        waiting.append(batch)
        if sum(map(len, waiting)) >= _BATCH:
            yield torch.cat(waiting)
            waiting = []
    if waiting:
        yield torch.cat(waiting)
