"""Data sets: the files of samples, and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

GOOD = "good"


@dataclass(frozen=True)
class Sample:
    """One image file.

    Attributes:
        defect: name of the kind of defect, or "good".
        mask: the file with its ground truth; None when it is good, or nobody drew one.
        category: class of product; None in a data set of one class.
    """

    path: Path
    defect: str = GOOD
    mask: Path | None = None
    category: str | None = None

    @property
    def is_good(self) -> bool:
        """Whether the part shows no defect."""
        return self.defect == GOOD

    @property
    def name(self) -> str:
        """The image within its split: `good/017.png`, or `bottle/good/017.png`."""
        return "/".join((*filter(None, [self.category]), self.defect, self.path.name))


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

    @property
    def splits(self) -> dict[str, tuple[Sample, ...]]:
        """All samples, as "train" and "test"."""
        return {"train": self.good + self.defective, "test": self.test}

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the classes of product; the data set's own when there is one."""
        samples = (sample for split in self.splits.values() for sample in split)
        return tuple(sorted({self.category_of(sample) for sample in samples}))

    def category_of(self, sample: Sample) -> str:
        """The class of product that a sample shows."""
        return sample.category or self.name
