"""Sets thresholds from good parts alone, with a promise for each.

With n independent good parts, the false reject rate of the k-th smallest score as threshold is
distributed as Beta(n - k + 1, k), whatever the distribution of the scores (Wilks 1941: order
statistics as tolerance limits). So there is a threshold whose false reject rate stays below a
target with a stated confidence. With too few parts, the same distribution gives the rate that they
support. The mean (n - k + 1) / (n + 1) is the rate on average over draws of good parts: 1 / (n + 1)
for the highest score.

With several values for a part, one for each zone, the part passes when none exceeds the threshold
of its zone. Taking parts away gives the thresholds: the highest part of the first zone, of those
left the highest of the second, and so on around the zones. The share of parts beyond the thresholds
after m parts has the same Beta(m, n - m + 1) distribution for any number of zones and however they
depend on each other (Wald 1943, Tukey 1947: statistically equivalent blocks). With one zone this is
the order statistic above. Each zone costs one part.

A part is the unit of every promise. `part_scores` turns several frames of one part into one score.
Parts that came in lots, more alike within a lot than between lots, go to `calibration.lots`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from inspection.errors import ConfigError

_MOST_BEYOND = 200  # of the parts; reached by rates that differ by less than one of a hundred


@dataclass(frozen=True)
class ToleranceLimit:
    """A threshold from order statistics.

    Attributes:
        threshold: one of the scores; parts above it are rejected.
        rank: its place among the ascending scores, from 1. With tied scores, more than `rank` of
            them are not above the threshold, and the bound is on the safe side.
        parts: number of good parts behind it.
        bound: upper bound of the false reject rate at `confidence`; 1 promises nothing.
        average: upper bound of the false reject rate on average over draws of good parts.
        target: the requested rate; met when `bound` is not above it.
        parts_needed: smallest number of good parts with which the target can be promised.
    """

    threshold: float
    rank: int
    parts: int
    bound: float
    average: float
    target: float
    confidence: float
    parts_needed: int

    @property
    def is_met(self) -> bool:
        """True when the target is promised at the confidence."""
        return self.bound <= self.target


def tolerance_limit(
    scores: Sequence[float], *, false_reject_rate: float, confidence: float
) -> ToleranceLimit:
    """Finds the lowest score whose false reject rate is at most the target, at the confidence.

    When there is none, it takes the highest score, and `bound` is the rate that this supports.

    Args:
        scores: raw scores of independent good parts that the model was not fitted to.
        false_reject_rate: target in (0, 1).
        confidence: probability in (0, 1) that the promise holds for such a draw of parts.

    Raises:
        ConfigError: there are no scores, a score is not finite, or a rate is outside its range.
    """
    values = [(score,) for score in scores]
    return zone_limit(values, false_reject_rate=false_reject_rate, confidence=confidence).limit


def parts_needed(false_reject_rate: float, confidence: float, zones: int = 1) -> int:
    """Returns the smallest number of independent good parts that can promise the rate.

    With one zone, the highest score of that many parts keeps the promise.
    """
    low, high = zones, zones
    while not _is_promised(high, zones, false_reject_rate, confidence):
        low, high = high + 1, 2 * high
    while low < high:
        middle = (low + high) // 2
        if _is_promised(middle, zones, false_reject_rate, confidence):
            high = middle
        else:
            low = middle + 1
    return low


def target_of(bound: float) -> float:
    """Returns the target that gives the threshold with this bound again, from the same parts.

    Rounding would miss the bound as it was computed, and move the threshold by a part.
    """
    return bound * (1 + 1e-9)


def _is_promised(parts: int, beyond: int, rate: float, confidence: float) -> bool:
    """Tells if thresholds with `beyond` of the parts at or above them keep the rate."""
    return bool(beta.cdf(rate, beyond, parts - beyond + 1) >= confidence)


@dataclass(frozen=True)
class ZoneLimit:
    """A threshold for each zone with one promise for all of them.

    Attributes:
        thresholds: of each zone; a part above any of them is rejected.
        limit: the promise; its `threshold` is the highest of them.
    """

    thresholds: tuple[float, ...]
    limit: ToleranceLimit


def zone_limit(
    values: Sequence[Sequence[float]], *, false_reject_rate: float, confidence: float
) -> ZoneLimit:
    """Finds the lowest thresholds of the zones that together keep the false reject rate.

    With too few parts it takes away one part per zone, and `limit.bound` is the rate that this
    supports. With one zone this is `tolerance_limit`.

    Args:
        values: for each independent good part its value in each zone.

    Raises:
        ConfigError: there are fewer parts than zones, or as for `tolerance_limit`.
    """
    require_share("false reject rate", false_reject_rate)
    require_share("confidence", confidence)
    blocks = zone_thresholds(values)
    n, zones = len(values), blocks.shape[1]
    taken = np.arange(zones, n + 1)
    promised = beta.cdf(false_reject_rate, taken, n - taken + 1) >= confidence
    most = int(taken[promised][-1]) if promised.any() else zones
    thresholds = tuple(map(float, blocks[most - zones]))
    return ZoneLimit(
        thresholds,
        ToleranceLimit(
            threshold=max(thresholds),
            rank=n - most + 1,
            parts=n,
            bound=float(beta.ppf(confidence, most, n - most + 1)),
            average=most / (n + 1),
            target=false_reject_rate,
            confidence=confidence,
            parts_needed=parts_needed(false_reject_rate, confidence, zones),
        ),
    )


def zone_thresholds(values: Sequence[Sequence[float]]) -> npt.NDArray[np.float64]:
    """Returns the thresholds after each part taken away, from as many parts as zones to all.

    Returns:
        (n - zones + 1, zones), falling.

    Raises:
        ConfigError: there are fewer parts than zones, or a value is not finite.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or not table.size or not np.isfinite(table).all():
        raise ConfigError("a threshold needs at least one good part, with finite scores")
    n, zones = table.shape
    if n < zones:
        raise ConfigError(f"{zones} zones need at least as many good parts, and there are {n}")
    falling = np.argsort(-table, axis=0, kind="stable")
    places, is_taken = [0] * zones, np.zeros(n, dtype=np.bool_)
    current, rows = np.full(zones, np.inf), []
    for number in range(n):
        zone = number % zones
        while is_taken[falling[places[zone], zone]]:
            places[zone] += 1
        part = falling[places[zone], zone]
        is_taken[part] = True
        current[zone] = table[part, zone]
        if number >= zones - 1:
            rows.append(current.copy())
    return np.asarray(rows)


def review_limits(
    values: Sequence[Sequence[float]],
    *,
    false_reject_rate: float,
    review_rate: float,
    confidence: float,
) -> tuple[ZoneLimit, ZoneLimit]:
    """Finds the limits for reject and for review: two rates on one curve.

    Args:
        values: for each independent good part its value in each zone.
        review_rate: share of good parts reviewed or rejected, above `false_reject_rate`.

    Returns:
        the limit for reject and the lower one for review; each promise holds at the confidence by
        itself. Scores above the second, up to the first, are the review band.

    Raises:
        ConfigError: a rate is outside its range, the rates are in the wrong order, or there are too
            few parts for two limits.
    """
    require_share("review rate", review_rate)
    if not false_reject_rate < review_rate:
        raise ConfigError(
            f"the review rate {review_rate} is the share of good parts reviewed or rejected: set "
            f"it above the false reject rate {false_reject_rate}"
        )
    reject = zone_limit(values, false_reject_rate=false_reject_rate, confidence=confidence)
    review = zone_limit(values, false_reject_rate=review_rate, confidence=confidence)
    if not any(low < high for low, high in zip(review.thresholds, reject.thresholds, strict=True)):
        raise ConfigError(
            f"{reject.limit.parts} good parts support no review band between the rates "
            f"{false_reject_rate} and {review_rate}: both thresholds would be "
            f"{reject.limit.threshold}; {_mend_of_band(reject, review)}"
        )
    return reject, review


def _mend_of_band(reject: ZoneLimit, review: ZoneLimit) -> str:
    """Says what parts the limits of a band that is empty."""
    if reject.limit.rank != review.limit.rank:
        return "several good parts have this score: raise the review rate"
    needed = _parts_needed_for_band(reject, review)
    if needed is None:
        return "the rates are too near to each other: raise the review rate"
    return f"raise the review rate, or bring {needed} good parts"


def _parts_needed_for_band(reject: ZoneLimit, review: ZoneLimit) -> int | None:
    """Returns the number of parts from which the limit for review takes more of them away.

    None when the rates are so near that both limits take 200 parts away by then.
    """
    zones, confidence = len(reject.thresholds), reject.limit.confidence
    for beyond in range(zones + 1, zones + _MOST_BEYOND):
        # The limit for review takes one part more before that for reject catches up.
        following = parts_needed(review.limit.target, confidence, beyond + 1)
        if following <= parts_needed(reject.limit.target, confidence, beyond):
            return parts_needed(review.limit.target, confidence, beyond)
    return None


def part_scores(scores: Sequence[float], parts: Sequence[str]) -> dict[str, float]:
    """Returns one score for each part: the highest of its frames, in order of first appearance.

    One rejected frame rejects the part, so the threshold for parts is a tolerance limit of these
    maxima. It assumes that calibration and line take the same frames of a part.

    Args:
        scores: raw scores of frames.
        parts: for each frame, the name of its part.
    """
    require_pairs(scores, parts, "part")
    highest: dict[str, float] = {}
    for score, part in zip(scores, parts, strict=True):
        highest[part] = max(score, highest.get(part, score))
    return highest


def sorted_scores(scores: Sequence[float]) -> npt.NDArray[np.float64]:
    """Sorts the scores in ascending order; ConfigError without scores, or if one is not finite."""
    ordered = np.sort(np.asarray(scores, dtype=np.float64))
    if not len(ordered) or not np.isfinite(ordered).all():
        raise ConfigError("a threshold needs at least one good part, with finite scores")
    return ordered


def require_share(name: str, value: float) -> None:
    """Refuses a rate or confidence that is not strictly between 0 and 1."""
    if not 0 < value < 1:
        raise ConfigError(f"the {name} is {value}: choose it between 0 and 1, for instance 0.01")


def require_pairs(scores: Sequence[float], names: Sequence[str], kind: str) -> None:
    """Refuses names unless there is one for each score."""
    if len(scores) != len(names):
        raise ConfigError(
            f"{len(scores)} scores and {len(names)} names of {kind}s: name the {kind} of each score"
        )
