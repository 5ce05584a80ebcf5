"""Synthetic anomalies: masks on the grid of features, and the strength of the noise in them.

Masks are thresholded gradient noise (Perlin, SIGGRAPH 1985), as in SuperSimpleNet. Random numbers
come from torch's global generator, so that a resumed training continues the sequence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from training.moments import Moments

_MAX_EXPONENT = 5
_OF_SPREAD = 0.5


def gradient_noise(height: int, width: int, cells_y: int, cells_x: int) -> Tensor:
    """Draws gradient noise (height, width), about [-1, 1], on a lattice of `cells_y` x `cells_x`.

    Height and width are multiples of the numbers of cells.
    """
    angle = 2 * math.pi * torch.rand(cells_y + 1, cells_x + 1)
    gradient_y, gradient_x = angle.sin(), angle.cos()
    y, x = torch.arange(height) * (cells_y / height), torch.arange(width) * (cells_x / width)
    row, column = y.long(), x.long()
    dy, dx = (y - row)[:, None], (x - column)[None, :]

    def corner(below: int, right: int) -> Tensor:
        at = (row[:, None] + below, column[None, :] + right)
        return gradient_y[at] * (dy - below) + gradient_x[at] * (dx - right)

    fade_y, fade_x = _fade(dy), _fade(dx)
    left = torch.lerp(corner(0, 0), corner(1, 0), fade_y)
    right = torch.lerp(corner(0, 1), corner(1, 1), fade_y)
    return math.sqrt(2) * torch.lerp(left, right, fade_x)


def perlin_mask(height: int, width: int, threshold: float) -> Tensor:
    """Draws one mask (height, width) of 0 and 1; it is empty with probability one half.

    The number of lattice cells is 2^i along each axis, with independent i uniform in 0..5. The
    noise has the next powers of two as its size, and is resized bilinearly.
    """
    drawn_h, drawn_w = (2 ** math.ceil(math.log2(max(n, 2))) for n in (height, width))
    exponents = torch.randint(0, _MAX_EXPONENT + 1, (2,)).tolist()
    cells_y, cells_x = min(2 ** exponents[0], drawn_h), min(2 ** exponents[1], drawn_w)
    noise = gradient_noise(drawn_h, drawn_w, cells_y, cells_x)
    if (drawn_h, drawn_w) != (height, width):
        noise = F.interpolate(noise[None, None], (height, width), mode="bilinear")[0, 0]
    mask = (noise > threshold).float()
    return mask if torch.rand(()) <= 0.5 else torch.zeros_like(mask)


def perlin_masks(count: int, height: int, width: int, threshold: float) -> Tensor:
    """Draws independent masks (count, 1, height, width) with `perlin_mask`."""
    return torch.stack([perlin_mask(height, width, threshold) for _ in range(count)])[:, None]


def noise_for(batches: Iterable[Tensor]) -> float:
    """Returns the standard deviation of noise: half of that of a channel, at any scale of features.

    The papers' 0.015 is for wide_resnet50_2.tv_in1k. It fails with backbones whose features have
    another scale (anomalib issue 2688).

    Args:
        batches: features of good parts (N, C, h, w), together at least two cells.
    """
    return _OF_SPREAD * mean_channel_std(batches)


def mean_channel_std(batches: Iterable[Tensor]) -> float:
    """Returns the standard deviation of each channel over all cells, averaged over the channels.

    Args:
        batches: (N, C, h, w), together at least two cells.
    """
    moments = Moments()
    for batch in batches:
        moments.add(batch.transpose(0, 1).flatten(1).T)  # (cells, C)
    return float(moments.std.mean())


def _fade(t: Tensor) -> Tensor:
    return t * t * t * (t * (6 * t - 15) + 10)
