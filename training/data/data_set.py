"""Data sets: image files with their labels and masks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from inspection.names import printable

GOOD = "good"


@dataclass(frozen=True)
class Sample:
    """One image file.

    Attributes:
        defect: name of the kind of defect, or "good".
        mask: file with the ground truth, or folder of several such files; None for a good part, or
            without a drawn mask.
        category: class of product; None in a data set of one class.
    """

    path: Path
    defect: str = GOOD
    mask: Path | None = None
    category: str | None = None

    @property
    def is_good(self) -> bool:
        """Returns True when the part shows no defect."""
        return self.defect == GOOD

    @property
    def name(self) -> str:
        """Returns the image's name within its split: `good/017.png`, or `bottle/good/017.png`."""
        return "/".join((*filter(None, [self.category]), self.defect, printable(self.path.name)))


@dataclass(frozen=True)
class DataSet:
    """The files of one data set, in name order.

    Attributes:
        good: training images of good parts.
        defective: training images of real defects; usually none.
        test: images for measurement only.
        doubts: sentences about files that are not read, and defects without a mask.
    """

    name: str
    good: tuple[Sample, ...]
    defective: tuple[Sample, ...]
    test: tuple[Sample, ...]
    doubts: tuple[str, ...] = ()

    @property
    def splits(self) -> dict[str, tuple[Sample, ...]]:
        """Returns all samples under "train" and "test"."""
        return {"train": self.good + self.defective, "test": self.test}

    @property
    def categories(self) -> tuple[str, ...]:
        """Returns the names of the classes of product; of a single class, the data set's name."""
        samples = (sample for split in self.splits.values() for sample in split)
        return tuple(sorted({self.category_of(sample) for sample in samples}))

    def category_of(self, sample: Sample) -> str:
        """Returns the class of product of a sample."""
        return sample.category or self.name
