"""A plain folder of good images, with or without `test/good` and `test/<defect>` in it.

The test folders alone are enough for a measurement. Masks are in the places of MVTec AD.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inspection.errors import CameraError, listed
from inspection.images import IMAGE_SUFFIXES, content_of
from training.data.data_set import DataSet, Sample
from training.data.layouts import ground_truth, ksdd2
from training.data.layouts.base import assemble, part_name
from training.data.layouts.mvtec import folders, read_tree

_MASK_ENDINGS = ("_mask", "_gt", "_label")

EXPECTED = f"images of good parts ({', '.join(sorted(IMAGE_SUFFIXES))}), or test/<defect>"


def recognises(path: Path) -> bool:
    """Returns True when there are images, or folders of test images."""
    return path.is_dir() and bool(content_of(path).images or folders(path / "test"))


def read(path: Path) -> DataSet:
    """Lists all images directly in the folder, and the test images.

    Raises:
        CameraError: masks are among the images, or `read_tree` refuses the test images.
    """
    if ksdd2.has_masks(path):
        raise CameraError(
            f"{path}: masks (*{ksdd2.MASK_SUFFIX}) are among the images, as in the folders train "
            "and test of KSDD2; give the folder above, which has both"
        )
    content = content_of(path)
    _refuse_masks(content.images)
    doubts = content.passed_over(("test", ground_truth.FOLDER))
    tests = read_tree(path, doubts.append, splits=["test"])["test"]
    return assemble(path, part_name(path), map(Sample, content.images), tests, doubts=doubts)


def _refuse_masks(images: Sequence[Path]) -> None:
    """Raises CameraError for images whose names make them masks of others beside them."""
    stems = {image.stem.casefold() for image in images}
    masks = [
        str(image)
        for image in images
        for ending in _MASK_ENDINGS
        if image.stem.casefold().endswith(ending)
        and image.stem.casefold().removesuffix(ending) in stems
    ]
    if masks:
        title = f"{len(masks)} masks are among the images and would be learnt as good parts:"
        raise CameraError(
            listed(title, masks)
            + f"\nput them into {ground_truth.FOLDER}/<defect>, and the images "
            "into test/<defect> or train/<defect>"
        )
