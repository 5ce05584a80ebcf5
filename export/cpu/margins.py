"""How far a stage in lower precision may be from the FP32 graph, and what it leaves to that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from export.precision.outcome import Expected
from inspection.engine import Prediction
from inspection.engine.cpu_record import Margins

# Margins over the largest difference of a frame that the build saw. docs/measured/precision.md has
# the verdicts that flip with it: none of 479 test images in any precision.
_SAFETY = 2.0
# A zone may lie anywhere: the highest values of so many rows and columns of blocks stand for it.
_BLOCKS = 4


class FirstLook(NamedTuple):
    """What a stage would do before the FP32 graph.

    Attributes:
        second_look: share of the frames of good parts that it does not pass.
        wrongly_passed: names of the frames that it passes and the checkpoint rejects.
    """

    margins: Margins
    second_look: float
    wrongly_passed: tuple[str, ...]


def first_look(
    expected: list[Expected], got: Mapping[int, Prediction], threshold: float
) -> FirstLook:
    """Takes the margins from the frames of good parts, and applies them to all frames.

    Args:
        expected: good images and golden frames; those that the checkpoint passes are good parts.
        got: predictions of the stage, by number of the frame.
        threshold: the score above which the checkpoint rejects a frame.
    """
    pairs = [(frame, got[number]) for number, frame in enumerate(expected)]
    good = [(frame, found) for frame, found in pairs if frame.score <= threshold]
    margins = Margins(
        score=_SAFETY * max((abs(f.score - float(g.scores[0])) for f, g in good), default=0.0),
        map=_SAFETY * max((_block_difference(f.map, g.maps[0]) for f, g in good), default=0.0),
    )
    limit = threshold - margins.score
    left = [not float(found.scores[0]) <= limit for _, found in good]
    passed = [frame for frame, found in pairs if float(found.scores[0]) <= limit]
    return FirstLook(
        margins,
        float(np.mean(left)) if left else 1.0,
        tuple(frame.name for frame in passed if frame.score > threshold),
    )


def _block_difference(expected: npt.NDArray[np.float32], found: npt.NDArray[np.float32]) -> float:
    """Returns the largest difference of the highest values of blocks of two maps (H, W)."""
    pairs = zip(_blocks(expected), _blocks(found), strict=True)
    return max(abs(float(one.max()) - float(other.max())) for one, other in pairs)


def _blocks(values: npt.NDArray[np.float32]) -> Iterator[npt.NDArray[np.float32]]:
    for rows in np.array_split(values, _BLOCKS):
        yield from np.array_split(rows, _BLOCKS, axis=1)
