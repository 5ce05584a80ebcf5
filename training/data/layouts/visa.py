"""VisA: `split_csv/1cls.csv` lists the images of every category below the same root.

Columns: object, split (train, test), label (normal, anomaly), image, mask. The folder of one
object beside split_csv is that category alone. Masks number the kinds of defects from 1.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inspection.errors import CameraError
from inspection.names import printable
from training.data.data_set import DataSet, Sample
from training.data.layouts.base import (
    Limits,
    assemble,
    bad_line,
    lost_names,
    read_list,
    refuse_missing,
    unlisted,
)
from training.data.layouts.store import Store

LIST = "split_csv/1cls.csv"
COLUMNS = ("object", "split", "label", "image", "mask")
DEFECT = "anomaly"
EXPECTED = f"{LIST}, or Data and ../{LIST}"


class Row(BaseModel):
    """One line of the list."""

    model_config = ConfigDict(frozen=True)

    category: Annotated[str, Field(alias="object", min_length=1)]
    split: Literal["train", "test"]
    label: Literal["normal", "anomaly"]
    image: Annotated[str, Field(min_length=1)]
    mask: str | None

    def sample(self, root: Path) -> Sample:
        """Returns the sample, with files below `root`."""
        if self.label == "normal":
            return Sample(root / self.image, category=self.category)
        mask = root / self.mask if self.mask else None
        return Sample(root / self.image, DEFECT, mask, self.category)


def recognises(path: Path) -> bool:
    """Returns True when the list is in the folder, or beside this folder of one object."""
    is_object = (path / "Data").is_dir() and (path.resolve().parent / LIST).is_file()
    return is_object or (path / LIST).is_file()


def read(path: Path) -> DataSet:
    """Reads the listed images; only those of one object for the folder of the object.

    Raises:
        CameraError: the list lacks a column or the object, or has another label or split, or a
            listed file is missing.
    """
    chosen = None if (path / LIST).is_file() else printable(path.resolve().name)
    root = path if chosen is None else path.resolve().parent
    rows = list(_rows(root / LIST))
    objects = sorted({row.category for row in rows})
    if chosen is not None and chosen not in objects:
        raise CameraError(f"{root / LIST}: has no object {chosen!r}; it has {', '.join(objects)}")
    sides = [
        [r.sample(root) for r in rows if r.split == split and chosen in (None, r.category)]
        for split in ("train", "test")
    ]
    refuse_missing(root / LIST, sides[0] + sides[1])
    doubts = unlisted([*sides[0], *sides[1]])
    return assemble(root / LIST, path.resolve().name, *sides, doubts=doubts)


def limits(data_set: DataSet) -> Limits:
    """Takes every data set; loses the names of defects."""
    return Limits([], lost_names(data_set, DEFECT))


def write(data_set: DataSet, store: Store) -> None:
    """Writes the published tree, `<object>/Data/Images` and `<object>/Data/Masks`, and the list."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for split, samples in data_set.splits.items():
        for sample in samples:
            category = data_set.category_of(sample)
            kind, label = ("Normal", "normal") if sample.is_good else ("Anomaly", "anomaly")
            image = store.add_image(sample.path, f"{category}/Data/Images/{kind}")
            mask = _write_mask(sample, f"{category}/Data/Masks/{kind}/{image.stem}.png", store)
            table.writerow((category, split, label, image, mask))
    store.add_file(PurePosixPath(LIST), text.getvalue().encode())


def _write_mask(sample: Sample, target: str, store: Store) -> str:
    if sample.mask is None:
        return ""
    store.add_mask(sample.mask, sample.path, PurePosixPath(target))
    return target


def _rows(path: Path) -> Iterator[Row]:
    reader = csv.DictReader(io.StringIO(read_list(path)))
    columns = reader.fieldnames or ()
    missing = [column for column in COLUMNS if column not in columns]
    if missing:
        raise CameraError(
            f"{path}: has no column {', '.join(missing)}; it has {', '.join(columns) or 'nothing'}"
        )
    for row in reader:
        try:
            yield Row.model_validate(row)
        except ValidationError as error:
            raise bad_line(path, reader.line_num, error) from error
