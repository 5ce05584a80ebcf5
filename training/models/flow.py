"""The normalising flow of DifferNet (Rudolph, Wandt, Rosenhahn, WACV 2021): Glow-style couplings.

A flow takes vectors (N, D), or the vector at each position of maps (N, D, h, w). Its linear layers
mix channels only, so that one implementation serves both with the same weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from inspection.config.loading import StrictModel
from training.models.base import Optimisation
from training.moments import Moments

_DEPTH = 3  # hidden layers of a subnet
_ATAN_GAIN = 0.636  # about 2 / pi, as published
_LIMIT = 1e6  # of a block's outputs
_SMALLEST_SPREAD = 0.1  # of a channel, in shares of the mean over the channels
_REACH = 5.0  # standard deviations up to which standardised features keep their scale, about

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


class FlowConfig(StrictModel):
    """Settings of a flow and of its training.

    Attributes:
        blocks: number of couplings.
        hidden: width of the subnets' three hidden layers. 2048 makes 172 million parameters of 768
            dimensions.
        clamp: alpha; the logarithm of a scale stays within 0.999 alpha.
        standardise: subtracts each channel's mean over the good images, divides by its standard
            deviation and bounds it softly to +-7.9, before the first block. The paper does not:
            its flow spends most steps on the scale of the features, and gives astronomical scores
            to what is far from all good parts. With it some 100 steps are enough.
        learning_rate, betas, epsilon, weight_decay: of Adam, with L2 weight decay.
    """

    blocks: Annotated[int, Field(ge=1)] = 8
    hidden: Annotated[int, Field(ge=1)] = 2048
    clamp: Positive = 3.0
    standardise: bool = False
    learning_rate: Positive = 2e-4
    betas: tuple[Share, Share] = (0.8, 0.8)
    epsilon: Positive = 1e-4
    weight_decay: Annotated[float, Field(ge=0)] = 1e-5


class Pointwise(nn.Linear):
    """A linear layer over the channels of vectors (N, C) or of maps (N, C, h, w)."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, ...) -> (N, out, ...)."""
        if x.ndim == 2:
            return super().forward(x)
        return F.conv2d(x, self.weight[:, :, None, None], self.bias)

    def backward(self, gradient: Tensor) -> Tensor:
        """Gradient with respect to the output (N, out, ...) -> to the input (N, in, ...)."""
        if gradient.ndim == 2:
            return gradient @ self.weight
        return F.conv2d(gradient, self.weight.t()[:, :, None, None])


class Subnet(nn.Module):
    """Three hidden layers with ReLU: from one half, log-scales and offsets of the other.

    Args:
        source: channels of the half that the subnet reads.
        target: channels of the half that the coupling changes.
    """

    def __init__(self, source: int, target: int, hidden: int) -> None:
        super().__init__()
        widths = [source, *[hidden] * _DEPTH, 2 * target]
        self.layers = nn.ModuleList(Pointwise(*pair) for pair in pairwise(widths))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """(N, source, ...) -> log-scales and offsets (N, target, ...), and the hidden layers."""
        hidden: list[Tensor] = []
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
            hidden.append(x)
        scale, offset = self.layers[-1](x).chunk(2, dim=1)
        return scale, offset, hidden

    def backward(self, scale: Tensor, offset: Tensor, hidden: list[Tensor]) -> Tensor:
        """Gradients with respect to the outputs -> to the input."""
        gradient = torch.cat([scale, offset], dim=1)
        first, *others = self.pointwise()
        for layer, active in zip(reversed(others), reversed(hidden), strict=True):
            gradient = torch.where(active.bool(), layer.backward(gradient), 0.0)
        return first.backward(gradient)

    def pointwise(self) -> list[Pointwise]:
        """Returns the layers, in order."""
        return [layer for layer in self.layers if isinstance(layer, Pointwise)]


class Trace(NamedTuple):
    """Values for the gradient of a coupling; `a` and `b` are the halves before it."""

    a: Tensor
    b: Tensor
    u: Tensor
    v: Tensor
    exp_u: Tensor
    exp_v: Tensor
    hidden_b: list[Tensor]
    hidden_a: list[Tensor]


class Coupling(nn.Module):
    """A fixed permutation, then affine coupling of both halves.

    Args:
        channels: D, at least 2.
        seed: of the permutation.
    """

    def __init__(self, channels: int, hidden: int, clamp: float, seed: int) -> None:
        super().__init__()
        first = channels // 2
        self.halves = [first, channels - first]
        self.clamp = clamp
        order = permutation(channels, seed)
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("inverse_order", order.argsort(), persistent=False)
        self.from_a = Subnet(first, channels - first, hidden)  # S1
        self.from_b = Subnet(channels - first, first, hidden)  # S2

    order: Tensor
    inverse_order: Tensor

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Trace]:
        """X (N, D, ...) -> the coupled x, the log-determinant (N, ...), and its trace."""
        a, b = x.index_select(1, self.order).split(self.halves, dim=1)
        u, t, hidden_b = self.from_b(b)
        log_u = self._log_scale(u)
        coupled_a = a * (exp_u := log_u.exp()) + t
        v, w, hidden_a = self.from_a(coupled_a)
        log_v = self._log_scale(v)
        coupled_b = b * (exp_v := log_v.exp()) + w
        coupled = torch.cat([coupled_a, coupled_b], dim=1).clamp(-_LIMIT, _LIMIT)
        log_det = log_u.sum(1) + log_v.sum(1)
        return coupled, log_det, Trace(a, b, u, v, exp_u, exp_v, hidden_b, hidden_a)

    def inverse(self, z: Tensor) -> Tensor:
        """Returns the x (N, D, ...) for which `forward` gives z."""
        a, b = z.split(self.halves, dim=1)
        v, w, _ = self.from_a(a)
        b = (b - w) * (-self._log_scale(v)).exp()
        u, t, _ = self.from_b(b)
        a = (a - t) * (-self._log_scale(u)).exp()
        return torch.cat([a, b], dim=1).index_select(1, self.inverse_order)

    def backward(self, gradient: Tensor, trace: Trace, log_det: float) -> Tensor:
        """Gradient with respect to the output -> to the input, minus `log_det` x log-determinant's.

        Exact while no output is at the limit of +-1e6.
        """
        a, b, u, v, exp_u, exp_v, hidden_b, hidden_a = trace
        on_a, on_b = gradient.split(self.halves, dim=1)
        on_v = (on_b * b * exp_v - log_det) / self._inverse_slope(v)
        on_a = on_a + self.from_a.backward(on_v, on_b, hidden_a)
        on_u = (on_a * a * exp_u - log_det) / self._inverse_slope(u)
        on_b = on_b * exp_v + self.from_b.backward(on_u, on_a, hidden_b)
        return torch.cat([on_a * exp_u, on_b], dim=1).index_select(1, self.inverse_order)

    def _log_scale(self, s: Tensor) -> Tensor:  # g(s), the logarithm of a scale
        return self.clamp * _ATAN_GAIN * torch.atan(s / self.clamp)

    def _inverse_slope(self, s: Tensor) -> Tensor:  # 1 / g'(s)
        return (1 + (s / self.clamp).square()) / _ATAN_GAIN


class Flow(nn.Module):
    """Couplings from features y to z, with a normal distribution over good parts.

    Args:
        channels: D, at least 2.
        config: settings.
    """

    def __init__(self, channels: int, config: FlowConfig) -> None:
        super().__init__()
        self.channels = channels
        self.config = config
        self.register_buffer("centre", torch.zeros(channels))
        self.register_buffer("spread", torch.ones(channels))
        if config.standardise:
            # In the weights: those that were learnt without a bound would give other scores.
            self.register_buffer("reach", torch.tensor(_REACH))
        self.blocks = nn.ModuleList(
            Coupling(channels, config.hidden, config.clamp, seed) for seed in range(config.blocks)
        )

    centre: Tensor
    spread: Tensor
    reach: Tensor

    def prepare(self, batches: Iterable[Tensor]) -> None:
        """Standardises as the configuration says, given y (N, D, ...) of the good images."""
        if not self.config.standardise:
            return
        moments = Moments()
        for y in batches:
            moments.add(y.detach().transpose(0, 1).flatten(1).T.cpu())  # (M, D)
        self.centre.copy_(moments.mean)
        std = moments.std
        # A channel without spread on good parts must not become infinitely sensitive.
        smallest = _SMALLEST_SPREAD * float(std.mean()) or 1.0
        self.spread.copy_(std.clamp(min=smallest))

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Y (N, D, ...) -> z (N, D, ...), log|det dz/dy| (N, ...)."""
        y, inverse_slope = self._standardised(y)
        log_det = -inverse_slope.log().sum(1)
        for block in self.blocks:
            y, part, _ = block(y)
            log_det = log_det + part
        return y, log_det

    def inverse(self, z: Tensor) -> Tensor:
        """Returns the y (N, D, ...) for which `forward` gives z."""
        for block in reversed(self._couplings()):
            z = block.inverse(z)
        if not self.config.standardise:
            return z
        standardised = self.reach * (z / self.reach).tan()
        return standardised * _by_channel(self.spread, z) + _by_channel(self.centre, z)

    def gradient(self, y: Tensor, *, log_det: bool = False) -> tuple[Tensor, Tensor]:
        """Returns z, and the gradient of 1/2 sum z^2 with respect to y; both (N, D, ...).

        The gradient is in closed form: a graph cannot have autograd.

        Args:
            y: (N, D, ...).
            log_det: True for the gradient of the training's loss, 1/2 sum z^2 - log|det dz/dy|.
        """
        traces = []
        y, inverse_slope = self._standardised(y)
        for block in self.blocks:
            y, _, trace = block(y)
            traces.append(trace)
        gradient = y
        for block, trace in zip(reversed(self._couplings()), reversed(traces), strict=True):
            gradient = block.backward(gradient, trace, float(log_det))
        return y, gradient / inverse_slope

    def negative_log_likelihood(self, y: Tensor) -> Tensor:
        """Returns the mean of (1/2 sum z^2 - log|det dz/dy|) / D; it may be negative."""
        z, log_det = self(y)
        nll: Tensor = (0.5 * z.square().sum(1) - log_det).mean() / self.channels
        return nll

    def optimisation(self) -> Optimisation:
        """Makes Adam without a schedule."""
        config = self.config
        adam = torch.optim.Adam(
            self.parameters(),
            config.learning_rate,
            config.betas,
            config.epsilon,
            config.weight_decay,
        )
        return Optimisation([adam], [])

    def _standardised(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Y (N, D, ...) -> input of the first block (N, D, ...), 1 / its slope (N or 1, D, ...)."""
        if not self.config.standardise:
            return y, _by_channel(self.spread, y)  # 1
        # A flow multiplies what it never saw, block by block. The arctangent bounds that, and stays
        # invertible with a slope that is never 0.
        spread = _by_channel(self.spread, y)
        share = (y - _by_channel(self.centre, y)) / (spread * self.reach)
        return self.reach * share.atan(), (1 + share.square()) * spread

    def _couplings(self) -> list[Coupling]:
        return [block for block in self.blocks if isinstance(block, Coupling)]


def _by_channel(values: Tensor, like: Tensor) -> Tensor:
    """(D,) -> (1, D, 1, ...), to combine with y (N, D, ...)."""
    return values.reshape(1, -1, *[1] * (like.ndim - 2))


def permutation(channels: int, seed: int) -> Tensor:
    """Returns the published order of channels (D,) int64, from NumPy's legacy MT19937."""
    return torch.from_numpy(np.random.RandomState(seed).permutation(channels)).long()
