"""The parts that people teach: a folder of each, with what was collected and what was taught."""

from __future__ import annotations

import os
import re
import shutil
import threading
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from pydantic import BaseModel

from edge.panel.refusals import Refused
from edge.panel.teach.collection import Collection
from inspection.bundle.manifest import MANIFEST
from inspection.files import new_directory, write_text

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,40}")
_MOMENT = "%Y%m%dT%H%M%S%f"
_FILE, _TAUGHT = "part.json", "taught.json"


def name_now() -> str:
    """Returns a name for a folder that sorts by time."""
    return f"{datetime.now(timezone.utc):{_MOMENT}}"


def moment_of(name: str) -> datetime:
    """Returns the time of a name of `name_now`."""
    return datetime.strptime(name, _MOMENT).replace(tzinfo=timezone.utc)


class TaughtFile(BaseModel):
    """A job with the images of a part.

    Attributes:
        kind: "teach" or "calibrate".
        bundle: path of the bundle that is calibrated; empty for one that is made here.
        recipe: that is calibrated.
    """

    kind: str
    bundle: str = ""
    recipe: str = "default"


class PartFile(BaseModel):
    """The choices about a part.

    Attributes:
        view: of the line; empty for the deciding one.
    """

    view: str = ""


@dataclass(frozen=True)
class Taught:
    """A model that is taught, or a bundle that is calibrated, with the images of a part.

    Attributes:
        name: of the time when it was asked for.
        part: its name, and that of a bundle that is made here.
    """

    name: str
    part: str
    folder: Path
    file: TaughtFile

    @property
    def moment(self) -> datetime:
        """The time when it was asked for."""
        return moment_of(self.name)

    @property
    def good(self) -> Path:
        """The images as they were: hard links, so that the collection may change meanwhile."""
        return self.folder / "images" / self.part  # the bundle has the name of this folder

    @property
    def bundle(self) -> Path:
        """The bundle, which is made here whole or not at all, or was there before."""
        return Path(self.file.bundle) if self.file.bundle else self.folder / self.part

    @property
    def report(self) -> Path:
        """The page about its thresholds."""
        return self.folder / "report.html"

    @property
    def is_done(self) -> bool:
        """Whether the bundle is there, and its calibration, which ends with the report."""
        is_made_here = not self.file.bundle  # another was there before the job
        return (self.bundle / MANIFEST).is_file() and (is_made_here or self.report.is_file())

    def discard(self) -> None:
        """Removes the folder, where its job was not started."""
        shutil.rmtree(self.folder)


@dataclass(frozen=True)
class Part:
    """A part with its folder."""

    line: str
    name: str
    view: str
    folder: Path
    collection: Collection

    @property
    def subject(self) -> str:
        """The subject of its jobs."""
        return f"{self.line}/{self.name}"

    def taught(self) -> list[Taught]:
        """Returns the models that were taught, the newest first."""
        files = sorted((self.folder / "taught").glob(f"*/{_TAUGHT}"), reverse=True)
        found = [(one.parent, TaughtFile.model_validate_json(one.read_bytes())) for one in files]
        return [Taught(folder.name, self.name, folder, file) for folder, file in found]

    def find(self, name: str) -> Taught:
        """Returns a model that was taught.

        Raises:
            Refused: there is none of this name.
        """
        found = next((one for one in self.taught() if one.name == name), None)
        if found is None:
            raise Refused(404, "problem.not_taught")
        return found

    def begin(self, file: TaughtFile) -> Taught:
        """Makes the folder of a model to teach, with the images that are collected now.

        Raises:
            Refused: there are none.
            OSError: it cannot be written.
        """
        images = self.collection.images()
        if not images:
            raise Refused(409, "problem.no_images")
        name = name_now()
        taught = Taught(name, self.name, self.folder / "taught" / name, file)
        with new_directory(taught.folder) as folder:
            good = folder / taught.good.relative_to(taught.folder)
            good.mkdir(parents=True)
            for image in images:
                os.link(self.collection.good / image.name, good / image.name)
            (folder / _TAUGHT).write_text(file.model_dump_json())
        return taught


@dataclass(frozen=True)
class Parts:
    """The parts of all lines, below a folder. Safe for threads."""

    folder: Path
    min_free_bytes: int
    _collections: dict[Path, Collection] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, line: str) -> list[Part]:
        """Returns the parts of a line by name."""
        files = sorted((self.folder / line).glob(f"*/{_FILE}"))
        return [self._part(line, file.parent.name) for file in files]

    def find(self, line: str, name: str) -> Part:
        """Returns a part.

        Raises:
            Refused: there is none of this name.
        """
        found = next((part for part in self.of(line) if part.name == name), None)
        if found is None:
            raise Refused(404, "problem.no_collection", name=name)
        return found

    def add(self, line: str, name: str, view: str) -> Part:
        """Makes the folder of a new part.

        Raises:
            Refused: the name is taken, or cannot be that of a bundle.
            OSError: it cannot be written.
        """
        if not _NAME.fullmatch(name):
            raise Refused(400, "problem.part_name")
        folder = self.folder / line / name
        if (folder / _FILE).exists():
            raise Refused(409, "problem.part_taken", name=name)
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / _FILE, PartFile(view=view).model_dump_json())
        return self._part(line, name)

    def _part(self, line: str, name: str) -> Part:
        folder = self.folder / line / name
        view = PartFile.model_validate_json((folder / _FILE).read_bytes()).view
        with self._lock:
            collection = self._collections.setdefault(
                folder, Collection(folder, self.min_free_bytes)
            )
        return Part(line, name, view, folder, collection)
