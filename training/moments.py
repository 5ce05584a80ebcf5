"""Mean and standard deviation of what comes in batches."""

from __future__ import annotations

import torch
from torch import Tensor


class Moments:
    """Mean and standard deviation over the first axis of all batches, float64."""

    def __init__(self) -> None:
        self._count, self._sum, self._squares = 0, torch.zeros(()), torch.zeros(())

    def add(self, values: Tensor) -> None:
        """Take in a batch (N, ...)."""
        values = values.double()
        self._count += len(values)
        self._sum = self._sum.to(values) + values.sum(0)
        self._squares = self._squares.to(values) + values.square().sum(0)

    @property
    def mean(self) -> Tensor:
        """Mean (...)."""
        return self._sum / self._count

    @property
    def variance(self) -> Tensor:
        """Variance (...), divided by the count."""
        return (self._squares / self._count - self.mean.square()).clamp(min=0)

    @property
    def std(self) -> Tensor:
        """Standard deviation (...)."""
        return self.variance.sqrt()
