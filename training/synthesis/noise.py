"""How strong synthetic noise on features should be."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from training.moments import Moments

_OF_SPREAD = 0.5


def noise_for(batches: Iterable[Tensor]) -> float:
    """Standard deviation of noise for features of any scale: half of what a channel has itself.

    The papers' 0.015 is for wide_resnet50_2.tv_in1k, and fails where a backbone's features have
    another scale (anomalib issue 2688).

    Args:
        batches: features of good parts; see `mean_channel_std`.
    """
    return _OF_SPREAD * mean_channel_std(batches)


def mean_channel_std(batches: Iterable[Tensor]) -> float:
    """Standard deviation of each channel over all cells, averaged over the channels.

    Args:
        batches: (N, C, h, w), together at least two cells.
    """
    moments = Moments()
    for batch in batches:
        moments.add(batch.transpose(0, 1).flatten(1).T)  # (cells, C)
    return float(moments.std.mean())
