"""Checkpoint against artefact on native frames: scores, maps, verdict flips."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from inspection.engine import Engine
from inspection.golden import FP32_TOLERANCE, Difference, compare
from inspection.preprocess import Preprocessing, preprocess
from training.models.base import AnomalyModel


@dataclass(frozen=True)
class Comparison:
    """What checkpoint and artefact say of one frame."""

    name: str
    expected_score: float
    expected_map: npt.NDArray[np.float32]
    score: float
    difference: Difference


def compare_frames(
    model: AnomalyModel,
    engine: Engine,
    preprocessing: Preprocessing,
    frames: Iterable[tuple[str, npt.NDArray[np.uint8]]],
) -> list[Comparison]:
    """Run named native frames through both; the model is in eval mode, on the CPU."""
    comparisons = []
    for name, frame in frames:
        image = preprocess(frame, preprocessing)[np.newaxis]
        with torch.no_grad():
            scores, maps = model(torch.from_numpy(image))
        expected_score, expected_map = float(scores[0]), maps[0].numpy()
        got = engine.infer(image)
        difference = compare(name, expected_score, expected_map, got)
        comparisons.append(
            Comparison(name, expected_score, expected_map, float(got.scores[0]), difference)
        )
    return comparisons


def threshold_above(good: Iterable[float], all_scores: Iterable[float]) -> float:
    """A threshold half-way between the highest good score and the next one above it.

    Between two scores and not on one, so that rounding in the last digit is no verdict flip.
    """
    highest = max(good)
    above = [score for score in all_scores if score > highest]
    return (highest + min(above)) / 2 if above else highest + max(abs(highest), 1.0)


def verdict_flips(comparisons: Iterable[Comparison], threshold: float) -> list[Comparison]:
    """Frames that checkpoint and artefact judge differently at `threshold`."""
    return [c for c in comparisons if (c.expected_score > threshold) != (c.score > threshold)]


def too_different(
    comparisons: Iterable[Comparison], map_tolerance: float = FP32_TOLERANCE
) -> list[Comparison]:
    """Frames on which an FP32 artefact is farther from its checkpoint than rounding explains."""
    return [c for c in comparisons if not c.difference.is_rounding(map_tolerance)]
