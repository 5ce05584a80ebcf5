"""Shares of parts with their exact bounds."""

from __future__ import annotations

from dataclasses import dataclass

from scipy.stats import beta

from inspection.errors import ConfigError


@dataclass(frozen=True)
class Proportion:
    """A count out of a total with its Clopper-Pearson (1934) bounds.

    Attributes:
        lower: holds at `confidence` by itself.
        upper: holds at `confidence` by itself; the two together at 2 * confidence - 1.
    """

    count: int
    total: int
    lower: float
    upper: float
    confidence: float

    @property
    def rate(self) -> float:
        """The observed share."""
        return self.count / self.total


def proportion(count: int, total: int, *, confidence: float) -> Proportion:
    """Returns a share of parts with its exact binomial bounds, each one-sided at the confidence.

    Args:
        total: number of independent parts, at least 1.

    Raises:
        ConfigError: there are no parts, or the confidence is outside 0.5 to 1.
    """
    if not 0.5 <= confidence < 1:
        raise ConfigError(f"the confidence is {confidence}: choose it between 0.5 and 1, like 0.95")
    if not 0 <= count <= total or total == 0:
        raise ConfigError(f"{count} of {total} parts is not a share: bring at least one part")
    lower = float(beta.ppf(1 - confidence, count, total - count + 1)) if count else 0.0
    upper = float(beta.ppf(confidence, count + 1, total - count)) if count < total else 1.0
    return Proportion(count, total, lower, upper, confidence)
