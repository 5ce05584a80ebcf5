"""The drift baseline of good parts, and the limits of the charts that watch for drift.

The charts are those of `edge.drift`. Their limits follow from one figure, the parts between two
false alarms of the whole system (`run_length`), of which every chart gets an equal part of the
alarms. Run lengths of the CUSUM are those of Brook and Evans (1972), of the EWMA those of Lucas and
Saccucci (1990), both by Markov chain. A baseline of few parts is itself off by chance; the limits
are set for a mean that is off as far as is plausible at `confidence` (the aim of Gandy and Kvaloy
2013), so that few parts give slow charts rather than false alarms. The limit of the window is the
sum of two exact Kolmogorov limits: of the baseline at `confidence`, and of the window at as much
error probability as its parts are worth, which is the correction for looking again and again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import kstwo, norm

from calibration.run_lengths import cusum_run_length, ewma_run_length, limit_for
from calibration.threshold import require_share
from edge.drift import MOVED, Baseline
from edge.errors import ConfigError
from edge.frame_figures import frame_figures, reference_from
from edge.images import encode_png, read_image
from edge.preprocess import Crop

FEWEST_PARTS = 30
_CHARTS = 3


def baseline_from(
    figures: Mapping[str, Sequence[float]],
    *,
    run_length: float = 10_000,
    confidence: float = 0.9,
    window: int = 100,
    slack: float = 0.5,
    weight: float = 0.1,
) -> Baseline:
    """Baseline and limits from good parts that the model was not fitted to.

    Args:
        figures: for each channel (a key of `MOVED`), its value for each good part.
        run_length: mean number of good parts between two false alarms, over all charts.
        confidence: that the run length holds, over draws of the baseline.

    Raises:
        ConfigError: unknown channels, fewer than 30 parts, values that are not finite.
    """
    require_share("confidence", confidence)
    counts = {len(values) for values in figures.values()}
    unknown = sorted(set(figures) - set(MOVED))
    if unknown or not figures:
        raise ConfigError(f"channels {unknown} are unknown; known are {', '.join(MOVED)}")
    if len(counts) != 1 or min(counts) < FEWEST_PARTS:
        raise ConfigError(
            f"the channels have {sorted(counts)} values: a drift baseline needs the same good "
            f"parts in every channel, at least {FEWEST_PARTS}"
        )
    if not all(np.isfinite(values).all() for values in figures.values()):
        raise ConfigError("a drift baseline needs finite values: leave out parts without them")
    (n,) = counts
    each = run_length * _CHARTS * len(figures)
    off = float(norm.ppf((1 + confidence) / 2)) / math.sqrt(n)

    def cusum(limit: float) -> float:
        return cusum_run_length(limit, slack, off)

    def ewma(limit: float) -> float:
        return ewma_run_length(limit, weight, off)

    deviation = math.sqrt(weight / (2 - weight))
    return Baseline(
        values={name: tuple(sorted(map(float, values))) for name, values in figures.items()},
        run_length=run_length,
        slack=slack,
        weight=weight,
        cusum_limit=limit_for(cusum, each),
        ewma_limit=limit_for(ewma, each) * deviation,
        window=window,
        window_limit=float(
            kstwo.isf(1 - confidence, n) + kstwo.isf(min(1.0, window / each), window)
        ),
    )


def baseline_of_images(scores: Mapping[Path, float], crop: Crop | None = None) -> Baseline | None:
    """The baseline of good images; None when they are fewer than 30.

    Positions are measured against the image with the middle score.

    Args:
        scores: raw score of each image file.
        crop: the part of the frame that is inspected.

    Raises:
        CameraError: an image cannot be read any more.
    """
    if len(scores) < FEWEST_PARTS:
        return None
    typical = sorted(scores, key=scores.__getitem__)[len(scores) // 2]
    reference = reference_from(_inspected(typical, crop))
    figures = [
        {**frame_figures(_inspected(path, crop), reference), "score": score}
        for path, score in scores.items()
    ]
    baseline = baseline_from({name: [one[name] for one in figures] for name in MOVED})
    return baseline.model_copy(update={"reference_png": encode_png(reference)})


def _inspected(path: Path, crop: Crop | None) -> npt.NDArray[np.uint8]:
    frame = read_image(path)
    return frame if crop is None else crop.of(frame)
