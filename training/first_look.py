"""The first look at the images of a data set: sizes of frames, and the input that fits them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from inspection.errors import ConfigError, named
from training.config import TrainConfig
from training.data.survey import Range, SurveyedSample
from training.input_size import AREA, Size, choose_size, finest_px, typical_size
from training.models import model_module
from training.models.base import blank_image
from training.workers import Workers

_TIMED = 3  # images
# Ratios that rounding the sides to the stride of a backbone does not reach.
_SHRUNK, _LARGE = 1.25, 1.5


class Frames(NamedTuple):
    """The frames of a data set.

    Attributes:
        heights, widths: lowest and highest of all images, px.
        remarks: names the images of a rare size, for the user.
    """

    heights: Range
    widths: Range
    remarks: tuple[str, ...]


def frames_of(images: Sequence[SurveyedSample]) -> Frames:
    """Returns the range of sizes that covers all images, those of the test too."""
    sizes = Counter(sample.size for sample in images)
    heights, widths = ((min(side), max(side)) for side in zip(*sizes, strict=True))
    if len(sizes) == 1:
        return Frames(heights, widths, ())
    usual, count = sizes.most_common(1)[0]
    others = named([str(s.sample.path) for s in images if s.size != usual])
    remark = (
        f"warning: frames of {len(sizes)} sizes, {heights[0]} to {heights[1]} high and "
        f"{widths[0]} to {widths[1]} wide; {count} of {len(images)} are {usual[0]}x{usual[1]}, "
        f"the others: {others}; the bundle will take all sizes between: remove "
        "images that are not from the camera of the line"
    )
    return Frames(heights, widths, (remark,))


def is_size_open(config: TrainConfig) -> bool:
    """Returns whether nobody has chosen the input size, and the model takes any."""
    told = "image_size" in config.data.model_fields_set
    return not told and hasattr(config.model, "backbone") and not config.data.augment.quarter_turns


def refuse_told_size(smallest_defect_px: float | None, budget_ms: float | None) -> None:
    """Raises ConfigError for options that choose the input size when it is chosen already."""
    options = {"--smallest-defect-px": smallest_defect_px, "--budget-ms": budget_ms}
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise ConfigError(f"{', '.join(given)}: data.image_size is given; leave one of them out")


def fitting_size(
    config: TrainConfig,
    good: Sequence[SurveyedSample],
    *,
    smallest_defect_px: float | None,
    budget_ms: float | None,
) -> Size:
    """Chooses the input size for the model of `config`; see `choose_size`."""
    return choose_size(
        _inspected(config, good),
        lambda size: 1000 * backbone_s(config, size),
        smallest_defect_px=smallest_defect_px,
        budget_ms=budget_ms,
    )


def described(config: TrainConfig, good: Sequence[SurveyedSample]) -> str:
    """Says which input the model has, which defects it does not show, and what a large one costs.

    A large one is timed, before a training takes minutes or hours for it.
    """
    size, frame = config.data.image_size, _inspected(config, good)
    text = f"input {size[0]}x{size[1]} (height x width)"
    finest = finest_px(frame, size)
    if finest > _SHRUNK * finest_px(frame, frame):
        text += (
            f", which shows defects from {finest:.0f} px of the {frame[0]}x{frame[1]} frame on; "
            "for smaller ones set --smallest-defect-px"
        )
    if size[0] * size[1] > _LARGE * AREA:
        text += (
            f"; the backbone takes {1000 * backbone_s(config, size):.0f} ms for such an image here"
        )
    return text


def _inspected(config: TrainConfig, good: Sequence[SurveyedSample]) -> Size:
    """Returns the size of the part of the frames that the model sees."""
    crop = config.data.crop
    return typical_size(good) if crop is None else (crop.height, crop.width)


def backbone_s(config: TrainConfig, size: Size) -> float:
    """Measures the seconds of the model's backbone for one image: the median of a few."""
    device = Workers(config.fit).device
    model = model_module(config.model.name).Model(config.model, size).to(device).eval()
    image = blank_image(size).to(device)
    times = []
    for _ in range(1 + _TIMED):
        before = time.monotonic()
        layers = model.extract(image)
        layers[0].sum().item()  # waits for the device
        times.append(time.monotonic() - before)
    return float(np.median(times[1:]))  # the first one prepares the kernels
