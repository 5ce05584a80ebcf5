"""Beyond the highest score: peaks over threshold with the generalised Pareto distribution.

The excesses of scores over a high level tend to a generalised Pareto distribution (Pickands 1975;
Coles 2001, chapter 4). Fitted to the highest scores, it gives the threshold for a rate that the
number of parts cannot promise. This is a model: nothing guarantees that scores follow it beyond the
highest one. So its results carry the label `MODEL`, an interval and a goodness of fit, and a fit
that the data contradict is refused.

- Level: the lowest, from a tenth of the scores (DuMouchel 1983) and at least 30 excesses upwards,
  that passes the test of fit (after Bader, Yan and Zhang 2018). The interval does not cover this
  choice.
- Fit: maximum likelihood, with a weak penalty on the shape, normal around 0.05 with deviation 0.2
  (after Coles and Dixon 1999, Martins and Stedinger 2000). Without it, the few dozen excesses of a
  calibration often seem to end just above the highest one: at 200 good parts with normal or gamma
  scores, upper bounds at 95 % covered the quantile of a rate of 0.001 in 79 to 88 % of trials, with
  it in 96 % and more. Tails heavier than the penalty expects are drawn towards it: with Student's t
  of 3 degrees of freedom it is 80 %.
- Interval: profile likelihood of the quantile, the number of excesses included.
- Fit test: Anderson-Darling (Choulakian and Stephens 2001), its p-value by parametric bootstrap
  with the unpenalised fit. Of that, in the ratio shape / scale, the likelihood has one dimension
  (Grimshaw 1993), which is searched as a whole. Shapes below -0.5, where maximum likelihood is not
  regular (Smith 1985), and above 1, where the scores would have no mean, are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.stats import chi2

from calibration.tolerance import require_share, sorted_scores
from inspection.errors import ConfigError

MODEL = "model (generalised Pareto tail), not a guarantee"
FEWEST_EXCESSES = 30
_SHARES = (0.1, 0.05, 0.02, 0.01)
_FEWEST_PARTS = 100
_USUAL_SHAPE, _SHAPE_SPREAD = 0.05, 0.2
_LOWEST_SHAPE, _HIGHEST_SHAPE = -0.5, 1.0
_WORST_FIT = 0.05
_REPLICATES = 499

_Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TailModel:
    """A threshold extrapolated from the highest scores.

    Attributes:
        label: marks the threshold as that of a model; show it beside the threshold.
        threshold: the (1 - rate)-quantile of the scores of good parts, as fitted.
        lower: bound of that quantile that holds at `confidence` by itself, if the model is true.
        upper: the same from above: this threshold has at most the rate, at the confidence.
        level: score above which the distribution was fitted.
        excesses: number of scores above it.
        shape: of the generalised Pareto distribution; negative means that scores have an end.
        scale: of the same, in score units.
        goodness_of_fit: bootstrap p-value of the Anderson-Darling test; small means a bad fit.
    """

    label: str
    rate: float
    confidence: float
    threshold: float
    lower: float
    upper: float
    level: float
    excesses: int
    parts: int
    shape: float
    scale: float
    goodness_of_fit: float


def tail_model(
    scores: Sequence[float], *, false_reject_rate: float, confidence: float, seed: int = 0
) -> TailModel:
    """Extrapolates the threshold for a rate from the tail of the scores of good parts.

    Args:
        scores: raw scores of independent good parts that the model was not fitted to.
        seed: seed of the bootstrap of the fit test.

    Raises:
        ConfigError: there are too few scores for a fit, the rate needs no extrapolation, the tail
            does not follow the distribution, or as for `tolerance_limit`.
    """
    require_share("false reject rate", false_reject_rate)
    require_share("confidence", confidence)
    ordered = sorted_scores(scores)
    level, excesses, goodness = _lowest_fitting_level(ordered, false_reject_rate, seed)
    n, count = len(ordered), len(excesses)
    shape, scale = _penalised_fit(excesses)
    lower, upper = _profile_interval(excesses, n, (shape, scale), false_reject_rate, confidence)
    quantile = _quantile(shape, scale, count / n / false_reject_rate)
    return TailModel(
        label=MODEL,
        rate=false_reject_rate,
        confidence=confidence,
        threshold=level + float(quantile),
        lower=level + lower,
        upper=level + upper,
        level=level,
        excesses=count,
        parts=n,
        shape=shape,
        scale=scale,
        goodness_of_fit=goodness,
    )


def _lowest_fitting_level(ordered: _Array, rate: float, seed: int) -> tuple[float, _Array, float]:
    """Finds the lowest level that fits: level, excesses over it, and p-value of the fit."""
    random = np.random.default_rng(seed)
    tails = _tails(ordered, rate)
    for level, tail in tails:
        goodness = _goodness_of_fit(tail, fit_tail(tail), random)
        if goodness >= _WORST_FIT:
            return level, tail, goodness
    raise ConfigError(
        f"the {len(tail)} highest scores do not follow a generalised Pareto distribution "
        f"(Anderson-Darling, p = {goodness:.3f}), so no threshold can be extrapolated: look for "
        "repeated or mixed parts, or calibrate without --extrapolate"
    )


def _tails(ordered: _Array, rate: float) -> list[tuple[float, _Array]]:
    """Returns ascending levels with their excesses, enough for a fit and for the rate."""
    n = len(ordered)
    counts = sorted({max(FEWEST_EXCESSES, round(share * n)) for share in _SHARES}, reverse=True)
    levels = [float(ordered[n - 1 - count]) for count in counts if n >= _FEWEST_PARTS]
    tails = [(level, ordered[ordered > level] - level) for level in dict.fromkeys(levels)]
    tails = [(level, tail) for level, tail in tails if len(tail) >= FEWEST_EXCESSES]
    if not tails:
        raise ConfigError(
            f"{n} good parts are too few for a model of the tail: it needs {_FEWEST_PARTS} or "
            f"more with different scores, at least {FEWEST_EXCESSES} of them above a level"
        )
    deep = [(level, tail) for level, tail in tails if len(tail) > rate * n]
    if not deep:
        raise ConfigError(
            f"a false reject rate of {rate} is within the scores and needs no model of the tail: "
            "calibrate without --extrapolate"
        )
    return deep


# --- Distribution -------------------------------------------------------------------------------


def fit_tail(excesses: _Array) -> tuple[float, float]:
    """Fits a generalised Pareto distribution by maximum likelihood; returns shape and scale.

    Args:
        excesses: (n,) positive excesses over a level.
    """
    shape, scale = _fit_each(excesses[np.newaxis])
    return float(shape[0]), float(scale[0])


def _fit_each(samples: _Array, steps: int = 33, zooms: int = 4) -> tuple[_Array, _Array]:
    """Fits every row of (samples, n); returns shapes and scales, both (samples,).

    The ratio shape / scale is written (exp(g) - 1) / max, so that any g keeps the density above 0
    over the sample; g is searched on a grid that zooms in.
    """
    highest = samples.max(axis=1)
    middle = np.zeros(len(samples))
    half = np.full(len(samples), 16.0)
    for _ in range(zooms):
        grid = middle + np.linspace(-1, 1, steps)[:, np.newaxis] * half  # (steps, samples)
        shape, scale = _profiled(samples, np.expm1(grid) / highest)
        allowed = (shape >= _LOWEST_SHAPE) & (shape <= _HIGHEST_SHAPE)
        likelihood = np.where(allowed, -np.log(scale) - shape, -np.inf)
        best = likelihood.argmax(axis=0)
        middle = np.take_along_axis(grid, best[np.newaxis], axis=0)[0]
        half = half * 3 / (steps - 1)
    shape, scale = _profiled(samples, (np.expm1(middle) / highest)[np.newaxis])
    return shape[0], scale[0]


def _profiled(samples: _Array, ratio: _Array) -> tuple[_Array, _Array]:
    """Returns shape and scale of the greatest likelihood at a given ratio (steps, samples)."""
    shape = np.stack([np.log1p(row[:, np.newaxis] * samples).mean(axis=1) for row in ratio])
    flat = np.abs(ratio) * samples.max(axis=1) < 1e-7  # exponential: the quotient is 0 / 0
    scale = np.where(flat, samples.mean(axis=1), shape / np.where(flat, 1, ratio))
    return shape, scale


def _quantile(shape: _Array | float, scale: _Array | float, ratio: _Array | float) -> _Array:
    """Returns the excess that a share 1 / `ratio` of the excesses is above."""
    depth = np.log(np.asarray(ratio))
    shape = np.asarray(shape, dtype=np.float64)
    flat = np.abs(shape) < 1e-9
    return np.asarray(
        scale * np.where(flat, depth, np.expm1(shape * depth) / np.where(flat, 1, shape))
    )


def _penalised_fit(excesses: _Array) -> tuple[float, float]:
    """Finds shape and scale of the greatest penalised likelihood, from the unpenalised fit on."""
    shape, scale = fit_tail(excesses)

    def loss(parameters: _Array) -> float:
        return -float(_penalised(excesses, parameters[0], np.exp(parameters[1:]))[0])

    found = minimize(loss, [shape, np.log(scale)], method="Nelder-Mead")
    return float(found.x[0]), float(np.exp(found.x[1]))


def _profile_interval(
    excesses: _Array, parts: int, fit: tuple[float, float], rate: float, confidence: float
) -> tuple[float, float]:
    """Returns the lowest and highest quantile among the parameters near the maximum likelihood.

    The extremes over that region are the ends of the profile likelihood interval (Coles 2001,
    section 2.6.6); each end holds at `confidence` by itself.
    """
    count = len(excesses)
    share, error = count / parts, 1 / np.sqrt(count)
    shapes = fit[0] + np.linspace(-5, 5, 101) * error
    scales = fit[1] * np.exp(np.linspace(-6, 6, 101) * error)
    shares = np.clip(share * np.exp(np.linspace(-4, 4, 41) * error), rate, 1 - 1e-9)
    tail = np.stack([_penalised(excesses, shape, scales) for shape in shapes])
    above = count * np.log(shares) + (parts - count) * np.log1p(-shares)
    drop = chi2.ppf(abs(2 * confidence - 1), 1) / 2
    near = tail[:, :, np.newaxis] + above >= tail.max() + above.max() - drop
    quantiles = _quantile(shapes[:, np.newaxis, np.newaxis], scales[:, np.newaxis], shares / rate)
    return float(quantiles[near].min()), float(quantiles[near].max())


def _penalised(excesses: _Array, shape: float, scales: _Array) -> _Array:
    """Returns (scales,) log-likelihood less the penalty on the shape."""
    distance = (shape - _USUAL_SHAPE) / _SHAPE_SPREAD
    return _log_likelihood(excesses, shape, scales) - distance**2 / 2


def _log_likelihood(excesses: _Array, shape: float, scales: _Array) -> _Array:
    """Returns (scales,) log-likelihood; -inf where an excess is beyond the distribution's end."""
    inside = 1 + shape * excesses / scales[:, np.newaxis]
    if abs(shape) < 1e-9:
        return np.asarray(-len(excesses) * np.log(scales) - excesses.sum() / scales)
    allowed = inside.min(axis=1) > 0
    logs = np.log(np.where(allowed[:, np.newaxis], inside, 1)).sum(axis=1)
    value = -len(excesses) * np.log(scales) - (1 + 1 / shape) * logs
    return np.where(allowed, value, -np.inf)


# --- Goodness of fit ----------------------------------------------------------------------------


def _goodness_of_fit(
    excesses: _Array, fit: tuple[float, float], random: np.random.Generator
) -> float:
    """Returns the share of samples of the fitted distribution that, fitted again, are farther."""
    shape, scale = fit
    size = (_REPLICATES, len(excesses))
    samples = _quantile(shape, scale, 1 / (1 - random.random(size)))
    observed = _anderson_darling(excesses[np.newaxis], np.asarray([shape]), np.asarray([scale]))[0]
    replicates = _anderson_darling(samples, *_fit_each(samples, zooms=3))
    return float((1 + (replicates >= observed).sum()) / (1 + _REPLICATES))


def _anderson_darling(samples: _Array, shape: _Array, scale: _Array) -> _Array:
    """Returns (samples,): the distance of each row of (samples, n) from its distribution."""
    n = samples.shape[1]
    ordered = np.sort(samples, axis=1)
    flat = np.abs(shape) < 1e-9
    divisor = np.where(flat, 1, shape)[:, np.newaxis]
    logs = np.log1p(np.maximum(divisor * ordered / scale[:, np.newaxis], -1 + 1e-12)) / divisor
    depth = np.where(flat[:, np.newaxis], ordered / scale[:, np.newaxis], logs)  # -log survival
    below = np.log(-np.expm1(-np.maximum(depth, 1e-12)))
    weights = 2 * np.arange(1, n + 1) - 1
    return np.asarray(-n - (weights * (below - depth[:, ::-1])).mean(axis=1))
