"""KolektorSDD2: `train/<id>.png` with `train/<id>_GT.png`, the same in `test`; one category.

A part is defective where its mask has a pixel that is not zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from inspection.errors import CameraError, listed
from inspection.images import Tell, content_of, encode_png, list_images, read_stored
from inspection.names import printable
from training.data.data_set import GOOD, DataSet, Sample
from training.data.layouts.base import Limits, assemble, lost_names, one_category_only, part_name
from training.data.layouts.store import Store
from training.data.masks import is_drawn

MASK_SUFFIX = "_GT.png"  # as published; other formats and cases are read too
DEFECT = "defective"
EXPECTED = f"train/<id>{MASK_SUFFIX} and test/<id>{MASK_SUFFIX}"

_ENDING = "_gt"
_FIRST_ID = {"train": 10_000, "test": 20_000}  # as in the published set


def recognises(path: Path) -> bool:
    """Returns True when masks have the names of this layout."""
    return any(has_masks(path / split) for split in _FIRST_ID)


def has_masks(folder: Path) -> bool:
    """Returns True when masks are in `folder`, beside the images of one split."""
    return folder.is_dir() and any(map(_is_mask, content_of(folder).images))


def read(path: Path) -> DataSet:
    """Lists all images with their masks; defects in `train` are training images too.

    Raises:
        CameraError: an image without its mask or a mask without its image, or an unreadable mask.
    """
    doubts = content_of(path).passed_over(_FIRST_ID, images=True, others=False)
    train, test = (list(_read_split(path / split, doubts.append)) for split in _FIRST_ID)
    return assemble(path, part_name(path), train, test, doubts=doubts)


def limits(data_set: DataSet) -> Limits:
    """Takes one category with drawn masks; numbers images, and encodes them as PNG."""
    samples = [sample for split in data_set.splits.values() for sample in split]
    undrawn = [printable(s.path) for s in samples if not s.is_good and not _is_drawn(s)]
    obstacles = one_category_only(data_set)
    if undrawn:
        title = f"{len(undrawn)} defective images without a drawn mask would count as good ones:"
        obstacles.append(listed(title, undrawn))
    encoded = sum(s.path.suffix.lower() != ".png" for s in samples)
    lost_files = [f"{encoded} image files: encoded as PNG, with the same pixels"] if encoded else []
    return Limits(obstacles, [*lost_names(data_set, DEFECT), "names of files", *lost_files])


def write(data_set: DataSet, store: Store) -> None:
    """Numbers the images and writes a mask for each, black for a good part."""
    for split, samples in data_set.splits.items():
        for number, sample in enumerate(samples, _FIRST_ID[split]):
            store.add_png(sample.path, PurePosixPath(split, f"{number}.png"))
            mask = PurePosixPath(split, f"{number}{MASK_SUFFIX}")
            if sample.mask is None:
                size = read_stored(sample.path).shape[:2]
                store.add_file(mask, encode_png(np.zeros(size, np.uint8)))
            else:
                store.add_mask(sample.mask, sample.path, mask)


def _read_split(folder: Path, tell: Tell) -> Iterator[Sample]:
    if not folder.is_dir():
        return
    files = list_images(folder, tell)
    masks = {f.stem[: -len(_ENDING)]: f for f in files if _is_mask(f)}
    images = {f.stem: f for f in files if not _is_mask(f)}
    alone = [
        printable(images.get(stem) or masks[stem]) for stem in sorted(images.keys() ^ masks.keys())
    ]
    if alone:
        title = f"{folder}: {len(alone)} files without their mask or image (<id>{MASK_SUFFIX}):"
        raise CameraError(listed(title, alone))
    for stem, image in images.items():
        is_defective = is_drawn(masks[stem])
        yield Sample(image, DEFECT, masks[stem]) if is_defective else Sample(image, GOOD)


def _is_drawn(sample: Sample) -> bool:
    return sample.mask is not None and is_drawn(sample.mask)


def _is_mask(file: Path) -> bool:
    return file.stem.casefold().endswith(_ENDING)
