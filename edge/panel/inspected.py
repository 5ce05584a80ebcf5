"""What a line inspects: its recipes, each with its bundle, view, records and frames."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from edge.panel.lines import PanelLine
from edge.panel.refusals import Refused
from edge.panel.thumbnails import inside
from edge.store.images import FRAME_SUFFIX
from edge.store.quota import image_file
from edge.store.reader import Filter, RecordReader
from inspection.bundle.calibration_file import Calibration
from inspection.bundle.manifest import CALIBRATION_FOLDER, MANIFEST, parse_manifest
from inspection.preprocess import Preprocessing
from inspection.trust.sealed import parse_record, read_content

_MEND = "linewarden verify finds what is wrong"


@dataclass(frozen=True)
class Inspected:
    """A recipe of a bundle, as one camera of a line uses it.

    Attributes:
        view: name of the camera's view; empty on a line with one camera.
        numbers: by which the line selects it; empty on a line without numbers.
    """

    recipe: str
    bundle: Path
    view: str = ""
    numbers: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        """Its name in addresses and folders."""
        digest = hashlib.sha256(f"{self.bundle}\0{self.view}".encode()).hexdigest()[:8]
        return f"{quote(self.recipe, safe='')}-{digest}"

    @property
    def label(self) -> str:
        """Its name for people."""
        numbers = f"{', '.join(map(str, self.numbers))}: " if self.numbers else ""
        return f"{numbers}{self.recipe}{f' · {self.view}' if self.view else ''}"

    @property
    def which(self) -> Filter:
        """The filter of its records: recipes of several bundles may have one name.

        The recipe of a record is that of the view that decided: of several views, each may.
        """
        return Filter(recipe=None if self.view else self.recipe, recipe_numbers=self.numbers)

    def preprocessing(self) -> Preprocessing:
        """Returns the preprocessing of the bundle.

        Raises:
            BundleError: it cannot be read.
        """
        content = read_content(self.bundle / MANIFEST, _MEND)
        return parse_manifest(content, self.bundle).preprocessing

    def calibration(self) -> Calibration | None:
        """Returns the active calibration, unverified, to be shown; None for none.

        Raises:
            BundleError: it is damaged.
        """
        path = self.bundle / CALIBRATION_FOLDER / f"{self.recipe}.json"
        if not path.exists():
            return None
        return parse_record(read_content(path, _MEND), path, Calibration, _MEND)


@dataclass(frozen=True)
class PartFrame:
    """The archived frame of a part: the image at `place` of its record."""

    trigger: str
    place: int
    path: Path


def inspected_of(line: PanelLine) -> list[Inspected]:
    """Returns what a line inspects, each once, in the order of the numbers of its recipes."""
    numbers: dict[tuple[str, Path, str], list[int]] = {}
    for number, one in sorted(line.config.by_number().items(), key=lambda one: one[0] or 0):
        for name, view in one.all_views.items():
            key = (view.recipe or one.recipe, view.bundle or one.bundle, name if one.views else "")
            numbers.setdefault(key, []).extend([] if number is None else [number])
    return [Inspected(*key, tuple(found)) for key, found in numbers.items()]


def frames_of(line: PanelLine, inspected: Inspected, most: int) -> list[PartFrame]:
    """Returns the frames of the last `most` parts, the newest first; without those that are gone.

    Raises:
        RecordsError: the records cannot be read.
    """
    with line.reader() as reader:
        stored = list(reader.find(inspected.which, limit=most, newest_first=True))
    return [
        frame
        for one in stored
        for frame in _frames(line, inspected, one.record.trigger_id, one.record.images)
        if frame.path.is_file()
    ]


def frame_at(line: PanelLine, reader: RecordReader, path: Path) -> PartFrame | None:
    """Returns the frame of a part in a file; None for a file that no record names.

    Raises:
        RecordsError: the records cannot be read.
    """
    image = image_file(path.parent.name, path.name)
    if image is None or path.resolve() != (line.images / image.name).resolve():
        return None
    stored = next(reader.find(Filter(trigger_id=image.trigger_id), limit=1), None)
    if stored is None or image.name not in stored.record.images:
        return None
    return PartFrame(image.trigger_id, stored.record.images.index(image.name), path)


def frame_of(line: PanelLine, inspected: Inspected, trigger: str) -> PartFrame:
    """Returns the frame of a part.

    Raises:
        Refused: there is no such part, or its frame is gone.
        RecordsError: the records cannot be read.
    """
    with line.reader() as reader:
        stored = next(reader.find(Filter(trigger_id=trigger), limit=1), None)
    images = stored.record.images if stored is not None else ()
    found = next(_frames(line, inspected, trigger, images), None)
    if found is None or not found.path.is_file():
        raise Refused(404, "problem.image_gone")
    return found


def _frames(
    line: PanelLine, inspected: Inspected, trigger: str, images: tuple[str, ...]
) -> Iterator[PartFrame]:
    suffix = f".{inspected.view}{FRAME_SUFFIX}" if inspected.view else FRAME_SUFFIX
    for place, name in enumerate(images):
        if name.endswith(suffix):
            yield PartFrame(trigger, place, inside(line.images, name))
