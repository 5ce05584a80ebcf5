"""Finding the images of a data set on disk.

Two layouts are read:

* MVTec AD: `train/good`, `test/good`, `test/<defect>`, `ground_truth/<defect>/<stem>_mask.png`.
  Folders `train/<defect>` beside `train/good` hold real defects for supervised training.
* Plain: a folder of good images, with `test/good` and `test/<defect>` in it when there are any;
  or these alone, to measure with.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.errors import CameraError
from edge.images import IMAGE_SUFFIXES, list_images

GOOD = "good"


@dataclass(frozen=True)
class Sample:
    """One image file.

    Attributes:
        defect: name of the defect's folder, or "good".
        mask: the file with its ground truth; None when it is good, or nobody drew one.
    """

    path: Path
    defect: str = GOOD
    mask: Path | None = None

    @property
    def is_good(self) -> bool:
        """Whether the part shows no defect."""
        return self.defect == GOOD


@dataclass(frozen=True)
class DataSet:
    """The files of one data set, in name order.

    Attributes:
        good: images to learn from.
        defective: images of real defects that may be learnt from; usually none.
        test: images that only measure.
    """

    name: str
    good: tuple[Sample, ...]
    defective: tuple[Sample, ...]
    test: tuple[Sample, ...]


def read_data_set(folder: Path) -> DataSet:
    """List the images below `folder`, whichever layout it has.

    Raises:
        CameraError: the folder is missing, or has neither layout; the message says what was looked
            for and what is there.
    """
    if not folder.is_dir():
        raise CameraError(f"{folder}: no such folder")
    name = folder.resolve().name
    if (folder / "train" / GOOD).is_dir():
        train = _read_split(folder, "train")
        good = tuple(sample for sample in train if sample.is_good)
        defective = tuple(sample for sample in train if not sample.is_good)
        return DataSet(name, good, defective, _read_split(folder, "test"))
    test = _read_split(folder, "test")
    if not _has_images(folder) and not test:
        raise CameraError(
            f"{folder}: neither MVTec layout (a folder train/{GOOD}) nor a plain folder of good "
            f"images; it holds {_content(folder)}"
        )
    good = tuple(Sample(path) for path in list_images(folder)) if _has_images(folder) else ()
    return DataSet(name, good, (), test)


def _read_split(root: Path, split: str) -> tuple[Sample, ...]:
    if not (root / split).is_dir():
        return ()
    return tuple(
        Sample(path, kind.name, _mask_of(root, kind.name, path))
        for kind in sorted((root / split).iterdir())
        if kind.is_dir() and not kind.name.startswith(".")
        for path in list_images(kind)
    )


def _mask_of(root: Path, defect: str, image: Path) -> Path | None:
    if defect == GOOD:
        return None
    folder = root / "ground_truth" / defect
    for name in (f"{image.stem}_mask.png", f"{image.stem}.png"):
        if (folder / name).is_file():
            return folder / name
    return None


def _has_images(folder: Path) -> bool:
    return any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.iterdir())


def _content(folder: Path) -> str:
    names = sorted(path.name + ("/" if path.is_dir() else "") for path in folder.iterdir())
    shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
    return shown or "nothing"
