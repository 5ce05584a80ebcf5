"""MVTec AD: `train/good`, `test/good`, `test/<defect>`, `ground_truth/<defect>/<stem>_mask.png`.

Folders `train/<defect>` beside `train/good` hold real defects for supervised training. Several
categories are folders of this layout beside each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from inspection.errors import CameraError
from inspection.images import Tell, content_of, list_images, refuse_nearly_good
from inspection.names import printable
from training.data.data_set import GOOD, DataSet, Sample
from training.data.layouts import ground_truth
from training.data.layouts.base import Limits, assemble, part_name
from training.data.layouts.ground_truth import GroundTruth
from training.data.layouts.store import Store

EXPECTED = f"train/{GOOD} or <category>/train/{GOOD}"
SPLITS = ("train", "test")
TREE = (*SPLITS, ground_truth.FOLDER)  # the folders of one category


def recognises(path: Path) -> bool:
    """Returns True when a folder of good images is in its place."""
    return _is_category(path) or any(map(_is_category, folders(path)))


def read(path: Path) -> DataSet:
    """Lists all images of the folders, of every category.

    Raises:
        CameraError: a folder holds no image, lacks train/good beside whole categories, or has
            nearly the name of another.
    """
    roots = (
        {None: path} if _is_category(path) else {printable(f.name): f for f in _categories(path)}
    )
    doubts: list[str] = []
    if None not in roots:
        names = [root.name for root in roots.values()]
        doubts += content_of(path).passed_over(names, images=True, others=False)
    splits: dict[str, list[Sample]] = {split: [] for split in SPLITS}
    for category, root in roots.items():
        doubts += content_of(root).passed_over(TREE, images=True, others=False)
        for split, samples in read_tree(root, doubts.append, category).items():
            splits[split] += samples
    return assemble(path, part_name(path), *splits.values(), doubts=doubts)


def limits(data_set: DataSet) -> Limits:
    """Requires good training images of every category: `recognises` needs their folder."""
    without = set(data_set.categories) - {data_set.category_of(s) for s in data_set.good}
    obstacles = [f"no good training images of {', '.join(sorted(without))}"] if without else []
    return Limits(obstacles, [])


def write(data_set: DataSet, store: Store) -> None:
    """Writes one tree, or one for each of several categories."""
    for split, samples in data_set.splits.items():
        for sample in samples:
            write_sample(store, sample, split, root=sample.category or "")


def write_sample(
    store: Store, sample: Sample, split: str, root: str
) -> tuple[PurePosixPath, PurePosixPath | None]:
    """Adds an image and its mask to the tree at `root`; returns their places."""
    folder = str(PurePosixPath(root, split, sample.defect))
    if sample.is_good:
        return store.add_image(sample.path, folder), None
    masks = PurePosixPath(root, ground_truth.FOLDER, sample.defect)  # of both splits
    image = store.add_image(sample.path, folder, str(masks))
    if sample.mask is None:
        return image, None
    mask = masks / f"{image.stem}_mask.png"
    store.add_mask(sample.mask, sample.path, mask)
    return image, mask


def read_tree(
    root: Path, tell: Tell, category: str | None = None, splits: Sequence[str] = SPLITS
) -> dict[str, list[Sample]]:
    """Returns the images of the splits with their masks; none without the folder of a split.

    Args:
        tell: takes a sentence for each reason to pass over files.

    Raises:
        CameraError: a folder holds no image, or has nearly the name of another, or the masks of a
            defect fit none of its images.
    """
    refuse_nearly(root)
    truth = GroundTruth(root / ground_truth.FOLDER, tell)
    found = {split: list(_read_split(root / split, truth, tell, category)) for split in splits}
    truth.finish(tell)
    return found


def refuse_nearly(root: Path) -> None:
    """Refuses folders that nothing reads, or that count as defects, for their names alone.

    Raises:
        CameraError: a folder `Train`, `TEST` or `Ground Truth`; `train/Good` or `test/OK`.
    """
    for split in SPLITS:
        refuse_nearly_good(folders(root / split), GOOD)
    for folder in folders(root):
        expected = re.sub(r"[\W_]+", "_", folder.name.casefold())
        if expected in TREE and folder.name != expected:
            raise CameraError(f"{folder}: the name must be {expected}; rename it")


def _read_split(
    folder: Path, truth: GroundTruth, tell: Tell, category: str | None
) -> Iterator[Sample]:
    kinds = folders(folder)
    if folder.is_dir():
        names = [kind.name for kind in kinds]
        for sentence in content_of(folder).passed_over(names, images=True):
            tell(sentence)
    for kind in kinds:
        for image in list_images(kind, tell):
            mask = truth.mask_of(kind.name, image)
            yield Sample(image, printable(kind.name), mask, category)


def folders(path: Path) -> list[Path]:
    """Returns the folders in `path` that are not hidden, in name order."""
    if not path.is_dir():
        return []
    return sorted(f for f in path.iterdir() if f.is_dir() and not f.name.startswith("."))


def _is_category(path: Path) -> bool:
    return (path / "train" / GOOD).is_dir()


def _categories(path: Path) -> Iterable[Path]:
    for folder in folders(path):
        if _is_category(folder):
            yield folder
        elif any((folder / split).is_dir() for split in SPLITS):
            raise CameraError(f"{folder}: has no train/{GOOD}, unlike the categories beside it")
