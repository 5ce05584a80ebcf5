"""The false reject rates that numbers of good parts can promise, before anything is taught."""

from __future__ import annotations

from dataclasses import dataclass, replace

from calibration.learnt import has_bound
from calibration.tolerance import tolerance_limit
from training.hold_out import hold_out_share, judging

CONFIDENCE = 0.95  # of `linewarden teach`


@dataclass(frozen=True)
class Promise:
    """The promise of a threshold from good parts.

    Attributes:
        images: different good images of independent parts.
        judging: those among them that judge the threshold.
        bound: upper bound of the false reject rate at `confidence`; 1 where there is none.
        is_approximate: whether the bound takes scores as independent that are not quite so; see
            `calibration.learnt`.
        average: upper bound of the false reject rate on average over draws of good parts.
    """

    images: int
    judging: int
    bound: float
    average: float
    confidence: float
    is_approximate: bool = False


def taught(images: int, false_reject_rate: float) -> Promise | None:
    """Returns the promise of `linewarden teach`; None where it can give none.

    Args:
        images: different good images.
        false_reject_rate: target in (0, 1); more parts than it needs lower the threshold, not
            the bound.

    Raises:
        ConfigError: the rate is outside its range.
    """
    if images < 2:
        return None  # its mirrored copies set the threshold
    promise = _promise(images, judging(images), false_reject_rate)
    learns_all = hold_out_share(images, in_turn=True) == 0
    if not learns_all:
        return promise
    bound = promise.bound if has_bound("without_itself", images) else 1.0
    return replace(promise, bound=bound, is_approximate=bound < 1)


def calibrated(images: int, false_reject_rate: float) -> Promise | None:
    """Returns the promise of `linewarden calibrate` with images that the model has not learnt."""
    return _promise(images, images, false_reject_rate) if images else None


def _promise(images: int, judges: int, rate: float) -> Promise:
    # The bound does not depend on the scores: any stand for those to come.
    limit = tolerance_limit(range(judges), false_reject_rate=rate, confidence=CONFIDENCE)
    return Promise(images, judges, limit.bound, limit.average, limit.confidence)
