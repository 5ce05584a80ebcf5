"""Statistics of an acceptance study: a labelled set of parts, each shown several times.

The study and its limits follow the AIAG reference manual (Measurement Systems Analysis, 4th edition
2010, chapter III section C, attribute measurement systems): effectiveness, miss rate and false
alarm rate with the limits below, kappa above 0.75 good and below 0.40 poor. The inspection system
is the only appraiser and the labels are the reference.

Showings of the same part are not independent: a camera and a network repeat their mistakes. So all
bounds count parts, not showings, and a part is missed when any of its showings is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt
from scipy.stats import t

from inspection.errors import ConfigError
from reports.proportion import Proportion, proportion

_Flags = npt.NDArray[np.bool_]


class Grade(str, Enum):
    """Rating of a figure by its limits; the worst rating is the grade of the study."""

    ACCEPTABLE = "acceptable"
    MARGINAL = "marginal"
    UNACCEPTABLE = "unacceptable"


@dataclass(frozen=True)
class GradeLimits:
    """GradeLimits of one figure: up to the first it is acceptable, up to the second marginal."""

    acceptable: float
    marginal: float

    def grade(self, value: float) -> Grade:
        """Grades a figure of which less is better."""
        if value <= self.acceptable:
            return Grade.ACCEPTABLE
        return Grade.MARGINAL if value <= self.marginal else Grade.UNACCEPTABLE


# AIAG MSA 4th edition, guidelines for effectiveness, miss rate, false alarm rate and kappa. The
# manual has lower limits for effectiveness and kappa: here they are distances from 1.
INEFFECTIVE = GradeLimits(0.10, 0.20)
MISS_RATE = GradeLimits(0.02, 0.05)
FALSE_ALARM_RATE = GradeLimits(0.05, 0.10)
DISAGREEMENT = GradeLimits(0.25, 0.60)  # 1 - kappa


@dataclass(frozen=True)
class Kappa:
    """Agreement beyond chance, from -1 to 1, with a two-sided interval; None when undefined."""

    value: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True)
class Agreement:
    """Figures of an acceptance study.

    Attributes:
        miss_rate: misses among all showings of defective parts, as AIAG counts.
        missed: defective parts missed in at least one showing, with bounds.
        false_alarm_rate: false alarms among all showings of good parts.
        false_alarms: good parts rejected in at least one showing, with bounds.
        effective: parts judged correctly in every showing.
        repeated: parts with the same verdict in every showing.
        kappa: Cohen's (1960), of verdicts against labels, over all showings.
        kappa_repeat: Fleiss' (1971), between showings; undefined for a single one.
        grades: of every figure, by name.
    """

    parts: int
    showings: int
    miss_rate: float
    missed: Proportion
    false_alarm_rate: float
    false_alarms: Proportion
    effective: Proportion
    repeated: Proportion
    kappa: Kappa
    kappa_repeat: Kappa
    grades: dict[str, Grade]

    @property
    def grade(self) -> Grade:
        """The worst of the grades: that of the study."""
        return max(self.grades.values(), key=list(Grade).index)

    @property
    def is_proven(self) -> bool:
        """True when the bounds, not only the figures, are within the acceptable limits."""
        return (
            self.missed.upper <= MISS_RATE.acceptable
            and self.false_alarms.upper <= FALSE_ALARM_RATE.acceptable
            and 1 - self.effective.lower <= INEFFECTIVE.acceptable
        )


def agreement(
    defective: Sequence[bool], rejected: Sequence[Sequence[bool]], *, confidence: float = 0.95
) -> Agreement:
    """Compares the verdicts on labelled parts with their labels.

    AIAG asks for about 50 parts, a good part of them near the limit, shown 3 times in random order.

    Args:
        defective: for each part, true when its label names a defect.
        rejected: for each part, the verdict of each showing; the same number for all. Count REVIEW
            and NO_VERDICT as the line treats them: as rejected where it sets the part aside.

    Raises:
        ConfigError: no good or no defective parts, or verdicts missing.
    """
    truth = np.asarray(defective, dtype=np.bool_)
    counts = {len(showings) for showings in rejected}
    if len(rejected) != len(truth) or len(counts) != 1 or counts == {0}:
        raise ConfigError(
            f"there are {len(truth)} labels, and verdicts for {len(rejected)} parts with "
            f"{sorted(counts)} showings: show every part the same number of times"
        )
    if truth.all() or not truth.any():
        raise ConfigError("an acceptance study needs both good and defective parts")
    verdicts = np.asarray(rejected, dtype=np.bool_)
    wrong = verdicts != truth[:, np.newaxis]
    same = (verdicts == verdicts[:, :1]).all(axis=1)
    kappa = _interval(_cohen, truth, verdicts, confidence)
    miss_rate = float(wrong[truth].mean())
    false_alarm_rate = float(wrong[~truth].mean())
    effective = _share(~wrong.any(axis=1), confidence)
    return Agreement(
        parts=len(truth),
        showings=verdicts.shape[1],
        miss_rate=miss_rate,
        missed=_share(wrong[truth].any(axis=1), confidence),
        false_alarm_rate=false_alarm_rate,
        false_alarms=_share(wrong[~truth].any(axis=1), confidence),
        effective=effective,
        repeated=_share(same, confidence),
        kappa=kappa,
        kappa_repeat=_interval(_fleiss, truth, verdicts, confidence),
        grades={
            "effectiveness": INEFFECTIVE.grade(float(wrong.any(axis=1).mean())),
            "miss rate": MISS_RATE.grade(miss_rate),
            "false alarm rate": FALSE_ALARM_RATE.grade(false_alarm_rate),
            "kappa": DISAGREEMENT.grade(1 - (kappa.value or 0.0)),
        },
    )


def _share(flags: _Flags, confidence: float) -> Proportion:
    return proportion(int(flags.sum()), len(flags), confidence=confidence)


def _cohen(truth: _Flags, verdicts: _Flags) -> tuple[float, float]:
    """Returns the agreement with the labels over all showings, observed and expected by chance."""
    observed = float((verdicts == truth[:, np.newaxis]).mean())
    bad, rejected = float(truth.mean()), float(verdicts.mean())
    return observed, bad * rejected + (1 - bad) * (1 - rejected)


def _fleiss(_: _Flags, verdicts: _Flags) -> tuple[float, float]:
    """Returns the agreement between the showings of a part, observed and expected by chance."""
    showings = verdicts.shape[1]
    if showings < 2:
        return 1.0, 1.0
    rejects = verdicts.sum(axis=1)
    pairs = rejects * (rejects - 1) + (showings - rejects) * (showings - rejects - 1)
    rejected = float(verdicts.mean())
    return float(pairs.mean() / (showings * (showings - 1))), rejected**2 + (1 - rejected) ** 2


def _interval(
    agreements: Callable[[_Flags, _Flags], tuple[float, float]],
    truth: _Flags,
    verdicts: _Flags,
    confidence: float,
) -> Kappa:
    """Returns kappa with an interval by the jackknife over parts."""
    observed, chance = agreements(truth, verdicts)
    value = _kappa(observed, chance)
    if value is None:
        return Kappa(None, None, None)
    n = len(truth)
    level = (1 + confidence) / 2
    if observed == 1:
        # The jackknife sees no variation in perfect agreement: take the bound of the share of parts
        # that agree, at the same agreement by chance.
        agreed = proportion(n, n, confidence=level)
        return Kappa(value, _kappa(agreed.lower, chance), 1.0)
    keep = ~np.eye(n, dtype=np.bool_)
    without = [_kappa(*agreements(truth[rest], verdicts[rest])) for rest in keep]
    known = np.asarray([one for one in without if one is not None])
    error = np.sqrt((n - 1) / n * ((known - known.mean()) ** 2).sum())
    reach = float(error * t.ppf(level, n - 1))
    return Kappa(value, max(-1.0, value - reach), min(1.0, value + reach))


def _kappa(observed: float, chance: float) -> float | None:
    return (observed - chance) / (1 - chance) if chance < 1 else None
