"""What every layout offers, and what the layouts share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

from pydantic import ValidationError

from inspection.errors import CameraError, listed
from training.data.data_set import DataSet, Sample
from training.data.layouts.store import Store


class Limits(NamedTuple):
    """Why a layout cannot hold a data set, and what it loses of it otherwise."""

    obstacles: list[str]
    losses: list[str]


class Layout(Protocol):
    """A module that finds the samples of a data set on disk."""

    EXPECTED: str  # what was looked for, in an error message

    def recognises(self, path: Path) -> bool:
        """Whether the folder or list at `path` has this layout; reads names only."""

    def read(self, path: Path) -> DataSet:
        """The samples; CameraError when the data set is not whole."""


class WritableLayout(Layout, Protocol):
    """A layout that a data set can be converted to."""

    def limits(self, data_set: DataSet) -> Limits:
        """What stands against writing this data set."""

    def write(self, data_set: DataSet, store: Store) -> None:
        """Put all files into the store; the data set is within the limits."""


def assemble(origin: Path, name: str, train: Iterable[Sample], test: Iterable[Sample]) -> DataSet:
    """A data set from its samples; one of a single class has the name of that class.

    Args:
        origin: the folder or list that was read, for error messages.
        name: used when there are several classes, or none is named.

    Raises:
        CameraError: there is no sample, or a class or defect has no name a folder can have.
    """
    train, test = sorted(train, key=_order), sorted(test, key=_order)
    if not train and not test:
        raise CameraError(f"{origin}: an empty data set, no image is in it")
    for label in sorted({n for s in train + test for n in (s.category, s.defect) if n is not None}):
        if Path(label).name != label or label.startswith("."):
            raise CameraError(f"{origin}: {label!r} cannot name a class or a defect (nor a folder)")
    categories = {sample.category for sample in train + test}
    if len(categories) == 1:
        name = next(iter(categories)) or name
        train, test = ([replace(s, category=None) for s in side] for side in (train, test))
    good = tuple(sample for sample in train if sample.is_good)
    defective = tuple(sample for sample in train if not sample.is_good)
    return DataSet(name, good, defective, tuple(test))


def refuse_missing(origin: Path, samples: Sequence[Sample]) -> None:
    """Raise a CameraError when images or masks that are listed in `origin` are not there."""
    files = [file for s in samples for file in (s.path, s.mask) if file is not None]
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        title = f"{origin}: {len(missing)} of {len(files)} listed files are missing:"
        raise CameraError(listed(title, missing))


def read_list(path: Path) -> str:
    """The text of a list of files.

    Raises:
        CameraError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CameraError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise CameraError(f"{path}: not a text in UTF-8") from error


def bad_line(path: Path, line: int, error: ValidationError) -> CameraError:
    """The first thing that is wrong with a line of a list, as `file:line: field: what`."""
    first = error.errors()[0]
    field = "".join(f"{part}: " for part in first["loc"])
    return CameraError(f"{path}:{line}: {field}{first['msg']}")


def one_category_only(data_set: DataSet) -> list[str]:
    """The obstacle of several categories to a layout that has one."""
    if len(data_set.categories) == 1:
        return []
    return [f"it has several categories ({', '.join(data_set.categories)}) and the layout one"]


def good_only(data_set: DataSet) -> list[str]:
    """The obstacle of real defects to a layout whose training images are all taken for good."""
    if not data_set.defective:
        return []
    return [f"{len(data_set.defective)} defective training images would be learnt as good ones"]


def lost_names(data_set: DataSet, generic: str) -> list[str]:
    """The loss of defect names where the layout has one for all."""
    samples = data_set.defective + data_set.test
    names = sorted({s.defect for s in samples if not s.is_good} - {generic})
    return [f"names of defects: {', '.join(names)} become {generic!r}"] if names else []


def _order(sample: Sample) -> tuple[str, Path]:
    return sample.category or "", sample.path
