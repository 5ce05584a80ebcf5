"""The number of optimisation steps that fit into given minutes on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from inspection.preprocess import Preprocessing
from training.checkpoint import build_model
from training.config import TrainConfig
from training.data.samples import SampleReader
from training.data.survey import SurveyedSample
from training.features import FeatureSource
from training.workers import Workers

FEWEST_STEPS, _MOST_STEPS = 100, 2000
_TIMED_STEPS = 4


class Pace(NamedTuple):
    """Seconds that the parts of a training take on the device."""

    per_image: float  # features of one image
    per_step: float


def measure_pace(config: TrainConfig, samples: Sequence[SurveyedSample]) -> Pace:
    """Extracts the features of a few images and takes a few steps, as `fit` would.

    Raises:
        ConfigError: the device or the backbone's weights are missing.
    """
    workers = Workers(config.fit)
    model = workers.place(build_model(config))
    few = list(samples[: config.fit.batch_size])
    heights, widths = ((min(side), max(side)) for side in zip(*(s.size for s in few), strict=True))
    height, width = config.data.image_size
    preprocessing = Preprocessing(
        frame_height=heights,
        frame_width=widths,
        channels=1 if few[0].channels == 1 else 3,
        crop=config.data.crop,
        height=height,
        width=width,
    )
    reader = SampleReader(few, preprocessing, model.annotation, config.data.augment, 0)
    started = time.monotonic()
    source = FeatureSource(model, reader, workers.device, config.fit.cache_max_bytes)
    # The source extracts one more to learn its size.
    per_image = (time.monotonic() - started) / (len(few) + 1)
    draw = [(index % len(few), 0) for index in range(config.fit.batch_size)]
    steps = workers.steps(model.train(), model.optimisation(1))
    times = []
    for _ in range(_TIMED_STEPS):
        started = time.monotonic()
        model.step(*source.batch(draw), steps)
        times.append(time.monotonic() - started)
    return Pace(per_image, float(np.median(times[1:])))


def steps_for(pace: Pace, images: int, seconds: float) -> tuple[int, str]:
    """Returns the number of steps for features and steps together, and a remark for the user."""
    left = seconds - images * pace.per_image
    steps = int(left / pace.per_step)
    if steps < FEWEST_STEPS:
        needed = images * pace.per_image + FEWEST_STEPS * pace.per_step
        return FEWEST_STEPS, f": a model needs at least these; they take {needed / 60:.1f} minutes"
    if steps > _MOST_STEPS:
        return _MOST_STEPS, ": more do not improve the model"
    return steps, f", {seconds / 60:g} minutes"
