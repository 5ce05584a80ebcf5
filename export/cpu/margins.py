"""How far a stage in lower precision may be from the FP32 graph, and what it leaves to that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from export.precision.outcome import Expected
from inspection.engine import Prediction
from inspection.engine.cpu_record import Margin

FEWEST_FRAMES = 10  # of good parts; of fewer, the largest difference says little of the next part

# Widths over the largest difference of a frame of a good part. docs/measured/precision.md has the
# verdicts that flip with it. The scores of images that the model has learnt differ less: by a
# factor of 0.67 to 0.76 on four pairs of bundle and precision.
_SAFETY, _SAFETY_OF_LEARNT = 2.0, 3.0
_LEAST = 2.0**-8  # of the scores: half a unit in the last place of BF16


class FirstLook(NamedTuple):
    """What a stage would do before the FP32 graph.

    Attributes:
        frames: number of frames of good parts that the margin is from.
        second_look: share of these that it does not pass.
        wrongly_passed: names of the frames that it passes and the checkpoint rejects.
    """

    margin: Margin
    frames: int
    second_look: float
    wrongly_passed: tuple[str, ...]


def first_look(
    expected: list[Expected],
    got: Mapping[int, Prediction],
    threshold: float,
    *,
    has_learnt: bool = False,
) -> FirstLook:
    """Takes the margin from the frames of good parts, and applies it to all frames.

    The second looks are counted at the highest score of a good part, where calibration sets the
    threshold.

    Args:
        expected: good images and golden frames; those that the checkpoint passes are good parts.
        got: predictions of the stage, by number of the frame; all finite.
        threshold: the score above which the checkpoint rejects a frame.
        has_learnt: the model was fitted to some of the good images.
    """
    pairs = [(frame, float(got[number].scores[0])) for number, frame in enumerate(expected)]
    good = [(frame.score, found) for frame, found in pairs if frame.score <= threshold]
    seen_to = max((score for score, _ in good), default=threshold)
    safety = _SAFETY_OF_LEARNT if has_learnt else _SAFETY
    largest = max((abs(score - found) for score, found in good), default=0.0)
    margin = Margin(width=max(safety * largest, _LEAST * abs(seen_to)), seen_to=seen_to)
    limit = margin.limit(threshold)
    return FirstLook(
        margin,
        len(good),
        float(np.mean([found > limit for _, found in good])) if good else 1.0,
        tuple(frame.name for frame, found in pairs if frame.score > threshold and found <= limit),
    )
