"""The good images of a training, found again for the calibration of INT8."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inspection.errors import BundleError, CameraError
from inspection.files import sha256_of
from inspection.images import Tell, list_images, read_frame
from inspection.preprocess import preprocess
from training.adding import good_files
from training.checkpoint import RunRecord

MAXIMUM_IMAGES = 100  # more do not change the ranges, and each costs a run of the graph
FEW_IMAGES = 16  # for a bundle in seconds: a histogram of activations takes longer than the run
MINIMUM_IMAGES = 4


def calibration_images(
    record: RunRecord, folder: Path | None, tell: Tell, most: int = MAXIMUM_IMAGES
) -> list[npt.NDArray[np.uint8]]:
    """Returns at most `most` prepared good images of the training, uint8 (1, H, W, 3).

    Args:
        record: names these images by hash.
        folder: images of good parts; None takes the data set of the training.
        tell: takes a sentence for each reason to pass over files in `folder`.

    Raises:
        BundleError: the images are gone, or `folder` holds others.
    """
    found = _fitted(_candidates(record, folder, tell), frozenset(record.fitted_sha256))
    if len(found) < MINIMUM_IMAGES:
        raise BundleError(
            f"{folder or record.config.data.folder}: holds {len(found)} of the good training "
            f"images, and the calibration of INT8 needs at least {MINIMUM_IMAGES}: give the folder "
            "that holds them now with --calibration FOLDER"
        )
    way = record.preprocessing
    return [preprocess(read_frame(path, way.window), way)[np.newaxis] for path in found[:most]]


def _candidates(record: RunRecord, folder: Path | None, tell: Tell) -> list[Path]:
    if folder is not None:
        return list_images(folder, tell)
    try:
        return good_files(record)
    except CameraError as error:
        raise BundleError(
            f"the training images for the calibration of INT8 are gone ({error}): give the folder "
            "that holds them now with --calibration FOLDER"
        ) from error


def _fitted(paths: Iterable[Path], fitted: frozenset[str]) -> list[Path]:
    """Returns each different training image once, in the order of the hashes."""
    by_hash = {digest: path for path in paths if (digest := sha256_of(path)) in fitted}
    return [by_hash[digest] for digest in sorted(by_hash)]
