"""How far a stage in lower precision may be from the FP32 graph, and what it leaves to that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from export.precision.outcome import Expected
from inspection.engine import Prediction
from inspection.engine.cpu_record import Margin

FEWEST_GOOD = 10  # images; of fewer, the largest difference says little of the next part

# Width over the largest difference of a frame that the checkpoint passes. No verdict of the images
# in docs/measured/precision.md flips with it.
_SAFETY = 2.0
_LEAST = 2.0**-8  # of the scores: half a unit in the last place of BF16


class FirstLook(NamedTuple):
    """What a stage would do before the FP32 graph.

    Attributes:
        second_look: share of the good images that it does not pass.
        wrongly_passed: names of the frames that it passes and the checkpoint rejects.
    """

    margin: Margin
    second_look: float
    wrongly_passed: tuple[str, ...]


def first_look(
    expected: Sequence[Expected], got: Mapping[int, Prediction], threshold: float, *, good: int
) -> FirstLook:
    """Takes the margin from the frames that the checkpoint passes, and applies it to all frames.

    The second looks are counted at the highest score of a good image, where calibration sets the
    threshold.

    Args:
        expected: the good images, which the model has not learnt, and then the golden frames.
        got: predictions of the stage, by number of the frame; all finite.
        threshold: the score above which the checkpoint rejects a frame.
        good: number of the good images, at least 1.
    """
    pairs = [(frame, float(got[number].scores[0])) for number, frame in enumerate(expected)]
    seen_to = min(threshold, max(frame.score for frame in expected[:good]))
    largest = max(
        (abs(frame.score - found) for frame, found in pairs if frame.score <= threshold),
        default=0.0,
    )
    margin = Margin(width=max(_SAFETY * largest, _LEAST * abs(seen_to)), seen_to=seen_to)
    limit = margin.limit(threshold)
    return FirstLook(
        margin,
        float(np.mean([found > limit for _, found in pairs[:good]])),
        tuple(frame.name for frame, found in pairs if frame.score > threshold and found <= limit),
    )
