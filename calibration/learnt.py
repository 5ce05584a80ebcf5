"""Scores of images that the model has learnt, where there are too few to hold some out.

A model of all other images judges each image: leave-one-out. One more good part, judged by the
model of all n, is then exchangeable with the n, and scores above the highest of them in at most
1 / (n + 1) of all draws (conformal prediction; Vovk, Gammerman, Shafer 2005; the jackknife of
Barber, Candes, Ramdas, Tibshirani 2021), provided that one more good image raises no score of the
others. A bank of nearest neighbours always keeps this; statistics of many patches do so on average.
The bound with confidence takes the scores as independent, which leave-one-out scores are nearly.

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


@dataclass(frozen=True)
class LearntImages:
    """Predictions of batch 1 for images that the model has learnt, by SHA-256 of the file.

    Attributes:
        judged: the judge of the images; None without any.
    """

    judged: Judged | None = None
    predictions: Mapping[str, Prediction] = field(default_factory=dict)


def without_promise(promised: PromisedThresholds) -> PromisedThresholds:
    """Returns the same thresholds with bounds of 1, for scores that no further part is like.

    Raises:
        ConfigError: the parts come in lots.
    """
    limit = promised.reject_limit
    if not isinstance(limit, ToleranceLimit):
        raise ConfigError("a single image is not a lot: bring good parts of several lots")
    return replace(
        promised,
        reject_limit=replace(limit, bound=1.0, average=1.0),
        pixels=tuple(replace(pixel, mask_rate_bound=1.0) for pixel in promised.pixels),
    )
