"""Comparison of checkpoint and artefact on native frames: real ones, and adversarial ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from inspection.engine import Engine
from inspection.errors import BundleError, EngineError
from inspection.files import sha256_of
from inspection.golden import FP32_TOLERANCE, Difference, compare
from inspection.images import Window, read_frame
from inspection.names import printable
from inspection.preprocess import Preprocessing, preprocess
from training.checkpoint import HeldOut
from training.models.base import AnomalyModel

Frame = npt.NDArray[np.uint8]
_LINES = 4


@dataclass(frozen=True)
class Comparison:
    """Results of checkpoint and artefact for one frame."""

    name: str
    expected_score: float
    expected_map: npt.NDArray[np.float32]
    score: float
    difference: Difference


def real_frames(files: Sequence[HeldOut], window: Window | None) -> Iterator[tuple[str, Frame]]:
    """Reads images at native resolution, named by their files.

    Raises:
        BundleError: a file has gone or changed since the training.
    """
    for file in files:
        path = file.path
        if not path.is_file():
            raise BundleError(
                f"{printable(path)}: the training kept this image for calibration, and it is gone; "
                "export on the machine that has the data set"
            )
        # An image that the model has learnt would count as unseen after another save.
        if sha256_of(path) != file.sha256:
            raise BundleError(
                f"{printable(path)}: has changed since the training, which kept this image for "
                "calibration; bring the original back, or train again"
            )
        yield printable(path.stem), read_frame(path, window)


def adversarial_frames(
    base: Frame, preprocessing: Preprocessing, seed: int = 0
) -> Iterator[tuple[str, Frame]]:
    """Makes native frames that reveal another preparation or another computation.

    They are constant and saturated frames and noise, in the smallest and in the largest size that
    the model takes, and `base` with lines one pixel wide: a resize without antialiasing shows or
    hides those depending on their position.
    """
    random = np.random.default_rng(seed)
    smallest, largest = zip(preprocessing.frame_height, preprocessing.frame_width, strict=True)
    for height, width in dict.fromkeys((smallest, largest)):
        shape = (height, width) if preprocessing.channels == 1 else (height, width, 3)
        size = f"{height}x{width}"
        yield f"black-{size}", np.zeros(shape, np.uint8)
        yield f"saturated-{size}", np.full(shape, 255, np.uint8)
        yield f"grey-{size}", np.full(shape, 118, np.uint8)
        yield f"noise-{size}", random.integers(0, 256, shape, dtype=np.uint8)
    for number in range(_LINES):
        frame = base.copy()
        value = 255 * (number % 2)
        frame[int(random.integers(len(frame)))] = value
        frame[:, int(random.integers(frame.shape[1]))] = value
        yield f"lines-{number}", frame


def compare_frames(
    model: AnomalyModel,
    engine: Engine,
    preprocessing: Preprocessing,
    frames: Iterable[tuple[str, npt.NDArray[np.uint8]]],
) -> list[Comparison]:
    """Runs named native frames through model and engine; the model is in eval mode, on the CPU."""
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
    """Returns a threshold half-way between the highest good score and the next one above it.

    It lies between two scores, so that rounding in the last digit does not flip a verdict.
    """
    highest = max(good)
    above = [score for score in all_scores if score > highest]
    return (highest + min(above)) / 2 if above else highest + max(abs(highest), 1.0)


def verdict_flips(comparisons: Iterable[Comparison], threshold: float) -> list[Comparison]:
    """Returns the frames that checkpoint and artefact judge differently at `threshold`."""
    return [c for c in comparisons if (c.expected_score > threshold) != (c.score > threshold)]


def too_different(
    comparisons: Iterable[Comparison], map_tolerance: float = FP32_TOLERANCE
) -> list[Comparison]:
    """Returns the frames on which an FP32 artefact differs by more than rounding explains."""
    return [c for c in comparisons if not c.difference.is_rounding(map_tolerance)]


def refuse_other_results(
    comparisons: Sequence[Comparison], threshold: float, map_tolerance: float, which: str = ""
) -> None:
    """Raises EngineError unless a graph gives the results of the checkpoint.

    Args:
        which: words for the message, behind "the exported graph".
    """
    flips = verdict_flips(comparisons, threshold)
    wrong = too_different(comparisons, map_tolerance) or flips
    if wrong:
        worst = max(wrong, key=lambda c: c.difference.relative)
        raise EngineError(
            f"the exported graph{which} is not the checkpoint: {len(wrong)} of {len(comparisons)} "
            f"frames differ, {len(flips)} in their verdict; worst {worst.name!r}: score "
            f"{worst.expected_score:.6g} became {worst.score:.6g}. Nothing was written"
        )
