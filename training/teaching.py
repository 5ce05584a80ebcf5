"""Choice of a training by the images, the device and the available time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from inspection.preprocess import Preprocessing
from training.checkpoint import build_model
from training.config import TrainConfig
from training.data.samples import SampleReader
from training.data.survey import SurveyedSample
from training.features import FeatureSource, keep_freed_memory
from training.few_images import hold_out_share
from training.workers import Workers

_AREA = 256 * 256  # px of the model's input
_MULTIPLE = 32  # of its sides: the stride of the deepest layer that a backbone may use
_SHORTEST, _LONGEST = 96, 1024
_FEW = 50  # with fewer good images a larger share is held out
_FEWEST_STEPS, _MOST_STEPS = 100, 2000
_BATCH = 16
_TIMED_STEPS = 4


Sections = dict[str, dict[str, Any]]


class Pace(NamedTuple):
    """Seconds that the parts of a training take on the device."""

    per_image: float  # features of one image
    per_step: float


class Plan(NamedTuple):
    """A training, and the reasons for it as lines for the user."""

    config: TrainConfig
    reasons: list[str]


def plan_training(
    samples: Sequence[SurveyedSample],
    fixed: Sections,
    *,
    seconds: float,
    measure: Callable[[TrainConfig, Sequence[SurveyedSample]], Pace],
) -> Plan:
    """Plans a training of SuperSimpleNet: chooses input size, hold-out and number of steps.

    Args:
        samples: the good images.
        fixed: the given settings by section: folder, backbone, device, seed.
        seconds: for features and steps together.
        measure: measures the pace of a training on the device, as `measure_pace` does.
    """
    data, reasons = _data_choice(samples, 0.3 if len(samples) < _FEW else 0.2)
    on_cpu = fixed["fit"]["device"] == "cpu"
    chosen: Sections = {
        "data": data,
        "model": {
            "name": "supersimplenet",
            "noise_std": "auto",
            "sampled_grid": _BATCH if on_cpu else None,
        },
        "fit": {"epochs": 1, "batch_size": _BATCH, "minimum_steps": _FEWEST_STEPS},
    }
    config = _config(chosen, fixed)
    pace = measure(config, samples)
    steps, remark = _steps(pace, len(samples), seconds)
    chosen["fit"]["minimum_steps"] = steps
    steps_line = f"{steps} steps at {pace.per_step:.2f} s on {fixed['fit']['device']}{remark}"
    return Plan(_config(chosen, fixed), [*reasons, steps_line])


def plan_at_once(samples: Sequence[SurveyedSample], fixed: Sections) -> Plan:
    """Plans a subspace model, which is learnt in seconds: chooses input size and hold-out.

    Args:
        samples: the good images.
        fixed: the given settings by section, as for `plan_training`.
    """
    data, reasons = _data_choice(samples, hold_out_share(len(samples)))
    config = _config({"data": data, "model": {"name": "subspace"}, "fit": {}}, fixed)
    return Plan(config, [*reasons, "subspace: one look at each image, no training"])


def _data_choice(
    samples: Sequence[SurveyedSample], hold_out: float
) -> tuple[dict[str, Any], list[str]]:
    """Returns the settings of the section data, and the reasons for them."""
    size = input_size(samples)
    part = f"{hold_out:.0%} of them held out for the threshold"
    reasons = [
        f"{len(samples)} good images, {part if hold_out else 'all of them learnt'}",
        f"input {size[0]}x{size[1]} (height x width), in the proportions of the frames",
    ]
    return {"image_size": size, "hold_out": hold_out}, reasons


def input_size(samples: Sequence[SurveyedSample]) -> tuple[int, int]:
    """Returns a height and width in the proportions of the frames, about 256 x 256 px in area.

    In a square, a long frame would lose thin defects across its length.
    """
    height, width = (
        float(np.median(side)) for side in zip(*(s.size for s in samples), strict=True)
    )
    side = math.sqrt(_AREA * height / width)
    return _rounded(side), _rounded(_AREA / side)


def measure_pace(config: TrainConfig, samples: Sequence[SurveyedSample]) -> Pace:
    """Extracts the features of a few images and takes a few steps, as `fit` would.

    Raises:
        ConfigError: the device or the backbone's weights are missing.
    """
    keep_freed_memory()
    workers = Workers(config.fit)
    model = workers.place(build_model(config))
    few = list(samples[: config.fit.batch_size])
    heights, widths = ((min(side), max(side)) for side in zip(*(s.size for s in few), strict=True))
    height, width = config.data.image_size
    preprocessing = Preprocessing(
        frame_height=heights,
        frame_width=widths,
        channels=1 if few[0].channels == 1 else 3,
        height=height,
        width=width,
    )
    reader = SampleReader(few, preprocessing, model.annotation, config.data.augment, 0)
    started = time.monotonic()
    source = FeatureSource(model, reader, workers.device, config.fit.cache_max_bytes)
    per_image = (time.monotonic() - started) / (
        len(few) + 1
    )  # the source extracts one more to learn its size
    draw = [(index % len(few), 0) for index in range(config.fit.batch_size)]
    steps = workers.steps(model.train(), model.optimisation(1))
    times = []
    for _ in range(_TIMED_STEPS):
        started = time.monotonic()
        model.step(*source.batch(draw), steps)
        times.append(time.monotonic() - started)
    return Pace(per_image, float(np.median(times[1:])))


def _steps(pace: Pace, images: int, seconds: float) -> tuple[int, str]:
    left = seconds - images * pace.per_image
    steps = int(left / pace.per_step)
    if steps < _FEWEST_STEPS:
        needed = images * pace.per_image + _FEWEST_STEPS * pace.per_step
        return _FEWEST_STEPS, f": a model needs at least these; they take {needed / 60:.1f} minutes"
    if steps > _MOST_STEPS:
        return _MOST_STEPS, ": more do not improve the model"
    return steps, f", {seconds / 60:g} minutes"


def _config(chosen: Sections, fixed: Sections) -> TrainConfig:
    return TrainConfig.model_validate({key: {**chosen[key], **fixed[key]} for key in chosen})


def _rounded(side: float) -> int:
    multiple = _MULTIPLE * max(1, round(side / _MULTIPLE))
    return min(max(multiple, _SHORTEST), _LONGEST)
