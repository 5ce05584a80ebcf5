"""Scores of images that the model has learnt, where there are too few to hold some out.

A model of all other images judges each image: leave-one-out. One more good part, judged by the
model of all n, is then exchangeable with the n, and scores above the highest of them in at most
1 / (n + 1) of all draws (conformal prediction; Vovk, Gammerman, Shafer 2005; the jackknife of
Barber, Candes, Ramdas, Tibshirani 2021), provided that one more good image raises no score of the
others. A bank of nearest neighbours always keeps this; statistics of many patches do so on average.

This is a promise on average over sets of n parts. A bound with confidence for one set takes the
scores as independent, and they are not: each image judges the others. By simulation with nearest
neighbours, 5 to 8 of 100 sets of 5 to 20 parts break the bound of 95 %, and 9 to 14 of 2 parts. So
it is an approximation, and with fewer than 5 parts there is none.

A single image has no others. Its mirrored copies give a threshold, and nothing is promised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from calibration.thresholds import PromisedThresholds
from calibration.tolerance import ToleranceLimit
from inspection.bundle.calibration_file import Judged
from inspection.engine import Prediction
from inspection.errors import ConfigError

FEWEST_FOR_BOUND = 5  # good parts, each judged by a model of the others


@dataclass(frozen=True)
class LearntImages:
    """Predictions of batch 1 for images that the model has learnt, by SHA-256 of the file.

    Attributes:
        judged: the judge of the images; None without any.
    """

    judged: Judged | None = None
    predictions: Mapping[str, Prediction] = field(default_factory=dict)


def has_bound(judged: Judged | None, parts: int) -> bool:
    """Whether scores of good parts give a bound with confidence; an approximate one if `judged`."""
    return judged is None or (judged == "without_itself" and parts >= FEWEST_FOR_BOUND)


def promise_of(promised: PromisedThresholds, judged: Judged | None) -> PromisedThresholds:
    """Returns the same thresholds, with bounds of 1 where the scores give none.

    Raises:
        ConfigError: the model has learnt the images, and the parts come in lots.
    """
    limit = promised.reject_limit
    if judged is None:
        return promised
    if not isinstance(limit, ToleranceLimit):
        raise ConfigError(
            "the model has learnt these images, and lots promise nothing of it: bring good parts "
            "of several lots that it has not learnt"
        )
    if has_bound(judged, limit.parts):
        return promised
    average = 1.0 if judged == "mirrored" else limit.average
    return replace(
        promised,
        reject_limit=replace(limit, bound=1.0, average=average),
        pixels=tuple(replace(pixel, mask_rate_bound=1.0) for pixel in promised.pixels),
    )
