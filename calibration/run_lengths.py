"""Run lengths of control charts until an alarm, by Markov chain (Brook and Evans 1972)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.stats import norm

_STATES = 151


def cusum_run_length(limit: float, slack: float, shift: float = 0.0) -> float:
    """Returns the mean number of parts until a two-sided CUSUM alarms.

    Its values are standard normal, shifted by `shift`.
    """
    width = 2 * limit / (2 * _STATES - 1)
    places = np.arange(_STATES) * width
    rates = []
    for mean in (shift, -shift):
        edges = places[np.newaxis] - places[:, np.newaxis] + slack - mean
        moves = norm.cdf(edges + width / 2)
        moves[:, 1:] -= norm.cdf(edges[:, 1:] - width / 2)
        rates.append(1 / _steps_until_left(moves)[0])
    return float(1 / sum(rates))


def ewma_run_length(limit: float, weight: float, shift: float = 0.0) -> float:
    """Returns the mean number of parts until an EWMA that starts at 0 alarms.

    Args:
        limit: in standard deviations of the EWMA in control.
    """
    reach = limit * math.sqrt(weight / (2 - weight))
    width = 2 * reach / _STATES
    places = -reach + width * (np.arange(_STATES) + 0.5)
    centre = places[np.newaxis] - (1 - weight) * places[:, np.newaxis]
    high, low = (centre + width / 2) / weight - shift, (centre - width / 2) / weight - shift
    return float(_steps_until_left(norm.cdf(high) - norm.cdf(low))[_STATES // 2])


def _steps_until_left(moves: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns the mean number of steps until a Markov chain leaves its states, from each state."""
    return np.asarray(np.linalg.solve(np.eye(len(moves)) - moves, np.ones(len(moves))))


def limit_for(run_length: Callable[[float], float], wanted: float) -> float:
    """Finds the limit of a chart that gives the wanted run length."""
    high = 1.0
    while run_length(high) < wanted:
        high *= 1.5
    return float(brentq(lambda x: math.log(run_length(x) / wanted), 0.1, high, xtol=1e-4))
