"""The measure of a lower precision: verdicts, scores and maps beside the expected ones; no onnx."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from export.timing import Image
from inspection.bundle.manifest import Parity
from inspection.engine import Prediction
from inspection.golden import Difference, compare


@dataclass(frozen=True)
class Expected:
    """A prepared frame, uint8 (1, H, W, 3) BGR, with the checkpoint's score and map (H, W)."""

    name: str
    image: Image
    score: float
    map: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Budget:
    """Largest distance of an artefact from the checkpoint.

    Attributes:
        good: score difference of a held-out good frame, as a share of the spread of their scores.
        score: score difference of any frame, as a share of the spread of all scores.
        map: difference of any pixel, as a share of the spread of all maps.
        may_flip: True for one that never decides alone; otherwise no verdict may flip.
    """

    good: float
    score: float
    map: float
    may_flip: bool = False


# The same weights in FP32 may differ by rounding only. A map that jumps may do so anywhere, and the
# self-test of the line judges it.
FP32_BUDGET = Budget(good=1e-2, score=1e-3, map=0.5)
FP16_BUDGET = Budget(good=0.05, score=5e-3, map=5e-3)
# BF16 and INT8 keep 8 bits of a value. SuperSimpleNet on four data sets: BF16 moves the scores of
# good and golden frames by 0.7 % to 1.6 % of their spread, INT8 for OpenVINO by 1.5 % to 5.3 %, and
# the forms of INT8 that export kept move all its frames, also those that no part looks like, by
# 2.5 % to 12.5 %. A quarter of the spread of good scores is below their noise: INT8 for OpenVINO
# moves them by 5 % to 23 %, most where six good parts make the spread.
BF16_BUDGET = Budget(good=0.25, score=0.05, map=FP32_BUDGET.map)
INT8_BUDGET = Budget(good=0.25, score=0.15, map=FP32_BUDGET.map)
# A first stage rejects nothing, and passes nothing near a threshold: its margin and the proof of
# `linewarden build` take the place of its verdicts.
FIRST_STAGE_BUDGET = replace(INT8_BUDGET, may_flip=True)


@dataclass(frozen=True)
class Outcome:
    """Results of an artefact on all frames.

    Attributes:
        good: largest score difference of a good frame over the spread of the good scores.
        map: largest difference of a pixel over the spread of all expected maps.
    """

    parity: Parity
    good: float
    map: float

    def is_within(self, budget: Budget) -> bool:
        """Returns True when it keeps the budget; False when a value is not finite."""
        score = self.parity.score / max(self.parity.score_range, 1e-12)
        return (
            (budget.may_flip or self.parity.verdict_flips == 0)
            and self.good <= budget.good
            and score <= budget.score
            and self.map <= budget.map
        )


class Yardstick:
    """Compares predictions with the expected results.

    Args:
        frames: the good ones first.
        good: number of these; they were held out of training.
        threshold: the score above which a frame is rejected.
    """

    def __init__(self, frames: Sequence[Expected], *, good: int, threshold: float) -> None:
        self._frames = tuple(frames)
        self._threshold = threshold
        self._good = good
        scores = [frame.score for frame in frames]
        self._range = max(scores) - min(scores)
        good_range = max(scores[:good]) - min(scores[:good]) if good else 0.0
        self._good_range = good_range or self._range
        self._map_range = float(max(f.map.max() for f in frames) - min(f.map.min() for f in frames))

    def outcome(self, got: Mapping[int, Prediction]) -> Outcome:
        """Compares the predictions for the frames with these numbers."""
        differences: dict[int, Difference] = {}
        flips = 0
        for number, prediction in got.items():
            frame, score = self._frames[number], float(prediction.scores[0])
            flips += (frame.score > self._threshold) != (score > self._threshold)
            differences[number] = compare(frame.name, frame.score, frame.map, prediction)
        parity = Parity(
            frames=len(got),
            score=_largest([d.score for d in differences.values()]),
            map=_largest([d.map for d in differences.values()]),
            score_range=self._range,
            verdict_flips=flips,
            threshold=self._threshold,
        )
        good = _largest([d.score for number, d in differences.items() if number < self._good])
        return Outcome(
            parity, good / max(self._good_range, 1e-12), parity.map / max(self._map_range, 1e-12)
        )


def _largest(values: Sequence[float]) -> float:
    """Returns the maximum, 0 without values, infinity when a value is not finite."""
    return max(values, default=0.0) if np.isfinite(values).all() else float("inf")
