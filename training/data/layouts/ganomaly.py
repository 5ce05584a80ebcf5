"""GANomaly: `train/0.normal`, `test/0.normal`, `test/1.abnormal`; no masks, one category."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from inspection.errors import CameraError
from inspection.images import Tell, content_of, list_images
from training.data.data_set import GOOD, DataSet, Sample
from training.data.layouts.base import (
    Limits,
    assemble,
    good_only,
    lost_names,
    one_category_only,
    part_name,
)
from training.data.layouts.mvtec import folders
from training.data.layouts.store import Store

NORMAL, ABNORMAL = "0.normal", "1.abnormal"
DEFECT = "abnormal"
EXPECTED = f"train/{NORMAL}"

_SPLITS = ("train", "test")
_DEFECTS = {NORMAL: GOOD, ABNORMAL: DEFECT}


def recognises(path: Path) -> bool:
    """Returns True when one of the named folders exists."""
    return any((path / split / kind).is_dir() for split in _SPLITS for kind in _DEFECTS)


def read(path: Path) -> DataSet:
    """Lists all images of the folders.

    Raises:
        CameraError: a folder has another name, or holds no image.
    """
    doubts = content_of(path).passed_over(_SPLITS, images=True, others=False)
    train, test = (list(_read_split(path / split, doubts.append)) for split in _SPLITS)
    return assemble(path, part_name(path), train, test, doubts=doubts)


def limits(data_set: DataSet) -> Limits:
    """Takes one category with good training images; loses names of defects, and masks."""
    obstacles = one_category_only(data_set) + good_only(data_set)
    if not data_set.good:
        obstacles.append("there are no good training images")
    masks = sum(sample.mask is not None for sample in data_set.test)
    lost_masks = [f"{masks} masks"] if masks else []
    return Limits(obstacles, lost_names(data_set, DEFECT) + lost_masks)


def write(data_set: DataSet, store: Store) -> None:
    """Writes good and defective images into their folders."""
    for split, samples in data_set.splits.items():
        for sample in samples:
            store.add_image(sample.path, f"{split}/{NORMAL if sample.is_good else ABNORMAL}")


def _read_split(path: Path, tell: Tell) -> Iterator[Sample]:
    kinds = folders(path)
    if path.is_dir():
        for sentence in content_of(path).passed_over([k.name for k in kinds], images=True):
            tell(sentence)
    for kind in kinds:
        if kind.name not in _DEFECTS:
            raise CameraError(f"{kind}: an unknown label; name the folders {NORMAL} and {ABNORMAL}")
        for image in list_images(kind, tell):
            yield Sample(image, _DEFECTS[kind.name])
