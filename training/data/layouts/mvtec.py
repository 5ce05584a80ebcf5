"""MVTec AD: `train/good`, `test/good`, `test/<defect>`, `ground_truth/<defect>/<stem>_mask.png`.

Folders `train/<defect>` beside `train/good` hold real defects for supervised training. Several
categories are folders of this layout beside each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from inspection.errors import CameraError
from inspection.images import list_images
from inspection.names import printable
from training.data.data_set import GOOD, DataSet, Sample
from training.data.layouts.base import Limits, assemble
from training.data.layouts.store import Store

EXPECTED = f"train/{GOOD} or <category>/train/{GOOD}"


def recognises(path: Path) -> bool:
    """Returns True when a folder of good images is in its place."""
    return _is_category(path) or any(map(_is_category, folders(path)))


def read(path: Path) -> DataSet:
    """Lists all images of the folders, of every category.

    Raises:
        CameraError: a folder holds no image, or lacks train/good beside whole categories.
    """
    roots = (
        {None: path} if _is_category(path) else {printable(f.name): f for f in _categories(path)}
    )
    train, test = (
        [s for category, root in roots.items() for s in read_split(root, split, category)]
        for split in ("train", "test")
    )
    return assemble(path, path.resolve().name, train, test)


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
    masks = PurePosixPath(root, "ground_truth", sample.defect)  # of both splits
    image = store.add_image(sample.path, folder, str(masks))
    if sample.mask is None:
        return image, None
    mask = masks / f"{image.stem}_mask.png"
    store.add_mask(sample.mask, sample.path, mask)
    return image, mask


def read_split(root: Path, split: str, category: str | None = None) -> Iterator[Sample]:
    """Yields the images of one split with their masks; none without the folder of the split.

    Raises:
        CameraError: a folder holds no image.
    """
    for kind in folders(root / split):
        for image in list_images(kind):
            yield Sample(image, printable(kind.name), _mask_of(root, kind, image), category)


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
        elif any((folder / split).is_dir() for split in ("train", "test")):
            raise CameraError(f"{folder}: has no train/{GOOD}, unlike the categories beside it")


def _mask_of(root: Path, kind: Path, image: Path) -> Path | None:
    if kind.name == GOOD:
        return None
    folder = root / "ground_truth" / kind.name
    for name in (f"{image.stem}_mask.png", f"{image.stem}.png"):
        if (folder / name).is_file():
            return folder / name
    return None
