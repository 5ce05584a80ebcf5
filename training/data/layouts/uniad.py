"""UniAD: the lists train.json and test.json, one JSON object on each line, or one such list.

Fields: filename and maskname (relative to a folder of images), label (0 good, 1 defective),
label_name, clsname. A defect without maskname has no ground truth; the original UniAD
takes the whole image for its defect.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inspection.errors import CameraError
from inspection.names import printable
from training.data.data_set import GOOD, DataSet, Sample
from training.data.layouts.base import (
    Limits,
    assemble,
    bad_line,
    good_only,
    read_list,
    refuse_missing,
    unlisted,
)
from training.data.layouts.mvtec import folders, write_sample
from training.data.layouts.store import Store

DEFECT = "defective"
EXPECTED = "train.json, test.json"

_SPLITS = ("train", "test")
_SUFFIXES = (".json", ".jsonl")
_IMAGES = "images"


class Record(BaseModel):
    """One line of a list; other fields are ignored."""

    model_config = ConfigDict(strict=True, frozen=True)

    filename: Annotated[str, Field(min_length=1)]
    label: Literal[0, 1]
    maskname: str | None = None
    clsname: str | None = None

    @property
    def defect(self) -> str:
        """Returns the folder's name in a path like MVTec's: <class>/test/<defect>/<image>."""
        if self.label == 0:
            return GOOD
        *_, split, kind, _name = ("", "", *PurePosixPath(self.filename).parts)
        return kind if split in _SPLITS and kind != GOOD else DEFECT

    def sample(self, images: Path, category: str) -> Sample:
        """Returns the sample; `category` serves when clsname and the path name none."""
        has_mask = self.label == 1 and bool(self.maskname)
        mask = images / str(self.maskname) if has_mask else None
        parts = PurePosixPath(self.filename).parts
        in_path = parts[-4] if len(parts) >= 4 else category  # as the original does
        return Sample(images / self.filename, self.defect, mask, self.clsname or in_path)


def recognises(path: Path) -> bool:
    """Returns True for a list, and for a folder with lists of the usual names."""
    return (path.is_file() and path.suffix in _SUFFIXES) or bool(_lists(path))


def read(path: Path) -> DataSet:
    """Reads the listed images; the lists may be beside the images, above or below them.

    Raises:
        CameraError: a list is no list of lines, a line is malformed or has another label, or a
            listed file is missing.
    """
    lists = {_split_of(path): path} if path.is_file() else _lists(path)
    folder = path.resolve().parent if path.is_file() else path
    records = {split: list(_records(file)) for split, file in lists.items()}
    everything = [record for side in records.values() for record in side]
    images = _images_of(folder, path, everything)
    name = folder.resolve().name
    sides = [
        [r.sample(images, printable(name)) for r in records.get(split, ())] for split in _SPLITS
    ]
    refuse_missing(path, sides[0] + sides[1])
    # One list of two leaves the images of the other out on purpose.
    doubts = unlisted([*sides[0], *sides[1]]) if path.is_dir() else []
    return assemble(path, name, *sides, doubts=doubts)


def limits(data_set: DataSet) -> Limits:
    """Takes good training images only, since train.json marks all as good; wants masks."""
    undrawn = sum(not s.is_good and s.mask is None for s in data_set.test)
    doubts = [f"{undrawn} defects have no mask: the original takes the whole image for one"]
    return Limits(good_only(data_set), doubts if undrawn else [])


def write(data_set: DataSet, store: Store) -> None:
    """Writes MVTec's tree into a folder beside the lists; the root is UniAD's `image_dir`."""
    for split, samples in data_set.splits.items():
        lines = []
        for sample in samples:
            category = data_set.category_of(sample)
            image, mask = write_sample(store, sample, split, root=f"{_IMAGES}/{category}")
            fields: dict[str, str | int] = {
                "filename": str(image),
                "label": int(not sample.is_good),
                "label_name": GOOD if sample.is_good else DEFECT,
                "clsname": category,
            }
            lines.append(fields if mask is None else {**fields, "maskname": str(mask)})
        if lines:
            text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            store.add_file(PurePosixPath(f"{split}.json"), text.encode())


def _lists(folder: Path) -> dict[str, Path]:
    files = {split: folder / f"{split}.json" for split in _SPLITS}
    return {split: file for split, file in files.items() if file.is_file()}


def _split_of(path: Path) -> str:
    named = [split for split in _SPLITS if split in path.stem.lower()]
    if len(named) != 1:
        raise CameraError(f"{path}: put 'train' or 'test' into the name of the list")
    return named[0]


def _records(path: Path) -> Iterator[Record]:
    text = read_list(path)
    if text.lstrip().startswith("["):
        raise CameraError(
            f"{path}: is a JSON array; write one JSON object on each line, as jq -c '.[]' does"
        )
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield Record.model_validate_json(line)
            except ValidationError as error:
                raise bad_line(path, number, error) from error


def _images_of(folder: Path, origin: Path, records: Sequence[Record]) -> Path:
    """Returns the folder that most file names are relative to, the first of several."""
    tried = [folder, folder.resolve().parent, *folders(folder)]
    found = [sum((place / record.filename).is_file() for record in records) for place in tried]
    if records and not any(found):
        places = "".join(f"\n  {place}" for place in tried)
        raise CameraError(
            f"{origin}: none of the {len(records)} listed images is there, for instance "
            f"{records[0].filename}; tried relative to:{places}"
        )
    return tried[found.index(max(found))]
