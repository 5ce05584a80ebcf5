"""Frames that compare a checkpoint with an artefact: real ones, and ones made to differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inspection.errors import BundleError
from inspection.images import read_image
from inspection.preprocess import Preprocessing

Frame = npt.NDArray[np.uint8]
_LINES = 4


def real_frames(paths: Sequence[Path]) -> Iterator[tuple[str, Frame]]:
    """Images at native resolution, named by their files.

    Raises:
        BundleError: a file is gone since the training.
    """
    for path in paths:
        if not path.is_file():
            raise BundleError(
                f"{path}: was held out in training and is gone; export where the data set is"
            )
        yield path.stem, read_image(path)


def adversarial_frames(
    base: Frame, preprocessing: Preprocessing, seed: int = 0
) -> Iterator[tuple[str, Frame]]:
    """Native frames on which sides that prepare or compute differently come apart.

    Constant and saturated frames, noise, and `base` with lines one pixel wide, which a resize
    without antialiasing shows or hides depending on their position; in the smallest and in the
    largest size that the model takes.
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
