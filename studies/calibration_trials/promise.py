"""Promised and measured false reject rates, over divisions of good images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import betabinom

from calibration.tolerance import ToleranceLimit, tolerance_limit
from reports.proportion import proportion
from studies.calibration_trials.measured import IN_TIME, Measured

COUNTS = (20, 50, 100, 200)
TARGETS = (0.01, 0.05)
CONFIDENCE = 0.95
TRIALS = 2000
FEWEST_LEFT = 50  # images to measure on
_Indices = npt.NDArray[np.intp]
Division = tuple[_Indices, _Indices]  # images to calibrate with, and to measure on

METHOD = f"""\
## False reject rate: promised and measured

n good images set the threshold (`linewarden calibrate`, confidence {CONFIDENCE:.0%}), and the
others measure its rate. Three ways to divide them:

- **at random**, {TRIALS} times: images for calibration and line are exchangeable, as the promise
  assumes. Here it holds by mathematics; the row tests the code.
- **by groups**, {TRIALS} times: the images to measure come from groups that the calibration has not
  seen, as the parts of a line do.
- **in time** (only {IN_TIME} has times): n images in a row calibrate, the next {FEWEST_LEFT}
  measure, from every start.

"Promised" is the bound. "Measured" is the mean over the divisions, beside what a perfectly
exchangeable division gives, (n - k + 1) / (n + 1) for the k-th smallest score. "Kept" is the share
of divisions whose measured rate is not above the bound, with its 95 % interval, beside the share
that is due if the promise holds exactly: it is below 95 % because few images measure a rate badly.
The interval is that of the drawing; all divisions share the same images. Up to 92 images the
target of 5 % gives the same threshold as that of 1 %.

"""
COLUMNS = (
    "data set",
    "division",
    "n",
    "target",
    "promised",
    "measured (due)",
    "kept (due)",
    "95 % interval",
)


def promise_tables(measured: Sequence[Measured]) -> str:
    """Returns the chapter of the page."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for one in measured:
        for name, divide in DIVISIONS.items():
            for count in COUNTS:
                lines += [
                    f"| {' | '.join((one.data_set, name, str(count), *row))} |"
                    for row in _rows(one, list(divide(one, count)))
                ]
    return METHOD + "\n".join(lines) + "\n\n" + _as_delivered(measured)


def at_random(measured: Measured, count: int) -> Iterator[Division]:
    """Yields random divisions."""
    n, random = len(measured.parts), np.random.default_rng(1)
    if n - count >= FEWEST_LEFT:
        for _ in range(TRIALS):
            order = random.permutation(n)
            yield order[:count], order[count:]


def by_groups(measured: Measured, count: int) -> Iterator[Division]:
    """Yields divisions by whole groups: enough to calibrate with, the others to measure on."""
    names, random = np.array([part.group for part in measured.parts]), np.random.default_rng(2)
    for _ in range(TRIALS):
        taken = np.zeros(len(names), dtype=np.bool_)
        for group in random.permutation(measured.groups):
            if taken.sum() >= count:
                break
            taken |= names == group
        left = np.flatnonzero(~taken)
        if len(left) < FEWEST_LEFT:
            return
        yield random.choice(np.flatnonzero(taken), count, replace=False), left


def in_time(measured: Measured, count: int) -> Iterator[Division]:
    """Yields images in a row, where the names have the time."""
    if measured.data_set != IN_TIME:
        return
    order = np.argsort([part.name for part in measured.parts])
    for start in range(len(order) - count - FEWEST_LEFT + 1):
        end = start + count
        yield order[start:end], order[end : end + FEWEST_LEFT]


DIVISIONS: dict[str, Callable[[Measured, int], Iterator[Division]]] = {
    "at random": at_random,
    "by groups": by_groups,
    "in time": in_time,
}


def _rows(measured: Measured, divisions: Sequence[Division]) -> Iterator[tuple[str, ...]]:
    """Yields a row for each target that these divisions tell apart."""
    seen = set()
    for target in TARGETS if divisions else ():
        limits = [_limit(measured.scores[calibrating], target) for calibrating, _ in divisions]
        if limits[0].rank not in seen:
            seen.add(limits[0].rank)
            yield _row(measured, divisions, limits)


def _row(
    measured: Measured, divisions: Sequence[Division], limits: Sequence[ToleranceLimit]
) -> tuple[str, ...]:
    rates, kept, due, limit = [], 0, [], limits[0]
    for (_, left), one in zip(divisions, limits, strict=True):
        above = int((measured.scores[left] > one.threshold).sum())
        rates.append(above / len(left))
        kept += above <= one.bound * len(left)
        due.append(_due(one, len(left)))
    expected = (limit.parts - limit.rank + 1) / (limit.parts + 1)
    share = proportion(kept, len(divisions), confidence=0.975)
    return (
        f"{limit.target:.0%}",
        f"{limit.bound:.2%}",
        f"{np.mean(rates):.2%} ({expected:.2%})",
        f"{share.rate:.1%} ({np.mean(due):.1%})",
        f"{share.lower:.1%} to {share.upper:.1%}",
    )


def _limit(scores: npt.NDArray[np.float64], target: float) -> ToleranceLimit:
    return tolerance_limit(scores.tolist(), false_reject_rate=target, confidence=CONFIDENCE)


def _due(limit: ToleranceLimit, left: int) -> float:
    """Returns the probability that exchangeable images keep the bound: beta-binomial."""
    highest = int(np.floor(limit.bound * left + 1e-9))
    return float(betabinom.cdf(highest, left, limit.parts - limit.rank + 1, limit.rank))


def _as_delivered(measured: Sequence[Measured]) -> str:
    """Returns the rates with the train folder for calibration and the test folder to measure."""
    lines = ["As the data sets are divided by their authors, target 1 %:", ""]
    for one in measured:
        scores = one.scores
        is_test = np.array([part.is_test for part in one.parts])
        limit = _limit(scores[~is_test], TARGETS[0])
        above, left = int((scores[is_test] > limit.threshold).sum()), int(is_test.sum())
        found = proportion(above, left, confidence=0.975)
        lines.append(
            f"- {one.data_set}: {limit.parts} images of the train folder promise at most "
            f"{limit.bound:.2%}; of the test folder {above} of {left} are rejected, "
            f"{found.rate:.2%} (95 % interval {found.lower:.2%} to {found.upper:.2%})."
        )
    return "\n".join(lines) + "\n\n"
