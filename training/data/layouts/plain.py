"""A plain folder of good images, with or without `test/good` and `test/<defect>` in it.

The test folders alone are enough for a measurement. Masks are in the places of MVTec AD.
"""

from __future__ import annotations

from pathlib import Path

from inspection.errors import CameraError
from inspection.images import IMAGE_SUFFIXES, list_images
from training.data.data_set import DataSet, Sample
from training.data.layouts import ksdd2
from training.data.layouts.base import assemble
from training.data.layouts.mvtec import folders, read_split

EXPECTED = "images of good parts, or test/<defect>"


def recognises(path: Path) -> bool:
    """Returns True when there are images, or folders of test images."""
    return path.is_dir() and (_has_images(path) or bool(folders(path / "test")))


def read(path: Path) -> DataSet:
    """Lists all images directly in the folder, and the test images.

    Raises:
        CameraError: masks of KSDD2 are among the images, or a test folder does not hold an image.
    """
    if ksdd2.has_masks(path):
        raise CameraError(
            f"{path}: masks (*{ksdd2.MASK_SUFFIX}) are among the images, as in the folders train "
            "and test of KSDD2; give the folder above, which has both"
        )
    good = map(Sample, list_images(path)) if _has_images(path) else ()
    return assemble(path, path.resolve().name, good, read_split(path, "test"))


def _has_images(path: Path) -> bool:
    return any(file.suffix.lower() in IMAGE_SUFFIXES for file in path.iterdir())
