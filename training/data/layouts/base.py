"""The interface of layouts, and functions that they share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

from pydantic import ValidationError

from inspection.errors import CameraError, listed, named
from inspection.images import content_of
from inspection.names import printable
from training.data.data_set import GOOD, DataSet, Sample
from training.data.layouts.store import Store

# Folders that hold data sets of any part.
_NOT_A_PART = frozenset({"data", "dataset", "datasets", "images", "train", GOOD})


class Limits(NamedTuple):
    """Obstacles that keep a data set out of a layout, and losses when it fits."""

    obstacles: list[str]
    losses: list[str]


class Layout(Protocol):
    """A module that finds the samples of a data set on disk."""

    EXPECTED: str  # expected names, for an error message

    def recognises(self, path: Path) -> bool:
        """Returns True when the folder or list at `path` has this layout; looks at names only."""

    def read(self, path: Path) -> DataSet:
        """Lists the samples; raises CameraError when the data set is incomplete."""


class WritableLayout(Layout, Protocol):
    """A layout that a data set can be converted to."""

    def limits(self, data_set: DataSet) -> Limits:
        """Returns the obstacles and losses of writing this data set."""

    def write(self, data_set: DataSet, store: Store) -> None:
        """Puts all files into the store; the data set has no obstacles."""


def assemble(
    origin: Path,
    name: str,
    train: Iterable[Sample],
    test: Iterable[Sample],
    *,
    doubts: Sequence[str] = (),
) -> DataSet:
    """Makes a data set of its samples; a data set of one class takes the name of the class.

    Args:
        origin: the folder or list that was read, for error messages.
        name: for several classes, or for one without a name; as the folder has it.
        doubts: sentences about files that were not read.

    Raises:
        CameraError: there is no sample, or a folder cannot have the name of a class or defect.
    """
    name = printable(name)
    train, test = sorted(train, key=_order), sorted(test, key=_order)
    if not train and not test:
        raise CameraError(f"{origin}: an empty data set, without any image")
    for label in sorted({n for s in train + test for n in (s.category, s.defect) if n is not None}):
        if Path(label).name != label or label.startswith("."):
            raise CameraError(f"{origin}: {label!r} cannot name a class or a defect (nor a folder)")
    categories = {sample.category for sample in train + test}
    if len(categories) == 1:
        name = next(iter(categories)) or name
        train, test = ([replace(s, category=None) for s in side] for side in (train, test))
    good = tuple(sample for sample in train if sample.is_good)
    defective = tuple(sample for sample in train if not sample.is_good)
    undrawn = _undrawn([*defective, *test])
    return DataSet(name, good, defective, tuple(test), (*doubts, *undrawn))


def part_name(folder: Path) -> str:
    """Returns the name of the parts in a folder: the first above it that is not "data" or alike."""
    path = folder.resolve()
    names = [name for name in (path.name, *(above.name for above in path.parents)) if name]
    return next((name for name in names if name.casefold() not in _NOT_A_PART), path.name)


def _undrawn(samples: Sequence[Sample]) -> list[str]:
    """Tells the defects without a mask in a data set that has masks."""
    defective = [sample for sample in samples if not sample.is_good]
    undrawn = [str(sample.path) for sample in defective if sample.mask is None]
    if not undrawn or len(undrawn) == len(defective):
        return []
    count = f"{len(undrawn)} of {len(defective)} defective images have no mask"
    return [f"{count}, and the others have one: {named(undrawn)}"]


def unlisted(samples: Sequence[Sample]) -> list[str]:
    """Tells the images that lie beside the listed ones, and are in no list."""
    files = (file for s in samples for file in (s.path, s.mask) if file is not None)
    listed_files = {file.resolve() for file in files}
    folders = sorted({sample.path.parent for sample in samples})
    beside = [i for f in folders for i in content_of(f).images if i.resolve() not in listed_files]
    if not beside:
        return []
    return [f"{len(beside)} images are in no list: {named(list(map(str, beside)))}"]


def refuse_missing(origin: Path, samples: Sequence[Sample]) -> None:
    """Raises CameraError when images or masks that `origin` lists are missing."""
    files = [file for s in samples for file in (s.path, s.mask) if file is not None]
    missing = [printable(file) for file in files if not file.is_file()]
    if missing:
        title = f"{origin}: {len(missing)} of {len(files)} listed files are missing:"
        raise CameraError(listed(title, missing))


def read_list(path: Path) -> str:
    """Reads the text of a list of files.

    Raises:
        CameraError: the list cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CameraError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise CameraError(f"{path}: not a text in UTF-8") from error


def bad_line(path: Path, line: int, error: ValidationError) -> CameraError:
    """Makes an error of the first fault in a line of a list: `file:line: field: message`."""
    first = error.errors()[0]
    field = "".join(f"{part}: " for part in first["loc"])
    return CameraError(f"{path}:{line}: {field}{first['msg']}")


def one_category_only(data_set: DataSet) -> list[str]:
    """Returns the obstacle of several categories, for a layout with one."""
    if len(data_set.categories) == 1:
        return []
    return [f"it has several categories ({', '.join(data_set.categories)}) and the layout one"]


def good_only(data_set: DataSet) -> list[str]:
    """Returns the obstacle of real defects, for a layout that takes training images for good."""
    if not data_set.defective:
        return []
    return [f"{len(data_set.defective)} defective training images would count as good ones"]


def lost_names(data_set: DataSet, generic: str) -> list[str]:
    """Returns the loss of defect names, for a layout with one name for all."""
    samples = data_set.defective + data_set.test
    names = sorted({s.defect for s in samples if not s.is_good} - {generic})
    return [f"names of defects: {', '.join(names)} become {generic!r}"] if names else []


def _order(sample: Sample) -> tuple[str, Path]:
    return sample.category or "", sample.path
