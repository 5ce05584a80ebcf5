"""The order of samples in an epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

Draw = list[tuple[int, int]]  # (index of a sample, index into FLIPS)


class Order(Protocol):
    """Draws epochs of `len(order)` samples; `drawn` is its state, which a checkpoint keeps."""

    drawn: Tensor

    def epoch(self, generator: torch.Generator) -> Draw:
        """Draws the next epoch."""

    def __len__(self) -> int: ...


class GoodOnly:
    """Every good sample once, in random order."""

    def __init__(self, good: int) -> None:
        self.drawn = torch.zeros(good, dtype=torch.int64)

    def epoch(self, generator: torch.Generator) -> Draw:
        """Draws the next epoch."""
        self.drawn += 1
        return [(index, 0) for index in torch.randperm(len(self), generator=generator).tolist()]

    def __len__(self) -> int:
        return len(self.drawn)


class Balanced:
    """As many good parts as defective ones (SuperSimpleNet's supervised training).

    Every defective sample comes four times an epoch, once in each of the FLIPS. Good samples come
    without replacement; later epochs prefer those that came less often.

    Args:
        good: number of good samples, indices 0 .. good - 1.
        defective: number of defective samples, indices good .. good + defective - 1.
    """

    def __init__(self, good: int, defective: int) -> None:
        self.good, self.defective = good, defective
        self.drawn = torch.zeros(good, dtype=torch.int64)

    def epoch(self, generator: torch.Generator) -> Draw:
        """Draws the next epoch, shuffled."""
        wanted = 4 * self.defective
        defective = [(self.good + i % self.defective, i // self.defective) for i in range(wanted)]
        good = [(index, 0) for index in self._draw_good(wanted, generator)]
        draw = defective + good
        return [draw[index] for index in torch.randperm(len(draw), generator=generator).tolist()]

    def __len__(self) -> int:
        return 8 * self.defective

    def probabilities(self) -> Tensor:
        """Returns the chance (good,) of each good sample to come next."""
        if not self.drawn.any():
            return torch.full((self.good,), 1 / self.good, dtype=torch.float64)
        unused = 1 - self.drawn.double() / self.drawn.max()
        # The definition takes the mean of two middle values, torch.median the lower one.
        favour = (unused - unused.quantile(0.5) + 1) ** (4 * math.log(self.good))
        return favour / favour.sum()

    def _draw_good(self, count: int, generator: torch.Generator) -> list[int]:
        # Chances that underflow to zero must not leave too few samples.
        chances = self.probabilities().clamp(min=1e-300)
        chosen = torch.multinomial(
            chances, count, replacement=count > self.good, generator=generator
        )
        self.drawn += torch.bincount(chosen, minlength=self.good)
        return [int(index) for index in chosen]


def batches(draw: Draw, size: int) -> Iterator[Draw]:
    """Yields consecutive parts of `size`; the last one may be smaller."""
    for start in range(0, len(draw), size):
        yield draw[start : start + size]
